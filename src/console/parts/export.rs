//! Lists as files: what the filters of a page find, as CSV or JSON.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::Value;

use crate::console::query::Query;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::words::Page;

/// Rows of one file; a list that is longer is exported by period.
const MOST: usize = 10_000;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::console) enum Format {
    Csv,
    Json,
}

impl Format {
    /// The one that the address asks for.
    pub(in crate::console) fn asked(visit: &Visit) -> Option<Self> {
        match visit.query().get("format") {
            Some("csv") => Some(Self::Csv),
            Some("json") => Some(Self::Json),
            _ => None,
        }
    }
}

/// Columns of a file: their names, and where their values stand in a row.
pub(in crate::console) type Columns = [(&'static str, &'static str)];

/// The links to this list as files.
pub(in crate::console) fn links(visit: &Visit) -> Markup {
    let link = |format: &str| visit.query().with("format", format).on(visit.path());
    html! {
        p.export { span.quiet { "Export " }
            a href=(link("csv")) download="" { "CSV" } " " a href=(link("json")) download="" { "JSON" }
        }
    }
}

/// The file: every page of the API's list at `path` with these filters, at most 10 000 rows.
pub(in crate::console) async fn file(
    visit: &Visit,
    format: Format,
    name: &str,
    (path, filters): (&str, &Query),
    columns: &Columns,
) -> Result<Response, Trouble> {
    let mut rows: Vec<Value> = Vec::new();
    let mut asked = filters.with("limit", "500");
    loop {
        let page: Page<Value> = visit.get(&asked.on(path)).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) if rows.len() < MOST => asked = asked.with("before", &next),
            Some(_) | None => break,
        }
    }
    rows.truncate(MOST);
    Ok(match format {
        Format::Csv => attached(csv(&rows, columns), name, "csv", "text/csv; charset=utf-8"),
        Format::Json => attached(Value::Array(rows).to_string(), name, "json", "application/json"),
    })
}

/// A text as a file.
pub(in crate::console) fn attached(text: String, name: &str, ending: &str, kind: &'static str) -> Response {
    let mut answer = text.into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    answer
}

fn csv(rows: &[Value], columns: &Columns) -> String {
    let heads: Vec<String> = columns.iter().map(|(name, _)| cell(name)).collect();
    let mut out = heads.join(",");
    out.push_str("\r\n");
    for row in rows {
        let cells: Vec<String> = columns
            .iter()
            .map(|(_, place)| match row.pointer(place) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => cell(text),
                Some(other) => cell(&other.to_string()),
            })
            .collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

/// A cell that no spreadsheet takes for a formula.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']) && text.parse::<f64>().is_err();
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_quoted_and_none_is_a_formula() {
        let rows =
            [json!({ "a": "=1+1", "b": { "c": -5 } }), json!({ "a": "x,\"y\"\nz", "b": { "c": [1] } }), json!({})];
        let text = csv(&rows, &[("a", "/a"), ("c", "/b/c")]);
        assert_eq!(text, "a,c\r\n'=1+1,-5\r\n\"x,\"\"y\"\"\nz\",[1]\r\n,\r\n");
        for bad in ["+x", "-x", "@x", "\tx", "\rx"] {
            assert!(cell(bad).trim_start_matches('"').starts_with('\''), "{bad:?}");
        }
        assert_eq!(cell("-1.5"), "-1.5");
    }
}
