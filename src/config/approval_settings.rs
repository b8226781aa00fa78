//! Settings of tool calls that wait for a person.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::Time;

/// Tool calls that a policy's `approve_tools` names. They wait in the answer until a person rules on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Approvals {
    /// How long a call waits; without a ruling it is refused then. The upstream's deadlines do not run meanwhile.
    pub tool_wait: Time,
    /// How often a stream that waits says that it is alive.
    pub keep_alive: Time,
    /// Calls that wait at once, all requests of this replica together; further ones are refused.
    pub tool_waiting: usize,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { tool_wait: Time::from_secs(300), keep_alive: Time::from_secs(15), tool_waiting: 1000 }
    }
}

impl Approvals {
    /// What is wrong with these settings: the key below `[approvals]` and a sentence, all at once.
    pub fn problems(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        let mut need = |holds: bool, key, told| {
            if !holds {
                found.push((key, told));
            }
        };
        need(!self.tool_wait.is_zero(), "tool_wait", "must be longer than 0");
        need(self.tool_wait <= Time::from_secs(24 * 3600), "tool_wait", "may be 24h at most");
        need(!self.keep_alive.is_zero(), "keep_alive", "must be longer than 0");
        need(self.tool_waiting <= 1_000_000, "tool_waiting", "may be 1000000 at most: each holds a call in memory");
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_have_no_problem_and_zero_has() {
        assert_eq!(Approvals::default().problems(), []);
        let zero = Approvals { tool_wait: Time::from_secs(0), keep_alive: Time::from_secs(0), tool_waiting: 0 };
        let keys: Vec<&str> = zero.problems().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["tool_wait", "keep_alive"]);
    }
}
