//! What is sent: one entry of a source, ready for every kind of sink. Carries no content unless it was attached.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ocsf;
use crate::config::export_settings::ExportKind;
use crate::control::audit::ocsf::Exporter;
use crate::soc::ocsf::{finding, incident_finding};
use crate::store::audit::AuditRow;
use crate::store::export::Noted;
use crate::types::Severity;
use crate::types::soc::{Alert, AlertState, FeedEntry, FeedKind, Incident, IncidentState, Remedy, RemedyState};

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The feed of the SOC.
    Feed,
    /// The audit trail.
    Audit,
    /// Requests.
    Records,
    /// Somebody who tries a sink.
    Test,
}

impl Source {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Audit => "audit",
            Self::Records => "records",
            Self::Test => "test",
        }
    }
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An alert.
    Alert,
    /// An incident.
    Incident,
    /// A remedy.
    Remedy,
    /// A request.
    Record,
    /// An entry of the audit trail.
    Audit,
    /// Somebody tries the sink.
    Test,
}

impl Kind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Incident => "incident",
            Self::Remedy => "remedy",
            Self::Record => "record",
            Self::Audit => "audit",
            Self::Test => "test",
        }
    }

    /// The setting that asks for it.
    pub const fn asked(self) -> Option<ExportKind> {
        match self {
            Self::Alert => Some(ExportKind::Alert),
            Self::Incident => Some(ExportKind::Incident),
            Self::Remedy => Some(ExportKind::Remedy),
            Self::Record => Some(ExportKind::Record),
            Self::Audit => Some(ExportKind::Audit),
            Self::Test => None,
        }
    }
}

/// What happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Created,
    /// It is not as it was.
    Changed,
    /// It was closed, or has ended.
    Ended,
}

impl Change {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Ended => "ended",
        }
    }
}

/// One thing to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The same for every try: store, source and number.
    pub id: String,
    /// Where it comes from.
    pub source: Source,
    /// Its number there.
    pub seq: i64,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// What it is.
    pub kind: Kind,
    /// What happened to it.
    pub change: Change,
    /// How bad it is.
    pub severity: Severity,
    /// The rule or the kind behind it: a low-cardinality word.
    pub rule: String,
    /// In a few words.
    pub title: String,
    /// In sentences.
    pub message: String,
    /// The id of what it is about.
    pub about: String,
    /// Whom it is about.
    pub user: Option<String>,
    /// The newest request it is about.
    pub request: Option<String>,
    /// As our own API shows it.
    pub body: Value,
    /// As OCSF has it.
    pub ocsf: Value,
    /// Prompt and answer. Never stored with it.
    #[serde(skip)]
    pub content: Option<Value>,
}

impl Item {
    /// Of an entry of the feed; `None` for what is not exported.
    pub fn of_feed(store: &str, entry: &FeedEntry) -> Option<Self> {
        match entry.kind {
            FeedKind::Alert => of_alert(store, entry),
            FeedKind::Incident => of_incident(store, entry),
            FeedKind::Remedy => of_remedy(store, entry),
            FeedKind::Plan | FeedKind::ToolHold | FeedKind::Monitoring | FeedKind::Report | FeedKind::Proposal => None,
        }
    }

    /// Of an entry of the audit trail.
    pub fn of_audit(store: &str, row: &AuditRow) -> Self {
        // Each for itself: an event is the same whatever it is sent with. The chain is in `unmapped.portcullis`.
        let event: Value = serde_json::from_str(&Exporter::new(store).event(row)).unwrap_or_default();
        let told = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let message = told("/message").unwrap_or_else(|| row.kind.clone());
        let body = json!({
            "id": row.id, "seq": row.seq, "time": row.time, "kind": row.kind, "actor": row.actor, "request": row.request,
            "user": told("/actor/user/name"),
            "object": event.pointer("/unmapped/portcullis/object"),
            "outcome": event.pointer("/status_detail"),
            "details": event.pointer("/unmapped/portcullis/details"),
        });
        Self {
            id: id(store, Source::Audit, row.seq),
            source: Source::Audit,
            seq: row.seq,
            time: row.time,
            kind: Kind::Audit,
            change: Change::Created,
            severity: match event.get("severity_id").and_then(Value::as_i64) {
                Some(5) => Severity::Critical,
                Some(3) => Severity::Medium,
                _ => Severity::Informational,
            },
            rule: row.kind.clone(),
            title: message.clone(),
            message,
            about: row.id.clone(),
            user: row.personal.as_ref().and_then(|personal| personal.subject.clone()),
            request: row.request.clone(),
            body,
            ocsf: event,
            content: None,
        }
    }

