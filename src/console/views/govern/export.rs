//! Tables as files: CSV for spreadsheets, JSON for programs.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::Value;

use crate::console::visit::Visit;

/// As what kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Json,
}

/// Whether this page is asked for as a file.
pub(super) fn asked(visit: &Visit) -> Option<Format> {
    match visit.query().get("format") {
        Some("csv") => Some(Format::Csv),
        Some("json") => Some(Format::Json),
        _ => None,
    }
}

/// The ways to this page as a file.
pub(super) fn links(visit: &Visit) -> Markup {
    html! { span.row {
        "Export: "
        @for format in ["csv", "json"] {
            a href=(visit.query().with("format", format).on(visit.path())) download { (format.to_uppercase()) }
        }
    } }
}

/// One cell: quoted, and nothing that a spreadsheet would take for a formula.
fn cell(text: &str) -> String {
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

/// Rows as CSV.
pub(super) fn csv(heads: &[&str], rows: &[Vec<String>]) -> String {
    let mut out = heads.join(",");
    out.push_str("\r\n");
    for row in rows {
        let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
        out.push_str(&cells.join(","));
        out.push_str("\r\n");
    }
    out
}

/// The file.
pub(super) fn file(name: &str, format: Format, heads: &[&str], rows: &[Vec<String>], json: &Value) -> Response {
    let (kind, end, body) = match format {
        Format::Csv => ("text/csv; charset=utf-8", "csv", csv(heads, rows)),
        Format::Json => ("application/json", "json", serde_json::to_string_pretty(json).unwrap_or_default()),
    };
    let mut answer = body.into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{end}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_formula_and_a_number_stays_one() {
        let row = ["=1+1", "-5", "-x", "@a", "a\"b,c", "two\nlines", "+1.5", "\tx"].map(str::to_owned).to_vec();
        let text = csv(&["a", "b"], &[row]);
        assert_eq!(text, "a,b\r\n'=1+1,-5,'-x,'@a,\"a\"\"b,c\",\"two\nlines\",+1.5,'\tx\r\n");
    }
}
