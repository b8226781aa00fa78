//! What can go wrong in the store, and what follows from it.

use std::time::Duration;

/// A failure of the store. Never carries values of a query or the password of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or cannot write just now: the same call may succeed later.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// It did not answer in time.
    #[error("the database did not answer within {0:?}")]
    Timeout(Duration),
    /// The file is damaged, or is no database.
    #[error("the database is damaged and is not opened ({0}): restore it from a backup, or move it away to begin anew")]
    Corrupt(String),
    /// A newer version of the gateway has worked on it.
    #[error(
        "the database has schema {found}, this program knows no more than {known}: it was made by a newer version, which has to be used"
    )]
    NewerSchema {
        /// The number of the unknown migration.
        found: i64,
        /// The highest number known here.
        known: i64,
    },
    /// A migration that was applied is not the one known here.
    #[error(
        "migration {version} was applied with another content than this program has: the database is of another build"
    )]
    OtherSchema {
        /// The number of the migration.
        version: i64,
    },
    /// The URL says nothing usable.
    #[error("the store's URL is not usable: {0}")]
    Url(String),
    /// A setting or a key that cannot be used.
    #[error("{0}")]
    Setting(String),
    /// What is there does not allow it: something with this id exists, or what it is about is in another state.
    #[error("what is stored does not allow it: {0}")]
    Conflict(String),
    /// Nothing with this id exists.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// The database refused the statement: a mistake of ours, or a value it cannot hold.
    #[error("the database refused a statement: {0}")]
    Refused(String),
    /// A stored value is not what was expected there.
    #[error("a stored value cannot be read: {0}")]
    Value(String),
    /// A file of ours beside the database.
    #[error("{0}")]
    File(String),
    /// The queue or the spool has no room.
    #[error("the store has no room: {0}")]
    Full(&'static str),
    /// The store was shut down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// A low-cardinality label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Timeout(_) => "timeout",
            Self::Corrupt(_) => "corrupt",
            Self::NewerSchema { .. } => "newer_schema",
            Self::OtherSchema { .. } => "other_schema",
            Self::Url(_) => "url",
            Self::Setting(_) => "setting",
            Self::Conflict(_) => "conflict",
            Self::Missing(_) => "missing",
            Self::Refused(_) => "refused",
            Self::Value(_) => "value",
            Self::File(_) => "file",
            Self::Full(_) => "full",
            Self::Closed => "closed",
        }
    }

    /// Whether the statement itself is to blame, so that trying again cannot help.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Conflict(_) | Self::Value(_) | Self::Missing(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(told) => of_database(told.as_ref()),
            sqlx::Error::Configuration(why) => Self::Url(why.to_string()),
            sqlx::Error::RowNotFound => Self::Missing("row"),
            sqlx::Error::ColumnDecode { index, source } => Self::Value(format!("column {index}: {source}")),
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. } => Self::Value(error.to_string()),
            sqlx::Error::Encode(why) => Self::Refused(why.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Which failures pass by themselves, which are ours, which are the end.
fn of_database(told: &dyn sqlx::error::DatabaseError) -> StoreError {
    let message = told.message().to_owned();
    let code = told.code().unwrap_or_default();
    // SQLite gives its extended result code as a decimal number, PostgreSQL five letters or digits.
    let sqlite = told.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
    if sqlite {
        return match code.parse::<i32>().unwrap_or(0) & 0xff {
            // perm, busy, locked, no memory, read-only, interrupted, I/O, full, cannot open, protocol
            3 | 5 | 6 | 7 | 8 | 9 | 10 | 13 | 14 | 15 => StoreError::Unavailable(message),
            11 | 26 => StoreError::Corrupt(message),
            19 if told.is_unique_violation() => StoreError::Conflict(message),
            _ => StoreError::Refused(message),
        };
    }
    match code.get(..2).unwrap_or_default() {
        _ if told.is_unique_violation() => StoreError::Conflict(message),
        _ if matches!(code.as_ref(), "XX001" | "XX002") => StoreError::Corrupt(message),
        // connection, wrong password, no such database, read-only or aborted, serialisation, no resources, not ready
        // (locks), operator, system
        "08" | "28" | "3D" | "25" | "40" | "53" | "55" | "57" | "58" | "XX" => StoreError::Unavailable(message),
        _ => StoreError::Refused(message),
    }
}
