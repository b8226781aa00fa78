//! The shape of `[soc]`: alerts, incidents, the analyst, and what plans may do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::soc_outside::{Analyst, Channel, ChannelKind, Embeddings, Ingest, IngestSource, Live};
use super::units::Time;
use crate::soc::guard::{self, BlastBounds, Guardrails, Protected};
use crate::types::Severity;
use crate::types::soc::RemedyAction;

/// The security operations centre. Of it only `guard` and `automatic` are reloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Soc {
    /// `false` switches it off: no alerts, no incidents.
    pub enabled: bool,
    /// Further directories with rules for alerts and incidents and with responses (*.yaml).
    pub rules: Vec<PathBuf>,
    /// Further directories with playbooks (*.md); one with a known id replaces it.
    pub playbooks: Vec<PathBuf>,
    /// The same rule, caller and model within so long is one alert with a count.
    pub fold_within: Time,
    /// Alerts that can still be folded into, and callers, sessions and campaigns watched; the oldest are forgotten.
    pub tracked: usize,
    /// Alerts that may wait to be written. When it is full the reader of events waits.
    pub queue: usize,
    /// Analyses and remedies worked on at once, each.
    pub workers: usize,
    /// The share of the time, 0.01 to 1, that each of the analyst's workers works while there is work.
    pub share: f32,
    /// How long a worker has a piece of work to itself; after a crash another one takes it then.
    pub lease: Time,
    /// Incidents of at least this severity are analysed.
    #[schemars(with = "String")]
    pub analyse_from: Severity,
    /// Alerts of one incident that the analyst reads, the newest.
    pub alerts_read: usize,
    /// How long a plan can be approved.
    pub plan_expires: Time,
    /// How long an approval counts, at most as long as its plan.
    pub approval_expires: Time,
    /// Tries of a remedy or of a step of an analysis before it has failed.
    pub tries: u32,
    /// The wait after the first failure; doubles each time.
    pub retry_delay: Time,
    /// The longest wait.
    pub retry_longest: Time,
    /// A remedy that could not be applied for so long is given up.
    pub give_up_after: Time,
    /// What plans may do.
    pub guard: SocGuard,
    /// How many people have to approve, tried in order.
    pub automatic: Vec<SocAutomatic>,
    /// A language model that is asked beside the rules.
    pub analyst: Analyst,
    /// An upstream that makes vectors of texts.
    pub embeddings: Embeddings,
    /// Who can be told.
    pub notify: Vec<Channel>,
    /// Alerts of other systems.
    pub ingest: Ingest,
    /// The live feed.
    pub live: Live,
}

/// What plans may do. Nothing else is ever run, whoever approves it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SocGuard {
    /// The actions that may be planned.
    pub allowed: Vec<String>,
    /// Addresses and networks that nothing is done to, nor to a range that holds one.
    #[schemars(with = "Vec<String>")]
    pub networks: Vec<IpNet>,
    /// Users that nothing is done to.
    pub users: Vec<Arc<str>>,
    /// Gateway keys that nothing is done to.
    pub keys: Vec<Arc<str>>,
    /// Agents that nothing is done to.
    pub agents: Vec<Arc<str>>,
    /// Tenants that nothing is done to.
    pub tenants: Vec<Arc<str>>,
    /// The fewest leading bits of an IPv4 range.
    pub widest_v4: u8,
    /// The fewest leading bits of an IPv6 range.
    pub widest_v6: u8,
    /// The longest that an action lasts, by its name.
    pub longest: BTreeMap<String, Time>,
    /// The longest that the other actions last.
    pub longest_of_others: Time,
    /// Let actions last until somebody undoes them.
    pub permanent: bool,
    /// Requests that one action would have hit in the last 24 hours.
    pub max_requests: u64,
    /// Different callers that one action would have hit.
    pub max_callers: u64,
    /// The share of requests that it would have hit and nothing was found in, 0 to 1.
    pub max_clean: f32,
    /// Requests below which that share says nothing.
    pub clean_from: u64,
    /// Steps of one plan.
    pub most_steps: usize,
    /// Characters of a reason, a summary or a claim.
    pub max_text: usize,
    /// What no reason, summary or claim may contain, whatever its case.
    pub forbidden: Vec<String>,
}

