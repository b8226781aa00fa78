//! The tables of a report as CSV, one after the other. No cell is a formula.

use super::RenderError;
use crate::report::document::{Cell, Report, Table};
use crate::report::say::raw;
use crate::types::visible;

/// One table, or all of them with their names before them and an empty line between.
pub(super) fn write(report: &Report, table: Option<&str>) -> Result<Vec<u8>, RenderError> {
    let failed = |error: csv::Error| RenderError::Failed(error.to_string());
    let mut writer = csv::WriterBuilder::new().flexible(true).terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if let Some(name) = table {
        let Some(table) = report.tables().find(|table| table.name == name) else {
            let names: Vec<&str> = report.tables().map(|table| table.name.as_str()).collect();
            return Err(RenderError::NoTable(visible(name, 80), names.join(", ")));
        };
        rows(&mut writer, table).map_err(failed)?;
    } else {
        let title = ["report".to_owned(), guarded(&report.title)];
        writer.write_record(&title).map_err(failed)?;
        for (what, value) in report.about() {
            writer.write_record([what.to_lowercase(), guarded(&value)]).map_err(failed)?;
        }
        for table in report.tables() {
            writer.write_record([""]).map_err(failed)?;
            writer.write_record(["table".to_owned(), guarded(&table.name), guarded(&table.title)]).map_err(failed)?;
            rows(&mut writer, table).map_err(failed)?;
        }
    }
    writer.into_inner().map_err(|error| RenderError::Failed(error.to_string()))
}

fn rows(writer: &mut csv::Writer<Vec<u8>>, table: &Table) -> Result<(), csv::Error> {
    writer.write_record(table.columns.iter().map(|column| guarded(column)))?;
    for row in &table.rows {
        writer.write_record(row.iter().map(value))?;
    }
    Ok(())
}

fn value(cell: &Cell) -> String {
    let text = raw(cell);
    if matches!(cell, Cell::Text(_)) { guarded(&text) } else { text }
}

/// A text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe, unless it is a number.
fn guarded(text: &str) -> String {
    let text = visible(text, usize::MAX);
    let acts = |letter: char| matches!(letter, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let starts = text.trim_start().chars().next().is_some_and(acts);
    // What was a tab or a line's end is written as an escape by now.
    let hidden = ["\\t", "\\r", "\\n"].iter().any(|escape| text.starts_with(escape));
    if (starts || hidden) && !is_number(&text) { format!("'{text}") } else { text }
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let are = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are(whole) && are(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for text in ["=1+1", "+cmd", "-cmd|x", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1+1", "-1+1", "+1.2.3", "-"] {
            let written = guarded(text);
            assert!(written.starts_with('\''), "{text:?} {written:?}");
        }
        for text in ["5", "-5", "+5.25", "a=b", "alice@example.com", ""] {
            assert_eq!(guarded(text), text);
        }
    }
}
