//! Documents made of data: one file for each kind of report.

mod compliance;
mod learning;
mod security;
mod spend;
mod threats;

use std::collections::{BTreeMap, BTreeSet};

use super::ask::Ask;
use super::data::{Data, Row};
use super::document::{Block, Cell, Chart, ChartKind, Report, Series, Unit};
use super::framework::Frameworks;
use super::say;
use crate::types::visible;

/// Days that a chart shows one by one; longer periods are shown by week.
const MOST_DAYS: usize = 92;
const DAY: i64 = 86_400_000_000;
/// Series of a chart beside the one of all others.
const MOST_SERIES: usize = 6;

/// The report that was asked for. `None` where the framework is not known.
pub fn write(ask: &Ask, version: &str, frameworks: &Frameworks, data: &Data) -> Option<Report> {
    let mut title = ask.kind.title().to_owned();
    let sections = match data {
        Data::Security(data) => security::sections(ask, data),
        Data::Threats(data) => threats::sections(ask, data),
        Data::Spend(data) => spend::sections(ask, data),
        Data::Learning(data) => learning::sections(ask, data),
        Data::Compliance(name, facts) => {
            let framework = frameworks.get(name)?;
            title = format!("{title}: {}", framework.title);
            compliance::sections(framework, facts)
        }
    };
    Some(Report {
        title,
        kind: ask.kind,
        framework: ask.framework.clone(),
        tenant: ask.tenant.clone(),
        since: ask.since,
        until: ask.until,
        made: ask.made,
        by: visible(&ask.by, super::document::MOST_NAME),
        version: version.to_owned(),
        sections,
    })
}

/// Every day (or week) of a period, for each name a value: those counted most by themselves, all others together.
struct Trend<'a> {
    name: &'a str,
    title: &'a str,
    kind: ChartKind,
    unit: Unit,
}

impl Trend<'_> {
    /// `colour` is a name's own colour, where it has one.
    fn chart(&self, ask: &Ask, rows: &[Row], colour: impl Fn(&str) -> Option<u8>) -> Block {
        let first = ask.since.div_euclid(DAY);
        let days = usize::try_from(ask.until.saturating_sub(1).div_euclid(DAY).saturating_sub(first)).unwrap_or(0) + 1;
        let step = if days > MOST_DAYS { 7 } else { 1 };
        let slots = days.div_ceil(step).min(600);
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for row in rows {
            let sum = sums.entry(&row.name).or_default();
            *sum = sum.saturating_add(row.count);
        }
        let mut named: Vec<(&str, u64)> = sums.into_iter().collect();
        named.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let shown: Vec<&str> = named.iter().take(MOST_SERIES).map(|(name, _)| *name).collect();
        let mut taken: BTreeSet<u8> = shown.iter().filter_map(|name| colour(name)).collect();
        let mut series = Vec::new();
        let value = |row: &Row| match self.unit {
            Unit::Usd => row.count as f64 / 1e9,
            Unit::Count | Unit::Share => row.count as f64,
        };
        let mut add = |label: String, colour: u8, of: &dyn Fn(&str) -> bool| {
            let mut values = vec![0.0; slots];
            for row in rows.iter().filter(|row| of(&row.name)) {
                let at = usize::try_from(row.day.div_euclid(DAY).saturating_sub(first)).unwrap_or(usize::MAX) / step;
                if let Some(slot) = values.get_mut(at) {
                    *slot += value(row);
                }
            }
            series.push(Series { name: label, colour, values });
        };
        for name in &shown {
            let own = colour(name).unwrap_or_else(|| {
                let free = (0..7).find(|number| !taken.contains(number)).unwrap_or(7);
                taken.insert(free);
                free
            });
            add(words(name), own, &|other: &str| other == *name);
        }
        if named.len() > shown.len() {
            add("others".to_owned(), 7, &|other: &str| !shown.contains(&other));
        }
        let start = |slot: usize| {
            let day = first.saturating_add(i64::try_from(slot.saturating_mul(step)).unwrap_or(0));
            say::day(day.saturating_mul(DAY)).get(5..).unwrap_or_default().to_owned()
        };
        let title = if step > 1 { format!("{}, by week", self.title) } else { format!("{}, by day", self.title) };
        Block::Chart(Chart {
            name: self.name.to_owned(),
            title,
            kind: self.kind,
            unit: self.unit,
            labels: (0..slots).map(start).collect(),
            series,
        })
    }
}

/// Bars of one series.
fn bars(name: &str, title: &str, unit: Unit, colour: u8, rows: impl Iterator<Item = (String, f64)>) -> Block {
    let (labels, values) = rows.take(10).unzip();
    let series = vec![Series { name: title.to_owned(), colour, values }];
    Block::Chart(Chart { name: name.to_owned(), title: title.to_owned(), kind: ChartKind::Bar, unit, labels, series })
}

/// A word of the program as people write it; nothing becomes a dash.
fn words(name: &str) -> String {
    if name.is_empty() { "(none)".to_owned() } else { visible(&name.replace('_', " "), 120) }
}

/// Somebody's name.
fn named(name: &str) -> Cell {
    if name.is_empty() { Cell::Text("(none)".to_owned()) } else { Cell::name(name) }
}

/// A share of a whole; of nothing nothing is known.
fn share_of(part: u64, whole: u64) -> Cell {
    if whole == 0 { Cell::Unknown } else { Cell::Share(part as f64 / whole as f64) }
}

fn sum(rows: &[Row]) -> u64 {
    rows.iter().fold(0, |sum: u64, row| sum.saturating_add(row.count))
}

fn sum_of(rows: &[Row], name: &str) -> u64 {
    rows.iter().filter(|row| row.name == name).fold(0, |sum: u64, row| sum.saturating_add(row.count))
}

/// The word for a severity's number.
fn severity(number: &str) -> &'static str {
    match number {
        "0" => "informational",
        "1" => "low",
        "2" => "medium",
        "3" => "high",
        "4" => "critical",
        _ => "other",
    }
}
