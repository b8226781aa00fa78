//! The provider's key is taken out of everything that goes to a client, however it is cut into pieces.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use memchr::memchr_iter;
use memchr::memmem::Finder;

use crate::types::Secret;

/// What stands where the key was.
pub(super) const MARK: &str = "[REDACTED]";

/// Text as short as this says nothing of a key: prefixes such as `sk-` are public, and end many words.
const TELLS_NOTHING: usize = 3;

/// Takes one provider's key out of texts. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Scrubber(Option<Arc<Finder<'static>>>);

/// Takes it out of one text that comes in pieces.
pub(super) struct Scrub {
    key: Option<Arc<Finder<'static>>>,
    /// How many bytes of the key the text so far ends with.
    matched: usize,
    /// How many of those have gone on already.
    gone: usize,
    /// The longest beginning of the key that does not wait.
    patience: usize,
}

impl Scrubber {
    /// Takes out `key`; an empty one, or none, is nowhere.
    pub(super) fn new(key: Option<&Secret>) -> Self {
        let key = key.map(|key| key.expose().as_bytes()).filter(|key| !key.is_empty());
        Self(key.map(|key| Arc::new(Finder::new(key).into_owned())))
    }

    /// For bytes that leave as they come: every beginning of the key waits, because that changes no byte.
    pub(super) fn of_bytes(&self) -> Scrub {
        Scrub { key: self.0.clone(), matched: 0, gone: 0, patience: 0 }
    }

    /// For a text of a channel: what waits moves to the next event, so beginnings that say nothing do not wait. A key
    /// that is not ASCII is left to `of_bytes`: part of it could be half a character.
    pub(super) fn of_text(&self) -> Scrub {
        Scrub {
            key: self.0.clone().filter(|key| key.needle().is_ascii()),
            matched: 0,
            gone: 0,
            patience: TELLS_NOTHING,
        }
    }

    /// Whether the key stands in `text`.
    pub(super) fn finds(&self, text: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|key| key.find(text).is_some())
    }

    /// A text that is complete in itself, without the key.
    pub(super) fn whole(&self, text: Bytes) -> Bytes {
        if !self.finds(&text) {
            return text;
        }
        let mut scrub = self.of_bytes();
        let mut clean = BytesMut::from(&*scrub.piece(text));
        clean.extend_from_slice(&scrub.finish());
        clean.freeze()
    }

    /// As `whole`. A key that is not characters cannot stand in a text.
    pub(super) fn whole_text(&self, text: &str) -> String {
        match self.0.as_ref().map(|key| str::from_utf8(key.needle())) {
            Some(Ok(key)) => text.replace(key, MARK),
            Some(Err(_)) | None => text.to_owned(),
        }
    }
}

impl Scrub {
    /// What may go on with the next piece: the piece itself, most of the time.
    pub(super) fn piece(&mut self, piece: Bytes) -> Bytes {
        let Some(key) = self.key.clone() else { return piece };
        if self.matched == 0 && key.find(&piece).is_none() {
            let live = live(key.needle(), &piece);
            self.matched = live;
            if live <= self.patience {
                self.gone = live;
                return piece;
            }
            self.gone = 0;
            return piece.slice(..piece.len() - live);
        }
        self.pieced(&key, &piece)
    }

    /// The same, where the key or a part of it is about.
    fn pieced(&mut self, finder: &Finder<'_>, piece: &[u8]) -> Bytes {
        let key = finder.needle();
        let begun = key.get(..self.matched).unwrap_or_default();
        let text = [begun, piece].concat();
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let mut out = BytesMut::with_capacity(text.len());
        let mut at = self.gone;
        let mut rest = 0;
        for found in finder.find_iter(&text) {
            out.extend_from_slice(part(at, found));
            out.extend_from_slice(MARK.as_bytes());
            rest = found + key.len();
            at = rest;
        }
        let live = live(key, part(rest, text.len()));
        let boundary = text.len() - live;
        self.matched = live;
        if live <= self.patience {
            out.extend_from_slice(part(at, text.len()));
            self.gone = live;
        } else {
            out.extend_from_slice(part(at, boundary));
            self.gone = at.saturating_sub(boundary);
        }
        out.freeze()
    }

    /// As `piece`; `None` where the text goes on as it is.
    pub(super) fn text(&mut self, text: &str) -> Option<String> {
        let key = self.key.clone()?;
        if self.matched == 0 && key.find(text.as_bytes()).is_none() {
            self.matched = live(key.needle(), text.as_bytes());
            if self.matched <= self.patience {
                self.gone = self.matched;
                return None;
            }
            self.gone = 0;
            return text.get(..text.len() - self.matched).map(str::to_owned);
        }
        let out = self.pieced(&key, text.as_bytes());
        // An ASCII key is cut out of characters, never into one.
        (out != text.as_bytes()).then(|| String::from_utf8_lossy(&out).into_owned())
    }

