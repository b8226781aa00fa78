//! The rules in force, to read: what each looks for, how this site changes it, how often it finds something.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::catalogue::Pair;
use super::coverage::whole;
use super::error::ApiError;
use super::extract::{Asked, Named};
use super::guard::Principal;
use super::rule_hits::{HitsQuery, RuleHits};
use super::words::Word;
use crate::config::Snapshot;
use crate::detect::{Anatomy, Directions, Override, Roles, Threat};
use crate::types::learn::{LEARNED, Stage};
use crate::types::{Action, Family, Role, Severity};

/// Rules in one answer.
const MOST: usize = 5_000;
/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It is in the program.
    Shipped,
    /// From a directory of this site.
    Site,
    /// Learned from a report, or taken over.
    Learned,
}

impl Origin {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Site => "site",
            Self::Learned => "learned",
        }
    }
}

/// Which texts a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Prompts.
    Input,
    /// Answers.
    Output,
    /// Prompts and answers.
    Both,
}

impl From<Directions> for Reads {
    fn from(directions: Directions) -> Self {
        match directions {
            Directions::Input => Self::Input,
            Directions::Output => Self::Output,
            Directions::Both => Self::Both,
        }
    }
}

/// Which rules.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RuleQuery {
    /// With these letters in the id, the title or what an attacker gains, large or small.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    text: Option<Word>,
    /// Of this family, such as `prompt_injection`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^[a-z_]{1,64}$")]
    family: Option<Family>,
    /// At least this bad: `informational`, `low`, `medium`, `high`, `critical`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(informational|low|medium|high|critical)$")]
    severity: Option<Severity>,
    /// From there: `shipped`, `site`, `learned`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(shipped|site|learned)$")]
    origin: Option<Origin>,
    /// About this threat or a part of it, by its id, such as `LLM01:2026` or `AML.T0051`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    threat: Option<Word>,
}

/// What this site changes of a rule, or of its family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeShown {
    /// What it is said of: a rule's id or a family's name.
    pub of: String,
    /// Whether it is switched on or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Another action.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub action: Option<Action>,
    /// Other points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<u16>,
    /// Another severity.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub severity: Option<Severity>,
}

/// A rule, as it is in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleShown {
    /// Its id.
    pub id: String,
    /// What it detects.
    pub title: String,
    /// Its family.
    #[schema(value_type = String)]
    pub family: Family,
    /// How bad a match is.
    #[schema(value_type = String)]
    pub severity: Severity,
    /// Points a match adds.
    pub score: u16,
    /// What a match asks for: `score`, `flag`, `redact`, `block`.
    #[schema(value_type = String)]
    pub action: Action,
    /// Which texts it looks at.
    pub direction: Reads,
    /// Threat ids.
    pub threats: Vec<String>,
    /// How far it is trusted: `shadow`, `canary`, `live`.
    pub stage: String,
    /// The share of callers that a canary holds for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f32>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it is in force at all.
    pub enabled: bool,
    /// What this site changes: of its family, then of the rule.
    pub overrides: Vec<ChangeShown>,
}

/// Rules.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleList {
    /// By id; at most 5000.
    pub items: Vec<RuleShown>,
    /// How many there are in all, whatever was asked for.
    pub all: usize,
}

/// An entry of `detection`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartShown {
    /// Its key.
    pub name: String,
    /// As written; names between `%` stand for lists and macros.
    pub written: Vec<String>,
    /// With lists and macros put in place, where that differs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub expanded: Vec<String>,
}

/// A threat that a rule is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ThreatShown {
    /// Its id.
    pub id: String,
    /// Its title; empty where no catalogue has it.
    pub title: String,
    /// The catalogue and its version.
    pub catalogue: String,
}

/// What a rule costs by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostShown {
    /// Bytes compiled.
    pub bytes: u64,
    /// Patterns.
    pub patterns: usize,
    /// The most bytes of an answer that it holds back.
    pub longest_hold: u64,
}

