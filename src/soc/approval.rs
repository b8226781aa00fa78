//! Who may say yes or no to a plan, and what follows from what they said.
//!
//! A ruling is good for exactly the plan whose hash was seen, until it expires, once. Nobody rules on what they proposed; the
//! analyst, tokens and services rule on nothing.

use std::collections::BTreeSet;

use serde::Serialize;

use super::plan::hash;
use crate::types::AccessRole;
use crate::types::soc::{Approval, Plan, PlanState, Ruling};

/// The roles that may rule.
pub const ROLES: [AccessRole; 2] = [AccessRole::Responder, AccessRole::Admin];

/// Who wants to rule.
#[derive(Debug, Clone, Copy)]
pub struct Ruler<'a> {
    /// The id of the account.
    pub account: &'a str,
    /// What it may do.
    pub roles: &'a [AccessRole],
    /// Whether a person signed in: not an API token, not a service.
    pub is_person: bool,
    /// Whether it is the analyst.
    pub is_analyst: bool,
}

/// Why somebody may not rule on a plan, or a ruling cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The analyst never rules.
    #[error("the analyst approves nothing")]
    Analyst,
    /// A token or a service.
    #[error("only a person who is signed in may rule on a plan")]
    NotAPerson,
    /// The account lacks the role.
    #[error("the roles responder and admin may rule on a plan")]
    WrongRole,
    /// It is their own.
    #[error("nobody rules on a plan that they proposed")]
    Proposer,
    /// The plan was refused, or denied by somebody.
    #[error("the plan was refused")]
    Refused,
    /// The plan's time is over.
    #[error("the plan has expired")]
    Expired,
    /// Nothing is asked: not verified yet, approved already, or carried out.
    #[error("the plan does not wait for approval")]
    NotWaiting,
    /// The plan is not what was seen.
    #[error("the plan is not the one that was seen: look at it again")]
    Edited,
    /// The account has ruled, and that still counts.
    #[error("this account has ruled on the plan already")]
    AlreadyRuled,
    /// The ruling is about another plan.
    #[error("the approval is for another plan")]
    OtherPlan,
    /// The ruling has been used.
    #[error("the approval was used already")]
    Used,
    /// The ruling's time is over.
    #[error("the approval has expired")]
    Stale,
}

impl Refusal {
    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::Analyst,
        Self::NotAPerson,
        Self::WrongRole,
        Self::Proposer,
        Self::Refused,
        Self::Expired,
        Self::NotWaiting,
        Self::Edited,
        Self::AlreadyRuled,
        Self::OtherPlan,
        Self::Used,
        Self::Stale,
    ];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Analyst => "analyst",
            Self::NotAPerson => "not_a_person",
            Self::WrongRole => "wrong_role",
            Self::Proposer => "proposer",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::NotWaiting => "not_waiting",
            Self::Edited => "edited",
            Self::AlreadyRuled => "already_ruled",
            Self::OtherPlan => "other_plan",
            Self::Used => "used",
            Self::Stale => "stale",
        }
    }
}

/// What the rulings on a plan come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// So many people are still needed.
    Wait {
        /// At least 1.
        left: u8,
    },
    /// It may be carried out.
    Go,
    /// Somebody said no, or it was refused.
    Denied,
    /// Its time is over.
    Expired,
}

/// What a ruling's signature is over, in this order. A change of it is another version.
#[derive(Serialize)]
struct Signed<'a> {
    version: &'static str,
    id: &'a str,
    plan: &'a str,
    hash: &'a str,
    account: &'a str,
    ruling: Ruling,
    reason: &'a str,
    at: i64,
    expires: i64,
}

/// The text that a ruling's signature is over: everything of it that matters, in one order, as JSON without blanks.
pub fn signed_text(approval: &Approval) -> String {
    let signed = Signed {
        version: "portcullis-approval-v1",
        id: &approval.id,
        plan: &approval.plan,
        hash: &approval.hash,
        account: &approval.account,
        ruling: approval.ruling,
        reason: &approval.reason,
        at: approval.at,
        expires: approval.expires,
    };
    // Texts and numbers with names for keys: there is nothing in it that JSON cannot say.
    serde_json::to_string(&signed).unwrap_or_default()
}

