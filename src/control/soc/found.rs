//! What the steps of an analysis found, kept with it and read by the next one.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::feed::Feed;
use super::knowledge::Knowledge;
use super::opinion::Opinion;
use crate::soc::analyse::{Findings, Past, Retrieved};
use crate::soc::support::{Evidence, Scored};
use crate::store::StoreError;
use crate::types::Subject;
use crate::types::soc::{Alert, Analysis, Blast, Incident, IncidentState};

/// Why a step of leased work failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to work on any more.
    #[error("{0}")]
    Gone(String),
    /// It did not work out, or what an earlier step found cannot be read.
    #[error("{0}")]
    Broken(String),
}

/// What the steps before found, and what it can be compared with.
pub(super) struct Analysed {
    pub(super) findings: Findings,
    pub(super) retrieved: Retrieved,
    pub(super) blasts: Vec<(Subject, Blast)>,
    pub(super) opinion: Opinion,
    pub(super) evidence: Evidence,
}

impl Analysed {
    pub(super) fn of(analysis: &Analysis, incident: &Incident, alerts: &[Alert]) -> Result<Self, StepError> {
        let retrieved: Retrieved = found(analysis, "retrieve")?;
        let analysed = analysis.found.get("analyse").cloned().unwrap_or_default();
        let blasts: Vec<(Subject, Blast)> = part(&analysed, "blasts")?;
        let evidence = Evidence::new(incident, alerts, &retrieved, &blasts);
        let (findings, opinion) = (part(&analysed, "findings")?, part(&analysed, "opinion")?);
        Ok(Self { findings, retrieved, blasts, opinion, evidence })
    }
}

/// What the model that reads claims with their evidence says of them, where there is one.
pub(super) async fn scored(knowledge: &Knowledge, known: &Analysed) -> Scored {
    let claims = &known.findings.claims;
    let Some(scorer) = (knowledge.scorer)().filter(|_| !claims.is_empty()) else { return Scored::default() };
    let least = scorer.least;
    match (scorer.score)(known.evidence.pairs(claims)).await {
        Ok(scores) if scores.len() == claims.len() => Scored { scores, least, problem: None },
        Ok(_) => Scored { least, problem: Some("the cross-encoder left claims out".to_owned()), ..Scored::default() },
        Err(problem) => Scored { least, problem: Some(problem), ..Scored::default() },
    }
}

pub(super) fn kept(value: &impl serde::Serialize) -> Result<Value, StepError> {
    serde_json::to_value(value).map_err(|error| StepError::Broken(error.to_string()))
}

fn part<T: DeserializeOwned>(value: &Value, name: &str) -> Result<T, StepError> {
    let value = value.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| StepError::Broken(format!("{name}: {error}")))
}

pub(super) fn found<T: DeserializeOwned>(analysis: &Analysis, name: &str) -> Result<T, StepError> {
    let value = analysis.found.get(name).cloned().unwrap_or_default();
    serde_json::from_value(value).map_err(|error| StepError::Broken(format!("{name}: {error}")))
}

/// The incident, if it is there and open.
pub(super) fn still_open(incident: Option<Incident>) -> Result<Incident, StepError> {
    let incident = incident.ok_or_else(|| StepError::Gone("the incident is not there any more".to_owned()))?;
    if incident.state == IncidentState::Closed {
        return Err(StepError::Gone("the incident is closed".to_owned()));
    }
    Ok(incident)
}

/// Sections of playbooks and past incidents that are like this one.
pub(super) async fn retrieve(feed: &Feed, knowledge: &Knowledge, incident: &Incident, alerts: &[Alert]) -> Retrieved {
    let families = incident.families.iter().map(|family| family.name().replace('_', " "));
    let titles = alerts.iter().take(8).map(|alert| alert.title.clone());
    let query: Vec<String> = std::iter::once(incident.title.clone()).chain(families).chain(titles).collect();
    let (most, files) = (knowledge.limits.retrieved, (knowledge.files)());
    let mut retrieved = Retrieved::default();
    for hit in knowledge.library.search(&query.join(" "), most.saturating_mul(2)).await {
        if let Some(section) = files.playbooks.section(&hit.id) {
            if retrieved.sections.len() < most {
                retrieved.sections.push(section.clone());
            }
        } else if retrieved.past.len() < most
            && *hit.id != *incident.id
            && let Ok(Some(past)) = feed.database().incident(&hit.id).await
            && let Some(closed) = past.closed
        {
            let (incident, closed, families) = (past.id, closed.reason, past.families);
            retrieved.past.push(Past { incident, closed, families });
        }
    }
    retrieved
}
