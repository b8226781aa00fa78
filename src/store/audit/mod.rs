//! The tables of the audit trail. What is hashed, signed and verified is the business of `control::audit`.

mod bulk;

use std::collections::HashSet;

use sqlx::AssertSqlSafe;

pub use self::bulk::{AuditBulk, AuditView};

use super::insert::Insert;
use super::{Backend, Database, Row, Session, StoreError, Value};
use crate::values;

/// A SHA-256.
type Hash = [u8; 32];

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number in the chain.
    pub seq: i64,
    /// The entry's id.
    pub id: String,
    /// Unix time in microseconds.
    pub time: i64,
    /// What kind of thing happened.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// The request it is about.
    pub request: Option<String>,
    /// Its canonical JSON: what is hashed. The columns above repeat parts of it, for queries.
    pub body: String,
    /// Its hash; of another length only when somebody changed it.
    pub hash: Vec<u8>,
    /// The part that can be erased.
    pub personal: Option<AuditPersonal>,
}

/// The part of a record that can be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditPersonal {
    /// What was hashed before it.
    pub salt: Vec<u8>,
    /// Its canonical JSON.
    pub body: String,
    /// The user it is about.
    pub subject: Option<String>,
}

/// Where the chain begins and ends in the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The id of this store; empty until the first trail was opened on it.
    pub store: String,
    /// The number of the last record; 0 when there is none.
    pub seq: i64,
    /// Its hash.
    pub hash: Hash,
    /// The number of the last record that was moved to a segment file; 0 when none was.
    pub archived: i64,
    /// Its hash.
    pub archived_hash: Hash,
    /// The last record that a checkpoint covers.
    pub checkpoint: i64,
    /// The hash of that checkpoint.
    pub checkpoint_hash: Hash,
    /// When it was made.
    pub checkpoint_time: i64,
}

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditCheckpoint {
    /// The last record it covers.
    pub seq: i64,
    /// Its canonical JSON.
    pub body: String,
    /// The signature, in hexadecimal digits.
    pub signature: String,
}

/// Which records are asked for; every field narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only records with a smaller number: the next page, backwards.
    pub before: Option<i64>,
    /// Only records with this number or a greater one.
    pub from: Option<i64>,
    /// Of this kind.
    pub kind: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// About this request.
    pub request: Option<String>,
    /// Not before this moment: Unix time in microseconds.
    pub since: Option<i64>,
    /// Before this moment: Unix time in microseconds.
    pub until: Option<i64>,
}

const HEAD: &str = "SELECT store, seq, hash, archived, archived_hash, checkpoint, checkpoint_hash, checkpoint_time \
                    FROM audit_head WHERE one = 1";
const HEAD_LOCKED: &str = "SELECT store, seq, hash, archived, archived_hash, checkpoint, checkpoint_hash, checkpoint_time \
                           FROM audit_head WHERE one = 1 FOR UPDATE";
static RECORDS: Insert = Insert::new("INSERT INTO audit (seq, id, time, kind, actor, request, body, hash)", 8, "");
/// What a chain that was cut left behind must not keep the next one from being written.
static PERSONAL: Insert = Insert::new(
    "INSERT INTO audit_personal (seq, salt, body, subject)",
    4,
    "ON CONFLICT (seq) DO UPDATE SET salt = excluded.salt, body = excluded.body, subject = excluded.subject",
);

/// A transaction that holds the end of the chain: nobody else adds to it until it is committed or dropped.
pub struct AuditChain(Session);

impl AuditChain {
    /// Waits until the end of the chain is free, and takes it.
    pub async fn begin(database: &Database) -> Result<(Self, AuditHead), StoreError> {
        let mut session = database.begin().await?;
        let sql = match session.backend() {
            // `begin` has taken the lock for writing.
            Backend::Sqlite => HEAD,
            Backend::Postgres => HEAD_LOCKED,
        };
        let row = session.row(sql, Vec::new()).await?.ok_or(StoreError::Missing("end of the audit chain"))?;
        Ok((Self(session), read_head(&row)?))
    }

    /// Those of `ids` that are in the chain already.
    pub async fn existing(&mut self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut found = HashSet::new();
        for chunk in ids.chunks(64) {
            // The same text each time: what is missing is filled up with the first id.
            let first = chunk.first().cloned().unwrap_or_default();
            let values = chunk.iter().cloned().chain(std::iter::repeat(first)).take(64).map(Value::from).collect();
            let places: Vec<String> = match self.0.backend() {
                Backend::Sqlite => vec!["?".to_owned(); 64],
                Backend::Postgres => (1..=64).map(|number| format!("${number}")).collect(),
            };
            let sql = format!("SELECT id FROM audit WHERE id IN ({})", places.join(", "));
            for row in self.0.rows_made(AssertSqlSafe(sql), values).await? {
                found.insert(row.text(0)?);
            }
        }
        Ok(found)
    }

