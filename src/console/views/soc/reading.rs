//! Decision records as the pages read them: what is not there is not shown.

use serde::Deserialize;
use serde_json::Value;

use crate::types::{Accounted, Caller, Durations, Usage, Verdict};

/// A record, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Seen {
    pub(super) caller: Caller,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) dialect: Option<String>,
    pub(super) model: Option<String>,
    pub(super) stream: bool,
    pub(super) upstream: Option<String>,
    pub(super) attempts: u32,
    pub(super) outcome: String,
    pub(super) reason: Option<String>,
    pub(super) status: u16,
    pub(super) decision: String,
    pub(super) input: Option<Verdict>,
    pub(super) output: Option<Verdict>,
    pub(super) trial: Vec<String>,
    pub(super) request_bytes: Accounted,
    pub(super) response_bytes: Accounted,
    pub(super) held_max: u64,
    pub(super) finish: Option<String>,
    pub(super) usage: Option<Usage>,
    pub(super) estimated: bool,
    pub(super) cost: Option<u64>,
    pub(super) policy: Option<String>,
    pub(super) order: Option<String>,
    pub(super) monitoring_off: bool,
    pub(super) micros: Durations,
    pub(super) generation: u64,
    pub(super) retry: u32,
    pub(super) traceparent: Option<String>,
    /// It could not be read: the raw JSON is what there is.
    #[serde(skip)]
    pub(super) is_unreadable: bool,
}

impl Seen {
    /// Reads a record.
    pub(super) fn of(record: Value) -> Self {
        serde_json::from_value(record).unwrap_or_else(|_| Self { is_unreadable: true, ..Self::default() })
    }

    /// The highest risk of both directions, 0 to 1.
    pub(super) fn risk(&self) -> f32 {
        [&self.input, &self.output].into_iter().flatten().map(|verdict| verdict.risk).fold(0.0, f32::max)
    }

    /// What it cost, in billionths of a dollar.
    pub(super) fn cost(&self) -> Option<i64> {
        self.cost.map(|cost| i64::try_from(cost).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Generation, Record, RequestId};

    #[test]
    fn a_record_of_this_gateway_is_read_and_another_one_breaks_nothing() {
        let mut record = Record::new(7, RequestId("req_1".to_owned()), Generation(3));
        record.cost = Some(5);
        record.usage = Some(Usage { input: 1, cached: 0, output: 2, reasoning: 0 });
        record.micros.total = 9;
        let seen = Seen::of(serde_json::to_value(&record).unwrap());
        assert!(!seen.is_unreadable);
        assert_eq!((seen.outcome.as_str(), seen.cost(), seen.generation), ("abandoned", Some(5), 3));
        assert_eq!((seen.micros.total, seen.usage.unwrap().output), (9, 2));
        assert!(Seen::of(serde_json::json!({ "caller": 7 })).is_unreadable);
        assert!(!Seen::of(serde_json::json!({ "unreadable": "x" })).is_unreadable);
    }
}
