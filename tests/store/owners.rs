//! Keys, standing orders, issued objects, and how replicas learn of changes.

use std::time::Duration;

use portcullis::store::{Changed, Issued, Item, KeyFilter, KeyRow, OrderFilter, Retention, StoreError};
use portcullis::types::{Measure, Order, Subject};

use crate::both;
use crate::home::Home;
use crate::rows::{DAY, MONDAY};

both!(
    a_key_comes_back_as_it_was,
    keys_with_the_same_hash_are_refused,
    keys_are_listed_page_by_page_and_by_owner,
    a_revoked_or_expired_key_is_not_live,
    orders_outlive_a_restart,
    an_order_is_kept_once_and_lifted_once,
    orders_that_are_over_are_forgotten_in_their_time,
    replicas_see_what_changed,
    the_first_owner_of_an_issued_object_stays,
);

fn key(id: &str, tenant: &str) -> KeyRow {
    KeyRow {
        id: id.into(),
        name: format!("key {id}"),
        hash: format!("{:0>64}", id.len().to_string() + id),
        prefix: "pc_live_ab".to_owned(),
        tenant: Some(tenant.into()),
        models: vec!["gpt-*".to_owned(), "claude \"x\"".to_owned()],
        created_by: "root".to_owned(),
        created: MONDAY,
        not_before: Some(MONDAY - 1),
        expires: Some(MONDAY + DAY),
        rotated_from: Some("key_0".to_owned()),
        ..KeyRow::default()
    }
}

fn order(id: &str, expires: Option<i64>) -> Order {
    Order {
        id: id.into(),
        subject: Subject::Network { address: "2001:db8::".parse().unwrap(), prefix: 32 },
        measure: Measure::Limit { requests: 5, seconds: 60 },
        reason: "too many".into(),
        made_by: "ann".into(),
        made: MONDAY,
        expires,
    }
}

async fn a_key_comes_back_as_it_was(home: Home) {
    let database = home.open().await;
    database.insert_key(&key("key_1", "acme")).await.unwrap();
    assert_eq!(database.key("key_1").await.unwrap().unwrap(), key("key_1", "acme"));
    assert!(database.key("key_2").await.unwrap().is_none());
}

async fn keys_with_the_same_hash_are_refused(home: Home) {
    let database = home.open().await;
    database.insert_key(&key("key_1", "acme")).await.unwrap();
    let twin = KeyRow { id: "key_2".into(), ..key("key_1", "acme") };
    assert!(matches!(database.insert_key(&twin).await, Err(StoreError::Conflict(_))));
    assert_eq!(database.changes().await.unwrap().keys, 1, "a refused change is not counted");
}

async fn keys_are_listed_page_by_page_and_by_owner(home: Home) {
    let database = home.open().await;
    for number in 0..7 {
        let tenant = if number % 2 == 0 { "acme" } else { "other" };
        database.insert_key(&key(&format!("key_{number}"), tenant)).await.unwrap();
    }
    let filter = KeyFilter { tenant: Some("acme".to_owned()), limit: 3, ..KeyFilter::default() };
    let page = database.keys(&filter).await.unwrap();
    assert_eq!(page.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["key_0", "key_2", "key_4"]);
    let filter = KeyFilter { after: Some("key_4".to_owned()), ..filter };
    let page = database.keys(&filter).await.unwrap();
    assert_eq!(page.iter().map(|key| &*key.id).collect::<Vec<_>>(), ["key_6"]);
}

