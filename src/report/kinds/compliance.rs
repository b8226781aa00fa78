//! The compliance report: what the gateway contributes to the controls of a framework, and what shows it.

use std::collections::BTreeSet;

use crate::report::document::{Block, Cell, Chart, ChartKind, Figure, Section, Series, Unit};
use crate::report::evidence::{self, Shown};
use crate::report::facts::Facts;
use crate::report::framework::{Control, Framework};

const STATUS: [&str; 4] = ["met", "partly", "not met", "not covered"];

pub(super) fn sections(framework: &Framework, facts: &Facts) -> Vec<Section> {
    let judged: Vec<(&Control, &'static str)> =
        framework.controls.iter().map(|control| (control, status(control, facts))).collect();
    vec![overview(framework, &judged), controls(&judged, facts), pieces(framework, facts), not_covered(&judged)]
}

/// Where a control stands: met where all of its evidence is there.
fn status(control: &Control, facts: &Facts) -> &'static str {
    let found = |name: &String| evidence::find(name).map_or(Shown::No, |(_, _, look)| look(facts).0);
    let shown: Vec<Shown> = control.evidence.iter().map(found).collect();
    match (shown.iter().min(), shown.iter().max()) {
        (Some(Shown::Yes), _) => "met",
        (_, Some(Shown::No)) => "not met",
        (Some(_), Some(_)) => "partly",
        _ => "not covered",
    }
}

fn overview(framework: &Framework, judged: &[(&Control, &'static str)]) -> Section {
    let count = |status: &str| judged.iter().filter(|(_, own)| *own == status).count();
    let hints = [
        "all of its evidence is there",
        "some of its evidence is there, or only in part",
        "none of its evidence is there",
        "the gateway has no part in it",
    ];
    let titles = ["Met", "Partly met", "Not met", "Not covered"];
    let figures = STATUS.iter().zip(titles).zip(hints).map(|((status, title), hint)| {
        Figure::new(title, Cell::Count(u64::try_from(count(status)).unwrap_or(u64::MAX)), hint)
    });
    let chart = Chart {
        name: "status".to_owned(),
        title: "Controls by status".to_owned(),
        kind: ChartKind::Bar,
        unit: Unit::Count,
        labels: titles.map(str::to_owned).to_vec(),
        series: vec![Series {
            name: "Controls".to_owned(),
            colour: 0,
            values: STATUS.iter().map(|status| count(status) as f64).collect(),
        }],
    };
    Section::new(
        "Overview",
        vec![
            Block::note(
                "This report shows what the gateway contributes to the controls listed here, and the counts and settings that \
             show it. It is not a statement that an organisation complies with anything: no control is met by one system \
             alone, and whether a control applies and is fulfilled is for people to judge.",
            ),
            Block::text(format!("{}, {}. {}", framework.title, framework.version, framework.scope)),
            Block::text(format!("Published at {}. What each control asks is told in our own words.", framework.source)),
            Block::Figures { figures: figures.collect() },
            Block::Chart(chart),
        ],
    )
}

fn controls(judged: &[(&Control, &'static str)], facts: &Facts) -> Section {
    let covered = judged.iter().filter(|(_, status)| *status != "not covered");
    let rows = covered.map(|(control, status)| {
        let found = control.evidence.iter().filter_map(|name| evidence::find(name));
        let told = found.map(|(_, title, look)| {
            let (shown, told) = look(facts);
            format!("{title} ({}): {told}.", word(shown))
        });
        vec![
            Cell::Text(control.id.clone()),
            Cell::Text(control.title.clone()),
            Cell::Text(control.asks.clone()),
            Cell::Text((*status).to_owned()),
            Cell::Text(told.collect::<Vec<_>>().join(" ")),
        ]
    });
    let columns = ["Control", "Title", "Asks", "Status", "What shows it"];
    Section::new("Controls", vec![Block::table("controls", "Controls and what shows them", &columns, rows.collect())])
}

const fn word(shown: Shown) -> &'static str {
    match shown {
        Shown::Yes => "shown",
        Shown::Partly => "in part",
        Shown::No => "not shown",
    }
}

/// Every piece of evidence that the framework asks for, once, with the controls that it is for.
fn pieces(framework: &Framework, facts: &Facts) -> Section {
    let asked: BTreeSet<&String> = framework.controls.iter().flat_map(|control| &control.evidence).collect();
    let rows = asked.into_iter().filter_map(|name| {
        let (_, title, look) = evidence::find(name)?;
        let (shown, told) = look(facts);
        let of = framework.controls.iter().filter(|control| control.evidence.contains(name));
        let of: Vec<&str> = of.map(|control| control.id.as_str()).collect();
        Some(vec![
            Cell::Text((*title).to_owned()),
            Cell::Text(word(shown).to_owned()),
            Cell::Text(told),
            Cell::Text(of.join(", ")),
        ])
    });
    let columns = ["Evidence", "Shown", "Counts and settings", "Controls"];
    Section::new("Evidence", vec![Block::table("evidence", "Evidence", &columns, rows.collect())])
}

fn not_covered(judged: &[(&Control, &'static str)]) -> Section {
    let rows = judged.iter().filter_map(|(control, _)| {
        let why = control.not_covered.as_ref()?;
        Some([&control.id, &control.title, &control.asks, why].map(|text| Cell::Text(text.clone())).to_vec())
    });
    let columns = ["Control", "Title", "Asks", "Why it is not covered"];
    Section::new(
        "Not covered",
        vec![
            Block::text("Controls that others have to take care of."),
            Block::table("not_covered", "Not covered", &columns, rows.collect()),
        ],
    )
}
