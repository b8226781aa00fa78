//! Tables: as wide as the page, over as many pages as they need, with their heads on each.

use super::page::{BOTTOM, INNER, Op, SIDE, TOP};
use super::place::{GROUND, Pen};
use crate::report::chart::{FAINT, GRID, TEXT};
use crate::report::document::{Cell, Table};
use crate::report::say::cell;

const SIZE: f32 = 8.0;
const LINE: f32 = 10.6;
/// The space at both sides of a cell.
const PAD: f32 = 4.0;
/// The most lines of a cell; what is longer is cut, and says so.
const MOST_LINES: usize = 40;
/// The narrowest column.
const NARROW: f32 = 34.0;

/// A row with its lines made.
struct Laid {
    cells: Vec<Vec<String>>,
    tall: f32,
}

pub(super) fn place(pen: &mut Pen<'_>, table: &Table) {
    pen.room(90.0);
    pen.y += 4.0;
    pen.heading(&table.title, 10.5, true);
    if table.rows.is_empty() {
        pen.write((SIDE, pen.y + 9.0), 9.0, FAINT, false, "Nothing in this period.");
        pen.y += 22.0;
        return;
    }
    let widths = widths(pen, table);
    let right: Vec<bool> = (0..table.columns.len())
        .map(|at| table.rows.iter().filter_map(|row| row.get(at)).all(Cell::is_number))
        .collect();
    let head = laid(pen, &table.columns, &widths);
    put(pen, &head, &widths, &right, true);
    for row in &table.rows {
        let texts: Vec<String> = row.iter().map(cell).collect();
        let row = laid(pen, &texts, &widths);
        if pen.room(row.tall.min(BOTTOM - TOP - head.tall)) {
            put(pen, &head, &widths, &right, true);
        }
        put(pen, &row, &widths, &right, false);
    }
    pen.y += 12.0;
}

fn laid(pen: &Pen<'_>, texts: &[String], widths: &[f32]) -> Laid {
    let lines = |(text, wide): (&String, &f32)| pen.font.lines(text, SIZE, wide - PAD * 2.0, MOST_LINES);
    let cells: Vec<Vec<String>> = texts.iter().zip(widths).map(lines).collect();
    let most = cells.iter().map(Vec::len).max().unwrap_or(1);
    Laid { cells, tall: LINE.mul_add(most as f32, 6.0) }
}

fn put(pen: &mut Pen<'_>, row: &Laid, widths: &[f32], right: &[bool], head: bool) {
    if head {
        pen.push(Op::Rect { at: [SIDE, pen.y, INNER, row.tall], ink: GROUND });
    }
    let mut x = SIDE;
    for ((lines, wide), right) in row.cells.iter().zip(widths).zip(right) {
        for (at, line) in lines.iter().enumerate() {
            let y = LINE.mul_add(at as f32, pen.y + 3.0 + SIZE);
            let from = if *right { x + wide - PAD - pen.font.width(line, SIZE) } else { x + PAD };
            pen.write((from, y), SIZE, TEXT, head, line);
        }
        x += wide;
    }
    pen.y += row.tall;
    pen.push(Op::Line { points: vec![(SIDE, pen.y), (SIDE + INNER, pen.y)], ink: GRID, width: 0.5 });
}

/// As wide as each column wants to be if there is room; otherwise those that want more than their share give in.
fn widths(pen: &Pen<'_>, table: &Table) -> Vec<f32> {
    let font = pen.font;
    let wide = |text: &str| font.width(&font.shown(text), SIZE) + PAD * 2.0 + 1.0;
    let wants: Vec<f32> = (0..table.columns.len())
        .map(|at| {
            let head = table.columns.get(at).map_or(0.0, |head| longest_word(head, &wide));
            let cells = table.rows.iter().take(500).filter_map(|row| row.get(at));
            cells.map(|one| wide(&cell(one))).fold(head, f32::max).max(NARROW)
        })
        .collect();
    let total: f32 = wants.iter().sum();
    if total <= INNER {
        // What is left goes to the first column of words.
        let rest = INNER - total;
        let words =
            (0..wants.len()).find(|at| table.rows.iter().any(|row| matches!(row.get(*at), Some(Cell::Text(_)))));
        let grown = words.unwrap_or(0);
        return wants.iter().enumerate().map(|(at, wide)| if at == grown { wide + rest } else { *wide }).collect();
    }
    // Narrow ones keep what they want; the others share the rest, by the root of what they want.
    let fair = INNER / (wants.len() as f32).max(1.0) * 0.8;
    let narrow: f32 = wants.iter().filter(|want| **want <= fair).sum();
    let roots: f32 = wants.iter().filter(|want| **want > fair).map(|want| want.sqrt()).sum();
    let rest = (INNER - narrow).max(0.0);
    wants.iter().map(|want| if *want <= fair { *want } else { rest * want.sqrt() / roots }).collect()
}

fn longest_word(text: &str, wide: &dyn Fn(&str) -> f32) -> f32 {
    text.split(' ').map(wide).fold(0.0, f32::max)
}
