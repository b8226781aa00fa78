//! Evidence: what the gateway has that shows a control at work, each piece a function that looks at what is known.

mod access;
mod work;

use super::data::Row;
use super::facts::Facts;

/// Whether something is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// It is not there.
    No,
    /// It is there in part.
    Partly,
    /// It is there.
    Yes,
}

/// What was found: whether it is shown, and the counts and settings that show it.
pub type Found = (Shown, String);

/// A piece of evidence: its name in `rules/compliance/`, what it is called, and how it is found.
pub type Evidence = (&'static str, &'static str, fn(&Facts) -> Found);

/// Every piece of evidence there is.
pub const EVIDENCE: &[Evidence] = &[
    ("audit_trail", "Audit trail is written", access::audit_trail),
    ("audit_chain_verified", "Audit trail is intact", access::audit_chain_verified),
    ("audit_retention", "Audit records are kept a year", access::audit_retention),
    ("access_reviews", "Unused accounts", access::access_reviews),
    ("admin_roles", "Separated roles", access::admin_roles),
    ("mfa_by_oidc", "Sign-in at an identity provider", access::mfa_by_oidc),
    ("sign_in_protected", "Sign-in is protected", access::sign_in_protected),
    ("callers_identified", "Callers are identified", access::callers_identified),
    ("keys_hashed", "Keys are stored as hashes", access::keys_hashed),
    ("keys_expire", "Keys expire", access::keys_expire),
    ("encryption_in_transit", "Encryption in transit", access::encryption_in_transit),
    ("content_sealed", "Stored content is sealed", work::content_sealed),
    ("content_privacy_mode", "What is kept of prompts", work::content_privacy_mode),
    ("content_reveals_logged", "Looks at content are recorded", work::content_reveals_logged),
    ("retention_in_force", "Retention is in force", work::retention_in_force),
    ("erasures_done", "Erasure of persons", work::erasures_done),
    ("pii_blocked", "Personal data are found", work::pii_blocked),
    ("secrets_blocked", "Secrets are found", work::secrets_blocked),
    ("threats_blocked", "Attacks are stopped", work::threats_blocked),
    ("answers_inspected", "Answers are inspected", work::answers_inspected),
    ("fails_closed", "Failing closed", work::fails_closed),
    ("monitoring", "Alerts are raised", work::monitoring),
    ("incidents_handled", "Incidents are handled", work::incidents_handled),
    ("people_told", "People are told", work::people_told),
    ("remedies_recorded", "Responses are carried out", work::remedies_recorded),
    ("change_log", "Changes are recorded", work::change_log),
    ("model_allow_lists", "Models and tools are restricted", work::model_allow_lists),
    ("tool_approvals", "Tool calls wait for people", work::tool_approvals),
    ("budget_controls", "Spending is limited", work::budget_controls),
    ("limits_in_force", "Rates are limited", work::limits_in_force),
    ("rules_maintained", "Rules are kept current", work::rules_maintained),
];

/// The piece with that name.
pub fn find(name: &str) -> Option<&'static Evidence> {
    EVIDENCE.iter().find(|(own, _, _)| *own == name)
}

const DAY: u64 = 86_400;

fn when(whole: bool, partly: bool) -> Shown {
    match (whole, partly) {
        (true, _) => Shown::Yes,
        (false, true) => Shown::Partly,
        (false, false) => Shown::No,
    }
}

fn records(facts: &Facts, kind: &str) -> u64 {
    facts.audit.kinds.iter().filter(|row| row.name == kind).fold(0, |sum: u64, row| sum.saturating_add(row.count))
}

fn all(rows: &[Row]) -> u64 {
    rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.count))
}

fn of(rows: &[Row], name: &str) -> u64 {
    rows.iter().filter(|row| row.name == name).fold(0, |sum: u64, row| sum.saturating_add(row.count))
}

fn days(seconds: u64) -> String {
    if seconds == 0 { "for ever".to_owned() } else { format!("{} days", seconds / DAY) }
}

#[cfg(test)]
mod tests {
    use super::access::{audit_chain_verified, encryption_in_transit};
    use super::work::{remedies_recorded, retention_in_force};
    use super::*;
    use crate::report::facts::Verified;

    #[test]
    fn every_piece_has_a_name_of_its_own_and_says_something_of_an_empty_gateway() {
        let mut names: Vec<&str> = EVIDENCE.iter().map(|(name, _, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), EVIDENCE.len());
        for (name, title, look) in EVIDENCE {
            let (_, told) = look(&Facts::default());
            assert!(!told.is_empty() && !title.is_empty(), "{name}");
        }
    }

    #[test]
    fn remedies_that_wait_or_failed_were_not_carried_out() {
        let mut facts = Facts::default();
        let row = |state: &str, count| Row { other: state.to_owned(), count, ..Row::default() };
        facts.soc.remedies =
            [("pending", 8), ("failed", 4), ("applied", 2), ("undone", 1)].map(|(s, n)| row(s, n)).into();
        assert!(
            remedies_recorded(&facts).1.starts_with("3 remedies were carried out"),
            "{:?}",
            remedies_recorded(&facts)
        );
    }

    #[test]
    fn one_way_in_clear_is_enough_to_show_encryption_in_part_only() {
        let mut facts = Facts::default();
        facts.entry.listeners = (1, 0, 0);
        facts.entry.others = vec![("Redis".to_owned(), true)];
        assert_eq!(encryption_in_transit(&facts).0, Shown::Yes);
        facts.entry.others.push(("the syslog sink siem".to_owned(), false));
        let (shown, told) = encryption_in_transit(&facts);
        assert_eq!(shown, Shown::Partly);
        assert!(told.ends_with("in clear too: the syslog sink siem"), "{told}");
    }

    #[test]
    fn what_is_wrong_is_not_shown_as_evidence() {
        let mut facts = Facts::default();
        facts.audit.verified = Verified::Broken("record 7: changed".to_owned());
        assert_eq!(audit_chain_verified(&facts).0, Shown::No);
        facts.retention.insert("content".to_owned(), 30 * DAY);
        facts.content.now = 100 * 86_400_000_000;
        facts.content.kept = vec![Row { name: "full".to_owned(), count: 1, more: 86_400_000_000, ..Row::default() }];
        assert_eq!(retention_in_force(&facts).0, Shown::No, "content is older than allowed");
        facts.content.kept[0].more = 90 * 86_400_000_000;
        assert_eq!(retention_in_force(&facts).0, Shown::Yes);
        facts.retention.insert("alerts".to_owned(), 0);
        assert_eq!(retention_in_force(&facts).0, Shown::Partly);
    }
}