/// How many people have to approve what fits: everything given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SocAutomatic {
    /// The action, or `*`.
    pub action: String,
    /// The plan answers to at least so severe an incident.
    #[schemars(with = "String")]
    pub severity: Severity,
    /// It is at most so likely a false alarm, in percent.
    #[serde(default = "ten")]
    pub false_positive: u8,
    /// It would have hit at most so many requests in the last 24 hours.
    #[serde(default = "thousand")]
    pub requests: u64,
    /// It would have hit at most so many callers.
    #[serde(default = "one")]
    pub callers: u64,
    /// It lasts at most so long.
    #[serde(default = "hour")]
    pub lasts: Time,
    /// Only what can be undone.
    #[serde(default = "yes")]
    pub reversible: bool,
    /// People who have to approve: 0, 1 or 2.
    pub approvals: u8,
}

const fn ten() -> u8 {
    10
}
const fn thousand() -> u64 {
    1_000
}
const fn one() -> u64 {
    1
}
const fn hour() -> Time {
    Time::from_secs(3600)
}
const fn yes() -> bool {
    true
}

impl Default for Soc {
    fn default() -> Self {
        Self {
            enabled: true,
            rules: Vec::new(),
            playbooks: Vec::new(),
            fold_within: Time::from_secs(300),
            tracked: 10_000,
            queue: 8_192,
            workers: 2,
            share: 0.2,
            lease: Time::from_secs(60),
            analyse_from: Severity::Medium,
            alerts_read: 64,
            plan_expires: Time::from_secs(4 * 3600),
            approval_expires: Time::from_secs(3600),
            tries: 6,
            retry_delay: Time::from_secs(1),
            retry_longest: Time::from_secs(60),
            give_up_after: Time::from_secs(3600),
            guard: SocGuard::default(),
            automatic: automatic(),
            analyst: Analyst::default(),
            embeddings: Embeddings::default(),
            notify: Vec::new(),
            ingest: Ingest::default(),
            live: Live::default(),
        }
    }
}

/// What runs by itself: short, about one caller, and undone by itself.
fn automatic() -> Vec<SocAutomatic> {
    let rule = |action: &RemedyAction, severity, callers| SocAutomatic {
        action: action.name().to_owned(),
        severity,
        false_positive: 10,
        requests: 10_000,
        callers,
        lasts: hour(),
        reversible: true,
        approvals: 0,
    };
    vec![
        rule(&RemedyAction::RateLimit { requests: 1, seconds: 1 }, Severity::Medium, 1),
        rule(&RemedyAction::TerminateSession, Severity::Critical, 1),
        rule(&RemedyAction::BlockAddress, Severity::Critical, 3),
    ]
}

/// What no text of a plan says: commands, orders to a model, addresses of the web.
const FORBIDDEN: [&str; 33] = [
    "http://",
    "https://",
    "ftp://",
    "javascript:",
    "data:",
    "<script",
    "rm -rf",
    "rm -r",
    "sudo",
    "curl",
    "wget",
    "nc -e",
    "chmod",
    "mkfs",
    "powershell",
    "cmd.exe",
    "/bin/sh",
    "/bin/bash",
    "bash -c",
    "| sh",
    "| bash",
    "$(",
    "`",
    "&&",
    "eval(",
    "exec(",
    "os.system",
    "drop table",
    "ignore all",
    "ignore previous",
    "ignore the previous",
    "disregard",
    "you are now",
];

/// This machine: a measure against it would hit every local client.
fn loopback(address: IpAddr, prefix: u8) -> IpNet {
    IpNet::new_assert(address, prefix)
}

impl Default for SocGuard {
    fn default() -> Self {
        let hours = |hours: u64| Time::from_secs(hours.saturating_mul(3600));
        let of = |action: &RemedyAction, hours: Time| (action.name().to_owned(), hours);
        Self {
            allowed: RemedyAction::NAMES.map(str::to_owned).into(),
            networks: vec![loopback(Ipv4Addr::new(127, 0, 0, 0).into(), 8), loopback(Ipv6Addr::LOCALHOST.into(), 128)],
            users: Vec::new(),
            keys: Vec::new(),
            agents: Vec::new(),
            tenants: Vec::new(),
            widest_v4: 24,
            widest_v6: 48,
            longest: BTreeMap::from([
                of(&RemedyAction::BlockAddress, hours(24)),
                of(&RemedyAction::TerminateSession, hours(24)),
                of(&RemedyAction::TightenPolicy, hours(7 * 24)),
            ]),
            longest_of_others: hours(24),
            permanent: false,
            max_requests: 10_000,
            max_callers: 100,
            max_clean: 0.95,
            clean_from: 50,
            most_steps: 8,
            max_text: 500,
            forbidden: FORBIDDEN.map(str::to_owned).into(),
        }
    }
}

