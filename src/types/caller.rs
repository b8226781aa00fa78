//! Who asks.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who asks, as far as listener, headers and credentials tell. What a credential says counts more than what a client
/// says of itself: only `session` and `agent` may be the client's own words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Caller {
    /// The client's address: the peer, or what a trusted proxy says. `None` on a Unix socket.
    pub address: Option<IpAddr>,
    /// The organisation, from the key or the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Arc<str>>,
    /// The team within it, from the key or the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<Arc<str>>,
    /// The id or name of the gateway key that was presented, never the key.
    pub key: Option<Arc<str>>,
    /// The user: the key's, the token's, the certificate's, or a header from a trusted peer.
    pub user: Option<Arc<str>>,
    /// The groups a token names.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub groups: Arc<[Arc<str>]>,
    /// The conversation or run: from a header, the body, or a hash of how the conversation begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<str>>,
    /// The agent or application, from the key or as the client names itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Arc<str>>,
    /// How the user was established.
    pub kind: CallerKind,
}

impl Caller {
    /// What it counts as where callers are told apart: its user, else its key, else its address, of IPv6 the /64.
    pub fn known_as(&self) -> String {
        match (self.user_of_tenant(), &self.key, self.address.map(|address| address.to_canonical())) {
            (Some(user), _, _) => format!("user\0{user}"),
            (None, Some(key), _) => format!("key\0{key}"),
            (None, None, Some(IpAddr::V6(address))) => format!("net\0{:x}", address.to_bits() >> 64),
            (None, None, Some(IpAddr::V4(address))) => format!("net\0{address}"),
            (None, None, None) => String::new(),
        }
    }

    /// The user, told apart from users of other tenants that have the same name.
    pub fn user_of_tenant(&self) -> Option<Arc<str>> {
        let user = self.user.as_ref()?;
        Some(match &self.tenant {
            None => Arc::clone(user),
            Some(tenant) => format!("{tenant}\0{user}").into(),
        })
    }
}

/// How a caller was established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerKind {
    /// Nothing but an address.
    #[default]
    Anonymous,
    /// A gateway key.
    Key,
    /// A signed bearer token (JWT).
    Token,
    /// A header set by a peer that the configuration trusts.
    TrustedHeader,
    /// A verified client certificate.
    Certificate,
}
