//! Limits and budgets as they are configured, and the plan that is made of them: whom a request is charged to.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Charge, Kind, Rule, Scope, Unit};
use super::calendar::{Calendar, Period};
use super::prices::{Price, Usd};
use super::scope_kind::ScopeKind;
use crate::types::Caller;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The most a limit may be: what Redis counts exactly (2^53).
const LARGEST: u64 = 1 << 53;

/// What one of a kind may use. 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// Requests per minute, sustained.
    pub requests_per_minute: u64,
    /// Requests at once before the sustained rate applies; 0 is the same as `requests_per_minute`.
    pub burst: u64,
    /// Requests per hour.
    pub requests_per_hour: u64,
    /// Requests per day: any 24 hours, not a calendar day.
    pub requests_per_day: u64,
    /// Tokens per minute, prompt and answer.
    pub tokens_per_minute: u64,
    /// Tokens per hour.
    pub tokens_per_hour: u64,
    /// Tokens per day: any 24 hours, not a calendar day.
    pub tokens_per_day: u64,
    /// Requests in flight.
    pub concurrent: u64,
}

/// Allowances by what they are about. Each address, user, … has one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSpec {
    /// Per client address; of IPv6 the /64.
    pub per_address: Allowance,
    /// Per user of a tenant.
    pub per_user: Allowance,
    /// Per gateway key.
    pub per_key: Allowance,
    /// Per team of a tenant.
    pub per_team: Allowance,
    /// Per tenant.
    pub per_tenant: Allowance,
    /// Per model, all callers together.
    pub per_model: Allowance,
}

/// One budget: so much per calendar period, then 429 until the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSpec {
    /// What it is called in refusals, warnings and metrics. Budgets of one scope need different names.
    pub name: String,
    /// Whom it is for: each of that kind has one of its own.
    pub scope: ScopeKind,
    /// Only those with these names; empty: all of that kind.
    pub only: Vec<String>,
    /// US dollars per period; 0 is no limit.
    pub usd: Usd,
    /// Tokens per period; 0 is no limit.
    pub tokens: u64,
    /// How often it begins again.
    pub period: Period,
    /// The time zone of its midnights.
    pub zone: String,
    /// Shares of it at which someone is warned, once per period.
    pub warn_at: Vec<f64>,
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            scope: ScopeKind::All,
            only: Vec::new(),
            usd: Usd(0),
            tokens: 0,
            period: Period::Month,
            zone: "UTC".to_owned(),
            warn_at: vec![0.5, 0.8, 0.95],
        }
    }
}

/// Something wrong with limits or budgets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SpecError {
    /// Which key or budget.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What a request will need, before it is known what it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// Tokens of the prompt and the most its answer may have.
    pub tokens: u64,
    /// What these cost at most, in billionths of a US dollar.
    pub nano_usd: u64,
}

impl Need {
    /// For a prompt of so many tokens and an answer of at most so many (of all choices together). A model without a
    /// price costs nothing: whether it may be used under a budget in dollars is a policy.
    pub fn of(prompt: u64, answer: u64, price: Option<&Price>) -> Self {
        Self { tokens: prompt.saturating_add(answer), nano_usd: price.map_or(0, |price| price.at_most(prompt, answer)) }
    }
}

/// Limits and budgets made ready: which buckets a request is charged to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
struct Line {
    kind: ScopeKind,
    only: Vec<String>,
    rule: Arc<Rule>,
    warn_at: Arc<[f64]>,
}

impl Plan {
    /// Makes a plan. `owner` comes before every rule's name, so that two policies with a plan each count apart; empty
    /// for the limits that everyone shares.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(owner: &str, limits: &LimitSpec, budgets: &[BudgetSpec]) -> Result<Self, Vec<SpecError>> {
        let mut plan = Self::default();
        let mut problems = Vec::new();
        for (kind, place, allowance) in limits.by_kind() {
            plan.add_allowance(owner, kind, place, allowance, &mut problems);
        }
        for budget in budgets {
            plan.add_budget(owner, budget, &mut problems);
        }
        if problems.is_empty() { Ok(plan) } else { Err(problems) }
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether anything counts tokens or money, so that a prompt has to be counted.
    pub fn counts_tokens(&self) -> bool {
        self.lines.iter().any(|line| matches!(line.rule.unit, Unit::Tokens | Unit::NanoUsd))
    }