/// Whether this account may rule on this plan now, having seen `seen`. Gives until when the ruling counts: `lifetime`
/// microseconds, and no longer than the plan.
///
/// # Errors
/// The first reason why not, those about the account first.
pub fn may_rule(
    plan: &Plan,
    approvals: &[Approval],
    ruler: &Ruler<'_>,
    seen: &str,
    now: i64,
    lifetime: i64,
) -> Result<i64, Refusal> {
    if ruler.is_analyst || ruler.account == "analyst" {
        return Err(Refusal::Analyst);
    }
    if !ruler.is_person || ruler.account.is_empty() {
        return Err(Refusal::NotAPerson);
    }
    if !ruler.roles.iter().any(|role| ROLES.contains(role)) {
        return Err(Refusal::WrongRole);
    }
    if *plan.proposer == *ruler.account {
        return Err(Refusal::Proposer);
    }
    match plan.state {
        PlanState::Refused => return Err(Refusal::Refused),
        PlanState::Expired => return Err(Refusal::Expired),
        PlanState::Proposed | PlanState::Approved | PlanState::Carried => return Err(Refusal::NotWaiting),
        PlanState::Waiting => {}
    }
    if now >= plan.expires {
        return Err(Refusal::Expired);
    }
    if seen != plan.hash || hash(&plan.body) != plan.hash {
        return Err(Refusal::Edited);
    }
    match outcome(plan, approvals, now) {
        Outcome::Denied => return Err(Refusal::Refused),
        Outcome::Expired => return Err(Refusal::Expired),
        Outcome::Go => return Err(Refusal::NotWaiting),
        Outcome::Wait { .. } => {}
    }
    if approvals.iter().any(|approval| *approval.account == *ruler.account && counts(plan, approval, now).is_ok()) {
        return Err(Refusal::AlreadyRuled);
    }
    Ok(now.saturating_add(lifetime.max(0)).min(plan.expires))
}

/// Whether a ruling counts for this plan now.
///
/// # Errors
/// Why it does not: it is for another plan, for other bytes, its maker's own, used, or expired.
pub fn counts(plan: &Plan, approval: &Approval, now: i64) -> Result<(), Refusal> {
    if approval.plan != plan.id {
        return Err(Refusal::OtherPlan);
    }
    if approval.hash != plan.hash || hash(&plan.body) != plan.hash {
        return Err(Refusal::Edited);
    }
    if approval.account == plan.proposer {
        return Err(Refusal::Proposer);
    }
    if &*approval.account == "analyst" {
        return Err(Refusal::Analyst);
    }
    if approval.used.is_some() {
        return Err(Refusal::Used);
    }
    // A no does not wear off.
    if approval.ruling == Ruling::Approve && now >= approval.expires {
        return Err(Refusal::Stale);
    }
    Ok(())
}

