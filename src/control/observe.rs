//! The first readers of events: metrics, traces and a log line for what was blocked.

use tracing::{info, warn};

use super::events::{Reader, Told};
use crate::telemetry::{Metrics, Traces};
use crate::types::soc::ToolHold;
use crate::types::{Decision, Event, Record, ReloadOutcome};

/// Feeds metrics and traces, and logs blocked requests and reloads.
pub struct Observer {
    metrics: Metrics,
    traces: Option<Traces>,
}

impl Observer {
    /// Feeds these; without `traces` none are made.
    pub fn new(metrics: Metrics, traces: Option<Traces>) -> Self {
        Self { metrics, traces }
    }
}

impl Reader for Observer {
    fn read(&mut self, told: &Told<'_>) {
        match told.event() {
            Event::Request(record) => {
                self.metrics.record(record);
                if let Some(traces) = &self.traces {
                    traces.request(record);
                }
                if record.decision == Decision::Block {
                    log_block(record);
                }
            }
            Event::Alarm(alarm) => {
                self.metrics.alarm(alarm.kind);
                let (kind, user) = (alarm.kind.name(), alarm.caller.user.as_deref());
                warn!(kind, user, message = alarm.message, "alarm");
            }
            // Words are nobody's business but the store's.
            Event::Content(_) => {}
            Event::ToolHeld(hold) => log_hold(hold),
            Event::Reload(outcome) => {
                self.metrics.reload(outcome);
                log_reload(outcome);
            }
        }
    }
}

/// Who, where and which rules; never what was said.
fn log_block(record: &Record) {
    let verdicts = || record.input.iter().chain(&record.output);
    let rules: Vec<&str> =
        verdicts().flat_map(|verdict| &verdict.findings).map(|finding| finding.rule.0.as_ref()).collect();
    let risk = verdicts().map(|verdict| verdict.risk).fold(0.0, f32::max);
    warn!(
        id = %record.id,
        user = record.caller.user.as_deref(),
        address = record.caller.address.map(tracing::field::display),
        path = %record.path,
        outcome = record.outcome.name(),
        rules = rules.join(","),
        risk,
        "blocked"
    );
}

/// Which call waits, of which request; its arguments stay where they are.
fn log_hold(hold: &ToolHold) {
    info!(id = %hold.id, request = %hold.request, user = hold.caller.user.as_deref(), bytes = hold.bytes, "a tool call waits");
}

fn log_reload(outcome: &ReloadOutcome) {
    let generation = outcome.generation.0;
    if outcome.problems.is_empty() {
        info!(trigger = %outcome.trigger, generation, "configuration loaded");
    }
    for problem in &outcome.problems {
        warn!(trigger = %outcome.trigger, generation, problem, "configuration rejected, the one before it still serves");
    }
}