    /// Adds records.
    pub async fn insert(&mut self, rows: Vec<AuditRow>) -> Result<(), StoreError> {
        let mut records = Vec::with_capacity(rows.len());
        let mut personal = Vec::new();
        for row in rows {
            if let Some(part) = row.personal {
                personal.push(values![row.seq, part.salt, part.body, part.subject]);
            }
            records.push(values![row.seq, row.id, row.time, row.kind, row.actor, row.request, row.body, row.hash]);
        }
        RECORDS.run(&mut self.0, records).await?;
        PERSONAL.run(&mut self.0, personal).await.map(drop)
    }

    /// The hashes of the records after `after` up to `last`, in order.
    pub async fn hashes(&mut self, after: i64, last: i64) -> Result<Vec<Hash>, StoreError> {
        let sql = "SELECT hash FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq";
        let rows = self.0.rows(sql, values![after, last]).await?;
        rows.iter().map(|row| hash(&row.bytes(0)?)).collect()
    }

    /// Adds a checkpoint.
    pub async fn insert_checkpoint(&mut self, checkpoint: AuditCheckpoint) -> Result<(), StoreError> {
        let AuditCheckpoint { seq, body, signature } = checkpoint;
        let sql = "INSERT INTO audit_checkpoints (seq, body, signature) VALUES ($1, $2, $3)";
        self.0.execute(sql, values![seq, body, signature]).await.map(drop)
    }

    /// Removes the records up to `last`, which a segment file holds by now.
    pub async fn remove_until(&mut self, last: i64) -> Result<u64, StoreError> {
        self.0.execute("DELETE FROM audit WHERE seq <= $1", values![last]).await
    }

    /// Says where the chain begins and ends from now on.
    pub async fn set_head(&mut self, head: &AuditHead) -> Result<(), StoreError> {
        let sql = "UPDATE audit_head SET store = $1, seq = $2, hash = $3, archived = $4, archived_hash = $5, \
                   checkpoint = $6, checkpoint_hash = $7, checkpoint_time = $8 WHERE one = 1";
        let values = values![
            head.store.clone(),
            head.seq,
            head.hash.to_vec(),
            head.archived,
            head.archived_hash.to_vec(),
            head.checkpoint,
            head.checkpoint_hash.to_vec(),
            head.checkpoint_time,
        ];
        self.0.execute(sql, values).await.map(drop)
    }

    /// Makes it durable.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.0.commit().await
    }

    /// Gives it up.
    pub async fn roll_back(mut self) {
        self.0.roll_back().await;
    }
}

fn hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    Hash::try_from(bytes).map_err(|_| StoreError::Value("a hash of the audit chain is not 32 bytes long".to_owned()))
}

fn read_head(row: &Row) -> Result<AuditHead, StoreError> {
    Ok(AuditHead {
        store: row.text(0)?,
        seq: row.int(1)?,
        hash: hash(&row.bytes(2)?)?,
        archived: row.int(3)?,
        archived_hash: hash(&row.bytes(4)?)?,
        checkpoint: row.int(5)?,
        checkpoint_hash: hash(&row.bytes(6)?)?,
        checkpoint_time: row.int(7)?,
    })
}

fn read_row(row: &Row) -> Result<AuditRow, StoreError> {
    let personal = match (row.maybe_bytes(8)?, row.maybe_text(9)?) {
        (Some(salt), Some(body)) => Some(AuditPersonal { salt, body, subject: row.maybe_text(10)? }),
        _ => None,
    };
    Ok(AuditRow {
        seq: row.int(0)?,
        id: row.text(1)?,
        time: row.int(2)?,
        kind: row.text(3)?,
        actor: row.text(4)?,
        request: row.maybe_text(5)?,
        body: row.text(6)?,
        hash: row.bytes(7)?,
        personal,
    })
}

/// The columns that `read_row` reads.
const COLUMNS: &str = "SELECT a.seq, a.id, a.time, a.kind, a.actor, a.request, a.body, a.hash, p.salt, p.body, p.subject \
                       FROM audit a LEFT JOIN audit_personal p ON p.seq = a.seq";
