//! The life of remedies: steps of approved plans, each carried out once, tried again, ended and undone.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Builder;

use super::guard::lasts;
use super::plan::hex;
use crate::types::soc::{Plan, PlanBody, Remedy, RemedyAction, RemedyState};
use crate::types::{Measure, Order, Subject};

/// Steps of one plan that become remedies: more never passes verification.
const MAX_STEPS: usize = 64;
/// Characters of a problem that are kept.
const MAX_PROBLEM: usize = 300;
/// Microseconds in a second.
const SECOND: i64 = 1_000_000;

/// How failures are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait after the first failure, in microseconds; doubles each time.
    pub first: i64,
    /// The longest wait, in microseconds.
    pub longest: i64,
    /// Failures after which a remedy has failed.
    pub tries: u32,
    /// Microseconds after which a remedy that never took effect is not tried any more: what it answers to is long over.
    pub give_up_after: i64,
}

/// Why a remedy may not become something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing more happens to it.
    #[error("the remedy has ended")]
    Ended,
    /// It took no effect that could end.
    #[error("the remedy is not in force")]
    NotApplied,
    /// It is in force already.
    #[error("the remedy is in force already")]
    Applied,
    /// What it did cannot be taken back.
    #[error("the remedy cannot be undone")]
    Irreversible,
    /// It ends later, or by a person.
    #[error("the remedy has not expired")]
    NotYet,
}

/// One remedy per step. The same plan gives the same ids whenever this is called, so that a step is carried out once.
pub fn remedies(plan: &Plan, body: &PlanBody, now: i64) -> Vec<Remedy> {
    let one = |(number, step): (u32, &crate::types::soc::Step)| {
        let once = Sha256::digest(format!("portcullis-remedy-v1\n{}\n{number}", plan.hash));
        Remedy {
            id: id(plan.made, &once),
            once: hex(&once),
            plan: Arc::clone(&plan.id),
            incident: plan.incident.clone(),
            action: step.action.clone(),
            target: step.target.clone(),
            lasts: step.lasts,
            reason: step.reason.clone(),
            state: RemedyState::Pending,
            failures: 0,
            problem: None,
            made: now,
            due: now,
            applied: None,
            expires: None,
            order: None,
            undone_by: None,
        }
    };
    (1..).zip(&body.steps).take(MAX_STEPS).map(one).collect()
}

/// `rem_` and a version 7 UUID: its time is that of the plan, the rest comes from the hash.
fn id(made: i64, once: &[u8]) -> Arc<str> {
    let millis = u64::try_from(made).unwrap_or(0).checked_div(1_000).unwrap_or(0);
    let mut bytes = [0; 10];
    bytes.iter_mut().zip(once).for_each(|(byte, from)| *byte = *from);
    let uuid = Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid();
    format!("rem_{}", uuid.simple()).into()
}

/// The standing order that a remedy is: `None` where it is none. Its id is the remedy's with another beginning, so that doing
/// it twice changes nothing. It ends when the remedy does: `lasts` after it took effect, or after `now` where it has not yet.
pub fn order_of(remedy: &Remedy, now: i64) -> Option<Order> {
    let subject = remedy.target.clone()?;
    let measure = match (&remedy.action, &subject) {
        (RemedyAction::RateLimit { requests, seconds }, _) => Measure::Limit { requests: *requests, seconds: *seconds },
        (RemedyAction::BlockAddress, Subject::Network { .. })
        | (RemedyAction::TerminateSession, Subject::Session { .. })
        | (RemedyAction::SuspendUser, Subject::User { .. }) => Measure::Block,
        (RemedyAction::IsolateAgent, Subject::Agent { .. }) => Measure::Quarantine,
        (RemedyAction::TightenPolicy, _) => Measure::Tighten,
        (RemedyAction::BlockAddress | RemedyAction::TerminateSession | RemedyAction::SuspendUser, _)
        | (RemedyAction::IsolateAgent, _)
        | (RemedyAction::Monitor | RemedyAction::RevokeKey | RemedyAction::Notify { .. }, _) => return None,
    };
    let made = remedy.applied.unwrap_or(now);
    Some(Order {
        id: order_id(&remedy.id),
        subject,
        measure,
        reason: remedy.reason.as_str().into(),
        made_by: Arc::clone(&remedy.id),
        made,
        expires: ends(remedy, made),
    })
}

