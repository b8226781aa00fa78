//! The threat report: what was found, by family and catalogue, its trend, and the incidents worth telling of.

use std::collections::BTreeMap;

use super::{Trend, bars, named, share_of, sum, words};
use crate::report::ask::Ask;
use crate::report::data::Threats;
use crate::report::document::{Block, Cell, ChartKind, Figure, Section, Unit};

/// A catalogue, by what its ids begin with.
const CATALOGUES: [(&str, &str, &str); 4] = [
    ("owasp_llm", "OWASP Top 10 for LLM applications", "LLM"),
    ("owasp_agentic", "OWASP agentic threats", "ASI"),
    ("atlas", "MITRE ATLAS", "AML."),
    ("attack", "MITRE ATT&CK", "T"),
];

pub(super) fn sections(ask: &Ask, data: &Threats) -> Vec<Section> {
    vec![overview(ask, data), catalogues(data), rules(data), incidents(data)]
}

fn overview(ask: &Ask, data: &Threats) -> Section {
    let all = sum(&data.families);
    let figure = |word: &str| {
        let count = data.severities.iter().find(|row| row.name == word).map_or(0, |row| row.count);
        Figure::new(&format!("Findings: {word}"), Cell::Count(count), "")
    };
    let mut figures = vec![Figure::new("Findings", Cell::Count(all), "")];
    figures.extend(["critical", "high", "medium", "low"].map(figure));
    let trend = Trend { name: "trend", title: "Findings by family", kind: ChartKind::Stacked, unit: Unit::Count };
    let lines = Trend { name: "trend_lines", title: "The largest families", kind: ChartKind::Line, unit: Unit::Count };
    let rows = data.families.iter().map(|row| {
        vec![Cell::Text(words(&row.name)), Cell::Count(row.more), Cell::Count(row.count), share_of(row.count, all)]
    });
    let actions = data.actions.iter();
    let actions =
        actions.map(|row| vec![Cell::Text(words(&row.name)), Cell::Text(words(&row.other)), Cell::Count(row.count)]);
    Section::new(
        "Overview",
        vec![
            Block::text(
                "A finding is one rule's evidence in one request or answer; a request may have several. What people sent and \
             what models answered are both counted.",
            ),
            Block::Figures { figures },
            trend.chart(ask, &data.days, |_| None),
            lines.chart(ask, &data.days, |_| None),
            Block::table(
                "families",
                "Families of threats",
                &["Family", "Requests", "Findings", "Share"],
                rows.collect(),
            ),
            Block::table("actions", "What rules ask for", &["Action", "Direction", "Findings"], actions.collect()),
        ],
    )
}

fn catalogues(data: &Threats) -> Section {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &data.threats {
        for id in row.name.split(',').map(str::trim).filter(|id| !id.is_empty()) {
            let count = counts.entry(id).or_default();
            *count = count.saturating_add(row.count);
        }
    }
    let mut blocks = vec![Block::text(
        "Rules name the catalogued threats that they look for. A finding counts for each of them; a catalogue that nothing \
         was found of is left out.",
    )];
    for (name, title, start) in CATALOGUES {
        let mut found: Vec<(&str, u64)> =
            counts.iter().filter(|(id, _)| id.starts_with(start)).map(|(id, count)| (*id, *count)).collect();
        if found.is_empty() {
            continue;
        }
        found.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let told = |id: &str| data.catalogue.get(id).map_or(String::new(), |title| format!(" {title}"));
        let shown = found.iter().map(|(id, count)| (format!("{id}{}", told(id)), *count as f64));
        blocks.push(bars(&format!("{name}_chart"), title, Unit::Count, 5, shown));
        let rows = found.iter().map(|(id, count)| {
            let title = data.catalogue.get(*id).map_or(Cell::Unknown, |title| Cell::name(title));
            vec![Cell::name(id), title, Cell::Count(*count)]
        });
        blocks.push(Block::table(name, title, &["Id", "Threat", "Findings"], rows.collect()));
    }
    Section::new("By catalogue", blocks)
}

fn rules(data: &Threats) -> Section {
    let rows = data.rules.iter().take(30).map(|row| {
        let title = data.titles.get(&row.name).map_or(Cell::Unknown, |title| Cell::name(title));
        vec![Cell::name(&row.name), title, Cell::Text(words(&row.other)), Cell::Count(row.more), Cell::Count(row.count)]
    });
    let columns = ["Rule", "Title", "Family", "Requests", "Findings"];
    Section::new("Rules", vec![Block::table("rules", "Rules that found most", &columns, rows.collect())])
}

fn incidents(data: &Threats) -> Section {
    if data.incidents.is_empty() {
        return Section::new("Notable incidents", vec![Block::text("No incident was raised in this period.")]);
    }
    let rows = data.incidents.iter().map(|one| {
        vec![
            Cell::Time(one.opened),
            Cell::Text(words(&one.severity)),
            Cell::name(&one.title),
            named(&one.caller),
            Cell::Count(one.alerts),
            Cell::Text(words(&one.state)),
            Cell::Text(one.families.iter().map(|family| words(family)).collect::<Vec<_>>().join(", ")),
            Cell::name(&one.id),
        ]
    });
    let columns = ["Raised", "Severity", "Incident", "Caller", "Alerts", "State", "Families", "Id"];
    Section::new(
        "Notable incidents",
        vec![
            Block::text(
                "The most severe incidents that were raised in this period, the newest of each severity first.",
            ),
            Block::table("incidents", "Incidents", &columns, rows.collect()),
        ],
    )
}
