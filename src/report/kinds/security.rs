//! The security report: traffic, decisions, top threats, who caused them, and what people did about it.

use std::collections::BTreeMap;

use super::{Trend, bars, named, severity, share_of, sum, sum_of, words};
use crate::report::ask::Ask;
use crate::report::data::{Row, Security, Soc};
use crate::report::document::{Block, Cell, ChartKind, Figure, Section, Unit};
use crate::report::say::{many, share};

pub(super) fn sections(ask: &Ask, data: &Security) -> Vec<Section> {
    vec![overview(ask, data), traffic(data), threats(data), callers(data), soc(&data.soc), response(&data.soc)]
}

/// Each decision has the same colour everywhere.
fn colour(decision: &str) -> Option<u8> {
    match decision {
        "allow" => Some(3),
        "flag" => Some(2),
        "redact" => Some(4),
        "block" => Some(1),
        _ => None,
    }
}

fn overview(ask: &Ask, data: &Security) -> Section {
    let all = sum(&data.decisions);
    let decided = |decision: &str| sum_of(&data.decisions, decision);
    let figure = |label: &str, decision: &str| {
        let count = decided(decision);
        let hint = if all == 0 { String::new() } else { format!("{} of requests", share(count as f64 / all as f64)) };
        Figure::new(label, Cell::Count(count), hint)
    };
    let soc = &data.soc;
    let mut told = format!(
        "The gateway handled {}: {} blocked, {} with parts taken out, {} flagged. ",
        many(all, "request", "requests"),
        many(decided("block"), "was", "were"),
        many(decided("redact"), "left", "left"),
        many(decided("flag"), "was", "were"),
    );
    told.push_str(&format!(
        "{} and {} were raised.",
        many(sum(&soc.alerts), "alert", "alerts"),
        many(sum(&soc.incidents), "incident", "incidents")
    ));
    let figures = vec![
        Figure::new("Requests", Cell::Count(all), many(data.who.count, "user", "users")),
        figure("Blocked", "block"),
        figure("Redacted", "redact"),
        figure("Flagged", "flag"),
        Figure::new("Alerts", Cell::Count(sum(&soc.alerts)), ""),
        Figure::new("Incidents", Cell::Count(sum(&soc.incidents)), ""),
    ];
    let trend = Trend { name: "decisions", title: "Requests by decision", kind: ChartKind::Stacked, unit: Unit::Count };
    let harm = Trend {
        name: "not_allowed",
        title: "Requests that were not allowed as they came",
        kind: ChartKind::Stacked,
        unit: Unit::Count,
    };
    let harmful: Vec<Row> = data.decisions.iter().filter(|row| row.name != "allow").cloned().collect();
    Section::new(
        "Overview",
        vec![
            Block::text(told),
            Block::Figures { figures },
            trend.chart(ask, &data.decisions, colour),
            harm.chart(ask, &harmful, colour),
        ],
    )
}

fn traffic(data: &Security) -> Section {
    let all = sum(&data.decisions);
    let outcomes = data.outcomes.iter().map(|row| {
        let reason = if row.other.is_empty() { Cell::Unknown } else { Cell::Text(words(&row.other)) };
        vec![Cell::Text(words(&row.name)), reason, Cell::Count(row.count), share_of(row.count, all)]
    });
    let models = data.models.iter().take(15).map(|row| {
        vec![named(&row.name), Cell::Count(row.count), Cell::Count(row.more), share_of(row.more, row.count)]
    });
    let told = format!(
        "Requests came from {}, with {}, in {}.",
        many(data.who.count, "user", "users"),
        many(data.who.more, "gateway key", "gateway keys"),
        many(data.who.rest, "conversation", "conversations")
    );
    Section::new(
        "Traffic",
        vec![
            Block::text(told),
            Block::table(
                "outcomes",
                "How requests ended",
                &["Outcome", "Reason", "Requests", "Share"],
                outcomes.collect(),
            ),
            Block::table(
                "models",
                "Models asked for",
                &["Model", "Requests", "Blocked", "Share blocked"],
                models.collect(),
            ),
        ],
    )
}

fn threats(data: &Security) -> Section {
    let families = || data.families.iter();
    let rows = families().map(|row| vec![Cell::Text(words(&row.name)), Cell::Count(row.more), Cell::Count(row.count)]);
    let rules = data.rules.iter().take(20).map(|row| {
        let title = data.titles.get(&row.name).map_or(Cell::Unknown, |title| Cell::name(title));
        vec![Cell::name(&row.name), title, Cell::Text(words(&row.other)), Cell::Count(row.more), Cell::Count(row.count)]
    });
    let shown = families().map(|row| (words(&row.name), row.more as f64));
    Section::new(
        "Threats",
        vec![
            bars("families_chart", "Requests with findings, by family", Unit::Count, 0, shown),
            Block::table("families", "Families of threats", &["Family", "Requests", "Findings"], rows.collect()),
            Block::table("rules", "Top rules", &["Rule", "Title", "Family", "Requests", "Findings"], rules.collect()),
        ],
    )
}

