//! Who asks.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who asks, as far as the listener and the headers tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The client's address: the peer, or what a trusted proxy says. `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The name of the gateway key that was presented, never the key.
    pub key: Option<Arc<str>>,
    /// The user: the key's name, or a header from a trusted peer.
    pub user: Option<Arc<str>>,
    /// How the user was established.
    pub kind: CallerKind,
}

/// How a caller was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// Nothing but an address.
    Anonymous,
    /// A gateway key.
    Key,
    /// A header set by a peer that the configuration trusts.
    TrustedHeader,
    /// A verified client certificate.
    Certificate,
}
