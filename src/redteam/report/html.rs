//! The report for people: one page without a script, and without anything from elsewhere.

use super::super::judge::Outcome;
use super::super::score::{Judged, Run, Tally};
use super::{SHOWN, line, percent, put};
use crate::types::{escaped, visible};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2330;\
background:#fff}table{border-collapse:collapse;width:100%;margin:1rem 0}th,td{text-align:left;padding:.35rem .6rem;\
border-bottom:1px solid #d8dde6;vertical-align:top}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
code{font:13px/1.4 ui-monospace,monospace;overflow-wrap:anywhere}.passed{color:#0b6b3a}.below_minimum,.failed{color:#a11212}\
.incomplete,.error{color:#8a5200}tr.sum{font-weight:600}";

/// The whole run: the verdict, the families, and each trial that did not pass.
pub fn html(run: &Run) -> String {
    let verdict = run.verdict();
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Red team report</title><style>{STYLE}</style>\
         </head><body>\n<h1>Red team report: <span class=\"{0}\">{1}</span></h1>\n",
        verdict.name(),
        verdict.name().replace('_', " "),
    );
    line(
        &mut out,
        format_args!(
            "<p>Target <code>{}</code>, model <code>{}</code>{}, seed {}, begun {}, {:.1} s. At least {} % had to pass, and \
         {} % of what is harmless.</p>",
            escaped(&visible(&run.target, SHOWN)),
            escaped(&visible(&run.model, SHOWN)),
            if run.is_rehearsal { " (the gateway's rehearsal model answered)" } else { "" },
            run.seed,
            escaped(&run.started_at),
            run.took.as_secs_f64(),
            run.minimum.pass * 100.0,
            run.minimum.benign * 100.0,
        ),
    );
    families(&mut out, run);
    for (heading, outcome) in
        [("Failed", Outcome::Failed), ("Errors", Outcome::Error), ("Inconclusive", Outcome::Inconclusive)]
    {
        trials(&mut out, heading, &run.with(outcome));
    }
    out.push_str("</body></html>\n");
    out
}

fn families(out: &mut String, run: &Run) {
    out.push_str(
        "<table><thead><tr><th>Family</th><th class=\"n\">Cases</th><th class=\"n\">Passed</th><th class=\"n\">Failed</th>\
         <th class=\"n\">Inconclusive</th><th class=\"n\">Errors</th><th class=\"n\">%</th></tr></thead><tbody>\n",
    );
    let mut row = |class: &str, name: &str, tally: &Tally| {
        put(out, format_args!("<tr{class}><td>{}</td>", escaped(name)));
        for figure in [tally.cases(), tally.passed, tally.failed, tally.inconclusive, tally.errors] {
            put(out, format_args!("<td class=\"n\">{figure}</td>"));
        }
        line(out, format_args!("<td class=\"n\">{}</td></tr>", percent(tally)));
    };
    for (family, tally) in run.families() {
        row("", family, &tally);
    }
    row(" class=\"sum\"", "All attacks", &run.attacks());
    row(" class=\"sum\"", "All harmless", &run.harmless());
    row(" class=\"sum\"", "All", &run.total());
    out.push_str("</tbody></table>\n");
}

fn trials(out: &mut String, heading: &str, all: &[&Judged]) {
    if all.is_empty() {
        return;
    }
    line(out, format_args!("<h2>{heading} ({})</h2>\n<table><tbody>", all.len()));
    for one in all {
        let trial = &one.trial;
        line(
            out,
            format_args!(
                "<tr><td><code>{}</code><br>{}</td><td>{}<br><code>{}</code><br>wanted: {}; {}</td></tr>",
                escaped(&trial.id),
                trial.severity.name(),
                escaped(&visible(&trial.title, SHOWN)),
                escaped(&visible(&trial.text(), SHOWN)),
                trial.expected.name(),
                escaped(&visible(&one.reason, SHOWN)),
            ),
        );
    }
    out.push_str("</tbody></table>\n");
}
