//! The window an answer passes through: holds back exactly what a live partial match still needs.
//!
//! At every byte where a match of some pattern could start, a candidate is born; every further byte moves each
//! candidate's automaton on, and it dies when no match can come of it any more. Text leaves once no live candidate
//! that could redact or block covers it. All of it happens byte by byte, so how the text was cut into chunks cannot
//! matter. A match is the longest from its start; matches that overlap are replaced together, by the mark of the one
//! that starts first.

use std::cmp::Reverse;
use std::sync::Arc;

use super::RuleSet;
use super::automaton::{DEAD, behind};
use super::late::Recent;
use super::leak::{Event, Known, Trail};
use super::output::{OutputEngine, OutputPattern, OutputRule};
use super::released::Released;
use super::treatment::{Treatments, treated};

use crate::types::{Action, Evidence, Severity, SpanIndex};

/// A buffer that held more than this is given back when empty.
const KEEP_CAPACITY: usize = 4096;
/// Bytes looked ahead, where they are there, before a start becomes a candidate. Bounds the work per start.
const LOOK_AHEAD: usize = 24;

/// The window of one channel of an answer.
#[derive(Debug)]
pub struct Window {
    rules: Arc<RuleSet>,
    flow: Flow,
}

impl Window {
    /// An empty window. With `enforce` off it reports what it finds, but never holds or changes anything.
    pub fn new(rules: Arc<RuleSet>, span: SpanIndex, enforce: bool) -> Self {
        Self { rules, flow: Flow::new(span, enforce) }
    }

    /// The same, where the prompt the answer was made under is known. Nothing was fed yet.
    pub fn knowing(mut self, prompt: Option<&Arc<Known>>) -> Self {
        self.flow = self.flow.knowing(&self.rules, prompt);
        self
    }

    /// The same under a policy that treats some families in another way.
    pub fn treating(mut self, treatments: Option<Arc<Treatments>>) -> Self {
        self.flow.treatments = treatments;
        self
    }

    /// Takes the next part of the channel's text; `out` is cleared and filled with what may leave.
    pub fn feed(&mut self, text: &str, out: &mut Released) {
        self.flow.feed(&self.rules, text, out);
    }

    /// The channel is over: `out` is cleared and filled with the rest.
    pub fn finish(&mut self, out: &mut Released) {
        self.flow.finish(&self.rules, out);
    }

    /// Bytes fed that have neither left nor been replaced.
    pub fn held(&self) -> usize {
        self.flow.held()
    }
}

/// A window without its rules. Positions count the bytes of the channel.
#[derive(Debug)]
pub(super) struct Flow {
    span: SpanIndex,
    enforce: bool,
    pub(super) treatments: Option<Arc<Treatments>>,
    /// Where a blocking match starts.
    blocked: Option<u64>,
    /// The last byte fed.
    before: Option<u8>,
    /// The last bytes fed, for what is looked for backwards.
    recent: Recent,
    /// What is repeated of the prompt, where it is known and a rule reports that.
    trail: Option<Box<Trail>>,
    /// Bytes fed.
    fed: u64,
    /// Bytes that left or were replaced for good.
    sent: u64,
    /// The position of `kept`'s first byte.
    base: u64,
    /// Text that is held, or still needed to judge a match.
    kept: String,
    live: Vec<Candidate>,
    /// What is to be replaced: sorted, disjoint.
    cuts: Vec<Cut>,
    /// Findings that may still grow.
    open: Vec<Open>,
}

/// A place where a match may have begun.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    start: u64,
    /// Where the longest match so far ends; 0 when there is none. All up to here is going to be replaced, unless the
    /// match is yet to be judged.
    end: u64,
    state: u16,
    pattern: u16,
    /// The look-behind class of its start.
    behind: u8,
}

/// Text to be replaced.
#[derive(Debug, Clone, Copy)]
struct Cut {
    start: u64,
    end: u64,
    /// Whose mark: that of the match that starts first, then of the more severe rule, then of the lower id.
    order: (u64, Reverse<Severity>, usize),
}

/// One rule's overlapping matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Open {
    start: u64,
    end: u64,
    rule: usize,
}

