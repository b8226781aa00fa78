//! Base64 in an answer, decoded as it comes.

use crate::detect::normalize::encoded::sextet;

/// Characters of the alphabet in a row that are taken for Base64. Words are shorter.
const LEAST: usize = 24;

/// Decodes what may be Base64.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The beginning, until there is enough of it.
    start: [u8; LEAST],
    read: usize,
    open: bool,
    bits: u32,
    count: u32,
    /// The bytes of a character under way.
    bytes: Vec<u8>,
    idle: bool,
}

impl Decoder {
    /// The next character; `take` is given what it completes.
    pub(super) fn push(&mut self, letter: char, mut take: impl FnMut(char)) {
        self.idle = false;
        let Some(value) = value(letter) else {
            // Lines are broken.
            if !(self.open && matches!(letter, '\n' | '\r')) {
                self.idle = std::mem::take(&mut self.open);
                self.read = 0;
            }
            return;
        };
        if self.open {
            return self.sextet(value).into_iter().for_each(take);
        }
        if let Some(slot) = self.start.get_mut(self.read) {
            *slot = value;
            self.read += 1;
        }
        if self.read == LEAST {
            (self.open, self.bits, self.count, self.read) = (true, 0, 0, 0);
            self.bytes.clear();
            for value in self.start {
                self.sextet(value).into_iter().for_each(&mut take);
            }
        }
    }

    /// Whether something that was decoded has just ended.
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }

    fn sextet(&mut self, value: u8) -> Option<char> {
        (self.bits, self.count) = ((self.bits << 6 | u32::from(value)) & 0xffff, self.count + 6);
        if self.count < 8 {
            return None;
        }
        self.count -= 8;
        self.bytes.push((self.bits >> self.count & 0xff) as u8);
        match std::str::from_utf8(&self.bytes) {
            Ok(text) => {
                let letter = text.chars().next();
                self.bytes.clear();
                letter
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => {
                self.bytes.clear();
                Some(' ')
            }
        }
    }
}

fn value(letter: char) -> Option<u8> {
    sextet(u8::try_from(letter).ok()?)
}
