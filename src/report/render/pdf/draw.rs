//! The pages drawn: title and contents first, then the body, with header, footer, page numbers and bookmarks.

use krilla::Document;
use krilla::annotation::{Annotation, LinkAnnotation, Target};
use krilla::color::rgb;
use krilla::destination::XyzDestination;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::{Fill, LineCap, LineJoin, Stroke};
use krilla::surface::Surface;

use super::font::Face;
use super::page::{BOTTOM, Body, HEIGHT, Heading, INNER, Op, SIDE, TOP, WIDTH};
use crate::report::chart::{FAINT, GRID, Ink, SERIES, TEXT};
use crate::report::document::Report;
use crate::report::render::RenderError;
use crate::report::say::time;

/// The height of a line of the contents.
const ENTRY: f32 = 17.0;
/// Where the contents begin on the first page, and on further ones.
const CONTENTS: f32 = 330.0;

/// A page of the contents with its links.
struct Front {
    ops: Vec<Op>,
    /// Where each link is, and where it leads.
    links: Vec<([f32; 4], usize, f32)>,
}

pub(super) fn draw(report: &Report, font: &Face, body: Body) -> Result<Vec<u8>, RenderError> {
    let Body { pages, headings } = body;
    let front = front(report, font, &headings);
    let before = front.len();
    let total = before.saturating_add(pages.len());
    let mut document = Document::new();
    let empty = std::iter::repeat_with(Vec::new);
    let all = front.into_iter().map(|page| (page.ops, page.links)).chain(pages.into_iter().zip(empty));
    for (number, (ops, links)) in all.enumerate() {
        let size = PageSettings::from_wh(WIDTH, HEIGHT).ok_or_else(|| RenderError::Failed("no page".to_owned()))?;
        let mut page = document.start_page_with(size);
        let mut surface = page.surface();
        for op in ops.iter().chain(&frame(report, font, number, total)) {
            put(&mut surface, font, op);
        }
        surface.finish();
        for ([x, y, w, h], page_of, to) in links {
            let Some(area) = Rect::from_xywh(x, y, w, h) else { continue };
            let leads = XyzDestination::new(before.saturating_add(page_of), Point::from_xy(0.0, to));
            let target = Target::Destination(krilla::destination::Destination::Xyz(leads));
            page.add_annotation(Annotation::new_link(LinkAnnotation::new(area, target), None));
        }
        page.finish();
    }
    document.set_outline(outline(&headings, before));
    document.set_metadata(metadata(report, font));
    document.finish().map_err(|error| RenderError::Failed(format!("{error:?}")))
}

/// The first page, and more where the contents need them.
fn front(report: &Report, font: &Face, headings: &[Heading]) -> Vec<Front> {
    let mut ops = vec![Op::Rect { at: [0.0, 0.0, WIDTH, 8.0], ink: SERIES[0] }];
    let text = |at, size, ink, bold, text: String| Op::Text { at, size, ink, bold, text };
    ops.push(text((SIDE, 92.0), 11.0, SERIES[0], true, "PORTCULLIS".to_owned()));
    let mut y = 128.0;
    for line in font.lines(&report.title, 27.0, INNER, 3) {
        ops.push(text((SIDE, y), 27.0, TEXT, true, line));
        y += 32.0;
    }
    y += 4.0;
    for (what, value) in report.about() {
        ops.push(text((SIDE, y), 10.0, FAINT, false, what.to_owned()));
        for line in font.lines(&value, 10.0, INNER - 80.0, 2) {
            ops.push(text((SIDE + 80.0, y), 10.0, TEXT, false, line));
            y += 15.0;
        }
    }
    let mut at = CONTENTS.max(y + 30.0);
    ops.push(text((SIDE, at), 13.0, TEXT, true, "Contents".to_owned()));
    at += 12.0;
    let room = |from: f32| ((BOTTOM - from) / ENTRY).floor().max(1.0) as usize;
    let (first, further) = (room(at), room(TOP));
    let pages = 1_usize.saturating_add(headings.len().saturating_sub(first).div_ceil(further));
    let mut all = vec![Front { ops, links: Vec::new() }];
    for heading in headings {
        if at + ENTRY > BOTTOM {
            all.push(Front { ops: Vec::new(), links: Vec::new() });
            at = TOP;
        }
        let Some(page) = all.last_mut() else { break };
        let number = pages.saturating_add(heading.page).saturating_add(1).to_string();
        let (indent, ink, size) = if heading.deep { (14.0, FAINT, 9.0) } else { (0.0, TEXT, 10.5) };
        let baseline = at + 12.0;
        let title = font.lines(&heading.title, size, INNER - 60.0, 1).pop().unwrap_or_default();
        let from = SIDE + indent + font.width(&title, size) + 6.0;
        let to = SIDE + INNER - font.width(&number, size) - 6.0;
        if to > from {
            page.ops.push(Op::Line {
                points: vec![(from, baseline - 2.0), (to, baseline - 2.0)],
                ink: GRID,
                width: 0.6,
            });
        }
        page.ops.push(text((SIDE + indent, baseline), size, ink, !heading.deep, title));
        page.ops.push(text((SIDE + INNER - font.width(&number, size), baseline), size, ink, false, number));
        page.links.push(([SIDE, at, INNER, ENTRY], heading.page, heading.y));
        at += ENTRY;
    }
    all
}

