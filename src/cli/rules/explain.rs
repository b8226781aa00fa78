//! `rules explain`: everything there is to know about one rule.

use std::process::ExitCode;

use clap::Args;

use super::word;
use crate::cli::output::Out;
use crate::cli::{Error, load};
use crate::config::{Problem, Source};
use crate::detect::{self, Anatomy, Override, Stats, Threats};

#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The rule's id
    id: String,
    /// Show patterns with lists and macros put in place
    #[arg(long)]
    expand: bool,
}

pub(super) fn run(source: &Source, args: &ExplainArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let loaded = load(source)?;
    let rules = loaded.rules();
    let told = |problems: Vec<detect::Problem>| Error::Problems(problems.into_iter().map(Problem::from).collect());
    let all = detect::anatomies(rules.sources()).map_err(told)?;
    let Some(anatomy) = all.iter().find(|one| *one.rule.id.0 == *args.id) else {
        let theme = args.id.rsplit_once('-').map_or("", |(theme, _)| theme);
        let near: Vec<String> =
            all.iter().map(|one| one.rule.id.to_string()).filter(|id| id.starts_with(theme)).collect();
        let near = if theme.is_empty() || near.is_empty() {
            String::new()
        } else {
            format!("; there are {}", near.join(", "))
        };
        return Err(Error::Failed(format!("no rule has the id `{}`{near}", args.id)));
    };
    let cost = detect::cost(rules.sources(), &args.id, &rules.budget()).map_err(told)?;
    let threats = detect::threats(rules.sources()).map_err(told)?;
    let overrides = rules.overrides();
    let family = anatomy.rule.family.name();
    let changes: Vec<(&str, &Override)> =
        [family, args.id.as_str()].into_iter().filter_map(|key| Some((key, overrides.get(key)?))).collect();
    out.text(&page(anatomy, &threats, &cost, &changes, args.expand))?;
    Ok(ExitCode::SUCCESS)
}

fn page(anatomy: &Anatomy, threats: &Threats, cost: &Stats, changes: &[(&str, &Override)], expand: bool) -> String {
    let rule = &anatomy.rule;
    let mut lines = vec![format!("{} {}", rule.id, rule.title), format!("  file      {}:{}", rule.file, rule.line)];
    let mut say = |name: &str, text: String| lines.push(format!("  {name:<9} {text}"));
    say("family", format!("{}, severity {}", rule.family.name(), word(rule.severity)));
    say("does", format!("{}, {} points, on {}", word(rule.action), rule.score, direction(anatomy)));
    say("gain", rule.gain.to_string());
    for id in &*rule.threats {
        let known =
            threats.get(id).map(|known| format!("{id} {} ({} {})", known.title, known.catalogue, known.version));
        say("threat", known.unwrap_or_else(|| id.to_string()));
    }
    if changes.is_empty() {
        say("overrides", "none".into());
    }
    for (key, change) in changes {
        say("overrides", format!("{key}: {}", changed(change)));
    }
    if anatomy.written.iter().any(|(key, _)| key == "events") {
        say("costs", "nothing until something is found: it looks at what was found before".into());
    } else if anatomy.patterns.is_empty() {
        say("costs", "nothing of its own: a detector built into the program".into());
    } else {
        say("costs", costs(anatomy, cost));
    }
    lines.push("\nlooks for".into());
    for (key, texts) in &anatomy.written {
        let expanded = anatomy.patterns.iter().find(|(name, _)| name == key).map(|(_, patterns)| patterns);
        let shown = expanded.filter(|_| expand).unwrap_or(texts);
        lines.push(format!("  {key}"));
        if key == "prefilter" {
            lines.push(format!("    {}", shown.join(" | ")));
        } else {
            lines.extend(shown.iter().map(|text| format!("    {text}")));
        }
        if !expand && expanded.is_some_and(|expanded| expanded != texts) {
            lines.push("    (names between % stand for lists and macros: --expand puts them in place)".into());
        }
    }
    if !anatomy.checks.is_empty() {
        lines.push(format!("  validate\n    {}", anatomy.checks.join(", ")));
    }
    for (title, list) in [
        ("matches", &rule.examples.positive),
        ("does not match", &rule.examples.negative),
        ("may match in innocence", &rule.false_positives),
    ] {
        if !list.is_empty() {
            lines.push(format!("\n{title}"));
            lines.extend(list.iter().map(|text| format!("  - {}", text.escape_debug())));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn direction(anatomy: &Anatomy) -> &'static str {
    match anatomy.rule.directions {
        detect::Directions::Input => "prompts",
        detect::Directions::Output => "answers",
        detect::Directions::Both => "prompts and answers",
    }
}

fn changed(change: &Override) -> String {
    let Override { enabled, action, score, severity } = change;
    let parts = [
        enabled.map(|on| if on { "switched on".to_owned() } else { "switched off".to_owned() }),
        action.map(|action| format!("action {}", word(action))),
        score.map(|score| format!("{score} points")),
        severity.map(|severity| format!("severity {}", word(severity))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "nothing changed".into() } else { parts.join(", ") }
}

fn costs(anatomy: &Anatomy, cost: &Stats) -> String {
    let mut parts = vec![format!("{} KiB compiled, {} patterns", cost.bytes.div_ceil(1024), cost.patterns)];
    if anatomy.rule.directions != detect::Directions::Input {
        parts.push(format!("{} automata, holds back {} bytes at most", cost.automata, cost.longest_hold));
    }
    parts.join(", ")
}
