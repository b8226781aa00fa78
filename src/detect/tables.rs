//! The tables of an automaton, made small: states and byte classes that differ in nothing are joined.

use std::collections::HashMap;

use super::automaton::{BEHIND_LEN, DEAD};

/// The tables.
#[derive(Debug)]
pub(super) struct Tables {
    /// The class of each byte.
    pub(super) classes: Box<[u8; 256]>,
    /// How many classes there are, with that of the end of the text, which is the last.
    pub(super) stride: usize,
    /// Where each class leads: `state * stride + class`.
    pub(super) table: Vec<u16>,
    pub(super) flags: Vec<u8>,
    /// The state after the first byte: `behind * stride + class`.
    pub(super) first: Vec<u16>,
}

/// A row's mark for its own state.
const ITSELF: u16 = u16::MAX;

impl Tables {
    /// Joins states whose future is the same. Those on a way round through other states stay as they are.
    pub(super) fn join_states(&mut self) {
        let mut joined = Joined::new(self.flags.len());
        for state in 1..self.flags.len() {
            joined.visit(self, state as u16);
        }
        let numbered = |state: &u16| joined.number(*state).unwrap_or(DEAD);
        let rows = joined.kept.iter().flat_map(|state| self.row(*state)).map(numbered);
        let table = rows.collect();
        let flags = joined.kept.iter().map(|state| self.flag(*state)).collect();
        let first = self.first.iter().map(numbered).collect();
        (self.table, self.flags, self.first) = (table, flags, first);
    }

    /// Joins classes that lead to the same state from every state.
    pub(super) fn join_classes(&mut self) {
        let mut known: HashMap<Vec<u16>, u8> = HashMap::new();
        let mut numbers = Vec::with_capacity(self.stride);
        let mut kept = Vec::new();
        for class in 0..self.stride.saturating_sub(1) {
            let column = |of: &[u16]| of.iter().skip(class).step_by(self.stride).copied().collect::<Vec<u16>>();
            let mut all = column(&self.table);
            all.extend(column(&self.first));
            let number = *known.entry(all).or_insert_with(|| {
                kept.push(class);
                (kept.len() - 1) as u8
            });
            numbers.push(number);
        }
        kept.push(self.stride.saturating_sub(1));
        let narrow = |of: &[u16]| -> Vec<u16> {
            let rows = of.chunks_exact(self.stride);
            rows.flat_map(|row| kept.iter().map(|class| row.get(*class).copied().unwrap_or(DEAD))).collect()
        };
        (self.table, self.first) = (narrow(&self.table), narrow(&self.first));
        debug_assert_eq!(self.first.len(), BEHIND_LEN * kept.len());
        for class in self.classes.iter_mut() {
            *class = numbers.get(usize::from(*class)).copied().unwrap_or(0);
        }
        self.stride = kept.len();
    }

    fn row(&self, state: u16) -> &[u16] {
        let from = usize::from(state) * self.stride;
        self.table.get(from..from + self.stride).unwrap_or_default()
    }

    fn flag(&self, state: u16) -> u8 {
        self.flags.get(usize::from(state)).copied().unwrap_or(0)
    }
}

/// States numbered anew, each after those it leads to.
struct Joined {
    numbers: Vec<Option<u16>>,
    /// On the way to the state looked at.
    open: Vec<bool>,
    /// A state for each new number.
    kept: Vec<u16>,
    known: HashMap<(u8, Vec<u16>), u16>,
}

impl Joined {
    fn new(states: usize) -> Self {
        let mut own =
            Self { numbers: vec![None; states], open: vec![false; states], kept: Vec::new(), known: HashMap::new() };
        own.keep(DEAD);
        own
    }

    fn number(&self, state: u16) -> Option<u16> {
        self.numbers.get(usize::from(state)).copied().flatten()
    }

    fn is_open(&self, state: u16) -> bool {
        self.open.get(usize::from(state)).copied().unwrap_or(false)
    }

    /// A number of its own.
    fn keep(&mut self, state: u16) {
        let number = self.kept.len() as u16;
        self.kept.push(state);
        self.set(state, number);
    }

    fn set(&mut self, state: u16, number: u16) {
        self.numbers.get_mut(usize::from(state)).into_iter().for_each(|slot| *slot = Some(number));
    }

    /// Numbers a state and everything behind it, depth first with an explicit stack: chains can be long.
    fn visit(&mut self, tables: &Tables, root: u16) {
        let mut stack = vec![(root, 0)];
        while let Some((state, edge)) = stack.pop() {
            if edge == 0 {
                if self.number(state).is_some() || self.is_open(state) {
                    continue;
                }
                self.open.get_mut(usize::from(state)).into_iter().for_each(|open| *open = true);
            }
            if let Some(to) = tables.row(state).get(edge).copied() {
                stack.push((state, edge + 1));
                if to != state && self.number(to).is_none() {
                    if self.is_open(to) {
                        self.keep(to);
                    } else {
                        stack.push((to, 0));
                    }
                }
                continue;
            }
            self.close(tables, state);
        }
    }

    /// Everything behind the state has its number.
    fn close(&mut self, tables: &Tables, state: u16) {
        self.open.get_mut(usize::from(state)).into_iter().for_each(|open| *open = false);
        if self.number(state).is_some() {
            return;
        }
        let numbered = |to: &u16| if *to == state { ITSELF } else { self.number(*to).unwrap_or(DEAD) };
        let row = (tables.flag(state), tables.row(state).iter().map(numbered).collect());
        match self.known.get(&row) {
            Some(number) => self.set(state, *number),
            None => {
                self.known.insert(row, self.kept.len() as u16);
                self.keep(state);
            }
        }
    }
}
