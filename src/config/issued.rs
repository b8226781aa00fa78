//! Virtual keys: what one looks like, and the index of those that were handed out.

use std::fmt;
use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::glob;
use crate::types::Secret;

/// What every virtual key begins with.
pub const KEY_PREFIX: &str = "pck_";

/// Random characters of a key: 62^43 > 2^256.
const RANDOM: usize = 43;

/// Characters of its checksum: 62^6 > 2^32.
const CHECK: usize = 6;

/// Characters of a key that may be shown: prefix and four more of its 43.
const SHOWN: usize = KEY_PREFIX.len() + 4;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gave no random bytes")]
pub struct NoRandomness;

/// A key that was just made. This is the only time it is seen whole.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// The key, to be shown once.
    pub secret: Secret,
    /// What is kept of it.
    pub hash: KeyHash,
    /// How it begins, by which people may tell keys apart.
    pub shown: String,
}

/// Makes a key: `pck_`, 43 random characters (256 bits), 6 of checksum (CRC-32 over all before it, as GitHub's tokens have,
/// so that scanners of leaks can tell real ones from look-alikes without asking us).
///
/// # Errors
/// The system gives no random bytes.
pub fn generate_key() -> Result<NewKey, NoRandomness> {
    let mut text = String::with_capacity(KEY_PREFIX.len() + RANDOM + CHECK);
    text.push_str(KEY_PREFIX);
    let mut left = RANDOM;
    while left > 0 {
        let mut bytes = [0_u8; 64];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
        // Bytes from 248 on would make the first characters likelier than the last.
        for byte in bytes.iter().filter(|byte| **byte < 248).take(left) {
            text.push(digit(u32::from(*byte)));
        }
        left = (KEY_PREFIX.len() + RANDOM).saturating_sub(text.len());
    }
    let check = checksum(text.as_bytes());
    text.push_str(&check);
    let hash = KeyHash::of(text.as_bytes());
    let shown = text.chars().take(SHOWN).collect();
    Ok(NewKey { secret: Secret::new(text), hash, shown })
}

/// Whether what a client presents claims to be a virtual key.
pub fn looks_issued(presented: &[u8]) -> bool {
    presented.starts_with(KEY_PREFIX.as_bytes())
}

/// Whether it is one by its form: prefix, length, alphabet and checksum. Costs no lookup.
pub fn is_well_formed(presented: &[u8]) -> bool {
    if !looks_issued(presented) || presented.len() != KEY_PREFIX.len() + RANDOM + CHECK {
        return false;
    }
    if !presented.iter().skip(KEY_PREFIX.len()).all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let Some((body, check)) = presented.split_last_chunk::<CHECK>() else { return false };
    checksum(body).as_bytes() == check
}

fn digit(number: u32) -> char {
    let index = usize::try_from(number % 62).unwrap_or(0);
    BASE62.get(index).map_or('0', |byte| char::from(*byte))
}

/// CRC-32 (IEEE 802.3) in base 62, most significant digit first.
fn checksum(bytes: &[u8]) -> String {
    let mut crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0_u32.wrapping_sub(crc & 1)))
    });
    crc = !crc;
    let mut digits = [0_u32; CHECK];
    for place in digits.iter_mut().rev() {
        *place = crc % 62;
        crc /= 62;
    }
    digits.into_iter().map(digit).collect()
}

/// SHA-256 of a key: what is stored and compared. It is not salted, stretched or keyed: there is nothing to guess in 256
/// random bits, and a slow hash would only make each request slow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// Of a key as a client presents it.
    pub fn of(presented: &[u8]) -> Self {
        Self(Sha256::digest(presented).into())
    }

    /// From the store.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "KeyHash({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

/// What is known of one virtual key. All times are Unix time in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssuedKey {
    /// Its id, never its text.
    pub id: Arc<str>,
    /// The id of the first key of its line: keys that replace it keep this, so that limits, budgets and orders go on.
    pub family: Arc<str>,
    /// Its name, for people.
    pub name: Arc<str>,
    /// Whose it is.
    pub tenant: Option<Arc<str>>,
    /// The team within the tenant.
    pub team: Option<Arc<str>>,
    /// The one user it stands for; `None`: an application's, which may name its users in trusted headers.
    pub user: Option<Arc<str>>,
    /// The agent it was made for.
    pub agent: Option<Arc<str>>,
    /// Patterns (`gpt-4o*`) of the models it may ask; `None`: all.
    pub models: Option<Arc<[Arc<str>]>>,
    /// Not valid before.
    pub not_before: Option<i64>,
    /// Not valid from this moment on.
    pub expires: Option<i64>,
    /// When it was revoked. Whatever the clock says, a revoked key is not valid.
    pub revoked: Option<i64>,
    /// Set where the gateway made it for itself. Keys of the store never have it.
    pub lent: Option<Lent>,
}

