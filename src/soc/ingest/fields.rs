//! Fields of foreign JSON: found by their paths, read as what they mean.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::types::soc::Threat;
use crate::types::{Family, Severity};

/// Entries of a list that are looked at.
const MAX_LIST: usize = 64;

/// What an alert of another system says, whatever its shape.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) title: String,
    pub(super) severity: Option<Severity>,
    pub(super) id: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) message: Option<String>,
    pub(super) family: Option<Family>,
    /// Unix time in microseconds.
    pub(super) time: Option<i64>,
    pub(super) tenant: Option<String>,
    pub(super) user: Option<String>,
    pub(super) key: Option<String>,
    pub(super) session: Option<String>,
    pub(super) agent: Option<String>,
    pub(super) address: Option<IpAddr>,
    pub(super) model: Option<String>,
    /// 0 to 1.
    pub(super) risk: Option<f32>,
    /// In percent.
    pub(super) false_positive: Option<u8>,
    /// Ids with the names that were sent.
    pub(super) threats: Vec<(Arc<str>, String)>,
}

/// What stands at a path: `event.kind` is the member `kind` of `event`, or a member called `event.kind`. Of a list, its
/// first entry.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let value = match value {
        Value::Array(list) => list.first()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => value,
    };
    if path.is_empty() {
        return Some(value).filter(|value| !value.is_null());
    }
    let map = value.as_object()?;
    // The longest name first: both ways of writing may be mixed.
    let mut end = path.len();
    loop {
        let (name, rest) = (path.get(..end)?, path.get(end..)?.trim_start_matches('.'));
        if let Some(found) = map.get(name).and_then(|inner| at(inner, rest)) {
            return Some(found);
        }
        end = name.rfind('.')?;
    }
}

/// The first of some paths that has a text, or a number as text.
pub(super) fn text(value: &Value, paths: &[&str]) -> Option<String> {
    paths.iter().find_map(|path| match at(value, path)? {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    })
}

/// The first of some paths that has a number, or a text that is one.
pub(super) fn number(value: &Value, paths: &[&str]) -> Option<f64> {
    let read = |value: &Value| value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    paths.iter().find_map(|path| read(at(value, path)?)).filter(|number: &f64| number.is_finite())
}

/// The first of some paths that has an address. Of IPv4 in IPv6, the IPv4 one.
pub(super) fn address(value: &Value, paths: &[&str]) -> Option<IpAddr> {
    let read = |path: &&str| at(value, path)?.as_str()?.trim().parse::<IpAddr>().ok();
    paths.iter().find_map(read).map(|address| address.to_canonical())
}

/// The entries of a list, or the one thing that stands in its place.
pub(super) fn list<'a>(value: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut inner = Some(value);
    for name in path.split('.') {
        inner = inner.and_then(|inner| inner.get(name));
    }
    match inner.or_else(|| value.get(path)) {
        Some(Value::Array(list)) => list.iter().take(MAX_LIST).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one],
    }
}

/// A severity by its word, whatever its case.
pub(super) fn severity(word: &str) -> Option<Severity> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "informational" | "information" | "info" | "none" | "unknown" => Severity::Informational,
        "low" | "minor" => Severity::Low,
        "medium" | "moderate" | "warning" => Severity::Medium,
        "high" | "major" | "error" => Severity::High,
        "critical" | "fatal" | "emergency" => Severity::Critical,
        _ => return None,
    })
}

/// A severity of 0 to 100, by the bounds that CrowdStrike and Elastic have in common.
pub(super) fn severity_of_hundred(number: f64) -> Severity {
    match number {
        number if number >= 80.0 => Severity::Critical,
        number if number >= 60.0 => Severity::High,
        number if number >= 40.0 => Severity::Medium,
        number if number >= 20.0 => Severity::Low,
        _ => Severity::Informational,
    }
}

