//! Incidents, plans and guardrails for the tests of this room.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use rust_embed::RustEmbed;

use super::guard::{BlastBounds, Guardrails, Protected};
use super::plan::{body_json, hash};
use super::playbook::{Playbooks, Source};
use super::responses::Responses;
use crate::types::soc::{
    Alert, AlertState, Approval, Blast, Claim, Incident, IncidentState, Plan, PlanBody, PlanState, RemedyAction,
    Ruling, Step, Threat, Verdicted,
};
use crate::types::{Caller, Decision, Family, Severity, Subject};

pub(super) fn caller() -> Caller {
    Caller {
        address: Some("192.0.2.7".parse().unwrap()),
        tenant: Some("acme".into()),
        key: Some("gk_1".into()),
        user: Some("ann".into()),
        session: Some("ses_1".into()),
        agent: Some("bot".into()),
        ..Caller::default()
    }
}

pub(super) fn alert() -> Alert {
    Alert {
        id: "alt_1".into(),
        rule: "SOC-INJ-0001".into(),
        title: "Prompt injection".into(),
        severity: Severity::High,
        family: Some(Family::PromptInjection),
        first: 1_000_000,
        last: 61_000_000,
        count: 3,
        retries: 0,
        caller: caller(),
        requests: vec!["req_1".into()],
        model: None,
        path: None,
        policy: None,
        verdict: Verdicted { risk: 0.9, false_positive: 10, enforced: Some(Decision::Block), ..Verdicted::default() },
        proofs: Vec::new(),
        threats: vec![Threat { id: "LLM01:2026".into(), title: "Prompt Injection".into() }],
        message: "3 prompts that override instructions".into(),
        source: "gateway".into(),
        fold: String::new(),
        raw: None,
        state: AlertState::Open,
        assignee: None,
        closed: None,
        incident: Some("inc_1".into()),
        merged_into: None,
    }
}

pub(super) fn incident() -> Incident {
    Incident {
        id: "inc_1".into(),
        rule: "SOC-INC-0001".into(),
        about: "user:acme/ann".into(),
        title: "Repeated injection".into(),
        severity: Severity::High,
        families: vec![Family::PromptInjection],
        threats: vec!["LLM01:2026".into()],
        caller: caller(),
        false_positive: 10,
        risk: 0.9,
        opened: 1_000_000,
        updated: 61_000_000,
        alerts: 1,
        state: IncidentState::Open,
        assignee: None,
        closed: None,
        merged_into: None,
    }
}

pub(super) fn body() -> PlanBody {
    PlanBody {
        plan: "pln_1".into(),
        incident: Some("inc_1".into()),
        summary: "Limit the user to 5 requests per 120 seconds for 1 hour.".into(),
        severity: Severity::High,
        false_positive: 10,
        steps: vec![Step {
            action: RemedyAction::RateLimit { requests: 5, seconds: 120 },
            target: Some(Subject::User { name: "ann".into() }),
            lasts: Some(3600),
            reason: "Repeated injection.".into(),
            blast: Blast { requests: 40, callers: 1, clean: 10, hours: 24 },
            reversible: true,
        }],
        claims: vec![Claim { text: "3 prompts override instructions.".into(), support: vec!["alt_1".into()] }],
        groundedness: 1.0,
        playbooks: Vec::new(),
    }
}

pub(super) fn plan(needed: u8) -> Plan {
    let body = body_json(&body());
    Plan {
        id: "pln_1".into(),
        incident: Some("inc_1".into()),
        hash: hash(&body),
        body,
        proposer: "acc_proposer".into(),
        made: 900_000,
        expires: 3_000_000,
        needed,
        state: PlanState::Waiting,
        reasons: Vec::new(),
    }
}

pub(super) fn approval(plan: &Plan, account: &str, ruling: Ruling) -> Approval {
    Approval {
        id: format!("apr_{account}").into(),
        plan: plan.id.clone(),
        hash: plan.hash.clone(),
        account: account.into(),
        name: account.into(),
        ruling,
        reason: "looked at it".into(),
        at: 900_000,
        expires: 2_000_000,
        key: String::new(),
        signature: String::new(),
        used: None,
    }
}

pub(super) fn guard() -> Guardrails {
    Guardrails {
        allowed: RemedyAction::NAMES.into_iter().map(Arc::from).collect(),
        protected: Protected::default(),
        widest_v4: 24,
        widest_v6: 48,
        longest: BTreeMap::from([("block_address".into(), 86_400)]),
        longest_of_others: 7 * 86_400,
        blast: BlastBounds { requests: 10_000, callers: 100, clean: 0.9, clean_from: 20 },
        most_steps: 8,
        permanent: false,
        forbidden: ["rm -rf", "curl", "http://", "https://", "ignore all previous"].map(Arc::from).into(),
        max_text: 400,
        groundedness: 0.8,
        overlap: 0.5,
        automatic: Vec::new(),
    }
}

#[derive(RustEmbed)]
#[folder = "rules/"]
#[include = "playbooks/*.md"]
#[include = "soc/responses.yaml"]
struct Shipped;

fn shipped(path: &str) -> Source {
    let text = Shipped::get(path).unwrap().data.into_owned();
    Source { name: path.rsplit('/').next().unwrap().to_owned(), text: String::from_utf8(text).unwrap() }
}

pub(super) fn playbooks() -> &'static Playbooks {
    static SHIPPED: LazyLock<Playbooks> = LazyLock::new(read_playbooks);
    &SHIPPED
}

fn read_playbooks() -> Playbooks {
    let sources: Vec<_> = Shipped::iter().filter(|path| path.ends_with(".md")).map(|path| shipped(&path)).collect();
    match Playbooks::new(&sources) {
        Ok(playbooks) => playbooks,
        Err(problems) => panic!("{problems:#?}"),
    }
}

pub(super) fn responses() -> &'static Responses {
    static SHIPPED: LazyLock<Responses> = LazyLock::new(read_responses);
    &SHIPPED
}

fn read_responses() -> Responses {
    match Responses::new(&[shipped("soc/responses.yaml")]) {
        Ok(responses) => responses,
        Err(problems) => panic!("{problems:#?}"),
    }
}