const PAGE: &str = "SELECT a.seq, a.id, a.time, a.kind, a.actor, a.request, a.body, a.hash, p.salt, p.body, p.subject \
                    FROM audit a LEFT JOIN audit_personal p ON p.seq = a.seq WHERE a.seq > $1 ORDER BY a.seq LIMIT $2";

/// Queries on the audit trail; the other room adds and verifies.
impl Database {
    /// Where the audit chain ends.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        let row = self.read().await?.row(HEAD, Vec::new()).await?;
        read_head(&row.ok_or(StoreError::Missing("end of the audit chain"))?)
    }

    /// At most `limit` records after number `after`, in order.
    pub async fn audit_page(&self, after: i64, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        self.read().await?.rows(PAGE, values![after, limit]).await?.iter().map(read_row).collect()
    }

    /// The personal parts of the records from `first` to `last`, with their numbers, at most `limit`, in order.
    pub async fn audit_personal(
        &self,
        first: i64,
        last: i64,
        limit: u32,
    ) -> Result<Vec<(i64, AuditPersonal)>, StoreError> {
        let sql =
            "SELECT seq, salt, body, subject FROM audit_personal WHERE seq >= $1 AND seq <= $2 ORDER BY seq LIMIT $3";
        let rows = self.read().await?.rows(sql, values![first, last, limit]).await?;
        let read = |row: &Row| {
            let part = AuditPersonal { salt: row.bytes(1)?, body: row.text(2)?, subject: row.maybe_text(3)? };
            Ok((row.int(0)?, part))
        };
        rows.iter().map(read).collect()
    }

    /// The number of the first record at or after a moment (Unix time in microseconds).
    pub async fn audit_first_since(&self, time: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT MIN(seq) FROM audit WHERE time >= $1";
        self.read().await?.row(sql, values![time]).await?.map_or(Ok(None), |row| row.maybe_int(0))
    }

    /// At most `limit` records that `filter` lets through, the youngest first; from a number on, the oldest first.
    pub async fn audit_query(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let mut sql = format!("{COLUMNS} WHERE 1 = 1");
        let mut values = Vec::new();
        let conditions = [
            ("a.seq <", filter.before.map(Value::from)),
            ("a.seq >=", filter.from.map(Value::from)),
            ("a.kind =", filter.kind.clone().map(Value::from)),
            ("a.actor =", filter.actor.clone().map(Value::from)),
            ("a.request =", filter.request.clone().map(Value::from)),
            ("a.time >=", filter.since.map(Value::from)),
            ("a.time <", filter.until.map(Value::from)),
        ];
        for (condition, value) in conditions {
            if let Some(value) = value {
                values.push(value);
                sql.push_str(&format!(" AND {condition} ${}", values.len()));
            }
        }
        values.push(Value::from(limit));
        let order = if filter.from.is_some() { "ASC" } else { "DESC" };
        sql.push_str(&format!(" ORDER BY a.seq {order} LIMIT ${}", values.len()));
        self.read().await?.rows_made(AssertSqlSafe(sql), values).await?.iter().map(read_row).collect()
    }

    /// At most `limit` checkpoints after the one that ends at `after`, in order.
    pub async fn audit_checkpoints(&self, after: i64, limit: u32) -> Result<Vec<AuditCheckpoint>, StoreError> {
        let sql = "SELECT seq, body, signature FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT $2";
        let rows = self.read().await?.rows(sql, values![after, limit]).await?;
        rows.iter()
            .map(|row| Ok(AuditCheckpoint { seq: row.int(0)?, body: row.text(1)?, signature: row.text(2)? }))
            .collect()
    }

    /// Whether an entry with this id is in the table.
    pub async fn audit_has(&self, id: &str) -> Result<bool, StoreError> {
        let sql = "SELECT seq FROM audit WHERE id = $1";
        Ok(self.read().await?.row(sql, values![id.to_owned()]).await?.is_some())
    }

    /// Takes away what records say of the user: the records stay and verify. Says of how many.
    pub async fn audit_erase(&self, subject: &str) -> Result<u64, StoreError> {
        let sql = "DELETE FROM audit_personal WHERE subject = $1";
        self.write().await?.execute(sql, values![subject.to_owned()]).await
    }

    /// Takes away what records up to number `last` say of persons, at most `limit` at a time. Says of how many.
    pub async fn audit_forget_until(&self, last: i64, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM audit_personal WHERE seq IN (SELECT seq FROM audit_personal WHERE seq <= $1 LIMIT $2)";
        self.write().await?.execute(sql, values![last, limit]).await
    }
}
