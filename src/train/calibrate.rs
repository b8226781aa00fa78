//! How both views make one score, and where its marks are: what few ordinary prompts of unseen sources reach.

use super::corpus::Example;
use super::fit::Counts;
use super::rng::Rng;
use crate::detect::classify::model::{Blend, FACTORS, Marks, Views};
use crate::types::Family;

/// Ordinary prompts above the flagging mark and above the blocking one, by the score of both views.
const BOTH: (f64, f64) = (0.003_5, 0.000_7);

/// By the window alone.
const ALONE: (f64, f64) = (0.001, 0.000_2);

/// Marks stand so far apart at least.
const APART: f32 = 0.5;

/// By this part of their distance they stand higher than that: ordinary prompts say too little of harmless texts that are full
/// of orders to people.
const HIGHER: f32 = 0.4;

/// What is known of an example by a model that had not seen its source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// What both views say.
    pub views: Views,
    /// What kind of attack it would be taken for.
    pub kind: Option<Family>,
}

/// How both views make one score, and the marks that ordinary prompts give.
pub(super) fn blend(examples: &[Example], held: &[Held]) -> Blend {
    let (factors, bias) = fitted(examples, held);
    let blend = Blend { factors, bias, ..Blend::default() };
    let marks = |(flagged, blocked): (f64, f64), score: &dyn Fn(&Views) -> f32| {
        let ordinary = examples.iter().zip(held).filter(|(one, _)| is_ordinary(one));
        let mut scores: Vec<f32> = ordinary.map(|(_, held)| score(&held.views)).collect();
        scores.sort_by(f32::total_cmp);
        let flag = quantile(&scores, 1.0 - flagged);
        let block = quantile(&scores, 1.0 - blocked).max(flag + APART);
        let up = HIGHER * (block - flag);
        Marks { flag: flag + up, block: block + up }
    };
    let both = marks(BOTH, &|views| blend.score(views));
    let alone = marks(ALONE, &|views| views.window);
    Blend { both, alone, ..blend }
}

/// What each factor counts for: a small logistic regression on what models said that had not seen the example's source.
fn fitted(examples: &[Example], held: &[Held]) -> ([f32; FACTORS], f32) {
    let counts = Counts::of(examples.iter());
    let mut order: Vec<(bool, f32, [f32; FACTORS])> =
        examples.iter().zip(held).map(|(one, held)| (one.attack, counts.weight(one), held.views.factors())).collect();
    let (mut weights, mut slopes) = ([0.0; FACTORS], [START; FACTORS]);
    let (mut bias, mut bias_slope) = (0.0, START);
    let mut rng = Rng::named("blend");
    for _ in 0..EPOCHS {
        rng.shuffle(&mut order);
        for (attack, count, factors) in &order {
            let score = weights.iter().zip(factors).map(|(weight, factor)| weight * factor).sum::<f32>() + bias;
            let chance = 1.0 / (1.0 + (-score).exp());
            let slope = (chance - f32::from(u8::from(*attack))) * count;
            for ((weight, seen), factor) in weights.iter_mut().zip(&mut slopes).zip(factors) {
                let own = slope * factor;
                *seen += own * own;
                *weight -= RATE * own / seen.sqrt();
            }
            bias_slope += slope * slope;
            bias -= RATE * slope / bias_slope.sqrt();
        }
    }
    (weights, bias)
}

/// Passes, step width, and what slopes start with.
const EPOCHS: usize = 6;
const RATE: f32 = 0.1;
const START: f32 = 1e-3;

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
