//! A prompt as an answer is compared with it.

use std::collections::HashSet;

use super::WORD;
use super::sentence::{Tone, sentences, tone};
use super::words::{Reader, Word, backwards};

/// Bytes of a prompt that are known; what follows them may be repeated.
pub const MAX_PROMPT: usize = 32 << 10;

/// A prompt needs so many different words: what says less is nobody's secret, and answers say the same by chance.
const LEAST: u32 = 7 * WORD;

/// Places of one shingle that are looked at.
const PLACES: usize = 8;

/// The tokens of a shingle, from its first one on, as bits: in a row, or with one left out.
const SHAPES: [(u8, [usize; 3]); 3] = [(0b0111, [0, 1, 2]), (0b1101, [0, 2, 3]), (0b1011, [0, 1, 3])];

/// The index of a prompt. Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct Known {
    tokens: Box<[Token]>,
    sentences: Box<[Sentence]>,
    /// By hash.
    shingles: Box<[Shingle]>,
    /// Bits of hashes that occur.
    filter: Box<[u64]>,
    /// What counts of the prompt, in half words.
    total: u32,
    /// Whether it says which of its sentences are instructions. Where nothing shows that, all count alike.
    directed: bool,
}

/// A word of the prompt that is no function word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) sentence: u32,
    /// With the function words before it, in half words.
    pub(super) weight: u32,
    /// In half words; 0 where it does not count.
    pub(super) size: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Sentence {
    /// Tokens that count.
    pub(super) tokens: u32,
    /// Whether it speaks to the model.
    pub(super) instructs: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shingle {
    hash: u64,
    first: u32,
    /// Which tokens from `first` on, as bits.
    pub(super) shape: u8,
}

impl Known {
    /// The index of texts that are one prompt, one after the other. `None` where that says too little to be known by.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let mut text = String::new();
        for part in texts {
            let room = part.len().min(MAX_PROMPT.saturating_sub(text.len()));
            let end = (0..=room).rev().find(|end| part.is_char_boundary(*end)).unwrap_or(0);
            text.push_str(part.get(..end).unwrap_or_default());
            text.push('\n');
        }
        let read = read(&text);
        let distinct = |least: Tone| {
            let told = read.iter().filter(|read| read.tone.is_some_and(|tone| tone >= least));
            let words: HashSet<(u64, u32)> = told.map(|read| (read.hash, read.size)).collect();
            words.iter().map(|(_, size)| size).sum::<u32>()
        };
        let instructs = read.iter().any(|read| read.tone == Some(Tone::Instruction));
        let directed = instructs && distinct(Tone::Order) >= LEAST;
        if !directed && distinct(Tone::Fact) < LEAST {
            return None;
        }
        let least = if directed { Tone::Order } else { Tone::Fact };
        Some(Self::new(&text, &read, directed, least))
    }

    fn new(text: &str, read: &[Read], directed: bool, least: Tone) -> Self {
        let counts = |read: &Read| read.tone.is_some_and(|tone| tone >= least);
        let token = |read: &Read| {
            let (sentence, weight) = (read.sentence, read.weight);
            Token { sentence, weight, size: if counts(read) { read.size } else { 0 } }
        };
        let tokens: Box<[Token]> = read.iter().map(token).collect();
        let count = read.last().map_or(0, |read| read.sentence as usize + 1);
        let mut sentences = vec![Sentence { tokens: 0, instructs: false }; count];
        for own in read.iter().filter(|own| counts(own)) {
            if let Some(sentence) = sentences.get_mut(own.sentence as usize) {
                sentence.tokens += 1;
                sentence.instructs |= !directed || own.tone == Some(Tone::Instruction);
            }
        }
        let hashes: Vec<u64> = read.iter().map(|read| read.hash).collect();
        let turned = backwards(text);
        let mut shingles = Vec::with_capacity(hashes.len() * 6);
        add(&hashes, false, &mut shingles);
        if turned.len() == hashes.len() {
            add(&turned, true, &mut shingles);
        }
        shingles.sort_unstable();
        let bits = (shingles.len() * 16).next_power_of_two().max(64);
        let mut filter = vec![0; bits / 64];
        for shingle in &shingles {
            if let Some(word) = filter.get_mut(place(shingle.hash, bits / 64)) {
                *word |= bit(shingle.hash);
            }
        }
        let total = tokens.iter().filter(|token| token.size > 0).map(|token| token.weight).sum();
        Self { tokens, sentences: sentences.into(), shingles: shingles.into(), filter: filter.into(), total, directed }
    }

    /// Bytes of the index.
    pub fn memory(&self) -> usize {
        size_of_val(&*self.tokens)
            + size_of_val(&*self.sentences)
            + size_of_val(&*self.shingles)
            + size_of_val(&*self.filter)
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    pub(super) fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    pub(super) fn directed(&self) -> bool {
        self.directed
    }

    /// Where three words in a row of an answer stand in the prompt.
    pub(super) fn find(&self, words: [u64; 3]) -> &[Shingle] {
        let hash = joined(words);
        if self.filter.get(place(hash, self.filter.len())).is_none_or(|word| word & bit(hash) == 0) {
            return &[];
        }
        let start = self.shingles.partition_point(|known| known.hash < hash);
        let found = self.shingles.get(start..).unwrap_or_default();
        let count = found.iter().take(PLACES).take_while(|known| known.hash == hash).count();
        found.get(..count).unwrap_or_default()
    }
}

impl Shingle {
    /// The positions of its tokens.
    pub(super) fn tokens(self) -> impl Iterator<Item = usize> {
        let first = self.first as usize;
        (0..4).filter(move |at| self.shape & (1 << at) != 0).map(move |at| first + at)
    }
}

/// A word of the prompt and what is known of its sentence.
struct Read {
    hash: u64,
    size: u32,
    weight: u32,
    sentence: u32,
    /// `None`: the model is to say it.
    tone: Option<Tone>,
}

fn read(text: &str) -> Vec<Read> {
    let mut found = Vec::new();
    for (sentence, (range, quoted)) in (0_u32..).zip(sentences(text)) {
        let own = text.get(range).unwrap_or_default();
        let tone = (!quoted).then(|| tone(own));
        let mut reader = Reader::default();
        let mut before = 0;
        let mut take = |word: Word| {
            if word.function {
                before += word.size;
            } else {
                let weight = word.size + std::mem::take(&mut before);
                found.push(Read { hash: word.hash, size: word.size, weight, sentence, tone });
            }
        };
        own.chars().for_each(|letter| reader.push(letter).into_iter().flatten().for_each(&mut take));
        reader.end().into_iter().for_each(take);
    }
    found
}

/// Every shingle of `words`; with `turned` as they follow each other from the end.
fn add(words: &[u64], turned: bool, out: &mut Vec<Shingle>) {
    for first in 0..words.len() {
        for (shape, offsets) in SHAPES {
            let [Some(a), Some(b), Some(c)] = offsets.map(|offset| words.get(first + offset).copied()) else {
                continue;
            };
            let hash = joined(if turned { [c, b, a] } else { [a, b, c] });
            out.push(Shingle { hash, first: u32::try_from(first).unwrap_or(u32::MAX), shape });
        }
    }
}

fn joined([a, b, c]: [u64; 3]) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    mix(mix(mix(7, a), b), c)
}

fn place(hash: u64, words: usize) -> usize {
    (hash >> 32) as usize & words.saturating_sub(1)
}

fn bit(hash: u64) -> u64 {
    1 << (hash & 63)
}