/// A rule, all of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RuleDetail {
    /// As it is in force.
    pub rule: RuleShown,
    /// What an attacker gains.
    pub gain: String,
    /// Whose text it looks at, in prompts.
    pub roles: Vec<String>,
    /// The file it comes from and the line it begins at.
    pub file: String,
    /// The line.
    pub line: u32,
    /// Where a learned rule comes from, by name.
    pub provenance: BTreeMap<String, String>,
    /// What it looks for.
    pub looks_for: Vec<PartShown>,
    /// Checks on what matched.
    pub checks: Vec<String>,
    /// Texts in which it matches.
    pub examples: Vec<String>,
    /// Texts in which it does not.
    pub negative_examples: Vec<String>,
    /// Innocent texts that may match.
    pub false_positives: Vec<String>,
    /// Patterns and examples are left out: they are words that somebody reported, and stand with the proposal.
    pub withheld: bool,
    /// What its threat ids stand for.
    pub references: Vec<ThreatShown>,
    /// What it costs; nothing for detectors built into the program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostShown>,
    /// Requests it found something in.
    pub hits: RuleHits,
}

fn origin(snapshot: &Snapshot, anatomy: &Anatomy) -> Origin {
    if anatomy.rule.id.0.starts_with(LEARNED) {
        Origin::Learned
    } else if snapshot.rule_sources().is_builtin(&anatomy.rule.file) {
        Origin::Shipped
    } else {
        Origin::Site
    }
}

fn changes(overrides: &BTreeMap<String, Override>, anatomy: &Anatomy) -> Vec<ChangeShown> {
    let shown = |of: &str| {
        let Override { enabled, action, score, severity } = overrides.get(of)?.clone();
        Some(ChangeShown { of: of.to_owned(), enabled, action, score, severity })
    };
    [anatomy.rule.family.name(), &anatomy.rule.id.0].into_iter().filter_map(shown).collect()
}

fn shown(snapshot: &Snapshot, overrides: &BTreeMap<String, Override>, (anatomy, in_force): Pair<'_>) -> RuleShown {
    let rule = in_force.unwrap_or(&anatomy.rule);
    RuleShown {
        id: rule.id.to_string(),
        title: rule.title.to_string(),
        family: rule.family,
        severity: rule.severity,
        score: rule.score,
        action: rule.action,
        direction: rule.directions.into(),
        threats: rule.threats.iter().map(ToString::to_string).collect(),
        stage: rule.stage.name().to_owned(),
        share: if let Stage::Canary { share } = rule.stage { Some(share) } else { None },
        origin: origin(snapshot, anatomy),
        enabled: in_force.is_some(),
        overrides: changes(overrides, anatomy),
    }
}

/// Every rule with what this site changes, those that are switched off too.
#[utoipa::path(get, path = "/api/v1/rules", tag = "detection", params(RuleQuery),
    responses((status = 200, description = "The rules.", body = RuleList)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<RuleQuery>) -> Result<Json<RuleList>, ApiError> {
    let snapshot = app.doors.gateway.snapshot();
    let catalogue = app.catalogue.of(&snapshot).await?;
    let overrides = snapshot.rule_sources().overrides();
    let letters = asked.text.map(|text| text.text().to_lowercase());
    let has = |text: &str| letters.as_ref().is_none_or(|letters| text.to_lowercase().contains(letters.as_str()));
    let mut all = 0_usize;
    let mut items = Vec::new();
    for pair in catalogue.rules(&snapshot) {
        all = all.saturating_add(1);
        let one = shown(&snapshot, &overrides, pair);
        let fits = (has(&one.id) || has(&one.title) || has(&pair.0.rule.gain))
            && asked.family.is_none_or(|family| family == one.family)
            && asked.severity.is_none_or(|least| one.severity >= least)
            && asked.origin.is_none_or(|origin| origin == one.origin)
            && asked
                .threat
                .as_ref()
                .is_none_or(|threat| one.threats.iter().any(|own| own == threat.text() || whole(own) == threat.text()));
        if fits && items.len() < MOST {
            items.push(one);
        }
    }
    Ok(Json(RuleList { items, all }))
}

