//! Incidents and the analyst's work on them.

use std::sync::Arc;

use portcullis::store::StoreError;
use portcullis::store::soc::{AlertFilter, AlertWrite, IncidentChange, IncidentFilter};
use portcullis::types::Severity;
use portcullis::types::soc::{Analysis, FeedKind, IncidentState, LogKind, Phase, PlanState};
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::{HOUR, MONDAY};
use crate::soc_things::{alert, analysis, closed, ids, incident, line, plan, refused};

both!(
    an_incident_is_as_bad_as_its_alerts,
    eight_raisers_raise_one_incident,
    an_alert_may_be_evidence_of_two_incidents,
    a_closed_incident_takes_nothing_in_and_is_only_opened_again,
    merged_incidents_hand_over_their_evidence,
    incidents_are_found_by_every_filter,
    an_analysis_is_begun_once_and_leased_by_one,
    an_analysis_that_has_ended_is_repeated_and_its_plan_does_not_wait_on,
    a_lost_lease_writes_nothing,
    a_step_that_failed_waits,
    what_is_over_is_remembered,
);

fn close(reason: &str) -> IncidentChange {
    IncidentChange { state: Some(IncidentState::Closed), closed: Some(closed(reason)), ..IncidentChange::default() }
}

async fn an_incident_is_as_bad_as_its_alerts(home: Home) {
    let database = home.open().await;
    let mut worse = alert("alt_2", "bob");
    worse.severity = Severity::Critical;
    worse.verdict.risk = 0.95;
    worse.verdict.false_positive = 3;
    worse.last = MONDAY + 1_000;
    database.write_alerts(&[alert("alt_1", "ann"), worse].map(AlertWrite::New)).await.unwrap();
    let inc = incident("inc_1", "many", "campaign:x");
    let raised = database.raise_incident(&inc, &ids(["alt_1"]), &line(LogKind::Raised, "3 in 5m")).await.unwrap();
    assert!(raised.new);
    assert_eq!((raised.incident.alerts, raised.incident.severity), (1, Severity::Medium));
    assert_eq!((raised.incident.false_positive, raised.incident.risk), (20, 0.7));
    assert_eq!(raised.incident.threats, ids(["LLM01:2026"]));
    let kinds: Vec<_> = raised.feed.iter().map(|entry| entry.kind).collect();
    assert!(kinds.contains(&FeedKind::Incident) && kinds.contains(&FeedKind::Alert) && kinds.len() == 2, "{kinds:?}");
    assert_eq!(database.incident("inc_1").await.unwrap().unwrap(), raised.incident);
    let say = line(LogKind::Alert, "one more");
    let joining = ids(["alt_1", "alt_2", "alt_none"]);
    let (joined, _) = database.join_incident("inc_1", &joining, &say).await.unwrap();
    assert_eq!((joined.alerts, joined.severity, joined.false_positive), (2, Severity::Critical, 3));
    assert_eq!((joined.risk, joined.caller.user.as_deref()), (0.95, Some("bob")));
    let (again, feed) = database.join_incident("inc_1", &joining, &say).await.unwrap();
    assert_eq!(again, joined);
    assert!(feed.is_empty(), "what is evidence already changes nothing");
    let log = database.log_of("inc_1", 0, 10).await.unwrap();
    assert_eq!(log.iter().map(|line| line.entry.kind).collect::<Vec<_>>(), [LogKind::Raised, LogKind::Alert]);
    assert_eq!(database.alert("alt_2").await.unwrap().unwrap().incident.as_deref(), Some("inc_1"));
    let missing = database.join_incident("inc_9", &joining, &say).await.unwrap_err();
    assert_eq!(missing, StoreError::Missing("incident"));
}