fn callers(data: &Security) -> Section {
    let rows = data.callers.iter().take(20).map(|row| {
        vec![
            named(&row.name),
            Cell::Text(words(&row.other)),
            Cell::Count(row.rest),
            Cell::Count(row.count),
            Cell::Count(row.more),
            share_of(row.more, row.rest),
        ]
    });
    let columns = ["Caller", "Known by", "Requests", "Not allowed as they came", "Blocked", "Share blocked"];
    Section::new(
        "Callers",
        vec![
            Block::text("Those whose requests were blocked, redacted or flagged most."),
            Block::table("callers", "Top callers", &columns, rows.collect()),
        ],
    )
}

/// Rows by severity with a column for each state.
fn by_state(rows: &[Row]) -> Vec<Vec<Cell>> {
    let mut by: BTreeMap<&str, [u64; 5]> = BTreeMap::new();
    for row in rows {
        let counts = by.entry(&row.name).or_default();
        let at = match row.other.as_str() {
            "open" => 1,
            "acknowledged" => 2,
            "in_progress" => 3,
            _ => 4,
        };
        for at in [0, at] {
            if let Some(count) = counts.get_mut(at) {
                *count = count.saturating_add(row.count);
            }
        }
    }
    let cells = |(number, counts): (&&str, &[u64; 5])| {
        let mut cells = vec![Cell::Text(severity(number).to_owned())];
        cells.extend(counts.iter().map(|count| Cell::Count(*count)));
        cells
    };
    by.iter().rev().map(cells).collect()
}

fn soc(soc: &Soc) -> Section {
    let columns = ["Severity", "All", "Open", "Acknowledged", "In progress", "Closed"];
    let shown =
        ["4", "3", "2", "1", "0"].map(|number| (severity(number).to_owned(), sum_of(&soc.alerts, number) as f64));
    Section::new(
        "Alerts and incidents",
        vec![
            bars("alerts_chart", "Alerts by severity", Unit::Count, 2, shown.into_iter()),
            Block::table("alerts", "Alerts", &columns, by_state(&soc.alerts)),
            Block::table("incidents", "Incidents", &columns, by_state(&soc.incidents)),
        ],
    )
}

fn response(soc: &Soc) -> Section {
    let mean = |row: &Row| if row.count == 0 { Cell::Unknown } else { Cell::Lasts(row.more) };
    let (closed, wrong) = (sum(&soc.alerts_closed), sum_of(&soc.alerts_closed, "false_positive"));
    let (done, mistaken) = (sum(&soc.incidents_closed), sum_of(&soc.incidents_closed, "false_positive"));
    let of = |row: &Row| format!("over {}", many(row.count, "incident", "incidents"));
    let figures = vec![
        Figure::new("Mean time to acknowledge", mean(&soc.acknowledged), of(&soc.acknowledged)),
        Figure::new("Mean time to resolve", mean(&soc.resolved), of(&soc.resolved)),
        Figure::new(
            "False alarms",
            share_of(wrong, closed),
            format!("of {}", many(closed, "closed alert", "closed alerts")),
        ),
        Figure::new(
            "False incidents",
            share_of(mistaken, done),
            format!("of {}", many(done, "closed incident", "closed incidents")),
        ),
    ];
    let reasons = soc.alerts_closed.iter().map(|row| (row, "alerts"));
    let reasons = reasons.chain(soc.incidents_closed.iter().map(|row| (row, "incidents")));
    let reasons = reasons
        .map(|(row, what)| vec![Cell::Text(what.to_owned()), Cell::Text(words(&row.name)), Cell::Count(row.count)]);
    let remedies = soc.remedies.iter();
    let remedies =
        remedies.map(|row| vec![Cell::Text(words(&row.name)), Cell::Text(words(&row.other)), Cell::Count(row.count)]);
    Section::new(
        "Response",
        vec![
            Block::text(
                "Times count from when an incident was raised: until a person changed it or wrote about it, and until it was \
             closed. Incidents that were merged into others are left out.",
            ),
            Block::Figures { figures },
            Block::table(
                "closed",
                "How alerts and incidents were closed",
                &["What", "Reason", "Closed"],
                reasons.collect(),
            ),
            Block::table("remedies", "Remedies", &["Action", "State", "Remedies"], remedies.collect()),
        ],
    )
}
