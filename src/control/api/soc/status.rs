//! How the SOC does, in figures.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::App;
use super::super::error::ApiError;
use super::alerts::{AlertCounts, counted};
use super::monitoring::{self, MonitoringView};

/// How the SOC does.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SocStatus {
    /// Alerts by state and severity.
    pub alerts: AlertCounts,
    /// The feed.
    pub feed: FeedStatus,
    /// Whether monitoring is off.
    pub monitoring: MonitoringView,
    /// Passages of playbooks and past incidents that can be found.
    pub passages: usize,
}

/// How the feed does.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FeedStatus {
    /// The number of the newest entry: where `since` of `/api/v1/live` begins for what is to come.
    pub head: i64,
    /// The number of the oldest entry that is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<i64>,
    /// The last entry told here; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<i64>,
    /// Who watches here, the SOC's own parts included.
    pub subscribers: usize,
    /// Sockets open here.
    pub sockets: usize,
}

/// How the SOC does: counts, the feed and who watches it, whether monitoring is off.
#[utoipa::path(get, path = "/api/v1/soc/status", tag = "soc",
    responses((status = 200, description = "The figures.", body = SocStatus)))]
pub async fn status(State(app): State<App>) -> Result<Json<SocStatus>, ApiError> {
    let soc = app.soc()?;
    let hub = soc.station.feed.hub();
    Ok(Json(SocStatus {
        alerts: counted(&app).await?,
        feed: FeedStatus {
            head: app.database.feed_head().await?,
            oldest: app.database.feed_oldest().await?,
            told: hub.last(),
            subscribers: hub.watching(),
            sockets: soc.live.open(),
        },
        monitoring: monitoring::now(&app).await?,
        passages: soc.station.library.len(),
    }))
}
