//! Content of requests as far as the privacy mode keeps any, sealed at rest when there is a key.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::insert::Insert;
use super::{Database, Options, Row, Session, StoreError, Value};
use crate::types::{Direction, Layout, Secret, hex, unhex};
use crate::values;

/// How much of a text was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentMode {
    /// All of it.
    Full,
    /// All but what was found to be personal or secret.
    Masked,
    /// Its hash.
    Hash,
}

impl ContentMode {
    /// The word in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Masked => "masked",
            Self::Hash => "hash",
        }
    }

    fn of(name: &str) -> Result<Self, StoreError> {
        [Self::Full, Self::Masked, Self::Hash]
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or_else(|| StoreError::Value(format!("`{name}` is no content mode")))
    }
}

/// Content that is ready to be stored, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The request's id.
    pub request: String,
    /// Which way it went.
    pub direction: Cow<'static, str>,
    /// When: Unix time in microseconds.
    pub time: i64,
    /// Whose it is, for erasure.
    pub user: Option<String>,
    /// How much was kept.
    pub mode: ContentMode,
    /// The text, or what it became.
    pub body: Body,
    /// Where the texts of a prompt lie in it, as `Layout::written`; absent for answers, hashes, and what was stored
    /// before there were layouts.
    #[serde(default)]
    pub layout: Option<String>,
}

impl Content {
    /// The same with the layout of its text.
    #[must_use]
    pub fn laid_out(mut self, layout: Option<&Layout>) -> Self {
        self.layout = layout.map(Layout::written);
        self
    }
}

/// A text as it lies in the store.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Readable by whoever reads the store.
    Plain(String),
    /// AES-256-GCM: nonce, then ciphertext and tag.
    Sealed {
        /// Which key, by the beginning of its hash.
        key: String,
        /// Nonce, ciphertext, tag.
        bytes: Vec<u8>,
    },
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => write!(f, "Plain({} bytes)", text.len()),
            Self::Sealed { key, bytes } => write!(f, "Sealed({} bytes, key {key})", bytes.len()),
        }
    }
}

/// Seals and opens content; without a key it keeps it as it is.
pub struct Vault {
    /// The one to seal with, and after it those of old.
    keys: Vec<(String, LessSafeKey)>,
    seals: bool,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keys", &self.keys.len()).field("seals", &self.seals).finish()
    }
}

impl Vault {
    /// With the keys of the options.
    ///
    /// # Errors
    /// `Setting` when one is not 32 bytes as hex or base64.
    pub fn new(options: &Options) -> Result<Self, StoreError> {
        let all = options.content_key.iter().chain(&options.old_content_keys);
        let keys = all.map(key_of).collect::<Result<_, _>>()?;
        Ok(Self { keys, seals: options.content_key.is_some() })
    }

    /// Content that is ready to be stored; sealed if there is a key. `text` is already reduced to what `mode` says.
    ///
    /// # Errors
    /// `Setting` when the machine gives no random numbers.
    pub fn seal(
        &self,
        (request, direction): (&str, Direction),
        time: i64,
        user: Option<&str>,
        mode: ContentMode,
        text: &str,
    ) -> Result<Content, StoreError> {
        let body = match self.keys.first().filter(|_| self.seals) {
            None => Body::Plain(text.to_owned()),
            Some((id, key)) => {
                let failed = |_| StoreError::Setting("content could not be encrypted".to_owned());
                let mut nonce = [0; NONCE_LEN];
                rand::fill(&mut nonce).map_err(failed)?;
                let mut sealed = text.as_bytes().to_vec();
                let about = about(request, direction.name());
                key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut sealed)
                    .map_err(failed)?;
                Body::Sealed { key: id.clone(), bytes: [nonce.as_slice(), &sealed].concat() }
            }
        };
        let direction = direction.name().into();
        Ok(Content {
            request: request.to_owned(),
            direction,
            time,
            user: user.map(str::to_owned),
            mode,
            body,
            layout: None,
        })
    }

    /// The text of stored content.
    ///
    /// # Errors
    /// `Missing` when its key is not among ours; `Value` when it was changed, or moved to another request.
    pub fn open(&self, content: &Content) -> Result<String, StoreError> {
        let (id, bytes) = match &content.body {
            Body::Plain(text) => return Ok(text.clone()),
            Body::Sealed { key, bytes } => (key, bytes),
        };
        let (_, key) = self.keys.iter().find(|(known, _)| known == id).ok_or(StoreError::Missing("content key"))?;
        let changed = || StoreError::Value("sealed content was changed, or belongs to another request".to_owned());
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or_else(changed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| changed())?;
        let mut sealed = sealed.to_vec();
        let about = about(&content.request, &content.direction);
        let text = key.open_in_place(nonce, Aad::from(about), &mut sealed).map_err(|_| changed())?;
        String::from_utf8(text.to_vec()).map_err(|_| changed())
    }
}

