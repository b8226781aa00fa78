//! Plans and approvals: every way in which one must not be approved.

use portcullis::store::StoreError;
use portcullis::store::soc::{ApproverKey, PlanFilter};
use portcullis::types::soc::{FeedKind, LogKind, Plan, PlanState, RemedyState, Ruling};
use portcullis::values;
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::{HOUR, MONDAY};
use crate::soc_things::{approval, hash, incident, line, plan, refused, remedy};

both!(
    a_plan_comes_back_as_it_was_and_is_written_once,
    a_plan_moves_only_from_where_it_is,
    an_account_decides_once,
    what_must_not_be_approved_is_not,
    an_edited_plan_is_not_approved,
    a_no_refuses_the_plan,
    approvals_are_used_once,
    approvals_that_expired_do_not_count,
    what_needs_nobody_is_approved_at_once,
    plans_expire,
    the_first_key_of_an_account_stays,
);

const NOW: i64 = MONDAY + 10;

async fn a_plan_comes_back_as_it_was_and_is_written_once(home: Home) {
    let database = home.open().await;
    let one = plan("pln_1", Some("inc_1"), 1);
    let (new, feed) = database.insert_plan(&one, &[]).await.unwrap();
    assert!(new && feed[0].kind == FeedKind::Plan);
    assert_eq!(feed[0].body["body"]["plan"], "pln_1");
    let (again, feed) = database.insert_plan(&Plan { needed: 0, ..one.clone() }, &[]).await.unwrap();
    assert!(!again && feed.is_empty());
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap(), one);
    refused(database.insert_plan(&Plan { hash: hash("else"), ..plan("pln_2", None, 1) }, &[]).await, "hash");
    let approved = Plan { state: PlanState::Approved, ..plan("pln_2", None, 1) };
    refused(database.insert_plan(&approved, &[]).await, "after it was proposed");
    database.insert_plan(&Plan { proposer: "acc_bob".into(), ..plan("pln_2", None, 1) }, &[]).await.unwrap();
    let listed = async |filter: PlanFilter| {
        let plans = database.plans(&filter, 10).await.unwrap();
        plans.iter().map(|one| one.id.to_string()).collect::<Vec<_>>()
    };
    let all = PlanFilter::default;
    assert_eq!(listed(all()).await, ["pln_2", "pln_1"]);
    assert_eq!(listed(PlanFilter { before: Some("pln_2".to_owned()), ..all() }).await, ["pln_1"]);
    assert_eq!(listed(PlanFilter { incident: Some("inc_1".to_owned()), ..all() }).await, ["pln_1"]);
    assert_eq!(listed(PlanFilter { proposer: Some("acc_bob".to_owned()), ..all() }).await, ["pln_2"]);
    assert!(listed(PlanFilter { state: Some(PlanState::Refused), ..all() }).await.is_empty());
}

async fn a_plan_moves_only_from_where_it_is(home: Home) {
    let database = home.open().await;
    let inc = incident("inc_1", "many", "user:ann");
    database.raise_incident(&inc, &[], &line(LogKind::Raised, "")).await.unwrap();
    let proposed = Plan { state: PlanState::Proposed, ..plan("pln_1", Some("inc_1"), 1) };
    database.insert_plan(&proposed, &[]).await.unwrap();
    let because = ["the target is protected".to_owned()];
    let from = [PlanState::Waiting, PlanState::Refused];
    refused(database.move_plan("pln_1", &from, PlanState::Refused, &because, &[]).await, "is proposed");
    let from = [PlanState::Proposed];
    refused(database.move_plan("pln_1", &from, PlanState::Approved, &because, &[]).await, "using its approvals");
    let log = [line(LogKind::Plan, "refused")];
    let (moved, feed) = database.move_plan("pln_1", &from, PlanState::Refused, &because, &log).await.unwrap();
    assert_eq!((moved.state, moved.reasons.as_slice()), (PlanState::Refused, &because[..]));
    assert_eq!(feed.iter().map(|entry| entry.kind).collect::<Vec<_>>(), [FeedKind::Plan, FeedKind::Incident]);
    assert_eq!(database.log_of("inc_1", 1, 10).await.unwrap()[0].entry, log[0]);
    let missing = database.move_plan("pln_9", &from, PlanState::Refused, &[], &[]).await;
    assert_eq!(missing.unwrap_err(), StoreError::Missing("plan"));
}

