//! The learning report: what was missed, what was learned of it, how that did, and what was taken back.

use super::{Trend, named, sum, sum_of, words};
use crate::report::ask::Ask;
use crate::report::data::{Learning, Proposal};
use crate::report::document::{Block, Cell, ChartKind, Figure, Section, Unit};

pub(super) fn sections(ask: &Ask, data: &Learning) -> Vec<Section> {
    vec![overview(ask, data), learned(data), before_and_after(data), taken_back(data)]
}

fn standing<'a>(data: &'a Learning, states: &'a [&str]) -> impl Iterator<Item = &'a Proposal> {
    data.proposals.iter().filter(move |one| states.contains(&one.state.as_str()))
}

fn overview(ask: &Ask, data: &Learning) -> Section {
    let count = |states: &[&str]| Cell::Count(u64::try_from(standing(data, states).count()).unwrap_or(u64::MAX));
    let figures = vec![
        Figure::new("Missed attacks reported", Cell::Count(sum_of(&data.reported, "missed")), ""),
        Figure::new("False alarms reported", Cell::Count(sum_of(&data.reported, "false_alarm")), ""),
        Figure::new("In force", count(&["live", "canary"]), "proposals that decide"),
        Figure::new("On trial", count(&["shadow"]), "proposals that only count"),
        Figure::new("Refused", count(&["refused", "rejected"]), "by the gates or by people"),
        Figure::new("Taken back", count(&["rolled_back"]), ""),
    ];
    let mut blocks = Vec::new();
    if !data.enabled {
        blocks.push(Block::note("Learning is switched off (learn.enabled)."));
    }
    if ask.tenant.is_some() {
        blocks.push(Block::note("Reports and learned rules belong to no tenant: those of all tenants are shown."));
    }
    if data.more {
        blocks.push(Block::note("There are more proposals than this report looks at: the newest are shown."));
    }
    blocks.push(Block::Figures { figures });
    let trend = Trend { name: "reported", title: "Reports", kind: ChartKind::Stacked, unit: Unit::Count };
    blocks.push(trend.chart(ask, &data.days, |name| Some(if name == "missed" { 1 } else { 2 })));
    let rows = data.reported.iter();
    let rows =
        rows.map(|row| vec![Cell::Text(words(&row.name)), Cell::Text(words(&row.other)), Cell::Count(row.count)]);
    blocks.push(Block::table("reports", "What was reported", &["Report", "State", "Reports"], rows.collect()));
    if sum(&data.reported) == 0 {
        blocks.push(Block::text("Nothing was reported in this period."));
    }
    Section::new("Overview", blocks)
}

fn learned(data: &Learning) -> Section {
    let rows = data.proposals.iter().map(|one| {
        vec![
            Cell::name(&one.stem),
            Cell::name(&one.title),
            Cell::Text(words(&one.state)),
            Cell::Time(one.made),
            Cell::Time(one.since),
            Cell::Count(one.rules),
            Cell::Count(one.hits),
        ]
    });
    let columns = ["Rules", "Title", "State", "Made", "In this state since", "Rules", "Requests hit lately"];
    Section::new(
        "What was learned",
        vec![
            Block::text(
                "Proposals that were made or changed in this period, each a few rules learned from a report or taken over.",
            ),
            Block::table("proposals", "Proposals", &columns, rows.collect()),
        ],
    )
}

fn part(of: Option<(u64, u64)>) -> Cell {
    match of {
        Some((hit, all)) if all > 0 => Cell::Share(hit as f64 / all as f64),
        Some(_) | None => Cell::Unknown,
    }
}

fn before_and_after(data: &Learning) -> Section {
    let tried: Vec<_> = data.proposals.iter().filter(|one| one.after.is_some()).collect();
    let rows = tried.iter().map(|one| {
        let texts = one.after.map_or(Cell::Unknown, |(_, all)| Cell::Count(all));
        let benign = one.benign.map_or(Cell::Unknown, |(hit, _)| Cell::Count(hit));
        vec![Cell::name(&one.stem), texts, part(one.before), part(one.after), benign]
    });
    let columns = ["Rules", "Variations kept back", "Caught before", "Caught with it", "Harmless texts hit"];
    let mut blocks = vec![
        Block::text(
            "Each proposal is tried on variations of the attack that it was not built from, and on harmless texts that nothing \
             learned may hit.",
        ),
        Block::table("before_after", "Before and after", &columns, rows.collect()),
    ];
    let total = |of: fn(&Proposal) -> Option<(u64, u64)>| {
        tried
            .iter()
            .filter_map(|one| of(one))
            .fold((0_u64, 0_u64), |(hit, all), (one, whole)| (hit.saturating_add(one), all.saturating_add(whole)))
    };
    let (before, after) = (total(|one| one.before), total(|one| one.after));
    if after.1 > 0 {
        let figures = vec![
            Figure::new("Caught before", part(Some(before)), "of all variations kept back"),
            Figure::new("Caught with what was learned", part(Some(after)), "of all variations kept back"),
        ];
        blocks.insert(1, Block::Figures { figures });
    }
    Section::new("Before and after", blocks)
}

fn taken_back(data: &Learning) -> Section {
    let rows = standing(data, &["rolled_back", "rejected", "refused"]).map(|one| {
        let (by, why, at) = one.last.as_ref().map_or((Cell::Unknown, Cell::Unknown, Cell::Time(one.since)), |last| {
            (named(&last.by), Cell::name(&last.why), Cell::Time(last.at))
        });
        vec![Cell::name(&one.stem), Cell::Text(words(&one.state)), at, by, why]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Section::new(
            "Taken back and refused",
            vec![Block::text("Nothing was taken back or refused in this period.")],
        );
    }
    let table = Block::table("taken_back", "Taken back and refused", &["Rules", "State", "When", "By", "Why"], rows);
    Section::new("Taken back and refused", vec![table])
}
