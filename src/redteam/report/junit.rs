//! The report for build servers: JUnit XML, a suite for each family.

use super::super::judge::Outcome;
use super::super::score::{Judged, Run, Tally};
use super::{SHOWN, line, put};
use crate::types::{escaped, visible};

/// Failed trials are failures, those without an answer errors, inconclusive ones skipped.
pub fn junit(run: &Run) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let seconds = run.took.as_secs_f64();
    let name = "portcullis redteam";
    line(&mut out, format_args!("<testsuites name=\"{name}\" {} time=\"{seconds:.3}\">", counts(&run.total())));
    for (family, tally) in run.families() {
        let name = escaped(family);
        let started = escaped(&run.started_at);
        line(&mut out, format_args!("  <testsuite name=\"{name}\" {} timestamp=\"{started}\">", counts(&tally)));
        for one in run.judged.iter().filter(|one| *one.trial.family == *family) {
            case(&mut out, one);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts(tally: &Tally) -> String {
    let Tally { failed, inconclusive, errors, .. } = tally;
    format!("tests=\"{}\" failures=\"{failed}\" errors=\"{errors}\" skipped=\"{inconclusive}\"", tally.cases())
}

fn case(out: &mut String, one: &Judged) {
    let trial = &one.trial;
    let name = escaped(&visible(&format!("{} {}", trial.id, trial.title), SHOWN));
    let reason = escaped(&visible(&one.reason, SHOWN));
    let element = match one.outcome {
        Outcome::Passed => None,
        Outcome::Failed => Some("failure"),
        Outcome::Inconclusive => Some("skipped"),
        Outcome::Error => Some("error"),
    };
    put(out, format_args!("    <testcase classname=\"redteam.{}\" name=\"{name}\"", escaped(&trial.family)));
    match element {
        None => out.push_str("/>\n"),
        Some("skipped") => line(out, format_args!("><skipped message=\"{reason}\"/></testcase>")),
        Some(element) => {
            let text = escaped(&visible(&trial.text(), SHOWN));
            let kind = trial.severity.name();
            line(out, format_args!("><{element} type=\"{kind}\" message=\"{reason}\">{text}</{element}></testcase>"));
        }
    }
}
