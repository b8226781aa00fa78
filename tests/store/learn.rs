//! Reports, proposals, hits and harmless texts: what is kept of learning.

use std::sync::Arc;

use portcullis::store::StoreError;
use portcullis::store::learn::{HarmlessText, HitRow, ProposalFilter, ReportBounds, ReportFilter};
use portcullis::types::Role;
use portcullis::types::learn::{
    Hits, LearnPhase, Proposal, ProposalState, Report, ReportKind, ReportState, Reporter, Stage,
};
use portcullis::types::soc::FeedKind;

use crate::both;
use crate::home::Home;
use crate::rows::MONDAY;

both!(
    the_same_text_is_one_report_with_all_who_reported_it,
    an_account_reports_no_more_than_it_may,
    no_more_proposals_wait_than_may,
    one_worker_has_a_proposal_at_a_time,
    what_is_staged_is_counted_as_a_change,
    a_change_that_is_refused_changes_nothing,
    hits_of_all_replicas_are_added_up,
    harmless_texts_are_kept_once_and_bounded,
    what_was_reported_of_a_person_is_forgotten,
);

const BOUNDS: ReportBounds = ReportBounds { per_hour: 3, waiting: 4 };

fn report(number: u32, account: &str) -> Report {
    Report {
        id: format!("rpt_{number}").into(),
        kind: ReportKind::Missed,
        text: format!("text {number}"),
        print: format!("print {number}").into(),
        family: None,
        role: Role::User,
        request: None,
        user: None,
        note: "".into(),
        reporters: vec![Reporter { account: account.into(), name: account.into(), at: MONDAY }],
        state: ReportState::Learning,
        rules: Vec::new(),
        proposal: Some(format!("prp_{number}").into()),
        ruling: None,
        made: MONDAY + i64::from(number),
        updated: MONDAY,
    }
}

fn proposal(number: u32) -> Proposal {
    Proposal {
        id: format!("prp_{number}").into(),
        stem: format!("LRN-{number:08}").into(),
        report: Some(format!("rpt_{number}").into()),
        title: "Missed attack".into(),
        state: ProposalState::Working,
        phase: LearnPhase::Vary,
        variations: Vec::new(),
        rules: String::new(),
        ids: Vec::new(),
        hash: "".into(),
        figures: Vec::new(),
        reasons: Vec::new(),
        said: Vec::new(),
        authors: vec!["acc_ann".into()],
        insisted: false,
        share: 0.0,
        failures: 0,
        problem: None,
        made: MONDAY,
        updated: MONDAY,
        since: MONDAY,
    }
}

async fn the_same_text_is_one_report_with_all_who_reported_it(home: Home) {
    let database = home.open().await;
    let ((first, new), feed) = database.report(&report(1, "acc_ann"), Some(&proposal(1)), BOUNDS).await.unwrap();
    assert!(new && first == report(1, "acc_ann"));
    assert_eq!(feed.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [FeedKind::Proposal, FeedKind::Report]);
    let told = feed.iter().map(|entry| entry.body.to_string()).collect::<String>();
    assert!(!told.contains("text 1"), "the feed has no words: {told}");
    let same = |account| Report { id: "rpt_2".into(), proposal: Some("prp_2".into()), ..report(1, account) };
    let ((again, new), feed) = database.report(&same("acc_ann"), Some(&proposal(2)), BOUNDS).await.unwrap();
    assert!(!new && feed.is_empty() && again.id == first.id);
    let ((again, new), _) = database.report(&same("acc_bob"), Some(&proposal(2)), BOUNDS).await.unwrap();
    assert!(!new);
    assert_eq!(again.reporters.len(), 2);
    let known = database.proposal("prp_1").await.unwrap().unwrap();
    assert_eq!(known.authors, [Arc::<str>::from("acc_ann"), "acc_bob".into()], "neither may approve it");
    assert!(database.proposal("prp_2").await.unwrap().is_none());
    let all = database.reports(&ReportFilter::default(), 10).await.unwrap();
    assert_eq!(all.len(), 1);
    let false_alarm = Report { kind: ReportKind::FalseAlarm, ..same("acc_bob") };
    let ((_, new), _) = database.report(&false_alarm, None, BOUNDS).await.unwrap();
    assert!(new, "the same text reported as something else is something else");
}

async fn an_account_reports_no_more_than_it_may(home: Home) {
    let database = home.open().await;
    for number in 1..=3 {
        database.report(&report(number, "acc_ann"), None, BOUNDS).await.unwrap();
    }
    let fourth = database.report(&report(4, "acc_ann"), None, BOUNDS).await;
    assert!(matches!(fourth, Err(StoreError::Full(_))), "{fourth:?}");
    database.report(&report(4, "acc_bob"), None, BOUNDS).await.unwrap();
    let later = Report { made: MONDAY + 3_600_000_010, ..report(5, "acc_ann") };
    database.report(&later, None, BOUNDS).await.unwrap();
    assert_eq!(database.reports(&ReportFilter::default(), 10).await.unwrap().len(), 5);
}

