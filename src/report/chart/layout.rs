//! Where everything in a chart stands.

use super::{FAINT, GRID, TEXT, colour};
use crate::report::document::{Chart, ChartKind, Series};
use crate::report::say::tick;
use crate::types::visible;

/// How wide a text is at a size.
pub type Measure<'a> = &'a dyn Fn(&str, f32) -> f32;

/// Something to draw. The origin is at the top left, y goes down.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// A filled rectangle.
    Rect {
        /// Left, top, width, height.
        at: [f32; 4],
        /// Its colour.
        ink: Ink,
    },
    /// Connected lines.
    Line {
        /// Through these points.
        points: Vec<(f32, f32)>,
        /// Their colour.
        ink: Ink,
        /// Their width.
        width: f32,
    },
    /// A line of text; `y` is its baseline.
    Text {
        /// Where it is anchored.
        at: (f32, f32),
        /// By which side.
        anchor: Anchor,
        /// How large.
        size: f32,
        /// Its colour.
        ink: Ink,
        /// The text.
        text: String,
    },
}

/// A colour, as `#RRGGBB`.
pub type Ink = &'static str;

/// By which side a text is anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// Bars that are drawn; a table beside a chart has the others.
const MOST_BARS: usize = 12;
/// Labels that are drawn of one series.
const MOST_POINTS: usize = 400;
/// The height of a bar that lies, with the space around it.
const BAR: f32 = 20.0;
/// The height of other charts.
const TALL: f32 = 190.0;
const SIZE: f32 = 8.5;

/// How high a chart becomes.
pub fn height(chart: &Chart) -> f32 {
    match chart.kind {
        ChartKind::Bar => BAR.mul_add(bars(chart) as f32, 6.0),
        ChartKind::Line | ChartKind::Stacked => TALL,
    }
}

fn bars(chart: &Chart) -> usize {
    chart.labels.len().clamp(1, MOST_BARS)
}

/// Everything to draw, within `width` and `height(chart)`.
pub fn layout(chart: &Chart, width: f32, measure: Measure<'_>) -> Vec<Mark> {
    if chart.labels.is_empty() || chart.series.iter().all(|series| series.values.is_empty()) {
        let at = (width / 2.0, height(chart) / 2.0);
        return vec![words(at, Anchor::Middle, FAINT, "nothing in this period")];
    }
    match chart.kind {
        ChartKind::Bar => lying(chart, width, measure),
        ChartKind::Line | ChartKind::Stacked => standing(chart, width, measure),
    }
}

fn words(at: (f32, f32), anchor: Anchor, ink: Ink, text: &str) -> Mark {
    Mark::Text { at, anchor, size: SIZE, ink, text: text.to_owned() }
}

fn good(value: f64) -> f32 {
    if value.is_finite() { value.max(0.0) as f32 } else { 0.0 }
}

/// A text cut to a width.
fn fitted(text: &str, width: f32, measure: Measure<'_>) -> String {
    let text = visible(text, 120);
    if measure(&text, SIZE) <= width {
        return text;
    }
    let mut letters: Vec<char> = text.chars().collect();
    while letters.pop().is_some() {
        let cut: String = letters.iter().chain(&['…']).collect();
        if measure(&cut, SIZE) <= width {
            return cut;
        }
    }
    String::new()
}

/// Bars from left to right, their labels before them and their values after them.
fn lying(chart: &Chart, width: f32, measure: Measure<'_>) -> Vec<Mark> {
    let Some(series) = chart.series.first() else { return Vec::new() };
    let rows = || chart.labels.iter().zip(&series.values).take(MOST_BARS);
    let names: Vec<String> = rows().map(|(label, _)| fitted(label, width * 0.36, measure)).collect();
    let left = names.iter().map(|name| measure(name, SIZE)).fold(0.0, f32::max) + 8.0;
    let most = rows().map(|(_, value)| good(*value)).fold(0.0, f32::max).max(f32::MIN_POSITIVE);
    let room = (width - left - 56.0).max(10.0);
    let mut marks = Vec::new();
    for (row, ((_, value), name)) in rows().zip(&names).enumerate() {
        let top = BAR.mul_add(row as f32, 3.0);
        let long = (good(*value) / most * room).max(if *value > 0.0 { 1.5 } else { 0.0 });
        let middle = top + BAR / 2.0 + SIZE * 0.35;
        marks.push(words((left - 8.0, middle), Anchor::End, TEXT, name));
        marks.push(Mark::Rect { at: [left, top + 3.5, long, BAR - 7.0], ink: colour(series.colour) });
        marks.push(words((left + long + 5.0, middle), Anchor::Start, FAINT, &tick(*value, chart.unit)));
    }
    marks
}