/// The id of a remedy's order.
pub fn order_id(remedy: &str) -> Arc<str> {
    format!("ord_{}", remedy.strip_prefix("rem_").unwrap_or(remedy)).into()
}

fn ends(remedy: &Remedy, applied: i64) -> Option<i64> {
    let seconds = i64::try_from(remedy.lasts?).unwrap_or(i64::MAX);
    Some(applied.saturating_add(seconds.saturating_mul(SECOND)))
}

/// Whether a remedy is to be tried at `now`: it waits, and its time has come.
pub fn due(remedy: &Remedy, now: i64) -> bool {
    remedy.state == RemedyState::Pending && now >= remedy.due
}

/// The remedy after it took effect. What lasts is in force until it ends; what does not is done.
///
/// # Errors
/// It is in force already, or has ended.
pub fn applied(remedy: &Remedy, now: i64) -> Result<Remedy, Refusal> {
    pending(remedy)?;
    let mut next = remedy.clone();
    next.applied = Some(now);
    next.problem = None;
    if lasts(&remedy.action) {
        next.state = RemedyState::Applied;
        next.expires = ends(remedy, now);
        next.order = order_of(remedy, now).map(|order| order.id);
    } else {
        next.state = RemedyState::Done;
    }
    Ok(next)
}

/// The remedy after a try failed: it is tried again later, or has failed for good.
///
/// # Errors
/// It is in force already, or has ended.
pub fn failed(remedy: &Remedy, problem: &str, now: i64, retry: &Retry) -> Result<Remedy, Refusal> {
    pending(remedy)?;
    let mut next = remedy.clone();
    next.failures = remedy.failures.saturating_add(1);
    next.problem = Some(problem.chars().filter(|c| !c.is_control()).take(MAX_PROBLEM).collect());
    if next.failures >= retry.tries || now.saturating_sub(remedy.made) >= retry.give_up_after {
        next.state = RemedyState::Failed;
    } else {
        next.due = now.saturating_add(backoff(&remedy.id, next.failures, retry));
    }
    Ok(next)
}

/// The remedy after it turned out that it cannot be done at all: no try helps.
///
/// # Errors
/// It is in force already, or has ended.
pub fn impossible(remedy: &Remedy, problem: &str, now: i64) -> Result<Remedy, Refusal> {
    failed(remedy, problem, now, &Retry { first: 0, longest: 0, tries: 0, give_up_after: 0 })
}

/// The wait after so many failures, in microseconds: doubled each time, up to a quarter shorter by the remedy's id, so that
/// those that failed together do not come again together.
pub fn backoff(id: &str, failures: u32, retry: &Retry) -> i64 {
    let doubled = 1_i64.checked_shl(failures.saturating_sub(1).min(40)).unwrap_or(i64::MAX);
    let wait = retry.first.max(0).saturating_mul(doubled).min(retry.longest.max(0));
    let digest = Sha256::digest(format!("{id}\n{failures}"));
    let part = digest.first().copied().map_or(0, i64::from);
    wait.saturating_sub(wait.checked_div(1024).unwrap_or(0).saturating_mul(part))
}

/// The remedy after somebody undid it.
///
/// # Errors
/// It cannot be undone, is not in force, or has ended.
pub fn undone(remedy: &Remedy, by: &str) -> Result<Remedy, Refusal> {
    match remedy.state {
        RemedyState::Applied if remedy.action.reversible() => {}
        RemedyState::Applied | RemedyState::Done if !remedy.action.reversible() => return Err(Refusal::Irreversible),
        RemedyState::Pending => return Err(Refusal::NotApplied),
        RemedyState::Applied | RemedyState::Done | RemedyState::Failed | RemedyState::Undone | RemedyState::Expired => {
            return Err(Refusal::Ended);
        }
    }
    let mut next = remedy.clone();
    next.state = RemedyState::Undone;
    next.undone_by = Some(by.into());
    Ok(next)
}

/// The remedy after its time is over.
///
/// # Errors
/// It is not in force, has ended, or its time is not over.
pub fn expired(remedy: &Remedy, now: i64) -> Result<Remedy, Refusal> {
    match (remedy.state, remedy.expires) {
        (RemedyState::Applied, Some(expires)) if now >= expires => {}
        (RemedyState::Applied, _) => return Err(Refusal::NotYet),
        (RemedyState::Pending, _) => return Err(Refusal::NotApplied),
        (RemedyState::Done | RemedyState::Failed | RemedyState::Undone | RemedyState::Expired, _) => {
            return Err(Refusal::Ended);
        }
    }
    let mut next = remedy.clone();
    next.state = RemedyState::Expired;
    Ok(next)
}

