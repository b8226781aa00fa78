//! Alerts, incidents, plans and remedies for tests.

use std::sync::Arc;

use portcullis::config::soc_files::SocFilesNow;
use portcullis::config::soc_settings::Soc as Settings;
use portcullis::control::soc::knowledge::{Knowledge, PlanLimits};
use portcullis::control::soc::library::Library;
use portcullis::control::soc::notify::Channels;
use portcullis::store::soc::{Done, Fed};
use portcullis::store::{Database, StoreError};
use portcullis::types::soc::{
    Alert, AlertState, Analysis, Approval, Closed, Incident, IncidentState, LogEntry, LogKind, Phase, Plan, PlanState,
    Proof, Remedy, RemedyAction, RemedyState, Ruling, Threat, ToolHold, ToolRuling, Verdicted,
};
use portcullis::types::{Caller, CallerKind, Decision, Direction, Family, RequestId, Severity, Subject};
use sha2::{Digest as _, Sha256};

use crate::rows::{HOUR, MONDAY};

/// Writes what came of a try of one remedy.
pub async fn finish(
    database: &Database,
    remedy: &Remedy,
    worker: &str,
    now: i64,
    log: &[LogEntry],
) -> Result<Fed<Remedy>, StoreError> {
    let done = [Done { remedy: remedy.clone(), log: log.to_vec() }];
    let (mut finished, feed) = database.finish_remedies(&done, worker, now).await?;
    Ok((finished.remove(0)?, feed))
}

pub fn caller(user: &str) -> Caller {
    Caller {
        address: Some("192.0.2.7".parse().unwrap()),
        tenant: Some("acme".into()),
        key: Some("key_1".into()),
        user: Some(user.into()),
        groups: Arc::from([Arc::from("staff")]),
        session: Some(format!("talk-{user}").into()),
        kind: CallerKind::Key,
        ..Caller::default()
    }
}

/// An alert with something in every field that a new one may have.
pub fn alert(id: &str, user: &str) -> Alert {
    Alert {
        id: id.into(),
        rule: "injection".into(),
        title: "Prompt injection 100% sure".to_owned(),
        severity: Severity::Medium,
        family: Some(Family::PromptInjection),
        first: MONDAY,
        last: MONDAY + 5,
        count: 1,
        retries: 0,
        caller: caller(user),
        requests: vec!["req_1".into()],
        model: Some("gpt-5".into()),
        path: Some("/v1/chat/completions".into()),
        policy: Some("strict".into()),
        verdict: Verdicted { risk: 0.7, false_positive: 20, ..Verdicted::default() },
        proofs: vec![Proof {
            rule: "PC-PI-0001".into(),
            title: "Override".into(),
            severity: Severity::Medium,
            direction: Direction::Input,
            span: 1,
            start: 4,
            end: 9,
        }],
        threats: vec![Threat { id: "LLM01:2026".into(), title: "Prompt injection".into() }],
        message: format!("1 attempt of {user}"),
        source: "gateway".into(),
        fold: format!("injection|{user}"),
        raw: None,
        state: AlertState::Open,
        assignee: None,
        closed: None,
        incident: None,
        merged_into: None,
    }
}

pub fn incident(id: &str, rule: &str, about: &str) -> Incident {
    Incident {
        id: id.into(),
        rule: rule.into(),
        about: about.to_owned(),
        title: "Repeated injection".to_owned(),
        severity: Severity::Low,
        families: Vec::new(),
        threats: Vec::new(),
        caller: caller("ann"),
        false_positive: 0,
        risk: 0.0,
        opened: MONDAY,
        updated: MONDAY,
        alerts: 0,
        state: IncidentState::Open,
        assignee: None,
        closed: None,
        merged_into: None,
    }
}

pub fn line(kind: LogKind, text: &str) -> LogEntry {
    LogEntry { time: MONDAY + HOUR, kind, actor: "eve".into(), text: text.to_owned(), about: None }
}