    /// Every rule, for status and metrics.
    pub fn rules(&self) -> impl Iterator<Item = (ScopeKind, &Arc<Rule>)> {
        self.lines.iter().map(|line| (line.kind, &line.rule))
    }

    /// What a request is charged to. What is not known of a caller limits nothing.
    pub fn charges(&self, caller: &Caller, model: Option<&str>, need: Need) -> Vec<Charge> {
        let scopes = Scopes::of(self, caller, model);
        let charge = |line: &Line| {
            let (scope, name) = scopes.get(line.kind)?;
            let meant = line.only.is_empty() || line.only.iter().any(|only| only == name);
            meant.then(|| Charge {
                bucket: Bucket { scope, rule: Arc::clone(&line.rule) },
                amount: match line.rule.unit {
                    Unit::Requests | Unit::Slots => 1,
                    Unit::Tokens => need.tokens,
                    Unit::NanoUsd => need.nano_usd,
                },
            })
        };
        self.lines.iter().filter_map(charge).collect()
    }

    /// The bucket of a budget for one of its kind: for `Meter::preload` and for showing what is left. `name` is the
    /// caller's name of that kind, `tenant` the tenant of users, teams and agents.
    pub fn buckets(&self, kind: ScopeKind, tenant: Option<&str>, name: &str) -> Vec<Bucket> {
        let scope = scope(kind, tenant, name);
        let lines = self.lines.iter().filter(|line| line.kind == kind);
        let meant = lines.filter(|line| line.only.is_empty() || line.only.iter().any(|only| only == name));
        meant.map(|line| Bucket { scope, rule: Arc::clone(&line.rule) }).collect()
    }

    /// At which shares of a rule someone is warned.
    pub fn warn_at(&self, rule: &Rule) -> Option<&Arc<[f64]>> {
        self.lines.iter().find(|line| *line.rule == *rule).map(|line| &line.warn_at)
    }

    fn add_allowance(
        &mut self,
        owner: &str,
        kind: ScopeKind,
        place: &str,
        allowance: &Allowance,
        problems: &mut Vec<SpecError>,
    ) {
        let rates = [
            (allowance.requests_per_minute, Unit::Requests, MINUTE, "requests_per_minute"),
            (allowance.requests_per_hour, Unit::Requests, HOUR, "requests_per_hour"),
            (allowance.requests_per_day, Unit::Requests, DAY, "requests_per_day"),
            (allowance.tokens_per_minute, Unit::Tokens, MINUTE, "tokens_per_minute"),
            (allowance.tokens_per_hour, Unit::Tokens, HOUR, "tokens_per_hour"),
            (allowance.tokens_per_day, Unit::Tokens, DAY, "tokens_per_day"),
        ];
        let rates = rates.map(|(limit, unit, window, name)| match (name, allowance.burst) {
            // So many at once, and as many again in the time they take at the sustained rate.
            ("requests_per_minute", burst @ 1..) if limit > 0 => {
                (burst, unit, MINUTE.mul_f64(burst as f64 / limit as f64), name)
            }
            _ => (limit, unit, window, name),
        });
        let rates = rates.map(|(limit, unit, window, name)| (limit, unit, Kind::Rate { limit, window }, name));
        let slots = Kind::Concurrent { limit: allowance.concurrent };
        for (limit, unit, form, name) in
            rates.into_iter().chain([(allowance.concurrent, Unit::Slots, slots, "concurrent")])
        {
            if limit > LARGEST {
                problems
                    .push(SpecError { place: format!("{place}.{name}"), problem: format!("the most is {LARGEST}") });
            } else if limit > 0 {
                self.add(owner, kind, &format!("{place}.{name}"), unit, form, (&[], &[]));
            }
        }
    }

