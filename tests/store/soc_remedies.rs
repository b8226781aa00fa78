//! Remedies: carried out once, by one worker, and undone or over in the end.

use std::sync::Arc;

use portcullis::store::soc::{Done, RemedyFilter};
use portcullis::store::{Database, StoreError};
use portcullis::types::soc::{LogKind, Plan, PlanState, Remedy, RemedyAction, RemedyState};
use portcullis::types::{Measure, Order, Subject};
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::{HOUR, MONDAY};
use crate::soc_things::{finish, incident, line, plan, refused, remedy};

both!(
    a_step_is_there_once,
    a_remedy_is_leased_by_one,
    a_lost_lease_finishes_nothing,
    a_failed_try_is_tried_again_when_due,
    a_plan_is_carried_out_with_its_last_remedy,
    remedies_are_undone_once,
    an_order_that_came_too_late_does_not_stay,
    remedies_done_together_are_each_by_itself,
    remedies_expire,
);

async fn approved(database: &Database, id: &str, remedies: impl Fn(&Plan) -> Vec<Remedy>) -> Plan {
    let one = plan(id, Some("inc_1"), 0);
    database.insert_plan(&one, &[]).await.unwrap();
    database.use_approvals(id, MONDAY, &remedies(&one), &[]).await.unwrap().0
}

/// An order that a remedy gave.
fn order(remedy: &str) -> Order {
    Order {
        id: format!("ord_of_{remedy}").into(),
        subject: Subject::User { name: "ann".into() },
        measure: Measure::Block,
        reason: "ann went too far".into(),
        made_by: remedy.into(),
        made: MONDAY,
        expires: None,
    }
}

async fn take(database: &Database, worker: &str, now: i64) -> Option<Remedy> {
    database.lease_remedies(worker, now + 100, now, 1).await.unwrap().pop()
}

/// Gives a remedy's order.
async fn give(database: &Database, remedy: &Remedy, worker: &str, now: i64) -> Result<(), StoreError> {
    let given = [(Arc::clone(&remedy.id), order(&remedy.id))];
    database.give_orders(&given, worker, now).await?.remove(0)
}

async fn a_step_is_there_once(home: Home) {
    let database = home.open().await;
    let one = approved(&database, "pln_1", |plan| vec![remedy("rem_1", plan)]).await;
    let twin = Remedy { once: "once of rem_1".to_owned(), ..remedy("rem_2", &one) };
    assert!(database.insert_remedies("pln_1", &[twin]).await.unwrap().is_empty());
    assert!(database.remedy("rem_2").await.unwrap().is_none());
    assert_eq!(database.remedy("rem_1").await.unwrap().unwrap(), remedy("rem_1", &one));
}

async fn a_remedy_is_leased_by_one(home: Home) {
    let (database, other) = (home.open().await, home.open().await);
    approved(&database, "pln_1", |plan| (0..3).map(|n| remedy(&format!("rem_{n}"), plan)).collect()).await;
    assert!(take(&database, "w", MONDAY - 1).await.is_none(), "nothing is due yet");
    let mut workers = JoinSet::new();
    for number in 0..8 {
        let database = if number % 2 == 0 { database.clone() } else { other.clone() };
        workers.spawn(async move { take(&database, &format!("worker {number}"), MONDAY).await });
    }
    let mut leased: Vec<_> = workers.join_all().await.into_iter().flatten().map(|one| one.id.to_string()).collect();
    while let Some(more) = take(&other, "late", MONDAY).await {
        leased.push(more.id.to_string());
    }
    leased.sort();
    assert_eq!(leased, ["rem_0", "rem_1", "rem_2"]);
    assert!(take(&other, "next", MONDAY + 99).await.is_none());
    assert!(take(&other, "next", MONDAY + 100).await.is_some(), "who died gives its lease back by the clock");
}

