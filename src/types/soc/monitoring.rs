//! Monitoring switched off: for a time, by somebody.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// While this holds, every route is treated as with `mode = "off"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitoringOff {
    /// Until when: Unix time in microseconds. It ends by itself.
    pub until: i64,
    /// Who switched it off: the id of an account.
    pub by: Arc<str>,
    /// Since when: Unix time in microseconds.
    pub since: i64,
}

impl MonitoringOff {
    /// Whether it holds at `now`, Unix time in microseconds.
    pub fn holds(&self, now: i64) -> bool {
        now < self.until
    }
}
