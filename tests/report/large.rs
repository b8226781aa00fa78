//! A million requests are added up by the database.

use portcullis::report::{Block, Cell, Kind};
use portcullis::store::{Backend, Tally, TallyScope};
use portcullis::values;

use crate::filled::{DAY, DAYS, ask, made};
use crate::home::Home;
use crate::rows::MONDAY;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_requests_are_added_up_by_the_database() {
    let home = Home::new(Backend::Sqlite);
    let database = home.open().await;
    let mut session = database.write().await.unwrap().within(std::time::Duration::from_secs(120));
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999) \
                   INSERT INTO requests (id, time, user_, method, path, outcome, status, decision, risk, estimated, stream, \
                   micros, generation, record) SELECT 'req_' || i, $1 + i * ($2 / 1000000), 'user ' || (i % 50000), 'POST', \
                   '/x', 'served', 200, CASE WHEN i % 10 = 0 THEN 'block' ELSE 'allow' END, 0.5, 0, 0, 1, 1, '{}' FROM n";
    session.execute(numbers, values![MONDAY, DAYS * DAY]).await.unwrap();
    drop(session);
    let scope = TallyScope { since: MONDAY, until: MONDAY + DAYS * DAY, tenant: None, limit: 50 };
    for rows in database.tallies(&scope, Tally::ALL).await.unwrap() {
        assert!(rows.len() <= 50, "no answer has more rows than asked for");
    }
    let report = made(&database, &ask(Kind::Security, None)).await;
    let Block::Figures { figures } = &report.sections[0].blocks[1] else { panic!("no figures") };
    assert_eq!((&figures[0].value, &figures[1].value), (&Cell::Count(1_000_000), &Cell::Count(100_000)));
    let callers = report.tables().find(|table| table.name == "callers").unwrap();
    assert_eq!(callers.rows.len(), 20);
}