/// A severity of 1 (informational) to 5 (critical) and above.
pub(super) fn severity_of_five(number: f64) -> Option<Severity> {
    Some(match number {
        number if number >= 5.0 => Severity::Critical,
        number if number >= 4.0 => Severity::High,
        number if number >= 3.0 => Severity::Medium,
        number if number >= 2.0 => Severity::Low,
        number if number >= 1.0 => Severity::Informational,
        _ => return None,
    })
}

/// A time in microseconds: RFC 3339, or a number of seconds, milli- or microseconds by its size.
pub(super) fn time(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            let stamp = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
            stamp.or_else(|| scaled(text.parse().ok()?))
        }
        Value::Number(number) => scaled(number.as_f64()?),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn scaled(number: f64) -> Option<i64> {
    let factor = match number {
        number if !number.is_finite() || number <= 0.0 => return None,
        number if number < 1e11 => 1e6,
        number if number < 1e14 => 1e3,
        number if number < 1e17 => 1.0,
        // Nanoseconds.
        number if number < 1e20 => 1e-3,
        _ => return None,
    };
    Some((number * factor) as i64)
}

/// The first of some paths that has a time.
pub(super) fn time_at(value: &Value, paths: &[&str]) -> Option<i64> {
    paths.iter().find_map(|path| time(at(value, path)?))
}

/// The id of a catalogued threat in its usual spelling: `T1059.001`, `TA0010`, `AML.T0051`, `LLM01:2026`, `ASI01`.
pub(super) fn id_of(text: &str) -> Option<Arc<str>> {
    let text = text.trim().to_ascii_uppercase();
    let digits = |text: &str, many: usize| text.len() == many && text.bytes().all(|byte| byte.is_ascii_digit());
    let technique = |text: &str| {
        let (main, sub) = text.split_once('.').map_or((text, None), |(main, sub)| (main, Some(sub)));
        digits(main, 4) && sub.is_none_or(|sub| digits(sub, 3))
    };
    let bare = text.strip_prefix("AML.").unwrap_or(&text);
    let mitre =
        bare.strip_prefix("TA").is_some_and(|rest| digits(rest, 4)) || bare.strip_prefix('T').is_some_and(technique);
    let owasp = match text.strip_prefix("LLM") {
        Some(rest) => rest.split_once(':').map_or(digits(rest, 2), |(n, year)| digits(n, 2) && digits(year, 4)),
        None => text.strip_prefix("ASI").is_some_and(|rest| digits(rest, 2)),
    };
    (mitre || owasp).then(|| text.into())
}

/// Notes an id with a name, once, while there is room.
pub(super) fn note(threats: &mut Vec<(Arc<str>, String)>, id: Option<&str>, name: Option<&str>) {
    if threats.len() < MAX_LIST
        && let Some(id) = id.and_then(id_of)
        && !threats.iter().any(|(known, _)| *known == id)
    {
        threats.push((id, name.unwrap_or_default().to_owned()));
    }
}

/// The family that techniques speak for, the first that does.
pub(super) fn family_of(threats: &[Threat]) -> Option<Family> {
    threats.iter().find_map(|threat| {
        let main = &*threat.id;
        let technique = main.rsplit_once('.').filter(|(head, _)| *head != "AML").map_or(main, |(head, _)| head);
        Some(match (main, technique) {
            ("AML.T0051.001", _) => Family::IndirectInjection,
            (_, "AML.T0051") => Family::PromptInjection,
            (_, "AML.T0054") => Family::Jailbreak,
            (_, "AML.T0056" | "AML.T0069") => Family::PromptExtraction,
            (_, "AML.T0057") => Family::Leakage,
            (_, "AML.T0025" | "AML.T0086" | "AML.T0077" | "T1041" | "T1048" | "T1567" | "TA0010") => {
                Family::DataExfiltration
            }
            (_, "AML.T0055" | "T1552" | "T1555") => Family::Secrets,
            (_, "AML.T0050" | "AML.T0053" | "T1059") => Family::SystemManipulation,
            (_, "T1190") => Family::MaliciousInput,
            (_, "AML.T0052" | "T1566") => Family::SocialEngineering,
            (_, "AML.T0068" | "T1027") => Family::Encoding,
            _ => return None,
        })
    })
}
