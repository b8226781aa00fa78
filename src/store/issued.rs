//! Whom a provider's objects (conversations, files, batches) were issued to: their ids are honoured for nobody else.

use serde::{Deserialize, Serialize};

use super::insert::Insert;
use super::{Database, Session, StoreError};
use crate::values;

/// One object of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// A hash of the upstream and the provider's id.
    pub hash: String,
    /// Whom it was issued to, as the caller of this function tells owners apart.
    pub owner: String,
    /// The user among the owner's, for erasure.
    pub user: Option<String>,
    /// What it is: `response`, `conversation`, `file`, `batch`.
    pub kind: String,
    /// When: Unix time in microseconds.
    pub time: i64,
}

/// The first owner stays: an id cannot be taken over by having it issued again.
static INSERT: Insert =
    Insert::new("INSERT INTO issued (hash, owner, user_, kind, time)", 5, "ON CONFLICT (hash) DO NOTHING");

pub(super) async fn insert(session: &mut Session, issued: &[&Issued]) -> Result<(), StoreError> {
    let row =
        |one: &&Issued| values![one.hash.clone(), one.owner.clone(), one.user.clone(), one.kind.clone(), one.time];
    INSERT.run(session, issued.iter().map(row).collect()).await.map(drop)
}

impl Database {
    /// What was issued since a moment (Unix time in microseconds), the youngest first, 200,000 at most.
    pub async fn issued_since(&self, since: i64) -> Result<Vec<Issued>, StoreError> {
        const MOST: u32 = 200_000;
        let sql = "SELECT hash, owner, user_, kind, time FROM issued WHERE time >= $1 ORDER BY time DESC LIMIT $2";
        let rows = self.read().await?.rows(sql, values![since, MOST]).await?;
        rows.iter()
            .map(|row| {
                Ok(Issued {
                    hash: row.text(0)?,
                    owner: row.text(1)?,
                    user: row.maybe_text(2)?,
                    kind: row.text(3)?,
                    time: row.int(4)?,
                })
            })
            .collect()
    }
}