impl Flow {
    pub(super) fn new(span: SpanIndex, enforce: bool) -> Self {
        Self {
            span,
            enforce,
            treatments: None,
            blocked: None,
            before: None,
            recent: Recent::default(),
            trail: None,
            fed: 0,
            sent: 0,
            base: 0,
            kept: String::new(),
            live: Vec::new(),
            cuts: Vec::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn knowing(mut self, rules: &RuleSet, prompt: Option<&Arc<Known>>) -> Self {
        let reported = !rules.output().leaks.is_empty();
        self.trail = prompt.filter(|_| reported).map(|prompt| Box::new(Trail::new(prompt)));
        self
    }

    pub(super) fn held(&self) -> usize {
        let waiting = self.fed.saturating_sub(self.sent);
        let replaced: u64 = self.cuts.iter().map(|cut| cut.end.saturating_sub(cut.start)).sum();
        if self.enforce && self.blocked.is_none() { size(waiting.saturating_sub(replaced)) } else { 0 }
    }

    pub(super) fn feed(&mut self, rules: &RuleSet, text: &str, out: &mut Released) {
        out.clear();
        if self.stopped(out) {
            return;
        }
        let clear = self.sent == self.fed;
        if self.kept.is_empty() {
            self.base = self.fed;
            self.read(rules, text, out);
            let from = self.release(rules, text, clear, out);
            self.base += from as u64;
            self.kept.push_str(text.get(from..).unwrap_or_default());
            return;
        }
        let mut view = std::mem::take(&mut self.kept);
        view.push_str(text);
        self.read(rules, &view, out);
        let from = self.release(rules, &view, clear, out);
        self.base += from as u64;
        if from >= view.len() && view.capacity() > KEEP_CAPACITY {
            return;
        }
        view.drain(..from.min(view.len()));
        self.kept = view;
    }

    pub(super) fn finish(&mut self, rules: &RuleSet, out: &mut Released) {
        out.clear();
        if self.stopped(out) {
            return;
        }
        let clear = self.sent == self.fed;
        let view = std::mem::take(&mut self.kept);
        let engine = rules.output();
        for mut candidate in std::mem::take(&mut self.live) {
            let Some(pattern) = engine.pattern(candidate.pattern) else { continue };
            if pattern.automaton.is_match(pattern.automaton.end(candidate.state)) {
                self.matched(rules, pattern, &mut candidate);
            }
            self.ended(rules, pattern, &candidate, view.as_bytes());
        }
        for event in self.trail.take().into_iter().flat_map(|mut trail| trail.finish()) {
            self.repeated(rules, event);
        }
        // What would have had to come cannot any more.
        self.recent = Recent::default();
        self.release(rules, &view, clear, out);
    }

    /// After a block nothing leaves any more.
    fn stopped(&self, out: &mut Released) -> bool {
        out.blocked = self.blocked.is_some() && self.enforce;
        out.blocked
    }

    /// Reads what of `view` (which starts at `base`) was not read yet, from one thing that happens to the next.
    fn read(&mut self, rules: &RuleSet, view: &str, out: &mut Released) {
        loop {
            let at = size(self.fed - self.base);
            let rest = view.get(at..).unwrap_or_default();
            let (length, event) = self.trail.as_mut().map_or((rest.len(), None), |trail| trail.feed(rest));
            self.advance(rules, view.as_bytes().get(..at + length).unwrap_or_default(), out);
            let Some(event) = event.filter(|_| self.blocked.is_none() || !self.enforce) else { return };
            self.repeated(rules, event);
        }
    }

    /// The prompt is repeated.
    fn repeated(&mut self, rules: &RuleSet, event: Event) {
        let Event::Found { start, end } = event else { return };
        for rule in &rules.output().leaks {
            self.accept(rules, *rule, start, end);
        }
    }

    /// Where the first finding may start that is yet to be told of what is repeated.
    fn repeats_from(&self) -> u64 {
        self.trail.iter().flat_map(|trail| trail.held()).map(|(start, _)| start).min().unwrap_or(u64::MAX)
    }

    /// Reads the bytes of `view` (which starts at `base`) that were not read yet.
    fn advance(&mut self, rules: &RuleSet, view: &[u8], out: &mut Released) {
        let engine = rules.output();
        let fresh = view.get(size(self.fed - self.base)..).unwrap_or_default();
        let from = self.fed;
        let mut start = engine.starts.next(self.before, fresh, 0);
        let mut at = 0;
        loop {
            let (next, bits) = start.unwrap_or((fresh.len(), 0));
            if self.live.is_empty() {
                (at, self.fed) = (next, from + next as u64);
            }
            let text = fresh.get(at..).unwrap_or_default();
            let Some(byte) = text.first() else { break };
            let starts = at == next;
            if starts && engine.starts.is_late(bits) {
                self.look_back(engine, fresh.get(..at).unwrap_or_default(), *byte);
            }
            if !self.live.is_empty() {
                self.step(rules, engine, view, *byte);
                if self.blocked.is_some() && self.enforce {
                    return;
                }
                if self.live.is_empty() && !self.open.is_empty() {
                    let until = self.late_start(engine, fresh.get(..=at).unwrap_or_default());
                    self.close(rules, until.min(self.repeats_from()), out);
                }
            }
            if starts {
                let before = at.checked_sub(1).map_or(self.before, |at| fresh.get(at).copied());
                self.spawn(engine, bits, behind(before), text);
                start = engine.starts.next(self.before, fresh, at + 1);
            }
            at += 1;
            self.fed += 1;
        }
        self.before = fresh.last().copied().or(self.before);
        if !engine.starts.late().is_empty() {
            self.recent.push(fresh);
        }
    }

    /// A match may start with `text` at `fed`, by what some buckets say.
    fn spawn(&mut self, engine: &OutputEngine, bits: u64, behind: usize, text: &[u8]) {
        let Some((byte, rest)) = text.split_first() else { return };
        let first = self.live.len();
        for number in engine.starts.patterns(bits, behind, text) {
            let Some(own) = engine.pattern(number) else { continue };
            let state = own.automaton.first(behind, *byte);
            let known = |known: &Candidate| known.pattern == number;
            // What comes to nothing within the text at hand leaves no trace: it needs no candidate.
            if state != DEAD
                && !own.automaton.dies_within(state, rest.iter().take(LOOK_AHEAD))
                && !self.live.iter().skip(first).any(known)
            {
                self.live.push(Candidate { start: self.fed, end: 0, state, pattern: number, behind: behind as u8 });
            }
        }
    }

    /// `byte` comes next, without which certain patterns do not match: whatever can match with it by now becomes live.
    /// What started before the last such byte became so then.
    fn look_back(&mut self, engine: &OutputEngine, read: &[u8], byte: u8) {
        for late in engine.starts.late().iter().filter(|late| late.byte == byte) {
            for own in late.alive(engine, &self.recent.with(read)) {
                let start = self.fed - own.back as u64;
                self.live.push(Candidate { start, end: 0, state: own.state, pattern: own.pattern, behind: own.behind });
            }
        }
    }

    /// Where the first match starts that may be found looking back from a byte to come, `read` just having been read.
    fn late_start(&self, engine: &OutputEngine, read: &[u8]) -> u64 {
        let (recent, end) = (self.recent.with(read), self.recent.end() + read.len() as u64);
        let alive = engine.starts.late().iter().flat_map(|late| late.alive(engine, &recent));
        alive.map(|own| end - own.back as u64).min().unwrap_or(u64::MAX)
    }

    /// Moves every candidate on by one byte, the one at `fed`.
    fn step(&mut self, rules: &RuleSet, engine: &OutputEngine, view: &[u8], byte: u8) {
        let mut quiet = true;
        for candidate in &mut self.live {
            let Some(pattern) = engine.pattern(candidate.pattern) else { continue };
            candidate.state = pattern.automaton.next(candidate.state, byte);
            quiet &= pattern.automaton.is_quiet(candidate.state);
        }
        if quiet {
            if self.live.len() > 1 {
                merge(engine, &mut self.live);
            }
            return;
        }
        let mut live = std::mem::take(&mut self.live);
        live.retain_mut(|candidate| {
            let Some(pattern) = engine.pattern(candidate.pattern) else { return false };
            if pattern.automaton.is_match(candidate.state) {
                self.matched(rules, pattern, candidate);
            }
            let lives = pattern.automaton.is_live(candidate.state);
            if !lives {
                self.ended(rules, pattern, candidate, view);
            }
            lives
        });
        if live.len() > 1 {
            merge(engine, &mut live);
        }
        self.live = live;
    }

    /// A match of `candidate` ends before the byte at `fed`.
    fn matched(&mut self, rules: &RuleSet, pattern: &OutputPattern, candidate: &mut Candidate) {
        if pattern.kind.judged || self.accept(rules, pattern.rule, candidate.start, self.fed) {
            candidate.end = self.fed;
        }
    }

    /// No further match can come of `candidate`.
    fn ended(&mut self, rules: &RuleSet, pattern: &OutputPattern, candidate: &Candidate, view: &[u8]) {
        if pattern.kind.judged
            && candidate.end > 0
            && let Some(end) = judge(rules.output(), pattern, candidate, view, self.base)
        {
            self.accept(rules, pattern.rule, candidate.start, end);
        }
    }

    /// What a rule that matched asks for; nothing where the policy says so.
    fn asks(&self, rules: &RuleSet, own: &OutputRule) -> Option<Action> {
        let (Some(treatments), Some(rule)) = (&self.treatments, rules.rules().get(own.rule)) else {
            return Some(own.action);
        };
        treatments.in_answer(rule.family, own.action)
    }

    /// A match is certain. True when its text is going to be replaced.
    fn accept(&mut self, rules: &RuleSet, rule: usize, start: u64, end: u64) -> bool {
        let Some(own) = rules.output().rules.get(rule) else { return false };
        let Some(action) = self.asks(rules, own) else { return false };
        self.note(Open { start, end, rule: own.rule });
        if !self.enforce {
            return false;
        }
        match action {
            Action::Block => {
                self.blocked = Some(self.blocked.map_or(start, |known| known.min(start)));
                false
            }
            Action::Redact => {
                let severity = rules.rules().get(own.rule).map_or(Severity::Informational, |rule| rule.severity);
                self.cut(Cut { start, end, order: (start, Reverse(severity), own.rule) });
                true
            }
            Action::Score | Action::Flag => false,
        }
    }

    /// Joins a match with its rule's matches that overlap it.
    fn note(&mut self, mut new: Open) {
        if let Some(last) = self.open.last_mut()
            && (last.rule, last.start) == (new.rule, new.start)
        {
            last.end = last.end.max(new.end);
            new = *last;
            self.open.pop();
        }
        self.open.retain(|known| {
            let apart = known.rule != new.rule || known.end <= new.start || new.end <= known.start;
            if !apart {
                new.start = new.start.min(known.start);
                new.end = new.end.max(known.end);
            }
            apart
        });
        self.open.push(new);
    }

    /// Joins a replacement with those that overlap it.
    fn cut(&mut self, mut new: Cut) {
        let after = self.cuts.partition_point(|known| known.end <= new.start);
        while let Some(known) = self.cuts.get(after).copied().filter(|known| known.start < new.end) {
            new.start = new.start.min(known.start);
            new.end = new.end.max(known.end);
            new.order = new.order.min(known.order);
            self.cuts.remove(after);
        }
        self.cuts.insert(after, new);
    }

    /// Hands out the findings that end by `until` and so cannot grow any more, in the order they start.
    fn close(&mut self, rules: &RuleSet, until: u64, out: &mut Released) {
        self.open.sort_unstable();
        let closed = self.open.iter().take_while(|open| open.end <= until).count();
        for open in self.open.drain(..closed) {
            let evidence = Evidence { span: self.span, start: short(open.start), end: short(open.end) };
            let finding = rules.finding(open.rule, evidence);
            out.findings.extend(finding.map(|finding| treated(self.treatments.as_deref(), finding)));
        }
    }

    /// Lets go of everything no live candidate needs. Returns how many bytes of `view` need not be kept.
    fn release(&mut self, rules: &RuleSet, view: &str, clear: bool, out: &mut Released) -> usize {
        out.blocked = self.blocked.is_some() && self.enforce;
        let (mut first, mut starts, mut hold, mut needed) = (u64::MAX, u64::MAX, self.fed, self.fed);
        for candidate in &self.live {
            let Some(pattern) = rules.output().pattern(candidate.pattern) else { continue };
            first = first.min(candidate.start);
            if pattern.kind.judged {
                needed = needed.min(candidate.start);
            }
            if self.enforce && pattern.kind.enforced {
                starts = starts.min(candidate.start);
                let confirmed = candidate.end > 0 && !pattern.kind.judged;
                hold = hold.min(if confirmed { candidate.end } else { candidate.start });
            }
        }
        // The trail may have read on behind what is blocked.
        for (start, end) in self.trail.iter().filter(|_| !out.blocked).flat_map(|trail| trail.held()) {
            first = first.min(start);
            if self.enforce && rules.output().holds_leaks() {
                (starts, hold) = (starts.min(start), hold.min(end.unwrap_or(start)));
            }
        }
        if out.blocked {
            let start = self.blocked.unwrap_or(0);
            (first, starts, hold) = (u64::MAX, starts.min(start), hold.min(start));
        }
        if !self.open.is_empty() {
            let late = if out.blocked { u64::MAX } else { self.late_start(rules.output(), &[]) };
            self.close(rules, first.min(late), out);
        }
        let hold = self.base + boundary(view, size(hold.saturating_sub(self.base))) as u64;
        if clear && hold == self.fed && self.cuts.is_empty() && !out.blocked {
            out.unchanged = true;
            self.sent = self.fed;
        } else {
            self.emit(rules, view, starts, hold, &mut out.text);
        }
        if out.blocked {
            (self.live, self.cuts, self.kept, self.trail) = (Vec::new(), Vec::new(), String::new(), None);
            return view.len();
        }
        size(hold.min(needed).saturating_sub(self.base))
    }

    /// Appends the text up to `hold`, with what is to be replaced before `starts` replaced.
    fn emit(&mut self, rules: &RuleSet, view: &str, starts: u64, hold: u64, text: &mut String) {
        let base = self.base;
        let part = |from: u64, to: u64| {
            let (from, to) = (size(from.saturating_sub(base)), size(to.saturating_sub(base)));
            view.get(boundary(view, from)..boundary(view, to)).unwrap_or_default()
        };
        let mut limit = hold;
        let mut done = 0;
        for cut in &self.cuts {
            if cut.end > starts || cut.start > hold {
                limit = limit.min(cut.start);
                break;
            }
            text.push_str(part(self.sent, cut.start));
            text.push_str(rules.rules().get(cut.order.2).map_or("", |rule| &rule.mark));
            // A match that ends within a character takes all of it.
            let mut end = size(cut.end.saturating_sub(base));
            while end < view.len() && !view.is_char_boundary(end) {
                end += 1;
            }
            self.sent = base + end as u64;
            done += 1;
        }
        self.cuts.drain(..done);
        if limit > self.sent {
            text.push_str(part(self.sent, limit));
            self.sent = limit;
        }
    }
}

/// Candidates of one pattern in the same state have the same future: only the first stays. Those to be judged differ in
/// their text and all stay.
fn merge(engine: &OutputEngine, live: &mut Vec<Candidate>) {
    let mut seen = 0_u64;
    let mut at = 0;
    while let Some(own) = live.get(at).copied() {
        let bit = 1 << ((own.state ^ own.pattern.wrapping_mul(37)) & 63);
        let judged = engine.pattern(own.pattern).is_none_or(|pattern| pattern.kind.judged);
        let same = |known: &Candidate| (known.pattern, known.state) == (own.pattern, own.state);
        if !judged && seen & bit != 0 && live.iter().take(at).any(same) {
            live.remove(at);
        } else {
            seen |= bit;
            at += 1;
        }
    }
}

/// The longest match of `candidate` that passes its rule's checks, where every end is tried, or the longest of all if
/// it does.
fn judge(engine: &OutputEngine, pattern: &OutputPattern, candidate: &Candidate, view: &[u8], base: u64) -> Option<u64> {
    let text = view.get(size(candidate.start.saturating_sub(base))..).unwrap_or_default();
    let longest = text.get(..size(candidate.end - candidate.start)).unwrap_or_default();
    let rule = engine.rules.get(pattern.rule)?;
    if rule.passes(longest) {
        return Some(candidate.end);
    }
    if !rule.tries_every_end() {
        return None;
    }
    let (head, rest) = longest.split_first()?;
    let mut state = pattern.automaton.first(usize::from(candidate.behind), *head);
    let mut ends = Vec::new();
    for (length, byte) in (1..).zip(rest) {
        state = pattern.automaton.next(state, *byte);
        if pattern.automaton.is_match(state) {
            ends.push(length);
        }
    }
    let passes = |length: &usize| longest.get(..*length).is_some_and(|matched| rule.passes(matched));
    ends.into_iter().rev().find(passes).map(|length| candidate.start + length as u64)
}

/// The last character boundary at or before `at`.
fn boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Evidence counts in 32 bits; a longer channel's evidence ends at the last position they hold.
fn short(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