async fn eight_raisers_raise_one_incident(home: Home) {
    let (one, other) = (home.open().await, home.open().await);
    let many: Vec<_> = (0..8).map(|n| AlertWrite::New(alert(&format!("alt_{n}"), "ann"))).collect();
    one.write_alerts(&many).await.unwrap();
    let mut raisers = JoinSet::new();
    for number in 0..8 {
        let database = if number % 2 == 0 { one.clone() } else { other.clone() };
        raisers.spawn(async move {
            let inc = incident(&format!("inc_{number}"), "many", "user:ann");
            let alerts = [Arc::from(format!("alt_{number}"))];
            database.raise_incident(&inc, &alerts, &line(LogKind::Raised, "")).await.unwrap()
        });
    }
    let raised = raisers.join_all().await;
    assert_eq!(raised.iter().filter(|raised| raised.new).count(), 1);
    let first = &raised[0].incident.id;
    assert!(raised.iter().all(|raised| raised.incident.id == *first));
    let open = database_incidents(&other).await;
    assert_eq!((open.len(), open[0].alerts), (1, 8));
    assert_eq!(other.log_of(first, 0, 100).await.unwrap().len(), 8);
    // Raised again by who never heard of it: the same.
    let again = one.raise_incident(&open[0], &ids(["alt_1"]), &line(LogKind::Raised, "")).await.unwrap();
    assert!(!again.new && again.feed.is_empty());
}

async fn database_incidents(database: &portcullis::store::Database) -> Vec<portcullis::types::soc::Incident> {
    database.incidents(&IncidentFilter { open: true, ..IncidentFilter::default() }, 100).await.unwrap()
}

async fn an_alert_may_be_evidence_of_two_incidents(home: Home) {
    let database = home.open().await;
    database.write_alerts(&[AlertWrite::New(alert("alt_1", "ann"))]).await.unwrap();
    let say = line(LogKind::Raised, "");
    for (id, about) in [("inc_1", "user:ann"), ("inc_2", "campaign:x")] {
        let raised = database.raise_incident(&incident(id, "many", about), &ids(["alt_1"]), &say).await.unwrap();
        assert!(raised.new && raised.incident.alerts == 1);
    }
    assert_eq!(database.alert("alt_1").await.unwrap().unwrap().incident.as_deref(), Some("inc_1"));
    for id in ["inc_1", "inc_2"] {
        let filter = AlertFilter { incident: Some(id.to_owned()), ..AlertFilter::default() };
        assert_eq!(database.alerts(&filter, 10).await.unwrap().len(), 1);
    }
    let of: Vec<_> = database.incidents_of("alt_1").await.unwrap().iter().map(|one| one.id.to_string()).collect();
    assert_eq!(of, ["inc_2", "inc_1"]);
}

async fn a_closed_incident_takes_nothing_in_and_is_only_opened_again(home: Home) {
    let database = home.open().await;
    database.write_alerts(&[AlertWrite::New(alert("alt_1", "ann"))]).await.unwrap();
    let say = line(LogKind::Raised, "");
    let inc = incident("inc_1", "many", "user:ann");
    database.raise_incident(&inc, &[], &say).await.unwrap();
    let work = IncidentChange {
        state: Some(IncidentState::InProgress),
        assignee: Some(Some("eve".into())),
        severity: Some(Severity::Critical),
        ..IncidentChange::default()
    };
    let (changed, _) =
        database.change_incident("inc_1", &work, Some(IncidentState::Open), MONDAY + 9, &[]).await.unwrap();
    assert_eq!((changed.severity, changed.assignee.as_deref()), (Severity::Critical, Some("eve")));
    assert_eq!(changed.updated, MONDAY + 9);
    refused(
        database.change_incident("inc_1", &work, Some(IncidentState::Open), MONDAY, &[]).await,
        "in_progress by now",
    );
    database.change_incident("inc_1", &close("resolved"), None, MONDAY + 2 * HOUR, &[]).await.unwrap();
    refused(database.change_incident("inc_1", &work, None, MONDAY, &[]).await, "only be opened again");
    refused(database.join_incident("inc_1", &ids(["alt_1"]), &say).await, "is closed");
    // The next of the kind is a new one, and then the old one stays closed.
    let second = incident("inc_2", "many", "user:ann");
    assert!(database.raise_incident(&second, &ids(["alt_1"]), &say).await.unwrap().new);
    let open = IncidentChange { state: Some(IncidentState::Open), ..IncidentChange::default() };
    refused(database.change_incident("inc_1", &open, None, MONDAY, &[]).await, "another incident of this rule");
    database.change_incident("inc_2", &close("resolved"), None, MONDAY, &[]).await.unwrap();
    let (opened, _) = database.change_incident("inc_1", &open, None, MONDAY, &[]).await.unwrap();
    assert_eq!((opened.state, opened.closed), (IncidentState::Open, None));
}