/// How requests with a key are treated that the gateway made for itself, for somebody who tries something in the console.
/// Such a key is in memory only and never leaves the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lent {
    /// The policy they get, in place of the one that matches.
    pub policy: Option<Arc<str>>,
    /// Whether what would be enforced is only reported.
    pub monitor: bool,
}

/// Whether a key is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// It is.
    Live,
    /// Not yet.
    NotYet,
    /// Not any more.
    Expired,
    /// It was taken back.
    Revoked,
}

impl IssuedKey {
    /// Whether it is valid at `now`.
    pub fn state(&self, now: i64) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.expires.is_some_and(|expires| now >= expires) {
            KeyState::Expired
        } else if self.not_before.is_some_and(|from| now < from) {
            KeyState::NotYet
        } else {
            KeyState::Live
        }
    }

    /// Whether it may ask `model`.
    pub fn may_ask(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| glob::fits(pattern, model)))
    }
}

/// The virtual keys in force. A copy costs nothing and shares everything, so changing one key among 100,000 costs
/// microseconds: clone, change, publish. Names that many keys share are kept once. Trees, not hash tables: a quarter of
/// the memory, and still found in a fraction of a microsecond.
#[derive(Debug, Clone, Default)]
pub struct IssuedKeys {
    by_hash: OrdMap<KeyHash, Arc<IssuedKey>>,
    by_id: OrdMap<Arc<str>, KeyHash>,
    names: HashMap<Arc<str>, ()>,
    models: HashMap<Arc<[Arc<str>]>, ()>,
}

impl IssuedKeys {
    /// The key whose hash this is, valid or not.
    ///
    /// What timing tells is about the hash of a guess, which says nothing of the key; the final comparison takes the same
    /// time wherever hashes differ.
    pub fn find(&self, hash: &KeyHash) -> Option<&Arc<IssuedKey>> {
        let (known, key) = self.by_hash.get_key_value(hash)?;
        bool::from(known.0.ct_eq(&hash.0)).then_some(key)
    }

    /// The key of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<IssuedKey>> {
        self.by_hash.get(self.by_id.get(id)?)
    }

    /// Puts a key in, in place of one of the same id.
    pub fn put(&mut self, hash: KeyHash, mut key: IssuedKey) {
        for name in [&mut key.tenant, &mut key.team, &mut key.agent].into_iter().flatten() {
            *name = intern(&mut self.names, name);
        }
        key.models = key.models.take().map(|models| intern(&mut self.models, &models));
        if key.family == key.id {
            key.family = Arc::clone(&key.id);
        }
        if key.name == key.id {
            key.name = Arc::clone(&key.id);
        }
        let replaced = self.by_id.insert(Arc::clone(&key.id), hash);
        if let Some(old) = replaced.filter(|old| *old != hash) {
            self.by_hash.remove(&old);
        }
        if let Some(old) = self.by_hash.insert(hash, Arc::new(key)) {
            let now = self.by_hash.get(&hash).map(|key| Arc::clone(&key.id));
            if now.is_some_and(|now| now != old.id) {
                self.by_id.remove(&old.id);
            }
        }
    }

    /// Takes a key out: requests with it are refused as with one that never was.
    pub fn remove(&mut self, id: &str) -> Option<Arc<IssuedKey>> {
        self.by_hash.remove(&self.by_id.remove(id)?)
    }

    /// Revokes a key; `false` if there is none of that id. The first revocation stays.
    pub fn revoke(&mut self, id: &str, at: i64) -> bool {
        self.change(id, |key| key.revoked = key.revoked.or(Some(at)))
    }

    /// Lets a key end at `at`, unless it ends before: what rotation does to the old key after its overlap.
    pub fn end(&mut self, id: &str, at: i64) -> bool {
        self.change(id, |key| key.expires = Some(key.expires.map_or(at, |expires| expires.min(at))))
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut IssuedKey)) -> bool {
        let Some(hash) = self.by_id.get(id).copied() else { return false };
        let Some(key) = self.by_hash.get_mut(&hash) else { return false };
        change(Arc::make_mut(key));
        true
    }

    /// All keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&KeyHash, &Arc<IssuedKey>)> {
        self.by_hash.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_hash.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }
}

impl FromIterator<(KeyHash, IssuedKey)> for IssuedKeys {
    fn from_iter<I: IntoIterator<Item = (KeyHash, IssuedKey)>>(keys: I) -> Self {
        let mut table = Self::default();
        for (hash, key) in keys {
            table.put(hash, key);
        }
        table
    }
}

fn intern<T: ?Sized + std::hash::Hash + Eq>(known: &mut HashMap<Arc<T>, ()>, name: &Arc<T>) -> Arc<T> {
    if let Some((kept, ())) = known.get_key_value(name) {
        return Arc::clone(kept);
    }
    known.insert(Arc::clone(name), ());
    Arc::clone(name)
}
