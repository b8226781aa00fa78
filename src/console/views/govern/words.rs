//! Small things that several of these pages say.

use maud::{Markup, html};
use serde_json::Value;

use crate::console::parts;
use crate::console::query::part;
use crate::console::visit::Visit;

/// A text in a JSON object; empty where there is none.
pub(super) fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A whole number in a JSON object.
pub(super) fn number(of: &Value, name: &str) -> Option<i64> {
    of.get(name).and_then(Value::as_i64)
}

/// The entries of a list: of the list itself, or of its `items` or a field of that name.
pub(super) fn entries<'a>(of: &'a Value, name: &str) -> &'a [Value] {
    let list = of.as_array().or_else(|| of.get(name)?.as_array()).or_else(|| of.get("items")?.as_array());
    list.map(Vec::as_slice).unwrap_or_default()
}

/// Where a caller has its page.
pub(super) fn caller_path(kind: &str, name: &str) -> String {
    format!("/console/callers/{kind}/{}", part(name))
}

/// The ways between pages that belong together: path, name.
pub(super) fn tabs(visit: &Visit, label: &str, all: &[(&str, &str)]) -> Markup {
    html! {
        nav.tabs aria-label=(label) { @for (path, name) in all {
            a href=(path) aria-current=[(visit.path() == *path).then_some("page")] { (name) }
        } }
    }
}

/// A JSON value in a fact: a name as it is, everything else as JSON.
pub(super) fn shown(value: &Value) -> Markup {
    match value {
        Value::Null => html! { span.quiet { "–" } },
        Value::String(text) => parts::name(text),
        Value::Bool(_) | Value::Number(_) => html! { (value) },
        Value::Array(_) | Value::Object(_) => parts::json(value),
    }
}

/// How long something is in force: seconds and words, for forms.
pub(super) const LIVES: [(&str, &str); 6] = [
    ("3600", "1 hour"),
    ("86400", "1 day"),
    ("604800", "1 week"),
    ("2592000", "30 days"),
    ("7776000", "90 days"),
    ("31536000", "1 year"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_others_stay_words() {
        assert_eq!(caller_path("user", "a/../b?<x>"), "/console/callers/user/a%2F..%2Fb%3F%3Cx%3E");
        let hostile = shown(&json!("<script>\u{202e}")).into_string();
        assert!(hostile.contains("&lt;script&gt;") && !hostile.contains('\u{202e}'), "{hostile}");
        let nested = shown(&json!({ "a": "</code><b>" })).into_string();
        assert!(!nested.contains("<b>"), "{nested}");
        assert_eq!(entries(&json!({ "items": [1] }), "x").len(), 1);
        assert!(entries(&json!("x"), "x").is_empty() && entries(&Value::Null, "x").is_empty());
    }
}
