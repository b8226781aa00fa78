//! Redis: the counters that a fleet shares, and notices from one replica to the others.

mod counters;
mod notices;

pub use counters::{Answer, Ask, Counters, Form, Former, Joining, Level, Member, Told};
pub use notices::{Notice, Notices};

use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, ProtocolVersion};

use crate::types::Secret;

/// Where Redis is.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://` or `rediss://` (TLS). May hold user and password, so it is kept as a secret.
    pub url: Secret,
    /// The user, if not in the URL.
    pub user: Option<String>,
    /// The password, if not in the URL.
    pub password: Option<Secret>,
    /// What every key and channel begins with. It is a hash tag, so on a cluster all keys are on one node.
    pub prefix: String,
    /// The longest a connection may take.
    pub connect_timeout: Duration,
    /// The longest an answer may take, where no shorter limit is named.
    pub answer_timeout: Duration,
}

/// Why Redis did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    /// The URL cannot be used. The URL itself may hold a password, so it is not shown.
    #[error("the address of Redis is not one: {0}")]
    Address(&'static str),
    /// No answer in time.
    #[error("redis did not answer in time")]
    Timeout,
    /// Refused, broken off, or an error from Redis.
    #[error("redis: {0}")]
    Redis(#[from] ::redis::RedisError),
    /// It does not know us: our lease has run out, or its data are gone.
    #[error("redis does not know this replica any more")]
    Stranger,
    /// An answer that is none.
    #[error("redis gave an answer of the wrong shape")]
    Nonsense,
}

/// A client that speaks one version of the protocol; nothing is connected yet.
fn client(options: &RedisOptions, protocol: ProtocolVersion) -> Result<Client, CountersError> {
    // What the library says of a bad URL may quote it.
    let bad = |_| CountersError::Address("it must be like redis://host:6379/0 or rediss://host:6379/0");
    let info = options.url.expose().into_connection_info().map_err(bad)?;
    let mut settings = info.redis_settings().clone().set_protocol(protocol);
    if let Some(user) = &options.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &options.password {
        settings = settings.set_password(password.expose());
    }
    Client::open(info.set_redis_settings(settings)).map_err(bad)
}

/// A connection, within the time allowed.
async fn connect(
    client: &Client,
    options: &RedisOptions,
    config: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, CountersError> {
    let config =
        config.set_connection_timeout(Some(options.connect_timeout)).set_response_timeout(Some(options.answer_timeout));
    let connecting = Box::pin(client.get_multiplexed_async_connection_with_config(&config));
    match tokio::time::timeout(options.connect_timeout, connecting).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(CountersError::Timeout),
    }
}
