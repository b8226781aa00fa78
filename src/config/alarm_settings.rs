//! The shape of `[alarms]`: when spending and repetition are worth somebody's attention.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Time;
use crate::quota::Usd;
use crate::quota::anomaly::{LoopOptions, SpendOptions};

/// When spending and repetition are worth somebody's attention. Not reloaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alarms {
    /// Standard deviations above its mean at which what a caller spends in an hour is a surge.
    pub surge_z: f64,
    /// US dollars in an hour that are never a surge.
    pub surge_floor: Usd,
    /// Hours of a caller before anything is judged.
    pub surge_hours: u32,
    /// Nearly identical prompts of a caller that are a loop…
    pub loop_prompts: usize,
    /// … if they come within so long, and not more and more slowly.
    pub loop_within: Time,
    /// Callers remembered for either; the ones silent for longest are forgotten.
    pub max_tracked: usize,
}

impl Default for Alarms {
    fn default() -> Self {
        let (spend, loops) = (SpendOptions::default(), LoopOptions::default());
        Self {
            surge_z: spend.z,
            surge_floor: Usd(spend.floor),
            surge_hours: spend.min_samples,
            loop_prompts: loops.repeats,
            loop_within: Time::from_secs(loops.within.unsigned_abs()),
            max_tracked: spend.max_tracked,
        }
    }
}

impl Alarms {
    /// When spending is a surge.
    pub fn spend(&self) -> SpendOptions {
        SpendOptions {
            z: self.surge_z,
            floor: self.surge_floor.0,
            min_samples: self.surge_hours,
            max_tracked: self.max_tracked.max(1),
            ..SpendOptions::default()
        }
    }

    /// When repetition is a loop.
    pub fn loops(&self) -> LoopOptions {
        let within = i64::try_from(self.loop_within.get().as_secs()).unwrap_or(i64::MAX);
        let repeats = self.loop_prompts.max(2);
        let window = repeats.saturating_mul(2);
        LoopOptions { repeats, window, within, max_tracked: self.max_tracked.max(1), ..LoopOptions::default() }
    }
}
