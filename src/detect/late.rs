//! Patterns that a great many places can begin, such as e-mail addresses: they are looked for backwards, from a byte
//! that no match goes without.
//!
//! Only patterns that hold nothing back can be: what has left cannot be held any more. What is found and when it is told
//! is the same as if every place had been followed from its beginning.

use super::automaton::{DEAD, behind};
use super::output::{OutputEngine, OutputPattern};

/// The most bytes before the byte that every match reads.
pub(super) const REACH: usize = 71;

/// Patterns whose matches all read a certain rare byte, after [`REACH`] others at most.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) byte: u8,
    pub(super) patterns: Vec<u16>,
    /// What their matches can read before it.
    before: Box<[bool; 256]>,
}

/// A match that may have begun.
#[derive(Debug)]
pub(super) struct Alive {
    pub(super) pattern: u16,
    /// The look-behind class of its start.
    pub(super) behind: u8,
    /// How many bytes back it starts.
    pub(super) back: usize,
    /// The state by now.
    pub(super) state: u16,
}

impl Late {
    pub(super) fn new(byte: u8, patterns: Vec<u16>, all: &[OutputPattern]) -> Self {
        let mut before = Box::new([false; 256]);
        for own in patterns.iter().filter_map(|pattern| all.get(usize::from(*pattern))) {
            let reads = own.automaton.reads_before(byte);
            before.iter_mut().zip(reads).for_each(|(known, read)| *known |= read);
        }
        Self { byte, patterns, before }
    }

    /// Where matches may have begun among the last bytes read, by start. Those that began before the byte all wait for
    /// came last were found when it came.
    pub(super) fn alive<'a>(&'a self, engine: &'a OutputEngine, recent: &'a [u8]) -> impl Iterator<Item = Alive> + 'a {
        // The very first byte is only there as what stands before the second, unless the text begins with it.
        let cut = recent.len() > REACH;
        let part = |byte: &u8| *byte != self.byte && self.before.get(usize::from(*byte)).copied().unwrap_or(false);
        let run = recent.iter().rev().take_while(|byte| part(byte)).count();
        let first = (recent.len() - run).max(usize::from(cut));
        (first..recent.len()).flat_map(move |at| {
            let behind = behind(at.checked_sub(1).and_then(|at| recent.get(at)).copied());
            let text = recent.get(at..).unwrap_or_default();
            let alive = move |pattern: &u16| {
                let automaton = &engine.pattern(*pattern)?.automaton;
                let (head, rest) = text.split_first()?;
                let step = |state: u16, byte: &u8| (state != DEAD).then(|| automaton.next(state, *byte));
                let state = rest.iter().try_fold(automaton.first(behind, *head), step)?;
                let found = Alive { pattern: *pattern, behind: behind as u8, back: text.len(), state };
                (state != DEAD).then_some(found)
            };
            self.patterns.iter().filter_map(alive)
        })
    }
}

/// The last bytes of a channel, as many as are looked back at, and one before them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    bytes: Vec<u8>,
    /// The position behind the last of them.
    end: u64,
}

impl Recent {
    pub(super) fn push(&mut self, read: &[u8]) {
        self.end += read.len() as u64;
        let read = read.get(read.len().saturating_sub(REACH + 1)..).unwrap_or_default();
        let over = (self.bytes.len() + read.len()).saturating_sub(REACH + 1);
        self.bytes.drain(..over);
        self.bytes.extend_from_slice(read);
    }

    /// The position behind the last of them.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// With what was read since.
    pub(super) fn with(&self, read: &[u8]) -> Vec<u8> {
        let read = read.get(read.len().saturating_sub(REACH + 1)..).unwrap_or_default();
        let over = (self.bytes.len() + read.len()).saturating_sub(REACH + 1);
        [self.bytes.get(over..).unwrap_or_default(), read].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::{Budget, Released, RuleSet, Source};
    use crate::detect::window::Flow;
    use crate::types::SpanIndex;

    fn rules(action: &str) -> RuleSet {
        let rule = |id: &str, pattern: &str, action: &str, more: &str| {
            format!(
                "id: {id}\ntitle: t\nfamily: secrets\ngain: g\nseverity: high\nscore: 5\ndirection: output\n\
                 action: {action}\ndetection:\n  sel_a: '{pattern}'\n{more}mark: '<>'\n\
                 examples: {{ positive: [x], negative: [y] }}\n"
            )
        };
        let text = [
            rule("PC-TST-0001", r"\b[a-z0-9][a-z0-9._]{0,15}@[a-z]{1,8}(?:@[a-z]{2})?\.(?:com|org)\b", action, ""),
            rule("PC-TST-0002", r"tok_[a-z]{3,6}", "flag", "validate: not_placeholder\n"),
            rule("PC-TST-0003", r"\bx?\.[a-z]{2}", "flag", ""),
        ];
        let source = Source { name: "test.yaml".into(), text: text.join("---\n") };
        let budget = Budget { max_rule: 1 << 20, max_total: 8 << 20, max_hold: 256 };
        RuleSet::compile(&[source], None, &BTreeMap::new(), &budget).unwrap()
    }

    /// Rule, start and end of every finding, in the order they are told.
    fn found(rules: &RuleSet, text: &str, cuts: &[usize]) -> Vec<(String, u32, u32)> {
        let mut flow = Flow::new(SpanIndex(0), false);
        let (mut out, mut all, mut from) = (Released::default(), Vec::new(), 0);
        for cut in cuts.iter().chain([&text.len()]) {
            flow.feed(rules, text.get(from..*cut).unwrap_or_default(), &mut out);
            all.append(&mut out.findings);
            from = *cut;
        }
        flow.finish(rules, &mut out);
        all.append(&mut out.findings);
        all.iter().map(|own| (own.rule.0.to_string(), own.evidence.start, own.evidence.end)).collect()
    }

    proptest! {
        #[test]
        fn looking_back_finds_what_following_every_start_finds(
            text in "(?:bob|a1|tok_abc|[.]|[.]to|@|@site|[.]com|x| |_|abcdefghijklmnop){0,10}",
            cuts in prop::collection::btree_set(0..60_usize, 0..6),
        ) {
            // A rule that redacts is never late; without enforcement it only reports.
            let (late, early) = (rules("flag"), rules("redact"));
            prop_assert!(!late.output().starts.late().is_empty() && early.output().starts.late().is_empty());
            let expected = found(&early, &text, &[]);
            let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            let every: Vec<usize> = (0..text.len()).collect();
            for cuts in [&[][..], &cuts, &every] {
                prop_assert_eq!(&found(&late, &text, cuts), &expected);
                prop_assert_eq!(&found(&early, &text, cuts), &expected);
            }
        }
    }
}