async fn a_lost_lease_finishes_nothing(home: Home) {
    let database = home.open().await;
    let inc = incident("inc_1", "many", "user:ann");
    database.raise_incident(&inc, &[], &line(LogKind::Raised, "")).await.unwrap();
    approved(&database, "pln_1", |plan| vec![remedy("rem_1", plan)]).await;
    let mut done = take(&database, "slow", MONDAY).await.unwrap();
    done.state = RemedyState::Applied;
    done.applied = Some(MONDAY + 1);
    done.order = Some("ord_1".into());
    let log = [line(LogKind::Remedy, "applied")];
    refused(finish(&database, &done, "thief", MONDAY + 1, &log).await, "lease on the remedy is lost");
    refused(finish(&database, &done, "slow", MONDAY + 100, &log).await, "lease on the remedy is lost");
    take(&database, "quick", MONDAY + 100).await.unwrap();
    refused(finish(&database, &done, "slow", MONDAY + 101, &log).await, "lease on the remedy is lost");
    assert_eq!(database.remedy("rem_1").await.unwrap().unwrap().state, RemedyState::Pending);
    assert_eq!(database.log_of("inc_1", 0, 10).await.unwrap().len(), 1);
    // Who finishes cannot change what was approved.
    let bent = Remedy {
        target: Some(Subject::User { name: "root".into() }),
        action: RemedyAction::SuspendUser,
        ..done.clone()
    };
    let (finished, _) = finish(&database, &bent, "quick", MONDAY + 102, &log).await.unwrap();
    assert_eq!(finished, done);
    assert_eq!(database.remedy("rem_1").await.unwrap().unwrap(), done);
    assert_eq!(database.log_of("inc_1", 1, 10).await.unwrap()[0].entry, log[0]);
    refused(finish(&database, &done, "quick", MONDAY + 103, &log).await, "lost");
    assert!(take(&database, "quick", MONDAY + HOUR).await.is_none());
    let missing = Remedy { id: "rem_9".into(), ..done };
    let missing = finish(&database, &missing, "quick", MONDAY, &[]).await.unwrap_err();
    assert_eq!(missing, StoreError::Missing("remedy"));
}

async fn a_failed_try_is_tried_again_when_due(home: Home) {
    let database = home.open().await;
    approved(&database, "pln_1", |plan| vec![remedy("rem_1", plan)]).await;
    let mut tried = take(&database, "w", MONDAY).await.unwrap();
    tried.failures = 1;
    tried.problem = Some("the target is away".to_owned());
    tried.due = MONDAY + 50;
    finish(&database, &tried, "w", MONDAY + 1, &[]).await.unwrap();
    assert!(take(&database, "w", MONDAY + 49).await.is_none());
    assert_eq!(take(&database, "w", MONDAY + 50).await.unwrap(), tried);
}

async fn a_plan_is_carried_out_with_its_last_remedy(home: Home) {
    let database = home.open().await;
    approved(&database, "pln_1", |plan| vec![remedy("rem_1", plan), remedy("rem_2", plan)]).await;
    for (state, carried) in [(RemedyState::Applied, PlanState::Approved), (RemedyState::Failed, PlanState::Carried)] {
        let mut done = take(&database, "w", MONDAY).await.unwrap();
        done.state = state;
        finish(&database, &done, "w", MONDAY + 1, &[]).await.unwrap();
        assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, carried);
    }
    assert_eq!(approved(&database, "pln_2", |_| Vec::new()).await.state, PlanState::Approved);
    assert_eq!(database.plan("pln_2").await.unwrap().unwrap().state, PlanState::Carried, "nothing was to be done");
}

