//! Proposals: read, approved, promoted, rejected, rolled back; exported and imported.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Asked, Body, Named};
use super::super::guard::Principal;
use super::super::soc::speaker;
use super::super::soc::words::{page, word};
use super::super::words::{Limit, LongText, Page, Reason, Word};
use super::words::{HitsShown, ProposalShown, VariationShown};
use crate::control::learn::desk::Verb;
use crate::learn::Gates;
use crate::store::learn::ProposalFilter;
use crate::types::learn::{Proposal, ProposalState};

/// What lists do not show: the rules and what they were made of.
const HIDDEN: &[&str] = &["variations", "rules", "figures"];

/// Which proposals.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProposalQuery {
    /// In this state: `working`, `refused`, `shadow`, `canary`, `live`, `rolled_back`, `rejected`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(working|refused|shadow|canary|live|rolled_back|rejected)$")]
    state: Option<ProposalState>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

/// A proposal with what its rules found in traffic since it came where it stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProposalDetail {
    /// The proposal, with how its candidates did at the gates.
    pub proposal: ProposalShown,
    /// Requests that were inspected since.
    pub seen: u64,
    /// What each rule found in them.
    pub hits: BTreeMap<String, HitsShown>,
}

/// Proposals, newest first, without their rules.
#[utoipa::path(get, path = "/api/v1/learn/proposals", tag = "learn", params(ProposalQuery),
    responses((status = 200, description = "A page of proposals.", body = Page<ProposalShown>)))]
pub async fn list(
    State(app): State<App>,
    Asked(asked): Asked<ProposalQuery>,
) -> Result<Json<Page<ProposalShown>>, ApiError> {
    app.learn()?;
    let limit = asked.limit.get(&app);
    let filter = ProposalFilter { state: asked.state, before: word(asked.before) };
    let found = app.database.proposals(&filter, limit).await?;
    Ok(Json(page(&found, limit, |one| &one.id, |one| ProposalShown::without(one, HIDDEN))?))
}

async fn found(app: &App, id: &str) -> Result<Proposal, ApiError> {
    app.learn()?;
    app.database.proposal(id).await?.ok_or_else(|| ApiError::not_found("proposal"))
}

/// One proposal: how its candidates did at the gates, and what its rules hit since.
#[utoipa::path(get, path = "/api/v1/learn/proposals/{id}", tag = "learn",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The proposal.", body = ProposalDetail)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<ProposalDetail>, ApiError> {
    let proposal = found(&app, &id).await?;
    let sums = match proposal.state.is_staged() {
        true => app.database.hits_since(proposal.since.div_euclid(60_000_000)).await?,
        false => BTreeMap::new(),
    };
    let of = |id: &str| {
        let hits = sums.get(id).cloned().unwrap_or_default();
        let mut shown = HitsShown::without(&hits, &["callers", "seen"])?;
        if let Some(fields) = shown.0.as_object_mut() {
            fields.insert("callers".to_owned(), json!(hits.callers.len()));
        }
        Ok((id.to_owned(), shown))
    };
    let hits: Result<_, ApiError> = proposal.ids.iter().map(|id| of(&id.0)).collect();
    Ok(Json(ProposalDetail {
        seen: sums.get("").map_or(0, |all| all.seen),
        hits: hits?,
        proposal: ProposalShown::without(&proposal, &["variations", "rules"])?,
    }))
}

/// The rules of one proposal, whose examples are the words that were reported.
#[utoipa::path(get, path = "/api/v1/learn/proposals/{id}/rules", tag = "learn",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The rule file.", body = ProposedRules)))]
pub async fn rules(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
) -> Result<Json<ProposedRules>, ApiError> {
    let proposal = found(&app, &id).await?;
    Change::new("content_reveal", "learn.rules.read", who.actor(), format!("proposal/{id}")).record(&app).await?;
    Ok(Json(ProposedRules { rules: proposal.rules, hash: proposal.hash.to_string() }))
}

/// The rules of a proposal.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ProposedRules {
    /// The rule file.
    pub rules: String,
    /// Its SHA-256 in hex: what is approved.
    pub hash: String,
}

/// Every variation of one proposal.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Variations {
    /// The texts.
    pub items: Vec<VariationShown>,
}

