//! The guardrails of plans: what may be done, to whom, how widely and for how long, and who has to say so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::types::soc::{Blast, RemedyAction, Step};
use crate::types::{Severity, Subject};

/// What plans may do. Nothing that is not allowed here is ever run.
#[derive(Debug, Clone, PartialEq)]
pub struct Guardrails {
    /// Actions by their words (`RemedyAction::NAMES`).
    pub allowed: BTreeSet<Arc<str>>,
    /// Whom nothing is done to.
    pub protected: Protected,
    /// The fewest leading bits of an IPv4 network.
    pub widest_v4: u8,
    /// The fewest leading bits of an IPv6 network.
    pub widest_v6: u8,
    /// The longest time of an action, in seconds.
    pub longest: BTreeMap<Arc<str>, u64>,
    /// The longest time of those that `longest` does not name, in seconds.
    pub longest_of_others: u64,
    /// Whom one step may hit.
    pub blast: BlastBounds,
    /// The most steps of a plan.
    pub most_steps: usize,
    /// Whether a step may last until somebody undoes it.
    pub permanent: bool,
    /// What no reason, summary or claim may contain, in small letters.
    pub forbidden: Vec<Arc<str>>,
    /// Characters that a reason, summary or claim may have.
    pub max_text: usize,
    /// The share of claims that must be supported, 0 to 1.
    pub groundedness: f32,
    /// The share of a claim's words that must stand in its evidence, 0 to 1.
    pub overlap: f32,
    /// Who has to approve, tried in order.
    pub automatic: Vec<Automatic>,
}

/// Whom nothing is done to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Protected {
    /// Addresses and networks.
    pub networks: Vec<IpNet>,
    /// Users.
    pub users: BTreeSet<Arc<str>>,
    /// Gateway keys.
    pub keys: BTreeSet<Arc<str>>,
    /// Agents.
    pub agents: BTreeSet<Arc<str>>,
    /// Tenants.
    pub tenants: BTreeSet<Arc<str>>,
}

/// Whom a step may hit at most, by what it would have hit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlastBounds {
    /// Requests.
    pub requests: u64,
    /// Different callers.
    pub callers: u64,
    /// The share of requests that nothing was found in, 0 to 1; looked at from `clean_from` requests on.
    pub clean: f32,
    /// Requests below which the share says nothing.
    pub clean_from: u64,
}

/// A rule that says how many people have to approve a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automatic {
    /// The action's word, or `*`.
    pub action: Arc<str>,
    /// The plan answers to at least so severe an incident.
    pub severity: Severity,
    /// It is at most so likely a false alarm, in percent.
    pub false_positive: u8,
    /// It would have hit at most so many requests.
    pub requests: u64,
    /// It would have hit at most so many callers.
    pub callers: u64,
    /// It lasts at most so many seconds.
    pub lasts: u64,
    /// Only what can be undone.
    pub reversible: bool,
    /// People who have to approve: 0, 1 or 2.
    pub approvals: u8,
}

impl Protected {
    /// Whether this is one of them: a network that holds a protected address, or lies in a protected network, is.
    pub fn holds(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Network { address, prefix } => {
                let Some(network) = network(*address, *prefix) else { return true };
                let overlaps = |own: &IpNet| {
                    let own = canonical(own);
                    own.contains(&network) || network.contains(&own)
                };
                self.networks.iter().any(overlaps)
            }
            Subject::User { name } => self.users.contains(name),
            Subject::Key { name } => self.keys.contains(name),
            Subject::Agent { name } => self.agents.contains(name),
            Subject::Tenant { name } => self.tenants.contains(name),
            Subject::Team { .. } | Subject::Session { .. } => false,
        }
    }
}

/// A network with its canonical address: IPv4 is never written as IPv6.
pub(super) fn network(address: IpAddr, prefix: u8) -> Option<IpNet> {
    IpNet::new(address, prefix).ok().map(|network| canonical(&network))
}

fn canonical(network: &IpNet) -> IpNet {
    let address = network.network().to_canonical();
    let mapped = address.is_ipv4() && network.addr().is_ipv6();
    let prefix = if mapped { network.prefix_len().saturating_sub(96) } else { network.prefix_len() };
    IpNet::new(address, prefix).map_or(*network, |network| network.trunc())
}

