//! A store with three weeks of made-up work in it, put there through the store's own API.

use std::sync::{Arc, OnceLock};

use portcullis::config::{self, Handle, Snapshot};
use portcullis::control::report::{self, frameworks};
use portcullis::report::{Ask, Kind, Report};
use portcullis::store::accounts::{Account, AccountKind, Accounts};
use portcullis::store::learn::ReportBounds;
use portcullis::store::soc::{AlertChange, AlertWrite, IncidentChange};
use portcullis::store::writer::{FindingRow, RequestRow};
use portcullis::store::{Database, Item, Tokens};
use portcullis::types::learn::{
    LearnPhase, Proposal, ProposalState, Report as Missed, ReportKind, ReportState, Reporter, Said,
};
use portcullis::types::soc::{AlertState, IncidentState, LogEntry, LogKind};
use portcullis::types::{Role, RuleId, Severity};
use serde_json::json;

use crate::home::Home;
use crate::rows::{MONDAY, plain};
use crate::soc_things::{alert, closed, ids, incident, line, plan, remedy};

pub use crate::rows::DAY;
pub const DAYS: i64 = 21;
/// The middle of the last day.
pub const NOW: i64 = MONDAY + DAYS * DAY - DAY / 2;

/// Names that would act if anybody let them.
pub const HOSTILE: [&str; 5] = [
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "rev\u{202e}ersed",
    "[x](javascript:alert(1))|**b**",
    "日本 Łódź ŠĐČ Österreich",
];

/// A configuration with a budget and nothing else of its own, prepared once.
pub fn snapshot() -> Arc<Snapshot> {
    handle().load_full()
}

pub fn handle() -> Arc<Handle> {
    static HANDLE: OnceLock<Arc<Handle>> = OnceLock::new();
    let made = HANDLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.toml");
        let budgets =
            "[[budgets]]\nname = \"house\"\nusd = 5\n[[budgets]]\nname = \"each\"\nscope = \"user\"\nusd = 0.5\n";
        std::fs::write(&path, budgets).unwrap();
        let loaded = config::load(Some(&path), std::iter::empty()).unwrap();
        Arc::new(Handle::new(config::prepare(&loaded, None).unwrap()))
    });
    Arc::clone(made)
}

pub fn ask(kind: Kind, framework: Option<&str>) -> Ask {
    Ask {
        kind,
        framework: framework.map(str::to_owned),
        since: MONDAY,
        until: MONDAY + DAYS * DAY,
        tenant: None,
        made: NOW,
        by: "ana".to_owned(),
    }
}

pub async fn made(database: &Database, ask: &Ask) -> Report {
    report::make(database, &snapshot(), &frameworks().unwrap(), 200, ask).await.unwrap()
}

fn request(number: i64) -> RequestRow {
    let decision = match number % 20 {
        0 | 7 => "block",
        3 => "flag",
        11 => "redact",
        _ => "allow",
    };
    let user = if number % 9 == 0 {
        HOSTILE[usize::try_from(number / 9 % 5).unwrap()]
    } else {
        ["ana", "bob", "eve"][usize::try_from(number % 3).unwrap()]
    };
    let (family, rule, threats) = match number / 20 % 4 {
        0 => ("prompt_injection", "PC-INJ-0001", "LLM01:2026,AML.T0051.000"),
        1 => ("privacy", "PC-PII-0001", "LLM02:2026"),
        2 => ("jailbreak", "PC-JB-0001", "LLM01:2026,AML.T0054"),
        _ => ("secrets", "PC-SEC-0001", "LLM02:2026,T1552"),
    };
    let finding = FindingRow {
        direction: "input".into(),
        rule: rule.into(),
        family: family.into(),
        severity: "high".into(),
        score: 8.0,
        action: decision.replace("allow", "score").into(),
        span: 0,
        start: 0,
        end: 4,
        threats: threats.to_owned(),
    };
    RequestRow {
        tenant: Some(if number % 5 == 0 { "umbrella".into() } else { "acme".into() }),
        team: Some(["blue", "red", "@team"][usize::try_from(number % 3).unwrap()].into()),
        user: Some(user.into()),
        key: Some("key_1".into()),
        session: Some(format!("talk-{}", number % 40).into()),
        method: "POST".into(),
        path: "/chat/completions".into(),
        dialect: Some("chat".into()),
        model: Some(["gpt-5", "claude-5", "small"][usize::try_from(number % 3).unwrap()].to_owned()),
        outcome: if decision == "block" { "refused" } else { "served" }.into(),
        reason: (decision == "block").then(|| "prompt_blocked".into()),
        status: if decision == "block" { 400 } else { 200 },
        decision: decision.into(),
        risk: 0.5,
        tokens: Some(Tokens { input: 100, cached: 0, output: 50, reasoning: 0 }),
        findings: if decision == "allow" { Vec::new() } else { vec![finding] },
        ..plain(format!("req_{number:08}"), MONDAY + number * (DAYS * DAY / 840), 10_000_000)
    }
}

