//! Tool calls that wait, whom a remedy would hit, what is forgotten in time, and erasing a person.

use std::sync::Arc;
use std::time::Duration;

use portcullis::store::soc::{AlertWrite, Hit, IncidentChange};
use portcullis::store::{Changed, Database, Item, Retention};
use portcullis::types::soc::{
    Closed, FeedKind, IncidentState, LogKind, Plan, PlanState, Remedy, RemedyState, ToolRuling,
};
use portcullis::types::{Subject, Verdict};
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::{self, DAY, HOUR, MONDAY};
use crate::soc_things::{
    alert, analysis, approval, closed, finish, hash, hold, ids, incident, line, plan, refused, remedy, ruling,
};

both!(
    a_tool_call_is_ruled_on_once_in_time_and_as_it_is,
    a_blast_counts_who_would_be_hit,
    the_soc_is_forgotten_in_its_time,
    nothing_of_an_erased_person_is_left_in_the_soc,
);

async fn a_tool_call_is_ruled_on_once_in_time_and_as_it_is(home: Home) {
    let (database, other) = (home.open().await, home.open().await);
    let call = hold("tch_1", "ann");
    let before = other.changes().await.unwrap();
    assert_eq!(database.hold_tool(&call).await.unwrap()[0].kind, FeedKind::ToolHold);
    assert!(database.hold_tool(&call).await.unwrap().is_empty());
    assert_eq!(other.changes().await.unwrap(), before);
    let yes = ruling(&call);
    let wrong = ToolRuling { arguments: hash("{\"to\":\"eve\"}"), ..yes.clone() };
    refused(database.rule_on_tool(&wrong, MONDAY + 1).await, "other arguments");
    refused(database.rule_on_tool(&ToolRuling { tool: "rm".into(), ..yes.clone() }, MONDAY + 1).await, "another tool");
    refused(database.rule_on_tool(&yes, MONDAY + HOUR).await, "waits no more");
    assert!(database.live_rulings(MONDAY).await.unwrap().is_empty());
    let mut people = JoinSet::new();
    for number in 0..6 {
        let database = if number % 2 == 0 { database.clone() } else { other.clone() };
        let said = ToolRuling { by: format!("acc_{number}").into(), granted: number == 0, ..yes.clone() };
        people.spawn(async move { database.rule_on_tool(&said, MONDAY + 1).await.ok() });
    }
    let done: Vec<_> = people.join_all().await.into_iter().flatten().collect();
    let [(tool, feed)] = done.as_slice() else { panic!("ruled {} times", done.len()) };
    assert_eq!(feed[0].body["ruling"]["by"], *tool.ruling.as_ref().unwrap().by);
    assert_eq!(other.changes().await.unwrap().since(before), [Changed::Rulings]);
    assert_eq!(other.tool_hold("tch_1").await.unwrap().as_ref(), Some(tool));
    assert_eq!(other.live_rulings(MONDAY + HOUR - 1).await.unwrap(), [tool.ruling.clone().unwrap()]);
    assert!(other.live_rulings(MONDAY + HOUR).await.unwrap().is_empty());
    database.hold_tool(&hold("tch_2", "bob")).await.unwrap();
    let listed = async |open: Option<i64>, before: Option<&str>| {
        let held = database.tool_holds(open, before, 10).await.unwrap();
        held.iter().map(|one| one.hold.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, None).await, ["tch_2", "tch_1"]);
    assert_eq!(listed(None, Some("tch_2")).await, ["tch_1"]);
    assert_eq!(listed(Some(MONDAY), None).await, ["tch_2"]);
    assert!(listed(Some(MONDAY + HOUR), None).await.is_empty());
}

