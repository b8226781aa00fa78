//! Monitoring: whether it is off, and switching it off for a time and on again.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::App;
use super::super::change::Change;
use super::super::door::Refresh;
use super::super::error::ApiError;
use super::super::extract::Body;
use super::super::guard::Principal;
use super::super::words::{Reason, Whole};
use super::refused;
use crate::store::soc::Switch;
use crate::types::soc::{FeedEntry, MonitoringOff};

/// The switch's name in the store.
pub const SWITCH: &str = "monitoring";

/// Minutes that monitoring is off: at most a day.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(try_from = "Whole")]
#[schema(value_type = u32, minimum = 1, maximum = 1440)]
pub struct Minutes(u32);

impl Default for Minutes {
    fn default() -> Self {
        Self(60)
    }
}

impl TryFrom<Whole> for Minutes {
    type Error = &'static str;

    fn try_from(Whole(minutes): Whole) -> Result<Self, &'static str> {
        if (1..=1440).contains(&minutes) { Ok(Self(minutes)) } else { Err("1 to 1440 minutes") }
    }
}

/// Switches monitoring off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwitchOff {
    /// For so many minutes, 60 unless said otherwise: it ends by itself.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 1440, default = 60)]
    minutes: Minutes,
    /// Why.
    reason: Reason,
}

/// Whether requests are inspected.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MonitoringView {
    /// Whether it is off: requests pass uninspected.
    pub off: bool,
    /// Until when: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// Who switched it off: the id of an account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Since when: Unix time in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
}

impl From<Option<MonitoringOff>> for MonitoringView {
    fn from(off: Option<MonitoringOff>) -> Self {
        match off {
            None => Self { off: false, until: None, by: None, since: None },
            Some(off) => {
                Self { off: true, until: Some(off.until), by: Some(off.by.to_string()), since: Some(off.since) }
            }
        }
    }
}

/// How it is now.
pub(super) async fn now(app: &App) -> Result<MonitoringView, ApiError> {
    let now = app.now();
    let switch = app.database.switch(SWITCH).await?.filter(|switch| switch.in_force(now));
    // What cannot be read switches nothing off.
    let off = switch.and_then(|switch| serde_json::from_value::<MonitoringOff>(switch.value).ok());
    Ok(off.filter(|off| off.holds(now)).into())
}

/// Makes a change effective, here at once, and tells whoever watches. It has to work where the SOC is switched off.
async fn spread(app: &App, entries: Vec<FeedEntry>) -> Result<(), ApiError> {
    if let Some(soc) = &app.doors.soc {
        soc.station.feed.publish(entries).await;
    }
    Ok(app.doors.gateway.refresh(Refresh::Switches).await?)
}

/// Whether monitoring is switched off.
#[utoipa::path(get, path = "/api/v1/monitoring", tag = "soc",
    responses((status = 200, description = "How it is.", body = MonitoringView)))]
pub async fn get(State(app): State<App>) -> Result<Json<MonitoringView>, ApiError> {
    now(&app).await.map(Json)
}

/// Switches monitoring off for a time: every route is treated as with `mode = "off"`. Off already, it takes the new time.
#[utoipa::path(post, path = "/api/v1/monitoring/off", tag = "soc", request_body = SwitchOff,
    responses((status = 200, description = "It is off.", body = MonitoringView)))]
pub async fn off(
    State(app): State<App>,
    who: Principal,
    Body(asked): Body<SwitchOff>,
) -> Result<Json<MonitoringView>, ApiError> {
    let (since, before) = (app.now(), now(&app).await?);
    let until = since.saturating_add(i64::from(asked.minutes.0).saturating_mul(60_000_000));
    let off = MonitoringOff { until, by: who.account.clone(), since };
    let switch = Switch { name: SWITCH.into(), value: json!(off), until: Some(until), by: who.name.clone(), at: since };
    let change = Change::new("config_change", "monitoring.off", who.actor(), SWITCH.to_owned())
        .before(json!({ "off": before.off, "until": before.until }))
        .after(json!({ "off": true, "until": until, "minutes": asked.minutes.0, "reason": asked.reason.text() }));
    let work = async { app.database.set_switch(&switch).await.map_err(refused("monitoring_conflict")) };
    spread(&app, change.make(&app, work).await?).await?;
    Ok(Json(Some(off).into()))
}

/// Switches monitoring on again before its time.
#[utoipa::path(post, path = "/api/v1/monitoring/on", tag = "soc",
    responses((status = 200, description = "It is on.", body = MonitoringView)))]
pub async fn on(State(app): State<App>, who: Principal) -> Result<Json<MonitoringView>, ApiError> {
    let before = now(&app).await?;
    if !before.off {
        return Err(ApiError::conflict("monitoring_is_on", "Monitoring is on."));
    }
    let change = Change::new("config_change", "monitoring.on", who.actor(), SWITCH.to_owned())
        .before(json!({ "off": true, "until": before.until }))
        .after(json!({ "off": false }));
    let at = app.now();
    let work = async {
        app.database.clear_switch(&SWITCH.into(), &who.name, at).await.map_err(refused("monitoring_conflict"))
    };
    let (_, entries) = change.make(&app, work).await?;
    spread(&app, entries).await?;
    Ok(Json(None.into()))
}