async fn merged_incidents_hand_over_their_evidence(home: Home) {
    let database = home.open().await;
    let three = ["alt_1", "alt_2", "alt_3"].map(|id| AlertWrite::New(alert(id, "ann")));
    database.write_alerts(&three).await.unwrap();
    let say = line(LogKind::Raised, "");
    let [one, two] = ids(["inc_1", "inc_2"]);
    database.raise_incident(&incident(&one, "a", "user:ann"), &ids(["alt_1", "alt_2"]), &say).await.unwrap();
    database.raise_incident(&incident(&two, "b", "user:ann"), &ids(["alt_2", "alt_3"]), &say).await.unwrap();
    let say = line(LogKind::Merged, "one attack");
    let twice = [two.clone(), two.clone()];
    refused(database.merge_incidents(&one, &twice, &closed("duplicate"), &say).await, "merged once");
    refused(
        database
            .merge_incidents(&one, &twice[..0].iter().chain([&one]).cloned().collect::<Vec<_>>(), &closed("d"), &say)
            .await,
        "itself",
    );
    let (merged, _) = database.merge_incidents(&one, &twice[..1], &closed("duplicate"), &say).await.unwrap();
    assert_eq!((merged[0].alerts, merged[0].state), (3, IncidentState::Open));
    assert_eq!((merged[1].state, merged[1].merged_into.as_ref()), (IncidentState::Closed, Some(&one)));
    assert_eq!(database.alert("alt_3").await.unwrap().unwrap().incident, Some(one.clone()));
    let filter = AlertFilter { incident: Some("inc_2".to_owned()), ..AlertFilter::default() };
    assert!(database.alerts(&filter, 10).await.unwrap().is_empty());
    refused(database.merge_incidents(&two, std::slice::from_ref(&one), &closed("d"), &say).await, "is closed");
    assert!(database.past_incidents(10).await.unwrap().is_empty(), "one that was merged has nothing to teach");
}

async fn incidents_are_found_by_every_filter(home: Home) {
    let database = home.open().await;
    let say = line(LogKind::Raised, "");
    let mut second = incident("inc_2", "leaks", "user:bob");
    second.severity = Severity::High;
    second.title = "Secrets LEAVE".to_owned();
    second.caller.user = Some("bob".into());
    second.caller.tenant = Some("other".into());
    second.opened = MONDAY + 50;
    second.updated = MONDAY + 60;
    database.raise_incident(&incident("inc_1", "many", "user:ann"), &[], &say).await.unwrap();
    database.raise_incident(&second, &[], &say).await.unwrap();
    let assign = IncidentChange { assignee: Some(Some("eve".into())), ..IncidentChange::default() };
    database.change_incident("inc_2", &assign, None, MONDAY, &[]).await.unwrap();
    database.change_incident("inc_1", &close("resolved"), None, MONDAY, &[]).await.unwrap();
    let all = IncidentFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let only_second = [
        IncidentFilter { state: Some(IncidentState::Open), ..all() },
        IncidentFilter { open: true, ..all() },
        IncidentFilter { severity: Some(Severity::High), ..all() },
        IncidentFilter { rule: text("leaks"), ..all() },
        IncidentFilter { about: text("user:bob"), ..all() },
        IncidentFilter { tenant: text("other"), ..all() },
        IncidentFilter { user: text("bob"), ..all() },
        IncidentFilter { assignee: text("eve"), ..all() },
        IncidentFilter { text: text("leave"), ..all() },
        IncidentFilter { from: Some(MONDAY + 55), ..all() },
    ];
    for filter in only_second {
        let found = database.incidents(&filter, 10).await.unwrap();
        assert_eq!(found.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["inc_2"], "{filter:?}");
    }
    for filter in [IncidentFilter { to: Some(MONDAY + 50), ..all() }, IncidentFilter { before: text("inc_2"), ..all() }]
    {
        let found = database.incidents(&filter, 10).await.unwrap();
        assert_eq!(found.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["inc_1"], "{filter:?}");
    }
}

