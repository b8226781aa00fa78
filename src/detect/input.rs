//! Prompts: one pass for the literals of all rules; a pattern runs only where a literal of each of its sets is near.

use std::sync::Arc;

use super::condition::Condition;
use super::learned;
use super::place::{Places, Scene, Windows};
use super::rule::Roles;
use super::single::{Pattern, Visit, Way};
use super::validate::Validator;
use super::web::{self, Probe};
use super::words::Words;
use crate::types::Role;

/// The input side of a rule set.
#[derive(Debug, Clone)]
pub(super) struct InputEngine {
    words: Option<Arc<Words>>,
    places: Places,
    rules: Vec<InputRule>,
    watches: Vec<Watch>,
    learned: Arc<learned::Table>,
}

/// A rule that reports what a built-in detector finds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    /// Its position among all rules.
    pub(super) rule: usize,
    pub(super) roles: Roles,
    pub(super) probe: Probe,
}

/// The input side of one rule.
#[derive(Debug, Clone)]
pub(super) struct InputRule {
    /// Its position among all rules.
    pub(super) rule: usize,
    pub(super) roles: Roles,
    pub(super) selections: Vec<Selection>,
    pub(super) condition: Condition,
    pub(super) validators: Vec<Validator>,
    /// Report every match, not only the first.
    pub(super) all: bool,
}

/// Patterns of which any may match.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) patterns: Vec<Pattern>,
    pub(super) negative: bool,
}

/// Where one rule matched: its position among all rules and the matches' ranges.
pub(super) type Hits = Vec<(usize, usize, usize)>;

impl InputEngine {
    /// Over the rules, and the sets of literals their patterns name by position.
    pub(super) fn new(
        mut rules: Vec<InputRule>,
        watches: Vec<Watch>,
        learned: &[(usize, Roles, learned::Weights)],
        sets: &[Vec<String>],
    ) -> Result<Self, String> {
        let mut texts: Vec<String> = sets.iter().flatten().cloned().collect();
        texts.sort_unstable();
        texts.dedup();
        let words = if texts.is_empty() { None } else { Some(Arc::new(Words::new(&texts)?)) };
        let mut places = Places::new(&texts, sets)?;
        for (nth, rule) in rules.iter_mut().enumerate() {
            for pattern in rule.selections.iter_mut().filter(|own| !own.negative).flat_map(|own| &mut own.patterns) {
                for way in &pattern.ways {
                    pattern.triggers.extend(places.add(nth, way)?);
                }
            }
        }
        let learned = Arc::new(learned::Table::new(learned)?);
        Ok(Self { words, places, rules, watches, learned })
    }

    /// Bytes compiled.
    pub(super) fn memory(&self) -> usize {
        let patterns = self.rules.iter().flat_map(|rule| &rule.selections).flat_map(|own| &own.patterns);
        let words = self.words.as_ref().map_or(0, |words| words.memory());
        words + patterns.map(Pattern::memory).sum::<usize>() + self.learned.memory()
    }

    /// Where rules for `role` match, by rule.
    pub(super) fn scan(&self, text: &[u8], role: Role) -> Hits {
        let mut found = Hits::new();
        if self.watches.iter().any(|watch| watch.roles.contains(role)) {
            for caught in web::examine(text) {
                let own = |watch: &&Watch| watch.probe == caught.probe && watch.roles.contains(role);
                found.extend(self.watches.iter().filter(own).map(|watch| (watch.rule, caught.start, caught.end)));
            }
        }
        self.apply(text, role, |_| true, false, &mut found);
        self.learned.scan(text, role, &mut found);
        found
    }

    /// Every place where those rules match that are `wanted` by their position, though they report only the first.
    pub(super) fn scan_every(&self, text: &[u8], role: Role, wanted: impl Fn(usize) -> bool) -> Hits {
        let mut found = Hits::new();
        self.apply(text, role, |rule| wanted(rule.rule), true, &mut found);
        found
    }

