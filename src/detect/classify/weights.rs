//! The weights as scanning uses them, and sums of them.

use super::features::BITS;

/// What is added to every weight, so that it is not negative.
const UP: i64 = 128;

/// Features whose weights are looked up together.
const AT_ONCE: usize = 128;

/// For every feature number two weights, each moved up by [`UP`]: for the text as a whole in the low byte, for a window in
/// the high one.
#[derive(Debug, Clone)]
pub(super) struct Weights(Box<[u16; 1 << BITS]>);

impl Weights {
    /// `None` where there are not so many as feature numbers.
    pub(super) fn new(weights: &[[i8; 2]]) -> Option<Self> {
        let up = |weight: i8| weight.cast_unsigned() ^ 0x80;
        let moved: Vec<u16> = weights.iter().map(|pair| u16::from_le_bytes(pair.map(up))).collect();
        moved.into_boxed_slice().try_into().ok().map(Self)
    }

    /// Bytes held.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.0)
    }

    #[inline(always)]
    fn of(&self, number: u32) -> u16 {
        self.0.get(number as usize & ((1 << BITS) - 1)).copied().unwrap_or(0)
    }
}

/// Weights being added up as they are stored: a feature costs a look and three additions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// The low bytes.
    whole: u64,
    /// Both bytes as one number: the high ones are what the low ones leave of it.
    both: u64,
    count: u64,
}

impl Tally {
    #[inline(always)]
    pub(super) fn add(&mut self, weights: &Weights, number: u32) {
        let own = u64::from(weights.of(number));
        self.whole = self.whole.wrapping_add(own & 0xff);
        self.both = self.both.wrapping_add(own);
        self.count = self.count.wrapping_add(1);
    }

    #[inline(always)]
    pub(super) fn join(&mut self, other: Self) {
        self.whole = self.whole.wrapping_add(other.whole);
        self.both = self.both.wrapping_add(other.both);
        self.count = self.count.wrapping_add(other.count);
    }

    /// The sums of the weights themselves.
    pub(super) fn sum(self) -> Sum {
        let moved = self.count.cast_signed() * UP;
        let window = self.both.wrapping_sub(self.whole) >> 8;
        let count = u32::try_from(self.count).unwrap_or(u32::MAX);
        Sum { whole: self.whole.cast_signed() - moved, window: window.cast_signed() - moved, count }
    }
}

/// Feature numbers waiting for their weights: the memory answers many looks at once where nothing is reckoned between them.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    numbers: [u32; AT_ONCE],
    len: usize,
    tally: Tally,
}

impl Default for Gathered {
    fn default() -> Self {
        Self { numbers: [0; AT_ONCE], len: 0, tally: Tally::default() }
    }
}

impl Gathered {
    /// Adds a feature.
    #[inline(always)]
    pub(super) fn add(&mut self, weights: &Weights, number: u32) {
        if self.len == AT_ONCE {
            self.look(weights);
        }
        if let Some(slot) = self.numbers.get_mut(self.len) {
            *slot = number;
        }
        self.len += 1;
    }

    /// Adds what was added up elsewhere.
    #[inline(always)]
    pub(super) fn join(&mut self, own: Tally) {
        self.tally.join(own);
    }

    #[inline(never)]
    fn look(&mut self, weights: &Weights) {
        let (mut whole, mut both) = (0_u64, 0_u64);
        for number in self.numbers.get(..self.len).unwrap_or_default() {
            let own = u64::from(weights.of(*number));
            whole = whole.wrapping_add(own & 0xff);
            both = both.wrapping_add(own);
        }
        self.tally.join(Tally { whole, both, count: self.len as u64 });
        self.len = 0;
    }

    /// The weights of all, added up; none is left.
    pub(super) fn tally(&mut self, weights: &Weights) -> Tally {
        self.look(weights);
        std::mem::take(&mut self.tally)
    }
}

/// What the spelling of a word adds, small: thousands of words are looked up at random.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Brief {
    both: u32,
    whole: u16,
    count: u16,
}

impl Brief {
    /// Of a word's own features, of which there are not two hundred.
    pub(super) fn of(tally: Tally) -> Self {
        Self { both: tally.both as u32, whole: tally.whole as u16, count: tally.count as u16 }
    }

    #[inline(always)]
    pub(super) fn tally(self) -> Tally {
        Tally { whole: u64::from(self.whole), both: u64::from(self.both), count: u64::from(self.count) }
    }
}

/// Weights added up, of a window or of a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) whole: i64,
    pub(super) window: i64,
    pub(super) count: u32,
}

impl Sum {
    pub(super) fn add(&mut self, other: Self) {
        self.whole += other.whole;
        self.window += other.window;
        self.count = self.count.saturating_add(other.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_the_sums() {
        let some = [[-128, 127], [127, -128], [0, -1], [-1, 0], [5, 7]];
        let all: Vec<[i8; 2]> = (0..1 << BITS).map(|nth: usize| some[nth % 5]).collect();
        let weights = Weights::new(&all).unwrap();
        for features in [5_u32, 35, 127, 128, 129, 256, 15_000] {
            let (mut tally, mut gathered, mut sums) = (Tally::default(), Gathered::default(), (0, 0, 0));
            for nth in 0..features {
                let number = (nth * 7 + nth / 3) % (1 << BITS);
                tally.add(&weights, number);
                gathered.add(&weights, number);
                let [whole, window] = all[number as usize].map(i64::from);
                sums = (sums.0 + whole, sums.1 + window, sums.2 + 1);
            }
            let mut more = Tally::default();
            more.add(&weights, 1);
            gathered.join(more);
            tally.join(more);
            let [whole, window] = all[1].map(i64::from);
            sums = (sums.0 + whole, sums.1 + window, sums.2 + 1);
            let sum = Sum { whole: sums.0, window: sums.1, count: sums.2 };
            assert_eq!((tally.sum(), gathered.tally(&weights).sum()), (sum, sum));
            gathered.add(&weights, 1);
            assert_eq!(gathered.tally(&weights).sum(), more.sum(), "nothing was left");
        }
        assert!(Weights::new(&all[1..]).is_none());
    }

    #[test]
    fn the_longest_word_fits() {
        let weights = Weights::new(&vec![[127, 127]; 1 << BITS]).unwrap();
        let mut tally = Tally::default();
        (0..200).for_each(|number| tally.add(&weights, number));
        assert_eq!(Brief::of(tally).tally().sum(), tally.sum());
    }
}
