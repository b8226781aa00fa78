//! What reports about security, threats and learning are made of.

use std::collections::BTreeMap;

use crate::config::Snapshot;
use crate::report::Ask;
use crate::report::data::{Learning, Notable, Proposal, Row, Security, Soc, Step, Threats};
use crate::store::learn::ProposalFilter;
use crate::store::{Database, StoreError, Tallied, Tally, TallyScope};
use crate::types::learn::Proposal as Learned;
use crate::types::soc::Incident;

/// Rows of a question whose answer is added up, or whose answers are few words of ours.
const DAYS: u32 = 50_000;
/// Incidents worth telling of.
const NOTABLE: u32 = 25;
/// Proposals that are looked at, and of these at once.
const PROPOSALS: usize = 2_000;
const PAGE: u32 = 500;

const MINUTE: i64 = 60_000_000;

pub(super) fn scope(ask: &Ask, limit: u32) -> TallyScope {
    TallyScope { since: ask.since, until: ask.until, tenant: ask.tenant.clone(), limit }
}

fn row(one: Tallied) -> Row {
    Row { day: one.day, name: one.name, other: one.other, count: one.count, more: one.more, rest: one.rest }
}

/// The answers to some questions, taken one after the other.
pub(super) struct Answers(std::vec::IntoIter<Vec<Tallied>>);

impl Answers {
    pub(super) async fn ask(database: &Database, scope: &TallyScope, asked: &[Tally]) -> Result<Self, StoreError> {
        Ok(Self(database.tallies(scope, asked).await?.into_iter()))
    }

    pub(super) fn rows(&mut self) -> Vec<Row> {
        self.0.next().unwrap_or_default().into_iter().map(row).collect()
    }

    pub(super) fn one(&mut self) -> Row {
        self.rows().into_iter().next().unwrap_or_default()
    }
}

/// The questions about alerts and incidents, in the order in which `soc` takes the answers.
pub(super) const SOC: [Tally; 7] = [
    Tally::Alerts,
    Tally::AlertsClosed,
    Tally::Incidents,
    Tally::IncidentsClosed,
    Tally::Acknowledged,
    Tally::Resolved,
    Tally::Remedies,
];

pub(super) fn soc(answers: &mut Answers) -> Soc {
    Soc {
        alerts: answers.rows(),
        alerts_closed: answers.rows(),
        incidents: answers.rows(),
        incidents_closed: answers.rows(),
        acknowledged: answers.one(),
        resolved: answers.one(),
        remedies: answers.rows(),
    }
}

fn titles(snapshot: &Snapshot) -> BTreeMap<String, String> {
    snapshot.rules.rules().iter().map(|rule| (rule.id.to_string(), rule.title.to_string())).collect()
}

pub(super) async fn security(
    database: &Database,
    snapshot: &Snapshot,
    rows: u32,
    ask: &Ask,
) -> Result<Security, StoreError> {
    let all: Vec<Tally> =
        [Tally::Decisions, Tally::Outcomes, Tally::Who, Tally::Families].into_iter().chain(SOC).collect();
    let mut sums = Answers::ask(database, &scope(ask, DAYS), &all).await?;
    let asked = [Tally::Models, Tally::Callers, Tally::Rules];
    let mut names = Answers::ask(database, &scope(ask, rows), &asked).await?;
    Ok(Security {
        decisions: sums.rows(),
        outcomes: sums.rows(),
        who: sums.one(),
        families: sums.rows(),
        models: names.rows(),
        callers: names.rows(),
        rules: names.rows(),
        titles: titles(snapshot),
        soc: soc(&mut sums),
    })
}

