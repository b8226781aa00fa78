//! Names of others are shown, and do nothing.

use portcullis::report::{Format, Kind, render};
use portcullis::store::Backend;

use crate::filled::{HOSTILE, ask, fill, made};
use crate::home::Home;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_names_are_shown_and_harmless_in_every_format() {
    let home = Home::new(Backend::Sqlite);
    let database = fill(&home).await;
    for kind in [Kind::Security, Kind::Spend, Kind::Threats, Kind::Learning] {
        let report = made(&database, &ask(kind, None)).await;
        let text = |format| String::from_utf8(render(&report, format, None).unwrap().bytes).unwrap();
        for format in [Format::Json, Format::Csv, Format::Md, Format::Html] {
            let text = text(format);
            assert!(!text.contains('\u{202e}'), "{kind:?} {format:?}");
        }
        let html = text(Format::Html);
        assert!(!html.contains("<script") && !html.to_lowercase().contains("href=\"javascript"), "{kind:?}");
        let md = text(Format::Md);
        assert!(!md.contains("<script") && !md.contains("](javascript") && !md.contains("**b**"), "{kind:?}");
        let csv = text(Format::Csv);
        let mut reader = csv::ReaderBuilder::new().flexible(true).has_headers(false).from_reader(csv.as_bytes());
        for row in reader.records().map(Result::unwrap) {
            for cell in &row {
                let number = cell.parse::<f64>().is_ok();
                assert!(number || !cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{kind:?} {cell:?}");
            }
        }
    }
    let report = made(&database, &ask(Kind::Spend, None)).await;
    let csv = String::from_utf8(render(&report, Format::Csv, Some("users")).unwrap().bytes).unwrap();
    assert!(csv.contains(&format!("'{}", HOSTILE[0])) && csv.contains("rev\\u{202e}ersed"), "{csv}");
    let teams = String::from_utf8(render(&report, Format::Csv, Some("teams")).unwrap().bytes).unwrap();
    assert!(teams.contains("'@team"), "{teams}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_is_not_in_kept_reports_any_more() {
    use portcullis::control::report::{DeskOptions, ReportDesk};

    let home = Home::new(Backend::Sqlite);
    let database = fill(&home).await;
    let options = DeskOptions::of(&portcullis::config::settings::Reports::default());
    let desk = ReportDesk::new(database.clone(), crate::filled::handle(), options).unwrap();
    let (kept, _) = desk.make(&ask(Kind::Spend, None)).await.unwrap();
    let users = async |name: &str| {
        let written = desk.written(&kept.id, Format::Csv, Some("users".to_owned())).await.unwrap();
        String::from_utf8(written.bytes).unwrap().matches(name).count()
    };
    for name in ["bob", "rev\u{202e}ersed"] {
        let shown = portcullis::types::visible(name, 100);
        assert!(users(&shown).await > 0, "{shown}");
        let erased = database.erase(name, crate::filled::NOW).await.unwrap();
        assert_eq!((erased.documents, users(&shown).await), (1, 0), "{shown}");
        assert!(users(&erased.pseudonym).await > 0);
    }
}