    fn apply(&self, text: &[u8], role: Role, wanted: impl Fn(&InputRule) -> bool, every: bool, found: &mut Hits) {
        let Some(words) = &self.words else { return };
        let mut hits = Vec::with_capacity(text.len() / 16);
        let signs = words.find(text, &mut hits);
        if hits.is_empty() {
            return;
        }
        let scene = self.places.scene(&hits, signs, text.len());
        let (windows, rules) = self.places.look(&scene);
        for rule in rules.into_iter().filter_map(|at| self.rules.get(at)) {
            if rule.roles.contains(role) && wanted(rule) {
                rule.matches(text, &scene, &windows, every || rule.all, found);
            }
        }
    }
}

impl InputRule {
    /// Appends where this rule matches: first, or everywhere.
    fn matches(&self, text: &[u8], scene: &Scene<'_>, windows: &Windows, everywhere: bool, found: &mut Hits) {
        let mut evaluation = Evaluation { rule: self, text, scene, windows, known: 0, held: 0, first: None };
        if !evaluation.holds(&self.condition) {
            return;
        }
        if !everywhere {
            found.extend(evaluation.first.map(|(start, end)| (self.rule, start, end)));
            return;
        }
        let mut every: Vec<(usize, usize)> = Vec::new();
        for selection in self.selections.iter().filter(|selection| !selection.negative) {
            self.find(selection, text, scene, windows, &mut |start, end| {
                every.push((start, end));
                false
            });
        }
        every.sort_unstable();
        let mut merged: Vec<(usize, usize)> = Vec::new();
        for (start, end) in every {
            match merged.last_mut() {
                Some(last) if start < last.1 => last.1 = last.1.max(end),
                Some(_) | None => merged.push((start, end)),
            }
        }
        found.extend(merged.into_iter().map(|(start, end)| (self.rule, start, end)));
    }

    /// Tells `visit` matches of `selection` that pass the checks, until it says stop.
    fn find(
        &self,
        selection: &Selection,
        text: &[u8],
        scene: &Scene<'_>,
        windows: &Windows,
        visit: &mut dyn FnMut(usize, usize) -> bool,
    ) {
        let passes = |start: usize, end: usize| {
            let matched = text.get(start..end).unwrap_or_default();
            self.validators.iter().all(|validator| validator.passes(matched))
        };
        for pattern in &selection.patterns {
            let occurs = |way: &Way| way.sets.iter().all(|placed| scene.occurs(placed.set));
            if !pattern.ways.is_empty() && !pattern.ways.iter().any(occurs) {
                continue;
            }
            if selection.negative {
                // That it is there is all that matters.
                if pattern.occurs(text, scene.signs()) && visit(0, text.len()) {
                    return;
                }
                continue;
            }
            let starts = match pattern.triggers.as_slice() {
                [] => vec![(0, text.len())],
                triggers => windows.of(triggers),
            };
            let mut visit = Visit { passes: &passes, visit };
            if starts.into_iter().any(|range| pattern.search(text, range, scene.signs(), &mut visit)) {
                return;
            }
        }
    }
}

/// A condition being evaluated: each of the first 64 selections is searched for once, when it is needed.
struct Evaluation<'a> {
    rule: &'a InputRule,
    text: &'a [u8],
    scene: &'a Scene<'a>,
    windows: &'a Windows,
    /// By selection, as bits: whether it was searched for, and whether it is there.
    known: u64,
    held: u64,
    /// The match of the first `sel_*` that held.
    first: Option<(usize, usize)>,
}

impl Evaluation<'_> {
    fn holds(&mut self, condition: &Condition) -> bool {
        match condition {
            Condition::Selection(at) => self.selected(*at),
            Condition::And(parts) => parts.iter().all(|part| self.holds(part)),
            Condition::Or(parts) => parts.iter().any(|part| self.holds(part)),
            Condition::Not(part) => !self.holds(part),
        }
    }

    fn selected(&mut self, at: usize) -> bool {
        let bit = u32::try_from(at).ok().and_then(|at| 1_u64.checked_shl(at)).unwrap_or(0);
        if self.known & bit != 0 {
            return self.held & bit != 0;
        }
        let Some(selection) = self.rule.selections.get(at) else { return false };
        let mut found = None;
        self.rule.find(selection, self.text, self.scene, self.windows, &mut |start, end| {
            found = Some((start, end));
            true
        });
        if !selection.negative {
            self.first = self.first.or(found);
        }
        self.known |= bit;
        self.held |= if found.is_some() { bit } else { 0 };
        found.is_some()
    }
}
