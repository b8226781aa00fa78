//! Where a pattern may start: before a literal of its rarest set, where a literal of each other set is in place.

use super::bits::Bits;
use super::signs::Signs;
use super::single::{Placed, Way};
use super::words::Hit;

/// Every set of literals, by the literals that occur.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// By literal: the sets it is in, and the patterns to look at when it occurs.
    literals: Vec<Literal>,
    /// How many sets there are.
    set_count: usize,
    triggers: Vec<Trigger>,
}

#[derive(Debug, Clone, Default)]
struct Literal {
    sets: Box<[u16]>,
    /// Triggers whose rarest set it is in.
    triggers: Box<[Gated]>,
}

/// A trigger, and two of the sets it needs beside its rarest: most triggers are ruled out by them, unseen.
#[derive(Debug, Clone, Copy)]
struct Gated {
    trigger: u16,
    gates: [u16; 2],
}

/// Stands for no set.
const NO_SET: u16 = u16::MAX;

/// A way to match that is looked at when a literal of its rarest set occurs.
#[derive(Debug, Clone)]
struct Trigger {
    /// Its rule, by position among the input rules.
    rule: u16,
    /// The rarest set.
    own: Placed,
    /// The sets of which a literal must be near, too; [`MOST_ALSO`] at most.
    also: Box<[Near]>,
    /// A set whose literals tell exactly where a match starts.
    exact: Option<Placed>,
}

/// A set beside the rarest one.
#[derive(Debug, Clone)]
struct Near {
    set: u16,
    /// How far from the start of a match one of it starts, at least and at most.
    after: (i64, i64),
    /// How far from a literal of the rarest set one of it starts, at least and at most: negative before it.
    least: i64,
    most: i64,
}

/// Most sets looked for beside the rarest one.
const MOST_ALSO: usize = 32;

/// Where the literals of a text are.
pub(super) struct Scene<'a> {
    hits: &'a [Hit],
    signs: Signs,
    occurring: Bits,
    blocks: Blocks,
}

impl Scene<'_> {
    /// Which digits and signs are where.
    pub(super) fn signs(&self) -> &Signs {
        &self.signs
    }

    /// Whether a literal of the set occurs.
    pub(super) fn occurs(&self, set: u16) -> bool {
        self.occurring.get(set)
    }
}

impl Places {
    /// Of sets of the literals in `texts`, which are sorted.
    pub(super) fn new(texts: &[String], sets: &[Vec<String>]) -> Result<Self, String> {
        let mut literals = vec![(Vec::new(), Vec::new()); texts.len()];
        for (nth, set) in sets.iter().enumerate() {
            let nth = short(nth)?;
            for text in set {
                let at = texts.binary_search(text).unwrap_or(usize::MAX);
                literals.get_mut(at).into_iter().for_each(|(own, _): &mut (Vec<u16>, Vec<u16>)| own.push(nth));
            }
        }
        let literals = literals.into_iter().map(|(sets, _)| Literal { sets: sets.into(), triggers: Box::default() });
        if sets.len() > usize::from(NO_SET) {
            return Err("more than 65,535 sets of literals".to_owned());
        }
        Ok(Self { literals: literals.collect(), set_count: sets.len(), triggers: Vec::new() })
    }

    /// Adds a way to match for a rule; its trigger's position.
    pub(super) fn add(&mut self, rule: usize, way: &Way) -> Result<Option<u16>, String> {
        let Some((own, rest)) = way.sets.split_first() else { return Ok(None) };
        let signed = |bytes: usize| i64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let near = |placed: &Placed| Near {
            set: placed.set,
            after: (signed(placed.least), signed(placed.most)),
            least: signed(placed.least) - signed(own.most),
            most: signed(placed.most) - signed(own.least),
        };
        let exact = way.sets.iter().find(|placed| placed.least == placed.most).cloned();
        let trigger = Trigger {
            rule: short(rule)?,
            own: own.clone(),
            also: rest.iter().take(MOST_ALSO).map(near).collect(),
            exact,
        };
        // One fewer than there are numbers: a position plus one is a number too.
        let nth = short(self.triggers.len().saturating_add(1))?.saturating_sub(1);
        let mut gates = [NO_SET; 2];
        gates.iter_mut().zip(&trigger.also).for_each(|(gate, near)| *gate = near.set);
        self.triggers.push(trigger);
        for literal in self.literals.iter_mut().filter(|literal| literal.sets.contains(&own.set)) {
            let mut triggers = std::mem::take(&mut literal.triggers).into_vec();
            triggers.push(Gated { trigger: nth, gates });
            literal.triggers = triggers.into();
        }
        Ok(Some(nth))
    }

