//! Rows for tests.

use std::sync::Arc;

use portcullis::store::{EventRow, Item, RequestRow, Tokens};
use portcullis::types::{
    Action, Caller, Decision, Evidence, Family, Finding, Generation, Record, RequestId, RuleId, RuleSetHash, Severity,
    SpanIndex, Usage, Verdict,
};

/// Monday, 2 March 2026, 00:00 UTC, in microseconds.
pub const MONDAY: i64 = 1_772_409_600_000_000;
pub const HOUR: i64 = 3_600_000_000;
pub const DAY: i64 = 24 * HOUR;

/// A request of a user that used some tokens.
pub fn request(id: &str, time: i64, user: &str) -> Record {
    let mut record = Record::new(time, RequestId(id.to_owned()), Generation(3));
    record.caller = Caller {
        address: Some("192.0.2.7".parse().unwrap()),
        tenant: Some("acme".into()),
        team: Some("blue".into()),
        key: Some("key_1".into()),
        user: Some(user.into()),
        session: Some("talk".into()),
        ..Caller::default()
    };
    record.method = "POST".into();
    record.path = "/v1/chat/completions".into();
    record.model = Some("gpt-5".to_owned());
    record.status = 200;
    record.usage = Some(Usage { input: 100, cached: 10, output: 20, reasoning: 5 });
    record.cost = Some(1_000);
    record
}

/// A verdict with one finding.
pub fn verdict(rule: &str) -> Verdict {
    Verdict {
        decision: Decision::Flag,
        risk: 0.5,
        false_positive: 0.0,
        recommended: portcullis::types::Recommendation::default(),
        factors: portcullis::types::Factors::default(),
        findings: vec![Finding {
            rule: RuleId(rule.into()),
            title: "A rule".into(),
            family: Family::Jailbreak,
            severity: Severity::High,
            score: 2.5,
            action: Action::Flag,
            threats: Arc::from([Arc::from("LLM01:2025"), Arc::from("AML.T0054")]),
            evidence: Evidence { span: SpanIndex(1), start: 4, end: 9 },
            doubts: Vec::new(),
        }],
        steps: Vec::new(),
        rule_set: RuleSetHash("abc".into()),
    }
}

/// A small row, for many of them.
pub fn plain(id: String, time: i64, cost: u64) -> RequestRow {
    RequestRow {
        id,
        time,
        tenant: Some("acme".into()),
        team: Some("blue".into()),
        outcome: "served".into(),
        decision: "allow".into(),
        tokens: Some(Tokens { input: 10, cached: 0, output: 5, reasoning: 0 }),
        cost: Some(cost),
        record: "{}".into(),
        ..RequestRow::default()
    }
}

/// An alert.
pub fn alert(id: impl Into<String>) -> Item {
    Item::Event(EventRow {
        id: id.into(),
        time: MONDAY,
        kind: "alert".into(),
        request: None,
        user: None,
        body: "{}".to_owned(),
    })
}
