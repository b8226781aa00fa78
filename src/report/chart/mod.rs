//! Charts: a chart is laid out once, as marks, and the marks are drawn as SVG here and as PDF by its renderer.

mod layout;
mod svg;

pub use layout::{Anchor, Ink, Mark, Measure, height, layout};
pub use svg::svg;

use super::document::{Chart, ChartKind, Unit};
use super::say::tick;
use crate::types::visible;

/// The colours of series. Nothing else in a chart has one of them, so that a page can put its own in their place.
pub const SERIES: [&str; 8] = ["#2563EB", "#DC2626", "#D97706", "#059669", "#7C3AED", "#0891B2", "#BE185D", "#64748B"];
/// The colour of words.
pub const TEXT: &str = "#1F2937";
/// The colour of words that matter less.
pub const FAINT: &str = "#6B7280";
/// The colour of lines behind.
pub const GRID: &str = "#E5E7EB";

/// What a chart shows, in words: for whoever does not see it.
pub fn alternative(chart: &Chart) -> String {
    let mut out = format!("{}. ", visible(&chart.title, 200));
    if chart.labels.is_empty() || chart.series.is_empty() {
        out.push_str("There is nothing to show.");
        return out;
    }
    if let (Some(first), Some(last), false) = (chart.labels.first(), chart.labels.last(), chart.kind == ChartKind::Bar)
    {
        out.push_str(&format!("From {} to {}. ", visible(first, 80), visible(last, 80)));
    }
    for series in chart.series.iter().take(SERIES.len()) {
        let name = visible(&series.name, 80);
        if chart.kind == ChartKind::Bar {
            let named = chart.labels.iter().zip(&series.values).take(12);
            let told: Vec<String> =
                named.map(|(label, value)| format!("{} {}", visible(label, 80), exact(*value, chart.unit))).collect();
            out.push_str(&format!("{name}: {}. ", told.join(", ")));
            continue;
        }
        let most = series.values.iter().copied().enumerate().fold(None, |best: Option<(usize, f64)>, (at, value)| {
            if best.is_some_and(|(_, so_far)| so_far >= value) { best } else { Some((at, value)) }
        });
        let Some((at, most)) = most else { continue };
        let at = chart.labels.get(at).map(|label| visible(label, 80)).unwrap_or_default();
        if chart.unit == Unit::Share {
            out.push_str(&format!("{name}: at most {} ({at}). ", exact(most, chart.unit)));
        } else {
            let sum: f64 = series.values.iter().sum();
            out.push_str(&format!(
                "{name}: {} in all, at most {} ({at}). ",
                exact(sum, chart.unit),
                exact(most, chart.unit)
            ));
        }
    }
    out.trim_end().to_owned()
}

fn exact(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Count => format!("{value:.0}"),
        Unit::Usd => format!("${value:.2}"),
        Unit::Share => tick(value, unit),
    }
}

/// The colour of a series.
pub fn colour(number: u8) -> &'static str {
    let at = usize::from(number) % SERIES.len();
    SERIES.get(at).copied().unwrap_or(TEXT)
}
