//! `rules import`: files of another tool to a directory of ours, and an account of every rule in them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::import::{Format, Options, Outcome, import};
use crate::cli::output::Out;
use crate::cli::{Error, load};
use crate::config::{self, Source};
use crate::types::Family;

/// The largest file read.
const MAX_FILE: u64 = 16 << 20;
/// How far a repetition without an end may be asked to go.
const MAX_BOUND: u32 = 1000;

#[derive(Debug, Args)]
pub(in crate::cli) struct ImportArgs {
    /// Files of the other tool
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What they are written in
    #[arg(long, value_enum, value_name = "TOOL")]
    from: Tool,
    /// The directory for the rules: one file for each that was read, none is overwritten
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// The family of the rules, instead of what can be told from them
    #[arg(long, value_name = "FAMILY", value_parser = super::family)]
    family: Option<Family>,
    /// Let repetitions without an end (`*`, `+`) stop after so many; without this such a rule is not taken over
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BOUND)))]
    bound: Option<u32>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Tool {
    /// gitleaks TOML
    Gitleaks,
    /// Sigma YAML
    Sigma,
    /// Agent-threat-rule YAML
    Atr,
}

pub(super) fn run(source: &Source, args: &ImportArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let format = match args.from {
        Tool::Gitleaks => Format::Gitleaks,
        Tool::Sigma => Format::Sigma,
        Tool::Atr => Format::Atr,
    };
    let budget = load(source)?.rules().budget();
    let options = Options { format, family: args.family, bound: args.bound, budget: &budget };
    fs::create_dir_all(&args.output).map_err(|error| failed(&args.output, error))?;
    let mut next = next_number(&args.output, format)?;
    let (mut taken, mut left) = (0_usize, 0_usize);
    for file in &args.files {
        let text = read(file)?;
        let outcomes = import(&text, &options, &mut next)
            .map_err(|reason| Error::Failed(format!("{}: {reason}", file.display())))?;
        let written = write(file, &args.output, &outcomes)?;
        match &written {
            Some(path) => out.line(format_args!("{} -> {}", file.display(), path.display()))?,
            None => out.line(format_args!("{}: no rule could be taken over", file.display()))?,
        }
        for Outcome { name, result } in &outcomes {
            match result {
                Ok(rule) => {
                    taken += 1;
                    out.line(format_args!("  {}  {name}", rule.id))?;
                    for note in &rule.notes {
                        out.line(format_args!("    without {note}"))?;
                    }
                }
                Err(reason) => {
                    left += 1;
                    out.line(format_args!("  not imported  {name}: {reason}"))?;
                }
            }
        }
    }
    out.line(format_args!("{taken} imported, {left} not imported"))?;
    Ok(if taken > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Io { what: path.display().to_string(), source }
}

fn read(path: &Path) -> Result<String, Error> {
    let size = fs::metadata(path).map_err(|error| failed(path, error))?.len();
    if size > MAX_FILE {
        return Err(Error::Failed(format!("{}: has more than {} MiB", path.display(), MAX_FILE >> 20)));
    }
    fs::read_to_string(path).map_err(|error| failed(path, error))
}

/// The number after the highest that rules in `directory` have.
fn next_number(directory: &Path, format: Format) -> Result<u32, Error> {
    let start = format!("id: SITE-{}-", format.theme());
    let sources = config::read_rules(directory).map_err(Error::Problems)?;
    let ids = sources.iter().flat_map(|source| source.text.lines());
    let numbers = ids.filter_map(|line| line.strip_prefix(start.as_str())?.trim().parse::<u32>().ok());
    Ok(numbers.max().unwrap_or(0) + 1)
}

/// Writes the rules of one file; `None` where there are none.
fn write(from: &Path, directory: &Path, outcomes: &[Outcome]) -> Result<Option<PathBuf>, Error> {
    let documents: Vec<&str> =
        outcomes.iter().filter_map(|one| one.result.as_ref().ok()).map(|rule| rule.document.as_str()).collect();
    if documents.is_empty() {
        return Ok(None);
    }
    let name = from.file_stem().map_or_else(|| "imported".into(), |name| name.to_string_lossy().into_owned());
    let path = directory.join(format!("{}.yaml", name.trim_start_matches('.')));
    let mut file = fs::File::create_new(&path).map_err(|error| failed(&path, error))?;
    file.write_all(documents.join("---\n").as_bytes()).map_err(|error| failed(&path, error))?;
    Ok(Some(path))
}
