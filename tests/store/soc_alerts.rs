//! Alerts: writing, folding, listing, and what people decide about them.

use std::sync::Arc;

use portcullis::store::Backend;
use portcullis::store::StoreError;
use portcullis::store::soc::{AlertChange, AlertFilter, AlertWrite};
use portcullis::types::soc::{Alert, AlertState, FeedKind, LogKind};
use portcullis::types::{Family, Severity};

use crate::both;
use crate::home::Home;
use crate::rows::MONDAY;
use crate::soc_things::{alert, closed, ids, incident, line, refused};

both!(
    an_alert_comes_back_as_it_was_and_is_written_once,
    what_is_folded_leaves_the_decisions_of_people,
    alerts_are_found_by_every_filter,
    alerts_are_listed_page_by_page,
    a_closed_alert_is_only_opened_again,
    many_are_changed_and_each_is_told_of,
    merged_alerts_are_closed_and_name_the_other,
    counts_and_what_correlation_remembers,
    lists_of_one_caller_use_an_index,
);

async fn an_alert_comes_back_as_it_was_and_is_written_once(home: Home) {
    let database = home.open().await;
    let mut one = alert("alt_1", "ann");
    one.raw = Some(serde_json::json!({"vendor": "\u{0} odd"}));
    let feed = database.write_alerts(&[AlertWrite::New(one.clone()), AlertWrite::New(one.clone())]).await.unwrap();
    assert_eq!(database.alert("alt_1").await.unwrap().unwrap(), one);
    assert_eq!(
        feed.iter().map(|entry| (entry.seq, entry.kind, &*entry.id)).collect::<Vec<_>>(),
        [(1, FeedKind::Alert, "alt_1")]
    );
    assert_eq!(feed[0].body["title"], one.title.as_str());
    assert!(feed[0].body.get("raw").is_none(), "what outside systems sent is not for everybody");
    let again = Alert { title: "another".to_owned(), ..one.clone() };
    assert!(database.write_alerts(&[AlertWrite::New(again)]).await.unwrap().is_empty());
    assert_eq!(database.alert("alt_1").await.unwrap().unwrap().title, one.title);
    assert!(database.write_alerts(&[]).await.unwrap().is_empty());
    assert!(database.alert("alt_2").await.unwrap().is_none());
}

async fn what_is_folded_leaves_the_decisions_of_people(home: Home) {
    let database = home.open().await;
    let one = alert("alt_1", "ann");
    database.write_alerts(&[AlertWrite::New(one.clone())]).await.unwrap();
    let what = AlertChange {
        state: Some(AlertState::InProgress),
        assignee: Some(Some("eve".into())),
        ..AlertChange::default()
    };
    database.change_alert("alt_1", &what, None, &[]).await.unwrap();
    let more = Alert { count: 9, last: MONDAY + 70, severity: Severity::High, retries: 3, ..one.clone() };
    let most = Alert { count: 10, severity: Severity::Low, ..more.clone() };
    // Twice in one batch, and one that nobody has written before.
    let batch = [more, most.clone(), alert("alt_2", "bob")].map(AlertWrite::Folded);
    let feed = database.write_alerts(&batch).await.unwrap();
    assert_eq!(feed.len(), 2, "one word for each alert of a batch");
    let stored = database.alert("alt_1").await.unwrap().unwrap();
    let expected =
        Alert { severity: Severity::High, state: AlertState::InProgress, assignee: Some("eve".into()), ..most.clone() };
    assert_eq!(stored, expected);
    let filter = AlertFilter { severity: Some(Severity::High), ..AlertFilter::default() };
    assert_eq!(database.alerts(&filter, 10).await.unwrap(), [expected], "columns agree with the body");
    // What comes late counts less and changes nothing; the same again neither.
    let late = Alert { count: 4, ..one };
    assert!(database.write_alerts(&[AlertWrite::Folded(late), AlertWrite::Folded(most)]).await.unwrap().is_empty());
    assert!(database.alert("alt_2").await.unwrap().is_some());
}

