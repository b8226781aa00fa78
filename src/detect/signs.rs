//! Where in a text digits and signs may be, known by pieces.

use super::words::STEP;

/// Which digits and signs are in each short piece of a text.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// By piece of [`STEP`] bytes: a bit for each byte that occurs, by its last six bits.
    pub(super) pieces: Vec<u64>,
}

impl Signs {
    /// The bit of a byte.
    pub(super) const fn bit(byte: u8) -> u64 {
        1 << (byte & 63)
    }

    pub(super) fn note(&mut self, at: usize, byte: u8) {
        self.pieces.get_mut(at / STEP).into_iter().for_each(|piece| *piece |= Self::bit(byte));
    }

    /// Whether one of the digits and signs with these bits may be in `first..end`.
    pub(super) fn any(&self, first: usize, end: usize, bits: u64) -> bool {
        let pieces = self.pieces.get(first / STEP..).unwrap_or_default();
        pieces.iter().take((end / STEP + 1).saturating_sub(first / STEP)).any(|piece| piece & bits != 0)
    }
}
