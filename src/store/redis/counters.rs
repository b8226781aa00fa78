//! The counters of a fleet: one script reserves, one tells what became of it. Time is Redis' own.
//!
//! A bucket is a hash: what was used (`l`), when that was right (`t`, microseconds) or of which period it is (`p`), and
//! for each replica what it holds. A replica holds as long as it is alive: `members` has the time its lease ends.
//! `told` has the number of each replica's last message, so that none counts twice.

use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, ProtocolVersion, Script, ScriptInvocation};

use super::{CountersError, RedisOptions, client, connect};

const PRELUDE: &str = include_str!("prelude.lua");
const JOIN: &str = include_str!("join.lua");
const RESERVE: &str = include_str!("reserve.lua");
const TELL: &str = include_str!("tell.lua");

/// How long a bucket outlives what it has to remember, in seconds: reservations that last longer without using
/// anything are forgotten with it.
const SPARE: u64 = 3600;

/// How a bucket empties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A level that leaks `limit` per `window` (microseconds).
    Rate {
        /// Units.
        limit: u64,
        /// Microseconds.
        window: u64,
    },
    /// A counter per period; a later period has a larger number.
    Budget {
        /// Units.
        limit: u64,
        /// Which period.
        period: i64,
        /// Seconds a period may last.
        lasts: u64,
    },
    /// So many at a time.
    Concurrent {
        /// The most.
        limit: u64,
    },
}

impl Form {
    /// The period, of budgets.
    pub fn period(self) -> Option<i64> {
        match self {
            Self::Budget { period, .. } => Some(period),
            Self::Rate { .. } | Self::Concurrent { .. } => None,
        }
    }
}

/// A charge to be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The bucket's name.
    pub key: String,
    /// How it empties.
    pub form: Form,
    /// How much.
    pub amount: u64,
    /// Used at once instead of held.
    pub at_once: bool,
}

/// Whether all charges fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All do: the levels with them.
    Admitted(Vec<Level>),
    /// Not all: the levels without them.
    Refused(Vec<Level>),
}

/// A bucket's numbers, of all replicas together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Used.
    pub used: u64,
    /// Held.
    pub held: u64,
}

/// What became of a bucket here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The bucket's name.
    pub key: String,
    /// How it empties.
    pub form: Form,
    /// Used since the last message; negative when an estimate was too high.
    pub charge: i64,
    /// Held more, or less, since the last message.
    pub hold: i64,
    /// What has been used at least.
    pub least: u64,
}

/// What Redis says to someone who joins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joining {
    /// Its clock, microseconds since 1970.
    pub now: u64,
    /// Whether the last message under the old identity had arrived.
    pub arrived: bool,
    /// Whether it has forgotten things it had acknowledged.
    pub lost: bool,
}

/// The way to the counters.
#[derive(Debug, Clone)]
pub struct Counters {
    client: Client,
    options: RedisOptions,
    scripts: Arc<Scripts>,
}

#[derive(Debug)]
struct Scripts {
    join: Script,
    reserve: Script,
    tell: Script,
    members: String,
    told: String,
    prefix: String,
}

/// One replica under one identity, connected.
#[derive(Debug, Clone)]
pub struct Member {
    connection: MultiplexedConnection,
    scripts: Arc<Scripts>,
    id: Arc<str>,
}

/// The identity a replica had before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Former {
    /// Its id; empty when there was none.
    pub id: Arc<str>,
    /// The number of the last message that was acknowledged.
    pub acknowledged: u64,
    /// The number of the last message that was sent.
    pub sent: u64,
}

impl Counters {
    /// Not connected yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(options: RedisOptions) -> Result<Self, CountersError> {
        let script = |body: &str| Script::new(&format!("{PRELUDE}\n{body}"));
        let scripts = Scripts {
            join: script(JOIN),
            reserve: script(RESERVE),
            tell: script(TELL),
            members: format!("{{{}}}:members", options.prefix),
            told: format!("{{{}}}:told", options.prefix),
            prefix: format!("{{{}}}:b:", options.prefix),
        };
        Ok(Self { client: client(&options, ProtocolVersion::RESP2)?, options, scripts: Arc::new(scripts) })
    }

    /// Connects and takes a new identity. What was held under the former one stays until `leave`.
    ///
    /// # Errors
    /// When Redis cannot be reached or answers with an error.
    pub async fn join(&self, former: &Former, lease: Duration) -> Result<(Member, Joining), CountersError> {
        let connection = connect(&self.client, &self.options, AsyncConnectionConfig::new()).await?;
        let member =
            Member { connection, scripts: Arc::clone(&self.scripts), id: Arc::from(uuid::Uuid::now_v7().to_string()) };
        let mut call = self.scripts.join.key(&self.scripts.members);
        call.key(&self.scripts.told).arg(&*member.id).arg(micros(lease));
        call.arg(&*former.id).arg(former.acknowledged).arg(former.sent);
        let answer = member.call(&call).await?;
        let &[1, now, arrived, lost] = answer.as_slice() else { return Err(CountersError::Nonsense) };
        Ok((member, Joining { now: unsigned(now), arrived: arrived == 1, lost: lost == 1 }))
    }
}