async fn an_account_decides_once(home: Home) {
    let database = home.open().await;
    let one = plan("pln_1", None, 2);
    database.insert_plan(&one, &[]).await.unwrap();
    let mut accounts = JoinSet::new();
    for number in 0..8 {
        let (database, approval) = (database.clone(), approval(&format!("apr_{number}"), &one, "acc_eve"));
        accounts.spawn(async move { database.approve(&approval, NOW, &[]).await.is_ok() });
    }
    assert_eq!(accounts.join_all().await.into_iter().filter(|done| *done).count(), 1);
    assert_eq!(database.approvals_of("pln_1").await.unwrap().len(), 1);
    refused(database.use_approvals("pln_1", NOW, &[], &[]).await, "1 of 2 approvals");
    // A yes is not taken back by a no, nor the other way round.
    let mut no = approval("apr_no", &one, "acc_eve");
    no.ruling = Ruling::Deny;
    refused(database.approve(&no, NOW, &[]).await, "has decided");
    let second = approval("apr_b", &one, "acc_bob");
    database.approve(&second, NOW, &[]).await.unwrap();
    assert_eq!(database.approvals_of("pln_1").await.unwrap()[1], second);
}

async fn what_must_not_be_approved_is_not(home: Home) {
    let database = home.open().await;
    let one = Plan { proposer: "acc_bob".into(), ..plan("pln_1", None, 1) };
    database.insert_plan(&one, &[]).await.unwrap();
    let yes = approval("apr_1", &one, "acc_eve");
    refused(database.approve(&approval("apr_1", &one, "acc_bob"), NOW, &[]).await, "what they proposed");
    refused(database.approve(&yes, MONDAY + HOUR, &[]).await, "plan has expired");
    refused(database.approve(&yes, MONDAY + HOUR / 2, &[]).await, "approval has expired");
    let mut other = yes.clone();
    other.hash = hash("another text");
    refused(database.approve(&other, NOW, &[]).await, "another text");
    let missing = approval("apr_1", &plan("pln_9", None, 1), "acc_eve");
    assert_eq!(database.approve(&missing, NOW, &[]).await.unwrap_err(), StoreError::Missing("plan"));
    database.insert_plan(&Plan { state: PlanState::Proposed, ..plan("pln_2", None, 1) }, &[]).await.unwrap();
    refused(database.approve(&approval("apr_1", &plan("pln_2", None, 1), "acc_eve"), NOW, &[]).await, "is proposed");
    refused(database.use_approvals("pln_2", NOW, &[], &[]).await, "is proposed");
    assert!(database.approvals_of("pln_1").await.unwrap().is_empty());
    assert_eq!(database.feed_head().await.unwrap(), 2);
}

async fn an_edited_plan_is_not_approved(home: Home) {
    let database = home.open().await;
    let one = plan("pln_1", None, 1);
    database.insert_plan(&one, &[]).await.unwrap();
    database.approve(&approval("apr_1", &one, "acc_eve"), NOW, &[]).await.unwrap();
    let text = one.body.replace("ann", "bob");
    let edited = Plan { body: text.clone(), ..one.clone() };
    let edit = async |plan: &Plan| {
        let mut session = database.write().await.unwrap();
        let body = serde_json::to_string(plan).unwrap();
        session.execute("UPDATE plans SET body = $1", values![body]).await.unwrap();
    };
    edit(&edited).await;
    refused(database.use_approvals("pln_1", NOW, &[], &[]).await, "not the one with its hash");
    refused(database.approve(&approval("apr_2", &one, "acc_bob"), NOW, &[]).await, "not the one with its hash");
    // Edited with its hash: what was approved is another plan.
    edit(&Plan { hash: hash(&text), ..edited }).await;
    refused(database.use_approvals("pln_1", NOW, &[], &[]).await, "0 of 1 approvals");
}

async fn a_no_refuses_the_plan(home: Home) {
    let database = home.open().await;
    let one = plan("pln_1", None, 1);
    database.insert_plan(&one, &[]).await.unwrap();
    let mut no = approval("apr_1", &one, "acc_eve");
    no.ruling = Ruling::Deny;
    no.reason = "too harsh".to_owned();
    let (denied, _) = database.approve(&no, NOW, &[]).await.unwrap();
    assert_eq!(
        (denied.state, denied.reasons[0].as_str()),
        (PlanState::Refused, "denied by name of acc_eve: too harsh")
    );
    refused(database.approve(&approval("apr_2", &one, "acc_bob"), NOW, &[]).await, "is refused");
    refused(database.use_approvals("pln_1", NOW, &[], &[]).await, "is refused");
}