async fn a_blast_counts_who_would_be_hit(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let mut number = 0;
    let mut add = |user: Option<&str>, address: &str, tenant: &str, found: bool, time: i64| {
        number += 1;
        let mut record = rows::request(&format!("req_{number}"), time, "x");
        record.caller.user = user.map(Arc::from);
        record.caller.address = Some(address.parse().unwrap());
        record.caller.tenant = Some(tenant.into());
        record.caller.agent = Some("robot".into());
        if found {
            record.input = Some(Verdict { ..rows::verdict("PC-JB-0001") });
        }
        writer.offer(Item::from(&record));
    };
    add(Some("ann"), "10.1.0.1", "acme", false, MONDAY);
    add(Some("ann"), "10.1.15.9", "acme", true, MONDAY);
    add(Some("ann"), "10.1.16.1", "other", false, MONDAY);
    add(None, "10.1.0.1", "acme", false, MONDAY);
    add(Some("bob"), "2001:db8::1", "acme", true, MONDAY);
    add(Some("bob"), "2001:db8:1::1", "acme", false, MONDAY);
    add(Some("ann"), "10.1.0.1", "acme", false, MONDAY - 1);
    writer.flush().await.unwrap();
    let range = |address: &str, prefix| Subject::Network { address: address.parse().unwrap(), prefix };
    let hit = |requests, callers, clean| Hit { requests, callers, clean, at_least: false };
    for (subject, expected) in [
        // Two of that name, of two tenants.
        (Subject::User { name: "ann".into() }, hit(3, 2, 2)),
        (Subject::Key { name: "key_1".into() }, hit(6, 4, 4)),
        (Subject::Session { name: "talk".into() }, hit(6, 4, 4)),
        (Subject::Tenant { name: "other".into() }, hit(1, 1, 1)),
        (Subject::Team { name: "blue".into() }, hit(6, 4, 4)),
        (Subject::Agent { name: "robot".into() }, hit(6, 4, 4)),
        (Subject::Agent { name: "nobody".into() }, hit(0, 0, 0)),
        (range("10.1.0.1", 32), hit(2, 2, 2)),
        (range("10.1.0.0", 20), hit(3, 2, 2)),
        (range("10.1.0.0", 16), hit(4, 3, 3)),
        (range("0.0.0.0", 0), hit(4, 3, 3)),
        (range("2001:db8::", 48), hit(1, 1, 0)),
        (range("2001:db8::", 32), hit(2, 1, 1)),
        (range("2001:0db8:0::1", 128), hit(1, 1, 0)),
        (range("::", 0), hit(2, 1, 1)),
    ] {
        assert_eq!(database.blast(&subject, MONDAY).await.unwrap(), expected, "{subject:?}");
    }
}

fn close(at: i64) -> IncidentChange {
    IncidentChange {
        state: Some(IncidentState::Closed),
        closed: Some(Closed { at, ..closed("resolved") }),
        ..IncidentChange::default()
    }
}

async fn count(database: &Database, sql: &'static str) -> i64 {
    database.read().await.unwrap().row(sql, Vec::new()).await.unwrap().unwrap().int(0).unwrap()
}

/// An incident with everything that can hang on it; its one remedy is left in `state`.
async fn whole_incident(database: &Database, name: &str, state: RemedyState) {
    let (inc, pln) = (format!("inc_{name}"), format!("pln_{name}"));
    database.write_alerts(&[AlertWrite::New(alert(&format!("alt_{name}"), "ann"))]).await.unwrap();
    let alerts = [Arc::from(format!("alt_{name}"))];
    let raising = incident(&inc, "many", &format!("session:{name}"));
    database.raise_incident(&raising, &alerts, &line(LogKind::Raised, "ann again")).await.unwrap();
    let one = plan(&pln, Some(&inc), 1);
    database.insert_plan(&one, &[line(LogKind::Plan, "proposed about ann.")]).await.unwrap();
    database.approve(&approval(&format!("apr_{name}"), &one, "acc_eve"), MONDAY + 1, &[]).await.unwrap();
    let step = remedy(&format!("rem_{name}"), &one);
    database.use_approvals(&pln, MONDAY + 2, std::slice::from_ref(&step), &[]).await.unwrap();
    if state != RemedyState::Pending {
        let mut done = database.lease_remedies("w", MONDAY + 100, MONDAY, 1).await.unwrap().remove(0);
        done.state = state;
        finish(database, &done, "w", MONDAY + 3, &[]).await.unwrap();
    }
    let mut known = analysis(&format!("anl_{name}"), &inc);
    known.found.insert(
        "analyse".to_owned(),
        serde_json::json!({"words": "ann tried (ann) thrice", "caller": {"user": "ann"}}),
    );
    known.plan = Some(Arc::clone(&one.id));
    database.begin_analysis(&known).await.unwrap();
}

