//! A chart as SVG: no script, no style, nothing from elsewhere.

use plotters::prelude::{
    Color as _, EmptyElement, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{ShapeStyle, TextStyle};

use super::layout::{Anchor, Mark, height, layout};
use super::{alternative, layout::Ink};
use crate::report::document::Chart;
use crate::types::{escaped, visible};

/// How wide a chart is drawn; a page may show it smaller or larger.
const WIDTH: u32 = 560;
/// The share of its size that a letter is wide on average.
const LETTER: f32 = 0.54;
/// Pixels of one unit: plotters knows whole ones only.
const FINE: f32 = 2.0;

/// A chart as an SVG element with a title, a text alternative and `role="img"`. Each series has the colour of its number
/// in `SERIES`, which nothing else has. An empty text where it cannot be drawn.
pub fn svg(chart: &Chart) -> String {
    let measure = |text: &str, size: f32| text.chars().count() as f32 * size * LETTER;
    let marks = layout(chart, WIDTH as f32, &measure);
    let size = (pixels(WIDTH as f32).unsigned_abs(), pixels(height(chart)).unsigned_abs());
    let mut drawn = String::new();
    {
        let area = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        for mark in &marks {
            if draw(&area, mark).is_err() {
                return String::new();
            }
        }
        if area.present().is_err() {
            return String::new();
        }
    }
    // Everything between the outer tags is what was drawn; the outer one is ours.
    let inner = drawn.split_once('>').map_or("", |(_, rest)| rest);
    let inner = inner.rsplit_once("</svg>").map_or(inner, |(inner, _)| inner);
    let (wide, tall) = size;
    let title = escaped(&visible(&chart.title, 200));
    let told = escaped(&alternative(chart));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {tall}\" width=\"{wide}\" height=\"{tall}\" \
         role=\"img\" aria-label=\"{told}\"><title>{title}</title><desc>{told}</desc>{inner}</svg>"
    )
}

type Area<'a> = plotters::drawing::DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Failed<'a> =
    plotters::drawing::DrawingAreaErrorKind<<SVGBackend<'a> as plotters::prelude::DrawingBackend>::ErrorType>;

fn draw<'a>(area: &Area<'a>, mark: &Mark) -> Result<(), Failed<'a>> {
    match mark {
        Mark::Rect { at: [x, y, w, h], ink } => {
            let corners = [(pixels(*x), pixels(*y)), (pixels(x + w), pixels(y + h))];
            area.draw(&Rectangle::new(corners, rgb(ink).filled()))
        }
        Mark::Line { points, ink, width } => {
            let style =
                ShapeStyle { color: rgb(ink).to_rgba(), filled: false, stroke_width: pixels(*width).unsigned_abs() };
            let points: Vec<_> = points.iter().map(|(x, y)| (pixels(*x), pixels(*y))).collect();
            area.draw(&PathElement::new(points, style))
        }
        Mark::Text { at: (x, y), anchor, size, ink, text } => {
            let side = match anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            let colour = rgb(ink);
            let font = ("sans-serif", f64::from(size * FINE)).into_font();
            let style = TextStyle { pos: Pos::new(side, VPos::Bottom), ..TextStyle::from(font).color(&colour) };
            // What plotters calls the bottom is below the baseline.
            let below = y + size * 0.22;
            area.draw(&(EmptyElement::at((pixels(*x), pixels(below))) + Text::new(text.clone(), (0, 0), style)))
        }
    }
}

fn pixels(value: f32) -> i32 {
    // The cast saturates, and no chart is as large.
    (value * FINE).round() as i32
}

fn rgb(ink: Ink) -> RGBColor {
    let part =
        |at: usize| ink.get(at..at.saturating_add(2)).and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::chart::SERIES;
    use crate::report::document::{ChartKind, Series, Unit};

    #[test]
    fn a_chart_has_its_colours_a_title_and_nothing_that_acts() {
        let evil = "</text><script>alert(1)</script>\u{202e}\" onload=\"x";
        for kind in [ChartKind::Bar, ChartKind::Line, ChartKind::Stacked] {
            let series = |number: u8| Series { name: evil.to_owned(), colour: number, values: vec![1.0, 2.0, 3.0] };
            let chart = Chart {
                name: "x".to_owned(),
                title: evil.to_owned(),
                kind,
                unit: Unit::Count,
                labels: vec![evil.to_owned(); 3],
                series: vec![series(0), series(1)],
            };
            let drawn = svg(&chart);
            assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>"), "{drawn}");
            assert_eq!(drawn.matches("<svg").count(), 1);
            assert!(drawn.contains("role=\"img\"") && drawn.contains("<title>"), "{drawn}");
            assert!(drawn.contains(SERIES[0]), "{drawn}");
            assert!(
                !drawn.contains("<script") && !drawn.contains('\u{202e}') && !drawn.contains("\" onload"),
                "{drawn}"
            );
        }
    }
}
