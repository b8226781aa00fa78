//! What a backtest says: as JSON of a stable shape, and for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::compare::Against;
use super::excerpt::Excerpts;
use super::figures::{Figures, Group, RuleFigures, Sample, Samples};
use crate::types::{Decision, Privacy, visible};

/// The shape of the JSON. Fields may be added to it; another number means that one changed its meaning or is gone.
pub const SCHEMA: &str = "portcullis.backtest/1";

/// Rows of a table for people.
const ROWS: usize = 15;

/// Characters of a name.
const NAME: usize = 200;

/// What was compared.
#[derive(Debug, Clone)]
pub struct Heading {
    /// From when: Unix time in microseconds.
    pub from: i64,
    /// Until when.
    pub until: i64,
    /// What the new rules are compared with.
    pub against: Against,
    /// The hash of the rule set in force.
    pub before: String,
    /// And of the one that is tried.
    pub after: String,
    /// Ids of rules that are new.
    pub added: Vec<String>,
    /// Ids of rules that replace others.
    pub replaced: Vec<String>,
    /// Those of both that look at answers alone, of which nothing is said here.
    pub answers_only: Vec<String>,
    /// Whether the configuration has models, which are not asked.
    pub models: bool,
}

/// What has to be known to read the figures.
fn notes(heading: &Heading, figures: &Figures) -> Vec<String> {
    let mut notes = Vec::new();
    for (privacy, own) in figures.by_privacy.iter().filter(|(_, own)| own.not_stored > 0) {
        let (count, name) = (own.not_stored, privacy.name());
        notes.push(match privacy {
            Privacy::None => format!("{count} requests: privacy {name}, no text is stored; nothing can be said of them"),
            Privacy::HashOnly => format!("{count} requests: privacy {name}, of a text only its keyed hash is stored; nothing can be said of them"),
            Privacy::Masked | Privacy::Full => {
                format!("{count} requests: privacy {name} by their policy now, but no text is stored (expired, or not kept then)")
            }
        });
    }
    let mut count = |count: u64, words: &str| {
        if count > 0 {
            notes.push(format!("{count} requests: {words}"));
        }
    };
    count(figures.masked, "redacted texts: figures may be low");
    count(
        figures.cut,
        "texts longer than store.max_content, or with zero bytes, are not stored whole: figures may be low",
    );
    count(figures.guessed, "stored before roles were kept with them: roles are read off the lines");
    count(figures.policy_gone, "their policy is gone: judged by the one that they would get now, groups unknown");
    count(figures.sealed, "encrypted with a key that is not configured: not compared");
    count(figures.damaged, "what is stored was changed or is damaged: not compared");
    count(figures.failed, "inspection failed: not compared");
    if !heading.answers_only.is_empty() {
        notes.push(format!(
            "{} look at answers alone, and answers are not compared: of them only what went on is stored",
            heading.answers_only.join(", ")
        ));
    }
    if heading.models {
        notes.push("second opinions of models are left out".to_owned());
    }
    notes.push(
        "left out: what is remembered of callers and conversations, standing orders that tighten, queries of URLs"
            .to_owned(),
    );
    if heading.against == Against::Recorded {
        notes.push("what was recorded was decided with all of that, and by the rules of its time".to_owned());
    }
    notes
}

/// The report as JSON.
pub fn json(heading: &Heading, figures: &Figures, excerpts: &Excerpts) -> Value {
    let samples = |samples: &Samples| -> Vec<Value> {
        samples.in_time().into_iter().map(|sample| sample_json(sample, excerpts.get(&sample.id))).collect()
    };
    let names = |decisions: &BTreeMap<Decision, u64>| -> Map<String, Value> {
        decisions.iter().map(|(to, count)| (to.name().to_owned(), json!(count))).collect()
    };
    let decisions: Map<String, Value> =
        figures.decisions.iter().map(|(from, to)| (from.name().to_owned(), Value::Object(names(to)))).collect();
    json!({
        "schema": SCHEMA,
        "from": time(heading.from),
        "until": time(heading.until),
        "against": heading.against.name(),
        "rules": {
            "before": heading.before,
            "after": heading.after,
            "added": heading.added,
            "replaced": heading.replaced,
            "answers_only": heading.answers_only,
        },
        "requests": {
            "read": figures.read,
            "compared": figures.all.compared,
            "not_stored": figures.not_stored(),
            "never_inspected": figures.never_inspected,
            "no_prompt": figures.no_prompt,
            "sealed": figures.sealed,
            "damaged": figures.damaged,
            "failed": figures.failed,
        },
        "compared_as": {
            "masked": figures.masked,
            "cut": figures.cut,
            "guessed_roles": figures.guessed,
            "other_policy": figures.policy_gone,
        },
        "newly_blocked": figures.all.newly_blocked,
        "newly_passed": figures.all.newly_passed,
        "changed_otherwise": figures.all.changed,
        "share_newly_blocked": figures.share_newly_blocked(),
        "decisions": decisions,
        "by_privacy": figures.by_privacy,
        "by_rule": figures.by_rule,
        "by_caller": figures.by_caller,
        "by_route": figures.by_route,
        "samples": {
            "newly_blocked": samples(&figures.newly_blocked),
            "newly_passed": samples(&figures.newly_passed),
            "changed_otherwise": samples(&figures.changed),
        },
        "notes": notes(heading, figures),
    })
}

