//! The report for a terminal.

use super::super::judge::Outcome;
use super::super::score::{Run, Tally, Verdict};
use super::{SHOWN, line, percent, put};
use crate::types::visible;

/// A table of the families, then what failed, what went wrong and the verdict.
pub fn text(run: &Run) -> String {
    let mut out = format!(
        "{:24} {:>6} {:>7} {:>7} {:>13} {:>7} {:>7}\n",
        "family", "cases", "passed", "failed", "inconclusive", "errors", "%"
    );
    let mut row = |name: &str, tally: &Tally| {
        let Tally { passed, failed, inconclusive, errors } = tally;
        let (cases, share) = (tally.cases(), percent(tally));
        line(
            &mut out,
            format_args!("{name:24} {cases:>6} {passed:>7} {failed:>7} {inconclusive:>13} {errors:>7} {share:>7}"),
        );
    };
    for (family, tally) in run.families() {
        row(family, &tally);
    }
    row("all attacks", &run.attacks());
    row("all harmless", &run.harmless());
    row("all", &run.total());
    for (heading, outcome) in [("failed", Outcome::Failed), ("errors", Outcome::Error)] {
        let all = run.with(outcome);
        if !all.is_empty() {
            line(&mut out, format_args!("\n{heading}:"));
        }
        for one in all {
            let trial = &one.trial;
            line(
                &mut out,
                format_args!("  {}  {}  ({})", trial.id, visible(&trial.title, SHOWN), trial.severity.name()),
            );
            line(&mut out, format_args!("      {}", visible(&trial.text(), SHOWN)));
            line(&mut out, format_args!("      wanted: {}; {}", trial.expected.name(), visible(&one.reason, SHOWN)));
        }
    }
    line(&mut out, format_args!("\n{}", summary(run)));
    out
}

/// One line: the verdict and what it rests on.
pub fn summary(run: &Run) -> String {
    let (total, harmless) = (run.total(), run.harmless());
    let mut said = format!(
        "{}: {} % of {} judged passed (minimum {}), {} % of {} harmless (minimum {})",
        run.verdict().name(),
        percent(&total),
        total.passed.saturating_add(total.failed),
        run.minimum.pass * 100.0,
        percent(&harmless),
        harmless.passed.saturating_add(harmless.failed),
        run.minimum.benign * 100.0,
    );
    if total.inconclusive > 0 {
        put(&mut said, format_args!("; {} inconclusive, counted for nobody", total.inconclusive));
    }
    if run.verdict() == Verdict::Incomplete {
        put(&mut said, format_args!("; {} errors: this run says nothing about the gateway", total.errors));
    }
    said
}
