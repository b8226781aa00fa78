//! The schema, as a numbered list of scripts: each is applied once, in order, by one process at a time.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Backend, Database, Session, StoreError, now};
use crate::types::hex;
use crate::values;

/// How long one migration may take, and how long others wait for who applies it.
const LIMIT: Duration = Duration::from_secs(120);

/// One step of the schema.
struct Migration {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        migration!($version, $name, "sqlite", "postgres")
    };
    ($version:literal, $name:literal, both) => {
        migration!($version, $name, "both", "both")
    };
    ($version:literal, $name:literal, $sqlite:literal, $postgres:literal) => {
        Migration {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("migrations/", $sqlite, "/", $name, ".sql")),
            postgres: include_str!(concat!("migrations/", $postgres, "/", $name, ".sql")),
        }
    };
}

/// Every step, in order of its number.
const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_core"),
    migration!(10, "0010_audit"),
    migration!(20, "0020_accounts", both),
    migration!(30, "0030_secrets", both),
    migration!(40, "0040_soc", both),
    migration!(45, "0045_alerts_by_caller", both),
    migration!(50, "0050_content_layout", both),
    migration!(60, "0060_learn", both),
    migration!(65, "0065_requests_by_session", both),
    migration!(70, "0070_export", both),
    migration!(80, "0080_reports", both),
    migration!(90, "0090_lab", both),
    migration!(100, "0100_alerts_newest", both),
];

impl Migration {
    const fn sql(&self, backend: Backend) -> &'static str {
        match backend {
            Backend::Sqlite => self.sqlite,
            Backend::Postgres => self.postgres,
        }
    }

    fn checksum(&self, backend: Backend) -> String {
        hex(&Sha256::digest(self.sql(backend).as_bytes()))
    }
}

/// The highest number known here.
pub fn latest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Applies what is missing, all or nothing. Replicas that start together wait for the first.
///
/// # Errors
/// `NewerSchema` and `OtherSchema` when the database was made by another program; whatever applying it says.
pub(super) async fn run(database: &Database) -> Result<(), StoreError> {
    if up_to_date(database).await? {
        return Ok(());
    }
    let mut session = database.write().await?.within(LIMIT);
    session.begin().await?;
    if matches!(session.backend(), Backend::Postgres) {
        // Held until the transaction ends, whichever way.
        session.script("SET LOCAL lock_timeout = '120s'; SET LOCAL statement_timeout = '120s'").await?;
        session.script("SELECT pg_advisory_xact_lock(7238195641)").await?;
    }
    session
        .script(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, name TEXT NOT NULL, \
             checksum TEXT NOT NULL, applied BIGINT NOT NULL)",
        )
        .await?;
    let applied = applied(&mut session).await?;
    for migration in MIGRATIONS {
        let checksum = migration.checksum(session.backend());
        match applied.get(&migration.version) {
            Some(known) if *known == checksum => {}
            Some(_) => return Err(StoreError::OtherSchema { version: migration.version }),
            None => {
                session.script(migration.sql(session.backend())).await?;
                session
                    .execute(
                        "INSERT INTO schema_migrations (version, name, checksum, applied) VALUES ($1, $2, $3, $4)",
                        values![migration.version, migration.name, checksum, now()],
                    )
                    .await?;
                tracing::info!(version = migration.version, name = migration.name, "schema migration applied");
            }
        }
    }
    session.commit().await
}

/// Looks without a lock: a start that finds everything in place waits for nobody and writes nothing.
async fn up_to_date(database: &Database) -> Result<bool, StoreError> {
    let mut session = database.read().await?;
    let applied = match applied(&mut session).await {
        Ok(applied) => applied,
        // There is no table yet.
        Err(StoreError::Refused(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(MIGRATIONS
        .iter()
        .all(|known| applied.get(&known.version).is_some_and(|sum| *sum == known.checksum(database.backend()))))
}

/// What was applied; refuses what this program does not know.
async fn applied(session: &mut Session) -> Result<HashMap<i64, String>, StoreError> {
    let rows = session.rows("SELECT version, checksum FROM schema_migrations ORDER BY version", Vec::new()).await?;
    let mut applied = HashMap::new();
    for row in rows {
        let version = row.int(0)?;
        if !MIGRATIONS.iter().any(|known| known.version == version) {
            return Err(StoreError::NewerSchema { found: version, known: latest() });
        }
        applied.insert(version, row.text(1)?);
    }
    Ok(applied)
}