async fn the_soc_is_forgotten_in_its_time(home: Home) {
    let database = home.open().await;
    whole_incident(&database, "open", RemedyState::Done).await;
    whole_incident(&database, "over", RemedyState::Done).await;
    whole_incident(&database, "forced", RemedyState::Applied).await;
    let free = [alert("alt_free", "ann")].map(AlertWrite::New);
    database.write_alerts(&free).await.unwrap();
    database.log(&Arc::from("alt_free"), &line(LogKind::Comment, "hm")).await.unwrap();
    for id in ["inc_over", "inc_forced"] {
        database.change_incident(id, &close(MONDAY + 2 * HOUR), None, MONDAY + 2 * HOUR, &[]).await.unwrap();
    }
    let lone = Plan { state: PlanState::Refused, ..plan("pln_lone", None, 1) };
    database.insert_plan(&lone, &[]).await.unwrap();
    database.insert_plan(&plan("pln_waits", None, 1), &[]).await.unwrap();
    database.hold_tool(&hold("tch_1", "ann")).await.unwrap();
    let days = |days: u64| Some(Duration::from_secs(days * 24 * 3600));
    let none = Retention { feed: None, ..Retention::default() };
    let early = database.sweep(MONDAY + 30 * DAY, &none, 1_000).await.unwrap();
    assert_eq!((early.alerts, early.incidents, early.calls, early.feed), (0, 0, 0, 0));
    let short = Retention { alerts: days(10), incidents: days(20), ..none };
    let swept = database.sweep(MONDAY + 15 * DAY, &short, 1_000).await.unwrap();
    // The evidence of what is closed goes in its own time, that of the open incident stays.
    assert_eq!((swept.alerts, swept.incidents, swept.calls), (3, 0, 1));
    assert!(database.alert("alt_open").await.unwrap().is_some());
    assert_eq!(database.log_of("alt_free", 0, 10).await.unwrap().len(), 0);
    let swept = database.sweep(MONDAY + 25 * DAY, &short, 1_000).await.unwrap();
    assert_eq!((swept.alerts, swept.incidents, swept.more), (0, 1, false));
    assert!(database.incident("inc_over").await.unwrap().is_none());
    assert!(database.plan("pln_over").await.unwrap().is_none() && database.remedy("rem_over").await.unwrap().is_none());
    assert!(database.approvals_of("pln_over").await.unwrap().is_empty());
    assert!(database.analysis_of("inc_over").await.unwrap().is_none());
    assert!(database.log_of("inc_over", 0, 10).await.unwrap().is_empty());
    assert!(database.plan("pln_lone").await.unwrap().is_none(), "a plan for no incident goes with its class");
    // What is open, waits or is in force stays whole.
    for id in ["inc_open", "inc_forced"] {
        assert!(database.incident(id).await.unwrap().is_some());
        assert!(database.analysis_of(id).await.unwrap().is_some());
        assert!(!database.log_of(id, 0, 10).await.unwrap().is_empty());
    }
    assert!(database.remedy("rem_forced").await.unwrap().is_some());
    assert!(database.plan("pln_waits").await.unwrap().is_some());
    assert_eq!(count(&database, "SELECT COUNT(*) FROM approvals").await, 2);
    assert_eq!(count(&database, "SELECT COUNT(*) FROM incident_alerts").await, 1);
}