    /// Where sets occur in a text of `len` bytes.
    pub(super) fn scene<'a>(&self, hits: &'a [Hit], signs: Signs, len: usize) -> Scene<'a> {
        let (occurring, blocks) = (Bits::new(self.set_count), Blocks::new(self.set_count, len));
        let mut scene = Scene { hits, signs, occurring, blocks };
        for hit in hits {
            for set in self.literals.get(usize::from(hit.literal)).map_or(&[][..], |own| &own.sets) {
                scene.occurring.set(*set);
                scene.blocks.set(hit.start, *set);
            }
        }
        scene
    }

    /// Where matches can start, and the rules to look at, in order.
    pub(super) fn look(&self, scene: &Scene<'_>) -> (Windows, Vec<usize>) {
        let mut windows = Windows::new(self.triggers.len());
        for (nth, hit) in scene.hits.iter().enumerate() {
            let Some(literal) = self.literals.get(usize::from(hit.literal)) else { continue };
            for Gated { trigger: at, gates } in &literal.triggers {
                if !gates.iter().all(|gate| *gate == NO_SET || scene.occurs(*gate)) {
                    continue;
                }
                let Some(trigger) = self.triggers.get(usize::from(*at)) else { continue };
                if !trigger.also.iter().all(|near| scene.occurs(near.set)) {
                    continue;
                }
                let start = i64::from(hit.start);
                let about = |near: &Near| scene.blocks.any(start + near.least, start + near.most, near.set);
                if trigger.also.iter().all(about) {
                    self.start(*at, trigger, scene, nth, &mut windows);
                }
            }
        }
        let mut rules = Bits::new(self.triggers.len());
        let looked_at = windows.found.iter().filter_map(|own| self.triggers.get(usize::from(own.trigger)));
        looked_at.for_each(|trigger| rules.set(trigger.rule));
        let rules = rules.ones().collect();
        (windows, rules)
    }

    /// Notes where a match may start, seen from the hit `nth`.
    fn start(&self, at: u16, trigger: &Trigger, scene: &Scene<'_>, nth: usize, windows: &mut Windows) {
        let Some(start) = scene.hits.get(nth).map(|hit| hit.start) else { return };
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let Some(last) = start.checked_sub(length(trigger.own.least)) else { return };
        let first = start.saturating_sub(length(trigger.own.most));
        match &trigger.exact {
            Some(exact) if first < last => {
                // What an earlier literal led to is known.
                let first = first.max(windows.judge(at, last));
                if first > last {
                    return;
                }
                let ahead = length(exact.least);
                self.around(scene, nth, (i64::from(first + ahead), i64::from(last + ahead)), |hit, literal| {
                    if literal.sets.contains(&exact.set)
                        && let Some(start) = hit.start.checked_sub(ahead)
                        && !windows.extend(at, (start, start))
                        && self.in_place(scene, nth, trigger, |near| {
                            let start = i64::from(start);
                            (start + near.after.0, start + near.after.1)
                        })
                    {
                        windows.push(at, (start, start));
                    }
                    false
                });
            }
            Some(_) | None => {
                let start = i64::from(start);
                if !windows.extend(at, (first, last))
                    && self.in_place(scene, nth, trigger, |near| (start + near.least, start + near.most))
                {
                    windows.push(at, (first, last));
                }
            }
        }
    }

    /// Whether a literal of each set starts where it must.
    fn in_place(&self, scene: &Scene<'_>, nth: usize, trigger: &Trigger, range: impl Fn(&Near) -> (i64, i64)) -> bool {
        let mut missing = (1_u64 << trigger.also.len().min(MOST_ALSO)) - 1;
        if missing == 0 {
            return true;
        }
        let ranges = trigger.also.iter().map(&range);
        let reach = ranges.fold((i64::MAX, i64::MIN), |(first, last), own| (own.0.min(first), own.1.max(last)));
        self.around(scene, nth, reach, |hit, literal| {
            let start = i64::from(hit.start);
            for (bit, near) in trigger.also.iter().enumerate() {
                let (first, last) = range(near);
                if (first..=last).contains(&start) && literal.sets.contains(&near.set) {
                    missing &= !(1 << bit);
                }
            }
            missing == 0
        });
        missing == 0
    }

    /// Visits the hits that start in a range, seen from the hit `nth`, until told to stop.
    fn around(
        &self,
        scene: &Scene<'_>,
        nth: usize,
        (first, last): (i64, i64),
        mut visit: impl FnMut(&Hit, &Literal) -> bool,
    ) {
        let mut seen = |hit: &Hit| {
            let inside = (first..=last).contains(&i64::from(hit.start));
            let literal = self.literals.get(usize::from(hit.literal)).filter(|_| inside);
            literal.is_some_and(|literal| visit(hit, literal))
        };
        let (before, from) = scene.hits.split_at_checked(nth).unwrap_or_default();
        let _stopped = before.iter().rev().take_while(|hit| i64::from(hit.start) >= first).any(&mut seen)
            || from.iter().take_while(|hit| i64::from(hit.start) <= last).any(seen);
    }
}

