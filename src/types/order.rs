//! Standing orders: a block, a limit or a quarantine in force until it expires or is lifted.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// `ord_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// Whom it is about.
    pub subject: Subject,
    /// What they get.
    pub measure: Measure,
    /// Why, for people.
    pub reason: Arc<str>,
    /// Who gave it: an account, or the remedy that did.
    pub made_by: Arc<str>,
    /// When: Unix time in microseconds.
    pub made: i64,
    /// Until when: Unix time in microseconds; `None`: until it is lifted.
    pub expires: Option<i64>,
}

/// Whom an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// An address (prefix 32 or 128) or a range of them.
    Network {
        /// Any address in it; IPv4 addresses are never written as IPv6 ones.
        address: IpAddr,
        /// How many leading bits count.
        prefix: u8,
    },
    /// Everyone of a tenant.
    Tenant {
        /// Its name.
        name: Arc<str>,
    },
    /// Everyone of a team.
    Team {
        /// Its name.
        name: Arc<str>,
    },
    /// A user.
    User {
        /// Its name.
        name: Arc<str>,
    },
    /// A gateway key, by its id.
    Key {
        /// Its name.
        name: Arc<str>,
    },
    /// A session.
    Session {
        /// Its name.
        name: Arc<str>,
    },
    /// An agent.
    Agent {
        /// Its name.
        name: Arc<str>,
    },
}

/// What an order does to those it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Measure {
    /// Nothing of theirs is read any more: 403 at once, and live streams are cut.
    Block,
    /// What they send is still read, judged and recorded as evidence, but goes nowhere: 403, and live streams are cut.
    Quarantine,
    /// At most so many requests in so many seconds.
    Limit {
        /// Requests.
        requests: u32,
        /// Seconds.
        seconds: u32,
    },
    /// What they send and get is judged by the thresholds of `security = "strict"`. It refuses nothing by itself.
    Tighten,
}

impl Order {
    /// Whether it is in force at `now`, Unix time in microseconds.
    pub fn in_force(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Measure {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Quarantine => "quarantine",
            Self::Limit { .. } => "limit",
            Self::Tighten => "tighten",
        }
    }

    /// Whether streams that are under way end when it begins.
    pub const fn cuts(self) -> bool {
        matches!(self, Self::Block | Self::Quarantine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_reads_back_as_it_was_written() {
        let limit = Measure::Limit { requests: 5, seconds: 120 };
        for measure in [Measure::Block, Measure::Quarantine, limit, Measure::Tighten] {
            let text = serde_json::to_string(&measure).unwrap();
            assert!(text.contains(measure.name()), "{text}");
            assert_eq!(serde_json::from_str::<Measure>(&text).unwrap(), measure);
        }
    }
}
