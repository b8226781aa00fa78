//! Two sides of one request: what changed, and by which rules.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::judge::{Fired, Side};
use super::texts::Unread;
use crate::types::{Decision, Evidence};

/// What the new rules are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// The rules in force by the configuration, over the same texts.
    #[default]
    Configured,
    /// What was decided when the request came.
    Recorded,
}

impl Against {
    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Recorded => "recorded",
        }
    }
}

/// What became of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    None,
    /// A block that was none.
    NewlyBlocked,
    /// No block where one was.
    NewlyPassed,
    /// Another one, and no block in either.
    Otherwise,
}

impl Change {
    /// From one decision to another.
    pub fn of(before: Decision, after: Decision) -> Self {
        match (before == Decision::Block, after == Decision::Block) {
            (false, true) => Self::NewlyBlocked,
            (true, false) => Self::NewlyPassed,
            _ if before != after => Self::Otherwise,
            _ => Self::None,
        }
    }
}

/// A rule that makes the difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// Its id.
    pub rule: Arc<str>,
    /// Where it fires, after or else before.
    pub place: Option<Evidence>,
}

/// One request, compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// As it is without the new rules.
    pub before: Decision,
    /// As it would be with them.
    pub after: Decision,
    /// The rules that fire without them.
    pub fired_before: Vec<Arc<str>>,
    /// And with them.
    pub fired_after: Vec<Arc<str>>,
    /// The rules that fire on one side only, or otherwise.
    pub why: Vec<Why>,
}

impl Compared {
    /// What one rule set makes of a prompt, and what another does.
    pub fn of(before: &Side, after: &Side) -> Self {
        Self::with(before, after, |a, b| a.score.to_bits() == b.score.to_bits() && a.action == b.action)
    }

    /// Against what was recorded: of that only the ids of rules are compared, because points were added that are not kept.
    pub fn with_recorded(recorded: &Side, after: &Side) -> Self {
        Self::with(recorded, after, |_, _| true)
    }

    fn with(before: &Side, after: &Side, alike: impl Fn(&Fired, &Fired) -> bool) -> Self {
        let same = |fired: &Fired, others: &[Fired]| {
            others.iter().any(|other| other.rule == fired.rule && alike(fired, other))
        };
        let mut why: Vec<Why> = Vec::new();
        for (own, others) in [(&after.fired, &before.fired), (&before.fired, &after.fired)] {
            for fired in own.iter().filter(|fired| !same(fired, others)) {
                if !why.iter().any(|known| known.rule == fired.rule) {
                    why.push(Why { rule: Arc::clone(&fired.rule), place: Some(fired.place) });
                }
            }
        }
        let ids = |side: &Side| side.fired.iter().map(|fired| Arc::clone(&fired.rule)).collect();
        Self { before: before.decision, after: after.decision, fired_before: ids(before), fired_after: ids(after), why }
    }

    /// What changes.
    pub fn change(&self) -> Change {
        Change::of(self.before, self.after)
    }
}

/// What came of one stored request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Both sides judged it.
    Compared(Arc<Compared>),
    /// It was refused before its words were read: no rule has a say in it.
    NeverInspected,
    /// It has no prompt: a list of models, say.
    NoPrompt,
    /// Its words are not there.
    NotStored,
    /// What is there cannot be read.
    Unread(Unread),
    /// Inspection itself failed.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Action, SpanIndex};

    fn side(decision: Decision, rules: &[(&str, f32, Action)]) -> Side {
        let place = Evidence { span: SpanIndex(0), start: 0, end: 1 };
        let fired = rules.iter().map(|(rule, score, action)| Fired {
            rule: Arc::from(*rule),
            score: *score,
            action: *action,
            place,
        });
        Side { decision, fired: fired.collect() }
    }

    #[test]
    fn a_change_is_named_by_what_becomes_of_blocks() {
        use Decision::{Allow, Block, Flag, Redact};
        assert_eq!(Change::of(Flag, Block), Change::NewlyBlocked);
        assert_eq!(Change::of(Block, Allow), Change::NewlyPassed);
        assert_eq!(Change::of(Allow, Redact), Change::Otherwise);
        assert_eq!(Change::of(Redact, Flag), Change::Otherwise);
        for decision in Decision::ALL {
            assert_eq!(Change::of(decision, decision), Change::None);
        }
    }

    #[test]
    fn the_rules_that_differ_are_why() {
        let before = side(Decision::Flag, &[("A", 3.0, Action::Score), ("B", 2.0, Action::Flag)]);
        let after = side(Decision::Block, &[("A", 3.0, Action::Block), ("C", 1.0, Action::Score)]);
        let why = |compared: &Compared| compared.why.iter().map(|why| why.rule.to_string()).collect::<Vec<_>>();
        assert_eq!(why(&Compared::of(&before, &after)), ["A", "C", "B"]);
        assert_eq!(why(&Compared::with_recorded(&before, &after)), ["C", "B"]);
        assert!(Compared::of(&before, &before).why.is_empty());
    }
}
