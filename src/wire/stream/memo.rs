//! Texts that were inspected on their own a moment ago: every event of a stream repeats its id and model.

/// How many texts are remembered.
const ENTRIES: usize = 16;
/// Longer texts are inspected again.
const LONGEST: usize = 128;

/// The newest texts, newest first.
#[derive(Debug, Default)]
pub(super) struct Memo {
    texts: Vec<Box<str>>,
    /// Texts of the event being read: known only to later events, as nobody has inspected them yet.
    fresh: Vec<Box<str>>,
}

impl Memo {
    /// The event before has been inspected: what it said is known from now on.
    pub(super) fn settle(&mut self) {
        for text in self.fresh.drain(..) {
            if !self.texts.contains(&text) {
                self.texts.truncate(ENTRIES - 1);
                self.texts.push(text);
            }
        }
    }

    /// Whether an earlier event said this text; if not it is remembered for later ones.
    pub(super) fn repeats(&mut self, text: &str) -> bool {
        if text.len() > LONGEST {
            return false;
        }
        match self.texts.iter().position(|known| **known == *text) {
            Some(0) => true,
            Some(position) => {
                // One step forward keeps what repeats ahead of what does not, without moving everything each time.
                self.texts.swap(position, position.saturating_sub(1));
                true
            }
            None => {
                if self.fresh.len() < ENTRIES {
                    self.fresh.push(text.into());
                }
                false
            }
        }
    }

    /// Has a text inspected again when it comes again.
    pub(super) fn forget(&mut self, text: &str) {
        self.texts.retain(|known| **known != *text);
        self.fresh.retain(|known| **known != *text);
    }
}