/// Time from left to right: lines, or bars of pieces.
fn standing(chart: &Chart, width: f32, measure: Measure<'_>) -> Vec<Mark> {
    let count = chart.labels.len().min(MOST_POINTS);
    let top_of = |at: usize| -> f32 {
        let all = chart.series.iter().map(|series| good(series.values.get(at).copied().unwrap_or(0.0)));
        if chart.kind == ChartKind::Stacked { all.sum() } else { all.fold(0.0, f32::max) }
    };
    let whole = chart.unit == crate::report::document::Unit::Count;
    let (step, most) = scale((0..count).map(top_of).fold(0.0, f32::max), whole);
    let ticks: Vec<f32> = (0..=5).map(|n| n as f32 * step).filter(|value| *value <= most * 1.001).collect();
    let written: Vec<String> = ticks.iter().map(|value| tick(f64::from(*value), chart.unit)).collect();
    let left = written.iter().map(|text| measure(text, SIZE)).fold(0.0, f32::max) + 8.0;
    let (top, bottom) = (24.0, TALL - 18.0);
    let (right, tall) = (width - 4.0, bottom - top);
    let mut marks = legend(&chart.series, left, width, measure);
    for (value, text) in ticks.iter().zip(&written) {
        let y = bottom - value / most * tall;
        marks.push(Mark::Line { points: vec![(left, y), (right, y)], ink: GRID, width: 0.6 });
        marks.push(words((left - 5.0, y + SIZE * 0.35), Anchor::End, FAINT, text));
    }
    let slot = (right - left) / count as f32;
    let x = |at: usize| slot.mul_add(at as f32 + 0.5, left);
    marks.extend(below(chart, count, slot, bottom, &x, measure));
    if chart.kind == ChartKind::Stacked {
        for at in 0..count {
            let mut y = bottom;
            for series in &chart.series {
                let tall = good(series.values.get(at).copied().unwrap_or(0.0)) / most * tall;
                let wide = (slot * 0.74).clamp(0.4, 34.0);
                if tall > 0.0 {
                    y -= tall;
                    marks.push(Mark::Rect { at: [x(at) - wide / 2.0, y, wide, tall], ink: colour(series.colour) });
                }
            }
        }
        return marks;
    }
    for series in &chart.series {
        let at = |at: usize, value: &f64| (x(at), bottom - good(*value) / most * tall);
        let points: Vec<_> = series.values.iter().take(count).enumerate().map(|(n, value)| at(n, value)).collect();
        if let [(x, y)] = points.as_slice() {
            marks.push(Mark::Rect { at: [x - 2.0, y - 2.0, 4.0, 4.0], ink: colour(series.colour) });
        } else {
            marks.push(Mark::Line { points, ink: colour(series.colour), width: 1.6 });
        }
    }
    marks
}

/// As many labels as there is room for, the first and then every so many.
fn below(
    chart: &Chart,
    count: usize,
    slot: f32,
    bottom: f32,
    x: &dyn Fn(usize) -> f32,
    measure: Measure<'_>,
) -> Vec<Mark> {
    let widest = chart.labels.iter().take(count).map(|label| measure(&visible(label, 40), SIZE)).fold(0.0, f32::max);
    let mut every = 1;
    while slot * (every as f32) < widest + 8.0 && every < count {
        every = every.saturating_add(1);
    }
    let shown = chart.labels.iter().take(count).enumerate().filter(|(at, _)| at.is_multiple_of(every));
    shown.map(|(at, label)| words((x(at), bottom + 12.0), Anchor::Middle, FAINT, &visible(label, 40))).collect()
}

/// What each colour means, in one row.
fn legend(series: &[Series], left: f32, width: f32, measure: Measure<'_>) -> Vec<Mark> {
    let mut marks = Vec::new();
    let mut x = left;
    for one in series {
        let name = fitted(&one.name, 150.0, measure);
        let wide = measure(&name, SIZE);
        if x + wide + 14.0 > width {
            break;
        }
        marks.push(Mark::Rect { at: [x, 4.0, 8.0, 8.0], ink: colour(one.colour) });
        marks.push(words((x + 12.0, 11.2), Anchor::Start, TEXT, &name));
        x += wide + 28.0;
    }
    marks
}

/// The step between the lines behind, of 1, 2, 2.5 or 5 times a power of ten, and the value at the top.
fn scale(most: f32, whole: bool) -> (f32, f32) {
    if most <= 0.0 {
        return (1.0, 1.0);
    }
    let rough = most / 4.0;
    let power = 10_f32.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * power);
    let mut step = steps.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    if whole {
        step = step.ceil().max(1.0);
    }
    (step, (most / step).ceil() * step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Unit;

    fn chart(kind: ChartKind, values: Vec<f64>) -> Chart {
        let labels = (0..values.len()).map(|day| format!("day {day}")).collect();
        let series = vec![Series { name: "blocked".to_owned(), colour: 1, values }];
        Chart { name: "days".to_owned(), title: "Days".to_owned(), kind, unit: Unit::Count, labels, series }
    }

    fn flat(text: &str, size: f32) -> f32 {
        text.chars().count() as f32 * size * 0.5
    }

    #[test]
    fn everything_stands_within_the_chart_whatever_the_values() {
        for kind in [ChartKind::Bar, ChartKind::Line, ChartKind::Stacked] {
            for values in [vec![], vec![0.0], vec![f64::NAN, -3.0, 1e18], vec![7.0; 500], vec![0.001, f64::INFINITY]] {
                let chart = chart(kind, values);
                for mark in layout(&chart, 500.0, &flat) {
                    let within = |x: f32, y: f32| {
                        assert!((-0.5..=500.5).contains(&x) && (-0.5..=height(&chart) + 0.5).contains(&y), "{mark:?}");
                    };
                    match &mark {
                        Mark::Rect { at: [x, y, w, h], .. } => {
                            within(*x, *y);
                            within(x + w, y + h);
                        }
                        Mark::Line { points, .. } => points.iter().for_each(|(x, y)| within(*x, *y)),
                        Mark::Text { at: (x, y), .. } => within(*x, *y),
                    }
                }
            }
        }
    }

    #[test]
    fn the_lines_behind_stand_at_round_values() {
        assert_eq!(scale(0.0, true), (1.0, 1.0));
        assert_eq!(scale(3.0, true), (1.0, 3.0));
        assert_eq!(scale(97.0, true), (25.0, 100.0));
        assert_eq!(scale(0.8, false), (0.2, 0.8));
    }
}
