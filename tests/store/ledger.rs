//! The ledger: sums by everything it can be asked by.

use portcullis::store::{Bucket, Dimension, Item, SpendQuery, Sums, Tokens};

use crate::both;
use crate::home::Home;
use crate::rows::{DAY, HOUR, MONDAY, plain, request};

both!(
    spend_adds_up_by_every_bucket,
    spend_is_told_apart_by_names_and_filters,
    a_request_without_usage_costs_nothing,
    absurd_numbers_of_a_provider_do_not_overflow,
    a_long_answer_is_cut_and_says_so,
    a_budget_learns_what_was_spent,
);

fn query(by: &[Dimension], bucket: Bucket, from: i64, to: i64) -> SpendQuery {
    SpendQuery { by: by.to_vec(), bucket, from, to, filters: Vec::new(), limit: 1_000 }
}

async fn spend_adds_up_by_every_bucket(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    // One request an hour for 60 days, each a nano-dollar dearer.
    for hour in 0..60 * 24_i64 {
        let row = plain(format!("req_{hour}"), MONDAY + hour * HOUR + 5, u64::try_from(hour).unwrap());
        writer.offer(Item::Request(Box::new(row)));
    }
    writer.flush().await.unwrap();
    let end = MONDAY + 60 * DAY;
    let all: u64 = (0..1440).sum();
    for (bucket, rows) in
        [(Bucket::Hour, 1440), (Bucket::Day, 60), (Bucket::Week, 9), (Bucket::Month, 2), (Bucket::Total, 1)]
    {
        // By team from the table by day, by user from the one by hour.
        for by in [Dimension::Team, Dimension::User] {
            let mut query = query(&[by], bucket, MONDAY, end);
            query.limit = 2_000;
            let spend = database.spend(&query).await.unwrap();
            assert!(!spend.truncated);
            assert_eq!(spend.rows.len(), rows, "{bucket:?}");
            assert_eq!(spend.rows.iter().map(|row| row.sums.cost).sum::<u64>(), all, "{bucket:?}");
            assert_eq!(spend.rows[0].bucket, if bucket == Bucket::Month { MONDAY - DAY } else { MONDAY });
            assert_eq!(spend.rows[0].names, [if by == Dimension::Team { "blue" } else { "" }]);
        }
    }
    let week = database.spend(&query(&[], Bucket::Week, MONDAY, end)).await.unwrap();
    assert_eq!(week.rows[1].bucket, MONDAY + 7 * DAY);
    assert_eq!(week.rows[1].sums.requests, 7 * 24);
    // Hours that are no whole days.
    let part = database.spend(&query(&[], Bucket::Total, MONDAY + HOUR, MONDAY + 3 * HOUR)).await.unwrap();
    assert_eq!(part.rows[0].sums.cost, 1 + 2);
}

async fn spend_is_told_apart_by_names_and_filters(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for (number, user) in ["ann", "ann", "bob"].into_iter().enumerate() {
        writer.offer(Item::from(&request(&format!("req_{number}"), MONDAY, user)));
    }
    writer.flush().await.unwrap();
    let by = [Dimension::User, Dimension::Model, Dimension::Tenant, Dimension::Key, Dimension::Agent];
    let spend = database.spend(&query(&by, Bucket::Day, MONDAY, MONDAY + DAY)).await.unwrap();
    let names: Vec<_> = spend.rows.iter().map(|row| row.names.join("/")).collect();
    assert_eq!(names, ["ann/gpt-5/acme/key_1/", "bob/gpt-5/acme/key_1/"]);
    let tokens = Tokens { input: 200, cached: 20, output: 40, reasoning: 10 };
    assert_eq!(spend.rows[0].sums, Sums { requests: 2, tokens, cost: 2_000 });
    let mut only = query(&[], Bucket::Total, MONDAY, MONDAY + DAY);
    only.filters = vec![(Dimension::User, "bob".to_owned()), (Dimension::Agent, String::new())];
    assert_eq!(database.spend(&only).await.unwrap().rows[0].sums.requests, 1);
    only.filters = vec![(Dimension::User, "bob' OR '1'='1".to_owned())];
    assert!(database.spend(&only).await.unwrap().rows.is_empty());
}

async fn a_request_without_usage_costs_nothing(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    let mut record = request("req_1", MONDAY, "ann");
    record.usage = None;
    record.cost = None;
    writer.offer(Item::from(&record));
    writer.flush().await.unwrap();
    assert!(database.spend(&query(&[], Bucket::Total, MONDAY, MONDAY + DAY)).await.unwrap().rows.is_empty());
}

async fn absurd_numbers_of_a_provider_do_not_overflow(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..1_000 {
        let mut record = request(&format!("req_{number}"), MONDAY, "ann");
        record.usage = record.usage.map(|usage| portcullis::types::Usage { input: u64::MAX, ..usage });
        record.cost = Some(u64::MAX);
        writer.offer(Item::from(&record));
    }
    writer.flush().await.unwrap();
    let spend = database.spend(&query(&[], Bucket::Total, MONDAY, MONDAY + DAY)).await.unwrap();
    assert_eq!(spend.rows[0].sums.requests, 1_000);
    assert_eq!(spend.rows[0].sums.tokens.input, 1_000 << 32);
    assert_eq!(writer.health().rejected, 0);
}

async fn a_long_answer_is_cut_and_says_so(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..10 {
        writer.offer(Item::from(&request(&format!("req_{number}"), MONDAY, &format!("user_{number}"))));
    }
    writer.flush().await.unwrap();
    let mut few = query(&[Dimension::User], Bucket::Day, MONDAY, MONDAY + DAY);
    few.limit = 4;
    let spend = database.spend(&few).await.unwrap();
    assert_eq!((spend.rows.len(), spend.truncated), (4, true));
    few.limit = 10;
    let spend = database.spend(&few).await.unwrap();
    assert_eq!((spend.rows.len(), spend.truncated), (10, false));
}

async fn a_budget_learns_what_was_spent(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for hour in 0..48_i64 {
        writer.offer(Item::from(&request(&format!("req_{hour}"), MONDAY + hour * HOUR, "ann")));
    }
    writer.flush().await.unwrap();
    // As a budget asks: from its beginning to now, by whom it is for.
    let spent = async |by: Dimension, from: i64, name: &str| {
        let spend = database.spend(&query(&[by], Bucket::Total, from, MONDAY + 2 * DAY)).await.unwrap();
        spend.rows.iter().find(|row| row.names == [name]).map(|row| row.sums)
    };
    assert_eq!(spent(Dimension::Team, MONDAY + DAY, "blue").await.unwrap().cost, 24_000);
    assert_eq!(spent(Dimension::Team, MONDAY + DAY + HOUR, "blue").await.unwrap().cost, 23_000);
    assert_eq!(spent(Dimension::User, MONDAY, "ann").await.unwrap().tokens.input, 4_800);
    assert_eq!(spent(Dimension::User, MONDAY, "zoe").await, None);
}
