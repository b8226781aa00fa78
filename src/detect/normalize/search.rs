//! The search for views: which decodings are tried, on what, how deep, and which results count.

use std::sync::Arc;

use super::fold::fold;
use super::language::is_language;
use super::signals::{Sign, read};
use super::survey::{Survey, survey};
use super::view::{Map, Patch, splice};
use super::{Budget, Disguise, View, Views, codes, encoded, escapes, hidden, join, respell, shift, spacing, symbols};

/// Most bytes of odd letters that are read under every key.
const ODD_BYTES: usize = 16 << 10;

/// Longest text whose words are looked up one by one.
const TYPO_BYTES: usize = 4 << 10;

/// Longest text whose strings are put together.
const JOIN_BYTES: usize = 64 << 10;

/// See [`super::readings`].
pub(super) fn readings(text: &str, budget: &Budget) -> (Option<View>, Views) {
    if u32::try_from(text.len()).is_err() {
        return (None, Views { exhausted: true, ..Views::default() });
    }
    let own = if text.is_ascii() { Survey::default() } else { survey(text) };
    let folded = fold(text, own);
    let mut search = Search {
        views: Views::default(),
        left: text.len().saturating_mul(budget.per_byte).saturating_add(budget.bytes),
        odd: ODD_BYTES,
        budget: *budget,
    };
    if own.hides {
        search.hidden(text);
    }
    match &folded {
        Some(view) => search.explore(Text::of(view, false), own),
        None => search.explore(Text { text, map: None, disguises: &[] }, own),
    }
    (folded, search.views)
}

/// A text being looked at: the original, or a view of it.
#[derive(Clone, Copy)]
struct Text<'t> {
    text: &'t str,
    map: Option<&'t Arc<Map>>,
    disguises: &'t [Disguise],
}

impl<'t> Text<'t> {
    /// The plain folding of the original is not told as a disguise of its views.
    fn of(view: &'t View, told: bool) -> Self {
        Self { text: &view.text, map: Some(&view.map), disguises: if told { &view.disguises } else { &[] } }
    }
}

struct Search {
    views: Views,
    /// Bytes that may still be written.
    left: usize,
    /// Bytes of odd letters that may still be read.
    odd: usize,
    budget: Budget,
}

/// What a decoder proposes: patches to one text.
struct Reading {
    disguise: Disguise,
    patches: Vec<Patch>,
    /// The decoder has judged it.
    sure: bool,
}

impl Search {
    fn hidden(&mut self, text: &str) {
        let found = hidden::find(text);
        let Some(range) = found.range() else { return };
        self.views.hidden = Some(range);
        let reading = Reading { disguise: Disguise::Hidden, patches: found.patches, sure: true };
        self.take(Text { text, map: None, disguises: &[] }, reading);
    }

    /// Looks for disguises of `source`.
    fn explore(&mut self, source: Text<'_>, survey: Survey) {
        if source.disguises.len() >= self.budget.depth {
            return;
        }
        let mut readings = Vec::new();
        if survey.turned >= 3 {
            add(&mut readings, Disguise::Turned, symbols::turned(source.text), false);
        }
        if survey.braille >= 4 {
            add(&mut readings, Disguise::Braille, symbols::braille(source.text), false);
        }
        let signals = read(source.text);
        if source.text.len() <= TYPO_BYTES {
            small(source.text, &mut readings);
        }
        if !signals.is_empty() {
            self.decode(source, &signals, &mut readings);
        }
        for reading in readings {
            self.take(source, reading);
        }
    }

    /// Asks the decoders whose signs were seen.
    fn decode(&mut self, source: Text<'_>, signals: &super::signals::Signals, readings: &mut Vec<Reading>) {
        let text = source.text;
        let mut found = encoded::Found::new();
        for run in signals.of(Sign::Runs) {
            encoded::run(text, run.clone(), &mut found);
        }
        for region in signals.of(Sign::Digits) {
            codes::numbers(text, region.clone(), &mut found);
        }
        for region in signals.of(Sign::Dots) {
            codes::morse(text, region.clone(), &mut found);
        }
        group(found, readings);
        let mut many = Vec::new();
        for region in signals.of(Sign::Escapes) {
            escapes::escapes(text, region.clone(), &mut many);
        }
        many.drain(..).for_each(|(disguise, patches)| add(readings, disguise, patches, false));
        for region in signals.of(Sign::Odd) {
            if self.odd == 0 {
                self.views.exhausted = true;
                break;
            }
            let end = text.floor_char_boundary(region.start + region.len().min(self.odd));
            self.odd -= (end - region.start).min(self.odd);
            shift::substitutions(text, region.start..end, &mut many);
        }
        if many.is_empty() {
            for region in signals.of(Sign::Uneven) {
                shift::reversals(text, region.clone(), &mut many);
            }
        }
        many.into_iter().for_each(|(disguise, patches)| add(readings, disguise, patches, true));
        let joined = |run: &std::ops::Range<usize>| spacing::joined(text, run.clone());
        add(readings, Disguise::Joined, signals.of(Sign::Runs).iter().filter_map(joined).collect(), true);
        let mut each = |sign: Sign, disguise: Disguise, read: &dyn Fn(&str, std::ops::Range<usize>) -> Vec<Patch>| {
            let patches = signals.of(sign).iter().flat_map(|region| read(text, region.clone())).collect();
            add(readings, disguise, patches, true);
        };
        each(Sign::Apart, Disguise::Spaced, &spacing::apart);
        each(Sign::Leet, Disguise::Leet, &respell::leet);
        each(Sign::Repeats, Disguise::Repeated, &respell::repeated);
        each(Sign::Ay, Disguise::PigLatin, &respell::pig_latin);
        each(Sign::Uneven, Disguise::Vowels, &respell::vowels);
        each(Sign::Marks, Disguise::Markup, &join::marked);
        if !signals.of(Sign::Joins).is_empty() && text.len() <= JOIN_BYTES && join::may_add(text) {
            add(readings, Disguise::Concatenated, join::concatenated(text), true);
        }
    }

