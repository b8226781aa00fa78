//! Which conversation or run a request belongs to.

use std::fmt;
use std::sync::Arc;

use hyper::HeaderMap;

use super::identify::Scope;
use super::tags::{Tag, Tags};
use crate::types::Caller;

/// Longest id of a session that a client may give, in bytes.
const MAX_ID: usize = 256;

/// How much of an opening text counts, in bytes.
const OPENING: usize = 64 << 10;

/// An opening text beyond this counts by its tag, in bytes.
const LONG: usize = 1 << 10;

/// Characters of a session's hash: 62^22 > 2^128.
const SHOWN: usize = 22;

/// What session ids are hashed with. The same on every replica, or one conversation has several sessions.
#[derive(Clone)]
pub struct SessionKey {
    key: [u8; 32],
    tags: Option<Arc<Tags>>,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(***)")
    }
}

impl Default for SessionKey {
    /// Known to everybody: whoever sees session ids could then confirm a guess at how a conversation begins.
    fn default() -> Self {
        Self::new(blake3::derive_key("portcullis 2026-11 sessions without a secret", b""))
    }
}

impl SessionKey {
    /// From a secret of the installation.
    pub fn from_secret(secret: &[u8]) -> Self {
        Self::new(blake3::derive_key("portcullis 2026-11 sessions", secret))
    }

    fn new(key: [u8; 32]) -> Self {
        let tags = Tags::new(&blake3::derive_key("portcullis 2026-11 long openings", &key)).map(Arc::new);
        Self { key, tags }
    }
}

/// The signs of a session, in the order they count. What is empty, too long or holds control characters is no sign.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signs<'a> {
    /// The header `identity.session_header`, if it is there once.
    pub header: Option<&'a str>,
    /// `metadata.session_id` of the body.
    pub metadata: Option<&'a str>,
    /// `conversation` of the body.
    pub conversation: Option<&'a str>,
    /// The session in which `previous_response_id` was issued, from the index of owners.
    pub linked: Option<&'a Arc<str>>,
    /// `previous_response_id` of the body.
    pub previous: Option<&'a str>,
    /// How the conversation begins.
    pub opening: Option<Opening<'a>>,
}

/// How a conversation begins: what stays the same in all its requests.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The system prompt.
    pub system: &'a str,
    /// The first turn of the user.
    pub user: &'a str,
}

/// The value of the session header; `None` if it is missing or there twice.
pub fn session_header<'a>(headers: &'a HeaderMap, name: Option<&str>) -> Option<&'a str> {
    let mut values = headers.get_all(name?).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok().map(str::trim) }
}

/// The session's id as limits, orders and records know it: where it comes from (`hdr:`, `meta:`, `conv:`, `resp:`,
/// `auto:`) and a hash of the caller and what the client gave, so that nobody can join, limit or block the session of
/// another by naming it. `None` if there is no sign.
pub fn session(key: &SessionKey, caller: &Caller, signs: &Signs<'_>) -> Option<Arc<str>> {
    let named = [("hdr", signs.header), ("meta", signs.metadata), ("conv", signs.conversation)];
    for (origin, id) in named {
        if let Some(id) = id.filter(|id| is_id(id)) {
            return Some(shown(key, caller, origin, &[id.as_bytes()]));
        }
    }
    // The index of owners was asked on behalf of this very caller.
    if let Some(linked) = signs.linked {
        return Some(Arc::clone(linked));
    }
    if let Some(id) = signs.previous.filter(|id| is_id(id)) {
        return Some(shown(key, caller, "resp", &[id.as_bytes()]));
    }
    let opening = signs.opening.filter(|opening| !opening.user.is_empty())?;
    let texts = [opening.system, opening.user];
    let texts = texts.map(|text| text.get(..text.floor_char_boundary(OPENING)).unwrap_or_default());
    let [system, user] = texts;
    let [system_tag, user_tag] = texts.map(|text| key.tags.as_ref().filter(|_| text.len() > LONG)?.of(0, text));
    // Whether a part is a text or a tag is said beside it: nobody can write a text that passes for a tag.
    let is_tag = [&system_tag, &user_tag].map(|tag| u8::from(tag.is_some()));
    let parts = [part(system, &system_tag), part(user, &user_tag), &is_tag];
    Some(shown(key, caller, "auto", if is_tag == [0, 0] { &parts[..2] } else { &parts }))
}

fn part<'t>(text: &'t str, tag: &'t Option<Tag>) -> &'t [u8] {
    tag.as_ref().map_or(text.as_bytes(), |tag| tag.as_slice())
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control)
}

fn shown(key: &SessionKey, caller: &Caller, origin: &str, parts: &[&[u8]]) -> Arc<str> {
    let mut hasher = blake3::Hasher::new_keyed(&key.key);
    hasher.update(Scope::of(caller).as_bytes());
    for part in std::iter::once(&origin.as_bytes()).chain(parts) {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part);
    }
    let hash = hasher.finalize();
    let mut number = hash.as_bytes().first_chunk::<16>().map_or(0, |first| u128::from_be_bytes(*first));
    let mut text = String::with_capacity(origin.len().saturating_add(1).saturating_add(SHOWN));
    text.push_str(origin);
    text.push(':');
    for _ in 0..SHOWN {
        let digit = u8::try_from(number % 62).unwrap_or(0);
        number /= 62;
        text.push(char::from(match digit {
            0..=9 => b'0' + digit,
            10..=35 => b'A' + (digit - 10),
            _ => b'a' + (digit - 36),
        }));
    }
    text.into()
}
