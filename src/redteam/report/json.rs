//! The report for programs.

use serde_json::{Map, Value, json};

use super::super::score::{Judged, Run, Tally};
use crate::types::visible;

/// Characters of an attack that are told.
const TOLD: usize = 4000;
/// The version of the shape; it goes up when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// The whole run. All but `time` is the same for the same seed, target and packs, as long as the target answers the same.
pub fn json(run: &Run) -> Value {
    let families: Map<String, Value> =
        run.families().into_iter().map(|(family, tally)| (family.to_owned(), figures(&tally))).collect();
    json!({
        "format": "portcullis-redteam",
        "version": VERSION,
        "target": run.target,
        "model": run.model,
        "seed": run.seed,
        "rehearsal": run.is_rehearsal,
        "minimum": run.minimum,
        "verdict": run.verdict(),
        "totals": figures(&run.total()),
        "attacks": figures(&run.attacks()),
        "harmless": figures(&run.harmless()),
        "families": families,
        "cases": run.judged.iter().map(case).collect::<Vec<_>>(),
        "time": { "started_at": run.started_at, "seconds": run.took.as_secs_f64() },
    })
}

fn figures(tally: &Tally) -> Value {
    json!({
        "cases": tally.cases(),
        "passed": tally.passed,
        "failed": tally.failed,
        "inconclusive": tally.inconclusive,
        "errors": tally.errors,
        "share": tally.share(),
    })
}

fn case(one: &Judged) -> Value {
    let trial = &one.trial;
    json!({
        "id": trial.id,
        "family": trial.family,
        "title": trial.title,
        "severity": trial.severity.name(),
        "expect": trial.expected.name(),
        "streamed": trial.streamed,
        "outcome": one.outcome,
        "reason": visible(&one.reason, TOLD),
        "status": one.status,
        "text": visible(&trial.text(), TOLD),
    })
}