async fn no_more_proposals_wait_than_may(home: Home) {
    let database = home.open().await;
    for number in 1..=4 {
        let account = format!("acc_{number}");
        database.report(&report(number, &account), Some(&proposal(number)), BOUNDS).await.unwrap();
    }
    let fifth = database.report(&report(5, "acc_5"), Some(&proposal(5)), BOUNDS).await;
    assert!(matches!(fifth, Err(StoreError::Full(_))), "{fifth:?}");
    assert!(
        database.report_of("rpt_5").await.unwrap().is_none() && database.proposal("prp_5").await.unwrap().is_none()
    );
    assert!(matches!(database.propose(&proposal(6), 4).await, Err(StoreError::Full(_))));
    assert_eq!(database.proposal_counts().await.unwrap(), [("working".to_owned(), 4)]);
}

async fn one_worker_has_a_proposal_at_a_time(home: Home) {
    let database = home.open().await;
    database.report(&report(1, "acc_ann"), Some(&proposal(1)), BOUNDS).await.unwrap();
    let (now, until) = (MONDAY + 10, MONDAY + 20);
    let leased = database.lease_proposal("one", until, now).await.unwrap().unwrap().0;
    assert!(database.lease_proposal("two", until, now).await.unwrap().is_none());
    let next = Proposal { phase: LearnPhase::Try, ..leased };
    let stranger = database.advance_proposal(&next, "two", now, now).await;
    assert!(matches!(stranger, Err(StoreError::Conflict(_))), "{stranger:?}");
    let late = database.advance_proposal(&next, "one", until, until).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "the lease is over");
    assert_eq!(database.proposal("prp_1").await.unwrap().unwrap().phase, LearnPhase::Vary, "nothing was written");
    let taken = database.lease_proposal("two", until + 10, until).await.unwrap().unwrap().0;
    let next = Proposal { phase: LearnPhase::Try, ..taken };
    database.advance_proposal(&next, "two", until, until + 5).await.unwrap();
    assert!(database.lease_proposal("one", until + 20, until).await.unwrap().is_none(), "not due yet");
    assert_eq!(database.lease_proposal("one", until + 20, until + 5).await.unwrap().unwrap().0.phase, LearnPhase::Try);
}

async fn what_is_staged_is_counted_as_a_change(home: Home) {
    let database = home.open().await;
    let changes = async || database.changes().await.unwrap().learned;
    database.report(&report(1, "acc_ann"), Some(&proposal(1)), BOUNDS).await.unwrap();
    let before = changes().await;
    let leased = database.lease_proposal("one", MONDAY + 20, MONDAY).await.unwrap().unwrap().0;
    let shadow = Proposal { state: ProposalState::Shadow, rules: "id: X\n".to_owned(), ..leased };
    database.advance_proposal(&shadow, "one", MONDAY, MONDAY).await.unwrap();
    assert_eq!(changes().await, before + 1);
    assert_eq!(database.report_of("rpt_1").await.unwrap().unwrap().state, ReportState::Learned);
    let staged = database.staged_proposals().await.unwrap();
    assert_eq!(staged.iter().map(Proposal::stage).collect::<Vec<_>>(), [Some(Stage::Shadow)]);
    let said = |one: &mut Proposal| {
        one.title = "otherwise".into();
        Ok(())
    };
    database.change_proposal("prp_1", said).await.unwrap();
    assert_eq!(changes().await, before + 1, "the rules are as they were");
    let back = |one: &mut Proposal| {
        one.state = ProposalState::RolledBack;
        Ok(())
    };
    database.change_proposal("prp_1", back).await.unwrap();
    assert_eq!(changes().await, before + 2);
    assert!(database.staged_proposals().await.unwrap().is_empty());
    assert_eq!(database.report_of("rpt_1").await.unwrap().unwrap().state, ReportState::Dismissed);
    let filter = ProposalFilter { state: Some(ProposalState::RolledBack), ..ProposalFilter::default() };
    assert_eq!(database.proposals(&filter, 10).await.unwrap().len(), 1);
}

