//! Where everything stands on the pages, from top to bottom.

use super::font::Face;
use super::page::{BOTTOM, Body, Heading, INNER, Op, SIDE, TOP, start};
use super::table;
use crate::report::chart::{self, FAINT, GRID, Ink, Mark, TEXT};
use crate::report::document::{Block, Chart, Figure, Report};
use crate::report::say::cell;

/// The ground behind figures, and behind heads of tables.
pub(super) const GROUND: Ink = "#F3F4F6";
const NOTE: Ink = "#FEF3C7";
const EDGE: Ink = "#D97706";
/// The most lines of a paragraph.
const MOST_LINES: usize = 60;

/// Writes from top to bottom, on to a new page where there is no room.
pub(super) struct Pen<'a> {
    pub(super) font: &'a Face,
    body: Body,
    pub(super) y: f32,
}

/// The body of a report.
pub(super) fn place(report: &Report, font: &Face) -> Body {
    let mut pen = Pen { font, body: Body { pages: vec![Vec::new()], headings: Vec::new() }, y: TOP };
    for section in &report.sections {
        // A heading alone at the end of a page is worse than room left.
        pen.room(150.0);
        if pen.y > TOP {
            pen.y += 14.0;
        }
        pen.heading(&section.title, 16.0, false);
        for block in &section.blocks {
            match block {
                Block::Text { text } => pen.paragraph(text, TEXT, 0.0),
                Block::Note { text } => pen.note(text),
                Block::Figures { figures } => pen.figures(figures),
                Block::Chart(chart) => pen.chart(chart),
                Block::Table(found) => table::place(&mut pen, found),
            }
        }
    }
    pen.body
}

impl Pen<'_> {
    /// Makes sure of so much room on the page; says whether a new one was begun.
    pub(super) fn room(&mut self, tall: f32) -> bool {
        if self.y + tall <= BOTTOM || self.y <= TOP {
            return false;
        }
        self.body.pages.push(Vec::new());
        self.y = TOP;
        true
    }

    pub(super) fn push(&mut self, op: Op) {
        if let Some(page) = self.body.pages.last_mut() {
            page.push(op);
        }
    }

    /// A line of text whose baseline is at `y`.
    pub(super) fn write(&mut self, at: (f32, f32), size: f32, ink: Ink, bold: bool, text: &str) {
        if !text.is_empty() {
            self.push(Op::Text { at, size, ink, bold, text: text.to_owned() });
        }
    }

    pub(super) fn heading(&mut self, title: &str, size: f32, deep: bool) {
        let page = self.body.pages.len().saturating_sub(1);
        let title = self.font.lines(title, size, INNER, 1).pop().unwrap_or_default();
        self.body.headings.push(Heading { title: title.clone(), deep, page, y: self.y });
        self.write((SIDE, self.y + size), size, TEXT, true, &title);
        self.y += size * 1.5 + 2.0;
    }

    fn paragraph(&mut self, text: &str, ink: Ink, inset: f32) {
        for line in self.font.lines(text, 10.0, INNER - inset * 2.0, MOST_LINES) {
            self.room(14.0);
            self.write((SIDE + inset, self.y + 10.0), 10.0, ink, false, &line);
            self.y += 14.0;
        }
        self.y += 6.0;
    }

    fn note(&mut self, text: &str) {
        let lines = self.font.lines(text, 10.0, INNER - 26.0, 20);
        let tall = 14.0f32.mul_add(lines.len() as f32, 12.0);
        self.room(tall + 8.0);
        self.push(Op::Rect { at: [SIDE, self.y, INNER, tall], ink: NOTE });
        self.push(Op::Rect { at: [SIDE, self.y, 3.0, tall], ink: EDGE });
        for (at, line) in lines.iter().enumerate() {
            let y = 14.0f32.mul_add(at as f32, self.y + 16.0);
            self.write((SIDE + 13.0, y), 10.0, TEXT, false, line);
        }
        self.y += tall + 10.0;
    }

    /// Figures in rows of three.
    fn figures(&mut self, figures: &[Figure]) {
        let (gap, across) = (10.0, 3.0);
        let wide = (INNER - gap * (across - 1.0)) / across;
        for row in figures.chunks(3) {
            let hints: Vec<Vec<String>> =
                row.iter().map(|figure| self.font.lines(&figure.hint, 8.0, wide - 20.0, 3)).collect();
            let lines = hints.iter().map(Vec::len).max().unwrap_or(1);
            let tall = 10.5f32.mul_add(lines as f32, 44.0);
            self.room(tall + gap);
            for (at, (figure, hint)) in row.iter().zip(&hints).enumerate() {
                let x = (wide + gap).mul_add(at as f32, SIDE);
                let y = self.y;
                self.push(Op::Rect { at: [x, y, wide, tall], ink: GROUND });
                let label = self.font.lines(&figure.label, 8.5, wide - 20.0, 1).pop().unwrap_or_default();
                self.write((x + 10.0, y + 14.0), 8.5, FAINT, false, &label);
                let value = self.font.lines(&cell(&figure.value), 17.0, wide - 20.0, 1).pop().unwrap_or_default();
                self.write((x + 10.0, y + 34.0), 17.0, TEXT, true, &value);
                for (line, text) in hint.iter().enumerate() {
                    self.write((x + 10.0, 10.5f32.mul_add(line as f32, y + 47.0)), 8.0, FAINT, false, text);
                }
            }
            self.y += tall + gap;
        }
        self.y += 4.0;
    }

    fn chart(&mut self, found: &Chart) {
        let tall = chart::height(found);
        self.room(tall + 34.0);
        self.y += 4.0;
        let title = self.font.lines(&found.title, 10.5, INNER, 1).pop().unwrap_or_default();
        self.write((SIDE, self.y + 10.0), 10.5, TEXT, true, &title);
        self.y += 18.0;
        let font = self.font;
        let measure = |text: &str, size: f32| font.width(&font.shown(text), size);
        for mark in chart::layout(found, INNER, &measure) {
            let (dx, dy) = (SIDE, self.y);
            match mark {
                Mark::Rect { at: [x, y, w, h], ink } => self.push(Op::Rect { at: [x + dx, y + dy, w, h], ink }),
                Mark::Line { points, ink, width } => {
                    let points = points.into_iter().map(|(x, y)| (x + dx, y + dy)).collect();
                    self.push(Op::Line { points, ink, width });
                }
                Mark::Text { at: (x, y), anchor, size, ink, text } => {
                    let text = font.shown(&text);
                    let x = start(x, font.width(&text, size), anchor);
                    self.write((x + dx, y + dy), size, ink, false, &text);
                }
            }
        }
        self.y += tall + 4.0;
        self.push(Op::Line { points: vec![(SIDE, self.y), (SIDE + INNER, self.y)], ink: GRID, width: 0.5 });
        self.y += 12.0;
    }
}
