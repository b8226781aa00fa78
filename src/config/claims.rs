//! Reading claims: dotted paths, names, groups, times; everything bounded.

use std::sync::Arc;

use serde_json::{Map, Value};

/// Longest name of a user, tenant, team, agent or group, in bytes.
pub(super) const MAX_NAME: usize = 256;

/// Claims give seconds, we count in microseconds.
const MICROS: i64 = 1_000_000;

/// Most groups of one user.
const MAX_GROUPS: usize = 256;

/// A claim that cannot be what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadClaim;

/// The claims of a token.
pub(super) struct Claims<'a>(pub(super) &'a Map<String, Value>);

impl Claims<'_> {
    /// The claim at a path: the whole path as one name first, for names with dots.
    fn find(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let mut steps = path.split('.');
        let mut value = self.0.get(steps.next()?)?;
        for step in steps {
            value = value.as_object()?.get(step)?;
        }
        Some(value)
    }

    /// A text or a list of texts.
    pub(super) fn texts(&self, path: &str) -> Option<Vec<&str>> {
        match self.find(path)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(list) => list.iter().map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
        }
    }

    /// Whether a claim is there with one of these values, or with any if there are none. Of a list, one element will do.
    pub(super) fn has(&self, path: &str, accepted: &[String]) -> bool {
        let is_accepted = |value: &Value| match value {
            Value::String(text) => accepted.iter().any(|one| one == text),
            Value::Bool(_) | Value::Number(_) => accepted.contains(&value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        match self.find(path) {
            None | Some(Value::Null) => false,
            Some(_) if accepted.is_empty() => true,
            Some(Value::Array(list)) => list.iter().any(is_accepted),
            Some(value) => is_accepted(value),
        }
    }

    /// A name. Claims that are missing, null or empty are `None`.
    pub(super) fn name(&self, path: &str) -> Result<Option<Arc<str>>, BadClaim> {
        match self.find(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => name(text).map(Some),
            Some(Value::Number(number)) => name(&number.to_string()).map(Some),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(BadClaim),
        }
    }

    /// Groups: a list of names, or a text of several with spaces or commas between.
    pub(super) fn groups(&self, path: &str) -> Result<Arc<[Arc<str>]>, BadClaim> {
        let names: Vec<&str> = match self.find(path) {
            None | Some(Value::Null) => return Ok(Arc::default()),
            Some(Value::String(text)) => text.split([' ', ',']).filter(|name| !name.is_empty()).collect(),
            Some(Value::Array(list)) => list.iter().map(Value::as_str).collect::<Option<_>>().ok_or(BadClaim)?,
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => return Err(BadClaim),
        };
        if names.len() > MAX_GROUPS {
            return Err(BadClaim);
        }
        names.into_iter().map(name).collect()
    }

    /// A moment (RFC 7519, `NumericDate`) in microseconds.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, BadClaim> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        if let Some(seconds) = value.as_i64() {
            return Ok(Some(seconds.saturating_mul(MICROS)));
        }
        let seconds = value.as_f64().filter(|seconds| seconds.is_finite() && seconds.abs() < 1e12).ok_or(BadClaim)?;
        #[expect(clippy::cast_possible_truncation, reason = "bounded above; fractions of a second do not matter")]
        let seconds = seconds.trunc() as i64;
        Ok(Some(seconds.saturating_mul(MICROS)))
    }
}

/// A name that can stand in records: bounded, no control characters, no blanks around it.
fn name(text: &str) -> Result<Arc<str>, BadClaim> {
    let fits = !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control) && text.trim() == text;
    if fits { Ok(Arc::from(text)) } else { Err(BadClaim) }
}
