//! Opening a database, and taking connections for reading and writing from it.

use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, PgPool, SqlitePool};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep};

use super::session::Link;
use super::{Options, Session, StoreError, migrate};
use crate::types::Secret;

/// A statement on a SQLite file waits for nobody but the disk (locks have a limit of their own).
const SQLITE_LIMIT: Duration = Duration::from_secs(10);

/// How long, and how often, a file is asked again that others make at the same time: while they change the kind of its
/// journal it is locked, and SQLite does not wait for that, whatever its time-out.
const LOCKED: Duration = Duration::from_secs(1);
const LOCKED_WAIT: Duration = Duration::from_millis(20);

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file of ours.
    Sqlite,
    /// A server.
    Postgres,
}

impl Backend {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// The database of the gateway. Cloning it shares its connections.
#[derive(Debug, Clone)]
pub struct Database {
    pools: Pools,
    limit: Duration,
    check_max: u64,
    /// Set once the file was checked and the schema is up to date.
    ready: Arc<OnceCell<()>>,
}

#[derive(Debug, Clone)]
enum Pools {
    /// One connection writes, because SQLite lets only one, and waiting in our own queue is fair and cheap.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

impl Database {
    /// Opens the database at `sqlite://path` or `postgres://user:password@host/name?sslmode=verify-full`, makes it where
    /// it does not exist (SQLite: directory 0700, file 0600), and brings its schema up to date.
    ///
    /// # Errors
    /// `Url`; `Corrupt` and `NewerSchema`, which want a person; `Unavailable` and `Timeout`, which may pass.
    pub async fn open(url: &Secret, options: &Options) -> Result<Self, StoreError> {
        let database = Self::lazy(url, options)?;
        database.ready().await?;
        Ok(database)
    }

    /// The database without a word to it: for a start that must not wait for a server that is away. The first `ready`
    /// that succeeds checks it and brings its schema up to date; the `Writer` asks for that by itself.
    ///
    /// # Errors
    /// `Url`; `Unavailable` when a SQLite file cannot be made.
    pub fn lazy(url: &Secret, options: &Options) -> Result<Self, StoreError> {
        let text = url.expose();
        if let Some(path) = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:")) {
            Self::sqlite(Path::new(path), options)
        } else if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            // The message of the parser may quote the URL, and with it the password.
            let connect = PgConnectOptions::from_str(text)
                .map_err(|_| StoreError::Url("write it like postgres://user:password@host:5432/name".to_owned()))?;
            Ok(Self::postgres(connect, options))
        } else {
            Err(StoreError::Url("it begins with sqlite:// or postgres://".to_owned()))
        }
    }

    fn new(pools: Pools, limit: Duration, options: &Options) -> Self {
        Self { pools, limit, check_max: options.check_max, ready: Arc::new(OnceCell::new()) }
    }

