//! What is shown once, such as a fresh key.

use maud::{Markup, html};
use serde_json::Value;

/// The answer's fields, and the way back.
pub(in crate::console) fn once(what: &str, said: &Value, back: &str) -> Markup {
    let fields: Vec<(&String, String)> = said
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| {
            Some((
                name,
                value
                    .as_str()
                    .map_or_else(|| value.is_number().then(|| value.to_string()), |text| Some(text.to_owned()))?,
            ))
        })
        .collect();
    html! {
        p { (what) ": what is secret in it is shown this once. Copy it now." }
        dl.facts { @for (name, value) in fields { div { dt { (name) } dd { code { (value) } } } } }
        p { a.button href=(back) { "Done" } }
    }
}
