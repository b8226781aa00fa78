//! From an entry to a link of the chain, and back: what is hashed, and what stands beside it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::canonical;
use super::entry::Entry;
use crate::types::hex;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What the first record of a chain follows.
pub const GENESIS: Hash = [0; 32];

/// The version of a record's form, part of it.
const VERSION: i64 = 1;

/// Where a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of its last record; 0 when there is none.
    pub seq: i64,
    /// That record's hash.
    pub hash: Hash,
}

impl Head {
    /// The end of a chain that has no record yet.
    pub const EMPTY: Self = Self { seq: 0, hash: GENESIS };
}

/// A record in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number; the first is 1 and none is left out.
    pub seq: i64,
    /// Its canonical JSON, without the personal part.
    pub body: String,
    /// `SHA-256(hash of the record before || body)`.
    pub hash: Hash,
    /// What the body only commits to.
    pub personal: Option<Personal>,
}

/// The part of a record that can be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Personal {
    /// 32 random bytes: without them, the commitment would tell what it commits to to anyone who guesses.
    pub salt: Hash,
    /// Its canonical JSON.
    pub body: String,
    /// The user it is about: what erasure looks for.
    pub subject: Option<String>,
}

/// Puts `entry` at the end of a chain; `replica` says who did.
pub fn link(head: &Head, entry: &Entry, replica: &str, salt: &Hash) -> Link {
    let seq = head.seq.saturating_add(1);
    let personal = (!entry.personal.is_empty()).then(|| {
        let mut body = String::new();
        canonical::object(&mut body, &entry.personal);
        let subject = entry.personal.get("user").and_then(Value::as_str).map(str::to_owned);
        Personal { salt: *salt, body, subject }
    });
    let body = body(seq, entry, replica, personal.as_ref());
    let hash = hash(&head.hash, body.as_bytes());
    Link { seq, body, hash, personal }
}

/// The canonical JSON of a record: its keys are written in their order.
fn body(seq: i64, entry: &Entry, replica: &str, personal: Option<&Personal>) -> String {
    let mut out = String::with_capacity(384);
    out.push_str("{\"actor\":");
    canonical::text(&mut out, &entry.actor);
    if let Some(personal) = personal {
        out.push_str(",\"commitment\":\"");
        out.push_str(&hex(&commitment(&personal.salt, personal.body.as_bytes())));
        out.push('"');
    }
    out.push_str(",\"details\":");
    canonical::object(&mut out, &entry.details);
    out.push_str(",\"id\":");
    canonical::text(&mut out, &entry.id);
    out.push_str(",\"kind\":");
    canonical::text(&mut out, entry.kind.name());
    out.push_str(",\"object\":");
    canonical::text(&mut out, &entry.object);
    out.push_str(",\"outcome\":");
    canonical::text(&mut out, entry.outcome.name());
    out.push_str(",\"replica\":");
    canonical::text(&mut out, replica);
    if let Some(request) = &entry.request {
        out.push_str(",\"request\":");
        canonical::text(&mut out, request);
    }
    out.push_str(",\"seq\":");
    canonical::integer(&mut out, seq);
    out.push_str(",\"time\":");
    canonical::integer(&mut out, entry.time);
    out.push_str(",\"v\":");
    canonical::integer(&mut out, VERSION);
    out.push('}');
    out
}

/// The hash of a record that follows one with the hash `before`.
pub fn hash(before: &Hash, body: &[u8]) -> Hash {
    Sha256::new().chain_update(before).chain_update(body).finalize().into()
}

/// The hash of `bytes` alone.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// What a record says of its personal part.
pub fn commitment(salt: &Hash, personal: &[u8]) -> Hash {
    Sha256::new().chain_update(salt).chain_update(personal).finalize().into()
}

/// A record's body, read. Texts are borrowed where they have no escapes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Body<'a> {
    /// Who did it: the id of an account or key, or a part of the gateway.
    #[serde(borrow)]
    pub actor: Cow<'a, str>,
    /// The hash (hex) of salt and personal part.
    #[serde(borrow, default)]
    pub commitment: Option<Cow<'a, str>>,
    /// The entry's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// What kind of thing happened.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// To what.
    #[serde(borrow)]
    pub object: Cow<'a, str>,
    /// How it went.
    #[serde(borrow)]
    pub outcome: Cow<'a, str>,
    /// Which replica wrote it.
    #[serde(borrow)]
    pub replica: Cow<'a, str>,
    /// The request it is about.
    #[serde(borrow, default)]
    pub request: Option<Cow<'a, str>>,
    /// Its number.
    #[serde(deserialize_with = "integer")]
    pub seq: i64,
    /// When: Unix time in microseconds.
    #[serde(deserialize_with = "integer")]
    pub time: i64,
}

impl<'a> Body<'a> {
    /// Reads a record's body; `None` if it is none.
    pub fn read(body: &'a str) -> Option<Self> {
        serde_json::from_str(body).ok()
    }
}

/// The details of a record's body.
pub fn details(body: &str) -> Map<String, Value> {
    #[derive(Deserialize)]
    struct Only {
        details: Map<String, Value>,
    }
    serde_json::from_str::<Only>(body).map(|only| only.details).unwrap_or_default()
}

/// An integer as canonical JSON writes it: digits, or a text of digits.
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Digits;
    impl Visitor<'_> for Digits {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an integer")
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(E::custom)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
            text.parse().map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Digits)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::entry::{Kind, Outcome};
    use super::*;

    fn entry() -> Entry {
        Entry::new(Kind::Login, "acc_1", "session")
            .at(1_700_000_000_000_000)
            .outcome(Outcome::Failure)
            .request("req_1")
            .detail("reason", "wrong password")
            .personal("user", "zoë\u{0}\u{1f600}")
            .personal("address", "2001:db8::1")
    }

    #[test]
    fn a_body_is_canonical_and_reads_back() {
        let link = link(&Head::EMPTY, &entry(), "replica-1", &[7; 32]);
        let value: Value = serde_json::from_str(&link.body).unwrap();
        assert_eq!(canonical::to_string(&value), link.body);
        let body = Body::read(&link.body).unwrap();
        assert_eq!((body.seq, &*body.kind, &*body.actor, &*body.outcome), (1, "login", "acc_1", "failure"));
        assert_eq!(details(&link.body), *json!({"reason": "wrong password"}).as_object().unwrap());
        assert!(!link.body.contains("zo"), "the personal part is not in the chain");
    }

    #[test]
    fn times_beyond_what_json_numbers_hold_survive() {
        for time in [i64::MIN, i64::MAX, 1_763_719_507_123_456_789, -1, 0] {
            let link = link(&Head::EMPTY, &entry().at(time), "r", &[0; 32]);
            assert_eq!(Body::read(&link.body).unwrap().time, time);
        }
    }

    #[test]
    fn the_commitment_is_over_salt_and_personal_part() {
        let link = link(&Head::EMPTY, &entry(), "r", &[7; 32]);
        let personal = link.personal.unwrap();
        let body = Body::read(&link.body).unwrap();
        assert_eq!(body.commitment.as_deref(), Some(&*hex(&commitment(&personal.salt, personal.body.as_bytes()))));
        assert_eq!(personal.subject.as_deref(), Some("zoë\u{0}\u{1f600}"));
    }
}
