//! Where the marks are: the scores that few ordinary prompts of unseen sources reach.

use super::corpus::Example;
use crate::types::Family;

/// Ordinary prompts above the flagging mark, and above the blocking one. Both views together flag about twice this.
const FLAGGED: f64 = 0.004;
const BLOCKED: f64 = 0.0007;

/// The scores of an example by a model that had not seen its source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// As a whole.
    pub whole: f32,
    /// Of its highest window.
    pub window: f32,
    /// What kind of attack it would be taken for.
    pub kind: Option<Family>,
}

/// The marks of both views: flag, block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Marks {
    pub(super) whole: (f32, f32),
    pub(super) window: (f32, f32),
}

/// The marks that ordinary prompts give.
pub(super) fn marks(examples: &[Example], held: &[Held]) -> Marks {
    let ordinary = || examples.iter().zip(held).filter(|(one, _)| is_ordinary(one)).map(|(_, held)| held);
    let pair = |score: fn(&Held) -> f32| {
        let mut scores: Vec<f32> = ordinary().map(score).collect();
        scores.sort_by(f32::total_cmp);
        let flag = quantile(&scores, 1.0 - FLAGGED);
        (flag, quantile(&scores, 1.0 - BLOCKED).max(flag + 0.5))
    };
    Marks { whole: pair(|held| held.whole), window: pair(|held| held.window) }
}

/// Kinds of harmless prompts that people send every day, with nothing in them that was chosen to be hard.
const ORDINARY: [&str; 6] = ["chat", "instruction", "assistant_query", "code", "tool_use", "database_question"];

fn is_ordinary(one: &Example) -> bool {
    let mut parts = one.category.split(':');
    let benign = parts.next() == Some("benign");
    !one.attack && benign && parts.next().is_none_or(|kind| ORDINARY.contains(&kind))
}

fn quantile(sorted: &[f32], share: f64) -> f32 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