async fn remedies_are_undone_once(home: Home) {
    let database = home.open().await;
    let revoke = |plan: &Plan| Remedy { action: RemedyAction::RevokeKey, ..remedy("rem_2", plan) };
    approved(&database, "pln_1", |plan| vec![remedy("rem_1", plan), revoke(plan), remedy("rem_3", plan)]).await;
    let eve: Arc<str> = "acc_eve".into();
    for _ in 0..2 {
        let mut done = take(&database, "w", MONDAY).await.unwrap();
        let undoing = database.undo_remedy(&done.id, &eve, MONDAY + 1, &[]).await;
        refused(undoing, "being carried out");
        done.state = RemedyState::Applied;
        finish(&database, &done, "w", MONDAY + 1, &[]).await.unwrap();
    }
    // Orders that the remedies gave, also the one that nobody has written down as given.
    for id in ["rem_1", "rem_2", "rem_3"] {
        database.insert_order(&order(id)).await.unwrap();
    }
    let orders = database.changes().await.unwrap().orders;
    let (undone, feed) = database.undo_remedy("rem_1", &eve, MONDAY + 2, &[]).await.unwrap();
    let live = async || -> Vec<String> {
        let orders = database.live_orders(MONDAY + 4).await.unwrap();
        orders.iter().map(|order| order.made_by.to_string()).collect()
    };
    assert_eq!(
        (live().await, database.changes().await.unwrap().orders),
        (vec!["rem_2".to_owned(), "rem_3".to_owned()], orders + 1)
    );
    assert_eq!((undone.state, undone.undone_by.as_deref(), feed.len()), (RemedyState::Undone, Some("acc_eve"), 1));
    refused(database.undo_remedy("rem_1", &eve, MONDAY + 3, &[]).await, "is undone");
    refused(database.undo_remedy("rem_2", &eve, MONDAY + 3, &[]).await, "cannot be undone");
    // One that nobody has begun is called off, and never begins.
    database.undo_remedy("rem_3", &eve, MONDAY + 3, &[]).await.unwrap();
    assert_eq!(live().await, ["rem_2"]);
    assert!(take(&database, "w", MONDAY + HOUR).await.is_none());
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, PlanState::Carried);
    let missing = database.undo_remedy("rem_9", &eve, MONDAY, &[]).await.unwrap_err();
    assert_eq!(missing, StoreError::Missing("remedy"));
}

async fn an_order_that_came_too_late_does_not_stay(home: Home) {
    let database = home.open().await;
    approved(&database, "pln_1", |plan| vec![remedy("rem_1", plan), remedy("rem_2", plan)]).await;
    let late = take(&database, "w", MONDAY).await.unwrap();
    // Its lease is over, somebody undoes it, and only then its worker would give the order.
    database.undo_remedy(&late.id, &"acc_eve".into(), MONDAY + 200, &[]).await.unwrap();
    refused(give(&database, &late, "w", MONDAY + 201).await, "lost");
    refused(finish(&database, &late, "w", MONDAY + 201, &[]).await, "lost");
    assert!(database.live_orders(MONDAY + 202).await.unwrap().is_empty());
    // Whose lease lasts gives it, once; when the remedy is given up in the end it does not stay.
    let mut failed = take(&database, "w", MONDAY + 300).await.unwrap();
    refused(give(&database, &failed, "other", MONDAY + 301).await, "lost");
    for _ in 0..2 {
        give(&database, &failed, "w", MONDAY + 301).await.unwrap();
    }
    assert_eq!(database.live_orders(MONDAY + 302).await.unwrap().len(), 1);
    failed.state = RemedyState::Failed;
    finish(&database, &failed, "w", MONDAY + 303, &[]).await.unwrap();
    assert!(database.live_orders(MONDAY + 304).await.unwrap().is_empty());
}