/// 840 requests, 6 alerts, 3 incidents, a remedy, 2 accounts, a learned rule and one that was taken back.
pub async fn fill(home: &Home) -> Database {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..840 {
        assert!(writer.offer(Item::Request(Box::new(request(number)))));
        if number % 200 == 0 {
            writer.flush().await.unwrap();
        }
    }
    writer.flush().await.unwrap();
    writer.close(std::time::Duration::from_secs(10)).await.unwrap();
    watched(&database).await;
    learned(&database).await;
    let accounts = Accounts::new(database.clone());
    for (id, name, roles, last) in [("acc_1", "root", "admin", Some(NOW)), ("acc_2", "aud", "auditor", None)] {
        let account = Account {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: AccountKind::Local,
            subject: None,
            roles: roles.to_owned(),
            disabled: false,
            created: NOW - 200 * DAY,
            created_by: "setup".to_owned(),
            last_login: last,
        };
        accounts.add(&account, Some("hash"), 10).await.unwrap();
        if let Some(last) = last {
            accounts.signed_in(id, None, last).await.unwrap();
        }
    }
    database
}

async fn watched(database: &Database) {
    let alerts = (1..=6).map(|number: i64| {
        let mut one = alert(&format!("alt_{number}"), HOSTILE[usize::try_from(number % 5).unwrap()]);
        one.severity = if number > 4 { Severity::Critical } else { Severity::Medium };
        AlertWrite::New(one)
    });
    let alerts: Vec<_> = alerts.collect();
    database.write_alerts(&alerts).await.unwrap();
    for (id, reason) in
        [("alt_1", "false_positive"), ("alt_2", "resolved"), ("alt_3", "resolved"), ("alt_4", "resolved")]
    {
        let what =
            AlertChange { state: Some(AlertState::Closed), closed: Some(closed(reason)), ..AlertChange::default() };
        database.change_alert(id, &what, None, &[line(LogKind::Changed, "closed")]).await.unwrap();
    }
    for number in 1..=3 {
        let mut one = incident(&format!("inc_{number}"), "repeated", &format!("user:{number}"));
        one.severity = [Severity::High, Severity::Critical, Severity::Low][usize::try_from(number - 1).unwrap()];
        one.title = format!("Campaign of {}", HOSTILE[usize::try_from(number).unwrap()]);
        database.raise_incident(&one, &ids(["alt_5"]), &line(LogKind::Raised, "seen")).await.unwrap();
    }
    let at = |minutes: i64| LogEntry { time: MONDAY + minutes * 60_000_000, ..line(LogKind::Changed, "taken") };
    let take = IncidentChange { state: Some(IncidentState::Acknowledged), ..IncidentChange::default() };
    database.change_incident("inc_1", &take, None, MONDAY, &[at(10)]).await.unwrap();
    let close = IncidentChange {
        state: Some(IncidentState::Closed),
        closed: Some(closed("resolved")),
        ..IncidentChange::default()
    };
    database.change_incident("inc_2", &close, None, MONDAY, &[at(30)]).await.unwrap();
    let plan = plan("pln_1", Some("inc_1"), 0);
    database.insert_plan(&plan, &[]).await.unwrap();
    database.use_approvals("pln_1", MONDAY, &[remedy("rem_1", &plan)], &[]).await.unwrap();
}

async fn learned(database: &Database) {
    const BOUNDS: ReportBounds = ReportBounds { per_hour: 100, waiting: 100 };
    for (number, state) in [(1, ProposalState::Live), (2, ProposalState::RolledBack)] {
        let missed = Missed {
            id: format!("rpt_{number}").into(),
            kind: ReportKind::Missed,
            text: format!("text {number}"),
            print: format!("print {number}").into(),
            family: None,
            role: Role::User,
            request: None,
            user: None,
            note: "".into(),
            reporters: vec![Reporter { account: "acc_1".into(), name: "root".into(), at: MONDAY }],
            state: ReportState::Learning,
            rules: Vec::new(),
            proposal: Some(format!("prp_{number}").into()),
            ruling: None,
            made: MONDAY + number,
            updated: MONDAY,
        };
        let figures = json!({ "figures": {
            "held_back_before": { "hit": 1, "all": 10 }, "held_back_after": { "hit": 9, "all": 10 },
            "benign": { "hit": 0, "all": 900 } } });
        let said = Said {
            account: "gateway".into(),
            name: "gateway".into(),
            what: "roll_back".into(),
            why: "it hit harmless traffic".into(),
            at: MONDAY + DAY,
        };
        let proposal = Proposal {
            id: format!("prp_{number}").into(),
            stem: format!("LRN-{number:06}").into(),
            report: Some(Arc::clone(&missed.id)),
            title: format!("Missed {}", HOSTILE[1]).into(),
            state,
            phase: LearnPhase::Done,
            variations: Vec::new(),
            rules: String::new(),
            ids: vec![RuleId(format!("LRN-{number:06}-1").into())],
            hash: "".into(),
            figures: vec![figures],
            reasons: Vec::new(),
            said: if state == ProposalState::RolledBack { vec![said] } else { Vec::new() },
            authors: vec!["acc_1".into()],
            insisted: false,
            share: 0.0,
            failures: 0,
            problem: None,
            made: MONDAY,
            updated: MONDAY,
            since: MONDAY + DAY,
        };
        database.report(&missed, Some(&proposal), BOUNDS).await.unwrap();
    }
}