/// What the rulings on a plan come to at `now`, Unix time in microseconds. One no is a no; the same account counts once; what
/// is expired, used, or for other bytes counts for nothing.
pub fn outcome(plan: &Plan, approvals: &[Approval], now: i64) -> Outcome {
    let counted = || approvals.iter().filter(|approval| counts(plan, approval, now).is_ok());
    if plan.state == PlanState::Refused || counted().any(|approval| approval.ruling == Ruling::Deny) {
        return Outcome::Denied;
    }
    if hash(&plan.body) != plan.hash {
        return Outcome::Denied;
    }
    if plan.state == PlanState::Expired || now >= plan.expires {
        return Outcome::Expired;
    }
    let people: BTreeSet<&str> = counted().map(|approval| &*approval.account).collect();
    let left = usize::from(plan.needed).saturating_sub(people.len());
    match u8::try_from(left).unwrap_or(u8::MAX) {
        0 => Outcome::Go,
        left => Outcome::Wait { left },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::soc::examples::{approval, plan};

    const NOW: i64 = 1_000_000;
    const LIFETIME: i64 = 500;

    fn ruler(account: &str) -> Ruler<'_> {
        Ruler { account, roles: &[AccessRole::Responder], is_person: true, is_analyst: false }
    }

    fn asks(plan: &Plan, approvals: &[Approval], ruler: Ruler<'_>) -> Result<i64, Refusal> {
        may_rule(plan, approvals, &ruler, &plan.hash, NOW, LIFETIME)
    }

    #[test]
    fn a_person_with_the_role_may_rule_and_the_ruling_ends_with_the_plan() {
        let mut plan = plan(2);
        assert_eq!(asks(&plan, &[], ruler("acc_1")), Ok(NOW + LIFETIME));
        assert_eq!(asks(&plan, &[], Ruler { roles: &[AccessRole::Admin], ..ruler("acc_1") }), Ok(NOW + LIFETIME));
        assert_eq!(asks(&plan, &[approval(&plan, "acc_2", Ruling::Approve)], ruler("acc_1")), Ok(NOW + LIFETIME));
        plan.expires = NOW + 1;
        assert_eq!(asks(&plan, &[], ruler("acc_1")), Ok(NOW + 1));
    }

    #[test]
    fn every_forbidden_transition_is_refused() {
        let waiting = plan(2);
        let refused = |change: &dyn Fn(&mut Plan)| {
            let mut plan = waiting.clone();
            change(&mut plan);
            asks(&plan, &[], ruler("acc_1")).unwrap_err()
        };
        let by = |ruler: Ruler<'_>| asks(&waiting, &[], ruler).unwrap_err();
        assert_eq!(by(Ruler { is_analyst: true, ..ruler("acc_1") }), Refusal::Analyst);
        assert_eq!(by(ruler("analyst")), Refusal::Analyst);
        assert_eq!(by(Ruler { is_person: false, ..ruler("acc_1") }), Refusal::NotAPerson);
        assert_eq!(by(ruler("")), Refusal::NotAPerson);
        assert_eq!(by(Ruler { roles: &[], ..ruler("acc_1") }), Refusal::WrongRole);
        let others = [AccessRole::Viewer, AccessRole::Analyst, AccessRole::Auditor];
        assert_eq!(by(Ruler { roles: &others, ..ruler("acc_1") }), Refusal::WrongRole);
        assert_eq!(refused(&|plan| plan.proposer = "acc_1".into()), Refusal::Proposer);
        assert_eq!(refused(&|plan| plan.state = PlanState::Refused), Refusal::Refused);
        assert_eq!(refused(&|plan| plan.state = PlanState::Expired), Refusal::Expired);
        assert_eq!(refused(&|plan| plan.expires = NOW), Refusal::Expired);
        for state in [PlanState::Proposed, PlanState::Approved, PlanState::Carried] {
            assert_eq!(refused(&|plan| plan.state = state), Refusal::NotWaiting);
        }
        assert_eq!(refused(&|plan| plan.needed = 0), Refusal::NotWaiting);
        assert_eq!(refused(&|plan| plan.body.push(' ')), Refusal::Edited);
        let seen = may_rule(&waiting, &[], &ruler("acc_1"), &hash("another"), NOW, LIFETIME);
        assert_eq!(seen, Err(Refusal::Edited));
        for ruling in [Ruling::Approve, Ruling::Deny] {
            let own = approval(&waiting, "acc_1", ruling);
            let expected = if ruling == Ruling::Approve { Refusal::AlreadyRuled } else { Refusal::Refused };
            assert_eq!(asks(&waiting, &[own], ruler("acc_1")), Err(expected));
        }
        let denied = [approval(&waiting, "acc_2", Ruling::Deny)];
        assert_eq!(asks(&waiting, &denied, ruler("acc_1")), Err(Refusal::Refused));
        let enough = [approval(&waiting, "acc_2", Ruling::Approve), approval(&waiting, "acc_3", Ruling::Approve)];
        assert_eq!(asks(&waiting, &enough, ruler("acc_1")), Err(Refusal::NotWaiting));
    }

    #[test]
    fn a_ruling_that_does_not_count_is_named() {
        let plan = plan(1);
        let good = approval(&plan, "acc_1", Ruling::Approve);
        let why = |change: &dyn Fn(&mut Approval)| {
            let mut approval = good.clone();
            change(&mut approval);
            let refusal = counts(&plan, &approval, NOW).unwrap_err();
            assert_eq!(outcome(&plan, &[approval], NOW), Outcome::Wait { left: 1 }, "{refusal}");
            refusal
        };
        assert_eq!(outcome(&plan, std::slice::from_ref(&good), NOW), Outcome::Go);
        assert_eq!(why(&|approval| approval.plan = "pln_2".into()), Refusal::OtherPlan);
        assert_eq!(why(&|approval| approval.hash = hash("x")), Refusal::Edited);
        assert_eq!(why(&|approval| approval.account = plan.proposer.clone()), Refusal::Proposer);
        assert_eq!(why(&|approval| approval.used = Some(NOW - 1)), Refusal::Used);
        assert_eq!(why(&|approval| approval.expires = NOW), Refusal::Stale);
        // After its time the account may rule again.
        let stale = Approval { expires: NOW, ..good.clone() };
        assert_eq!(asks(&plan, &[stale], ruler("acc_1")), Ok(NOW + LIFETIME));
        let mut other = plan.clone();
        other.proposer = "acc_9".into();
        let analyst = Approval { account: "analyst".into(), ..good };
        assert_eq!(counts(&other, &analyst, NOW), Err(Refusal::Analyst));
    }

    #[test]
    fn an_edited_plan_never_goes() {
        let mut plan = plan(1);
        let yes = approval(&plan, "acc_1", Ruling::Approve);
        plan.body = plan.body.replace("limit", "block");
        assert_eq!(outcome(&plan, std::slice::from_ref(&yes), NOW), Outcome::Denied);
        plan.needed = 0;
        assert_eq!(outcome(&plan, &[], NOW), Outcome::Denied);
        plan.hash = hash(&plan.body);
        plan.needed = 1;
        assert_eq!(outcome(&plan, &[yes], NOW), Outcome::Wait { left: 1 });
    }

    #[test]
    fn one_no_is_a_no_and_time_ends_it() {
        let mut plan = plan(1);
        let yes = approval(&plan, "acc_1", Ruling::Approve);
        let no = Approval { expires: 1, ..approval(&plan, "acc_2", Ruling::Deny) };
        assert_eq!(outcome(&plan, &[yes.clone(), no.clone()], NOW), Outcome::Denied);
        assert_eq!(outcome(&plan, &[no], NOW), Outcome::Denied);
        plan.expires = NOW;
        assert_eq!(outcome(&plan, &[yes], NOW), Outcome::Expired);
        plan.needed = 0;
        assert_eq!(outcome(&plan, &[], NOW), Outcome::Expired);
        plan.expires = NOW + 1;
        assert_eq!(outcome(&plan, &[], NOW), Outcome::Go);
    }

    #[test]
    fn what_is_signed_is_everything_in_one_order() {
        let mut plan = plan(1);
        plan.id = "pln_1".into();
        let mut approval = approval(&plan, "acc_1", Ruling::Approve);
        approval.hash = "00ff".into();
        approval.reason = "yes\",\"at\":1\n".into();
        let text = signed_text(&approval);
        assert_eq!(
            text,
            "{\"version\":\"portcullis-approval-v1\",\"id\":\"apr_acc_1\",\"plan\":\"pln_1\",\"hash\":\"00ff\",\
             \"account\":\"acc_1\",\"ruling\":\"approve\",\"reason\":\"yes\\\",\\\"at\\\":1\\n\",\"at\":900000,\
             \"expires\":2000000}"
        );
        let differs = |change: &dyn Fn(&mut Approval)| {
            let mut changed = approval.clone();
            change(&mut changed);
            signed_text(&changed) != text
        };
        assert!(differs(&|approval| approval.ruling = Ruling::Deny));
        assert!(differs(&|approval| approval.account = "acc_2".into()));
        assert!(differs(&|approval| approval.at += 1));
        assert!(differs(&|approval| approval.expires += 1));
        assert!(differs(&|approval| approval.plan = "pln_2".into()));
        assert!(differs(&|approval| approval.hash = "00fe".into()));
        assert!(differs(&|approval| approval.id = "apr_2".into()));
        // What is not part of what was said.
        assert!(!differs(&|approval| approval.used = Some(1)));
    }

    fn rulings() -> impl Strategy<Value = Vec<(u8, bool, bool, bool, u8)>> {
        prop::collection::vec((0_u8..5, any::<bool>(), any::<bool>(), any::<bool>(), 0_u8..4), 0..8)
    }

    fn made(plan: &Plan, rulings: &[(u8, bool, bool, bool, u8)]) -> Vec<Approval> {
        let one = |(account, deny, expired, used, about): &(u8, bool, bool, bool, u8)| {
            let ruling = if *deny && *about == 0 { Ruling::Deny } else { Ruling::Approve };
            let mut approval = approval(plan, &format!("acc_{account}"), ruling);
            approval.expires = if *expired { NOW } else { NOW + 1 };
            approval.used = used.then_some(NOW - 1);
            if *about == 1 {
                approval.plan = "pln_other".into();
            }
            if *about == 2 {
                approval.hash = hash("other");
            }
            approval
        };
        rulings.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn the_outcome_is_what_different_people_said(rulings in rulings(), needed in 0_u8..4) {
            let plan = Plan { proposer: "acc_0".into(), ..plan(needed) };
            let approvals = made(&plan, &rulings);
            let good: Vec<_> = approvals.iter().filter(|one| counts(&plan, one, NOW).is_ok()).collect();
            let people: BTreeSet<_> = good.iter().map(|one| &one.account).collect();
            let outcome = outcome(&plan, &approvals, NOW);
            if good.iter().any(|one| one.ruling == Ruling::Deny) {
                prop_assert_eq!(outcome, Outcome::Denied);
            } else if people.len() >= usize::from(needed) {
                prop_assert_eq!(outcome, Outcome::Go);
            } else {
                prop_assert_eq!(outcome, Outcome::Wait { left: needed - u8::try_from(people.len()).unwrap() });
            }
            prop_assert!(!people.contains(&plan.proposer));
        }

        #[test]
        fn neither_order_nor_repetition_changes_the_outcome(rulings in rulings(), needed in 0_u8..4) {
            let plan = plan(needed);
            let mut approvals = made(&plan, &rulings);
            let before = outcome(&plan, &approvals, NOW);
            approvals.reverse();
            let again = approvals.clone();
            approvals.extend(again);
            prop_assert_eq!(outcome(&plan, &approvals, NOW), before);
        }

        #[test]
        fn one_more_approval_never_turns_a_plan_back(rulings in rulings(), needed in 0_u8..4) {
            let plan = plan(needed);
            let mut approvals = made(&plan, &rulings);
            let before = outcome(&plan, &approvals, NOW);
            approvals.push(approval(&plan, "acc_more", Ruling::Approve));
            let after = outcome(&plan, &approvals, NOW);
            let fine = match (before, after) {
                (Outcome::Wait { left }, Outcome::Wait { left: now }) => now + 1 == left,
                (Outcome::Wait { left }, Outcome::Go) => left == 1,
                (before, after) => before == after,
            };
            prop_assert!(fine, "{:?} {:?}", before, after);
        }
    }
}
