//! Kill -9 during sustained writes: what was acknowledged is there afterwards, once.
//!
//! `PORTCULLIS_STORE_KILLS` sets the number of rounds on each backend (20).

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use portcullis::store::{Bucket, Database, Item, Options, Session, SpendQuery, State, Writer};
use portcullis::types::Secret;
use tokio::task::JoinSet;

use crate::both;
use crate::home::Home;
use crate::rows::{self, DAY, HOUR, MONDAY};

both!(nothing_acknowledged_is_missing_after_many_kills);

/// What the child reads: the store's URL, the spool, the name of the round.
const CHILD: &str = "PORTCULLIS_STORE_CHILD";

/// The writing half: this test binary again, which does nothing unless it is told to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let mut told = told.split('\n');
    let (url, spool, round) = (told.next().unwrap(), told.next().unwrap(), told.next().unwrap().to_owned());
    let options = Options {
        spool: Some(spool.into()),
        timeout: Duration::from_millis(200),
        flush_every: Duration::from_millis(1),
        retry_every: Duration::from_millis(20),
        ..Options::default()
    };
    let database = Database::lazy(&Secret::new(url), &options).unwrap();
    let writer = Writer::start(database, &options, Vec::new()).unwrap();
    let mut senders = JoinSet::new();
    for sender in 0..8 {
        let (writer, round) = (writer.clone(), round.clone());
        senders.spawn(async move {
            for number in 0_u64.. {
                let id = format!("req_{round}_{sender}_{number}");
                let item = if number.is_multiple_of(2) {
                    Item::from(&rows::request(&id, MONDAY, "ann"))
                } else {
                    rows::alert(id.clone())
                };
                let durable = writer.acknowledged(item).await.unwrap();
                // Not `println!`, which a test keeps to itself.
                writeln!(std::io::stdout(), "\nacknowledged {id} {durable:?}").unwrap();
            }
        });
    }
    senders.join_all().await;
}

struct Writing {
    process: Child,
    lines: BufReader<ChildStdout>,
}

fn start(home: &Home, round: u64) -> Writing {
    let spool = home.options.spool.as_ref().unwrap();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{}\n{}\n{round}", home.url.expose(), spool.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap());
    Writing { process, lines }
}

impl Writing {
    /// Reads so many acknowledgements, kills the child, and reads what it said before it died.
    fn kill_after(mut self, count: u64, acknowledged: &mut HashSet<String>) -> u64 {
        let (mut seen, mut spooled, mut line) = (0, 0, String::new());
        let mut killed = false;
        loop {
            line.clear();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                break;
            }
            // A line that was cut by the kill says nothing.
            if let Some(told) = line.strip_prefix("acknowledged ").and_then(|told| told.strip_suffix('\n')) {
                let (id, durable) = told.split_once(' ').unwrap();
                acknowledged.insert(id.to_owned());
                seen += 1;
                spooled += u64::from(durable == "Spooled");
            }
            if seen >= count && !killed {
                self.process.kill().unwrap();
                killed = true;
            }
        }
        self.process.wait().unwrap();
        assert!(killed, "the writing process ended by itself after {seen} acknowledgements");
        spooled
    }
}

/// Makes the database unwritable for others as long as it is held.
async fn lock(database: &Database) -> Session {
    let mut held = database.begin().await.unwrap();
    // On SQLite the transaction is enough; on PostgreSQL others wait for this row.
    let sql = "INSERT INTO writers (id, last_batch, time) VALUES ('held', 1, 0)";
    held.execute(sql, Vec::new()).await.unwrap();
    if held.backend() == portcullis::store::Backend::Postgres {
        held.execute("LOCK TABLE writers", Vec::new()).await.unwrap();
    }
    held
}

async fn nothing_acknowledged_is_missing_after_many_kills(home: Home) {
    let rounds: u64 = std::env::var("PORTCULLIS_STORE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let database = home.open().await;
    let mut acknowledged = HashSet::new();
    let mut spooled = 0;
    for round in 0..rounds {
        // Every third round the database cannot be written, so that the spool is what is killed.
        let held = if round % 3 == 2 { Some(lock(&database).await) } else { None };
        let count = 1 + round * 37 % 150;
        let writing = start(&home, round);
        let (known, more) = tokio::task::spawn_blocking({
            let mut known = std::mem::take(&mut acknowledged);
            move || {
                let more = writing.kill_after(count, &mut known);
                (known, more)
            }
        })
        .await
        .unwrap();
        acknowledged = known;
        spooled += more;
        drop(held);
    }
    assert!(rounds < 3 || spooled > 0, "some of it went through the spool");

    // The next start takes over what lies in the spool.
    let writer = Writer::start(database.clone(), &home.options, Vec::new()).unwrap();
    home.until_up(&writer).await;
    assert_eq!(writer.health().state, State::Up);
    let mut there = HashSet::new();
    let mut session = database.read().await.unwrap();
    let mut requests = 0;
    for sql in ["SELECT id FROM requests", "SELECT id FROM events"] {
        for row in session.rows(sql, Vec::new()).await.unwrap() {
            requests += u64::from(sql.ends_with("requests"));
            there.insert(row.text(0).unwrap());
        }
    }
    let missing: Vec<_> = acknowledged.difference(&there).collect();
    assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), acknowledged.len());
    // The ledger counted each of them once, however often its batch was tried.
    let query = SpendQuery {
        by: Vec::new(),
        bucket: Bucket::Total,
        from: MONDAY - HOUR,
        to: MONDAY + DAY,
        filters: Vec::new(),
        limit: 1,
    };
    assert_eq!(database.spend(&query).await.unwrap().rows[0].sums.requests, requests);
}
