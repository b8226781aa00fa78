//! Our own shape, for systems that can be told what to send.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::fields::{Found, id_of, time};
use super::{MapError, Shape};
use crate::soc::words;
use crate::types::{Family, Severity};

/// Threats that one may name.
const MAX_THREATS: usize = 32;

/// What another system sends. Unknown fields are refused, so that a misspelt one is noticed.
///
/// ```json
/// {"title": "Login from two countries", "severity": "high", "rule": "impossible-travel", "user": "ann", "tenant": "acme",
///  "address": "203.0.113.7", "time": "2026-11-21T10:00:00Z", "threats": ["T1078"], "false_positive": 20}
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// In a few words.
    pub title: String,
    /// `informational`, `low`, `medium`, `high` or `critical`.
    pub severity: Severity,
    /// The id of the alert where it comes from; the same id again is the same alert.
    pub id: Option<String>,
    /// The rule that made it; absent: the title.
    pub rule: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// The family of threats.
    pub family: Option<Family>,
    /// When: RFC 3339, or Unix time in seconds, milli- or microseconds; absent: now.
    pub time: Option<Value>,
    /// The organisation.
    pub tenant: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The id of a gateway key, never the key.
    pub key: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// The address.
    pub address: Option<IpAddr>,
    /// The model.
    pub model: Option<String>,
    /// 0 to 1.
    pub risk: Option<f32>,
    /// How likely it is a false alarm, in percent.
    pub false_positive: Option<u8>,
    /// Ids of catalogued threats (`T1078`, `AML.T0051.000`, `LLM01:2026`).
    #[serde(default)]
    pub threats: Vec<String>,
}

pub(super) fn read(body: &Value) -> Result<Found, MapError> {
    let invalid = |message: &str| MapError::Invalid { shape: Shape::Own, message: words::clean(message, 300) };
    let sent = Sent::deserialize(body).map_err(|error| invalid(&error.to_string()))?;
    if sent.risk.is_some_and(|risk| !(0.0..=1.0).contains(&risk)) {
        return Err(invalid("`risk` must be 0 to 1"));
    }
    if sent.false_positive.is_some_and(|percent| percent > 100) {
        return Err(invalid("`false_positive` must be 0 to 100"));
    }
    if sent.threats.len() > MAX_THREATS {
        return Err(invalid("there may be 32 `threats` at most"));
    }
    let mut threats = Vec::new();
    for id in &sent.threats {
        let id = id_of(id).ok_or_else(|| invalid("`threats` must be ids like T1078, AML.T0051.000 or LLM01:2026"))?;
        threats.push((id, String::new()));
    }
    let at = sent.time.as_ref().map(|own| time(own).ok_or_else(|| invalid("`time` is no time"))).transpose()?;
    Ok(Found {
        title: sent.title,
        severity: Some(sent.severity),
        id: sent.id,
        rule: sent.rule,
        message: sent.message,
        family: sent.family,
        time: at,
        tenant: sent.tenant,
        user: sent.user,
        key: sent.key,
        session: sent.session,
        agent: sent.agent,
        address: sent.address,
        model: sent.model,
        risk: sent.risk,
        false_positive: sent.false_positive,
        threats,
    })
}