/// What sealed content is bound to, so that it cannot be shown as that of another request.
fn about(request: &str, direction: &str) -> Vec<u8> {
    [request, "\n", direction].concat().into_bytes()
}

fn key_of(secret: &Secret) -> Result<(String, LessSafeKey), StoreError> {
    let wrong = || StoreError::Setting("a content key is 32 bytes, written as 64 hex digits or as base64".to_owned());
    let bytes = decode(secret.expose().trim()).filter(|bytes| bytes.len() == 32).ok_or_else(wrong)?;
    let id = hex(Sha256::digest(&bytes).first_chunk::<4>().map_or(&[], |first| first.as_slice()));
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| wrong())?;
    Ok((id, LessSafeKey::new(key)))
}

/// Hex of the right length, or else base64 of either alphabet, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    if let Some(bytes) = unhex::<32>(&text.to_ascii_lowercase()) {
        return Some(bytes.to_vec());
    }
    let mut bytes = Vec::with_capacity(32);
    let (mut held, mut bits) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter.wrapping_sub(b'A'),
            b'a'..=b'z' => letter.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => letter.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits = bits.saturating_add(6);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

static INSERT: Insert = Insert::new(
    "INSERT INTO contents (request, direction, time, user_, mode, body, sealed, key_id, layout)",
    9,
    "ON CONFLICT (request, direction) DO NOTHING",
);

pub(super) async fn insert(session: &mut Session, contents: &[&Content]) -> Result<(), StoreError> {
    let row = |content: &&Content| -> Vec<Value> {
        let (body, sealed, key) = match &content.body {
            Body::Plain(text) => (Some(text.clone()), None, None),
            Body::Sealed { key, bytes } => (None, Some(bytes.clone()), Some(key.clone())),
        };
        let mode = content.mode.name();
        values![
            content.request.clone(),
            &content.direction,
            content.time,
            content.user.clone(),
            mode,
            body,
            sealed,
            key,
            content.layout.clone(),
        ]
    };
    INSERT.run(session, contents.iter().map(row).collect()).await.map(drop)
}

impl Database {
    /// What is kept of a request's texts, the prompt first.
    pub async fn contents(&self, request: &str) -> Result<Vec<Content>, StoreError> {
        let sql = "SELECT request, direction, time, user_, mode, body, sealed, key_id, layout FROM contents \
                   WHERE request = $1 ORDER BY direction LIMIT 2";
        let rows = self.read().await?.rows(sql, values![request.to_owned()]).await?;
        rows.iter().map(content_of).collect()
    }

    /// Prompts whose words are kept, whole or with marks, from `since` on and the newest first.
    pub async fn recent_prompts(&self, since: i64, limit: u32) -> Result<Vec<Content>, StoreError> {
        let sql = "SELECT request, direction, time, user_, mode, body, sealed, key_id, layout FROM contents \
                   WHERE time >= $1 AND direction = 'input' AND mode <> 'hash' ORDER BY time DESC LIMIT $2";
        let rows = self.read().await?.rows(sql, values![since, limit]).await?;
        rows.iter().map(content_of).collect()
    }
}

/// Of the columns `request, direction, time, user_, mode, body, sealed, key_id, layout`, from the first one on.
pub(super) fn content_of(row: &Row) -> Result<Content, StoreError> {
    Ok(Content {
        request: row.text(0)?,
        direction: row.text(1)?.into(),
        time: row.int(2)?,
        user: row.maybe_text(3)?,
        mode: ContentMode::of(&row.text(4)?)?,
        body: match row.maybe_text(7)? {
            Some(key) => Body::Sealed { key, bytes: row.bytes(6)? },
            None => Body::Plain(row.text(5)?),
        },
        layout: row.maybe_text(8)?,
    })
}