fn sample_json(sample: &Sample, excerpt: Option<&String>) -> Value {
    json!({
        "id": sample.id,
        "time": time(sample.time),
        "caller": sample.caller,
        "route": sample.route,
        "before": sample.before.name(),
        "after": sample.after.name(),
        "rules": sample.rules,
        "privacy": sample.privacy.name(),
        "excerpt": excerpt,
    })
}

/// The report for people.
pub fn text(heading: &Heading, figures: &Figures, excerpts: &Excerpts) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    write_text(&mut text, heading, figures, excerpts).unwrap_or_default();
    text
}

fn write_text(out: &mut String, heading: &Heading, figures: &Figures, excerpts: &Excerpts) -> std::fmt::Result {
    let Figures { all, .. } = figures;
    writeln!(
        out,
        "requests from {} until {}, against {}",
        time(heading.from),
        time(heading.until),
        heading.against.name()
    )?;
    writeln!(out, "rules: {} added, {} replaced", heading.added.len(), heading.replaced.len())?;
    writeln!(out, "\nread             {:>10}", figures.read)?;
    writeln!(out, "compared         {:>10}", all.compared)?;
    writeln!(out, "not stored       {:>10}", figures.not_stored())?;
    writeln!(out, "never inspected  {:>10}", figures.never_inspected)?;
    writeln!(out, "without a prompt {:>10}", figures.no_prompt)?;
    let share = |count: u64| 100.0 * count as f64 / all.compared.max(1) as f64;
    writeln!(out, "\nnewly blocked    {:>10}  {:>8.3} %", all.newly_blocked, share(all.newly_blocked))?;
    writeln!(out, "newly passed     {:>10}  {:>8.3} %", all.newly_passed, share(all.newly_passed))?;
    writeln!(out, "changed otherwise{:>10}  {:>8.3} %", all.changed, share(all.changed))?;
    for (from, to) in &figures.decisions {
        for (to, count) in to.iter().filter(|(to, _)| *to != from) {
            writeln!(out, "  {} -> {}: {count}", from.name(), to.name())?;
        }
    }
    let mut rules: Vec<_> = figures.by_rule.iter().filter(|(_, own)| rule_weight(own) > 0).collect();
    rules.sort_by(|a, b| rule_weight(b.1).cmp(&rule_weight(a.1)).then_with(|| a.0.cmp(b.0)));
    table(out, "rule", rules.iter().map(|(name, own)| (&***name, [own.newly_blocked, own.newly_passed, own.changed])))?;
    for (what, groups) in [("caller", &figures.by_caller), ("route", &figures.by_route)] {
        let mut groups: Vec<_> = groups.iter().filter(|(_, own)| own.changes() > 0).collect();
        groups.sort_by(|a, b| b.1.changes().cmp(&a.1.changes()).then_with(|| a.0.cmp(b.0)));
        let row = |own: &Group| [own.newly_blocked, own.newly_passed, own.changed];
        table(out, what, groups.iter().map(|(name, own)| (name.as_str(), row(own))))?;
    }
    let kinds = [
        ("newly blocked", &figures.newly_blocked),
        ("newly passed", &figures.newly_passed),
        ("changed", &figures.changed),
    ];
    for (what, samples) in kinds {
        for (number, sample) in samples.in_time().into_iter().enumerate() {
            if number == 0 {
                writeln!(out, "\n{what}, for example")?;
            }
            let (before, after, rules) = (sample.before.name(), sample.after.name(), sample.rules.join(", "));
            writeln!(out, "  {} {} {before} -> {after}: {rules}", sample.id, time(sample.time))?;
            if let Some(excerpt) = excerpts.get(&sample.id) {
                writeln!(out, "    {excerpt}")?;
            }
        }
    }
    writeln!(out)?;
    notes(heading, figures).iter().try_for_each(|note| writeln!(out, "note: {note}"))
}

const fn rule_weight(own: &RuleFigures) -> u64 {
    own.newly_blocked.saturating_add(own.newly_passed).saturating_add(own.changed)
}

fn table<'n>(
    out: &mut String,
    what: &str,
    rows: impl ExactSizeIterator<Item = (&'n str, [u64; 3])>,
) -> std::fmt::Result {
    let more = rows.len().saturating_sub(ROWS);
    for (number, (name, [blocked, passed, changed])) in rows.take(ROWS).enumerate() {
        if number == 0 {
            writeln!(out, "\n{what:40} {:>13} {:>13} {:>13}", "newly blocked", "newly passed", "changed")?;
        }
        let name = visible(name, NAME);
        writeln!(out, "{name:40} {blocked:>13} {passed:>13} {changed:>13}")?;
    }
    if more > 0 { writeln!(out, "and {more} more") } else { Ok(()) }
}

fn time(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map_or_else(|_| micros.to_string(), |time| time.to_string())
}
