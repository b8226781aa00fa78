//! A document written down: JSON, CSV, Markdown, HTML, PDF.

mod csv;
mod html;
mod markdown;
mod pdf;

use serde::{Deserialize, Serialize};

use super::document::Report;
use super::say::day;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people on paper.
    Pdf,
    /// For people in a browser: one page, no script.
    Html,
    /// For people in a wiki.
    Md,
    /// The document itself.
    Json,
    /// Its tables.
    Csv,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Pdf, Self::Html, Self::Md, Self::Json, Self::Csv];

    /// The word for it, which is also how file names end.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Html => "html",
            Self::Md => "md",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }

    /// The one with that word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Html => "text/html; charset=utf-8",
            Self::Md => "text/markdown; charset=utf-8",
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// A report as it is sent or saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What a file of it is called: letters, digits, `-`, `_` and a dot.
    pub file: String,
    /// How it is written.
    pub format: Format,
}

/// Why a report cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It has no such table.
    #[error("there is no table `{0}` in this report; it has: {1}")]
    NoTable(String, String),
    /// Only CSV is made of one table.
    #[error("a single table is written as csv only")]
    OnlyCsv,
    /// What writes the format failed.
    #[error("{0}")]
    Failed(String),
}

/// Writes a report; `table` is the one table wanted of a CSV.
///
/// # Errors
/// No such table; the writer of the format failed.
pub fn render(report: &Report, format: Format, table: Option<&str>) -> Result<Rendered, RenderError> {
    if table.is_some() && format != Format::Csv {
        return Err(RenderError::OnlyCsv);
    }
    let bytes = match format {
        Format::Json => serde_json::to_vec_pretty(report).map_err(|error| RenderError::Failed(error.to_string()))?,
        Format::Csv => csv::write(report, table)?,
        Format::Md => markdown::write(report).into_bytes(),
        Format::Html => html::write(report).into_bytes(),
        Format::Pdf => pdf::write(report)?,
    };
    Ok(Rendered { bytes, file: file_name(report, format, table), format })
}

fn file_name(report: &Report, format: Format, table: Option<&str>) -> String {
    let parts = [Some(report.kind.name()), report.framework.as_deref(), report.tenant.as_deref(), table];
    let mut name = "portcullis".to_owned();
    for part in parts.into_iter().flatten() {
        name.push('-');
        name.extend(part.chars().take(40).map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }));
    }
    let last = day(report.until.saturating_sub(1));
    format!("{name}-{}-{last}.{}", day(report.since), format.name())
}
