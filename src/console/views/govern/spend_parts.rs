//! Parts of the page about spend: budgets, forecast, days unlike others, the ledger's rows, the price table.

use maud::{Markup, html};
use serde_json::Value;

use super::caller::limit;
use super::figures::{Line, days};
use super::spend::{DAY, money};
use super::words::{caller_path, entries, number, text};
use crate::console::parts;
use crate::console::parts::chart::{OverTime, Series};
use crate::console::parts::number::{count, dollars};
use crate::console::parts::table::{List, table};
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::door::Effective;
use crate::control::api::ledger::SpendLine;

/// Names whose budgets are shown.
const NAMED: usize = 5;
/// Days by which the pace is told.
const PACE: usize = 7;

/// The budgets of all, and of those who spent most.
pub(super) async fn budgets(visit: &Visit, by: &str, names: &[(String, u64)], past: &[f64]) -> Result<Markup, Trouble> {
    let all: Option<Value> = visit.maybe("/api/v1/budgets?limit=500").await?;
    let last = past.iter().rev().take(PACE);
    let pace = last.clone().sum::<f64>() / (last.count().max(1) as f64);
    let mut rows: Vec<Markup> = all
        .iter()
        .flat_map(|all| entries(all, "items"))
        .filter(|one| text(one, "scope") == "all")
        .map(|one| burn(one, "everybody", (text(one, "unit") == "nano_usd").then_some(pace)))
        .collect();
    let has_own = all.iter().flat_map(|all| entries(all, "items")).any(|one| text(one, "scope") == by);
    for (name, _) in names.iter().filter(|(name, _)| has_own && !name.is_empty()).take(NAMED) {
        let found: Option<Value> =
            visit.maybe(&format!("/api/v1/budgets?scope={by}&name={}&limit=20", part(name))).await?;
        rows.extend(found.iter().flat_map(|found| entries(found, "items")).map(|one| burn(one, name, None)));
    }
    Ok(html! {
        @if rows.is_empty() { (parts::empty("There are no budgets.", "[[budgets]] in gateway.toml sets what may be spent in a period.")) }
        @else {
            (table("Budgets", &["Budget", "Used", "#", "#Of", "Anew in", "At this pace"], &rows))
            p.quiet { "The pace of everybody's budgets is the mean of the last " (PACE) " days; those of single names have none here." }
        }
    })
}

/// One budget: what is used, and when it runs out at a pace in dollars for each day.
fn burn(one: &Value, whose: &str, pace: Option<f64>) -> Markup {
    limit(one, Some(html! { (parts::name(whose)) ": " (ends(one, pace)) }))
}

/// When a budget runs out at that pace, in words.
fn ends(one: &Value, pace: Option<f64>) -> String {
    let (left, reset) = (number(one, "remaining"), number(one, "reset_seconds"));
    match (left, reset, pace) {
        (Some(left), _, _) if left <= 0 => "used up".to_owned(),
        (Some(left), Some(reset), Some(pace)) if pace > 0.0 => {
            let seconds = left as f64 / 1e9 / pace * 86_400.0;
            if seconds >= reset as f64 {
                "lasts until it begins anew".to_owned()
            } else {
                format!("runs out in {}", time::lasting((seconds * 1e6) as i64))
            }
        }
        (Some(_), _, Some(_)) => "nothing was spent lately".to_owned(),
        _ => "–".to_owned(),
    }
}

/// A straight line into the future.
pub(super) fn forecast(past: &[f64]) -> Markup {
    let recent: Vec<f64> = past.iter().rev().take(30).rev().copied().collect();
    let Some(line) = Line::through(&recent) else {
        return parts::empty("There is too little to go on.", "A forecast needs three whole days with spend.");
    };
    let from = recent.len();
    html! {
        (parts::facts(&[
            ("The next 7 days", html! { (money(line.sum(from, 7))) }),
            ("The next 30 days", html! { (money(line.sum(from, 30))) }),
            ("Change from day to day", html! { (format!("{:+.2} $", line.slope())) }),
            ("Told from", html! { (from) " whole days" }),
        ]))
        p.quiet { "A straight line through these days by least squares, and nothing more: it knows no weekends, seasons or new projects." }
    }
}