/// The variations of the reported text that rules were made from, and those that they were tried on.
#[utoipa::path(get, path = "/api/v1/learn/proposals/{id}/variations", tag = "learn",
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The texts.", body = Variations)))]
pub async fn variations(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
) -> Result<Json<Variations>, ApiError> {
    let proposal = found(&app, &id).await?;
    Change::new("content_reveal", "learn.variations.read", who.actor(), format!("proposal/{id}")).record(&app).await?;
    let items = proposal.variations.iter().map(VariationShown::of);
    Ok(Json(Variations { items: items.collect::<Result<_, _>>()? }))
}

/// What somebody decides about a proposal.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProposalRuling {
    /// The hash of the rules that were seen; needed to let them decide.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{64}$")]
    hash: Option<Word>,
    /// Why.
    reason: Reason,
}

async fn rule(
    app: &App,
    who: &Principal,
    id: &str,
    asked: ProposalRuling,
    verb: Verb,
) -> Result<ProposalShown, ApiError> {
    let desk = app.learn()?;
    let before = found(app, id).await?;
    let action = match verb {
        Verb::Approve => "learn.approve",
        Verb::Promote => "learn.promote",
        Verb::Reject => "learn.reject",
        Verb::RollBack => "learn.roll_back",
        Verb::Insist => "learn.insist",
    };
    let seen = word(asked.hash).unwrap_or_default();
    let change = Change::new("approval", action, who.actor(), format!("proposal/{id}"))
        .before(json!({ "state": before.state, "hash": before.hash }))
        .after(json!({ "hash": seen, "reason": asked.reason.text() }));
    let speaker = speaker(who);
    let work = desk.rule(id, verb, &seen, &speaker, String::from(asked.reason).into());
    ProposalShown::without(&change.make(app, work).await?, HIDDEN)
}

/// Lets a proposal out of the shadow: it decides for some callers first. A person does who neither reported nor brought it.
#[utoipa::path(post, path = "/api/v1/learn/proposals/{id}/approve", tag = "learn", request_body = ProposalRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the proposal is now.", body = ProposalShown)))]
pub async fn approve(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ProposalRuling>,
) -> Result<Json<ProposalShown>, ApiError> {
    rule(&app, &who, &id, asked, Verb::Approve).await.map(Json)
}

/// Lets a canary decide for all callers. A person does who neither reported nor brought it.
#[utoipa::path(post, path = "/api/v1/learn/proposals/{id}/promote", tag = "learn", request_body = ProposalRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the proposal is now.", body = ProposalShown)))]
pub async fn promote(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ProposalRuling>,
) -> Result<Json<ProposalShown>, ApiError> {
    rule(&app, &who, &id, asked, Verb::Promote).await.map(Json)
}

/// Says that a proposal in the shadow is never to decide.
#[utoipa::path(post, path = "/api/v1/learn/proposals/{id}/reject", tag = "learn", request_body = ProposalRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the proposal is now.", body = ProposalShown)))]
pub async fn reject(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ProposalRuling>,
) -> Result<Json<ProposalShown>, ApiError> {
    rule(&app, &who, &id, asked, Verb::Reject).await.map(Json)
}

/// Takes rules out of force that decide.
#[utoipa::path(post, path = "/api/v1/learn/proposals/{id}/rollback", tag = "learn", request_body = ProposalRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the proposal is now.", body = ProposalShown)))]
pub async fn rollback(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ProposalRuling>,
) -> Result<Json<ProposalShown>, ApiError> {
    rule(&app, &who, &id, asked, Verb::RollBack).await.map(Json)
}

/// Says of a refused proposal that its text is an attack although it reads harmless: it is tried once more. A person does who did not
/// report it.
#[utoipa::path(post, path = "/api/v1/learn/proposals/{id}/insist", tag = "learn", request_body = ProposalRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the proposal is now.", body = ProposalShown)))]
pub async fn insist(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<ProposalRuling>,
) -> Result<Json<ProposalShown>, ApiError> {
    rule(&app, &who, &id, asked, Verb::Insist).await.map(Json)
}

/// Rules in a file.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile {
    /// The rule file.
    rules: LongText,
}

