//! Spend: what was used and what it cost, by whom, and where that leads.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::json;

use super::spend_parts::{anomalies, budgets, forecast, line_cells, lines, prices};
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::chart::{OverTime, Series};
use crate::console::parts::export::{self, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::number::{count, dollars};
use crate::console::parts::time::{self, Range};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::views::open::Shown;
use crate::console::visit::Visit;
use crate::control::api::ledger::{SpendLine, SpendView};

/// A day and an hour in microseconds.
pub(super) const DAY: i64 = 86_400_000_000;
const HOUR: i64 = DAY / 24;
/// Names that have a colour of their own.
const NAMED: usize = 5;
/// Days by which tomorrow is told.
const PAST: i64 = 60;

/// What spend is told apart by.
const DIMENSIONS: [(&str, &str); 6] =
    [("model", "Model"), ("team", "Team"), ("key", "Key"), ("user", "User"), ("tenant", "Tenant"), ("agent", "Agent")];

/// The page.
pub(super) async fn page(visit: Visit) -> Result<Shown, Trouble> {
    let range = Range::of(visit.query(), "30d");
    let by = visit.query().get("by").and_then(|by| DIMENSIONS.iter().find(|(word, _)| *word == by));
    let (by, _) = by.or(DIMENSIONS.first()).copied().unwrap_or(("model", "Model"));
    let days = visit.query().is("per", "day");
    let bucket = if days { "day" } else { "total" };
    let table: SpendView = visit.get(&path(by, bucket, &range, "", 500)).await?;
    if let Some(format) = Format::asked(&visit) {
        let rows: Vec<Vec<String>> = table.items.iter().map(|line| line_cells(by, line)).collect();
        let heads = [
            "from",
            by,
            "requests",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
            "reasoning_tokens",
            "cost_nano_usd",
        ];
        let text = export::table(format, &heads, &rows, &json!(table));
        return Ok(Shown::Other(export::attached(text, "spend", format)));
    }
    let totals: SpendView = if days {
        visit.get(&path(by, "total", &range, "", 500)).await?
    } else {
        SpendView { items: table.items.iter().map(copied).collect(), truncated: table.truncated }
    };
    let mut names: Vec<(String, u64)> =
        totals.items.iter().map(|line| (line.names.get(by).cloned().unwrap_or_default(), line.cost_nano_usd)).collect();
    names.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    let past = by_day(&visit).await?;
    let body = html! {
        (filters(&visit, &[
            Filter::Choice("by", "Told apart by", &DIMENSIONS),
            Filter::Choice("per", "Rows", &[("all", "for the whole period"), ("day", "for each day")]),
            Filter::RangeOr("30d"),
        ]))
        (tiles(&totals.items))
        (stacked(&visit, by, &names, &range).await?)
        div.columns {
            section.panel { h2 { "Budgets" } (budgets(&visit, by, &names, &past).await?) }
            section.panel { h2 { "Forecast" } (forecast(&past)) }
        }
        (anomalies(&past, today()))
        h2 { "Ledger" }
        (export::links(&visit))
        @if table.truncated { div.notice.unsure { p { "There are more than 500 rows: choose a shorter period. The figures above count these rows only." } } }
        (lines(&visit, by, &table.items))
        (prices(&visit).await?)
    };
    Ok(Shown::Page(Page::new("/spend", "Spend", body)))
}

fn copied(line: &SpendLine) -> SpendLine {
    SpendLine { names: line.names.clone(), ..*line }
}

/// The ledger's address; `more` are further filters.
fn path(by: &str, bucket: &str, range: &Range, more: &str, limit: u32) -> String {
    format!("/api/v1/spend?by={by}&bucket={bucket}&from={}&to={}&limit={limit}{more}", range.from, range.to)
}

/// When today began (UTC).
pub(super) fn today() -> i64 {
    let now = time::now();
    now.saturating_sub(now.rem_euclid(DAY))
}

/// Dollars for each of the last 60 whole days.
async fn by_day(visit: &Visit) -> Result<Vec<f64>, Trouble> {
    let to = today();
    let from = to.saturating_sub(PAST.saturating_mul(DAY));
    let found: SpendView = visit.get(&format!("/api/v1/spend?bucket=day&from={from}&to={to}&limit=500")).await?;
    let all = series(&found.items, from, DAY, PAST);
    // What was before the first day with any spend says nothing.
    let first = all.iter().position(|cost| *cost > 0.0).unwrap_or(all.len());
    Ok(all.into_iter().skip(first).collect())
}

/// Dollars in each piece of time.
fn series(lines: &[SpendLine], from: i64, step: i64, pieces: i64) -> Vec<f64> {
    let mut sums: BTreeMap<i64, f64> = BTreeMap::new();
    for line in lines {
        *sums.entry(line.bucket.saturating_sub(from) / step.max(1)).or_default() += line.cost_nano_usd as f64 / 1e9;
    }
    (0..pieces).map(|piece| sums.get(&piece).copied().unwrap_or(0.0)).collect()
}

fn tiles(lines: &[SpendLine]) -> Markup {
    let sum = |of: fn(&SpendLine) -> u64| lines.iter().map(of).fold(0_u64, u64::saturating_add);
    let cost = i64::try_from(sum(|line| line.cost_nano_usd)).unwrap_or(i64::MAX);
    html! { div.tiles {
        (parts::tile("Spend", &dollars(cost), "in this period", None))
        (parts::tile("Requests", &count(sum(|line| line.requests)), "that used anything", None))
        (parts::tile("Tokens in", &count(sum(|line| line.input_tokens)), &format!("{} from caches", count(sum(|line| line.cached_tokens))), None))
        (parts::tile("Tokens out", &count(sum(|line| line.output_tokens)), &format!("{} of them reasoning", count(sum(|line| line.reasoning_tokens))), None))
    } }
}

/// The chart: the five that cost most, and all the others together.
async fn stacked(visit: &Visit, by: &str, names: &[(String, u64)], range: &Range) -> Result<Markup, Trouble> {
    let span = range.to.saturating_sub(range.from);
    let (bucket, step) = if span <= 2 * DAY { ("hour", HOUR) } else { ("day", DAY) };
    let from = range.from.saturating_sub(range.from.rem_euclid(step));
    let pieces = range.to.saturating_sub(from).saturating_add(step - 1) / step;
    let aligned = Range { word: String::new(), from, to: range.to };
    let limit = 500;
    let all: SpendView =
        visit.get(&format!("/api/v1/spend?bucket={bucket}&from={from}&to={}&limit={limit}", range.to)).await?;
    let mut rest = series(&all.items, from, step, pieces);
    let mut drawn = Vec::new();
    for (name, _) in names.iter().filter(|(name, cost)| !name.is_empty() && *cost > 0).take(NAMED) {
        let only = format!("&{by}={}", part(name));
        let found: SpendView = visit.get(&path(by, bucket, &aligned, &only, limit)).await?;
        let values = series(&found.items, from, step, pieces);
        rest.iter_mut().zip(&values).for_each(|(rest, value)| *rest = (*rest - value).max(0.0));
        drawn.push(Series { name: crate::types::visible(name, 60), values });
    }
    if rest.iter().any(|value| *value > 1e-9) {
        drawn.push(Series { name: "others".to_owned(), values: rest });
    }
    let title = format!("Spend in dollars, by {by}");
    let chart = OverTime { title: &title, from, step, series: &drawn, shown: money, brush: false };
    Ok(chart.show())
}

/// Dollars, as they stand at an axis.
pub(super) fn money(dollars: f64) -> String {
    match dollars {
        d if d >= 10_000.0 => format!("${:.0} k", d / 1000.0),
        d if d >= 100.0 => format!("${d:.0}"),
        d if d >= 0.1 || d == 0.0 => format!("${d:.2}"),
        d => format!("${d:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_falls_into_its_piece_of_time() {
        let line = |bucket, cost| SpendLine {
            bucket,
            names: BTreeMap::new(),
            requests: 1,
            input_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            reasoning_tokens: 0,
            cost_nano_usd: cost,
        };
        let all = [line(0, 1_000_000_000), line(DAY, 500_000_000), line(DAY, 500_000_000), line(9 * DAY, 1)];
        assert_eq!(series(&all, 0, DAY, 3), [1.0, 1.0, 0.0]);
        assert_eq!(
            (money(0.0).as_str(), money(12_345.0).as_str(), money(0.00012).as_str()),
            ("$0.00", "$12 k", "$0.0001")
        );
    }
}
