//! The spend report: what was spent, by whom, against which budgets, and where that leads.

use super::{Trend, bars, named, share_of, sum, words};
use crate::report::ask::Ask;
use crate::report::data::{Budget, Row, Spend};
use crate::report::document::{Block, Cell, ChartKind, Figure, Section, Unit};
use crate::report::say::{self, many, usd};

const DAY: i64 = 86_400_000_000;
/// Days before the present one that the forecast looks at.
const LOOKED_AT: i64 = 7;

pub(super) fn sections(ask: &Ask, data: &Spend) -> Vec<Section> {
    // Of all days: a table of names is cut.
    let cost = sum(&data.days);
    let rest = |of: fn(&Row) -> u64| data.days.iter().fold(0_u64, |sum, row| sum.saturating_add(of(row)));
    let (requests, tokens) = (rest(|row| row.more), rest(|row| row.rest));
    let figures = vec![
        Figure::new("Cost", Cell::Nano(cost), "US dollars, as far as models have a price"),
        Figure::new("Requests", Cell::Count(requests), "that used anything"),
        Figure::new("Tokens", Cell::Count(tokens), "of prompts and answers"),
        Figure::new("Per request", Cell::Nano(cost.checked_div(requests).unwrap_or(0)), "on average"),
    ];
    let days = Trend { name: "days", title: "Cost by model", kind: ChartKind::Stacked, unit: Unit::Usd };
    let overview = vec![Block::Figures { figures }, days.chart(ask, &data.days, |_| None)];
    vec![
        Section::new("Overview", overview),
        forecast(ask, data),
        budgets(&data.budgets),
        by("Teams", "teams", "Team", &data.teams, true, cost),
        by("Models", "models", "Model", &data.models, false, cost),
        by("Users", "users", "User", &data.users, true, cost),
        by_day(data),
    ]
}

/// Where the month that the report was made in leads, if the days to come are like the last ones.
fn forecast(ask: &Ask, data: &Spend) -> Section {
    let day =
        |micros: i64| jiff::Timestamp::from_microsecond(micros).ok().map(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    let Some(now) = day(ask.made) else { return Section::new("Forecast", Vec::new()) };
    let spent = sum(&data.month);
    let today = ask.made.div_euclid(DAY).saturating_mul(DAY);
    let (gone, length) = (i64::from(now.day()).saturating_sub(1), i64::from(now.days_in_month()));
    let looked = gone.min(LOOKED_AT);
    if looked < 1 {
        let told = format!(
            "So far {} were spent in the month in which this report was made. A forecast takes a whole day of it.",
            usd(spent)
        );
        return Section::new("Forecast", vec![Block::text(told)]);
    }
    let from = today.saturating_sub(looked.saturating_mul(DAY));
    let recent: Vec<Row> = data.month.iter().filter(|row| row.day >= from && row.day < today).cloned().collect();
    let daily = sum(&recent) / u64::try_from(looked).unwrap_or(1).max(1);
    let left = u64::try_from(length.saturating_sub(gone)).unwrap_or(0);
    let already =
        data.month.iter().filter(|row| row.day >= today).fold(0_u64, |sum, row| sum.saturating_add(row.count));
    // What was spent today is part of what a whole day like the others costs, unless it was more.
    let today_whole = daily.max(already);
    let ahead = daily.saturating_mul(left.saturating_sub(1)).saturating_add(today_whole).saturating_sub(already);
    let told = format!(
        "In the month in which this report was made, {} were spent so far. On each of the {} before that day it was {} on \
         average; if the {} of the month that are left (that day included) are like these, the month ends at {}. This is a \
         straight line, not a prediction of what people will do.",
        usd(spent),
        many(u64::try_from(looked).unwrap_or(0), "day", "days"),
        usd(daily),
        many(left, "day", "days"),
        usd(spent.saturating_add(ahead))
    );
    let figures = vec![
        Figure::new("Month so far", Cell::Nano(spent), format!("since {}-01", now.strftime("%Y-%m"))),
        Figure::new("A day", Cell::Nano(daily), "on average lately"),
        Figure::new("Month at its end", Cell::Nano(spent.saturating_add(ahead)), "if it goes on like that"),
    ];
    Section::new("Forecast", vec![Block::text(told), Block::Figures { figures }])
}

fn budgets(budgets: &[Budget]) -> Section {
    if budgets.is_empty() {
        return Section::new("Budgets", vec![Block::note("No budget is configured: nothing limits what is spent.")]);
    }
    let amount = |budget: &Budget, number: u64| if budget.tokens { Cell::Count(number) } else { Cell::Nano(number) };
    let rows = budgets.iter().map(|one| {
        let of = if one.of.is_empty() { "everybody" } else { &one.of };
        vec![
            Cell::name(&one.name),
            Cell::Text(words(&one.scope)),
            Cell::name(of),
            Cell::Text(words(&one.period)),
            Cell::Text(if one.tokens { "tokens" } else { "US dollars" }.to_owned()),
            amount(one, one.limit),
            amount(one, one.used),
            share_of(one.used, one.limit),
        ]
    });
    let columns = ["Budget", "For each", "Of", "Period", "Counts", "Limit", "Used", "Share"];
    Section::new(
        "Budgets",
        vec![
            Block::text("Where budgets stand in their present period, as the ledger has it; those used most first."),
            Block::table("budgets", "Budgets", &columns, rows.collect()),
        ],
    )
}

fn by(title: &str, name: &str, head: &str, rows: &[Row], tenants: bool, all: u64) -> Section {
    let shown = rows.iter().map(|row| {
        let label = if row.name.is_empty() { "(none)".to_owned() } else { crate::types::visible(&row.name, 120) };
        (label, row.count as f64 / 1e9)
    });
    let chart = bars(&format!("{name}_chart"), &format!("Cost: {}", title.to_lowercase()), Unit::Usd, 3, shown);
    let cells = rows.iter().map(|row| {
        let mut cells = vec![named(&row.name)];
        if tenants {
            cells.push(named(&row.other));
        }
        cells.extend([Cell::Nano(row.count), share_of(row.count, all), Cell::Count(row.more), Cell::Count(row.rest)]);
        cells
    });
    let mut columns = vec![head];
    if tenants {
        columns.push("Tenant");
    }
    columns.extend(["Cost", "Share", "Requests", "Tokens"]);
    Section::new(title, vec![chart, Block::table(name, title, &columns, cells.collect())])
}

fn by_day(data: &Spend) -> Section {
    let mut days: std::collections::BTreeMap<i64, [u64; 3]> = std::collections::BTreeMap::new();
    for row in &data.days {
        let sums = days.entry(row.day).or_default();
        for (sum, part) in sums.iter_mut().zip([row.count, row.more, row.rest]) {
            *sum = sum.saturating_add(part);
        }
    }
    let rows = days.into_iter().map(|(day, [cost, requests, tokens])| {
        vec![Cell::Text(say::day(day)), Cell::Nano(cost), Cell::Count(requests), Cell::Count(tokens)]
    });
    let table = Block::table("by_day", "Days", &["Day", "Cost", "Requests", "Tokens"], rows.collect());
    Section::new("Days", vec![table])
}
