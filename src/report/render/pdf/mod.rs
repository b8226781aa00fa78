//! A report as PDF: a page with title and contents, then the sections; charts as vectors, tables over as many pages as they need.

mod draw;
mod font;
mod page;
mod place;
mod table;

use super::RenderError;
use crate::report::document::Report;

/// Writes it.
pub(super) fn write(report: &Report) -> Result<Vec<u8>, RenderError> {
    let font = font::Face::new().ok_or_else(|| RenderError::Failed("the font cannot be read".to_owned()))?;
    let body = place::place(report, &font);
    draw::draw(report, &font, body)
}