async fn everything(database: &Database) -> String {
    let mut session = database.read().await.unwrap();
    let mut text = String::new();
    for sql in [
        "SELECT COALESCE(user_, ''), COALESCE(session, ''), COALESCE(address, ''), title, body FROM alerts",
        "SELECT COALESCE(user_, ''), about, '', title, body FROM incidents",
        "SELECT body, '', '', '', '' FROM soc_log",
        "SELECT body, '', '', '', '' FROM analyses",
        "SELECT body, '', '', '', '' FROM plans",
        "SELECT body, '', '', '', '' FROM remedies",
        "SELECT COALESCE(user_, ''), '', '', '', body FROM tool_holds",
        "SELECT body, '', '', '', '' FROM feed",
    ] {
        for row in session.rows(sql, Vec::new()).await.unwrap() {
            for column in 0..5 {
                text += &row.text(column).unwrap();
                text.push('\n');
            }
        }
    }
    text
}

async fn nothing_of_an_erased_person_is_left_in_the_soc(home: Home) {
    let database = home.open().await;
    whole_incident(&database, "a", RemedyState::Done).await;
    whole_incident(&database, "b", RemedyState::Done).await;
    let mut outside = alert("alt_raw", "ann");
    outside.raw = Some(serde_json::json!({"UserName": "Ann Example", "ip": "192.0.2.7"}));
    outside.title = "ann did it; Hannah did not".to_owned();
    let many = (0..230).map(|n| alert(&format!("alt_many_{n}"), "ann")).chain([outside, alert("alt_bob", "bob")]);
    database.write_alerts(&many.map(AlertWrite::New).collect::<Vec<_>>()).await.unwrap();
    let about = incident("inc_user", "often", "user:ann");
    database.raise_incident(&about, &ids(["alt_bob"]), &line(LogKind::Raised, "")).await.unwrap();
    database.hold_tool(&hold("tch_1", "ann")).await.unwrap();
    // One that still decides about the person.
    let waits = plan("pln_waits", None, 1);
    database.insert_plan(&waits, &[]).await.unwrap();
    let own = |text: &str| text.split(|c: char| !c.is_alphanumeric()).filter(|word| *word == "ann").count();
    assert!(own(&everything(&database).await) > 500);

    let erased = database.erase("ann", MONDAY + DAY).await.unwrap();
    assert_eq!(erased.soc, 233 + 3 + 1);
    let mut session = database.write().await.unwrap();
    session.execute("DELETE FROM plans WHERE id = 'pln_waits'", Vec::new()).await.unwrap();
    session.execute("DELETE FROM feed WHERE id = 'pln_waits'", Vec::new()).await.unwrap();
    drop(session);
    let left = everything(&database).await;
    assert_eq!(own(&left), 0, "{}", left.lines().find(|line| own(line) > 0).unwrap_or_default());
    assert!(!left.contains("Ann Example"));
    assert!(left.contains("Hannah did not") && left.contains(&erased.pseudonym));
    // The desk still remembers whom it was, and counts on.
    let mut more = alert("alt_many_7", "ann");
    more.count = 7;
    database.write_alerts(&[AlertWrite::Folded(more)]).await.unwrap();
    assert_eq!(database.alert("alt_many_7").await.unwrap().unwrap().count, 7);
    assert_eq!(own(&everything(&database).await), 0);
    // What is left is whole and can still be read.
    let raw = database.alert("alt_raw").await.unwrap().unwrap();
    assert_eq!((raw.caller.user.as_deref(), raw.caller.address), (Some(erased.pseudonym.as_str()), None));
    assert_eq!(raw.title, format!("{} did it; Hannah did not", erased.pseudonym));
    assert_eq!(database.alert("alt_bob").await.unwrap().unwrap().caller, alert("alt_bob", "bob").caller);
    let inc = database.incident("inc_user").await.unwrap().unwrap();
    assert_eq!((inc.about, inc.caller.user.as_deref()), (format!("user:{}.inc_user", erased.pseudonym), Some("bob")));
    assert_eq!(database.plan("pln_a").await.unwrap().unwrap().hash, plan("pln_a", None, 1).hash);
    let step: Remedy = database.remedy("rem_a").await.unwrap().unwrap();
    assert_eq!(step.state, RemedyState::Done);
    assert!(database.analysis_of("inc_b").await.unwrap().unwrap().found.contains_key("analyse"));
    database.tool_hold("tch_1").await.unwrap().unwrap();
    assert_eq!(database.erase("ann", MONDAY + DAY).await.unwrap().soc, 0);
}
