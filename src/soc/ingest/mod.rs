//! Alerts that other systems send, as JSON, become drafts: our own shape, OCSF, ECS, CrowdStrike, Microsoft.
//!
//! What is sent is taken for what it says, not for true: it is cleaned, bounded, and its likelihood to be a false alarm is
//! half where the sender says nothing of it. Shapes are told apart by their fields.

mod fields;
mod own;
mod shapes;

use std::sync::Arc;

use serde_json::Value;

use self::fields::{Found, family_of};
pub use self::own::Sent;
use super::alert::{Draft, MAX_MESSAGE, MAX_NAME, MAX_THREATS, blank, fold_key};
use super::words;
use crate::types::soc::Threat;
use crate::types::{Caller, Severity};

/// Bytes of what was sent that are kept.
pub const MAX_RAW: usize = 16 * 1024;
/// Characters of a title that are kept.
const MAX_TITLE: usize = 200;
/// Characters of a name of a rule, of a user, of an id that are kept.
const MAX_ID: usize = 200;
/// Levels of what was sent that are kept.
const MAX_DEPTH: usize = 32;
/// How old an alert may say that it is, in microseconds: 30 days. An older one happened when it came.
const OLDEST: i64 = 30 * 86_400 * 1_000_000;

/// Why something that was sent is no alert. Carries names of fields, and of what was sent no more than a few words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// It is none of the shapes.
    #[error(
        "not a known shape: send `title` and `severity`, an OCSF Detection Finding, an ECS alert, a CrowdStrike detection or a \
         Microsoft alert"
    )]
    Unknown,
    /// It is not what this shape should be.
    #[error("not a valid {shape}: {message}")]
    Invalid {
        /// Which shape.
        shape: Shape,
        /// What is wrong.
        message: String,
    },
}

/// The shapes that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Our own: [`Sent`].
    Own,
    /// OCSF Detection Finding (class 2004).
    Ocsf,
    /// Elastic Common Schema, `event.kind: alert` or `signal`.
    Ecs,
    /// CrowdStrike Falcon: an alert or detection of its API, or an event of its stream.
    CrowdStrike,
    /// Microsoft: an alert of Graph or Defender, a row of Sentinel's `SecurityAlert`, a Sentinel incident.
    Microsoft,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 5] = [Self::Own, Self::Ocsf, Self::Ecs, Self::CrowdStrike, Self::Microsoft];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "portcullis",
            Self::Ocsf => "ocsf",
            Self::Ecs => "ecs",
            Self::CrowdStrike => "crowdstrike",
            Self::Microsoft => "microsoft",
        }
    }

    /// Which shape something has.
    pub fn of(body: &Value) -> Option<Self> {
        shapes::shape(body)
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What `source` (the name of the system that sent it) says in `body`, as the draft of an alert. `now` is Unix time in
/// microseconds.
///
/// # Errors
/// It has none of the shapes, or lacks what its shape must have.
pub fn map(source: &str, body: &Value, now: i64) -> Result<Draft, MapError> {
    let shape = Shape::of(body).ok_or(MapError::Unknown)?;
    let found = match shape {
        Shape::Own => own::read(body)?,
        Shape::Ocsf => shapes::ocsf(body),
        Shape::Ecs => shapes::ecs(body),
        Shape::CrowdStrike => shapes::crowdstrike(body),
        Shape::Microsoft => shapes::microsoft(body),
    };
    if found.title.trim().is_empty() {
        return Err(MapError::Invalid { shape, message: "it has no title".to_owned() });
    }
    Ok(make(source, found, body, now))
}

fn make(source: &str, found: Found, body: &Value, now: i64) -> Draft {
    let severity = found.severity.unwrap_or(Severity::Medium);
    let title = words::clean(&found.title, MAX_TITLE);
    // Their rule, so that what one rule of theirs says is counted as one.
    let rule = named(found.rule).unwrap_or_else(|| title.as_str().into());
    let time = found.time.filter(|time| (now.saturating_sub(OLDEST)..=now).contains(time)).unwrap_or(now);
    let caller = Caller {
        address: found.address,
        tenant: named(found.tenant),
        key: named(found.key),
        user: named(found.user),
        session: named(found.session),
        agent: named(found.agent),
        ..Caller::default()
    };
    let mut draft = blank(&rule, &title, severity, time, caller);
    draft.model = found.model.map(|model| words::clean(&model, MAX_NAME).into());
    draft.requests = named(found.id).into_iter().collect();
    draft.message = words::clean(found.message.as_deref().unwrap_or(&found.title), MAX_MESSAGE);
    draft.source = named(Some(source.to_owned())).unwrap_or_else(|| "outside".into());
    if &*draft.source == "gateway" {
        // That is our own name.
        draft.source = "outside:gateway".into();
    }
    let threats = found.threats.into_iter().take(MAX_THREATS);
    draft.threats = threats.map(|(id, title)| Threat { id, title: words::clean(&title, MAX_TITLE).into() }).collect();
    draft.family = found.family.or_else(|| family_of(&draft.threats));
    draft.verdict.risk = found.risk.unwrap_or_else(|| risk_of(severity)).clamp(0.0, 1.0);
    draft.verdict.false_positive = found.false_positive.unwrap_or(50).min(100);
    if found.false_positive.is_none() {
        draft.verdict.reasons.push("the system that sent it does not say how sure it is".to_owned());
    }
    draft.raw = Some(kept(body));
    draft.fold = fold_key(&draft);
    draft
}

fn named(name: Option<String>) -> Option<Arc<str>> {
    let name = words::clean(&name?, MAX_ID);
    (!name.is_empty()).then(|| name.into())
}

/// The risk of an alert that says none, by its severity.
const fn risk_of(severity: Severity) -> f32 {
    match severity {
        Severity::Informational => 0.1,
        Severity::Low => 0.3,
        Severity::Medium => 0.5,
        Severity::High => 0.75,
        Severity::Critical => 0.95,
    }
}

/// What was sent, without control characters; of what is too long its beginning.
fn kept(body: &Value) -> Value {
    let clean = scrubbed(body, MAX_DEPTH);
    let text = clean.to_string();
    if text.len() <= MAX_RAW {
        return clean;
    }
    // Quoted again, it may become twice as long.
    let (mut head, mut room) = (String::new(), MAX_RAW - 200);
    for letter in text.chars() {
        let needed = letter.len_utf8() + usize::from(matches!(letter, '"' | '\\'));
        if needed > room {
            break;
        }
        room -= needed;
        head.push(letter);
    }
    serde_json::json!({"truncated": true, "bytes": text.len(), "head": head})
}

fn scrubbed(value: &Value, depth: usize) -> Value {
    let text = |text: &str| -> String {
        let hidden =
            |letter: &char| (letter.is_control() && !matches!(letter, '\n' | '\t')) || words::is_hidden(*letter);
        text.chars().filter(|letter| !hidden(letter)).collect()
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        Value::String(own) => Value::String(text(own)),
        Value::Array(_) | Value::Object(_) if depth == 0 => Value::Null,
        Value::Array(list) => list.iter().map(|one| scrubbed(one, depth - 1)).collect(),
        Value::Object(map) => map.iter().map(|(key, one)| (text(key), scrubbed(one, depth - 1))).collect(),
    }
}

#[cfg(test)]
mod tests;
