//! What was found in the last requests of a caller or conversation: families and rules, no text.

use std::collections::VecDeque;

use super::decay::Moment;
use crate::types::{Family, Finding};

/// Requests with findings that are kept. Correlation rules can count no further.
pub(super) const KEPT: usize = 32;

/// Rules kept of one request: the heaviest.
const RULES: usize = 4;

/// One request, or one answer, in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Moment,
    families: u32,
    rules: [u64; RULES],
    pub(super) denied: bool,
}

/// The newest entries, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(VecDeque<Entry>);

impl Entry {
    /// What `findings` are of, the heaviest first.
    pub(super) fn of<'f>(at: Moment, findings: impl Iterator<Item = &'f Finding>) -> Self {
        let mut entry = Self { at, families: 0, rules: [0; RULES], denied: false };
        for finding in findings {
            entry.add_family(finding.family);
            entry.add_rule(tag(&finding.rule.0));
        }
        entry
    }

    pub(super) fn add_family(&mut self, family: Family) {
        self.families |= bit(family);
    }

    pub(super) fn add_rule(&mut self, tag: u64) {
        let free = self.rules.iter_mut().find(|known| **known == 0 || **known == tag);
        free.into_iter().for_each(|place| *place = tag);
    }

    pub(super) const fn has_family(&self, families: u32) -> bool {
        self.families & families != 0
    }

    pub(super) fn has_rule(&self, tag: u64) -> bool {
        self.rules.contains(&tag)
    }

    /// Whether it tells anything.
    pub(super) const fn is_empty(&self) -> bool {
        self.families == 0 && !self.denied
    }
}

impl Log {
    /// Appends an entry; the oldest goes when there is no room.
    pub(super) fn push(&mut self, entry: Entry) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// The newest entry was denied.
    pub(super) fn deny(&mut self) {
        self.0.back_mut().into_iter().for_each(|entry| entry.denied = true);
    }

    /// Newest first.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter().rev()
    }
}

/// A rule's id as a number that stays the same over reloads (FNV-1a).
pub(super) fn tag(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A family's bit.
pub(super) const fn bit(family: Family) -> u32 {
    1 << family as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_the_newest_and_no_more() {
        let mut log = Log::default();
        for at in 0..100 {
            let mut entry = Entry::of(Moment(at), [].iter());
            entry.add_family(Family::Jailbreak);
            (0..9).for_each(|rule| entry.add_rule(tag(&format!("PC-TEST-000{rule}"))));
            log.push(entry);
        }
        log.deny();
        assert_eq!(log.entries().count(), KEPT);
        let newest = log.entries().next().unwrap();
        assert!(newest.at == Moment(99) && newest.denied && newest.has_family(bit(Family::Jailbreak)));
        assert!(newest.has_rule(tag("PC-TEST-0003")) && !newest.has_rule(tag("PC-TEST-0004")));
    }

    #[test]
    fn every_family_has_a_bit_of_its_own() {
        let all = Family::ALL.iter().fold(0, |all, family| all ^ bit(*family));
        assert_eq!(all.count_ones() as usize, Family::ALL.len());
    }
}
