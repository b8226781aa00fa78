//! Random secrets of the admin API: API tokens, session cookies, the setup token. The store sees their SHA-256 only.

use aws_lc_rs::rand;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::ApiError;
use crate::types::{Secret, hex};

/// What an API token begins with.
pub const TOKEN_PREFIX: &str = "pct_";
/// What the one-time token for the first administrator begins with.
pub const SETUP_PREFIX: &str = "pcs_";
/// Characters of 256 bits in base 62.
const BODY: usize = 43;
/// Characters of the checksum: 32 bits in base 62.
const CHECKSUM: usize = 6;
/// How much of a token is shown afterwards, so that people can tell two apart.
const SHOWN: usize = 10;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A fresh secret.
#[derive(Debug)]
pub struct Minted {
    /// The secret itself, shown once.
    pub secret: Secret,
    /// What the store keeps.
    pub hash: String,
    /// Its first characters.
    pub shown: String,
}

/// `prefix`, 256 random bits and a checksum by which leak scanners tell real ones from look-alikes.
pub fn mint(prefix: &str) -> Result<Minted, ApiError> {
    let text = format!("{prefix}{}", base62(&random()?, BODY));
    let text = format!("{text}{}", checksum(&text));
    let shown = text.chars().take(SHOWN).collect();
    Ok(Minted { hash: hash(&text), shown, secret: Secret::new(text) })
}

/// Whether `text` has the form and the checksum of a secret with that prefix: what has not is refused before any look-up.
pub fn well_formed(prefix: &str, text: &str) -> bool {
    let Some(rest) = text.strip_prefix(prefix) else { return false };
    if rest.len() != BODY + CHECKSUM || !rest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    text.split_at_checked(prefix.len() + BODY).is_some_and(|(body, sum)| same(&checksum(body), sum))
}

/// The secret of a session: 256 random bits in hex.
pub fn session_secret() -> Result<String, ApiError> {
    Ok(hex(&random()?))
}

/// The CSRF token of a session. It follows from the session's secret, so nothing more has to be kept, and tells nothing
/// of it.
pub fn csrf(session: &str) -> String {
    hex(blake3::derive_key("portcullis admin session csrf 1", session.as_bytes()).as_slice())
}

/// SHA-256 in hex. The secrets have 256 random bits each, so a slow hash would add nothing.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

/// Compares in a time that does not depend on where they differ.
pub fn same(left: &str, right: &str) -> bool {
    left.as_bytes().ct_eq(right.as_bytes()).into()
}

fn random() -> Result<[u8; 32], ApiError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|error| ApiError::internal(&error))?;
    Ok(bytes)
}

fn checksum(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    base62(digest.first_chunk::<4>().map_or(&[], |first| first.as_slice()), CHECKSUM)
}

/// A big-endian number in base 62, with leading zeros up to `length` digits.
fn base62(bytes: &[u8], length: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits: Vec<u8> = (0..length)
        .map(|_| {
            let rest = number.iter_mut().fold(0_u32, |rest, byte| {
                let value = (rest << 8) | u32::from(*byte);
                *byte = u8::try_from(value / 62).unwrap_or(0);
                value % 62
            });
            usize::try_from(rest).ok().and_then(|rest| ALPHABET.get(rest)).copied().unwrap_or(b'0')
        })
        .collect();
    digits.reverse();
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_form_and_no_other_text_has() {
        let minted = mint(TOKEN_PREFIX).unwrap();
        let token = minted.secret.expose();
        assert_eq!(token.len(), 4 + 43 + 6);
        assert!(well_formed(TOKEN_PREFIX, token));
        assert!(!well_formed(SETUP_PREFIX, token));
        assert!(!well_formed(TOKEN_PREFIX, token.get(..52).unwrap()));
        for at in 0..token.len() {
            let mut other = token.as_bytes().to_vec();
            other[at] ^= 1;
            assert!(!well_formed(TOKEN_PREFIX, &String::from_utf8_lossy(&other)), "{at}");
        }
        for other in ["", "pct_", "pct_' OR 1=1 --", "pct_\0", &"pct_ä".repeat(20)] {
            assert!(!well_formed(TOKEN_PREFIX, other), "{other:?}");
        }
    }

    #[test]
    fn base_62_counts() {
        assert_eq!(base62(&[0, 0, 0, 61], 3), "00z");
        assert_eq!(base62(&[0, 0, 0, 62], 3), "010");
        assert_eq!(base62(&[255; 32], 43).len(), 43);
        assert_ne!(base62(&[255; 32], 43), base62(&[254; 32], 43));
    }
}