    /// Of a request; `None` when it is not kept any more, or cannot be read.
    pub fn of_record(store: &str, noted: &Noted) -> Option<Self> {
        let body: Value = serde_json::from_str(noted.record.as_ref()?).ok()?;
        let word = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let request = word("/id")?.to_owned();
        let decision = word("/decision").unwrap_or("unknown").to_owned();
        let findings =
            ["/input/findings", "/output/findings"].into_iter().filter_map(|at| body.pointer(at)?.as_array());
        let worst = findings.flatten().filter_map(|found| Some((severity(found.get("severity")?)?, found)));
        let worst = worst.max_by_key(|(severity, _)| *severity);
        let usual = if decision == "block" { Severity::Medium } else { Severity::Low };
        let rule = worst.and_then(|(_, found)| found.get("rule")?.as_str()).unwrap_or(&decision).to_owned();
        let why = worst.and_then(|(_, found)| found.get("title")?.as_str()).or_else(|| word("/reason"));
        let path = word("/path").unwrap_or_default();
        Some(Self {
            id: id(store, Source::Records, noted.seq),
            source: Source::Records,
            seq: noted.seq,
            time: body.get("time").and_then(Value::as_i64).unwrap_or(noted.time),
            kind: Kind::Record,
            change: Change::Created,
            severity: worst.map_or(usual, |(severity, _)| severity),
            title: format!("Request: {decision}"),
            message: format!("{path}: {decision}, {}", why.unwrap_or("no reason")),
            about: request.clone(),
            user: word("/caller/user").map(str::to_owned),
            request: Some(request),
            ocsf: ocsf::record(&body, &rule),
            rule,
            body,
            content: None,
        })
    }

    /// One that says it is a test. `number` tells it from others.
    pub fn test(sink: &str, number: &str, time: i64) -> Self {
        let message = format!("This is a test of the export sink {sink}. Nothing happened.");
        Self {
            id: format!("test-{number}"),
            source: Source::Test,
            seq: 0,
            time,
            kind: Kind::Test,
            change: Change::Created,
            severity: Severity::Informational,
            rule: "test".to_owned(),
            title: "Test of an export sink".to_owned(),
            about: format!("test-{number}"),
            user: None,
            request: None,
            body: json!({ "test": true, "sink": sink, "message": message }),
            ocsf: ocsf::test(&message, number, time),
            message,
            content: None,
        }
    }

    /// A text of the body, by its JSON pointer.
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The OCSF event, with content where it was attached.
    pub fn event(&self) -> Value {
        let mut event = self.ocsf.clone();
        let metadata = event.pointer_mut("/metadata").and_then(Value::as_object_mut);
        if let Some(metadata) = metadata {
            // The same for every try, and another one for every change.
            metadata.insert("uid".to_owned(), self.id.clone().into());
        }
        if let (Some(content), Some(fields)) = (&self.content, event.as_object_mut()) {
            let unmapped = fields.entry("unmapped").or_insert_with(|| json!({}));
            if let Some(unmapped) = unmapped.as_object_mut() {
                let own = unmapped.entry("portcullis").or_insert_with(|| json!({}));
                if let Some(own) = own.as_object_mut() {
                    own.insert("content".to_owned(), content.clone());
                }
            }
        }
        event
    }
}