/// Takes over rules that were learned elsewhere. They pass the same gates, and somebody else lets them decide.
#[utoipa::path(post, path = "/api/v1/learn/import", tag = "learn", request_body = RuleFile,
    responses((status = 201, description = "It is tried.", body = ProposalShown)))]
pub async fn import(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<RuleFile>,
) -> Result<(StatusCode, Json<ProposalShown>), ApiError> {
    let desk = app.learn()?;
    let text = String::from(asked.rules);
    let change = Change::new("action", "learn.import", who.actor(), "proposal/new".to_owned())
        .after(json!({ "bytes": text.len() }));
    let speaker = speaker(&who);
    let proposal = change.make(&app, desk.import(text, &speaker)).await?;
    Ok((StatusCode::CREATED, Json(ProposalShown::without(&proposal, HIDDEN)?)))
}

/// Which rules to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// Those in this state: `shadow`, `canary` or `live`; absent: `live`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(shadow|canary|live)$")]
    state: Option<ProposalState>,
}

/// Exported rules.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Exported {
    /// An ordinary rule file; each rule says where it comes from.
    pub rules: String,
    /// How many proposals it holds.
    pub proposals: usize,
}

/// Learned rules as one rule file, whose examples are words that were reported: the trail says who took it.
#[utoipa::path(get, path = "/api/v1/learn/export", tag = "learn", params(ExportQuery),
    responses((status = 200, description = "The rules.", body = Exported)))]
pub async fn export(
    State(app): State<App>,
    who: Principal,
    Asked(asked): Asked<ExportQuery>,
) -> Result<Json<Exported>, ApiError> {
    app.learn()?;
    let wanted = asked.state.unwrap_or(ProposalState::Live);
    let mut staged = app.database.staged_proposals().await?;
    staged.retain(|one| one.state == wanted);
    let stems: Vec<&str> = staged.iter().map(|one| &*one.stem).collect();
    Change::new("content_reveal", "learn.export", who.actor(), format!("rules/{}", wanted.name()))
        .after(json!({ "proposals": stems }))
        .record(&app)
        .await?;
    let files: Vec<&str> = staged.iter().map(|one| one.rules.trim_end()).collect();
    let mut rules = files.join("\n---\n");
    if !rules.is_empty() {
        rules.push('\n');
    }
    Ok(Json(Exported { rules, proposals: files.len() }))
}

/// How many proposals stand where.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct LearnStatus {
    /// Whether anything can be reported.
    pub enabled: bool,
    /// Proposals by state.
    pub proposals: BTreeMap<String, u64>,
    /// What a proposal has to pass, as it is configured.
    pub gates: GatesShown,
}

/// What a proposal has to pass.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
pub struct GatesShown {
    /// The share of the variations it was not built from that it has to catch, 0 to 1.
    pub held_back: f64,
    /// Harmless texts it may hit.
    pub harmless_hits: u64,
    /// The share of recent prompts it may newly hit, 0 to 1.
    pub traffic_rate: f64,
    /// Bytes that its rules may compile to.
    pub max_bytes: u64,
    /// The share of harmless texts that may have a literal its patterns are looked for by, 0 to 1.
    pub literal_rate: f64,
}

/// Whether learning is on, and how many proposals stand where.
#[utoipa::path(get, path = "/api/v1/learn", tag = "learn",
    responses((status = 200, description = "How it is.", body = LearnStatus)))]
pub async fn status(State(app): State<App>) -> Result<Json<LearnStatus>, ApiError> {
    let enabled = app.doors.learn.is_some();
    let counts = if enabled { app.database.proposal_counts().await? } else { Vec::new() };
    let snapshot = app.doors.gateway.snapshot();
    let gates = &snapshot.settings.learn.gates;
    // Four digits, so that a 32-bit fraction does not look more exact than it is.
    let digits = |share: f32| (f64::from(share) * 10_000.0).round() / 10_000.0;
    let gates = GatesShown {
        held_back: digits(gates.held_back),
        harmless_hits: gates.harmless_hits,
        traffic_rate: digits(gates.traffic_rate),
        max_bytes: gates.max_bytes.get(),
        literal_rate: Gates::default().max_literal_rate,
    };
    Ok(Json(LearnStatus { enabled, proposals: counts.into_iter().collect(), gates }))
}
