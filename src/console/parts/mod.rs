//! What pages are made of.

pub(super) mod badge;
pub(super) mod chart;
pub(super) mod evidence;
pub(super) mod export;
pub(super) mod filter;
pub(super) mod form;
pub(super) mod number;
pub(super) mod secret;
pub(super) mod table;
pub(super) mod time;

use maud::{Markup, html};
use serde_json::Value;

use crate::types::visible;

/// Characters of a name that are shown.
const NAME: usize = 200;

/// A name from elsewhere, with what would not be seen made visible.
pub(super) fn name(text: &str) -> Markup {
    html! { bdi { (visible(text, NAME)) } }
}

/// A name, or a dash where there is none.
pub(super) fn name_or_dash(text: Option<&str>) -> Markup {
    html! { @match text { Some(text) => (name(text)), None => span.quiet { "–" } } }
}

/// What somebody wrote, line by line.
pub(super) fn lines(text: &str) -> Markup {
    html! { @for line in text.lines() { p { bdi { (visible(line, 4000)) } } } }
}

/// Nothing to show, and why that may be so.
pub(super) fn empty(what: &str, hint: &str) -> Markup {
    html! { div.empty { p { (what) } p.quiet { (hint) } } }
}

/// A figure with a name, which leads to what is counted.
pub(super) fn tile(label: &str, value: &str, hint: &str, link: Option<&str>) -> Markup {
    html! {
        div.tile {
            p.label { @match link { Some(link) => a href=(link) { (label) }, None => (label) } }
            p.value { (value) }
            p.quiet { (hint) }
        }
    }
}

/// Names and what they stand for.
pub(super) fn facts(all: &[(&str, Markup)]) -> Markup {
    html! { dl.facts { @for (name, value) in all { div { dt { (name) } dd { (value) } } } } }
}

/// JSON for people to read.
pub(super) fn json(value: &Value) -> Markup {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    // Line by line: what `visible` does with the end of a line is for one of them.
    html! { pre.json tabindex="0" { code { @for line in text.lines() { (visible(line, 4000)) "\n" } } } }
}

/// A part of a page that may be opened.
pub(super) fn fold(title: &str, body: &Markup) -> Markup {
    html! { details.fold { summary { (title) } (body) } }
}
