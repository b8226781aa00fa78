//! One conversation: what its user said last, as far as the requests themselves do not repeat it, and what was found.

use std::collections::VecDeque;
use std::sync::Arc;

use super::decay::{Decayed, Moment};
use super::log::Log;

/// Half-life of what was found in earlier turns, in milliseconds.
const SCORE: u64 = 900_000;
/// Bytes kept of one turn: no more is read of it.
const TURN: usize = 800;
/// Attacks that make half of a score.
const HALF: f32 = 1.5;

/// How much of what a user said is kept of one conversation.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Turns.
    pub turns: usize,
    /// Bytes of all turns.
    pub bytes: usize,
}

/// What is remembered of one conversation. Cheap to clone: its texts are shared.
#[derive(Debug, Clone, Default)]
pub struct Conversation {
    turns: VecDeque<Arc<str>>,
    bytes: usize,
    score: Decayed,
    pub(super) log: Log,
}

impl Conversation {
    /// What the user said, oldest first.
    pub fn turns(&self) -> impl Iterator<Item = &Arc<str>> {
        self.turns.iter()
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.log.entries().next().is_none()
    }

    /// The user said something. Older turns go when there is no room.
    pub fn say(&mut self, text: &str, room: Room) {
        let most = text.len().min(TURN).min(room.bytes);
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let Some(text) = text.get(..end).filter(|text| !text.trim().is_empty() && room.turns > 0) else { return };
        self.bytes += text.len();
        self.turns.push_back(Arc::from(text));
        while self.turns.len() > room.turns || self.bytes > room.bytes {
            let Some(oldest) = self.turns.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// Whether anything was found of late, however little.
    pub fn is_doubtful(&self, now: Moment) -> bool {
        self.score(now) > 0.0 || self.log.entries().next().is_some_and(|newest| now.since(newest.at) <= SCORE)
    }

    /// How much was found in earlier turns, 0 to 1.
    pub(super) fn score(&self, now: Moment) -> f32 {
        let score = self.score.at(now, SCORE);
        if score < 0.05 { 0.0 } else { 1.0 - (-score / HALF).exp2() }
    }

    /// An attack was found in a turn, so much of one, 0 to 1.
    pub(super) fn attacked(&mut self, now: Moment, attack: f32) {
        if attack > 0.0 {
            self.score.add(now, SCORE, attack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_turns_are_kept_and_no_more_than_there_is_room_for() {
        let room = Room { turns: 3, bytes: 1_000 };
        let mut talk = Conversation::default();
        assert!(talk.is_empty());
        ["one", "  ", "two", "three", "four"].iter().for_each(|turn| talk.say(turn, room));
        assert_eq!(talk.turns().map(|turn| &**turn).collect::<Vec<_>>(), ["two", "three", "four"]);
        talk.say(&"ü".repeat(5_000), room);
        assert_eq!(talk.turns().map(|turn| turn.len()).collect::<Vec<_>>(), [3, 5, 4, 800].split_at(1).1);
        talk.say(&"é".repeat(5_000), room);
        assert_eq!(talk.turns().map(|turn| turn.len()).collect::<Vec<_>>(), [800]);
        let mut none = Conversation::default();
        none.say("hello", Room { turns: 0, bytes: 100 });
        none.say("hello", Room { turns: 9, bytes: 0 });
        assert!(none.is_empty());
    }

    #[test]
    fn what_was_found_earlier_fades() {
        let mut talk = Conversation::default();
        assert_eq!(talk.score(Moment(5)), 0.0);
        talk.attacked(Moment(5), 0.9);
        let score = talk.score(Moment(5));
        assert!(score > 0.2 && talk.score(Moment(SCORE)) < score && talk.score(Moment(20 * SCORE)) == 0.0);
    }
}
