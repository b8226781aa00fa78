//! What each kind of report says of what is stored.

use portcullis::control::audit::{Entry, Kind as AuditKind, Options, Trail};
use portcullis::control::report::{ReportError, frameworks, make};
use portcullis::report::{Ask, Block, Cell, Kind, Report};

use crate::both;
use crate::filled::{DAY, ask, fill, made, snapshot};
use crate::home::Home;
use crate::rows::MONDAY;

both!(
    a_security_report_counts_what_is_stored,
    a_threat_report_knows_catalogues_and_incidents,
    a_spend_report_adds_up,
    sums_do_not_depend_on_how_many_rows_are_shown,
    a_learning_report_shows_what_was_learned_and_taken_back,
    a_compliance_report_shows_evidence_and_claims_nothing,
    an_empty_store_has_reports_too,
);

/// The value of the figure with that label.
fn figure(report: &Report, label: &str) -> Cell {
    let blocks = report.sections.iter().flat_map(|section| &section.blocks);
    let figures = blocks.filter_map(|block| if let Block::Figures { figures } = block { Some(figures) } else { None });
    figures.flatten().find(|figure| figure.label == label).unwrap_or_else(|| panic!("no figure {label}")).value.clone()
}

fn table<'a>(report: &'a Report, name: &str) -> &'a [Vec<Cell>] {
    &report.tables().find(|table| table.name == name).unwrap_or_else(|| panic!("no table {name}")).rows
}

fn text(cell: &str) -> Cell {
    Cell::Text(cell.to_owned())
}

async fn a_security_report_counts_what_is_stored(home: Home) {
    let database = fill(&home).await;
    let report = made(&database, &ask(Kind::Security, None)).await;
    assert_eq!(figure(&report, "Requests"), Cell::Count(840));
    assert_eq!(figure(&report, "Blocked"), Cell::Count(84));
    assert_eq!((figure(&report, "Alerts"), figure(&report, "Incidents")), (Cell::Count(6), Cell::Count(3)));
    assert_eq!(figure(&report, "Mean time to acknowledge"), Cell::Lasts(20 * 60_000_000), "of 10 and 30 minutes");
    assert_eq!(figure(&report, "Mean time to resolve"), Cell::Lasts(60 * 60_000_000));
    assert_eq!(figure(&report, "False alarms"), Cell::Share(0.25));
    assert_eq!(table(&report, "remedies"), [vec![text("terminate session"), text("pending"), Cell::Count(1)]]);
    let outcomes = table(&report, "outcomes");
    assert_eq!(outcomes[0][..3], [text("served"), Cell::Unknown, Cell::Count(756)]);
    assert_eq!(outcomes[1][..3], [text("refused"), text("prompt blocked"), Cell::Count(84)]);
    let blocked = |row: &Vec<Cell>| if let Cell::Count(count) = row[4] { count } else { panic!("{row:?}") };
    assert_eq!(table(&report, "callers").iter().map(blocked).sum::<u64>(), 84);

    let tenant = Ask { tenant: Some("umbrella".to_owned()), ..ask(Kind::Security, None) };
    let report = made(&database, &tenant).await;
    assert_eq!(figure(&report, "Requests"), Cell::Count(168));
    assert_eq!(figure(&report, "Alerts"), Cell::Count(0), "all of them are of the other tenant");
    let day = Ask { since: MONDAY + DAY, until: MONDAY + 2 * DAY, ..ask(Kind::Security, None) };
    assert_eq!(figure(&made(&database, &day).await, "Requests"), Cell::Count(40));
}

async fn a_threat_report_knows_catalogues_and_incidents(home: Home) {
    let database = fill(&home).await;
    let report = made(&database, &ask(Kind::Threats, None)).await;
    assert_eq!(figure(&report, "Findings"), Cell::Count(168));
    let llm = table(&report, "owasp_llm");
    let sum: u64 = llm.iter().map(|row| if let Cell::Count(count) = row[2] { count } else { 0 }).sum();
    assert_eq!(sum, 168, "each finding has one id of this catalogue");
    assert_ne!(llm[0][1], Cell::Unknown, "the catalogue knows its title");
    assert!(!table(&report, "atlas").is_empty() && !table(&report, "attack").is_empty());
    let incidents = table(&report, "incidents");
    assert_eq!(
        incidents.iter().map(|row| row[1].clone()).collect::<Vec<_>>(),
        ["critical", "critical", "critical"].map(text)
    );
    let chart = report.sections[0]
        .blocks
        .iter()
        .find_map(|block| if let Block::Chart(chart) = block { Some(chart) } else { None });
    let chart = chart.unwrap();
    assert_eq!((chart.labels.len(), chart.series.len()), (21, 4));
    assert_eq!(chart.series.iter().flat_map(|series| &series.values).sum::<f64>(), 168.0);
}

/// However short its tables of names are.
async fn sums_do_not_depend_on_how_many_rows_are_shown(home: Home) {
    let database = fill(&home).await;
    let short = async |kind| make(&database, &snapshot(), &frameworks().unwrap(), 1, &ask(kind, None)).await.unwrap();
    let report = short(Kind::Security).await;
    assert_eq!((figure(&report, "Alerts"), figure(&report, "Incidents")), (Cell::Count(6), Cell::Count(3)));
    assert_eq!(figure(&report, "False alarms"), Cell::Share(0.25));
    assert_eq!((table(&report, "outcomes").len(), table(&report, "models").len()), (2, 1));
    let report = short(Kind::Threats).await;
    assert_eq!(figure(&report, "Findings"), Cell::Count(168));
    assert_eq!(table(&report, "rules").len(), 1);
}