async fn remedies_done_together_are_each_by_itself(home: Home) {
    let database = home.open().await;
    let inc = incident("inc_1", "many", "user:ann");
    database.raise_incident(&inc, &[], &line(LogKind::Raised, "")).await.unwrap();
    approved(&database, "pln_1", |plan| (1..=3).map(|n| remedy(&format!("rem_{n}"), plan)).collect()).await;
    let mut leased = database.lease_remedies("w", MONDAY + 100, MONDAY, 16).await.unwrap();
    assert_eq!(leased.len(), 3, "all that are due");
    // Somebody else takes the last one meanwhile.
    database.release_remedies(&["rem_3".into()], "thief").await.unwrap();
    assert!(take(&database, "x", MONDAY + 1).await.is_none(), "only whose it is gives it back");
    database.release_remedies(&["rem_3".into()], "w").await.unwrap();
    take(&database, "x", MONDAY + 1).await.unwrap();
    let orders: Vec<_> = leased.iter().map(|remedy| (Arc::clone(&remedy.id), order(&remedy.id))).collect();
    let given = database.give_orders(&orders, "w", MONDAY + 2).await.unwrap();
    assert_eq!(given.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false], "each by itself");
    leased.iter_mut().for_each(|remedy| remedy.state = RemedyState::Applied);
    let done =
        leased.iter().map(|remedy| Done { remedy: remedy.clone(), log: vec![line(LogKind::Remedy, &remedy.id)] });
    let done: Vec<Done> = done.collect();
    let (finished, feed) = database.finish_remedies(&done, "w", MONDAY + 2).await.unwrap();
    assert_eq!(finished.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false], "each by itself");
    assert_eq!(feed.len(), 3, "two remedies and the incident");
    let live = database.live_orders(MONDAY + 3).await.unwrap();
    assert_eq!(live.iter().map(|order| &*order.made_by).collect::<Vec<_>>(), ["rem_1", "rem_2"]);
    let log = database.log_of("inc_1", 1, 10).await.unwrap();
    assert_eq!(log.iter().map(|line| (line.seq, &*line.entry.text)).collect::<Vec<_>>(), [(2, "rem_1"), (3, "rem_2")]);
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, PlanState::Approved, "one waits");
    let (again, feed) = database.finish_remedies(&done, "w", MONDAY + 3).await.unwrap();
    assert!(again.iter().all(Result::is_err) && feed.is_empty());
    assert_eq!(database.live_orders(MONDAY + 4).await.unwrap().len(), 2);
    finish(&database, &leased[2], "x", MONDAY + 4, &[]).await.unwrap();
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, PlanState::Carried);
}

async fn remedies_expire(home: Home) {
    let database = home.open().await;
    approved(&database, "pln_1", |plan| (1..=3).map(|n| remedy(&format!("rem_{n}"), plan)).collect()).await;
    for expires in [Some(MONDAY + 50), None] {
        let mut done = take(&database, "w", MONDAY).await.unwrap();
        done.state = RemedyState::Applied;
        done.expires = expires;
        finish(&database, &done, "w", MONDAY + 1, &[]).await.unwrap();
    }
    let listed = async |filter: RemedyFilter| {
        let remedies = database.remedies(&filter, 10).await.unwrap();
        remedies.iter().map(|one| one.id.to_string()).collect::<Vec<_>>()
    };
    let all = RemedyFilter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(listed(RemedyFilter { in_force: Some(MONDAY + 49), ..all() }).await, ["rem_2", "rem_1"]);
    assert_eq!(listed(RemedyFilter { in_force: Some(MONDAY + 50), ..all() }).await, ["rem_2"]);
    assert_eq!(listed(RemedyFilter { state: Some(RemedyState::Pending), ..all() }).await, ["rem_3"]);
    assert_eq!(listed(RemedyFilter { plan: text("pln_1"), before: text("rem_3"), ..all() }).await, ["rem_2", "rem_1"]);
    assert!(listed(RemedyFilter { incident: text("inc_9"), ..all() }).await.is_empty());
    assert!(database.expire_remedies(MONDAY + 49).await.unwrap().0.is_empty());
    let (over, feed) = database.expire_remedies(MONDAY + 50).await.unwrap();
    assert_eq!((over.len(), &*over[0].id, over[0].state, feed.len()), (1, "rem_1", RemedyState::Expired, 1));
    assert!(database.expire_remedies(MONDAY + 50).await.unwrap().0.is_empty());
}