fn short(number: usize) -> Result<u16, String> {
    u16::try_from(number).map_err(|_| "more than 65,535 of a kind".to_owned())
}

/// Where matches can start.
pub(super) struct Windows {
    found: Vec<Window>,
    /// By trigger: its state's position, plus one. Most triggers of a large pack have none.
    index: Vec<u16>,
    states: Vec<State>,
}

/// What is known of a trigger.
#[derive(Default)]
struct State {
    /// Its latest window's position, plus one.
    latest: u32,
    /// Where the starts begin that were not yet looked at one by one.
    judged: u32,
}

/// Where a trigger's match can start.
struct Window {
    trigger: u16,
    first: u32,
    last: u32,
    /// The trigger's window before this one, as its position plus one.
    before: u32,
}

impl Windows {
    fn new(triggers: usize) -> Self {
        Self { found: Vec::new(), index: vec![0; triggers], states: Vec::new() }
    }

    fn latest(&self, trigger: u16) -> u32 {
        let at = self.index.get(usize::from(trigger)).copied().unwrap_or(0);
        usize::from(at).checked_sub(1).and_then(|at| self.states.get(at)).map_or(0, |state| state.latest)
    }

    fn state(&mut self, trigger: u16) -> Option<&mut State> {
        let at = self.index.get_mut(usize::from(trigger))?;
        if *at == 0 {
            self.states.push(State::default());
            *at = u16::try_from(self.states.len()).ok()?;
        }
        self.states.get_mut(usize::from(*at) - 1)
    }

    /// Notes that a trigger's starts are looked at one by one until `last`; from where on they were not before.
    fn judge(&mut self, trigger: u16, last: u32) -> u32 {
        let Some(state) = self.state(trigger) else { return 0 };
        let before = state.judged;
        state.judged = last.saturating_add(1).max(before);
        before
    }

    /// Lengthens the trigger's latest window by one that overlaps it.
    fn extend(&mut self, trigger: u16, (first, last): (u32, u32)) -> bool {
        let latest = self.latest(trigger).checked_sub(1);
        match latest.and_then(|latest| self.found.get_mut(latest as usize)) {
            Some(own) if first <= own.last && own.first <= last => {
                (own.first, own.last) = (first.min(own.first), last.max(own.last));
                true
            }
            Some(_) | None => false,
        }
    }

    fn push(&mut self, trigger: u16, (first, last): (u32, u32)) {
        let before = self.latest(trigger);
        self.found.push(Window { trigger, first, last, before });
        let latest = self.found.len() as u32;
        if let Some(state) = self.state(trigger) {
            state.latest = latest;
        }
    }

    /// The ranges of some triggers, sorted, overlapping ones joined.
    pub(super) fn of(&self, triggers: &[u16]) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> = Vec::new();
        for trigger in triggers {
            let mut next = self.latest(*trigger);
            while let Some(own) = next.checked_sub(1).and_then(|at| self.found.get(at as usize)) {
                all.push((own.first as usize, own.last as usize));
                next = own.before;
            }
        }
        // From the last to the first, mostly.
        all.reverse();
        if !all.is_sorted() {
            all.sort_unstable();
        }
        all.dedup_by(|next, known| {
            let meet = next.0 <= known.1;
            known.1 = if meet { known.1.max(next.1) } else { known.1 };
            meet
        });
        all
    }
}

/// Which sets occur in each short piece of a text.
struct Blocks {
    words: usize,
    bits: Vec<u64>,
}

impl Blocks {
    /// Bytes of a piece, as a power of two.
    const SHIFT: u32 = 7;

    fn new(sets: usize, len: usize) -> Self {
        let words = sets.div_ceil(64);
        Self { words, bits: vec![0; ((len >> Self::SHIFT) + 1) * words] }
    }

    fn set(&mut self, at: u32, set: u16) {
        let word = (at >> Self::SHIFT) as usize * self.words + usize::from(set / 64);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= 1 << (set % 64);
        }
    }

    /// Whether the set occurs in a piece that the range touches.
    fn any(&self, first: i64, last: i64, set: u16) -> bool {
        let block = |at: i64| usize::try_from(at.max(0) >> Self::SHIFT).unwrap_or(usize::MAX);
        let pieces = self.bits.len().checked_div(self.words).unwrap_or(0);
        let mut range = block(first)..=block(last).min(pieces.saturating_sub(1));
        let word = |block: usize| self.bits.get(block * self.words + usize::from(set / 64)).copied().unwrap_or(0);
        range.any(|block| word(block) >> (set % 64) & 1 != 0)
    }
}
