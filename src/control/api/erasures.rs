//! Erasing one person.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::App;
use super::change::Change;
use super::error::ApiError;
use super::extract::Body;
use super::guard::Principal;
use super::words::Word;

/// Whom to erase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// The user, as requests name them.
    #[schema(value_type = String, min_length = 1, max_length = 256, pattern = r"^[^\x00-\x1f\x7f]{1,256}$")]
    user: Word,
}

/// What was done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErasureDone {
    /// Texts that are gone.
    pub contents: u64,
    /// Requests that name nobody any more.
    pub requests: u64,
    /// Events that name nobody any more.
    pub events: u64,
    /// Rows of the ledger that name nobody any more.
    pub ledger: u64,
    /// Keys revoked, that name nobody any more.
    pub keys: u64,
    /// Objects of providers that nobody owns any more.
    pub issued: u64,
    /// Standing orders that were over, removed. Those in force stay until they end.
    pub orders: u64,
    /// Alerts, incidents and held tool calls that name nobody any more.
    pub soc: u64,
    /// Reported texts of theirs that are forgotten.
    pub reports: u64,
    /// What receivers of exports had refused, removed.
    pub exports: u64,
    /// Records of the audit trail that name nobody any more. The chain stays valid.
    pub audit: u64,
}

/// Erases what is remembered of one person. The audit trail says that it was done, not for whom.
#[utoipa::path(post, path = "/api/v1/erasures", tag = "audit", request_body = Erasure,
    responses((status = 200, description = "What was done.", body = ErasureDone)))]
pub async fn erase(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<Erasure>,
) -> Result<Json<ErasureDone>, ApiError> {
    let user = String::from(asked.user);
    let change = Change::new("erasure", "person.erase", who.actor(), "person".to_owned()).after(json!({}));
    let work = async {
        let erased = app.database.erase(&user, app.now()).await?;
        let audit = app.database.audit_erase(&user).await?;
        Ok::<_, ApiError>((erased, audit))
    };
    let (erased, audit) = change.make(&app, work).await?;
    app.doors.gateway.refresh(super::door::Refresh::Keys).await?;
    Ok(Json(ErasureDone {
        contents: erased.contents,
        requests: erased.requests,
        events: erased.events,
        ledger: erased.ledger,
        keys: erased.keys,
        issued: erased.issued,
        orders: erased.orders,
        soc: erased.soc,
        reports: erased.reports,
        exports: erased.exports,
        audit,
    }))
}