/// Days beside those before.
pub(super) fn anomalies(past: &[f64], today: i64) -> Markup {
    let found = days(past);
    let from = today.saturating_sub(i64::try_from(past.len()).unwrap_or(0).saturating_mul(DAY));
    let split = |wanted: bool| -> Vec<f64> {
        past.iter().zip(&found).map(|(value, day)| if day.is_outlier == wanted { *value } else { 0.0 }).collect()
    };
    let series = [
        Series { name: "like the days before".to_owned(), values: split(false) },
        Series { name: "outlier".to_owned(), values: split(true) },
    ];
    let title = "Spend by day in dollars, outliers marked";
    let chart = OverTime { title, from, step: DAY, series: &series, shown: money, brush: false };
    let rows: Vec<Markup> = past
        .iter()
        .zip(&found)
        .zip(0_i64..)
        .filter(|((_, day), _)| day.is_outlier)
        .map(|((value, day), at)| {
            html! { tr {
                td { (time::at(from.saturating_add(at.saturating_mul(DAY)))) }
                td.n { (money(*value)) }
                td.n { (day.median.map_or_else(|| "–".to_owned(), money)) }
                td.n { (money(day.deviation)) }
                td.n { (format!("{:+.1}", day.score)) }
            } }
        })
        .collect();
    html! {
        (chart.show())
        @if !rows.is_empty() {
            section.panel { h2 { "Days unlike those before" }
                (table("Days unlike those before", &["Day", "#Spend", "#Median before", "#Deviation", "#Away"], &rows)) }
        }
        p.quiet { "Each day is compared with the 14 before it: their median, and the median distance from it as a deviation. More than 3.5 of those away is an outlier." }
    }
}

/// The ledger's rows.
pub(super) fn lines(visit: &Visit, by: &str, all: &[SpendLine]) -> Markup {
    let head = by.get(..1).unwrap_or_default().to_uppercase() + by.get(1..).unwrap_or_default();
    let mut sorted: Vec<&SpendLine> = all.iter().collect();
    if !visit.query().is("per", "day") {
        sorted.sort_by_key(|line| std::cmp::Reverse(line.cost_nano_usd));
    }
    List {
        part: "ledger",
        caption: "Ledger",
        heads: &["From", &head, "#Requests", "#Tokens in", "#From caches", "#Tokens out", "#Reasoning", "#Cost"],
        rows: sorted.into_iter().map(|line| row(by, line)).collect(),
        next: None,
        none: (
            "Nothing was used in this period.",
            "The ledger counts requests whose model used tokens or has a price.",
        ),
    }
    .show(visit)
}

fn row(by: &str, line: &SpendLine) -> Markup {
    let name = line.names.get(by).map(String::as_str).unwrap_or_default();
    html! { tr data-id={ (line.bucket) "/" (name) } {
        td { (time::at(line.bucket)) }
        td {
            @if name.is_empty() { span.quiet { "none" } }
            @else if by == "model" { (parts::name(name)) }
            @else { a href=(caller_path(by, name)) { (parts::name(name)) } }
        }
        td.n { (count(line.requests)) }
        td.n { (count(line.input_tokens)) }
        td.n { (count(line.cached_tokens)) }
        td.n { (count(line.output_tokens)) }
        td.n { (count(line.reasoning_tokens)) }
        td.n { (dollars(i64::try_from(line.cost_nano_usd).unwrap_or(i64::MAX))) }
    } }
}

/// A row of the file.
pub(super) fn line_cells(by: &str, line: &SpendLine) -> Vec<String> {
    let mut cells = vec![line.bucket.to_string(), line.names.get(by).cloned().unwrap_or_default()];
    let figures = [
        line.requests,
        line.input_tokens,
        line.cached_tokens,
        line.output_tokens,
        line.reasoning_tokens,
        line.cost_nano_usd,
    ];
    cells.extend(figures.iter().map(u64::to_string));
    cells
}

/// Which prices costs are made with.
pub(super) async fn prices(visit: &Visit) -> Result<Markup, Trouble> {
    let config: Option<Effective> = visit.maybe("/api/v1/config").await?;
    Ok(html! { @if let Some(config) = config {
        p.quiet { "Costs are made with price table " b { (parts::name(&config.prices_version)) } " of "
            (parts::name(&config.prices_as_of)) ", which knows " (config.prices) " patterns of models. A model without a price costs nothing here." }
    } })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_budget_says_whether_it_lasts() {
        let budget = |left: i64| json!({ "remaining": left, "reset_seconds": 10 * 86_400, "unit": "nano_usd" });
        assert_eq!(ends(&budget(100_000_000_000), Some(5.0)), "lasts until it begins anew");
        assert_eq!(ends(&budget(10_000_000_000), Some(5.0)), "runs out in 2 d");
        assert_eq!(ends(&budget(0), Some(5.0)), "used up");
        assert_eq!(ends(&budget(1), Some(0.0)), "nothing was spent lately");
        assert_eq!(ends(&json!({}), None), "–");
        let shown = burn(&json!({ "name": "<x>", "unit": "nano_usd", "limit": 1 }), "<y>", None).into_string();
        assert!(!shown.contains("<x>") && !shown.contains("<y>") && shown.contains("&lt;y&gt;"), "{shown}");
    }

    #[test]
    fn a_forecast_says_what_it_is_and_too_little_says_so() {
        assert!(forecast(&[1.0]).into_string().contains("too little"));
        let shown = forecast(&[1.0, 2.0, 3.0]).into_string();
        assert!(shown.contains("$49.00") && shown.contains("straight line"), "{shown}");
    }
}