async fn alerts_are_found_by_every_filter(home: Home) {
    let database = home.open().await;
    let mut other = alert("alt_2", "bob");
    other.rule = "leak".into();
    other.title = "Ünderscore_and 50%".to_owned();
    other.severity = Severity::Critical;
    other.family = None;
    other.caller.tenant = Some("other".into());
    other.caller.key = Some("key_2".into());
    other.caller.address = Some("2001:db8::1".parse().unwrap());
    other.source = "falcon".into();
    (other.first, other.last) = (MONDAY + 100, MONDAY + 200);
    let one = alert("alt_1", "ann");
    database.write_alerts(&[AlertWrite::New(one), AlertWrite::New(other)]).await.unwrap();
    let inc = incident("inc_1", "many", "user:bob");
    database.raise_incident(&inc, &ids(["alt_2"]), &line(LogKind::Raised, "")).await.unwrap();
    let what = AlertChange {
        state: Some(AlertState::Acknowledged),
        assignee: Some(Some("eve".into())),
        ..AlertChange::default()
    };
    database.change_alert("alt_2", &what, Some(AlertState::Open), &[]).await.unwrap();
    let all = AlertFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let only_second = [
        AlertFilter { state: Some(AlertState::Acknowledged), ..all() },
        AlertFilter { severity: Some(Severity::High), ..all() },
        AlertFilter { rule: text("leak"), ..all() },
        AlertFilter { tenant: text("other"), ..all() },
        AlertFilter { user: text("bob"), ..all() },
        AlertFilter { session: text("talk-bob"), ..all() },
        AlertFilter { key: text("key_2"), ..all() },
        AlertFilter { address: text("2001:db8::1"), ..all() },
        AlertFilter { assignee: text("eve"), ..all() },
        AlertFilter { incident: text("inc_1"), ..all() },
        AlertFilter { source: text("falcon"), ..all() },
        AlertFilter { text: text("ÜNDERSCORE_"), ..all() },
        AlertFilter { text: text("50%"), ..all() },
        AlertFilter { from: Some(MONDAY + 150), ..all() },
    ];
    for filter in only_second {
        let found = database.alerts(&filter, 10).await.unwrap();
        assert_eq!(found.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["alt_2"], "{filter:?}");
    }
    let only_first = [
        AlertFilter { state: Some(AlertState::Open), ..all() },
        AlertFilter { family: Some(Family::PromptInjection), ..all() },
        AlertFilter { to: Some(MONDAY + 100), ..all() },
        AlertFilter { before: text("alt_2"), ..all() },
    ];
    for filter in only_first {
        let found = database.alerts(&filter, 10).await.unwrap();
        assert_eq!(found.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["alt_1"], "{filter:?}");
    }
    for wrong in ["under%and", "'; DROP TABLE alerts; --", "_____", "!"] {
        let filter = AlertFilter { text: text(wrong), ..all() };
        assert!(database.alerts(&filter, 10).await.unwrap().is_empty(), "{wrong}");
    }
}

async fn alerts_are_listed_page_by_page(home: Home) {
    let database = home.open().await;
    let many: Vec<_> = (0..150).map(|n| AlertWrite::New(alert(&format!("alt_{n:03}"), "ann"))).collect();
    assert_eq!(database.write_alerts(&many).await.unwrap().len(), 150);
    let mut filter = AlertFilter::default();
    let mut seen = Vec::new();
    loop {
        let page = database.alerts(&filter, 40).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id.to_string());
        seen.extend(page.into_iter().map(|one| one.id.to_string()));
    }
    let expected: Vec<_> = (0..150).rev().map(|n| format!("alt_{n:03}")).collect();
    assert_eq!(seen, expected);
}

async fn a_closed_alert_is_only_opened_again(home: Home) {
    let database = home.open().await;
    database.write_alerts(&[AlertWrite::New(alert("alt_1", "ann"))]).await.unwrap();
    let to = |state| AlertChange { state: Some(state), ..AlertChange::default() };
    refused(database.change_alert("alt_1", &to(AlertState::Closed), None, &[]).await, "with a reason");
    let close = AlertChange { closed: Some(closed("resolved")), ..to(AlertState::Closed) };
    let expected = Some(AlertState::Acknowledged);
    refused(database.change_alert("alt_1", &close, expected, &[]).await, "open by now, not acknowledged");
    let log = [line(LogKind::Changed, "closed")];
    let (alert, feed) = database.change_alert("alt_1", &close, Some(AlertState::Open), &log).await.unwrap();
    assert_eq!((alert.state, alert.closed), (AlertState::Closed, Some(closed("resolved"))));
    assert_eq!(feed[0].body["state"], "closed");
    let assign = AlertChange { assignee: Some(Some("bob".into())), ..AlertChange::default() };
    for wrong in [&to(AlertState::InProgress), &to(AlertState::Acknowledged), &close, &assign] {
        refused(database.change_alert("alt_1", wrong, None, &[]).await, "only be opened again");
    }
    let (alert, _) = database.change_alert("alt_1", &to(AlertState::Open), None, &[]).await.unwrap();
    assert_eq!((alert.state, alert.closed), (AlertState::Open, None));
    assert_eq!(database.log_of("alt_1", 0, 10).await.unwrap().len(), 1, "refused changes leave no line");
    let missing = database.change_alert("alt_9", &assign, None, &[]).await;
    assert_eq!(missing.unwrap_err(), StoreError::Missing("alert"));
    // Its head is where it was: what was refused told nobody anything.
    assert_eq!(database.feed_head().await.unwrap(), 3);
}

