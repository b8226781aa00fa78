//! Pages: their size, and what is to be drawn on each.

use crate::report::chart::{Anchor, Ink};

/// A4 in points.
pub(super) const WIDTH: f32 = 595.28;
pub(super) const HEIGHT: f32 = 841.89;
/// The margin at both sides.
pub(super) const SIDE: f32 = 48.0;
/// Where what is written begins and ends: header and footer stand beyond.
pub(super) const TOP: f32 = 64.0;
pub(super) const BOTTOM: f32 = HEIGHT - 60.0;
/// The width that is written in.
pub(super) const INNER: f32 = WIDTH - 2.0 * SIDE;

/// Something to draw.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Rect { at: [f32; 4], ink: Ink },
    Line { points: Vec<(f32, f32)>, ink: Ink, width: f32 },
    Text { at: (f32, f32), size: f32, ink: Ink, bold: bool, text: String },
}

/// An entry of the contents: a title, its depth, its page (of the body) and height there.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    pub(super) title: String,
    pub(super) deep: bool,
    pub(super) page: usize,
    pub(super) y: f32,
}

/// The pages of the body, and what stands where.
#[derive(Debug, Default)]
pub(super) struct Body {
    pub(super) pages: Vec<Vec<Op>>,
    pub(super) headings: Vec<Heading>,
}

/// Where a text begins that is anchored by one of its sides.
pub(super) fn start(x: f32, wide: f32, anchor: Anchor) -> f32 {
    match anchor {
        Anchor::Start => x,
        Anchor::Middle => x - wide / 2.0,
        Anchor::End => x - wide,
    }
}