impl Soc {
    /// What is wrong with these settings: the key below `[soc]`, positions in lists as numbers, and a sentence, all at once.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut need = |holds: bool, key: &str, told: &str| {
            if !holds {
                found.push((key.to_owned(), told.to_owned()));
            }
        };
        for (key, number) in [
            ("tracked", self.tracked),
            ("queue", self.queue),
            ("workers", self.workers),
            ("alerts_read", self.alerts_read),
            ("tries", usize::try_from(self.tries).unwrap_or(usize::MAX)),
        ] {
            need(number > 0, key, "must be at least 1");
        }
        need(self.tracked <= 1 << 20, "tracked", "may be 1048576 at most: it is kept in memory");
        need(self.queue <= 1 << 20, "queue", "may be 1048576 at most: it is kept in memory");
        need(self.workers <= 64, "workers", "may be 64 at most");
        need((0.01..=1.0).contains(&self.share), "share", "must be 0.01 to 1");
        need(self.queue == 0 || self.ingest.max_alerts <= self.queue, "ingest.max_alerts", "may be at most soc.queue");
        need(self.alerts_read <= 1024, "alerts_read", "may be 1024 at most: they are kept in memory");
        for (key, time) in [
            ("lease", self.lease),
            ("plan_expires", self.plan_expires),
            ("approval_expires", self.approval_expires),
            ("retry_delay", self.retry_delay),
            ("give_up_after", self.give_up_after),
        ] {
            need(!time.is_zero(), key, "must be longer than 0");
        }
        need(self.retry_delay <= self.retry_longest, "retry_longest", "must not be below soc.retry_delay");
        self.guard.problems(&mut need);
        for (index, rule) in self.automatic.iter().enumerate() {
            let at = |key: &str| format!("automatic.{index}.{key}");
            let known = rule.action == "*" || RemedyAction::NAMES.contains(&rule.action.as_str());
            need(known, &at("action"), "is no action: use `*` or a name of soc.guard.allowed");
            need(rule.approvals <= 2, &at("approvals"), "must be 0, 1 or 2");
            need(rule.false_positive <= 100, &at("false_positive"), "must be between 0 and 100");
            let two = rule.reversible || rule.action != "*" || rule.approvals > 0;
            need(two, &at("reversible"), "what cannot be undone is not automatic for every action at once: name it");
        }
        self.analyst.problems(&mut need);
        self.embeddings.problems(&mut need);
        super::soc_outside::channels(&self.notify, &mut need);
        self.ingest.problems(&mut need);
        self.live.problems(&mut need);
        found
    }

    /// What plans may do, as the judgement takes it.
    pub fn guardrails(&self) -> Guardrails {
        let guard = &self.guard;
        let set = |names: &[Arc<str>]| names.iter().cloned().collect();
        Guardrails {
            allowed: guard.allowed.iter().map(|name| Arc::from(name.as_str())).collect(),
            protected: Protected {
                networks: guard.networks.clone(),
                users: set(&guard.users),
                keys: set(&guard.keys),
                agents: set(&guard.agents),
                tenants: set(&guard.tenants),
            },
            widest_v4: guard.widest_v4,
            widest_v6: guard.widest_v6,
            longest: guard.longest.iter().map(|(name, time)| (name.as_str().into(), time.get().as_secs())).collect(),
            longest_of_others: guard.longest_of_others.get().as_secs(),
            blast: BlastBounds {
                requests: guard.max_requests,
                callers: guard.max_callers,
                clean: guard.max_clean,
                clean_from: guard.clean_from,
            },
            most_steps: guard.most_steps,
            permanent: guard.permanent,
            forbidden: guard.forbidden.iter().map(|word| word.to_lowercase().into()).collect(),
            max_text: guard.max_text,
            groundedness: self.analyst.groundedness,
            overlap: self.analyst.overlap,
            automatic: self.automatic.iter().map(SocAutomatic::rule).collect(),
        }
    }
}

impl SocGuard {
    fn problems(&self, need: &mut impl FnMut(bool, &str, &str)) {
        let known = |name: &String| RemedyAction::NAMES.contains(&name.as_str());
        let names = RemedyAction::NAMES.join(", ");
        need(self.allowed.iter().all(known), "guard.allowed", &format!("the actions are {names}"));
        need(self.longest.keys().all(known), "guard.longest", &format!("the actions are {names}"));
        need(self.widest_v4 <= 32, "guard.widest_v4", "must be 0 to 32");
        need(self.widest_v6 <= 128, "guard.widest_v6", "must be 0 to 128");
        need((0.0..=1.0).contains(&self.max_clean), "guard.max_clean", "must be between 0 and 1");
        need((1..=64).contains(&self.most_steps), "guard.most_steps", "must be 1 to 64");
        need((50..=2_000).contains(&self.max_text), "guard.max_text", "must be 50 to 2000");
        need(self.forbidden.len() <= 1024, "guard.forbidden", "may have 1024 entries at most");
        let words = self.forbidden.iter().all(|word| !word.trim().is_empty() && word.len() <= 200);
        need(words, "guard.forbidden", "an entry has 1 to 200 bytes");
    }
}

