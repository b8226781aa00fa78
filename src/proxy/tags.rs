//! What a long text is known by: its GMAC (the tag of AES-256-GCM over data that is not encrypted), under a key that
//! nobody else has.
//!
//! A tree hash works on one kilobyte of a text after the other; this reads several times as fast. Nobody ever sees a tag,
//! so that one key may make many: two texts of `n` blocks have the same with a chance of `n` in 2^128, whoever wrote them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// A text's tag.
pub(super) type Tag = [u8; 16];

/// Makes tags under one key.
pub(super) struct Tags(LessSafeKey);

impl Tags {
    /// Under `key`; `None` never happens, and means that texts have to be told apart otherwise.
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// The tag of a text as something of `kind`: as something else it has another.
    pub(super) fn of(&self, kind: u8, text: &str) -> Option<Tag> {
        let mut nonce = [0; NONCE_LEN];
        nonce.first_mut().into_iter().for_each(|first| *first = kind);
        let (nonce, text) = (Nonce::assume_unique_for_key(nonce), Aad::from(text.as_bytes()));
        let tag = self.0.seal_in_place_separate_tag(nonce, text, &mut []).ok()?;
        tag.as_ref().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_depends_on_key_kind_and_every_byte() {
        let (one, other) = (Tags::new(&[1; 32]).unwrap(), Tags::new(&[2; 32]).unwrap());
        let text = "a".repeat(100_000);
        let tag = one.of(0, &text);
        assert_eq!(one.of(0, &text), tag);
        assert!(tag.is_some() && other.of(0, &text) != tag && one.of(1, &text) != tag);
        for at in [0, 50_000, 99_999] {
            let mut changed = text.clone();
            changed.replace_range(at..=at, "b");
            assert_ne!(one.of(0, &changed), tag);
        }
        assert_ne!(one.of(0, &"a".repeat(99_999)), tag);
    }
}