    fn add_budget(&mut self, owner: &str, budget: &BudgetSpec, problems: &mut Vec<SpecError>) {
        let mut wrong = |problem: String| {
            problems.push(SpecError { place: format!("budget `{}`", budget.name), problem });
        };
        if budget.name.trim().is_empty() {
            wrong("it needs a name".to_owned());
        }
        if budget.usd.0 == 0 && budget.tokens == 0 {
            wrong("it needs `usd` or `tokens`".to_owned());
        }
        if budget.usd.0 > LARGEST || budget.tokens > LARGEST {
            wrong(format!("the most is {} dollars and {LARGEST} tokens", Usd(LARGEST)));
        }
        if budget.warn_at.iter().any(|share| !(*share > 0.0 && *share <= 1.0)) {
            wrong("each of `warn_at` must be above 0 and at most 1".to_owned());
        }
        if budget.scope == ScopeKind::All && !budget.only.is_empty() {
            wrong("`only` needs a scope other than `all`".to_owned());
        }
        let calendar = match Calendar::new(budget.period, &budget.zone) {
            Ok(calendar) => Arc::new(calendar),
            Err(error) => return wrong(error.to_string()),
        };
        let clash = |line: &Line, unit| {
            line.kind == budget.scope && line.rule.unit == unit && *line.rule.name == *named(owner, &budget.name)
        };
        for (limit, unit) in [(budget.usd.0, Unit::NanoUsd), (budget.tokens, Unit::Tokens)] {
            if self.lines.iter().any(|line| clash(line, unit)) {
                return wrong("another budget of this scope has the same name".to_owned());
            }
            if limit > 0 {
                let form = Kind::Budget { limit, calendar: Arc::clone(&calendar) };
                self.add(owner, budget.scope, &budget.name, unit, form, (&budget.only, &budget.warn_at));
            }
        }
    }

    fn add(&mut self, owner: &str, kind: ScopeKind, name: &str, unit: Unit, form: Kind, more: (&[String], &[f64])) {
        let rule = Rule::new(&named(owner, name), unit, form);
        let (only, warn_at) = more;
        self.lines.push(Line { kind, only: only.to_vec(), rule, warn_at: Arc::from(warn_at) });
    }
}

fn named(owner: &str, name: &str) -> String {
    if owner.is_empty() { name.to_owned() } else { format!("{owner}: {name}") }
}

impl LimitSpec {
    fn by_kind(&self) -> [(ScopeKind, &'static str, &Allowance); 6] {
        [
            (ScopeKind::Address, "per_address", &self.per_address),
            (ScopeKind::User, "per_user", &self.per_user),
            (ScopeKind::Key, "per_key", &self.per_key),
            (ScopeKind::Team, "per_team", &self.per_team),
            (ScopeKind::Tenant, "per_tenant", &self.per_tenant),
            (ScopeKind::Model, "per_model", &self.per_model),
        ]
    }
}

/// The scopes of one request, each hashed once and only if a line asks for it.
struct Scopes<'a>([Option<(Scope, &'a str)>; 8]);

impl<'a> Scopes<'a> {
    fn of(plan: &Plan, caller: &'a Caller, model: Option<&'a str>) -> Self {
        let tenant = caller.tenant.as_deref();
        let one = |kind: ScopeKind| {
            if !plan.lines.iter().any(|line| line.kind == kind) {
                return None;
            }
            let name = match kind {
                ScopeKind::All => Some(""),
                ScopeKind::Address => return caller.address.map(|address| (address_scope(address), "")),
                ScopeKind::User => caller.user.as_deref(),
                ScopeKind::Key => caller.key.as_deref(),
                ScopeKind::Team => caller.team.as_deref(),
                ScopeKind::Tenant => tenant,
                ScopeKind::Model => model,
                ScopeKind::Agent => caller.agent.as_deref(),
            };
            name.map(|name| (scope(kind, tenant, name), name))
        };
        Self(ScopeKind::ALL.map(one))
    }

    fn get(&self, kind: ScopeKind) -> Option<(Scope, &'a str)> {
        self.0.get(kind as usize).copied().flatten()
    }
}

fn scope(kind: ScopeKind, tenant: Option<&str>, name: &str) -> Scope {
    let scope = Scope::new(kind.name(), name);
    match (kind, tenant) {
        (ScopeKind::User | ScopeKind::Team | ScopeKind::Agent, Some(tenant)) => {
            scope.within(Scope::new(ScopeKind::Tenant.name(), tenant))
        }
        _ => scope,
    }
}

