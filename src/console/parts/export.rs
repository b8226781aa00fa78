//! Lists as files: what the filters of a page find, as CSV or JSON.

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};
use serde_json::Value;

use crate::console::files::Place;
use crate::console::query::Query;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::words::Page;
use crate::types::is_formula;

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
    let place = visit.file_place()?;
    let heads: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let (mut rows, mut text) =
        (0_usize, if format == Format::Csv { line(heads.iter().map(|head| cell(head))) } else { String::new() });
    let mut asked = filters.with("limit", "500");
    loop {
        let page: Page<Value> = visit.get(&asked.on(path)).await?;
        for row in page.items.iter().take(MOST.saturating_sub(rows)) {
            match format {
                Format::Csv => text.push_str(&line(columns.iter().map(|(_, place)| value(row.pointer(place))))),
                Format::Json => {
                    text.push_str(if rows == 0 { "[" } else { "," });
                    text.push_str(&row.to_string());
                }
            }
            rows = rows.saturating_add(1);
        }
        match page.next {
            Some(next) if rows < MOST => asked = asked.with("before", &next),
            Some(_) | None => break,
        }
    }
    if format == Format::Json {
        text.push_str(if rows == 0 { "[]" } else { "]" });
    }
    Ok(attached(held(text, place), name, format))
}

/// The text of a table that is there already, as a file: `json` is the same for programs.
pub(in crate::console) fn table(format: Format, heads: &[&str], rows: &[Vec<String>], json: &Value) -> String {
    match format {
        Format::Csv => {
            let mut text = line(heads.iter().map(|head| cell(head)));
            text.extend(rows.iter().map(|row| line(row.iter().map(|text| cell(text)))));
            text
        }
        Format::Json => serde_json::to_string_pretty(json).unwrap_or_default(),
    }
}

/// A text that was made with a right to make one: it is held until the last byte is on its way.
pub(in crate::console) fn held(text: String, place: Place) -> Bytes {
    Bytes::from_owner(Held { text, _place: place })
}

struct Held {
    text: String,
    _place: Place,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// A text as a file.
pub(in crate::console) fn attached(content: impl Into<Bytes>, name: &str, format: Format) -> Response {
    let (ending, kind) = match format {
        Format::Csv => ("csv", "text/csv; charset=utf-8"),
        Format::Json => ("json", "application/json"),
    };
    let mut answer = content.into().into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let name: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect();
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
    answer
}

/// A line of cells that are written already.
fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

/// What stands in a row, as a cell.
fn value(of: Option<&Value>) -> String {
    match of {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cell(text),
        Some(Value::Number(number)) => number.to_string(),
        Some(other) => cell(&other.to_string()),
    }
}

/// A cell: quoted, and nothing that a spreadsheet takes for a formula.
pub(in crate::console) fn cell(text: &str) -> String {
    let guard = if is_formula(text) { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn cells_are_quoted_and_none_is_a_formula() {
        let rows =
            [json!({ "a": "=1+1", "b": { "c": -5 } }), json!({ "a": "x,\"y\"\nz", "b": { "c": [1] } }), json!({})];
        let places = ["/a", "/b/c"];
        let text: String = rows.iter().map(|row| line(places.iter().map(|place| value(row.pointer(place))))).collect();
        assert_eq!(text, "'=1+1,-5\r\n\"x,\"\"y\"\"\nz\",[1]\r\n,\r\n");
        let row = ["=1+1", "-5", "-x", "@a", "a\"b,c", "two\nlines", "+1.5", "\tx", "\rx"].map(cell).join("|");
        assert_eq!(row, "'=1+1|-5|'-x|'@a|\"a\"\"b,c\"|\"two\nlines\"|+1.5|'\tx|\"'\rx\"");
        assert_eq!(value(Some(&json!(-1e-9))), "-1e-9", "a number stays one");
    }
}