    /// Splices a reading into its source; keeps it if it is language, and looks into it again.
    fn take(&mut self, source: Text<'_>, reading: Reading) {
        let bytes: usize = reading.patches.iter().map(|patch| patch.text.len()).sum();
        if self.views.views.len() >= self.budget.views || bytes > self.left {
            self.views.exhausted = true;
            return;
        }
        let reads = reading.sure
            || reading.patches.iter().any(|patch| is_language(&patch.text))
            || is_language(&words(source.text, &reading.patches));
        let mut disguises = source.disguises.to_vec();
        disguises.push(reading.disguise);
        let mut view = splice(source.text, &reading.patches).done(source.map, disguises);
        self.left = self.left.saturating_sub(view.text.len());
        let own = if view.text.is_ascii() { Survey::default() } else { survey(&view.text) };
        if let Some(folded) = fold(&view.text, own) {
            view = View { disguises: view.disguises, text: folded.text, map: folded.map.over(&view.map) };
        }
        if self.views.views.iter().any(|known| known.text == view.text) || view.text == source.text {
            return;
        }
        if reads {
            self.views.views.push(view.clone());
        }
        self.explore(Text::of(&view, true), own);
    }
}

/// What is looked for in short texts only.
fn small(text: &str, readings: &mut Vec<Reading>) {
    let words = respell::look(text);
    add(readings, Disguise::Typos, words.typos, true);
    if words.spelling >= 5 {
        add(readings, Disguise::Spelled, join::spelled(text), true);
    }
    let lines = memchr::memchr_iter(b'\n', text.as_bytes()).count();
    if lines > 0 {
        add(readings, Disguise::Markup, join::comments(text), true);
    }
    if lines >= 8 || join::speaks_of_initials(text) {
        add(readings, Disguise::Initials, join::initials(text), true);
    }
}

/// Longest part of a word beside a patch that is looked at.
const BESIDE: usize = 64;

/// The words that patches are in, as they read with them.
fn words(source: &str, patches: &[Patch]) -> String {
    let mut read = String::new();
    for (nth, patch) in patches.iter().enumerate() {
        let start = patch.range.start;
        let last = nth.checked_sub(1).and_then(|nth| patches.get(nth)).map_or(0, |last| last.range.end);
        let from = source.floor_char_boundary(start.saturating_sub(BESIDE)).max(last);
        let before = source.get(from..start).unwrap_or_default();
        let end = source.floor_char_boundary(patch.range.end.saturating_add(BESIDE).min(source.len()));
        let end = end.min(patches.get(nth + 1).map_or(end, |next| next.range.start));
        let behind = source.get(patch.range.end..end).unwrap_or_default();
        read.push_str(before.rsplit(char::is_whitespace).next().unwrap_or_default());
        read.push_str(&patch.text);
        // What is between two patches of a word was written as the first part of the next.
        let ends = behind.find(char::is_whitespace);
        if ends.is_some() || nth + 1 == patches.len() {
            read.push_str(behind.get(..ends.unwrap_or(behind.len())).unwrap_or_default());
            read.push(' ');
        }
    }
    read
}

/// Readings by disguise, patches in order and apart.
fn group(found: encoded::Found, readings: &mut Vec<Reading>) {
    let mut groups: Vec<(Disguise, Vec<Patch>)> = Vec::new();
    for (disguise, patch) in found {
        match groups.iter_mut().find(|(known, _)| *known == disguise) {
            Some((_, patches)) => patches.push(patch),
            None => groups.push((disguise, vec![patch])),
        }
    }
    groups.into_iter().for_each(|(disguise, patches)| add(readings, disguise, patches, false));
}

fn add(readings: &mut Vec<Reading>, disguise: Disguise, mut patches: Vec<Patch>, sure: bool) {
    patches.sort_by_key(|patch| patch.range.start);
    let mut end = 0;
    patches.retain(|patch| {
        let apart = patch.range.start >= end;
        end = if apart { patch.range.end } else { end };
        apart
    });
    if !patches.is_empty() {
        readings.push(Reading { disguise, patches, sure });
    }
}
