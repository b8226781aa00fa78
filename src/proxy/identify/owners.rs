//! Whose the ids are that a provider issued: kept as keyed hashes, bounded.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use blake3::hazmat::{ContextKey, HasherExt as _, hash_derive_key_context};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::config::identity_settings::IdsBelongTo;
use crate::types::Caller;

/// Longest id that is remembered or looked for, in bytes.
const MAX_ID: usize = 512;

/// A caller as owner: a hash of what makes them one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scope([u8; 32]);

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

impl Scope {
    /// The caller alone: tenant, key and user; of an anonymous caller the address (of IPv6 the network of 64 bits).
    pub fn of(caller: &Caller) -> Self {
        let parts = [&caller.tenant, &caller.key, &caller.user].map(Option::as_deref);
        if parts.iter().all(Option::is_none) {
            let address = caller.address.map(|address| network(address).to_string());
            return Self::hash("address", &[address.as_deref()]);
        }
        Self::hash("caller", &parts)
    }

    /// Those who may use the caller's ids. A caller without a team or tenant has them alone.
    pub fn sharing(caller: &Caller, with: IdsBelongTo) -> Self {
        let (tenant, team) = (caller.tenant.as_deref(), caller.team.as_deref());
        match with {
            IdsBelongTo::Tenant if tenant.is_some() => Self::hash("tenant", &[tenant]),
            IdsBelongTo::Team if team.is_some() => Self::hash("team", &[tenant, team]),
            IdsBelongTo::Tenant | IdsBelongTo::Team | IdsBelongTo::Caller => Self::of(caller),
        }
    }

    /// The hash itself, for the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From the store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Each part with its length, so that no two lists of parts are the same text.
    fn hash(kind: &str, parts: &[Option<&str>]) -> Self {
        /// Derived once: it takes as long as the hash itself.
        static CONTEXT: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("portcullis 2026-11 caller scope"));
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT);
        for part in std::iter::once(&Some(kind)).chain(parts) {
            let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX));
            hasher.update(&length.to_le_bytes());
            hasher.update(part.unwrap_or_default().as_bytes());
        }
        Self(*hasher.finalize().as_bytes())
    }
}

/// What counts as one address: IPv6 clients own a /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// A keyed hash of an id: what is remembered and stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdHash(pub [u8; 16]);

/// Whose an id is, to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// The caller's; with the session it was issued in.
    Mine {
        /// The session.
        session: Option<Arc<str>>,
    },
    /// Somebody else's.
    Theirs,
    /// Nobody is known to own it.
    Unknown,
}

#[derive(Debug, Clone)]
struct Owner {
    scope: Scope,
    session: Option<Arc<str>>,
}

/// Whose ids are. Shared by all workers, outside the Snapshot.
#[derive(Clone)]
pub struct OwnerIndex {
    owners: Option<Cache<IdHash, Owner>>,
    key: [u8; 32],
}

impl fmt::Debug for OwnerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerIndex").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl OwnerIndex {
    /// For so many ids; 0: none, and every id is unknown. `key` must be the same wherever the hashes are shared: in the
    /// store, between replicas.
    pub fn new(capacity: usize, key: [u8; 32]) -> Self {
        let owners = (capacity > 0).then(|| {
            let capacity = u64::try_from(capacity).unwrap_or(u64::MAX);
            Cache::builder().max_capacity(capacity).eviction_policy(EvictionPolicy::lru()).build()
        });
        Self { owners, key }
    }

    /// The hash of an id; `None` for what is too long to be one.
    pub fn hash(&self, id: &str) -> Option<IdHash> {
        if id.is_empty() || id.len() > MAX_ID {
            return None;
        }
        let hash = blake3::keyed_hash(&self.key, id.as_bytes());
        hash.as_bytes().first_chunk::<16>().map(|first| IdHash(*first))
    }

    /// Remembers that an id was issued. The first owner stays. `true` if it is news, which the store should hear of.
    pub fn issued(&self, id: &str, scope: Scope, session: Option<&Arc<str>>) -> bool {
        self.hash(id).is_some_and(|hash| self.put(hash, scope, session.cloned()))
    }

    /// As [`OwnerIndex::issued`], for what the store or another replica remembers.
    pub fn put(&self, hash: IdHash, scope: Scope, session: Option<Arc<str>>) -> bool {
        let Some(owners) = &self.owners else { return false };
        owners.entry(hash).or_insert_with(|| Owner { scope, session }).is_fresh()
    }

    /// Whose an id is.
    pub fn check(&self, id: &str, scope: Scope) -> Ownership {
        let owner = self.owners.as_ref().and_then(|owners| owners.get(&self.hash(id)?));
        match owner {
            Some(owner) if owner.scope == scope => Ownership::Mine { session: owner.session },
            Some(_) => Ownership::Theirs,
            None => Ownership::Unknown,
        }
    }

    /// How many ids are remembered, about.
    pub fn len(&self) -> u64 {
        self.owners.as_ref().map_or(0, Cache::entry_count)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
