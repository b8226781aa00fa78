//! Charts as SVG, by a charting crate. Colours are marks that the style sheet replaces, so that one picture serves light and
//! dark; each chart has its figures in words and as a table beside it.

use jiff::Timestamp;
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{empty, number, table};

/// Pixels of a picture; the style sheet scales it.
const SIZE: (u32, u32) = (900, 220);
/// Pixels beside and below the drawing, where the axes stand. A module of ours that marks a period needs them, too.
const LEFT: u32 = 52;
const BELOW: u32 = 26;

/// Marks that the style sheet gives colours: of series, in order, then of lines and words.
const SERIES: [RGBColor; 6] =
    [RGBColor(1, 1, 1), RGBColor(2, 2, 2), RGBColor(3, 3, 3), RGBColor(4, 4, 4), RGBColor(5, 5, 5), RGBColor(6, 6, 6)];
const LINES: RGBColor = RGBColor(8, 8, 8);
const WORDS: RGBColor = RGBColor(9, 9, 9);

/// Figures over time that are drawn in one colour.
#[derive(Debug, Clone)]
pub(in crate::console) struct Series {
    /// What they count.
    pub(in crate::console) name: String,
    /// One for each piece of time.
    pub(in crate::console) values: Vec<f64>,
}

/// Figures over time.
pub(in crate::console) struct OverTime<'a> {
    /// What it shows.
    pub(in crate::console) title: &'a str,
    /// When the first piece begins: Unix time in microseconds.
    pub(in crate::console) from: i64,
    /// How long a piece is, in microseconds.
    pub(in crate::console) step: i64,
    /// What is drawn.
    pub(in crate::console) series: &'a [Series],
    /// The figures in words.
    pub(in crate::console) shown: fn(f64) -> String,
    /// Whether a period can be marked in it: its filters then stand in the address.
    pub(in crate::console) brush: bool,
}

/// Counts, as they stand at an axis.
pub(in crate::console) fn counts(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.1} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v if v.fract() == 0.0 => number::count(v as u64),
        v => format!("{v:.1}"),
    }
}

