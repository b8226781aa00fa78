//! Evidence about content, inspection, the security operations centre and limits.

use super::{DAY, Found, Shown, all, days, of, records, when};
use crate::report::data::{Row, Soc};
use crate::report::facts::Facts;
use crate::report::say::{count, day, lasts, many};

fn kept(facts: &Facts) -> u64 {
    of(&facts.content.kept, "full").saturating_add(of(&facts.content.kept, "masked"))
}

pub(super) fn content_sealed(facts: &Facts) -> Found {
    let kept = kept(facts);
    if facts.content.sealed {
        return (
            Shown::Yes,
            format!(
                "content is sealed with a key that is not in the store; {}",
                many(kept, "text is kept", "texts are kept")
            ),
        );
    }
    let told =
        format!("no key for content is set (store.content_key_env); {}", many(kept, "text is kept", "texts are kept"));
    (
        when(kept == 0 && facts.content.policies.iter().all(|(_, mode)| mode == "none" || mode == "hash_only"), false),
        told,
    )
}

pub(super) fn content_privacy_mode(facts: &Facts) -> Found {
    let policies = &facts.content.policies;
    let by = |mode: &str| u64::try_from(policies.iter().filter(|(_, own)| own == mode).count()).unwrap_or(u64::MAX);
    let told = format!(
        "what is kept of prompts and answers, by policy: nothing {}, a hash {}, masked {}, in full {}",
        by("none"),
        by("hash_only"),
        by("masked"),
        by("full")
    );
    (when(by("full") == 0, by("full") < all_policies(facts)), told)
}

fn all_policies(facts: &Facts) -> u64 {
    u64::try_from(facts.content.policies.len()).unwrap_or(u64::MAX)
}

pub(super) fn content_reveals_logged(facts: &Facts) -> Found {
    let reveals = records(facts, "content_reveal");
    let told = format!(
        "whoever looks at stored content is recorded first, with the reason given; {} in the period",
        many(reveals, "look", "looks")
    );
    (when(facts.admin.enabled, false), told)
}

pub(super) fn retention_in_force(facts: &Facts) -> Found {
    let kept = |what: &str| facts.retention.get(what).copied().unwrap_or(0);
    let endless: Vec<&str> =
        facts.retention.iter().filter(|(_, seconds)| **seconds == 0).map(|(what, _)| what.as_str()).collect();
    let oldest = facts.content.kept.iter().filter(|row| row.more > 0).map(|row| row.more).min();
    // What is due is removed now and then: a day late is no fault.
    let late = oldest.is_some_and(|oldest| {
        let age = facts.content.now.unsigned_abs().saturating_sub(oldest) / 1_000_000;
        kept("content") > 0 && age > kept("content").saturating_add(DAY)
    });
    let mut told = format!(
        "requests are kept {}, content {}, the ledger {}",
        days(kept("requests")),
        days(kept("content")),
        days(kept("ledger"))
    );
    if let Some(oldest) = oldest {
        told.push_str(&format!("; the oldest content is of {}", day(i64::try_from(oldest).unwrap_or(i64::MAX))));
    }
    if !endless.is_empty() {
        told.push_str(&format!("; kept for ever: {}", endless.join(", ")));
    }
    if late {
        told.push_str("; content is OLDER than allowed");
    }
    told.push_str(&format!("; {} recorded", many(records(facts, "retention"), "removal", "removals")));
    (when(endless.is_empty() && !late, !late && kept("content") > 0), told)
}

pub(super) fn erasures_done(facts: &Facts) -> Found {
    let erasures = records(facts, "erasure");
    let told = format!(
        "a person can be erased on request, and the erasure is recorded; {} in the period",
        many(erasures, "erasure", "erasures")
    );
    (when(facts.admin.enabled, false), told)
}

/// What families find, and whether anything is done about it.
fn found(facts: &Facts, families: &[&str], what: &str) -> Found {
    let rules = families.iter().filter_map(|family| facts.inspect.rules_of.get(*family)).sum::<u64>();
    let findings = families.iter().map(|family| of(&facts.families, family)).sum::<u64>();
    let requests = facts
        .families
        .iter()
        .filter(|row| families.contains(&row.name.as_str()))
        .fold(0_u64, |sum, row| sum.saturating_add(row.more));
    let (lax, policies) = facts.inspect.lax;
    let told = format!(
        "{} for {what}; {} in {} in the period; {} of {} enforce verdicts",
        many(rules, "rule", "rules"),
        many(findings, "finding", "findings"),
        many(requests, "request", "requests"),
        count(policies.saturating_sub(lax)),
        many(policies, "policy", "policies")
    );
    (when(rules > 0 && lax == 0, rules > 0 && facts.inspect.mode != "off"), told)
}

pub(super) fn pii_blocked(facts: &Facts) -> Found {
    found(facts, &["privacy"], "personal, health and financial data")
}

pub(super) fn secrets_blocked(facts: &Facts) -> Found {
    found(facts, &["secrets", "secret_extraction"], "keys, tokens and passwords")
}

pub(super) fn threats_blocked(facts: &Facts) -> Found {
    let (lax, policies) = facts.inspect.lax;
    let told = format!(
        "{} of {} blocked, {} redacted, {} flagged; {} in force; {} of {} enforce verdicts",
        count(of(&facts.decisions, "block")),
        many(all(&facts.decisions), "request", "requests"),
        count(of(&facts.decisions, "redact")),
        count(of(&facts.decisions, "flag")),
        many(facts.inspect.rules, "rule", "rules"),
        count(policies.saturating_sub(lax)),
        many(policies, "policy", "policies")
    );
    (when(lax == 0 && facts.inspect.rules > 0, facts.inspect.rules > 0 && facts.inspect.mode != "off"), told)
}

