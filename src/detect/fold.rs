//! A text as literals are looked for in it: letters without case, white space as one space, other scripts as one byte.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::words::{Hit, STEP, WIDTH, gathered};

static TWO_SPACES: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"  "));

/// What a byte of another script reads as.
pub(super) const FOREIGN: u8 = 2;

/// What a byte reads as: letters without case, white space as a space, control characters as one, other scripts as one.
pub(super) const fn fold(byte: u8) -> u8 {
    match byte {
        b'\t'..=b'\r' => b' ',
        0..b' ' | 0x7f => 1,
        0x80.. => FOREIGN,
        _ => byte.to_ascii_lowercase(),
    }
}

/// A text as it is read: folded, each run of white space one space, zeros on both sides: no literal contains one.
/// [`WIDTH`] bytes stand before it, and as many and a step behind it.
pub(super) struct Read {
    pub(super) low: Vec<u8>,
    /// Its length without the zeros.
    pub(super) len: usize,
    /// From where on how many bytes are missing.
    pub(super) missing: Vec<(u32, u32)>,
}

impl Read {
    pub(super) fn of(text: &[u8]) -> Self {
        let mut low = Vec::with_capacity(text.len() + 2 * STEP + 2 * WIDTH);
        low.resize(WIDTH, 0);
        low.extend(text.iter().map(|byte| fold(*byte)));
        let mut missing = Vec::new();
        if let Some(first) = TWO_SPACES.find(&low) {
            low = Self::closed_up(low, first, &mut missing);
        }
        let len = low.len() - WIDTH;
        low.resize(low.len() + STEP + WIDTH, 0);
        Self { low, len, missing }
    }

    /// With one space of each run; `first` is the first of a run.
    fn closed_up(mut low: Vec<u8>, first: usize, missing: &mut Vec<(u32, u32)>) -> Vec<u8> {
        let end = low.len();
        low.resize(end + STEP, 0);
        let mut closed = vec![0; end + STEP + WIDTH];
        closed.iter_mut().zip(low.iter().take(first)).for_each(|(to, from)| *to = *from);
        let (mut at, mut kept, mut left_out, mut behind_space) = (first, first, 0, 0);
        while let Some(block) = low.get(at..).and_then(|rest| rest.first_chunk::<STEP>()).filter(|_| at < end) {
            let mut flags = [0; STEP];
            flags.iter_mut().zip(block).for_each(|(flag, byte)| *flag = u8::from(*byte == b' '));
            let spaces = gathered(&flags);
            let inside = u64::MAX.checked_shl((end - at) as u32).map_or(u64::MAX, |behind| !behind);
            let mut stays = !(spaces & (spaces << 1 | behind_space)) & inside;
            behind_space = spaces >> (STEP - 1);
            let mut wide = [0; 2 * STEP];
            wide.iter_mut().zip(block).for_each(|(to, from)| *to = *from);
            while stays != 0 {
                let start = stays.trailing_zeros() as usize;
                let run = (stays >> start).trailing_ones() as usize;
                if at + start - kept != left_out {
                    left_out = at + start - kept;
                    missing.push(((kept - WIDTH) as u32, left_out as u32));
                }
                // Always as much as a step: what is too much of it is written over by what comes next.
                let part = wide.get(start..).and_then(|rest| rest.first_chunk::<STEP>());
                let room = closed.get_mut(kept..).and_then(|rest| rest.first_chunk_mut::<STEP>());
                part.zip(room).into_iter().for_each(|(part, room)| *room = *part);
                kept += run;
                stays &= u64::MAX.checked_shl((start + run) as u32).unwrap_or(0);
            }
            at += STEP;
        }
        closed.truncate(kept);
        closed
    }

    /// Moves hits to where they are in the text itself.
    pub(super) fn place(&self, hits: &mut [Hit]) {
        let mut before = 0;
        for hit in hits.iter_mut().filter(|_| !self.missing.is_empty()) {
            while before > 0 && self.missing.get(before - 1).is_some_and(|(from, _)| *from > hit.start) {
                before -= 1;
            }
            while self.missing.get(before).is_some_and(|(from, _)| *from <= hit.start) {
                before += 1;
            }
            hit.start += before.checked_sub(1).and_then(|at| self.missing.get(at)).map_or(0, |(_, bytes)| *bytes);
        }
    }
}
