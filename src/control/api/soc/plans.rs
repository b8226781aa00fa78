//! Plans: read, proposed, approved and denied.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::change::Change;
use super::super::error::ApiError;
use super::super::extract::{Asked, Body, Named};
use super::super::guard::{Credential, Principal};
use super::super::orders::{SubjectView, Upto, of_family, subject};
use super::super::words::{Few, Limit, Page, Reason, Seconds, Word, object};
use super::speaker;
use super::words::{ApprovalShown, PlanShown, page, word};
use crate::store::soc::PlanFilter;
use crate::types::soc::{Blast, Plan, PlanState, RemedyAction, Ruling, Step};

/// Steps of one plan.
const MOST_STEPS: usize = 20;

/// Which plans.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlanQuery {
    /// In this state: `proposed`, `refused`, `waiting`, `approved`, `carried`, `expired`.
    #[serde(default)]
    #[param(value_type = String, pattern = "^(proposed|refused|waiting|approved|carried|expired)$")]
    state: Option<PlanState>,
    /// For this incident.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    incident: Option<Word>,
    /// Proposed by this account, by its id, or by `analyst`.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    proposer: Option<Word>,
    /// At most so many entries; 50 unless said otherwise.
    #[serde(default)]
    #[param(value_type = u32, minimum = 1, maximum = 500)]
    limit: Limit,
    /// The `next` of the page before.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    before: Option<Word>,
}

/// One plan with what was said about it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanDetail {
    /// The plan.
    pub plan: PlanShown,
    /// Its text byte for byte: what is approved is the SHA-256 of this.
    pub text: String,
    /// What people said, in order.
    pub approvals: Vec<ApprovalShown>,
}

/// What can be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionView {
    /// Watch: nothing is done, and the incident says so.
    Monitor {},
    /// At most so many requests in so many seconds.
    RateLimit {
        /// Requests.
        #[schema(value_type = u32, minimum = 1, maximum = 1_000_000)]
        requests: Upto<1_000_000>,
        /// Seconds.
        #[schema(value_type = u32, minimum = 1, maximum = 86_400)]
        seconds: Upto<86_400>,
    },
    /// Refuse an address or a range.
    BlockAddress {},
    /// End a session, and what is running of it.
    TerminateSession {},
    /// Refuse a user.
    SuspendUser {},
    /// Take a gateway key away. Cannot be undone.
    RevokeKey {},
    /// Refuse an agent, and keep judging what it sends.
    IsolateAgent {},
    /// Judge a caller by the strict thresholds.
    TightenPolicy {},
    /// Tell somebody.
    Notify {
        /// The channel, by its name in the configuration.
        channel: Word,
    },
}

impl From<ActionView> for RemedyAction {
    fn from(view: ActionView) -> Self {
        match view {
            ActionView::Monitor {} => Self::Monitor,
            ActionView::RateLimit { requests, seconds } => {
                Self::RateLimit { requests: requests.get(), seconds: seconds.get() }
            }
            ActionView::BlockAddress {} => Self::BlockAddress,
            ActionView::TerminateSession {} => Self::TerminateSession,
            ActionView::SuspendUser {} => Self::SuspendUser,
            ActionView::RevokeKey {} => Self::RevokeKey,
            ActionView::IsolateAgent {} => Self::IsolateAgent,
            ActionView::TightenPolicy {} => Self::TightenPolicy,
            ActionView::Notify { channel } => Self::Notify { channel: String::from(channel).into() },
        }
    }
}

/// One step of a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewStep {
    /// What to do.
    #[serde(deserialize_with = "object")]
    #[schema(value_type = ActionView)]
    action: ActionView,
    /// To whom; absent where it is done to nobody.
    #[serde(default)]
    target: Option<SubjectView>,
    /// For how long, in seconds; absent: until somebody undoes it.
    #[serde(default)]
    lasts: Option<Seconds>,
    /// Why.
    reason: Reason,
}

/// A plan to propose.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// The incident it answers to.
    #[serde(default)]
    incident: Option<Word>,
    /// In a sentence.
    summary: Reason,
    /// What to do, in this order; 1 to 20 steps.
    #[schema(value_type = Vec<NewStep>, min_items = 1, max_items = 20)]
    steps: Few<NewStep, MOST_STEPS>,
}

/// What somebody says about a plan.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRuling {
    /// The hash of the plan they have read: a ruling holds for exactly that.
    #[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
    hash: Word,
    /// Why.
    reason: Reason,
}

/// A plan as the feed shows it: in place of its text the thing itself.
pub(super) fn shown(plan: &Plan) -> Result<PlanShown, ApiError> {
    let mut shown = PlanShown::of(plan)?;
    if let Some(fields) = shown.0.as_object_mut() {
        // A text that cannot be read is shown as the text it is.
        let body = serde_json::from_str(&plan.body).unwrap_or_else(|_| json!({ "unreadable": plan.body }));
        fields.insert("body".to_owned(), body);
    }
    Ok(shown)
}

async fn found(app: &App, id: &str) -> Result<Plan, ApiError> {
    app.database.plan(id).await?.ok_or_else(|| ApiError::not_found("plan"))
}

/// Refuses programs where a person has to speak, on record.
pub(super) async fn person(app: &App, who: &Principal, change: Change) -> Result<Change, ApiError> {
    if matches!(who.credential, Credential::Session { .. }) {
        return Ok(change);
    }
    change.refused(app).await?;
    Err(ApiError::forbidden("person_needed", "A person decides this, signed in; an API token cannot."))
}