async fn a_spend_report_adds_up(home: Home) {
    let database = fill(&home).await;
    let report = made(&database, &ask(Kind::Spend, None)).await;
    assert_eq!(figure(&report, "Cost"), Cell::Nano(8_400_000_000));
    assert_eq!(figure(&report, "Tokens"), Cell::Count(840 * 150));
    for name in ["teams", "models", "users", "by_day"] {
        let cost =
            |row: &Vec<Cell>| row.iter().find_map(|cell| if let Cell::Nano(nano) = cell { Some(*nano) } else { None });
        assert_eq!(table(&report, name).iter().filter_map(cost).sum::<u64>(), 8_400_000_000, "{name}");
    }
    let budgets = table(&report, "budgets");
    assert!(budgets.iter().any(|row| row[0] == text("house") && row[2] == text("everybody")), "{budgets:?}");
    assert!(budgets.iter().any(|row| row[0] == text("each") && row[2] == text("bob")), "{budgets:?}");
    assert!(
        matches!(figure(&report, "Month at its end"), Cell::Nano(nano) if nano > 8_000_000_000),
        "it goes on until the 31st"
    );
}

async fn a_learning_report_shows_what_was_learned_and_taken_back(home: Home) {
    let database = fill(&home).await;
    let report = made(&database, &ask(Kind::Learning, None)).await;
    assert_eq!(figure(&report, "Missed attacks reported"), Cell::Count(2));
    assert_eq!((figure(&report, "In force"), figure(&report, "Taken back")), (Cell::Count(1), Cell::Count(1)));
    assert_eq!(figure(&report, "Caught before"), Cell::Share(0.1));
    assert_eq!(figure(&report, "Caught with what was learned"), Cell::Share(0.9));
    let back = table(&report, "taken_back");
    assert_eq!((back.len(), &back[0][4]), (1, &text("it hit harmless traffic")));
}

async fn a_compliance_report_shows_evidence_and_claims_nothing(home: Home) {
    let database = fill(&home).await;
    let status = |report: &Report, id: &str| {
        let row = table(report, "controls").iter().find(|row| row[0] == text(id)).unwrap_or_else(|| panic!("no {id}"));
        (row[3].clone(), format!("{:?}", row[4]))
    };
    for framework in frameworks().unwrap().iter() {
        let report = made(&database, &ask(Kind::Compliance, Some(&framework.name))).await;
        let controls = table(&report, "controls").len() + table(&report, "not_covered").len();
        assert_eq!(controls, framework.controls.len(), "{}", framework.name);
        let note = format!("{:?}", report.sections[0].blocks[0]);
        assert!(note.contains("not a statement that an organisation complies"), "{note}");
    }
    let report = made(&database, &ask(Kind::Compliance, Some("soc2"))).await;
    let (reviewed, told) = status(&report, "CC6.2");
    assert_eq!(reviewed, text("partly"), "{told}");
    assert!(told.contains("1 of them not signed in for 90 days"), "{told}");
    assert!(status(&report, "CC7.2").1.contains("6 alerts and 3 incidents"), "{report:?}");
    let Err(ReportError::NoFramework(name, known)) =
        make(&database, &snapshot(), &frameworks().unwrap(), 10, &ask(Kind::Compliance, Some("nist"))).await
    else {
        panic!("there is no such framework")
    };
    assert!(name == "nist" && known.contains("iso27001"), "{known}");
    let both = make(&database, &snapshot(), &frameworks().unwrap(), 10, &ask(Kind::Spend, Some("soc2"))).await;
    assert!(matches!(both, Err(ReportError::Framework)), "only compliance has a framework");
}

async fn an_empty_store_has_reports_too(home: Home) {
    let database = home.open().await;
    for kind in Kind::ALL {
        let report = made(&database, &ask(kind, (kind == Kind::Compliance).then_some("gdpr"))).await;
        assert!(report.sections.len() > 2, "{kind:?}");
    }
    let backwards = Ask { until: MONDAY - 1, ..ask(Kind::Security, None) };
    let none = make(&database, &snapshot(), &frameworks().unwrap(), 10, &backwards).await;
    assert!(matches!(none, Err(ReportError::Period(_))));
}

/// The verified trail is evidence; one that somebody changed is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_that_was_changed_is_no_evidence() {
    let home = Home::new(portcullis::store::Backend::Sqlite);
    let database = fill(&home).await;
    let mut settings = (*snapshot().settings).clone();
    settings.audit.directory = home.folder.path().join("audit");
    let options = Options::of(&settings.audit, "test");
    let trail = Trail::open(database.clone(), options).await.unwrap();
    for number in 0..3 {
        let mut entry = Entry::new(AuditKind::ConfigChange, "acc_1", format!("thing/{number}"));
        entry.time = MONDAY + DAY;
        trail.append(entry).await.unwrap();
    }
    trail.close().await;
    let mut snapshot = (*snapshot()).clone();
    snapshot.settings = std::sync::Arc::new(settings);
    let evidence = async || {
        let ask = ask(Kind::Compliance, Some("iso27001"));
        let report = make(&database, &snapshot, &frameworks().unwrap(), 10, &ask).await.unwrap();
        let rows = table(&report, "evidence");
        let row = rows.iter().find(|row| row[0] == text("Audit trail is intact")).unwrap();
        (row[1].clone(), format!("{:?}", row[2]))
    };
    let (shown, told) = evidence().await;
    assert_eq!(shown, text("shown"), "{told}");
    assert!(told.contains("signed checkpoint"), "{told}");
    let sql = "UPDATE audit SET body = REPLACE(body, 'thing/1', 'thing/9')";
    database.write().await.unwrap().execute(sql, Vec::new()).await.unwrap();
    let (shown, told) = evidence().await;
    assert_eq!(shown, text("not shown"), "{told}");
    assert!(told.contains("BROKEN"), "{told}");
}
