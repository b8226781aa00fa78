//! Words with a colour and a sign: never the colour alone.

use maud::{Markup, html};

use crate::types::Severity;

/// How bad something is.
pub(in crate::console) fn severity(severity: Severity) -> Markup {
    let sign = match severity {
        Severity::Critical => "◆",
        Severity::High => "▲",
        Severity::Medium => "■",
        Severity::Low => "●",
        Severity::Informational => "○",
    };
    html! { span class={ "badge sev " (severity.name()) } { span aria-hidden="true" { (sign) " " } (severity.name()) } }
}

/// Where something stands: open, closed, in force, ...
pub(in crate::console) fn state(word: &str) -> Markup {
    html! { span class={ "badge st " (word) } { (word.replace('_', " ")) } }
}

/// How likely something is a false alarm, in percent: red, yellow or green, and in words.
pub(in crate::console) fn likelihood(percent: u8) -> Markup {
    let (class, words) = match percent {
        0..30 => ("bad", "most likely an attack"),
        30..70 => ("unsure", "could be either"),
        _ => ("good", "most likely harmless"),
    };
    html! { span class={ "badge fp " (class) } title={ (percent) " % likely a false alarm" } { (percent) " % false alarm: " (words) } }
}

/// The same in a table.
pub(in crate::console) fn likelihood_short(percent: u8) -> Markup {
    let (class, sign) = match percent {
        0..30 => ("bad", "▲"),
        30..70 => ("unsure", "◐"),
        _ => ("good", "✓"),
    };
    html! { span class={ "badge fp " (class) } { span aria-hidden="true" { (sign) " " } (percent) " %" } }
}
