//! How often rules found something, counted by piece of time.

use portcullis::store::{HitCount, HitQuery, Item};

use crate::both;
use crate::home::Home;
use crate::rows::{HOUR, MONDAY, request, verdict};

both!(hits_are_counted_by_rule_and_piece_and_each_request_once);

async fn hits_are_counted_by_rule_and_piece_and_each_request_once(home: Home) {
    let database = home.open().await;
    let writer = home.writer(&database);
    // At each quarter of an hour for four hours; every fourth by another rule too, and twice.
    for number in 0..16_i64 {
        let mut record = request(&format!("req_{number:02}"), MONDAY + number * HOUR / 4, "ann");
        let mut found = verdict("PC-INJ-0001");
        if number % 4 == 0 {
            let mut other = verdict("PC-JBR-0002").findings.remove(0);
            found.findings.extend([other.clone(), {
                other.evidence.start = 20;
                other
            }]);
        }
        record.input = Some(found);
        writer.offer(Item::from(&record));
    }
    writer.flush().await.unwrap();
    let query = HitQuery { from: MONDAY, step: 2 * HOUR, pieces: 2, rule: None };
    let count = |rule: &str, piece, requests| HitCount { rule: rule.to_owned(), piece, requests };
    let found = database.rule_hits(&query).await.unwrap();
    let expected = [
        count("PC-INJ-0001", 0, 8),
        count("PC-INJ-0001", 1, 8),
        count("PC-JBR-0002", 0, 2),
        count("PC-JBR-0002", 1, 2),
    ];
    assert_eq!((found.counts.as_slice(), found.since), (expected.as_slice(), None));
    let one = HitQuery { rule: Some("PC-JBR-0002".to_owned()), from: MONDAY + HOUR, ..query.clone() };
    let found = database.rule_hits(&one).await.unwrap();
    assert_eq!(found.counts, [count("PC-JBR-0002", 0, 2), count("PC-JBR-0002", 1, 1)]);
    let hostile = HitQuery { rule: Some("' OR 1=1 --".to_owned()), ..query.clone() };
    assert_eq!(database.rule_hits(&hostile).await.unwrap().counts, []);
    let before = HitQuery { from: MONDAY - 4 * HOUR, ..query };
    assert_eq!(database.rule_hits(&before).await.unwrap().counts, [], "the end is not part of the period");
}