async fn approvals_are_used_once(home: Home) {
    let (database, other) = (home.open().await, home.open().await);
    let inc = incident("inc_1", "many", "user:ann");
    database.raise_incident(&inc, &[], &line(LogKind::Raised, "")).await.unwrap();
    let one = plan("pln_1", Some("inc_1"), 2);
    database.insert_plan(&one, &[]).await.unwrap();
    for account in ["acc_bob", "acc_eve"] {
        database.approve(&approval(&format!("apr_{account}"), &one, account), NOW, &[]).await.unwrap();
    }
    let steps = [remedy("rem_1", &one), remedy("rem_2", &one)];
    let foreign = [remedy("rem_1", &one), remedy("rem_2", &plan("pln_2", None, 0))];
    let wrong = database.use_approvals("pln_1", NOW, &foreign, &[]).await;
    assert!(matches!(wrong, Err(StoreError::Refused(_))), "{wrong:?}");
    assert!(database.remedy("rem_1").await.unwrap().is_none(), "all or nothing");
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, PlanState::Waiting);
    let mut users = JoinSet::new();
    for number in 0..6 {
        let database = if number % 2 == 0 { database.clone() } else { other.clone() };
        let steps = steps.clone();
        users.spawn(async move {
            database.use_approvals("pln_1", NOW, &steps, &[line(LogKind::Plan, "approved")]).await.ok()
        });
    }
    let done: Vec<_> = users.join_all().await.into_iter().flatten().collect();
    let [(approved, feed)] = done.as_slice() else { panic!("used {} times", done.len()) };
    assert_eq!(approved.state, PlanState::Approved);
    let kinds: Vec<_> = feed.iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [FeedKind::Plan, FeedKind::Remedy, FeedKind::Remedy, FeedKind::Incident]);
    assert!(other.approvals_of("pln_1").await.unwrap().iter().all(|one| one.used == Some(NOW)));
    assert_eq!(other.remedy("rem_2").await.unwrap().unwrap().state, RemedyState::Pending);
    refused(other.use_approvals("pln_1", NOW, &steps, &[]).await, "is approved");
    refused(other.approve(&approval("apr_3", &one, "acc_zoe"), NOW, &[]).await, "is approved");
}

async fn approvals_that_expired_do_not_count(home: Home) {
    let database = home.open().await;
    let one = plan("pln_1", None, 1);
    database.insert_plan(&one, &[]).await.unwrap();
    database.approve(&approval("apr_1", &one, "acc_eve"), NOW, &[]).await.unwrap();
    refused(database.use_approvals("pln_1", MONDAY + HOUR / 2, &[], &[]).await, "0 of 1");
    refused(database.use_approvals("pln_1", MONDAY + HOUR, &[], &[]).await, "plan has expired");
    // What was used elsewhere does not count here.
    let mut session = database.write().await.unwrap();
    let mut used = approval("apr_1", &one, "acc_eve");
    used.used = Some(MONDAY);
    let body = serde_json::to_string(&used).unwrap();
    session.execute("UPDATE approvals SET used = 1, body = $1", values![body]).await.unwrap();
    drop(session);
    refused(database.use_approvals("pln_1", NOW, &[], &[]).await, "0 of 1");
}

async fn what_needs_nobody_is_approved_at_once(home: Home) {
    let database = home.open().await;
    let one = Plan { state: PlanState::Proposed, ..plan("pln_1", None, 0) };
    database.insert_plan(&one, &[]).await.unwrap();
    refused(database.insert_remedies("pln_1", &[remedy("rem_1", &one)]).await.map(drop), "not approved");
    let (approved, _) = database.use_approvals("pln_1", NOW, &[remedy("rem_1", &one)], &[]).await.unwrap();
    assert_eq!(approved.state, PlanState::Approved);
    let feed = database.insert_remedies("pln_1", &[remedy("rem_1", &one), remedy("rem_2", &one)]).await.unwrap();
    assert_eq!(feed.iter().map(|entry| &*entry.id).collect::<Vec<_>>(), ["rem_2"]);
}

async fn plans_expire(home: Home) {
    let database = home.open().await;
    database.insert_plan(&plan("pln_1", None, 1), &[]).await.unwrap();
    database.insert_plan(&Plan { expires: MONDAY + 2 * HOUR, ..plan("pln_2", None, 1) }, &[]).await.unwrap();
    database.insert_plan(&Plan { state: PlanState::Refused, ..plan("pln_3", None, 1) }, &[]).await.unwrap();
    assert_eq!(database.expire_plans(MONDAY + HOUR - 1).await.unwrap(), (Vec::new(), Vec::new()));
    let (expired, feed) = database.expire_plans(MONDAY + HOUR).await.unwrap();
    assert_eq!((expired.len(), &*expired[0].id, expired[0].state), (1, "pln_1", PlanState::Expired));
    assert_eq!(feed.len(), 1);
    assert_eq!(database.plan("pln_1").await.unwrap().unwrap().state, PlanState::Expired);
    assert!(database.expire_plans(MONDAY + HOUR).await.unwrap().0.is_empty());
}

async fn the_first_key_of_an_account_stays(home: Home) {
    let (database, other) = (home.open().await, home.open().await);
    assert!(database.approver_key("acc_eve").await.unwrap().is_none());
    let mut makers = JoinSet::new();
    for number in 0..6 {
        let database = if number % 2 == 0 { database.clone() } else { other.clone() };
        makers.spawn(async move {
            let key = ApproverKey { public: format!("public {number}"), sealed: format!("sealed {number}") };
            database.put_approver_key("acc_eve", &key, MONDAY).await.unwrap()
        });
    }
    let told = makers.join_all().await;
    let kept = other.approver_key("acc_eve").await.unwrap().unwrap();
    assert!(told.iter().all(|key| *key == kept), "everybody is told of the same: {told:?}");
}