impl OverTime<'_> {
    /// The picture, its legend and its table.
    pub(in crate::console) fn show(&self) -> Markup {
        let pieces = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        if pieces == 0 || self.series.iter().all(|series| series.values.iter().all(|value| *value == 0.0)) {
            return html! { figure.chart { figcaption { (self.title) } (empty("Nothing in this period.", "Choose a longer one.")) } };
        }
        let picture = self.draw(pieces).unwrap_or_default();
        html! {
            figure.chart data-brush=[self.brush.then_some("")] data-from=(self.from / 1000) data-step=(self.step / 1000) data-pieces=(pieces)
                data-left=(LEFT) data-width=(SIZE.0) {
                figcaption { (self.title) }
                div.picture role="img" aria-label=(self.words()) { (PreEscaped(picture)) }
                ul.legend { @for (at, series) in self.series.iter().enumerate() {
                    li class={ "s" (at % SERIES.len()) } { (series.name) }
                } }
                details { summary { "As a table" } (self.table(pieces)) }
            }
        }
    }

    fn words(&self) -> String {
        let sums = self.series.iter().map(|series| {
            let most = series.values.iter().copied().fold(0.0, f64::max);
            format!("{}: at most {}", series.name, (self.shown)(most))
        });
        format!("{}. {}", self.title, sums.collect::<Vec<_>>().join("; "))
    }

    fn table(&self, pieces: usize) -> Markup {
        let heads: Vec<String> = self.series.iter().map(|series| format!("#{}", series.name)).collect();
        let heads: Vec<&str> = std::iter::once("From").chain(heads.iter().map(String::as_str)).collect();
        let rows: Vec<Markup> = (0..pieces)
            .map(|at| html! { tr {
                td { (super::time::at(self.begin(at))) }
                @for series in self.series { td.n { (series.values.get(at).map_or_else(String::new, |value| (self.shown)(*value))) } }
            } })
            .collect();
        table::table(self.title, &heads, &rows)
    }

    fn begin(&self, at: usize) -> i64 {
        self.from.saturating_add(self.step.saturating_mul(i64::try_from(at).unwrap_or(0)))
    }

    fn draw(&self, pieces: usize) -> Result<String, Box<dyn std::error::Error>> {
        let sum = |at: usize| self.series.iter().filter_map(|series| series.values.get(at)).sum();
        let most = (0..pieces).map(sum).fold(0.0, f64::max);
        let mut picture = String::new();
        {
            let root = SVGBackend::with_string(&mut picture, SIZE).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .margin_top(8)
                .margin_right(8)
                .x_label_area_size(BELOW)
                .y_label_area_size(LEFT)
                .build_cartesian_2d(0.0..pieces as f64, 0.0..(most * 1.08).max(1.0))?;
            let words = ("sans-serif", 12).into_font().color(&WORDS);
            let is_days = self.step >= 20 * 3_600_000_000;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(LINES)
                .axis_style(LINES)
                .x_labels(8)
                .y_labels(4)
                .x_label_formatter(&|at| moment(self.begin(*at as usize), is_days))
                .y_label_formatter(&|value| (self.shown)(*value))
                .x_label_style(words.clone().pos(Pos::new(HPos::Center, VPos::Top)))
                .y_label_style(words)
                .draw()?;
            // One series on the other.
            let mut below = vec![0.0; pieces];
            for (series, colour) in self.series.iter().zip(SERIES.iter().cycle()) {
                let bars: Vec<_> = below
                    .iter_mut()
                    .zip(&series.values)
                    .enumerate()
                    .filter(|(_, (_, value))| **value > 0.0)
                    .map(|(at, (below, value))| {
                        let bottom = *below;
                        *below += *value;
                        Rectangle::new([(at as f64 + 0.1, bottom), (at as f64 + 0.9, *below)], colour.filled())
                    })
                    .collect();
                chart.draw_series(bars)?;
            }
            root.present()?;
        }
        Ok(picture)
    }
}

fn moment(micros: i64, is_day: bool) -> String {
    let Ok(stamp) = Timestamp::from_microsecond(micros) else { return String::new() };
    stamp.strftime(if is_day { "%b %d" } else { "%H:%M" }).to_string()
}

/// One bar: its name, where it leads, how much.
pub(in crate::console) struct Bar {
    pub(in crate::console) name: Markup,
    pub(in crate::console) value: f64,
    pub(in crate::console) shown: String,
}

/// Names with figures, longest bar first: a table whose bars are `meter`s.
pub(in crate::console) fn bars(title: &str, what: &str, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
    let rows: Vec<Markup> = bars
        .iter()
        .map(|bar| {
            html! { tr {
                td { (bar.name) }
                td.bar { progress max=(most.max(1e-9)) value=(bar.value) aria-hidden="true" {} }
                td.n { (bar.shown) }
            } }
        })
        .collect();
    html! { section.panel { h2 { (title) }
        @if rows.is_empty() { (empty("Nothing in this period.", "")) } @else { (table::table(title, &[what, "", "#"], &rows)) }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_figures_in_words_and_as_a_table_and_no_script() {
        let series = [
            Series { name: "a<b>".into(), values: vec![1.0, 2.0] },
            Series { name: "c".into(), values: vec![0.0, 3.0] },
        ];
        let chart = OverTime { title: "T", from: 0, step: 60_000_000, series: &series, shown: counts, brush: true };
        let shown = chart.show().into_string();
        assert!(
            shown.contains("<svg")
                && shown.contains("<table")
                && shown.contains("T. a&lt;b&gt;: at most 2; c: at most 3"),
            "{shown}"
        );
        assert!(!shown.contains("<script") && !shown.contains("style=\"") && !shown.contains("<b>"), "{shown}");
    }
}