impl Member {
    /// Its id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Reserves all or nothing, in one round trip.
    ///
    /// # Errors
    /// When Redis cannot be reached, answers with an error, or does not know this member any more.
    pub async fn reserve(&self, asks: &[Ask]) -> Result<Answer, CountersError> {
        let mut call = self.scripts.reserve.key(&self.scripts.members);
        call.arg(&*self.id);
        for ask in asks {
            call.key(self.name(&ask.key));
            let (kind, limit, span) = parts(ask.form);
            call.arg(kind).arg(limit).arg(span).arg(lasts(ask.form)).arg(ask.amount).arg(u8::from(ask.at_once));
        }
        let answer = self.call(&call).await?;
        let (&[verdict, _], levels) = answer.split_first_chunk().ok_or(CountersError::Nonsense)?;
        let levels: Vec<Level> = levels
            .as_chunks()
            .0
            .iter()
            .map(|&[used, held]| Level { used: unsigned(used), held: unsigned(held) })
            .collect();
        match verdict {
            _ if levels.len() != asks.len() => Err(CountersError::Nonsense),
            1 => Ok(Answer::Admitted(levels)),
            0 => Ok(Answer::Refused(levels)),
            _ => Err(CountersError::Nonsense),
        }
    }

    /// Message number `seq`: what was used and is held since the one before. Renews the lease. Gives Redis' clock in
    /// microseconds and what has been used of each bucket by all.
    ///
    /// # Errors
    /// As `reserve`, and when a message before this one is missing.
    pub async fn tell(&self, seq: u64, lease: Duration, told: &[Told]) -> Result<(u64, Vec<u64>), CountersError> {
        let mut call = self.scripts.tell.key(&self.scripts.members);
        call.key(&self.scripts.told).arg(&*self.id).arg(micros(lease)).arg(seq);
        for told in told {
            call.key(self.name(&told.key));
            let (kind, limit, span) = parts(told.form);
            call.arg(kind).arg(limit).arg(span).arg(lasts(told.form));
            call.arg(told.charge).arg(told.hold).arg(told.least);
        }
        let answer = self.call(&call).await?;
        let (&[1, now], used) = answer.split_first_chunk().ok_or(CountersError::Nonsense)? else {
            return Err(CountersError::Nonsense);
        };
        if used.len() != told.len() {
            return Err(CountersError::Nonsense);
        }
        Ok((unsigned(now), used.iter().copied().map(unsigned).collect()))
    }

    /// Gives up everything that an identity holds.
    ///
    /// # Errors
    /// When Redis cannot be reached or answers with an error.
    pub async fn leave(&self, id: &str) -> Result<(), CountersError> {
        let mut connection = self.connection.clone();
        let gone: i64 = ::redis::cmd("HDEL").arg(&self.scripts.members).arg(id).query_async(&mut connection).await?;
        tracing::debug!(gone, "an identity has left the fleet");
        Ok(())
    }

    async fn call(&self, call: &ScriptInvocation<'_>) -> Result<Vec<i64>, CountersError> {
        let mut connection = self.connection.clone();
        let answer: Vec<i64> = call.invoke_async(&mut connection).await?;
        if answer.first() == Some(&-1) { Err(CountersError::Stranger) } else { Ok(answer) }
    }

    fn name(&self, key: &str) -> String {
        let mut name = String::with_capacity(self.scripts.prefix.len() + key.len());
        name.push_str(&self.scripts.prefix);
        name.push_str(key);
        name
    }
}

/// As the scripts read it: the kind, the limit, and window or period.
fn parts(form: Form) -> (&'static str, u64, i64) {
    match form {
        Form::Rate { limit, window } => ("r", limit, i64::try_from(window).unwrap_or(i64::MAX)),
        Form::Budget { limit, period, .. } => ("b", limit, period),
        Form::Concurrent { limit } => ("c", limit, 0),
    }
}

/// Seconds after which a bucket that nobody touches may be forgotten.
fn lasts(form: Form) -> u64 {
    let needed = match form {
        // A level reaches at most twice the limit.
        Form::Rate { window, .. } => (window / 1_000_000).saturating_mul(2),
        Form::Budget { lasts, .. } => lasts,
        Form::Concurrent { .. } => 0,
    };
    needed.saturating_add(SPARE)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
