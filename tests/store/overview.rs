//! What happened in a period: requests by piece of time, sums, and the names with the most.

use portcullis::store::Item;
use portcullis::types::{Decision, Outcome};

use crate::both;
use crate::home::Home;
use crate::rows::{HOUR, MONDAY, request, verdict};

both!(requests_are_counted_by_piece_and_by_name,);

async fn requests_are_counted_by_piece_and_by_name(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    for number in 0..30_i64 {
        let user = if number % 3 == 0 { "eve" } else { "ann" };
        let mut record = request(&format!("req_{number}"), MONDAY + number * HOUR / 10, user);
        record.outcome = Outcome::Served;
        if user == "eve" {
            (record.outcome, record.decision) = (Outcome::PromptBlocked, Decision::Block);
            record.input = Some(verdict("PC-JBK-0001"));
        }
        writer.offer(Item::Request(Box::new((&record).into())));
    }
    writer.flush().await.unwrap();
    let found = database.overview(MONDAY, MONDAY + 3 * HOUR, 3).await.unwrap();
    let counts = |outcome: &str, decision: &str| found.series[&(outcome.to_owned(), decision.to_owned())].clone();
    assert_eq!(counts("prompt_blocked", "block"), [4, 3, 3]);
    assert_eq!(counts("served", "allow"), [6, 7, 7]);
    assert_eq!(found.series.len(), 2);
    assert_eq!((found.input_tokens, found.output_tokens, found.cost), (3000, 600, 30_000));
    // What ends a period is not in it.
    let last = database.overview(MONDAY, MONDAY + 29 * HOUR / 10, 1).await.unwrap();
    assert_eq!(last.series.values().flatten().sum::<u64>(), 29);

    let top = database.top(MONDAY, MONDAY + 3 * HOUR).await.unwrap();
    let told = |all: &[portcullis::store::overview::Named]| {
        all.iter().map(|one| (one.name.clone(), one.count, one.blocked)).collect::<Vec<_>>()
    };
    assert_eq!(told(&top.rules), [("PC-JBK-0001".to_owned(), 10, 0)]);
    assert_eq!(told(&top.families), [("jailbreak".to_owned(), 10, 0)]);
    assert_eq!(told(&top.users), [("eve".to_owned(), 10, 10), ("ann".to_owned(), 20, 0)]);
    assert_eq!(told(&top.models), [("gpt-5".to_owned(), 30, 10)]);
    let none = database.top(MONDAY + 4 * HOUR, MONDAY + 5 * HOUR).await.unwrap();
    assert!(none.rules.is_empty() && none.users.is_empty());
}