async fn a_revoked_or_expired_key_is_not_live(home: Home) {
    let database = home.open().await;
    for id in ["key_1", "key_2", "key_3"] {
        database.insert_key(&key(id, "acme")).await.unwrap();
    }
    let live = async |now| {
        let keys = database.live_keys(now).await.unwrap();
        keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(live(MONDAY).await.len(), 3);
    database.revoke_key("key_1", MONDAY + 1).await.unwrap();
    database.revoke_key("key_1", MONDAY + 2).await.unwrap();
    assert_eq!(database.key("key_1").await.unwrap().unwrap().revoked, Some(MONDAY + 1));
    assert_eq!(live(MONDAY).await, ["key_2", "key_3"]);
    database.expire_key("key_2", Some(MONDAY - 5)).await.unwrap();
    database.expire_key("key_3", None).await.unwrap();
    assert_eq!(live(MONDAY + 2 * DAY).await, ["key_3"]);
    assert_eq!(database.revoke_key("key_9", MONDAY).await, Err(StoreError::Missing("key")));
    assert_eq!(database.expire_key("key_9", None).await, Err(StoreError::Missing("key")));
}

async fn orders_outlive_a_restart(home: Home) {
    let database = home.open().await;
    assert!(database.insert_order(&order("ord_1", None)).await.unwrap());
    assert!(database.insert_order(&order("ord_2", Some(MONDAY + 10))).await.unwrap());
    database.close().await;
    drop(database);
    let database = home.open().await;
    assert_eq!(database.live_orders(MONDAY).await.unwrap(), [order("ord_1", None), order("ord_2", Some(MONDAY + 10))]);
    assert_eq!(database.live_orders(MONDAY + 10).await.unwrap(), [order("ord_1", None)]);
}

async fn an_order_is_kept_once_and_lifted_once(home: Home) {
    let database = home.open().await;
    assert!(database.insert_order(&order("ord_1", None)).await.unwrap());
    assert!(!database.insert_order(&order("ord_1", Some(1))).await.unwrap());
    assert!(database.lift_order("ord_1", "bob", MONDAY + 1).await.unwrap());
    assert!(!database.lift_order("ord_1", "eve", MONDAY + 2).await.unwrap());
    assert_eq!(database.lift_order("ord_9", "eve", MONDAY).await, Err(StoreError::Missing("order")));
    let stored = database.order("ord_1").await.unwrap().unwrap();
    assert_eq!((stored.lifted, stored.lifted_by.as_deref()), (Some(MONDAY + 1), Some("bob")));
    // One that came back from a restart is still lifted.
    assert!(!database.insert_order(&order("ord_1", None)).await.unwrap());
    assert!(database.live_orders(MONDAY).await.unwrap().is_empty());
    assert!(database.insert_order(&order("ord_2", None)).await.unwrap());
    let listed = database.orders(&OrderFilter::default(), 10).await.unwrap();
    assert_eq!(listed.iter().map(|one| &*one.order.id).collect::<Vec<_>>(), ["ord_2", "ord_1"]);
    let found = async |filter: OrderFilter| {
        let found = database.orders(&filter, 10).await.unwrap();
        found.iter().map(|one| one.order.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found(OrderFilter { before: Some("ord_2".to_owned()), ..OrderFilter::default() }).await, ["ord_1"]);
    // By whom they are about, and whether they hold.
    let about = |name: &str| Subject::User { name: name.into() };
    let other = Order { subject: about("o'hara"), ..order("ord_3", Some(MONDAY + 10)) };
    assert!(database.insert_order(&other).await.unwrap());
    let of = |name: &str, in_force| OrderFilter { subject: Some(about(name)), in_force, before: None };
    assert_eq!(found(of("o'hara", None)).await, ["ord_3"]);
    assert_eq!(found(of("o'hara", Some(MONDAY + 9))).await, ["ord_3"]);
    assert!(found(of("o'hara", Some(MONDAY + 10))).await.is_empty(), "it is over");
    assert!(found(of("o", None)).await.is_empty());
    let holding = OrderFilter { in_force: Some(MONDAY + 20), ..OrderFilter::default() };
    assert_eq!(found(holding).await, ["ord_2"], "ord_1 was lifted, ord_3 is over");
}

async fn orders_that_are_over_are_forgotten_in_their_time(home: Home) {
    let database = home.open().await;
    for (id, expires) in [("ord_1", None), ("ord_2", Some(MONDAY + 10)), ("ord_3", None)] {
        database.insert_order(&order(id, expires)).await.unwrap();
    }
    database.lift_order("ord_1", "bob", MONDAY).await.unwrap();
    let kept = Retention { orders: Some(Duration::from_secs(90 * 24 * 3600)), ..Retention::default() };
    let swept = async |now| database.sweep(now, &kept, 1_000).await.unwrap().orders;
    assert_eq!(swept(MONDAY + 90 * DAY).await, 0);
    assert_eq!(swept(MONDAY + 90 * DAY + 1).await, 1);
    assert!(database.order("ord_1").await.unwrap().is_none());
    assert_eq!(swept(MONDAY + 90 * DAY + 11).await, 1);
    let left = database.orders(&OrderFilter::default(), 10).await.unwrap();
    assert_eq!(left.iter().map(|one| &*one.order.id).collect::<Vec<_>>(), ["ord_3"], "it is still in force");
}

async fn replicas_see_what_changed(home: Home) {
    let (one, other) = (home.open().await, home.open().await);
    let before = other.changes().await.unwrap();
    one.insert_order(&order("ord_1", None)).await.unwrap();
    let between = other.changes().await.unwrap();
    assert_eq!(between.since(before), [Changed::Orders]);
    one.insert_order(&order("ord_1", None)).await.unwrap();
    assert_eq!(other.changes().await.unwrap(), between, "nothing changed");
    one.insert_key(&key("key_1", "acme")).await.unwrap();
    one.lift_order("ord_1", "ann", MONDAY).await.unwrap();
    one.revoke_key("key_1", MONDAY).await.unwrap();
    let after = other.changes().await.unwrap();
    assert_eq!(after.since(between), [Changed::Keys, Changed::Orders]);
    assert!(after.since(after).is_empty());
}

async fn the_first_owner_of_an_issued_object_stays(home: Home) {
    let database = home.open().await;
    let issued = |hash: &str, owner: &str| Issued {
        hash: hash.to_owned(),
        owner: owner.to_owned(),
        user: Some("ann".to_owned()),
        kind: "file".to_owned(),
        time: MONDAY,
    };
    let writer = home.writer(&database);
    for one in [issued("a", "key_1"), issued("b", "key_2"), issued("a", "thief")] {
        writer.acknowledged(Item::Issued(one)).await.unwrap();
    }
    let mut known = database.issued_since(MONDAY).await.unwrap();
    known.sort_unstable_by(|one, other| one.hash.cmp(&other.hash));
    assert_eq!(known, [issued("a", "key_1"), issued("b", "key_2")]);
    assert!(database.issued_since(MONDAY + 1).await.unwrap().is_empty());
}
