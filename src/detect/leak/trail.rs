//! What an answer has repeated of a prompt so far, and what of it must wait.
//!
//! A run is a stretch of the answer whose words are mostly the prompt's. It holds what follows once it has repeated
//! [`HOLD`] words, and lets go when [`GAP`] words in a row are others. Runs that lie near each other add up: a prompt is
//! also repeated point by point, with remarks between.

use std::sync::Arc;

use super::WORD;
use super::base64::Decoder;
use super::index::{Known, Shingle};
use super::words::{Reader, Word};

/// Words repeated before anything waits: names, greetings and turns of phrase are shorter.
const HOLD: u32 = 5 * WORD;
/// The same where enough was repeated shortly before.
const HOLD_AGAIN: u32 = 3 * WORD;
/// Other words that end a run.
const GAP: u32 = 5 * WORD;
/// Words of the prompt that do not count, and end a run as well.
const BRIDGE: u32 = 24 * WORD;
/// Bytes without a word of the prompt that end a run.
const SILENCE: u64 = 256;
/// Other words after which what was repeated before is forgotten.
const FORGET: u32 = 60 * WORD;

/// Words repeated that are a leak.
const LEAST: u32 = 12 * WORD;
/// The same where they go from one sentence to the next as the prompt does.
const LEAST_RECITED: u32 = 10 * WORD;
/// How many of them are no function words.
const LEAST_TELLING: u32 = 6 * WORD;
/// The same of a prompt of one or two sentences: bots introduce themselves with them.
const LEAST_WHOLE: u32 = 20 * WORD;

/// What happens at a certain byte of an answer. Positions count its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detect) enum Event {
    /// The prompt is repeated from `start` to `end`. What was held began at `start`.
    Found { start: u64, end: u64 },
    /// What was held is not held any longer, or a found run is over.
    Ended,
}

/// Reads one channel of an answer.
#[derive(Debug)]
pub(in crate::detect) struct Trail {
    plain: Matcher,
    decoder: Decoder,
    decoded: Matcher,
    /// What the last character still brings.
    pending: Option<Event>,
    fed: u64,
}

/// One reading of an answer against the prompt.
#[derive(Debug)]
struct Matcher {
    known: Arc<Known>,
    reader: Reader,
    last: [u64; 3],
    /// For each token of the prompt, the number of the stretch in which it was last repeated.
    covered: Vec<u32>,
    /// For each sentence, the stretch and how many of its tokens were.
    sentences: Vec<(u32, u32)>,
    stretch: Stretch,
    run: Run,
}

/// What was repeated in runs that lie near each other.
#[derive(Debug, Default)]
struct Stretch {
    number: u32,
    /// With function words, in half words.
    weight: u32,
    /// Without.
    size: u32,
    /// Sentences repeated for the most part.
    sentences: u32,
    /// Those of them that speak to the model.
    instructions: u32,
    /// Words in a row that end one sentence and begin the next: recited, not mentioned.
    seams: u32,
    /// Half words since the last that was new.
    idle: u32,
}

#[derive(Debug, Default)]
struct Run {
    size: u32,
    gap: u32,
    bridge: u32,
    /// What follows this position waits.
    hold: Option<u64>,
    /// Where the last word ends that was repeated.
    end: u64,
    found: bool,
    /// Where it ended when that was told last.
    told: u64,
}

impl Trail {
    pub(in crate::detect) fn new(known: &Arc<Known>) -> Self {
        Self {
            plain: Matcher::new(known),
            decoder: Decoder::default(),
            decoded: Matcher::new(known),
            pending: None,
            fed: 0,
        }
    }

    /// Reads `text` up to the first character that something happens at; how many bytes that are.
    pub(in crate::detect) fn feed(&mut self, text: &str) -> (usize, Option<Event>) {
        if let Some(event) = self.pending.take() {
            return (0, Some(event));
        }
        for (at, letter) in text.char_indices() {
            let start = self.fed;
            self.fed += letter.len_utf8() as u64;
            let plain = self.plain.push(letter, start, self.fed);
            let mut decoded = None;
            let matcher = &mut self.decoded;
            self.decoder.push(letter, |letter| decoded = matcher.push(letter, start, start).or(decoded));
            if self.decoder.is_idle() {
                decoded = self.decoded.over(start).or(decoded);
            }
            if plain.is_some() || decoded.is_some() {
                self.pending = plain.and(decoded);
                return (at + letter.len_utf8(), plain.or(decoded));
            }
        }
        (text.len(), None)
    }

    /// The text is over: what its last word brings.
    pub(in crate::detect) fn finish(&mut self) -> impl Iterator<Item = Event> + use<> {
        let at = self.fed;
        [self.pending.take(), self.plain.over(at), self.decoded.over(at)].into_iter().flatten()
    }

    /// What must not leave: from where, and where it was found to end so far, if it was.
    pub(in crate::detect) fn held(&self) -> impl Iterator<Item = (u64, Option<u64>)> {
        let of = |run: &Run| run.hold.map(|start| (start, run.found.then_some(run.told)));
        [of(&self.plain.run), of(&self.decoded.run)].into_iter().flatten()
    }
}

impl Matcher {
    fn new(known: &Arc<Known>) -> Self {
        Self {
            known: Arc::clone(known),
            reader: Reader::default(),
            last: [0; 3],
            covered: Vec::new(),
            sentences: Vec::new(),
            stretch: Stretch { number: 1, ..Stretch::default() },
            run: Run::default(),
        }
    }