/// One rule: what it looks for, its examples, what it costs, how often it found something.
#[utoipa::path(get, path = "/api/v1/rules/{id}", tag = "detection",
    params(("id" = String, Path, max_length = 64), HitsQuery),
    responses((status = 200, description = "The rule.", body = RuleDetail)))]
pub async fn get(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Asked(asked): Asked<HitsQuery>,
) -> Result<Json<RuleDetail>, ApiError> {
    let snapshot = app.doors.gateway.snapshot();
    let catalogue = app.catalogue.of(&snapshot).await?;
    let found = catalogue.rules(&snapshot).find(|(anatomy, _)| *anatomy.rule.id.0 == *id);
    let pair = found.ok_or_else(|| ApiError::not_found("rule"))?;
    let hits = if who.reads_events() { asked.count(&app, Some(id)).await? } else { RuleHits::default() };
    let has_cost = !pair.0.patterns.is_empty() && !pair.0.written.iter().any(|(key, _)| key == "events");
    let cost = match has_cost {
        true => {
            let id = pair.0.rule.id.clone();
            app.catalogue.cost(Arc::clone(&catalogue), id, Arc::clone(&snapshot)).await
        }
        false => None,
    };
    let cost = cost.map(|cost| CostShown {
        bytes: cost.bytes,
        patterns: cost.patterns,
        longest_hold: if pair.0.rule.directions == Directions::Input { 0 } else { cost.longest_hold },
    });
    Ok(Json(RuleDetail { cost, ..detail(&snapshot, pair, hits) }))
}

fn detail(snapshot: &Snapshot, pair: Pair<'_>, hits: RuleHits) -> RuleDetail {
    let (anatomy, _) = pair;
    let rule = &anatomy.rule;
    let shown = shown(snapshot, &snapshot.rule_sources().overrides(), pair);
    // The words of a learned rule are those that somebody reported: they are read with the proposal, and that is on record.
    let withheld = shown.origin == Origin::Learned;
    let kept = |texts: &[String]| if withheld { Vec::new() } else { texts.to_vec() };
    RuleDetail {
        gain: rule.gain.to_string(),
        roles: roles(rule.roles),
        file: rule.file.to_string(),
        line: rule.line,
        provenance: rule.origin.clone(),
        looks_for: if withheld { Vec::new() } else { parts(anatomy) },
        checks: anatomy.checks.clone(),
        examples: kept(&rule.examples.positive),
        negative_examples: kept(&rule.examples.negative),
        false_positives: kept(&rule.false_positives),
        withheld,
        references: rule.threats.iter().map(|id| reference(id, snapshot.rules.threats().get(id))).collect(),
        cost: None,
        hits,
        rule: shown,
    }
}

fn roles(set: Roles) -> Vec<String> {
    const ALL: [Role; 7] =
        [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool, Role::Definition, Role::Parameter];
    ALL.into_iter().filter(|role| set.contains(*role)).map(|role| role.name().to_owned()).collect()
}

fn parts(anatomy: &Anatomy) -> Vec<PartShown> {
    let expanded = |key: &str, written: &[String]| {
        let found = anatomy.patterns.iter().find(|(name, _)| name == key).map(|(_, patterns)| patterns.clone());
        found.filter(|expanded| expanded != written).unwrap_or_default()
    };
    let part = |(key, written): &(String, Vec<String>)| PartShown {
        name: key.clone(),
        expanded: expanded(key, written),
        written: written.clone(),
    };
    anatomy.written.iter().map(part).collect()
}

fn reference(id: &str, known: Option<&Threat>) -> ThreatShown {
    ThreatShown {
        id: id.to_owned(),
        title: known.map(|known| known.title.to_string()).unwrap_or_default(),
        catalogue: known.map(|known| format!("{} {}", known.catalogue, known.version)).unwrap_or_default(),
    }
}
