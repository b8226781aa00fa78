//! One pattern of a prompt rule: where it may start is known when it runs.

use std::ops::Range;
use std::sync::OnceLock;

use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::Hir;

use super::literal::rare_bytes;
use super::pattern::{compile_lazily, compile_relaxed, is_relaxable};

/// So many places where a match could start are tried one by one.
const FEW_STARTS: usize = 16;

/// One pattern. It is proven to compile when the rules are loaded, and compiled to stay when a text first needs it: most
/// patterns of a large pack never run in a process, and would be most of its memory. For the same reason it is kept as
/// text, not parsed.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    source: Box<str>,
    limit: usize,
    regex: OnceLock<Option<meta::Regex>>,
    /// The pattern with its counts let go: matches wherever the pattern does, from an automaton that is many times
    /// smaller. Counting is what makes automata large, and few texts get that far.
    relaxed: Option<OnceLock<Option<meta::Regex>>>,
    /// Bytes compiled.
    memory: usize,
    longest: usize,
    /// The bytes a match can begin with.
    first: Box<[bool; 256]>,
    /// Bytes of which a match contains one.
    rare: Option<Box<[bool; 256]>>,
    /// A match is by one of these. Without any, the whole text is searched.
    pub(super) ways: Vec<Way>,
    /// Its triggers' positions, one for each way.
    pub(super) triggers: Vec<u16>,
}

/// A way to match.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// A match contains a literal of each; the first is the one to start from.
    pub(super) sets: Vec<Placed>,
}

/// A set of literals, and how many bytes after the start of a match one of them starts.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) set: u16,
    pub(super) least: usize,
    pub(super) most: usize,
}

/// What is done with each match: its checks, and a visitor that says when to stop.
pub(super) struct Visit<'a> {
    pub(super) passes: &'a dyn Fn(usize, usize) -> bool,
    pub(super) visit: &'a mut dyn FnMut(usize, usize) -> bool,
}

impl Pattern {
    /// A bounded pattern that compiles to at most `limit` bytes.
    pub(super) fn new(source: &str, hir: &Hir, longest: usize, ways: Vec<Way>, limit: usize) -> Result<Self, String> {
        Ok(Self {
            source: source.into(),
            limit,
            regex: OnceLock::new(),
            relaxed: is_relaxable(hir).then(OnceLock::new),
            memory: compile_lazily(source, limit)?.memory_usage(),
            longest,
            first: Box::new(first_bytes(hir)),
            rare: rare_bytes(hir).map(Box::new),
            ways,
            triggers: Vec::new(),
        })
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// The compiled pattern. `None` cannot be: it compiled before.
    fn regex(&self) -> Option<&meta::Regex> {
        self.regex.get_or_init(|| compile_lazily(&self.source, self.limit).ok()).as_ref()
    }

    /// Whether a match can be there at all.
    fn may_match(&self, input: Input<'_>) -> bool {
        let Some(relaxed) = &self.relaxed else { return true };
        let relaxed = relaxed.get_or_init(|| compile_relaxed(&self.source, self.limit).ok());
        relaxed.as_ref().is_none_or(|relaxed| relaxed.search_half(&input.earliest(true)).is_some())
    }

    /// Tells of matches that start in `first..=last`. True when the visitor says stop.
    pub(super) fn search(&self, text: &[u8], (first, last): (usize, usize), visit: &mut Visit<'_>) -> bool {
        if last - first <= FEW_STARTS {
            (first..=last).any(|start| self.at(text, start, visit))
        } else {
            self.within(text, first..last.saturating_add(self.longest).min(text.len()), visit)
        }
    }

    /// Tries a single start: most end after a few bytes.
    fn at(&self, text: &[u8], start: usize, visit: &mut Visit<'_>) -> bool {
        let end = start.saturating_add(self.longest).min(text.len());
        if start >= end || !contains(&self.first, text.get(start..=start).unwrap_or_default()) {
            return false;
        }
        let input = Input::new(text).span(start..end).anchored(Anchored::Yes);
        if !self.may_match(input.clone()) {
            return false;
        }
        let Some(found) = self.regex().and_then(|regex| regex.search_half(&input)) else { return false };
        (visit.passes)(start, found.offset()) && (visit.visit)(start, found.offset())
    }

    /// Searches a part of the text.
    fn within(&self, text: &[u8], range: Range<usize>, visit: &mut Visit<'_>) -> bool {
        let part = text.get(range.clone()).unwrap_or_default();
        if self.rare.as_ref().is_some_and(|rare| !contains(rare, part)) {
            return false;
        }
        if !self.may_match(Input::new(text).span(range.clone())) {
            return false;
        }
        let Some(regex) = self.regex() else { return false };
        let mut from = range.start;
        while from < range.end {
            let Some(found) = regex.search(&Input::new(text).span(from..range.end)) else { break };
            let passed = (visit.passes)(found.start(), found.end());
            if passed && (visit.visit)(found.start(), found.end()) {
                return true;
            }
            from = if passed { found.end().max(found.start() + 1) } else { found.start() + 1 };
        }
        false
    }
}

fn contains(bytes: &[bool; 256], part: &[u8]) -> bool {
    part.iter().any(|byte| bytes.get(usize::from(*byte)).is_some_and(|own| *own))
}

/// The bytes a match can begin with.
fn first_bytes(hir: &Hir) -> [bool; 256] {
    let mut extractor = regex_syntax::hir::literal::Extractor::new();
    extractor.kind(regex_syntax::hir::literal::ExtractKind::Prefix).limit_total(2_000).limit_literal_len(1);
    let mut first = [false; 256];
    let seq = extractor.extract(hir);
    let Some(literals) = seq.literals() else { return [true; 256] };
    for literal in literals {
        match literal.as_bytes().first().and_then(|byte| first.get_mut(usize::from(*byte))) {
            Some(slot) => *slot = true,
            None => return [true; 256],
        }
    }
    first
}
