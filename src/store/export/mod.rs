//! What exports need of the store: the requests to tell of, how far each sink is, which replica works on it, and what was
//! refused (`dead`).

mod dead;

pub use self::dead::{DeadLetter, DeadPage};

use super::insert::Insert;
use super::{Database, Row, Session, StoreError, now};
use crate::store::writer::RequestRow;
use crate::values;

/// Requests noted that are old enough; what is left has no holes, whatever the clocks did.
pub(super) const RECORDS: &str = "DELETE FROM export_records WHERE seq IN (SELECT seq FROM export_records WHERE seq < \
     COALESCE((SELECT seq FROM export_records WHERE time >= $1 ORDER BY seq LIMIT 1), 9223372036854775807) \
     ORDER BY seq LIMIT $2)";

static NOTES: Insert = Insert::new("INSERT INTO export_records (seq, time, request)", 3, "");

const STATE: &str = "SELECT name, feed, audit, records, worker, lease_until, delivered, dropped, delivered_at, problem, \
                     problem_at FROM export_sinks ORDER BY name LIMIT 1000";

/// How far a sink is in each source: the number of the last entry that is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursors {
    /// The feed.
    pub feed: i64,
    /// The audit trail.
    pub audit: i64,
    /// Requests.
    pub records: i64,
}

/// How a sink stands, for all replicas. Times are Unix time in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkState {
    /// Its name in the configuration.
    pub name: String,
    /// How far it is.
    pub cursors: Cursors,
    /// Who works on it.
    pub worker: Option<String>,
    /// Until when that one has it for itself.
    pub lease_until: i64,
    /// Items that its receiver took.
    pub delivered: u64,
    /// Entries that were given up because too much waited.
    pub dropped: u64,
    /// When its receiver took something last.
    pub delivered_at: Option<i64>,
    /// Why nothing gets through, if nothing does.
    pub problem: Option<String>,
    /// Since when.
    pub problem_at: Option<i64>,
}

/// A request to tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// Its number.
    pub seq: i64,
    /// When it was written: Unix time in microseconds.
    pub time: i64,
    /// The record as JSON; `None` when it is not kept any more.
    pub record: Option<String>,
}

/// What was done with entries of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Items taken by the receiver.
    pub delivered: u64,
    /// Entries given up.
    pub dropped: u64,
}

/// Notes the requests that were not simply let through, in the writer's transaction.
pub(super) async fn note(tx: &mut Session, requests: &[&RequestRow]) -> Result<(), StoreError> {
    let told: Vec<&&RequestRow> =
        requests.iter().filter(|row| row.decision != "allow" || row.order.is_some()).collect();
    if told.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(told.len()).unwrap_or(i64::MAX);
    let sql = "UPDATE export_head SET seq = seq + $1 WHERE one = 1 RETURNING seq";
    let head = tx.row(sql, values![count]).await?.ok_or(StoreError::Missing("end of the exports"))?.int(0)?;
    let (first, time) = (head.saturating_sub(count).saturating_add(1), now());
    let rows = (first..).zip(told).map(|(seq, row)| values![seq, time, row.id.clone()]).collect();
    NOTES.run(tx, rows).await.map(drop)
}

fn state_of(row: &Row) -> Result<SinkState, StoreError> {
    Ok(SinkState {
        name: row.text(0)?,
        cursors: Cursors { feed: row.int(1)?, audit: row.int(2)?, records: row.int(3)? },
        worker: row.maybe_text(4)?,
        lease_until: row.int(5)?,
        delivered: row.count(6)?,
        dropped: row.count(7)?,
        delivered_at: row.maybe_int(8)?,
        problem: row.maybe_text(9)?,
        problem_at: row.maybe_int(10)?,
    })
}

/// How exports get on.
impl Database {
    /// Where the sources end.
    pub async fn export_heads(&self) -> Result<Cursors, StoreError> {
        let sql = "SELECT (SELECT seq FROM feed_head WHERE one = 1), (SELECT seq FROM audit_head WHERE one = 1), \
                   (SELECT seq FROM export_head WHERE one = 1)";
        let row = self.read().await?.row(sql, Vec::new()).await?.ok_or(StoreError::Missing("end of the exports"))?;
        Ok(Cursors { feed: row.int(0)?, audit: row.int(1)?, records: row.int(2)? })
    }

    /// What stands before the oldest that is kept of each source.
    pub async fn export_before_oldest(&self) -> Result<Cursors, StoreError> {
        // First, so that what is written meanwhile is not passed over where nothing was kept.
        let heads = self.export_heads().await?;
        let sql =
            "SELECT (SELECT MIN(seq) FROM feed), (SELECT MIN(seq) FROM audit), (SELECT MIN(seq) FROM export_records)";
        let row = self.read().await?.row(sql, Vec::new()).await?.ok_or(StoreError::Missing("end of the exports"))?;
        let before = |oldest: Option<i64>, head: i64| oldest.map_or(head, |oldest| oldest.saturating_sub(1).min(head));
        Ok(Cursors {
            feed: before(row.maybe_int(0)?, heads.feed),
            audit: before(row.maybe_int(1)?, heads.audit),
            records: before(row.maybe_int(2)?, heads.records),
        })
    }

