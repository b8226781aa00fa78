//! Reports: made, listed, fetched in a format, and removed.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::{Asked, Body, Named};
use super::guard::Principal;
use super::roles::Permission;
use super::words::{Page, PageQuery, Word};
use crate::control::report::{ReportDesk, ReportError};
use crate::report::{Ask, Format, Kind};
use crate::store::KeptReport;

const DAY: i64 = 86_400_000_000;

/// Which report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReportKindWord {
    /// Traffic, decisions, top threats, alerts, incidents, remedies.
    Security,
    /// Threats by family and catalogue, their trend, notable incidents.
    Threats,
    /// What the gateway contributes to the controls of a framework. Asks for the right to read the audit trail.
    Compliance,
    /// What was spent, by whom, against which budgets. Asks for the right to read the ledger.
    Spend,
    /// What was missed, learned and taken back.
    Learning,
}

/// A report that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportAsked {
    /// Which.
    kind: ReportKindWord,
    /// The framework of a compliance report, by its name.
    #[serde(default)]
    framework: Option<Word>,
    /// Only of this tenant.
    #[serde(default)]
    tenant: Option<Word>,
    /// From when: Unix time in microseconds; 30 days before `until` unless said otherwise.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    since: Option<i64>,
    /// Before when: Unix time in microseconds; now unless said otherwise. At most two years after `since`.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 4_102_444_800_000_000_i64)]
    until: Option<i64>,
}

/// A report that is kept.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct KeptReportShown {
    /// Its id.
    pub id: String,
    /// Which report.
    pub kind: String,
    /// The framework of a compliance report.
    pub framework: Option<String>,
    /// The tenant it is about; none: all of them.
    pub tenant: Option<String>,
    /// What it is called.
    pub title: String,
    /// From when it tells: Unix time in microseconds.
    pub since: i64,
    /// Before when.
    pub until: i64,
    /// When it was made.
    pub made: i64,
    /// By whom: the name of an account, or `schedule`.
    pub by: String,
    /// Bytes of its document.
    pub bytes: u64,
}

/// A framework of controls.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FrameworkShown {
    /// The word for it.
    pub name: String,
    /// What it is called.
    pub title: String,
    /// Which version of it.
    pub version: String,
    /// Where it is published.
    pub source: String,
    /// How many of its controls are looked at.
    pub controls: u64,
    /// Of these, controls that the gateway has no part in.
    pub not_covered: u64,
}

/// Every framework.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FrameworkList {
    /// By name.
    pub items: Vec<FrameworkShown>,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FormatWord {
    /// Pages.
    Pdf,
    /// One page for a browser.
    Html,
    /// Markdown.
    Md,
    /// The document itself.
    #[default]
    Json,
    /// Its tables.
    Csv,
}

/// In which format.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FormatQuery {
    /// How it is written; `json` unless said otherwise.
    #[serde(default)]
    #[param(value_type = FormatWord, inline)]
    format: FormatWord,
    /// Only this table, by its name; of `csv` only.
    #[serde(default)]
    #[param(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    table: Option<Word>,
}

impl App {
    fn reports(&self) -> Result<&ReportDesk, ApiError> {
        let off = || ApiError::conflict("reports_disabled", "There are no reports here.");
        self.doors.reports.as_ref().ok_or_else(off)
    }

    /// Whether somebody may read what a report of that kind is made of.
    fn may(&self, who: &Principal, kind: &str) -> bool {
        let permission = match Kind::from_name(kind) {
            Some(Kind::Spend) => Permission::ReadLedger,
            Some(Kind::Compliance) => Permission::ReadAudit,
            Some(Kind::Security | Kind::Threats | Kind::Learning) | None => Permission::ReadEvents,
        };
        who.roles.any_of(&permission.roles(&self.settings.reveal_roles))
    }

    fn must(&self, who: &Principal, kind: &str) -> Result<(), ApiError> {
        let told = "Reports of this kind are for those who may read what they are made of.";
        if self.may(who, kind) { Ok(()) } else { Err(ApiError::forbidden("missing_role", told)) }
    }
}

impl From<ReportError> for ApiError {
    fn from(problem: ReportError) -> Self {
        let told = problem.to_string();
        match problem {
            ReportError::Store(error) => error.into(),
            ReportError::NoFramework(..) => Self::conflict("unknown_framework", told),
            ReportError::Framework => Self::conflict("framework", told),
            ReportError::Period(_) => Self::conflict("period", told),
            ReportError::Missing => Self::not_found("report"),
            ReportError::Busy => {
                let wait = std::time::Duration::from_secs(5);
                Self::limited(wait, "too_many_reports", "As many reports are being made as may be at once.")
            }
            ReportError::Late => Self::unavailable("report_too_long", "Making the report took too long."),
            ReportError::Render(crate::report::RenderError::Failed(_)) => Self::internal(&told),
            ReportError::Render(_) => Self::conflict("no_such_table", told),
            ReportError::File(_) | ReportError::Failed(_) => Self::internal(&told),
        }
    }
}

impl From<ReportKindWord> for Kind {
    fn from(word: ReportKindWord) -> Self {
        match word {
            ReportKindWord::Security => Self::Security,
            ReportKindWord::Threats => Self::Threats,
            ReportKindWord::Compliance => Self::Compliance,
            ReportKindWord::Spend => Self::Spend,
            ReportKindWord::Learning => Self::Learning,
        }
    }
}

