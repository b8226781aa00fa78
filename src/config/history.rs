//! `inspect.history`: what is remembered between requests, and for how long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Size, Time};

/// What is remembered between requests: in memory only, gone with the process, kept over reloads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// Callers remembered (user, else gateway key, else address), without their texts; 0 remembers none. Not reloaded.
    pub callers: usize,
    /// Conversations remembered; 0 remembers none. Not reloaded.
    pub conversations: usize,
    /// How long an idle caller or conversation is remembered. Not reloaded.
    pub timeout: Time,
    /// The last turns of a user kept where the next request does not repeat them; 0 keeps none.
    pub turns: usize,
    /// Bytes of them.
    pub turn_bytes: Size,
    /// Tell the end users apart that one caller names (`user`, `safety_identifier`, `metadata.user_id`).
    pub end_users: bool,
}

impl Default for History {
    fn default() -> Self {
        Self {
            callers: 10_000,
            conversations: 4_096,
            timeout: Time::from_secs(3600),
            turns: 8,
            turn_bytes: Size::bytes(4 << 10),
            end_users: true,
        }
    }
}