    /// At most `limit` requests after number `seq`, in order.
    pub async fn export_records(&self, seq: i64, limit: u32) -> Result<Vec<Noted>, StoreError> {
        let sql = "SELECT e.seq, e.time, r.record FROM export_records e LEFT JOIN requests r ON r.id = e.request \
                   WHERE e.seq > $1 ORDER BY e.seq LIMIT $2";
        let rows = self.read().await?.rows(sql, values![seq, limit]).await?;
        let noted = |row: &Row| Ok(Noted { seq: row.int(0)?, time: row.int(1)?, record: row.maybe_text(2)? });
        rows.iter().map(noted).collect()
    }

    /// Makes a sink known, to begin after `cursors`; one that is known stays as it is.
    pub async fn export_register(&self, name: &str, cursors: Cursors) -> Result<(), StoreError> {
        let known = "SELECT 1 FROM export_sinks WHERE name = $1";
        if self.read().await?.row(known, values![name.to_owned()]).await?.is_some() {
            return Ok(());
        }
        let sql = "INSERT INTO export_sinks (name, feed, audit, records, lease_until, delivered, dropped) \
                   VALUES ($1, $2, $3, $4, 0, 0, 0) ON CONFLICT (name) DO NOTHING";
        let Cursors { feed, audit, records } = cursors;
        self.write().await?.execute(sql, values![name.to_owned(), feed, audit, records]).await.map(drop)
    }

    /// Takes or renews the right to work on a sink until `until`, and says how far it is; `None` while another has it.
    pub async fn export_lease(
        &self,
        name: &str,
        worker: &str,
        (now, until): (i64, i64),
    ) -> Result<Option<Cursors>, StoreError> {
        // Who waits for another takes no lock.
        let held = "SELECT 1 FROM export_sinks WHERE name = $1 AND worker <> $2 AND lease_until > $3";
        if self.read().await?.row(held, values![name.to_owned(), worker.to_owned(), now]).await?.is_some() {
            return Ok(None);
        }
        let sql = "UPDATE export_sinks SET worker = $2, lease_until = $4 \
                   WHERE name = $1 AND (worker IS NULL OR worker = $2 OR lease_until <= $3) \
                   RETURNING feed, audit, records";
        let values = values![name.to_owned(), worker.to_owned(), now, until];
        let row = self.write().await?.row(sql, values).await?;
        row.map(|row| Ok(Cursors { feed: row.int(0)?, audit: row.int(1)?, records: row.int(2)? })).transpose()
    }

    /// Gives that right back.
    pub async fn export_release(&self, name: &str, worker: &str) -> Result<(), StoreError> {
        let sql = "UPDATE export_sinks SET worker = NULL, lease_until = 0 WHERE name = $1 AND worker = $2";
        self.write().await?.execute(sql, values![name.to_owned(), worker.to_owned()]).await.map(drop)
    }

    /// Writes how far a sink is; says whether its worker still is the one who may.
    pub async fn export_advance(
        &self,
        name: &str,
        worker: &str,
        cursors: Cursors,
        done: Done,
        now: i64,
    ) -> Result<bool, StoreError> {
        let Cursors { feed, audit, records } = cursors;
        let moved = "UPDATE export_sinks SET feed = $3, audit = $4, records = $5, dropped = dropped + $6 \
                     WHERE name = $1 AND worker = $2";
        let taken = "UPDATE export_sinks SET feed = $3, audit = $4, records = $5, dropped = dropped + $6, \
                     delivered = delivered + $7, delivered_at = $8, problem = NULL, problem_at = NULL \
                     WHERE name = $1 AND worker = $2";
        let mut values = values![name.to_owned(), worker.to_owned(), feed, audit, records, done.dropped];
        if done.delivered == 0 {
            return Ok(self.write().await?.execute(moved, values).await? > 0);
        }
        values.extend(values![done.delivered, now]);
        Ok(self.write().await?.execute(taken, values).await? > 0)
    }

    /// Writes why nothing gets through; says whether its worker still is the one who may.
    pub async fn export_problem(&self, name: &str, worker: &str, why: &str, now: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE export_sinks SET problem = $3, problem_at = COALESCE(problem_at, $4) \
                   WHERE name = $1 AND worker = $2";
        let values = values![name.to_owned(), worker.to_owned(), why.to_owned(), now];
        Ok(self.write().await?.execute(sql, values).await? > 0)
    }

    /// Nothing is in its way any more; says whether its worker still is the one who may.
    pub async fn export_settled(&self, name: &str, worker: &str) -> Result<bool, StoreError> {
        let sql = "UPDATE export_sinks SET problem = NULL, problem_at = NULL WHERE name = $1 AND worker = $2";
        Ok(self.write().await?.execute(sql, values![name.to_owned(), worker.to_owned()]).await? > 0)
    }

    /// How every sink stands that ever was.
    pub async fn export_states(&self) -> Result<Vec<SinkState>, StoreError> {
        self.read().await?.rows(STATE, Vec::new()).await?.iter().map(state_of).collect()
    }
}
