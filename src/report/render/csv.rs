//! The tables of a report as CSV, one after the other. No cell is a formula.

use super::RenderError;
use crate::report::document::{Cell, Report, Table};
use crate::report::say::raw;
use crate::types::{is_formula, visible};

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

/// A text that no spreadsheet takes for a formula.
fn guarded(text: &str) -> String {
    let shown = visible(text, usize::MAX);
    if is_formula(text) || is_formula(&shown) { format!("'{shown}") } else { shown }
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