/// Header and footer.
fn frame(report: &Report, font: &Face, number: usize, total: usize) -> Vec<Op> {
    let line = |y: f32| Op::Line { points: vec![(SIDE, y), (SIDE + INNER, y)], ink: GRID, width: 0.6 };
    let text = |x: f32, y: f32, text: String| Op::Text { at: (x, y), size: 8.0, ink: FAINT, bold: false, text };
    let page = format!("Page {} of {total}", number.saturating_add(1));
    let made = format!("Portcullis {}, made {} UTC", font.shown(&report.version), time(report.made));
    let y = HEIGHT - 34.0;
    let mut ops =
        vec![line(y - 14.0), text(SIDE, y, made), text(SIDE + INNER - font.width(&page, 8.0), y, page.clone())];
    if number > 0 {
        let period = report.about().into_iter().next().map(|(_, period)| period).unwrap_or_default();
        let title =
            font.lines(&report.title, 8.0, INNER - font.width(&period, 8.0) - 20.0, 1).pop().unwrap_or_default();
        ops.extend([line(46.0), text(SIDE, 38.0, title)]);
        ops.push(text(SIDE + INNER - font.width(&period, 8.0), 38.0, period));
    }
    ops
}

fn outline(headings: &[Heading], before: usize) -> Outline {
    let mut outline = Outline::new();
    let leads = |heading: &Heading| {
        let to = XyzDestination::new(before.saturating_add(heading.page), Point::from_xy(0.0, heading.y));
        OutlineNode::new(heading.title.clone(), to)
    };
    let mut open: Option<OutlineNode> = None;
    for heading in headings {
        match (&mut open, heading.deep) {
            (Some(section), true) => section.push_child(leads(heading)),
            (None, true) => outline.push_child(leads(heading)),
            (_, false) => {
                if let Some(done) = open.replace(leads(heading)) {
                    outline.push_child(done);
                }
            }
        }
    }
    if let Some(last) = open {
        outline.push_child(last);
    }
    outline
}

fn metadata(report: &Report, font: &Face) -> Metadata {
    let mut metadata = Metadata::new()
        .title(font.shown(&report.title))
        .creator(format!("Portcullis {}", font.shown(&report.version)))
        .language("en".to_owned());
    if let Ok(at) = jiff::Timestamp::from_microsecond(report.made) {
        let at = at.to_zoned(jiff::tz::TimeZone::UTC);
        let part = |number: i8| u8::try_from(number).unwrap_or(0);
        let made = DateTime::new(u16::try_from(at.year()).unwrap_or(1970)).month(part(at.month())).day(part(at.day()));
        let made = made.hour(part(at.hour())).minute(part(at.minute())).second(part(at.second()));
        metadata = metadata.creation_date(made.utc_offset_hour(0).utc_offset_minute(0));
    }
    metadata
}

fn put(surface: &mut Surface<'_>, font: &Face, op: &Op) {
    match op {
        Op::Rect { at: [x, y, w, h], ink } => {
            let Some(rect) = Rect::from_xywh(*x, *y, *w, *h) else { return };
            let mut path = PathBuilder::new();
            path.push_rect(rect);
            let Some(path) = path.finish() else { return };
            surface.set_fill(Some(fill(ink)));
            surface.set_stroke(None);
            surface.draw_path(&path);
        }
        Op::Line { points, ink, width } => {
            let mut path = PathBuilder::new();
            for (number, (x, y)) in points.iter().enumerate() {
                if number == 0 { path.move_to(*x, *y) } else { path.line_to(*x, *y) }
            }
            let Some(path) = path.finish() else { return };
            surface.set_fill(None);
            surface.set_stroke(Some(Stroke { line_join: LineJoin::Round, ..stroke(ink, *width) }));
            surface.draw_path(&path);
        }
        Op::Text { at: (x, y), size, ink, bold, text } => {
            surface.set_fill(Some(fill(ink)));
            // The font has one weight: an outline of its own colour makes it heavier.
            surface.set_stroke(bold.then(|| stroke(ink, size * 0.035)));
            let glyphs = font.glyphs(text);
            surface.draw_glyphs(Point::from_xy(*x, *y), &glyphs, font.font.clone(), text, *size, false);
        }
    }
}

fn colour(ink: Ink) -> rgb::Color {
    let part =
        |at: usize| ink.get(at..at.saturating_add(2)).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
    rgb::Color::new(part(1), part(3), part(5))
}

fn fill(ink: Ink) -> Fill {
    Fill { paint: colour(ink).into(), opacity: NormalizedF32::ONE, rule: krilla::paint::FillRule::default() }
}

fn stroke(ink: Ink, width: f32) -> Stroke {
    Stroke { paint: colour(ink).into(), width, line_cap: LineCap::Butt, ..Stroke::default() }
}
