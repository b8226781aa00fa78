//! Whom an incident is about: the subjects that its evidence names, and no others.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::Ipv6Net;

use super::front::Target;
use crate::types::soc::{Alert, Incident};
use crate::types::{Caller, Subject};

/// Subjects of one incident that are looked at.
const MAX_SUBJECTS: usize = 64;
/// Bytes of a name that a step can be taken against. Clients name sessions and agents themselves.
const MAX_NAME: usize = 256;
/// Leading bits of an IPv6 address that are one customer's.
const V6_PREFIX: u8 = 64;

/// Every subject that the evidence names, in the order of `Target::ALL`, those with the most events first.
pub fn subjects(incident: &Incident, alerts: &[Alert]) -> Vec<Subject> {
    let kinds = [Target::Session, Target::User, Target::Key, Target::Address, Target::Agent];
    let mut found = Vec::new();
    for kind in kinds {
        found.extend(targets(incident, alerts, kind, u8::MAX));
    }
    found.truncate(MAX_SUBJECTS);
    found
}

/// At most `spread` subjects of this kind. The caller of an incident comes first, unless it is a campaign: there those with
/// the most events do.
pub fn targets(incident: &Incident, alerts: &[Alert], kind: Target, spread: u8) -> Vec<Subject> {
    let mut counted: Vec<(Subject, u64)> = Vec::new();
    let callers = alerts.iter().map(|alert| (&alert.caller, alert.count));
    for (caller, events) in std::iter::once((&incident.caller, 0)).chain(callers) {
        let Some(subject) = of_caller(caller, kind) else { continue };
        let full = counted.len() == MAX_SUBJECTS;
        match counted.iter_mut().find(|(known, _)| *known == subject) {
            Some((_, sum)) => *sum = sum.saturating_add(events),
            None if full => {}
            None => counted.push((subject, events)),
        }
    }
    if incident.about.starts_with("campaign:") {
        counted.sort_by(|(one, few), (other, many)| many.cmp(few).then_with(|| key(one).cmp(&key(other))));
    }
    counted.into_iter().map(|(subject, _)| subject).take(usize::from(spread)).collect()
}

/// What a caller is, seen as this kind. Names that no sound client sends are passed over: the next kind is taken.
fn of_caller(caller: &Caller, kind: Target) -> Option<Subject> {
    let named = |name: &Option<Arc<str>>| name.clone().filter(|name| sound(name));
    match kind {
        Target::Caller => {
            [Target::User, Target::Key, Target::Address].into_iter().find_map(|kind| of_caller(caller, kind))
        }
        Target::Session => named(&caller.session).map(|name| Subject::Session { name }),
        Target::User => named(&caller.user).map(|name| Subject::User { name }),
        Target::Key => named(&caller.key).map(|name| Subject::Key { name }),
        Target::Agent => named(&caller.agent).map(|name| Subject::Agent { name }),
        Target::Address => caller.address.map(network),
    }
}

fn sound(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
}

/// An IPv4 address, or the network of an IPv6 one.
fn network(address: IpAddr) -> Subject {
    match address.to_canonical() {
        IpAddr::V4(address) => Subject::Network { address: address.into(), prefix: 32 },
        IpAddr::V6(address) => {
            let network = Ipv6Net::new(address, V6_PREFIX).map_or(address, |network| network.network());
            Subject::Network { address: network.into(), prefix: V6_PREFIX }
        }
    }
}

/// What subjects are put in order by.
pub(super) fn key(subject: &Subject) -> (u8, String) {
    match subject {
        Subject::Network { address, prefix } => (0, format!("{address}/{prefix}")),
        Subject::Tenant { name } => (1, name.to_string()),
        Subject::Team { name } => (2, name.to_string()),
        Subject::User { name } => (3, name.to_string()),
        Subject::Key { name } => (4, name.to_string()),
        Subject::Session { name } => (5, name.to_string()),
        Subject::Agent { name } => (6, name.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soc::examples::{alert, incident};

    fn caller(user: &str, address: &str) -> Caller {
        Caller { user: Some(user.into()), address: Some(address.parse().unwrap()), ..Caller::default() }
    }

    #[test]
    fn a_campaign_is_answered_where_most_comes_from() {
        let mut incident = incident();
        incident.caller = caller("last", "192.0.2.1");
        let mut alerts = [alert(), alert(), alert()];
        for (alert, (user, count)) in alerts.iter_mut().zip([("a", 2), ("b", 9), ("a", 3)]) {
            alert.caller = caller(user, "192.0.2.7");
            alert.count = count;
        }
        let names = |incident: &Incident, spread| {
            let of = |subject: Subject| match subject {
                Subject::User { name } => name.to_string(),
                other => format!("{other:?}"),
            };
            targets(incident, &alerts, Target::Caller, spread).into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(names(&incident, 1), ["last"]);
        incident.about = "campaign:prompt_injection".into();
        assert_eq!(names(&incident, 2), ["b", "a"]);
        assert_eq!(names(&incident, 9), ["b", "a", "last"]);
    }

    #[test]
    fn names_that_no_sound_client_sends_are_passed_over() {
        let mut incident = incident();
        incident.caller = caller("a\u{7}b", "2001:db8:1:2:3::9");
        incident.caller.session = Some("s".repeat(300).into());
        let network = Subject::Network { address: "2001:db8:1:2::".parse().unwrap(), prefix: 64 };
        assert_eq!(targets(&incident, &[], Target::Caller, 1), std::slice::from_ref(&network));
        assert_eq!(subjects(&incident, &[]), [network]);
        incident.caller = caller("", "::ffff:192.0.2.9");
        let single = Subject::Network { address: "192.0.2.9".parse().unwrap(), prefix: 32 };
        assert_eq!(targets(&incident, &[], Target::Caller, 1), [single]);
    }
}