async fn an_analysis_is_begun_once_and_leased_by_one(home: Home) {
    let (one, other) = (home.open().await, home.open().await);
    for number in 0..5 {
        assert!(one.begin_analysis(&analysis(&format!("anl_{number}"), &format!("inc_{number}"))).await.unwrap());
        assert!(!one.begin_analysis(&analysis("anl_other", &format!("inc_{number}"))).await.unwrap());
    }
    assert_eq!(one.analysis_of("inc_0").await.unwrap().unwrap(), analysis("anl_0", "inc_0"));
    assert!(one.lease_analysis("w", MONDAY + 10, MONDAY - 1).await.unwrap().is_none(), "nothing is due yet");
    let mut workers = JoinSet::new();
    for number in 0..8 {
        let database = if number % 2 == 0 { one.clone() } else { other.clone() };
        workers.spawn(async move {
            database.lease_analysis(&format!("worker {number}"), MONDAY + HOUR, MONDAY + 1).await.unwrap()
        });
    }
    let mut leased: Vec<_> = workers.join_all().await.into_iter().flatten().map(|one| one.id.to_string()).collect();
    // Several workers that look at once may step aside for each other; nobody gets what another has.
    while let Some(more) = one.lease_analysis("late", MONDAY + HOUR, MONDAY + 1).await.unwrap() {
        leased.push(more.id.to_string());
    }
    leased.sort();
    assert_eq!(leased, ["anl_0", "anl_1", "anl_2", "anl_3", "anl_4"]);
    // A worker that died gives its lease back by the clock.
    let after = one.lease_analysis("next", MONDAY + 3 * HOUR, MONDAY + HOUR).await.unwrap().unwrap();
    assert_eq!(&*after.id, "anl_0");
}

async fn an_analysis_that_has_ended_is_repeated_and_its_plan_does_not_wait_on(home: Home) {
    let database = home.open().await;
    database.raise_incident(&incident("inc_1", "many", "user:ann"), &[], &line(LogKind::Raised, "")).await.unwrap();
    assert_eq!(
        database.repeat_analysis(&analysis("anl_1-2", "inc_1"), &[]).await.unwrap_err(),
        StoreError::Missing("analysis")
    );
    database.begin_analysis(&analysis("anl_1", "inc_1")).await.unwrap();
    refused(database.repeat_analysis(&analysis("anl_1-2", "inc_1"), &[]).await, "still under way");
    let leased = database.lease_analysis("w", MONDAY + HOUR, MONDAY).await.unwrap().unwrap();
    let ended = Analysis { phase: Phase::Done, plan: Some("pln_1".into()), ..leased };
    database.advance_analysis(&ended, "w", MONDAY + 1, Some(&plan("pln_1", Some("inc_1"), 1)), &[]).await.unwrap();
    let fresh = analysis("anl_1-2", "inc_1");
    let (_, feed) = database.repeat_analysis(&fresh, &[line(LogKind::Analysis, "again")]).await.unwrap();
    assert!(feed.iter().any(|entry| *entry.id == *"pln_1"), "{feed:?}");
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, PlanState::Refused);
    assert_eq!(database.lease_analysis("w", MONDAY + HOUR, MONDAY).await.unwrap().unwrap(), fresh);
    // Two who ask at once begin it once.
    refused(database.repeat_analysis(&fresh, &[]).await, "still under way");
}

