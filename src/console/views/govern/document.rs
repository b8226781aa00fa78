//! A report as the API has it, shown as a page: tolerant of what it does not know.

use maud::{Markup, html};
use serde_json::Value;

use super::words::{entries, number, text};
use crate::console::parts;
use crate::console::parts::number::{count, dollars, micros};
use crate::console::parts::table::table;
use crate::console::parts::time;

/// Rows of one table that are shown; the files have all.
const ROWS: usize = 300;

/// Every section of a report.
pub(super) fn sections(report: &Value) -> Markup {
    html! { @for section in entries(report, "sections") {
        section.panel {
            h2 { (parts::name(text(section, "title"))) }
            @for block in entries(section, "blocks") { (shown(block)) }
        }
    } }
}

fn shown(block: &Value) -> Markup {
    match text(block, "block") {
        "text" => parts::lines(text(block, "text")),
        "note" => html! { div.notice.unsure { (parts::lines(text(block, "text"))) } },
        "figures" => html! { div.tiles { @for figure in entries(block, "figures") {
            div.tile {
                p.label { (parts::name(text(figure, "label"))) }
                p.value { (cell(figure.get("value").unwrap_or(&Value::Null))) }
                p.quiet { (parts::name(text(figure, "hint"))) }
            }
        } } },
        "table" => rows(block),
        // Figures over time stand in the tables too, and are drawn in the files.
        _ => html! {},
    }
}

fn rows(of: &Value) -> Markup {
    let heads: Vec<&str> = entries(of, "columns").iter().filter_map(Value::as_str).collect();
    let all = entries(of, "rows");
    let rows: Vec<Markup> = all
        .iter()
        .take(ROWS)
        .map(|row| html! { tr { @for one in row.as_array().into_iter().flatten() { td { (cell(one)) } } } })
        .collect();
    html! {
        h3 { (parts::name(text(of, "title"))) }
        @if rows.is_empty() { p.quiet { "Nothing." } }
        @else { (table(text(of, "title"), &heads, &rows)) }
        @if all.len() > ROWS { p.quiet { (ROWS) " of " (all.len()) " rows are shown: the files have all of them." } }
    }
}

fn cell(of: &Value) -> Markup {
    let value = of.get("value").unwrap_or(&Value::Null);
    let whole = value.as_i64().unwrap_or(0);
    let size = u64::try_from(whole).unwrap_or(0);
    match text(of, "is") {
        "text" => word(value.as_str().unwrap_or_default()),
        "count" => html! { (count(size)) },
        "share" => html! { (format!("{:.1} %", value.as_f64().unwrap_or(0.0) * 100.0)) },
        "nano" => html! { (dollars(whole)) },
        "time" | "day" => time::at(whole),
        "lasts" => html! { (micros(size)) },
        _ => html! { span.quiet { "–" } },
    }
}

/// Words, those that say how a control stands as what they are.
fn word(text: &str) -> Markup {
    let class = match text {
        "met" | "shown" => "good",
        "partly" | "in part" => "unsure",
        "not met" | "not shown" => "bad",
        _ => return parts::lines(text),
    };
    html! { span class={ "badge " (class) } { (text) } }
}

/// A list entry of a kept report: which one it is.
pub(super) fn period(report: &Value) -> Markup {
    let at = |name: &str| time::at(number(report, name).unwrap_or(0));
    html! { (at("since")) " to " (at("until")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_shown_as_it_is_and_what_is_unknown_is_left_out() {
        let report = json!({ "sections": [{ "title": "<h1>", "blocks": [
            { "block": "text", "text": "a <script>\u{202e}" },
            { "block": "figures", "figures": [{ "label": "Spend", "value": { "is": "nano", "value": 1_500_000_000 }, "hint": "" }] },
            { "block": "table", "title": "T", "columns": ["a"], "rows": [[{ "is": "text", "value": "=<b>" }], [{ "is": "share", "value": 0.5 }]] },
            { "block": "hologram", "data": "x" }, 7,
        ] }] });
        let shown = sections(&report).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("$1.50") && shown.contains("50.0 %"), "{shown}");
        assert_eq!(sections(&Value::Null).into_string(), "");
    }
}