    /// The text is over: what was held and is no key.
    pub(super) fn finish(&mut self) -> Bytes {
        let held = self.key.as_ref().and_then(|key| key.needle().get(self.gone..self.matched)).unwrap_or_default();
        let held = Bytes::copy_from_slice(held);
        (self.matched, self.gone) = (0, 0);
        held
    }

    /// As `finish`.
    pub(super) fn finish_text(&mut self) -> String {
        String::from_utf8_lossy(&self.finish()).into_owned()
    }

    /// Bytes held back now.
    pub(super) fn held(&self) -> usize {
        self.matched - self.gone
    }
}

/// How many bytes of the key `text` ends with, short of all of it.
fn live(key: &[u8], text: &[u8]) -> usize {
    let Some(first) = key.first() else { return 0 };
    let tail = text.get(text.len().saturating_sub(key.len() - 1)..).unwrap_or_default();
    let begins = |at: &usize| tail.get(*at..).is_some_and(|end| key.starts_with(end));
    memchr_iter(*first, tail).find(begins).map_or(0, |at| tail.len() - at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubber(key: &str) -> Scrubber {
        Scrubber::new(Some(&Secret::new(key.to_owned())))
    }

    fn through(mut scrub: Scrub, pieces: &[&[u8]]) -> (Vec<u8>, usize) {
        let (mut out, mut most) = (Vec::new(), 0);
        for piece in pieces {
            out.extend_from_slice(&scrub.piece(Bytes::copy_from_slice(piece)));
            most = most.max(scrub.held());
        }
        out.extend_from_slice(&scrub.finish());
        (out, most)
    }

    #[test]
    fn a_key_is_taken_out_at_every_cut() {
        let text = b"a sk-sk-12 sk-1234567 and sk-1234567sk-1234567.";
        for one in 0..text.len() {
            for two in one..text.len() {
                let pieces = [&text[..one], &text[one..two], &text[two..]];
                let (out, most) = through(scrubber("sk-1234567").of_bytes(), &pieces);
                assert_eq!(out, b"a sk-sk-12 [REDACTED] and [REDACTED][REDACTED].", "{one} {two}");
                assert!(most < 10);
            }
        }
    }

    #[test]
    fn a_text_without_it_passes_byte_by_byte_and_only_a_live_beginning_waits() {
        let mut scrub = scrubber("sk-1234567").of_bytes();
        let piece = Bytes::from_static(b"keys");
        assert_eq!((&*scrub.piece(piece.clone()), scrub.held()), (&b"key"[..], 1));
        assert_eq!((&*scrub.piece(Bytes::from_static(b"k-12")), scrub.held()), (&b""[..], 5));
        assert_eq!((&*scrub.piece(Bytes::from_static(b"!")), scrub.held()), (&b"sk-12!"[..], 0));
        let mut scrub = scrubber("sk-1234567").of_text();
        assert_eq!((scrub.text("keys"), scrub.held()), (None, 0), "an `s` says nothing");
        assert_eq!((scrub.text("k-"), scrub.held()), (None, 0));
        assert_eq!((scrub.text("12345"), scrub.held()), (Some(String::new()), 5));
        assert_eq!((scrub.text("67 é"), scrub.held()), (Some("[REDACTED] é".to_owned()), 0));
        assert_eq!(scrub.text("no key"), None);
    }

    #[test]
    fn no_key_changes_nothing() {
        for scrubber in [Scrubber::new(None), scrubber("")] {
            assert_eq!(through(scrubber.of_bytes(), &[b"sk-", b"x"]).0, b"sk-x");
            assert!(!scrubber.finds(b"anything"));
        }
    }

    proptest! {
        #[test]
        fn every_cut_gives_what_the_whole_gives(text in "[ab]{0,40}", key in "[ab]{1,6}", cuts in prop::collection::vec(0usize..40, 0..6)) {
            let scrubber = scrubber(&key);
            let whole = scrubber.whole(Bytes::from(text.clone()));
            prop_assert_eq!(&*whole, &*text.replace(&key, MARK).into_bytes());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            prop_assert_eq!(&through(scrubber.of_bytes(), &pieces).0, &whole);
            // What had gone before it told anything stays; the rest of the key does not follow.
            let (out, _) = through(scrubber.of_text(), &pieces);
            prop_assert!(out.len() >= whole.len());
        }
    }
}