pub(super) async fn threats(
    database: &Database,
    snapshot: &Snapshot,
    rows: u32,
    ask: &Ask,
) -> Result<Threats, StoreError> {
    let asked = [Tally::FamilyDays, Tally::Threats, Tally::Families, Tally::Severities, Tally::Actions];
    let mut sums = Answers::ask(database, &scope(ask, DAYS), &asked).await?;
    let mut names = Answers::ask(database, &scope(ask, rows), &[Tally::Rules]).await?;
    let incidents = database.notable_incidents(&scope(ask, NOTABLE.min(rows))).await?;
    let catalogue = snapshot.rules.threats().iter();
    Ok(Threats {
        days: sums.rows(),
        threats: sums.rows(),
        families: sums.rows(),
        severities: sums.rows(),
        actions: sums.rows(),
        rules: names.rows(),
        titles: titles(snapshot),
        catalogue: catalogue.map(|(id, threat)| (id.to_string(), threat.title.to_string())).collect(),
        incidents: incidents.into_iter().map(notable).collect(),
    })
}

fn notable(incident: Incident) -> Notable {
    let caller = &incident.caller;
    let who = [&caller.user, &caller.key].into_iter().flatten().next().map(ToString::to_string);
    let state = match &incident.closed {
        Some(closed) => format!("closed: {}", closed.reason),
        None => incident.state.name().to_owned(),
    };
    Notable {
        id: incident.id.to_string(),
        severity: incident.severity.name().to_owned(),
        caller: who.unwrap_or_default(),
        opened: incident.opened,
        alerts: incident.alerts,
        state,
        families: incident.families.iter().map(|family| family.name().to_owned()).collect(),
        title: incident.title,
    }
}

pub(super) async fn learning(
    database: &Database,
    snapshot: &Snapshot,
    rows: u32,
    ask: &Ask,
) -> Result<Learning, StoreError> {
    let asked = [Tally::Reported, Tally::ReportedDays];
    let mut answers = Answers::ask(database, &scope(ask, DAYS), &asked).await?;
    let hits = database.hits_since(ask.since.div_euclid(MINUTE)).await?;
    let (mut proposals, mut looked, mut before) = (Vec::new(), 0_usize, None);
    let mut more = false;
    loop {
        let filter = ProposalFilter { state: None, before: before.take() };
        let page = database.proposals(&filter, PAGE).await?;
        let full = page.len() >= PAGE as usize;
        looked = looked.saturating_add(page.len());
        before = page.last().map(|last| last.id.to_string());
        let within = |at: i64| ask.since <= at && at < ask.until;
        for one in page.into_iter().filter(|one| within(one.made) || within(one.since)) {
            let found =
                one.ids.iter().filter_map(|id| hits.get(&*id.0)).fold(0_u64, |sum, hit| sum.saturating_add(hit.hits));
            proposals.push(proposal(one, found));
        }
        if !full || proposals.len() > rows as usize {
            break;
        }
        if looked >= PROPOSALS {
            more = true;
            break;
        }
    }
    if proposals.len() > rows as usize {
        proposals.truncate(rows as usize);
        more = true;
    }
    let enabled = snapshot.settings.learn.enabled;
    Ok(Learning { reported: answers.rows(), days: answers.rows(), proposals, more, enabled })
}

fn proposal(one: Learned, hits: u64) -> Proposal {
    let figures = one.figures.first().and_then(|first| first.get("figures"));
    let caught = |name: &str| {
        let of = figures?.get(name)?;
        Some((of.get("hit")?.as_u64()?, of.get("all")?.as_u64()?))
    };
    let last = one.said.last().map(|said| Step {
        what: said.what.to_string(),
        by: said.name.to_string(),
        why: said.why.to_string(),
        at: said.at,
    });
    // Nobody said anything about what the gates refused.
    let refused = one.reasons.first().map(|why| Step {
        what: "refuse".to_owned(),
        by: "gates".to_owned(),
        why: why.clone(),
        at: one.since,
    });
    Proposal {
        before: caught("held_back_before"),
        after: caught("held_back_after"),
        benign: caught("benign"),
        stem: one.stem.to_string(),
        title: one.title.to_string(),
        state: one.state.name().to_owned(),
        made: one.made,
        since: one.since,
        rules: u64::try_from(one.ids.len()).unwrap_or(u64::MAX),
        hits,
        last: last.or(refused),
    }
}