impl SocAutomatic {
    fn rule(&self) -> guard::Automatic {
        guard::Automatic {
            action: self.action.as_str().into(),
            severity: self.severity,
            false_positive: self.false_positive,
            requests: self.requests,
            callers: self.callers,
            lasts: self.lasts.get().as_secs(),
            reversible: self.reversible,
            approvals: self.approvals,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem_and_read_back() {
        let settings = Soc::default();
        assert_eq!(settings.problems(), []);
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Soc>(&text).unwrap(), settings);
        assert!(toml::from_str::<Soc>("wrokers = 1").is_err());
        let guard = settings.guardrails();
        assert_eq!(guard.longest(&RemedyAction::BlockAddress), 86_400);
        assert_eq!(guard.longest(&RemedyAction::SuspendUser), 86_400);
        assert!(guard.protected.holds(&crate::types::Subject::Network { address: [127, 0, 0, 1].into(), prefix: 32 }));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_key() {
        let told = |text: &str| {
            let settings: Soc = toml::from_str(text).unwrap();
            settings.problems().into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(" ")
        };
        for (text, keys) in [
            ("queue = 0\nworkers = 65\nshare = 0.0\nlease = \"0s\"", "queue workers share lease"),
            ("retry_delay = \"2h\"", "retry_longest"),
            (
                "[guard]\nallowed = [\"dance\"]\nmax_clean = 1.5\nwidest_v4 = 33",
                "guard.allowed guard.widest_v4 guard.max_clean",
            ),
            (
                "[guard]\nforbidden = [\" \"]\nmax_text = 3\n[guard.longest]\nfly = \"1h\"",
                "guard.longest guard.max_text guard.forbidden",
            ),
            (
                "[[automatic]]\naction = \"fly\"\nseverity = \"high\"\napprovals = 3",
                "automatic.0.action automatic.0.approvals",
            ),
            (
                "[[automatic]]\naction = \"*\"\nseverity = \"low\"\nreversible = false\napprovals = 0",
                "automatic.0.reversible",
            ),
            (
                "[analyst]\nbase_url = \"gopher://x\"\ngroundedness = 2.0",
                "analyst.base_url analyst.model analyst.groundedness",
            ),
            (
                "[analyst]\nreviewer = true\napi_key_env = \"A\"\napi_key_file = \"b\"",
                "analyst.api_key_file analyst.reviewer",
            ),
            ("[embeddings]\nbase_url = \"http://127.0.0.1:1/v1\"", "embeddings.model"),
            (
                "[[notify]]\nname = \"a b\"\nkind = \"webhook\"\nurl = \"http://example.com\"",
                "notify.0.name notify.0.url notify.0.secret_env",
            ),
            (
                "[[notify]]\nname = \"a\"\nkind = \"slack\"\n[[notify]]\nname = \"a\"\nkind = \"pagerduty\"",
                "notify.0.url_env notify.1.name notify.1.secret_env",
            ),
            ("[[notify]]\nname = \"a\"\nkind = \"email\"\nto = [\"x\"]", "notify.0.smtp notify.0.from notify.0.to"),
            ("[[ingest.sources]]\nname = \"\"\nsecret_env = \"\"", "ingest.sources.0.name ingest.sources.0.secret_env"),
            ("[live]\nsubscribers = 0\nheartbeat = \"0s\"", "live.subscribers live.heartbeat"),
        ] {
            assert_eq!(told(text), keys, "{text}");
        }
    }

    #[test]
    fn rules_reach_the_guardrails() {
        let settings: Soc = toml::from_str(
            "[[automatic]]\naction = \"rate_limit\"\nseverity = \"medium\"\napprovals = 0\nlasts = \"2h\"\n\
             [guard]\nusers = [\"root\"]\nforbidden = [\"SUDO\"]\n[analyst]\ngroundedness = 0.9\n",
        )
        .unwrap();
        assert_eq!(settings.problems(), []);
        let guard = settings.guardrails();
        assert_eq!((guard.automatic[0].lasts, guard.automatic[0].callers), (7200, 1));
        assert_eq!(guard.forbidden, [Arc::<str>::from("sudo")]);
        assert!(guard.protected.users.contains("root"));
        assert!((guard.groundedness - 0.9).abs() < 1e-6);
    }
}