/// One subscriber has a whole /64, so that is what is counted.
fn address_scope(address: IpAddr) -> Scope {
    let mut name = String::with_capacity(40);
    let written = match address.to_canonical() {
        IpAddr::V4(address) => write!(name, "{address}"),
        IpAddr::V6(address) => write!(name, "{:x}/64", address.to_bits() >> 64),
    };
    debug_assert!(written.is_ok(), "a string takes everything");
    Scope::new(ScopeKind::Address.name(), &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(tenant: &str, user: &str) -> Caller {
        Caller { tenant: Some(tenant.into()), user: Some(user.into()), key: Some("k1".into()), ..Caller::default() }
    }

    fn limits() -> LimitSpec {
        let per_user =
            Allowance { requests_per_minute: 10, tokens_per_day: 5000, concurrent: 2, ..Allowance::default() };
        LimitSpec {
            per_user,
            per_address: Allowance { requests_per_hour: 3, ..Allowance::default() },
            ..LimitSpec::default()
        }
    }

    #[test]
    fn a_request_is_charged_to_everyone_it_is_known_to_come_from() {
        let budget = BudgetSpec {
            name: "k".into(),
            scope: ScopeKind::Key,
            usd: Usd(5),
            only: vec!["k1".into()],
            ..BudgetSpec::default()
        };
        let plan = Plan::new("", &limits(), &[budget]).unwrap();
        let need = Need { tokens: 70, nano_usd: 3 };
        let charges = plan.charges(&caller("t", "u"), Some("m"), need);
        let amounts: Vec<(&str, u64)> = charges.iter().map(|c| (&*c.bucket.rule.name, c.amount)).collect();
        assert_eq!(
            amounts,
            [
                ("per_user.requests_per_minute", 1),
                ("per_user.tokens_per_day", 70),
                ("per_user.concurrent", 1),
                ("k", 3)
            ]
        );
        let other = Caller { key: Some("k2".into()), address: Some(IpAddr::from([1, 2, 3, 4])), ..Caller::default() };
        assert_eq!(plan.charges(&other, None, need).len(), 1);
        assert_eq!(plan.buckets(ScopeKind::Key, None, "k1"), vec![charges[3].bucket.clone()]);
        assert_eq!(plan.warn_at(&charges[3].bucket.rule).unwrap().len(), 3);
    }

    #[test]
    fn users_of_two_tenants_and_rules_of_two_policies_are_counted_apart() {
        let plan = Plan::new("", &limits(), &[]).unwrap();
        let other = Plan::new("strict", &limits(), &[]).unwrap();
        let id = |plan: &Plan, tenant| plan.charges(&caller(tenant, "u"), None, Need::default())[0].bucket.id();
        assert_ne!(id(&plan, "a"), id(&plan, "b"));
        assert_ne!(id(&plan, "a"), id(&other, "a"));
        let mut higher = limits();
        higher.per_user.requests_per_minute = 99;
        assert_eq!(id(&plan, "a"), id(&Plan::new("", &higher, &[]).unwrap(), "a"), "a new limit keeps what was used");
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let scope = |text: &str| address_scope(text.parse().unwrap());
        assert_eq!(scope("2001:db8::1"), scope("2001:db8::2"));
        assert_ne!(scope("2001:db8:0:1::1"), scope("2001:db8::1"));
        assert_eq!(scope("::ffff:1.2.3.4"), scope("1.2.3.4"));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let mut limits = limits();
        limits.per_key.concurrent = u64::MAX;
        let bad = BudgetSpec { zone: "Mars".into(), warn_at: vec![0.0], ..BudgetSpec::default() };
        let good = BudgetSpec { name: "b".into(), tokens: 1, ..BudgetSpec::default() };
        let problems = Plan::new("", &limits, &[bad, good.clone(), good]).unwrap_err();
        assert_eq!(problems.len(), 6, "{problems:#?}");
    }

    #[test]
    fn settings_are_read_as_they_are_documented() {
        let budget: BudgetSpec = toml::from_str("name = 'x'\nscope = 'team'\nusd = 12.5\nperiod = 'week'").unwrap();
        assert_eq!((budget.usd, budget.period), (Usd(12_500_000_000), Period::Week));
        assert!(toml::from_str::<BudgetSpec>("nmae = 'x'").is_err());
        assert!(toml::from_str::<LimitSpec>("[per_key]\ntokens_per_minute = 5").is_ok());
    }
}