pub fn closed(reason: &str) -> Closed {
    Closed { reason: reason.into(), note: "looked at".to_owned(), by: "eve".into(), at: MONDAY + HOUR }
}

pub fn ids<const N: usize>(ids: [&str; N]) -> [Arc<str>; N] {
    ids.map(Arc::from)
}

pub fn analysis(id: &str, incident: &str) -> Analysis {
    Analysis {
        id: id.into(),
        incident: incident.into(),
        phase: Phase::Retrieve,
        found: serde_json::Map::new(),
        plan: None,
        failures: 0,
        problem: None,
        began: MONDAY,
        updated: MONDAY,
    }
}

pub fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A plan that waits for `needed` people.
pub fn plan(id: &str, incident: Option<&str>, needed: u8) -> Plan {
    let body = format!(r#"{{"plan":"{id}","summary":"end the session of ann","steps":[]}}"#);
    Plan {
        id: id.into(),
        incident: incident.map(Arc::from),
        hash: hash(&body),
        body,
        proposer: "analyst".into(),
        made: MONDAY,
        expires: MONDAY + HOUR,
        needed,
        state: PlanState::Waiting,
        reasons: Vec::new(),
    }
}

pub fn approval(id: &str, plan: &Plan, account: &str) -> Approval {
    Approval {
        id: id.into(),
        plan: Arc::clone(&plan.id),
        hash: plan.hash.clone(),
        account: account.into(),
        name: format!("name of {account}").into(),
        ruling: Ruling::Approve,
        reason: "yes".to_owned(),
        at: MONDAY + 1,
        expires: MONDAY + HOUR / 2,
        key: "AAAA".to_owned(),
        signature: "BBBB".to_owned(),
        used: None,
    }
}

pub fn remedy(id: &str, plan: &Plan) -> Remedy {
    Remedy {
        id: id.into(),
        once: format!("once of {id}"),
        plan: Arc::clone(&plan.id),
        incident: plan.incident.clone(),
        action: RemedyAction::TerminateSession,
        target: Some(Subject::Session { name: "talk-ann".into() }),
        lasts: Some(3600),
        reason: "ann went too far".to_owned(),
        state: RemedyState::Pending,
        failures: 0,
        problem: None,
        made: MONDAY,
        due: MONDAY,
        applied: None,
        expires: None,
        order: None,
        undone_by: None,
    }
}

pub fn hold(id: &str, user: &str) -> ToolHold {
    ToolHold {
        id: id.into(),
        request: RequestId("req_1".to_owned()),
        caller: caller(user),
        tool: "transfer".into(),
        arguments: hash("{}"),
        bytes: 2,
        since: MONDAY,
        expires: MONDAY + HOUR,
    }
}

pub fn ruling(hold: &ToolHold) -> ToolRuling {
    ToolRuling {
        id: Arc::clone(&hold.id),
        tool: Arc::clone(&hold.tool),
        arguments: hold.arguments.clone(),
        granted: true,
        by: "acc_eve".into(),
        at: MONDAY + 1,
    }
}

/// What the analyst knows: these files and this library, nobody to tell and no model to ask.
pub fn knowledge(files: SocFilesNow, library: Arc<Library>, channels: Arc<Channels>) -> Arc<Knowledge> {
    Arc::new(Knowledge {
        files,
        library,
        channels,
        model: None,
        reviewer: None,
        guard: Arc::new(|| Settings::default().guardrails()),
        inspect: Arc::new(|_| Decision::Allow),
        scorer: Arc::new(|| None),
        limits: PlanLimits { lifetime: 3_600_000_000, most_steps: 8, overlap: 0.5, hours: 24, retrieved: 6 },
    })
}

/// That something was refused as things stand, and why.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, StoreError>, why: &str) {
    match outcome {
        Err(StoreError::Conflict(told)) => assert!(told.contains(why), "`{told}` does not say `{why}`"),
        other => panic!("not refused with `{why}`: {other:?}"),
    }
}
