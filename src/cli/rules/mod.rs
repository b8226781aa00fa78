//! `rules`: try the rules' own cases, list and explain rules, take over rules of other tools.

mod explain;
mod import;
mod take;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::output::Out;
use super::{Error, listed, load};
use crate::config::{self, Problem, Source};
use crate::detect::{self, RuleSet};
use crate::types::Family;

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Try the rules' own cases; exit code 1 when one does not hold
    Test(TestArgs),
    /// List the rules in force
    List(ListArgs),
    /// Say what a rule looks for, why, and what it costs
    Explain(explain::ExplainArgs),
    /// Take over rules of another tool; they report and do no more
    Import(take::ImportArgs),
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Rule files and directories to try instead of the rules in force; lists and macros of these are known
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only rules of this family
    #[arg(long, value_name = "FAMILY", value_parser = family)]
    family: Option<Family>,
    /// How the list is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A family by the name it has in rule files.
fn family(name: &str) -> Result<Family, String> {
    let known = || Family::ALL.into_iter();
    known()
        .find(|family| family.name() == name)
        .ok_or_else(|| format!("the families are {}", known().map(Family::name).collect::<Vec<_>>().join(", ")))
}

/// A word of a rule file for a value.
fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

pub(super) fn run(source: &Source, command: &RulesCommand, out: &mut Out) -> Result<ExitCode, Error> {
    match command {
        RulesCommand::Test(args) => test(source, args, out),
        RulesCommand::List(args) => list(source, args, out),
        RulesCommand::Explain(args) => explain::run(source, args, out),
        RulesCommand::Import(args) => take::run(source, args, out),
    }
}

fn test(source: &Source, args: &TestArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let loaded = load(source)?;
    let rules = loaded.rules();
    let mut sources = Vec::new();
    let (compiled, tried) = if args.paths.is_empty() {
        let compiled = RuleSet::compile(rules.sources(), rules.classifier(), &rules.overrides(), &rules.budget());
        (compiled, rules.files())
    } else {
        for path in &args.paths {
            sources.extend(config::read_rules(path).map_err(Error::Problems)?);
        }
        let tried = sources.len();
        if tried == 0 {
            return Err(Error::Failed("there is no rule file (*.yaml) at these paths".into()));
        }
        let mut all = detect::definitions(rules.sources());
        all.append(&mut sources);
        (RuleSet::compile(&all, rules.classifier(), &std::collections::BTreeMap::new(), &rules.budget()), tried)
    };
    let told = |problems: Vec<detect::Problem>| problems.into_iter().map(Problem::from).collect::<Vec<_>>();
    let compiled = compiled.map_err(|problems| Error::Problems(told(problems)))?;
    let failed = told(compiled.self_test());
    let cases: usize =
        compiled.rules().iter().map(|rule| rule.examples.positive.len() + rule.examples.negative.len()).sum();
    let count = compiled.rules().len();
    if failed.is_empty() {
        out.line(format_args!("{cases} cases of {count} rules in {tried} files hold"))?;
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::Failed(format!("{} of {cases} cases of {count} rules in {tried} files", listed(&failed))))
}

fn list(source: &Source, args: &ListArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let loaded = load(source)?;
    let prepared = config::prepare(&loaded, None).map_err(Error::Problems)?;
    let rules = prepared.snapshot().rules.rules();
    let shown: Vec<_> = rules.iter().filter(|rule| args.family.is_none_or(|family| rule.family == family)).collect();
    for rule in &shown {
        let (family, severity, action) = (rule.family.name(), word(rule.severity), word(rule.action));
        match args.format {
            Format::Text => out.line(format_args!(
                "{:<15} {family:<20} {severity:<13} {action:<7} {}",
                rule.id.to_string(),
                rule.title
            ))?,
            Format::Json => out.line(serde_json::json!({
                "id": &*rule.id.0, "family": family, "severity": severity, "action": action, "score": rule.score,
                "direction": word(rule.directions), "title": &*rule.title, "file": &*rule.file, "line": rule.line,
            }))?,
        }
    }
    if matches!(args.format, Format::Text) {
        out.line(format_args!("{} of {} rules", shown.len(), rules.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}