async fn many_are_changed_and_each_is_told_of(home: Home) {
    let database = home.open().await;
    let many: Vec<_> = (0..100).map(|n| AlertWrite::New(alert(&format!("alt_{n:03}"), "ann"))).collect();
    database.write_alerts(&many).await.unwrap();
    let close = AlertChange {
        state: Some(AlertState::Closed),
        closed: Some(closed("false_positive")),
        ..AlertChange::default()
    };
    database.change_alert("alt_007", &close, None, &[]).await.unwrap();
    let mut all: Vec<Arc<str>> = (0..100).map(|n| format!("alt_{n:03}").into()).collect();
    all.push("alt_gone".into());
    all.push("alt_000".into());
    let (done, feed) = database.change_alerts(&all, &close, &[line(LogKind::Changed, "all")]).await.unwrap();
    assert_eq!((done.len(), feed.len()), (101, 99));
    for (id, outcome) in done {
        match &*id {
            "alt_007" => refused(outcome, "closed"),
            "alt_gone" => assert_eq!(outcome.unwrap_err(), StoreError::Missing("alert")),
            _ => assert_eq!(outcome.unwrap().state, AlertState::Closed),
        }
    }
    let too_many: Vec<Arc<str>> = (0..501).map(|n| format!("alt_{n}").into()).collect();
    assert!(matches!(database.change_alerts(&too_many, &close, &[]).await, Err(StoreError::Refused(_))));
}

async fn merged_alerts_are_closed_and_name_the_other(home: Home) {
    let database = home.open().await;
    let mut worse = alert("alt_2", "ann");
    worse.severity = Severity::Critical;
    worse.last = MONDAY + 500;
    let three = [alert("alt_1", "ann"), worse, alert("alt_3", "ann")].map(AlertWrite::New);
    database.write_alerts(&three).await.unwrap();
    let [one, two, third] = ids(["alt_1", "alt_2", "alt_3"]);
    let say = line(LogKind::Merged, "the same");
    let duplicate = closed("duplicate");
    refused(database.merge_alerts(&one, std::slice::from_ref(&one), &duplicate, &say).await, "into itself");
    let gone = database.merge_alerts(&one, &ids(["alt_2", "alt_9"]), &duplicate, &say).await;
    assert_eq!(gone.unwrap_err(), StoreError::Missing("alert"));
    assert_eq!(database.alert("alt_2").await.unwrap().unwrap().state, AlertState::Open, "all or none");
    let (merged, feed) = database.merge_alerts(&one, std::slice::from_ref(&two), &duplicate, &say).await.unwrap();
    assert_eq!((merged[0].severity, merged[0].last), (Severity::Critical, MONDAY + 500));
    assert_eq!((merged[1].state, merged[1].merged_into.as_deref()), (AlertState::Closed, Some("alt_1")));
    assert_eq!(feed.len(), 2);
    assert_eq!(database.log_of("alt_1", 0, 9).await.unwrap()[0].entry.about, Some(two.clone()));
    assert_eq!(database.log_of("alt_2", 0, 9).await.unwrap()[0].entry.about, Some(one.clone()));
    refused(database.merge_alerts(&third, std::slice::from_ref(&two), &duplicate, &say).await, "closed");
    refused(database.merge_alerts(&two, &[third], &duplicate, &say).await, "is closed");
    let open = AlertChange { state: Some(AlertState::Open), ..AlertChange::default() };
    let (alone, _) = database.change_alert("alt_2", &open, None, &[]).await.unwrap();
    assert_eq!(alone.merged_into, None);
}

async fn counts_and_what_correlation_remembers(home: Home) {
    let database = home.open().await;
    let many: Vec<_> = (0..1_500_i64)
        .map(|n| {
            let mut one = alert(&format!("alt_{n:04}"), "ann");
            // Three at each moment.
            one.last = MONDAY + n / 3;
            one.severity = if n % 2 == 0 { Severity::High } else { Severity::Low };
            AlertWrite::New(one)
        })
        .collect();
    database.write_alerts(&many).await.unwrap();
    let counts = database.alert_counts().await.unwrap();
    let counts: Vec<_> = counts.iter().map(|one| (one.state, one.severity, one.count)).collect();
    assert_eq!(counts, [(AlertState::Open, Severity::Low, 750), (AlertState::Open, Severity::High, 750)]);
    let remembered = database.recent_alerts(MONDAY + 100, 1_150).await.unwrap();
    let names: Vec<_> = remembered.iter().map(|one| one.id.to_string()).collect();
    let expected: Vec<_> = (350..1_500).map(|n| format!("alt_{n:04}")).collect();
    assert_eq!(names, expected, "the newest, oldest first, over the ends of pages");
    assert_eq!(database.recent_alerts(MONDAY + 100, 10_000).await.unwrap().len(), 1_200);
}

async fn lists_of_one_caller_use_an_index(home: Home) {
    let database = home.open().await;
    if database.backend() != Backend::Sqlite {
        return;
    }
    for (sql, index) in [
        (
            "EXPLAIN QUERY PLAN SELECT body FROM alerts WHERE session = 'a' AND id < 'b' ORDER BY id DESC",
            "alerts_session",
        ),
        ("EXPLAIN QUERY PLAN SELECT body FROM alerts WHERE key_ = 'a' AND id < 'b' ORDER BY id DESC", "alerts_key"),
        (
            "EXPLAIN QUERY PLAN SELECT body FROM alerts WHERE address = 'a' AND id < 'b' ORDER BY id DESC",
            "alerts_address",
        ),
    ] {
        let rows = database.read().await.unwrap().rows(sql, Vec::new()).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.text(3).unwrap()).collect();
        assert_eq!(plan.len(), 1, "nothing is sorted: {plan:?}");
        assert!(plan[0].contains(index), "{plan:?}");
    }
}