async fn a_change_that_is_refused_changes_nothing(home: Home) {
    let database = home.open().await;
    database.report(&report(1, "acc_ann"), Some(&proposal(1)), BOUNDS).await.unwrap();
    let no = |one: &mut Proposal| {
        one.title = "changed".into();
        Err(StoreError::Conflict("no".to_owned()))
    };
    assert!(database.change_proposal("prp_1", no).await.is_err());
    let early = |one: &mut Proposal| {
        one.state = ProposalState::Live;
        Ok(())
    };
    assert!(database.change_proposal("prp_1", early).await.is_err(), "it is still worked on");
    assert_eq!(database.proposal("prp_1").await.unwrap().unwrap(), proposal(1));
    assert_eq!(database.change_proposal("prp_9", |_| Ok(())).await.unwrap_err(), StoreError::Missing("proposal"));
}

async fn hits_of_all_replicas_are_added_up(home: Home) {
    let database = home.open().await;
    let row = |rule: &str, minute, seen, hits, callers: &[u64]| HitRow {
        rule: rule.to_owned(),
        minute,
        hits: Hits { seen, hits, alone: hits, decided: hits, callers: callers.to_vec() },
    };
    database.write_hits("a", &[row("", 7, 100, 0, &[]), row("LRN-1", 7, 0, 2, &[1, 2])]).await.unwrap();
    database.write_hits("b", &[row("", 7, 50, 0, &[]), row("LRN-1", 7, 0, 1, &[2, 3])]).await.unwrap();
    database.write_hits("a", &[row("", 7, 120, 0, &[]), row("LRN-1", 7, 0, 4, &[1, 2])]).await.unwrap();
    database.write_hits("a", &[row("", 8, 10, 0, &[])]).await.unwrap();
    let sums = database.hits_since(7).await.unwrap();
    assert_eq!(sums[""].seen, 180, "what one replica writes again takes the place of what it wrote");
    let mut callers = sums["LRN-1"].callers.clone();
    callers.sort_unstable();
    assert_eq!((sums["LRN-1"].hits, callers), (5, vec![1, 2, 3]));
    assert_eq!(database.hits_since(8).await.unwrap()[""].seen, 10);
    assert_eq!(database.forget_hits(8).await.unwrap(), 4);
}

async fn harmless_texts_are_kept_once_and_bounded(home: Home) {
    let database = home.open().await;
    let text = |number: u32| HarmlessText {
        id: format!("txt_{number}").into(),
        print: format!("print {number}").into(),
        text: format!("text {number}"),
        user: None,
        by: "ann".into(),
        at: MONDAY,
    };
    assert!(database.add_harmless(&text(1), 2).await.unwrap());
    assert!(!database.add_harmless(&HarmlessText { id: "txt_9".into(), ..text(1) }, 2).await.unwrap());
    assert!(database.add_harmless(&text(2), 2).await.unwrap());
    assert!(matches!(database.add_harmless(&text(3), 2).await, Err(StoreError::Full(_))));
    assert_eq!(database.harmless("txt_1", 10).await.unwrap(), [text(2)]);
    assert!(database.remove_harmless("txt_1").await.unwrap());
    assert!(!database.remove_harmless("txt_1").await.unwrap());
}

async fn what_was_reported_of_a_person_is_forgotten(home: Home) {
    let database = home.open().await;
    let own = Report { user: Some("eve".into()), ..report(1, "acc_ann") };
    database.report(&own, Some(&proposal(1)), BOUNDS).await.unwrap();
    database.report(&report(2, "acc_ann"), Some(&proposal(2)), BOUNDS).await.unwrap();
    let leased = database.lease_proposal("one", MONDAY + 20, MONDAY).await.unwrap().unwrap().0;
    assert_eq!(&*leased.id, "prp_1");
    let live = Proposal { state: ProposalState::Live, rules: "text 1".to_owned(), ..leased };
    database.advance_proposal(&live, "one", MONDAY, MONDAY).await.unwrap();
    let harmless = HarmlessText {
        id: "txt_1".into(),
        print: "p".into(),
        text: "hers".to_owned(),
        user: Some("eve".into()),
        by: "ann".into(),
        at: MONDAY,
    };
    database.add_harmless(&harmless, 10).await.unwrap();
    let erased = database.erase("eve", MONDAY + 100).await.unwrap();
    assert_eq!(erased.reports, 2);
    let forgotten = database.report_of("rpt_1").await.unwrap().unwrap();
    assert_eq!((forgotten.text.as_str(), forgotten.user), ("", None));
    let taken = database.proposal("prp_1").await.unwrap().unwrap();
    assert_eq!((taken.state, taken.rules.as_str()), (ProposalState::RolledBack, ""));
    assert!(database.harmless("", 10).await.unwrap().is_empty());
    assert_eq!(database.report_of("rpt_2").await.unwrap().unwrap().text, "text 2", "of nobody else");
    assert_eq!(database.erase("eve", MONDAY + 200).await.unwrap().reports, 0);
}