/// Plans, newest first.
#[utoipa::path(get, path = "/api/v1/plans", tag = "soc", params(PlanQuery),
    responses((status = 200, description = "A page of plans.", body = Page<PlanShown>)))]
pub async fn list(State(app): State<App>, Asked(asked): Asked<PlanQuery>) -> Result<Json<Page<PlanShown>>, ApiError> {
    app.soc()?;
    let limit = asked.limit.get(&app);
    let filter = PlanFilter {
        state: asked.state,
        incident: word(asked.incident),
        proposer: word(asked.proposer),
        before: word(asked.before),
    };
    let found = app.database.plans(&filter, limit).await?;
    Ok(Json(page(&found, limit, |plan| &plan.id, shown)?))
}

/// One plan with what people said about it.
#[utoipa::path(get, path = "/api/v1/plans/{id}", tag = "soc", params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "The plan.", body = PlanDetail)))]
pub async fn get(State(app): State<App>, Named(id): Named<String>) -> Result<Json<PlanDetail>, ApiError> {
    app.soc()?;
    let plan = found(&app, &id).await?;
    let approvals = app.database.approvals_of(&id).await?;
    let approvals = approvals.iter().map(ApprovalShown::of).collect::<Result<_, _>>()?;
    Ok(Json(PlanDetail { plan: shown(&plan)?, text: plan.body, approvals }))
}

async fn step(app: &App, asked: NewStep, now: i64) -> Result<Step, ApiError> {
    let target = match asked.target {
        Some(view) => Some(of_family(app, subject(view)?).await?),
        None => None,
    };
    let action = RemedyAction::from(asked.action);
    let lasts = asked.lasts.map(|life| life.after(now).saturating_sub(now) / 1_000_000);
    Ok(Step {
        reversible: action.reversible(),
        action,
        target,
        lasts: lasts.and_then(|seconds| u64::try_from(seconds).ok()),
        reason: asked.reason.into(),
        // Whoever verifies the plan counts.
        blast: Blast::default(),
    })
}

/// Proposes a plan. It is verified like the analyst's, and somebody else approves it.
#[utoipa::path(post, path = "/api/v1/plans", tag = "soc", request_body = NewPlan,
    responses((status = 201, description = "Proposed; a plan that may not be done is refused, with the reasons.",
        body = PlanShown)))]
pub async fn propose(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<NewPlan>,
) -> Result<(StatusCode, Json<PlanShown>), ApiError> {
    let (station, now) = (app.station()?, app.now());
    let mut steps = Vec::new();
    for asked in asked.steps {
        steps.push(step(&app, asked, now).await?);
    }
    if steps.is_empty() {
        return Err(ApiError::invalid("nothing_to_do", "A plan has at least one step."));
    }
    let incident = word(asked.incident);
    if let Some(id) = &incident {
        app.database.incident(id).await?.ok_or_else(|| ApiError::not_found("incident"))?;
    }
    let after = json!({ "incident": incident, "summary": asked.summary.text(), "steps": steps });
    let change = Change::new("approval", "plan.propose", who.actor(), "plan/new".to_owned()).after(after);
    let speaker = speaker(&who);
    let work = station.planner.propose(incident.as_deref(), &speaker, asked.summary.into(), steps);
    let plan = change.make(&app, work).await?;
    Ok((StatusCode::CREATED, Json(shown(&plan)?)))
}

/// What the trail has of a ruling.
fn noted(plan: &Plan, asked: &PlanRuling) -> Value {
    json!({ "hash": asked.hash.text(), "reason": asked.reason.text(), "needed": plan.needed })
}

async fn rule(app: &App, who: Principal, id: &str, asked: PlanRuling, ruling: Ruling) -> Result<PlanShown, ApiError> {
    let station = app.station()?;
    let before = found(app, id).await?;
    let action = if ruling == Ruling::Approve { "plan.approve" } else { "plan.deny" };
    let change = Change::new("approval", action, who.actor(), format!("plan/{id}")).after(noted(&before, &asked));
    let change = person(app, &who, change).await?;
    let speaker = speaker(&who);
    let work = station.approvals.rule(id, asked.hash.text(), &speaker, ruling, asked.reason.into());
    shown(&change.make(app, work).await?)
}

/// Approves a plan, by its hash. A person does, not whoever proposed it, and nobody twice.
#[utoipa::path(post, path = "/api/v1/plans/{id}/approve", tag = "soc", request_body = PlanRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the plan is now.", body = PlanShown)))]
pub async fn approve(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<PlanRuling>,
) -> Result<Json<PlanShown>, ApiError> {
    rule(&app, who, &id, asked, Ruling::Approve).await.map(Json)
}

/// Denies a plan, by its hash: it is refused.
#[utoipa::path(post, path = "/api/v1/plans/{id}/deny", tag = "soc", request_body = PlanRuling,
    params(("id" = String, Path, max_length = 64)),
    responses((status = 200, description = "As the plan is now.", body = PlanShown)))]
pub async fn deny(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Body(asked): Body<PlanRuling>,
) -> Result<Json<PlanShown>, ApiError> {
    rule(&app, who, &id, asked, Ruling::Deny).await.map(Json)
}

/// A reason alone.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// Why.
    pub(super) reason: Reason,
}