impl Guardrails {
    /// The longest that an action may last, in seconds.
    pub fn longest(&self, action: &RemedyAction) -> u64 {
        self.longest.get(action.name()).copied().unwrap_or(self.longest_of_others)
    }

    /// How many people have to approve a step, and why. The first rule that holds says it; without one it is nobody for what
    /// is done to nobody, one for what can be undone and two for what cannot.
    pub(super) fn approvals(&self, step: &Step, severity: Severity, false_positive: u8) -> (u8, String) {
        let action = step.action.name();
        let holds = |rule: &Automatic| {
            (&*rule.action == "*" || &*rule.action == action)
                && severity >= rule.severity
                && false_positive <= rule.false_positive
                && step.blast.requests <= rule.requests
                && step.blast.callers <= rule.callers
                && (!lasts(&step.action) || step.lasts.is_some_and(|seconds| seconds <= rule.lasts))
                && (!rule.reversible || step.action.reversible())
        };
        if let Some((number, rule)) = (1..).zip(&self.automatic).find(|(_, rule)| holds(rule)) {
            return (
                rule.approvals.min(2),
                format!("{action}: rule {number} of soc.automatic asks for {}", rule.approvals),
            );
        }
        match &step.action {
            RemedyAction::Monitor | RemedyAction::Notify { .. } => (0, format!("{action}: is done to nobody")),
            action if action.reversible() => (1, format!("{}: no rule of soc.automatic holds", action.name())),
            action => (2, format!("{}: no rule of soc.automatic holds, and it cannot be undone", action.name())),
        }
    }
}

/// Whether it is done to nobody.
pub(super) const fn harmless(action: &RemedyAction) -> bool {
    matches!(action, RemedyAction::Monitor | RemedyAction::Notify { .. })
}

/// Whether it lasts: it is in force until it ends or is undone.
pub(super) const fn lasts(action: &RemedyAction) -> bool {
    !matches!(action, RemedyAction::Monitor | RemedyAction::Notify { .. } | RemedyAction::RevokeKey)
}

impl BlastBounds {
    /// What a step would hit too much of.
    pub(super) fn exceeded(&self, blast: &Blast) -> Vec<String> {
        let mut problems = Vec::new();
        if blast.requests > self.requests {
            problems.push(format!("would have hit {} requests, at most {}", blast.requests, self.requests));
        }
        if blast.callers > self.callers {
            problems.push(format!("would have hit {} callers, at most {}", blast.callers, self.callers));
        }
        if blast.requests >= self.clean_from.max(1) {
            // Whole percent: a share of counts need not be exact, but must be the same everywhere.
            let percent = blast.clean.min(blast.requests).saturating_mul(100).checked_div(blast.requests).unwrap_or(0);
            let share = f32::from(u8::try_from(percent).unwrap_or(100)) / 100.0;
            if share > self.clean {
                problems.push(format!("{percent} percent of the requests it would have hit were clean"));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Subject {
        let (address, prefix) = text.split_once('/').unwrap();
        Subject::Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    #[test]
    fn a_range_that_holds_a_protected_address_is_protected() {
        let networks = ["192.0.2.7/32", "10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let protected = Protected { networks: networks.to_vec(), ..Protected::default() };
        for inside in [
            "192.0.2.7/32",
            "192.0.2.0/24",
            "192.0.2.9/24",
            "0.0.0.0/0",
            "10.9.9.9/32",
            "2001:db8:1::/48",
            "2000::/3",
            "::ffff:192.0.2.7/128",
            "::ffff:10.1.2.3/120",
            "192.0.2.7/33",
        ] {
            assert!(protected.holds(&subject(inside)), "{inside}");
        }
        for outside in ["192.0.2.8/32", "192.0.3.0/24", "2001:db9::/32", "11.0.0.0/8"] {
            assert!(!protected.holds(&subject(outside)), "{outside}");
        }
    }

    #[test]
    fn names_are_protected_by_kind() {
        let protected = Protected { users: BTreeSet::from(["root".into()]), ..Protected::default() };
        assert!(protected.holds(&Subject::User { name: "root".into() }));
        assert!(!protected.holds(&Subject::Key { name: "root".into() }));
        assert!(!protected.holds(&Subject::User { name: "Root".into() }));
    }
}