    /// The next character, at `start` to `end`.
    fn push(&mut self, letter: char, start: u64, end: u64) -> Option<Event> {
        let mut event = None;
        if self.run.hold.is_none() && self.reader.goes_on(letter) {
            return None;
        }
        for word in self.reader.push(letter).into_iter().flatten() {
            event = self.word(word, start, if word.inside { end } else { start }).or(event);
        }
        if event.is_none() && self.run.hold.is_some() && end > self.run.end + SILENCE {
            self.run = Run::default();
            return Some(Event::Ended);
        }
        event
    }

    /// Nothing follows that belongs to this.
    fn over(&mut self, at: u64) -> Option<Event> {
        let last = self.reader.end().and_then(|word| self.word(word, at, at));
        let held = std::mem::take(&mut self.run).hold.is_some();
        last.or(held.then_some(Event::Ended))
    }

    /// A word that ends at `end`; what comes before `from` may have left.
    fn word(&mut self, word: Word, from: u64, end: u64) -> Option<Event> {
        if word.function {
            return None;
        }
        let [a, b, c] = self.last;
        let d = word.hash;
        self.last = [b, c, d];
        let known = Arc::clone(&self.known);
        let places = [[b, c, d], [a, c, d], [a, b, d]].into_iter().map(|words| known.find(words));
        let new = places.filter_map(|places| self.repeated(&known, places)).max();
        match new {
            Some(new) if new > 0 => {
                (self.run.gap, self.run.bridge, self.stretch.idle) = (0, 0, 0);
                self.run.size += new;
                self.run.end = end;
                return self.grown(from);
            }
            Some(_) => {
                self.run.bridge += word.size;
                self.run.end = end;
                if self.run.found && self.run.bridge <= BRIDGE {
                    return self.found();
                }
            }
            None => self.run.gap += word.size,
        }
        self.stretch.idle += word.size;
        if self.stretch.idle > FORGET {
            self.stretch = Stretch { number: self.stretch.number.saturating_add(1), ..Stretch::default() };
        }
        let over = self.run.gap > GAP || self.run.bridge > BRIDGE;
        let held = over && std::mem::take(&mut self.run).hold.is_some();
        held.then_some(Event::Ended)
    }

    /// Marks one place of some words as repeated: how much of it is new and counts. `None` where there is no place.
    fn repeated(&mut self, known: &Known, places: &[Shingle]) -> Option<u32> {
        if places.is_empty() {
            return None;
        }
        if self.covered.is_empty() {
            self.covered = vec![0; known.tokens().len()];
            self.sentences = vec![(0, 0); known.sentences().len()];
        }
        let number = self.stretch.number;
        let fresh = |covered: &[u32], at: usize| covered.get(at).is_some_and(|last| *last != number);
        let Some(place) = places.iter().find(|place| place.tokens().any(|at| fresh(&self.covered, at))) else {
            return Some(0);
        };
        let mut new = 0;
        let sentence = |at: usize| known.tokens().get(at).map(|token| (token.sentence, token.size > 0));
        let (first, last) = (place.tokens().next().and_then(sentence), place.tokens().last().and_then(sentence));
        let seam = first.zip(last).is_some_and(|((first, tells), (last, told))| first != last && (tells || told));
        self.stretch.seams += u32::from(seam);
        for at in place.tokens().filter(|at| fresh(&self.covered, *at)).collect::<Vec<_>>() {
            let (Some(token), Some(covered)) = (known.tokens().get(at), self.covered.get_mut(at)) else { continue };
            *covered = number;
            if token.size == 0 {
                continue;
            }
            new += token.size;
            self.stretch.size += token.size;
            self.stretch.weight += token.weight;
            let sentence = token.sentence as usize;
            let (Some(own), Some(count)) = (known.sentences().get(sentence), self.sentences.get_mut(sentence)) else {
                continue;
            };
            *count = if count.0 == number { (number, count.1 + 1) } else { (number, 1) };
            let most = (own.tokens * 3).div_ceil(5);
            if count.1 == most {
                self.stretch.sentences += 1;
                self.stretch.instructions += u32::from(own.instructs);
            }
        }
        Some(new)
    }

    /// The run has grown.
    fn grown(&mut self, from: u64) -> Option<Event> {
        if self.run.hold.is_none() {
            let needed = if self.stretch.weight >= LEAST { HOLD_AGAIN } else { HOLD };
            if self.run.size >= needed {
                self.run.hold = Some(from);
            }
            return None;
        }
        self.run.found |= self.is_leak();
        if self.run.found { self.found() } else { None }
    }

    fn found(&mut self) -> Option<Event> {
        self.run.told = self.run.end;
        self.run.hold.map(|start| Event::Found { start, end: self.run.end })
    }

    /// Whether what was repeated is more than a mention.
    fn is_leak(&self) -> bool {
        let (stretch, total) = (&self.stretch, self.known.total());
        let least = if stretch.seams > 0 { LEAST_RECITED } else { LEAST };
        if stretch.weight < least || stretch.size < LEAST_TELLING {
            return false;
        }
        let counted = self.known.sentences().iter().filter(|sentence| sentence.tokens > 0).count();
        let whole = stretch.weight * 5 >= total * 3 && stretch.weight >= LEAST_WHOLE;
        let recited = stretch.seams > 0;
        if stretch.instructions == 0 || !recited && if counted < 3 { !whole } else { stretch.sentences < 2 } {
            return false;
        }
        if self.known.directed() {
            // What a bot can do and who it is sounds like its prompt, but not sentence after sentence.
            let (much, share) = if recited { (30 * WORD, 4) } else { (60 * WORD, 2) };
            let much = stretch.weight >= much && stretch.sentences >= 3 && stretch.instructions >= 2;
            much || stretch.weight * share >= total
        } else {
            stretch.weight >= 150 * WORD || stretch.weight * 2 >= total
        }
    }
}
