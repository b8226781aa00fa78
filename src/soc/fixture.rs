//! Made-up events for tests.

use std::sync::Arc;

use super::alert::{Draft, blank, fold_key};
use crate::types::{
    Action, Alarm, AlarmKind, Caller, Decision, Event, Evidence, Factors, Family, Finding, Generation, Outcome,
    Recommendation, Record, ReloadOutcome, RequestId, RuleId, RuleSetHash, Severity, SpanIndex, Verdict,
};

/// A second in microseconds.
pub(super) const SECOND: i64 = 1_000_000;

pub(crate) fn caller(user: &str) -> Caller {
    Caller { user: Some(user.into()), tenant: Some("acme".into()), ..Caller::default() }
}

pub(crate) fn finding(family: Family, severity: Severity) -> Finding {
    Finding {
        rule: RuleId(format!("PC-{}", family.name()).into()),
        title: format!("found {}", family.name()).into(),
        family,
        severity,
        score: 5.0,
        action: Action::Block,
        threats: vec![Arc::from("LLM01:2026"), Arc::from("AML.T0051.000")].into(),
        evidence: Evidence { span: SpanIndex(1), start: 2, end: 9 },
        doubts: Vec::new(),
    }
}

pub(crate) fn verdict(decision: Decision, risk: f32, findings: Vec<Finding>) -> Verdict {
    Verdict {
        decision,
        risk,
        false_positive: 0.1,
        recommended: Recommendation::Block,
        factors: Factors { content: risk, ..Factors::default() },
        findings,
        steps: Vec::new(),
        rule_set: RuleSetHash("".into()),
    }
}

pub(crate) fn record(user: &str) -> Record {
    let mut record = Record::new(100 * SECOND, RequestId("req_1".into()), Generation(1));
    record.caller = caller(user);
    record.model = Some("gpt-x".into());
    record.path = "/v1/chat/completions".into();
    record.policy = Some("production".into());
    record.outcome = Outcome::Served;
    record
}

/// A prompt in which `family` was found and that was blocked.
pub(crate) fn blocked(family: Family, severity: Severity) -> Record {
    Record {
        outcome: Outcome::PromptBlocked,
        reason: Some("content_filter"),
        status: 400,
        decision: Decision::Block,
        input: Some(verdict(Decision::Block, 0.9, vec![finding(family, severity)])),
        ..record("ann")
    }
}

/// An answer in which `family` was found.
pub(crate) fn answered(family: Family, severity: Severity, judged: Decision, enforced: Decision) -> Record {
    Record { decision: enforced, output: Some(verdict(judged, 0.3, vec![finding(family, severity)])), ..record("ann") }
}

/// A prompt in which `family` was found and that was let through.
pub(crate) fn flagged(family: Family, severity: Severity, judged: Decision, risk: f32) -> Record {
    Record {
        decision: Decision::Flag,
        input: Some(verdict(judged, risk, vec![finding(family, severity)])),
        ..record("ann")
    }
}

pub(crate) fn refused(reason: &'static str) -> Record {
    Record { outcome: Outcome::Refused, reason: Some(reason), status: 403, ..record("ann") }
}

pub(crate) fn event(record: Record) -> Event {
    Event::Request(Box::new(record))
}

pub(crate) fn alarm(kind: AlarmKind) -> Event {
    Event::Alarm(Box::new(Alarm {
        time: 7 * SECOND,
        kind,
        caller: caller("ann"),
        request: Some(RequestId("req_9".into())),
        message: "spent $5 where $1 is usual".into(),
    }))
}

pub(crate) fn reload(problems: usize) -> Event {
    Event::Reload(ReloadOutcome {
        trigger: "watch".into(),
        generation: Generation(4),
        problems: vec!["gateway.toml:3: secret words".into(); problems],
        warnings: Vec::new(),
    })
}

/// An alert of `rule` about a user, without an id.
pub(crate) fn draft(rule: &str, user: &str, severity: Severity, family: Option<Family>, time: i64) -> Draft {
    let mut draft = blank(rule, rule, severity, time, caller(user));
    draft.family = family;
    draft.verdict.risk = 0.5;
    draft.verdict.false_positive = 10;
    draft.fold = fold_key(&draft);
    draft
}