async fn a_lost_lease_writes_nothing(home: Home) {
    let database = home.open().await;
    database.raise_incident(&incident("inc_1", "many", "user:ann"), &[], &line(LogKind::Raised, "")).await.unwrap();
    database.begin_analysis(&analysis("anl_1", "inc_1")).await.unwrap();
    let mut step = database.lease_analysis("slow", MONDAY + 10, MONDAY).await.unwrap().unwrap();
    step.phase = Phase::Analyse;
    let proposed = plan("pln_1", Some("inc_1"), 1);
    let log = [line(LogKind::Analysis, "found two playbooks")];
    let write = |step, worker, now| {
        let (database, proposed, log) = (database.clone(), proposed.clone(), log.clone());
        async move { database.advance_analysis(&step, worker, now, Some(&proposed), &log).await }
    };
    refused(write(step.clone(), "thief", MONDAY + 1).await, "lease on the analysis is lost");
    refused(write(step.clone(), "slow", MONDAY + 10).await, "lease on the analysis is lost");
    database.lease_analysis("quick", MONDAY + 100, MONDAY + 10).await.unwrap().unwrap();
    refused(write(step.clone(), "slow", MONDAY + 11).await, "lease on the analysis is lost");
    assert!(database.plan("pln_1").await.unwrap().is_none());
    assert_eq!(database.analysis_of("inc_1").await.unwrap().unwrap().phase, Phase::Retrieve);
    assert_eq!(database.log_of("inc_1", 0, 10).await.unwrap().len(), 1);
    step.found.insert("retrieve".to_owned(), serde_json::json!({"playbooks": ["injection"]}));
    step.plan = Some("pln_1".into());
    let feed = write(step.clone(), "quick", MONDAY + 12).await.unwrap();
    assert_eq!(feed.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [FeedKind::Plan, FeedKind::Incident]);
    assert_eq!(feed[0].body["body"]["summary"], "end the session of ann", "a plan is shown as what it says");
    assert_eq!(database.analysis_of("inc_1").await.unwrap().unwrap(), step);
    assert_eq!(database.log_of("inc_1", 1, 10).await.unwrap()[0].entry, log[0]);
    // The lease went back with it, and the next step is due.
    refused(write(step.clone(), "quick", MONDAY + 13).await, "lost");
    step.phase = Phase::Done;
    database.lease_analysis("quick", MONDAY + 100, MONDAY + 14).await.unwrap().unwrap();
    database.advance_analysis(&step, "quick", MONDAY + 15, None, &[]).await.unwrap();
    assert!(database.lease_analysis("quick", MONDAY + HOUR, MONDAY + 200).await.unwrap().is_none(), "it has ended");
}

async fn a_step_that_failed_waits(home: Home) {
    let database = home.open().await;
    database.begin_analysis(&analysis("anl_1", "inc_1")).await.unwrap();
    let mut step = database.lease_analysis("w", MONDAY + 10, MONDAY).await.unwrap().unwrap();
    step.failures = 1;
    step.problem = Some("the upstream is away".to_owned());
    database.retry_analysis(&step, "w", MONDAY + 1, MONDAY + 50, &[]).await.unwrap();
    assert!(database.lease_analysis("w", MONDAY + 90, MONDAY + 49).await.unwrap().is_none());
    assert_eq!(database.lease_analysis("w", MONDAY + 90, MONDAY + 50).await.unwrap().unwrap(), step);
    database.retry_analysis(&step, "w", MONDAY + 51, MONDAY + HOUR, &[]).await.unwrap();
    assert!(database.hurry_analysis(&step.id, MONDAY + 60).await.unwrap());
    assert!(!database.hurry_analysis(&step.id, MONDAY + 60).await.unwrap());
    assert!(database.lease_analysis("w", MONDAY + 90, MONDAY + 60).await.unwrap().is_some());
}

async fn what_is_over_is_remembered(home: Home) {
    let database = home.open().await;
    for (id, closed_at) in [("inc_1", 5 * HOUR), ("inc_2", 4 * HOUR), ("inc_3", 0)] {
        let inc = incident(id, "many", &format!("user:{id}"));
        database.raise_incident(&inc, &[], &line(LogKind::Raised, "")).await.unwrap();
        if closed_at > 0 {
            database.change_incident(id, &close("resolved"), None, MONDAY + closed_at, &[]).await.unwrap();
        }
    }
    database.insert_plan(&plan("pln_1", Some("inc_1"), 1), &[]).await.unwrap();
    let mut known = analysis("anl_1", "inc_1");
    known.found.insert("analyse".to_owned(), serde_json::json!("an attack"));
    known.plan = Some("pln_1".into());
    database.begin_analysis(&known).await.unwrap();
    let past = database.past_incidents(10).await.unwrap();
    assert_eq!(past.iter().map(|one| &*one.incident.id).collect::<Vec<_>>(), ["inc_1", "inc_2"]);
    assert_eq!((&past[0].found, &past[0].plan), (&known.found, &Some(plan("pln_1", Some("inc_1"), 1))));
    assert!(past[1].found.is_empty() && past[1].plan.is_none());
    assert_eq!(database.past_incidents(1).await.unwrap().len(), 1);
}
