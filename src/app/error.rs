//! Why the gateway did not start, or did not end well.

use std::io;

use crate::config::Problem;
use crate::proxy::listen::{ListenError, TlsError};
use crate::telemetry;

/// Why the gateway did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something is wrong with the configuration or the rules.
    #[error("{}", Problem::list(.0))]
    Config(Vec<Problem>),
    /// Logs, metrics or traces.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store, or the audit trail.
    #[error("[store]: {0}")]
    Store(String),
    /// The admin API.
    #[error("[admin]: {0}")]
    Admin(String),
    /// The security operations centre.
    #[error("[soc]: {0}")]
    Soc(String),
    /// A sink of exports.
    #[error("[export]: {0}")]
    Export(String),
    /// The fleet's Redis.
    #[error("[fleet]: {0}")]
    Fleet(String),
    /// The guest.
    #[error("{0}")]
    Guest(String),
    /// A thread, a runtime, a signal handler, the ops listener.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}