impl From<FormatWord> for Format {
    fn from(word: FormatWord) -> Self {
        match word {
            FormatWord::Pdf => Self::Pdf,
            FormatWord::Html => Self::Html,
            FormatWord::Md => Self::Md,
            FormatWord::Json => Self::Json,
            FormatWord::Csv => Self::Csv,
        }
    }
}

impl From<KeptReport> for KeptReportShown {
    fn from(one: KeptReport) -> Self {
        Self {
            id: one.id,
            kind: one.kind,
            framework: one.framework,
            tenant: one.tenant,
            title: one.title,
            since: one.since,
            until: one.until,
            made: one.made,
            by: one.by,
            bytes: one.bytes,
        }
    }
}

/// Reports that are kept, newest first: those of the kinds that whoever asks may read.
#[utoipa::path(get, path = "/api/v1/reports", tag = "reports", params(PageQuery),
    responses((status = 200, description = "A page of reports.", body = Page<KeptReportShown>)))]
pub async fn list(
    State(app): State<App>,
    who: Principal,
    Asked(asked): Asked<PageQuery>,
) -> Result<Json<Page<KeptReportShown>>, ApiError> {
    let (after, limit) = asked.bounds(&app);
    let after = Some(after.as_str()).filter(|after| !after.is_empty());
    let found = app.reports()?.list(after, limit).await?;
    let page = Page::new(found, limit, |one: &KeptReport| one.id.clone());
    let items = page.items.into_iter().filter(|one| app.may(&who, &one.kind)).map(Into::into).collect();
    Ok(Json(Page { items, next: page.next }))
}

/// Makes a report of what is stored and in force now, and keeps it.
#[utoipa::path(post, path = "/api/v1/reports", tag = "reports", request_body = ReportAsked,
    responses((status = 201, description = "Made and kept.", body = KeptReportShown),
        (status = 409, description = "No such framework, or an impossible period.", body = super::error::ErrorBody),
        (status = 429, description = "As many are made as may be at once.", body = super::error::ErrorBody)))]
pub async fn make(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<ReportAsked>,
) -> Result<(StatusCode, Json<KeptReportShown>), ApiError> {
    let desk = app.reports()?;
    let kind = Kind::from(asked.kind);
    app.must(&who, kind.name())?;
    let now = app.now();
    let until = asked.until.unwrap_or(now);
    let ask = Ask {
        kind,
        framework: asked.framework.map(String::from),
        tenant: asked.tenant.map(String::from),
        since: asked.since.unwrap_or_else(|| until.saturating_sub(30 * DAY)),
        until,
        made: now,
        by: who.name.to_string(),
    };
    let change = Change::new("export", "report.make", who.actor(), format!("report/{}", kind.name())).after(json!({
        "kind": kind.name(), "framework": ask.framework, "tenant": ask.tenant, "since": ask.since, "until": ask.until,
    }));
    let (kept, _) = change.make(&app, desk.make(&ask)).await?;
    Ok((StatusCode::CREATED, Json(kept.into())))
}

/// The frameworks that there are compliance reports about.
#[utoipa::path(get, path = "/api/v1/reports/frameworks", tag = "reports",
    responses((status = 200, description = "Every framework.", body = FrameworkList)))]
pub async fn frameworks(State(app): State<App>) -> Result<Json<FrameworkList>, ApiError> {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let shown = app.reports()?.frameworks().iter().map(|one| FrameworkShown {
        name: one.name.clone(),
        title: one.title.clone(),
        version: one.version.clone(),
        source: one.source.clone(),
        controls: count(one.controls.len()),
        not_covered: count(one.controls.iter().filter(|control| control.not_covered.is_some()).count()),
    });
    Ok(Json(FrameworkList { items: shown.collect() }))
}

/// A report in a format: the document itself as JSON, its tables as CSV, or Markdown, HTML or PDF.
#[utoipa::path(get, path = "/api/v1/reports/{id}", tag = "reports",
    params(("id" = String, Path, max_length = 64), FormatQuery),
    responses((status = 200, description = "The report, as a file.", content(
        (Object = "application/json"), (String = "text/csv"), (String = "text/html"), (String = "text/markdown"),
        (String = "application/pdf"))),
        (status = 409, description = "It has no such table.", body = super::error::ErrorBody),
        (status = 429, description = "As many are written as may be at once.", body = super::error::ErrorBody)))]
pub async fn get(
    State(app): State<App>,
    who: Principal,
    Named(id): Named<String>,
    Asked(asked): Asked<FormatQuery>,
) -> Result<Response, ApiError> {
    let desk = app.reports()?;
    app.must(&who, &desk.kept(&id).await?.kind)?;
    let written = desk.written(&id, asked.format.into(), asked.table.map(String::from)).await?;
    let name = format!("attachment; filename=\"{}\"", written.file);
    let name = HeaderValue::from_str(&name).map_err(|error| ApiError::internal(&error))?;
    let kind = HeaderValue::from_static(written.format.media_type());
    Ok(([(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, name)], written.bytes).into_response())
}

/// Removes a report.
#[utoipa::path(delete, path = "/api/v1/reports/{id}", tag = "reports", params(("id" = String, Path, max_length = 64)),
    responses((status = 204, description = "It is gone.")))]
pub async fn remove(State(app): State<App>, who: Principal, Named(id): Named<String>) -> Result<StatusCode, ApiError> {
    let desk = app.reports()?;
    let kept = desk.kept(&id).await?;
    app.must(&who, &kept.kind)?;
    let change = Change::new("export", "report.remove", who.actor(), format!("report/{id}"));
    let change = change.before(json!({ "kind": kept.kind, "made": kept.made, "by": kept.by }));
    change.make(&app, desk.remove(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