    /// Checks the database and brings its schema up to date, once.
    ///
    /// # Errors
    /// As `open`.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.ready
            .get_or_try_init(|| async {
                if matches!(self.backend(), Backend::Postgres) {
                    return migrate::run(self).await;
                }
                let until = Instant::now() + LOCKED;
                loop {
                    match self.prepared().await {
                        Err(StoreError::Unavailable(_)) if Instant::now() < until => sleep(LOCKED_WAIT).await,
                        done => return done,
                    }
                }
            })
            .await
            .copied()
    }

    /// Checks a SQLite file and brings its schema up to date.
    async fn prepared(&self) -> Result<(), StoreError> {
        self.check().await?;
        migrate::run(self).await
    }

    /// Whether `ready` succeeded.
    pub fn is_ready(&self) -> bool {
        self.ready.initialized()
    }

    fn sqlite(path: &Path, options: &Options) -> Result<Self, StoreError> {
        if path.as_os_str().is_empty() || path == Path::new(":memory:") {
            return Err(StoreError::Url(
                "it needs the path of a file: sqlite:///var/lib/portcullis/store.db".to_owned(),
            ));
        }
        prepare(path)?;
        let mut connect = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(options.timeout)
            // 64 MiB of pages in memory, and a checkpoint when the log has 16 MiB: each page is written once for many changes.
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "4000")
            .pragma("temp_store", "memory")
            // The write-ahead log is cut back to this after a checkpoint.
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        if let Some(pages) = options.max_pages {
            connect = connect.pragma("max_page_count", pages.to_string());
        }
        let pool = || SqlitePoolOptions::new().max_lifetime(None).idle_timeout(None).test_before_acquire(false);
        let write = pool().max_connections(1).acquire_timeout(SQLITE_LIMIT).connect_lazy_with(connect.clone());
        let read = pool()
            .max_connections(options.connections.max(1))
            .acquire_timeout(options.timeout.saturating_mul(2))
            .connect_lazy_with(connect.pragma("query_only", "1").pragma("cache_size", "-16384"));
        Ok(Self::new(Pools::Sqlite { write, read }, SQLITE_LIMIT, options))
    }

    fn postgres(connect: PgConnectOptions, options: &Options) -> Self {
        let millis = options.timeout.as_millis().max(1).to_string();
        let connect = connect
            .application_name("portcullis")
            .options([
                ("statement_timeout", millis.as_str()),
                ("lock_timeout", millis.as_str()),
                // A client that froze in a transaction must not hold its locks for ever.
                ("idle_in_transaction_session_timeout", "10000"),
                ("client_min_messages", "warning"),
            ])
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(options.connections.max(2))
            .acquire_timeout(options.timeout)
            .connect_lazy_with(connect);
        Self::new(Pools::Postgres(pool), options.timeout, options)
    }

    /// Which database this is.
    pub const fn backend(&self) -> Backend {
        match self.pools {
            Pools::Sqlite { .. } => Backend::Sqlite,
            Pools::Postgres(_) => Backend::Postgres,
        }
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<Session, StoreError> {
        let link = match &self.pools {
            Pools::Sqlite { read, .. } => Link::Sqlite(read.acquire().await?),
            Pools::Postgres(pool) => Link::Postgres(pool.acquire().await?),
        };
        Ok(Session::new(link, self.limit))
    }

    /// A transaction for writing; `commit` ends it, dropping it rolls it back.
    pub async fn begin(&self) -> Result<Session, StoreError> {
        let mut session = self.write().await?;
        session.begin().await?;
        Ok(session)
    }

    /// A connection for single statements that write.
    pub async fn write(&self) -> Result<Session, StoreError> {
        let link = match &self.pools {
            Pools::Sqlite { write, .. } => Link::Sqlite(write.acquire().await?),
            Pools::Postgres(pool) => Link::Postgres(pool.acquire().await?),
        };
        Ok(Session::new(link, self.limit))
    }

    /// Whether it answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read().await?.rows("SELECT 1", Vec::new()).await.map(drop)
    }

    /// Whether the server is spoken to over TLS; of a file nothing.
    pub async fn encrypted(&self) -> Result<Option<bool>, StoreError> {
        match self.backend() {
            Backend::Sqlite => Ok(None),
            Backend::Postgres => {
                let sql = "SELECT CAST(CASE WHEN ssl THEN 1 ELSE 0 END AS BIGINT) FROM pg_stat_ssl \
                           WHERE pid = pg_backend_pid()";
                self.read().await?.row(sql, Vec::new()).await?.map(|row| row.yes(0)).transpose()
            }
        }
    }

    /// Moves the write-ahead log of a SQLite file into the file, as far as nobody reads what it replaces. SQLite does
    /// that after commits; on a full disk there are none, and the log is what fills it.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        match self.backend() {
            Backend::Sqlite => self.write().await?.rows("PRAGMA wal_checkpoint(TRUNCATE)", Vec::new()).await.map(drop),
            Backend::Postgres => Ok(()),
        }
    }

    /// Closes every connection; waits for those in use, at most a second.
    pub async fn close(&self) {
        let limit = Duration::from_secs(1);
        let closed = match &self.pools {
            Pools::Sqlite { write, read } => {
                tokio::time::timeout(limit, async { tokio::join!(write.close(), read.close()) }).await.map(drop)
            }
            Pools::Postgres(pool) => tokio::time::timeout(limit, pool.close()).await,
        };
        if closed.is_err() {
            tracing::debug!("store connections were still in use when it was closed");
        }
    }

    /// Refuses a damaged file at start rather than in the middle of the night.
    async fn check(&self) -> Result<(), StoreError> {
        let mut session = self.write().await?.within(Duration::from_secs(60));
        let size = session
            .row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", Vec::new())
            .await?
            .map_or(Ok(0), |row| row.count(0))?;
        if size > self.check_max {
            tracing::info!(size, "the database is too large to be checked whole at start");
            return Ok(());
        }
        let told =
            session.row("PRAGMA quick_check(1)", Vec::new()).await?.map_or(Ok(String::new()), |row| row.text(0))?;
        if told == "ok" { Ok(()) } else { Err(StoreError::Corrupt(told)) }
    }
}

/// Makes the directory and the file of a SQLite database for nobody but us.
fn prepare(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let failed =
        |what: &str, why: &std::io::Error| StoreError::Unavailable(format!("{what} {}: {why}", path.display()));
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|why| failed("cannot make the directory of", &why))?;
    }
    if path.exists() {
        return Ok(());
    }
    let made = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map(drop).map_err(|why| failed("cannot make", &why))
}