/// The id of an entry: the store tells gateways apart that send to the same place.
fn id(store: &str, source: Source, seq: i64) -> String {
    format!("{store}-{}-{seq}", source.name())
}

fn severity(word: &Value) -> Option<Severity> {
    serde_json::from_value(word.clone()).ok()
}

/// Whether what an entry tells of has only just begun: what is written together with its beginning is part of it.
fn is_fresh(entry: &FeedEntry, began: i64) -> bool {
    entry.time.saturating_sub(began) <= 5_000_000
}

fn of_alert(store: &str, entry: &FeedEntry) -> Option<Item> {
    let alert: Alert = serde_json::from_value(entry.body.clone()).ok()?;
    let change = match alert.state {
        AlertState::Closed => Change::Ended,
        AlertState::Open if alert.incident.is_none() && (alert.count == 1 || is_fresh(entry, alert.first)) => {
            Change::Created
        }
        AlertState::Open | AlertState::Acknowledged | AlertState::InProgress => Change::Changed,
    };
    Some(Item {
        id: id(store, Source::Feed, entry.seq),
        source: Source::Feed,
        seq: entry.seq,
        time: entry.time,
        kind: Kind::Alert,
        change,
        severity: alert.severity,
        rule: alert.rule.to_string(),
        title: alert.title.clone(),
        message: alert.message.clone(),
        about: alert.id.to_string(),
        user: alert.caller.user.as_deref().map(str::to_owned),
        request: alert.requests.last().map(ToString::to_string),
        body: without(&entry.body, "raw"),
        ocsf: finding(&alert),
        content: None,
    })
}

fn of_incident(store: &str, entry: &FeedEntry) -> Option<Item> {
    let incident: Incident = serde_json::from_value(entry.body.clone()).ok()?;
    let change = match incident.state {
        IncidentState::Closed => Change::Ended,
        IncidentState::Open if incident.updated <= incident.opened || is_fresh(entry, incident.opened) => {
            Change::Created
        }
        IncidentState::Open | IncidentState::Acknowledged | IncidentState::InProgress => Change::Changed,
    };
    Some(Item {
        id: id(store, Source::Feed, entry.seq),
        source: Source::Feed,
        seq: entry.seq,
        time: entry.time,
        kind: Kind::Incident,
        change,
        severity: incident.severity,
        rule: incident.rule.to_string(),
        title: incident.title.clone(),
        message: format!("{}: {} alerts about {}", incident.title, incident.alerts, incident.about),
        about: incident.id.to_string(),
        user: incident.caller.user.as_deref().map(str::to_owned),
        request: None,
        body: entry.body.clone(),
        ocsf: incident_finding(&incident),
        content: None,
    })
}

fn of_remedy(store: &str, entry: &FeedEntry) -> Option<Item> {
    let remedy: Remedy = serde_json::from_value(entry.body.clone()).ok()?;
    let change = match remedy.state {
        RemedyState::Pending if remedy.failures == 0 => Change::Created,
        state if state.ended() => Change::Ended,
        _ => Change::Changed,
    };
    let severity = match remedy.state {
        RemedyState::Failed => Severity::High,
        RemedyState::Pending
        | RemedyState::Applied
        | RemedyState::Done
        | RemedyState::Undone
        | RemedyState::Expired => Severity::Medium,
    };
    let action = remedy.action.name();
    Some(Item {
        id: id(store, Source::Feed, entry.seq),
        source: Source::Feed,
        seq: entry.seq,
        time: entry.time,
        kind: Kind::Remedy,
        change,
        severity,
        rule: action.to_owned(),
        title: format!("Remedy {action}: {}", remedy.state.name()),
        message: remedy.reason.clone(),
        about: remedy.id.to_string(),
        user: entry.body.pointer("/target/name").and_then(Value::as_str).map(str::to_owned),
        request: None,
        body: entry.body.clone(),
        ocsf: ocsf::remedy(&remedy, entry.time),
        content: None,
    })
}

fn without(body: &Value, field: &str) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove(field);
    }
    body
}