pub(super) fn answers_inspected(facts: &Facts) -> Found {
    let outputs = facts.actions.iter().filter(|row| row.other == "output");
    let findings = outputs.fold(0_u64, |sum, row| sum.saturating_add(row.count));
    let told = format!(
        "answers are {}inspected while they stream; {} in answers in the period",
        if facts.inspect.answers { "" } else { "NOT " },
        many(findings, "finding", "findings")
    );
    (when(facts.inspect.answers && facts.inspect.mode == "enforce", facts.inspect.answers), told)
}

pub(super) fn fails_closed(facts: &Facts) -> Found {
    let inspect = &facts.inspect;
    let told = format!(
        "when inspection fails nothing {}; what cannot be inspected is {}",
        if inspect.closed { "passes" } else { "is stopped" },
        if inspect.uninspected_passes { "passed on and counted" } else { "refused" }
    );
    (when(inspect.closed && !inspect.uninspected_passes, inspect.closed), told)
}

pub(super) fn monitoring(facts: &Facts) -> Found {
    let told = format!(
        "the security operations centre is {}; {} and {} raised in the period",
        if facts.soc_enabled { "on" } else { "OFF" },
        many(all(&facts.soc.alerts), "alert", "alerts"),
        many(all(&facts.soc.incidents), "incident", "incidents")
    );
    (when(facts.soc_enabled, false), told)
}

fn handled(soc: &Soc) -> (u64, u64, u64) {
    let incidents = all(&soc.incidents);
    let by = |state: &str| {
        soc.incidents.iter().filter(|row| row.other == state).fold(0_u64, |sum, row| sum.saturating_add(row.count))
    };
    (incidents, by("open"), by("closed"))
}

pub(super) fn incidents_handled(facts: &Facts) -> Found {
    let (incidents, open, closed) = handled(&facts.soc);
    let mean = |row: &Row| if row.count == 0 { "-".to_owned() } else { lasts(row.more) };
    let told = format!(
        "{} in the period: {} closed, {} that nobody has looked at; mean time to acknowledge {}, to resolve {}",
        many(incidents, "incident", "incidents"),
        count(closed),
        count(open),
        mean(&facts.soc.acknowledged),
        mean(&facts.soc.resolved)
    );
    (when(facts.soc_enabled && open == 0, facts.soc_enabled && open < incidents), told)
}

pub(super) fn people_told(facts: &Facts) -> Found {
    let told =
        format!("{} configured for incidents", many(facts.channels, "channel to people is", "channels to people are"));
    (when(facts.channels > 0, false), told)
}

pub(super) fn remedies_recorded(facts: &Facts) -> Found {
    // What waits or failed was not carried out; what was undone or ended by itself was, before.
    let carried = |row: &&Row| matches!(row.other.as_str(), "applied" | "done" | "undone" | "expired");
    let remedies = facts.soc.remedies.iter().filter(carried).fold(0_u64, |sum, row| sum.saturating_add(row.count));
    let told = format!(
        "{} carried out in the period; {} and {} recorded",
        many(remedies, "remedy was", "remedies were"),
        many(records(facts, "approval"), "approval", "approvals"),
        many(records(facts, "action"), "action", "actions")
    );
    (when(facts.soc_enabled, false), told)
}

pub(super) fn change_log(facts: &Facts) -> Found {
    let kinds = ["config_change", "account", "key_operation", "order"];
    let changes = kinds.iter().fold(0_u64, |sum, kind| sum.saturating_add(records(facts, kind)));
    let told = format!(
        "every change over the admin API is recorded before it is made, and configuration that is loaded too; {} in the period",
        many(changes, "change", "changes")
    );
    (when(facts.admin.enabled, all(&facts.audit.kinds) > 0), told)
}

pub(super) fn model_allow_lists(facts: &Facts) -> Found {
    let all = all_policies(facts);
    let told = format!(
        "{} of {} say which models or tools may be used",
        count(facts.allow_lists),
        many(all, "policy", "policies")
    );
    (when(all > 0 && facts.allow_lists == all, facts.allow_lists > 0), told)
}

pub(super) fn tool_approvals(facts: &Facts) -> Found {
    let (some, all) = facts.tool_approvals;
    let told =
        format!("under {} of {} calls of some tools wait for a person", count(some), many(all, "policy", "policies"));
    (when(all > 0 && some == all, some > 0), told)
}

pub(super) fn budget_controls(facts: &Facts) -> Found {
    (when(facts.budgets > 0, false), format!("{} configured", many(facts.budgets, "budget is", "budgets are")))
}

pub(super) fn limits_in_force(facts: &Facts) -> Found {
    let told =
        if facts.limited { "rates or concurrency of callers are limited" } else { "no rate of callers is limited" };
    (when(facts.limited, false), told.to_owned())
}

pub(super) fn rules_maintained(facts: &Facts) -> Found {
    let (enabled, reports, live) = facts.learning;
    let told = format!(
        "{} in force, each with its own test cases; learning is {}; {} of what was judged wrongly in the period; {} in force",
        many(facts.inspect.rules, "rule", "rules"),
        if enabled { "on" } else { "off" },
        many(reports, "report", "reports"),
        many(live, "learned proposal", "learned proposals")
    );
    (when(facts.inspect.rules > 0 && enabled, facts.inspect.rules > 0), told)
}
