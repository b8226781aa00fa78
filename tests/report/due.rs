//! Reports that are due, and reports that are kept.

use std::sync::Arc;
use std::time::Duration;

use portcullis::config::report_settings::{Every, ReportFormat, ReportKind, Schedule};
use portcullis::config::settings::Reports;
use portcullis::control::audit::{Options, Trail};
use portcullis::control::report::{DeskOptions, ReportDesk, ReportError, Scheduler};
use portcullis::report::{Format, Kind};
use portcullis::store::Database;

use crate::both;
use crate::filled::{DAY, NOW, ask, fill, handle};
use crate::home::Home;
use crate::rows::{HOUR, MONDAY};

both!(a_due_report_is_made_once_by_one_replica, kept_reports_are_bounded_in_number_and_age);

fn desk(database: &Database, options: DeskOptions) -> ReportDesk {
    ReportDesk::new(database.clone(), handle(), options).unwrap()
}

fn options() -> DeskOptions {
    DeskOptions::of(&Reports::default())
}

async fn a_due_report_is_made_once_by_one_replica(home: Home) {
    let database = fill(&home).await;
    let output = home.folder.path().join("reports");
    let schedule = Schedule {
        kind: ReportKind::Security,
        framework: None,
        tenant: None,
        every: Every::Day,
        at: "06:00".to_owned(),
        formats: vec![ReportFormat::Csv, ReportFormat::Pdf],
        output: Some(output.clone()),
    };
    let scheduler = async |name: &str| {
        let kept = Options { directory: home.folder.path().join(name), replica: name.to_owned(), ..Options::default() };
        let trail = Trail::open(database.clone(), kept).await.unwrap();
        let desk = desk(&database, options());
        Scheduler::new(desk, database.clone(), trail, vec![schedule.clone()], Duration::from_secs(1))
    };
    let (mut one, mut two) = (scheduler("a").await, scheduler("b").await);
    let count = async || database.kept_reports(None, 100).await.unwrap().len();
    let morning = MONDAY + 5 * DAY + 6 * HOUR;
    one.look(morning - HOUR).await;
    two.look(morning - HOUR).await;
    assert_eq!(count().await, 0, "what was due before anybody looked is not made");
    tokio::join!(one.look(morning + 1), two.look(morning + 1));
    one.look(morning + HOUR).await;
    assert_eq!(count().await, 1, "one of them made it, once");
    let files = || std::fs::read_dir(&output).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files().collect();
    names.sort();
    assert_eq!(names, ["csv", "pdf"].map(|end| format!("portcullis-security-2026-03-06-2026-03-06.{end}")));
    // A week away.
    two.look(morning + 7 * DAY).await;
    one.look(morning + 7 * DAY).await;
    assert_eq!(count().await, 2, "only the last one that was due is made");
    let last = database.kept_reports(None, 1).await.unwrap().remove(0);
    assert_eq!((last.since, last.until, &*last.by), (MONDAY + 11 * DAY, MONDAY + 12 * DAY, "schedule"));
}

async fn kept_reports_are_bounded_in_number_and_age(home: Home) {
    let database = fill(&home).await;
    let desk = desk(&database, DeskOptions { keep: 2, max_age: Some(Duration::from_secs(3600)), ..options() });
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(desk.make(&ask(Kind::Learning, None)).await.unwrap().0.id);
    }
    let kept: Vec<String> = desk.list(None, 10).await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(kept, [ids[2].clone(), ids[1].clone()]);
    assert!(matches!(desk.written(&ids[0], Format::Md, None).await, Err(ReportError::Missing)));
    assert!(desk.written(&ids[1], Format::Md, None).await.unwrap().bytes.starts_with(b"# Learning report"));
    desk.remove(&ids[1]).await.unwrap();
    assert!(matches!(desk.remove(&ids[1]).await, Err(ReportError::Missing)));
    assert_eq!(desk.forget(NOW + 2 * HOUR).await.unwrap(), 1);
    assert!(desk.list(None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_reports_than_may_be_made_at_once_are_refused() {
    let home = Home::new(portcullis::store::Backend::Sqlite);
    let database = fill(&home).await;
    let desk = Arc::new(desk(&database, DeskOptions { at_once: 1, waiting: 1, ..options() }));
    let asked = ask(Kind::Security, None);
    let all = std::iter::repeat_with(|| desk.make(&asked)).take(6);
    let done = futures_util::future::join_all(all).await;
    let busy = done.iter().filter(|one| matches!(one, Err(ReportError::Busy))).count();
    assert_eq!((busy, done.iter().filter(|one| one.is_ok()).count()), (4, 2));
    desk.make(&asked).await.unwrap();
}