fn pending(remedy: &Remedy) -> Result<(), Refusal> {
    match remedy.state {
        RemedyState::Pending => Ok(()),
        RemedyState::Applied => Err(Refusal::Applied),
        RemedyState::Done | RemedyState::Failed | RemedyState::Undone | RemedyState::Expired => Err(Refusal::Ended),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::soc::examples::{body, plan};
    use crate::types::soc::Step;

    const NOW: i64 = 1_000_000_000;
    const RETRY: Retry = Retry { first: SECOND, longest: 60 * SECOND, tries: 4, give_up_after: 3_600 * SECOND };

    fn of(action: RemedyAction, target: Option<Subject>) -> Remedy {
        let mut body = body();
        let reversible = action.reversible();
        let lasts = lasts(&action).then_some(3600);
        body.steps = vec![Step { action, target, lasts, reversible, ..body.steps[0].clone() }];
        remedies(&plan(1), &body, NOW).remove(0)
    }

    fn user() -> Option<Subject> {
        Some(Subject::User { name: "ann".into() })
    }

    fn limit() -> Remedy {
        of(RemedyAction::RateLimit { requests: 5, seconds: 120 }, user())
    }

    #[test]
    fn the_same_plan_gives_the_same_remedies_whenever_asked() {
        let (plan, mut body) = (plan(1), body());
        let second = body.steps[0].clone();
        body.steps.push(second);
        let first = remedies(&plan, &body, NOW);
        let again = remedies(&plan, &body, NOW + 99);
        let ids = |all: &[Remedy]| all.iter().map(|one| (one.id.clone(), one.once.clone())).collect::<Vec<_>>();
        assert_eq!(ids(&first), ids(&again));
        assert_ne!(first[0].once, first[1].once);
        assert_ne!(first[0].id, first[1].id);
        assert!(first[0].id.starts_with("rem_") && first[0].id.len() == 36);
        let other = Plan { hash: "0".repeat(64), ..plan };
        assert_ne!(ids(&remedies(&other, &body, NOW)), ids(&first));
    }

    #[test]
    fn orders_are_what_the_actions_say() {
        let network = Subject::Network { address: "192.0.2.7".parse().unwrap(), prefix: 32 };
        let session = Subject::Session { name: "s".into() };
        let agent = Subject::Agent { name: "bot".into() };
        let measure = |action, target| order_of(&of(action, target), NOW).map(|order| order.measure);
        let limit = RemedyAction::RateLimit { requests: 5, seconds: 120 };
        assert_eq!(measure(limit, user()), Some(Measure::Limit { requests: 5, seconds: 120 }));
        assert_eq!(measure(RemedyAction::BlockAddress, Some(network.clone())), Some(Measure::Block));
        assert_eq!(measure(RemedyAction::TerminateSession, Some(session)), Some(Measure::Block));
        assert_eq!(measure(RemedyAction::SuspendUser, user()), Some(Measure::Block));
        assert_eq!(measure(RemedyAction::IsolateAgent, Some(agent)), Some(Measure::Quarantine));
        assert_eq!(measure(RemedyAction::TightenPolicy, user()), Some(Measure::Tighten));
        assert_eq!(measure(RemedyAction::RevokeKey, Some(Subject::Key { name: "k".into() })), None);
        assert_eq!(measure(RemedyAction::Monitor, None), None);
        // An action against somebody it is not for is no order.
        assert_eq!(measure(RemedyAction::BlockAddress, user()), None);
        assert_eq!(measure(RemedyAction::SuspendUser, Some(network)), None);
        assert_eq!(measure(RemedyAction::SuspendUser, None), None);
    }

    #[test]
    fn an_order_ends_with_its_remedy_and_has_an_id_of_its_own() {
        let remedy = limit();
        let order = order_of(&remedy, NOW).unwrap();
        assert_eq!(order.expires, Some(NOW + 3600 * SECOND));
        assert_eq!(*order.id, remedy.id.replace("rem_", "ord_"));
        assert_eq!(order.made_by, remedy.id);
        let applied = applied(&remedy, NOW + 5).unwrap();
        // Asked again after a crash it gives the same order.
        assert_eq!(order_of(&applied, NOW + 99), order_of(&remedy, NOW + 5));
        assert_eq!(applied.expires, order_of(&applied, NOW).unwrap().expires);
        assert_eq!(applied.order, Some(order.id));
    }

    #[test]
    fn failures_are_retried_later_and_later_and_then_no_more() {
        let mut remedy = limit();
        let mut now = NOW;
        let mut waits = Vec::new();
        while remedy.state == RemedyState::Pending {
            remedy = failed(&remedy, "away\nnow", now, &RETRY).unwrap();
            if remedy.state == RemedyState::Pending {
                waits.push(remedy.due - now);
                assert!(!due(&remedy, remedy.due - 1) && due(&remedy, remedy.due));
                now = remedy.due;
            }
        }
        assert_eq!((remedy.state, remedy.failures, waits.len()), (RemedyState::Failed, 4, 3));
        assert_eq!(remedy.problem.as_deref(), Some("awaynow"));
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        let late = failed(&limit(), "x", NOW + RETRY.give_up_after, &RETRY).unwrap();
        assert_eq!((late.state, late.failures), (RemedyState::Failed, 1));
        assert_eq!(impossible(&limit(), "no such key", NOW).unwrap().state, RemedyState::Failed);
    }

    #[test]
    fn what_does_not_last_is_done_at_once() {
        let key = Some(Subject::Key { name: "k".into() });
        let cases = [
            (RemedyAction::Monitor, None),
            (RemedyAction::Notify { channel: "ops".into() }, None),
            (RemedyAction::RevokeKey, key),
        ];
        for (action, target) in cases {
            let done = applied(&of(action, target), NOW).unwrap();
            assert_eq!((done.state, done.expires, done.order), (RemedyState::Done, None, None));
        }
    }

    #[test]
    fn every_forbidden_transition_is_refused() {
        let fresh = limit();
        let on = applied(&fresh, NOW).unwrap();
        let end = on.expires.unwrap();
        assert_eq!(undone(&fresh, "acc_1"), Err(Refusal::NotApplied));
        assert_eq!(expired(&fresh, i64::MAX), Err(Refusal::NotApplied));
        assert_eq!(applied(&on, NOW), Err(Refusal::Applied));
        assert_eq!(failed(&on, "x", NOW, &RETRY), Err(Refusal::Applied));
        assert_eq!(expired(&on, end - 1), Err(Refusal::NotYet));
        let forever = Remedy { expires: None, ..on.clone() };
        assert_eq!(expired(&forever, i64::MAX), Err(Refusal::NotYet));
        let off = undone(&on, "acc_1").unwrap();
        assert_eq!((off.state, off.undone_by.as_deref()), (RemedyState::Undone, Some("acc_1")));
        let over = expired(&on, end).unwrap();
        let lost = impossible(&fresh, "x", NOW).unwrap();
        let done = applied(&of(RemedyAction::Monitor, None), NOW).unwrap();
        for ended in [off, over, lost, done] {
            assert!(ended.state.ended());
            assert_eq!(applied(&ended, NOW), Err(Refusal::Ended));
            assert_eq!(failed(&ended, "x", NOW, &RETRY), Err(Refusal::Ended));
            assert_eq!(undone(&ended, "acc_1"), Err(Refusal::Ended));
            assert_eq!(expired(&ended, i64::MAX), Err(Refusal::Ended));
            assert!(!due(&ended, i64::MAX));
        }
        let revoked = applied(&of(RemedyAction::RevokeKey, Some(Subject::Key { name: "k".into() })), NOW).unwrap();
        assert_eq!(undone(&revoked, "acc_1"), Err(Refusal::Irreversible));
    }

    proptest! {
        #[test]
        fn waits_are_bounded(id in "[a-z0-9]{1,12}", failures in 0_u32.., first in 0_i64..1 << 40, longest in 0_i64..1 << 40) {
            let retry = Retry { first, longest, ..RETRY };
            let wait = backoff(&id, failures, &retry);
            prop_assert!(wait >= 0 && wait <= longest);
            prop_assert_eq!(wait, backoff(&id, failures, &retry));
        }
    }
}
