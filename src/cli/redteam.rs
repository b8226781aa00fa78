//! `redteam`: attack scenarios against a running gateway, with a verdict that a pipeline can act on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Error;
use super::output::{Out, complain};
use crate::config;
use crate::redteam::{self, Minimum, Options, Pack, PackFile, Run, Target, Verdict, report};
use crate::types::Secret;

/// The largest pack, and certificate or key file.
const MAX_FILE: u64 = 4 << 20;
/// Packs in a directory.
const MAX_FILES: usize = 1000;

/// A run said that the release must not go out.
const BELOW: u8 = 1;
/// The command line, or a pack, is wrong.
const USAGE: u8 = 2;
/// There was no run, or not a whole one.
const NOT_RUN: u8 = 3;

/// Exit codes: 0 every minimum reached, 1 one is not, 2 wrong usage or a bad pack, 3 the target could not be tried or some
/// trials ended in errors.
#[derive(Debug, Args)]
pub(super) struct RedteamArgs {
    /// Base URL of the gateway, as in OPENAI_BASE_URL; it must be yours to attack
    #[arg(long, value_name = "URL")]
    target: String,
    /// A pack of cases, or a directory of them, beside the built-in ones
    #[arg(long, value_name = "FILE_OR_DIR")]
    pack: Vec<PathBuf>,
    /// Leave the built-in packs out
    #[arg(long, requires = "pack")]
    no_builtin: bool,
    /// Only these families of cases
    #[arg(long, value_name = "FAMILY", value_delimiter = ',')]
    families: Vec<String>,
    /// What texts, disguises and made-up secrets are drawn from: the same seed, the same texts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The share of judged cases that must pass, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    min_pass: f64,
    /// The share of harmless cases that must be answered, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.95, value_parser = share)]
    min_benign: f64,
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Where the report goes; standard output otherwise
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The key that is sent; others on this machine can read it from the process list, so prefer --key-file
    #[arg(long, value_name = "KEY", conflicts_with = "key_file")]
    key: Option<String>,
    /// A file with the key that is sent
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The model that requests name
    #[arg(long, value_name = "NAME", default_value = "gpt-4o-mini")]
    model: String,
    /// Certificate authorities to trust beside the platform's, in PEM
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Requests in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Seconds a whole answer may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Junit,
    Html,
}

pub(super) fn run(args: &RedteamArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let (pack, target) = match prepare(args) {
        Ok(ready) => ready,
        Err(why) => return Ok(stop(&why, USAGE)),
    };
    let minimum = Minimum { pass: args.min_pass, benign: args.min_benign };
    let (families, model) = (args.families.clone(), args.model.clone());
    let options =
        Options { seed: args.seed, model, concurrency: args.concurrency.into(), families, cases: Vec::new(), minimum };
    let ran = super::wait(async {
        redteam::run(target, &pack, &options).await.map_err(|why| Error::Failed(why.to_string()))
    });
    let run = match ran {
        Ok(run) => run,
        Err(why) => return Ok(stop(&why.to_string(), NOT_RUN)),
    };
    if let Err(why) = deliver(args, &run, out) {
        return Ok(stop(&why.to_string(), NOT_RUN));
    }
    Ok(match run.verdict() {
        Verdict::Passed => ExitCode::SUCCESS,
        Verdict::BelowMinimum => ExitCode::from(BELOW),
        Verdict::Incomplete => ExitCode::from(NOT_RUN),
    })
}

fn stop(why: &str, code: u8) -> ExitCode {
    complain(why);
    ExitCode::from(code)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be 0 to 1".to_owned()) }
}

/// Everything that can be wrong before anything is sent.
fn prepare(args: &RedteamArgs) -> Result<(Pack, Target), String> {
    let mut files = if args.no_builtin { Vec::new() } else { redteam::builtin() };
    for path in &args.pack {
        files.extend(packs(path)?);
    }
    let pack = redteam::read(&files).map_err(|problems| problems.join("\n"))?;
    let known = pack.families();
    if let Some(unknown) = args.families.iter().find(|family| !known.contains_key(family.as_str())) {
        let known: Vec<&str> = known.into_keys().collect();
        return Err(format!("there is no family `{unknown}`; there are {}", known.join(", ")));
    }
    let key = match (&args.key, &args.key_file) {
        (Some(key), _) => Some(Secret::new(key.clone())),
        (None, Some(path)) => Some(Secret::new(read(path)?.trim())),
        (None, None) => None,
    };
    let ca = args.ca.as_deref().map(read).transpose()?;
    let tls = || config::towards(ca.as_deref());
    let target = Target::new(&args.target, key.as_ref(), Duration::from_secs(args.timeout), tls);
    Ok((pack, target.map_err(|error| error.to_string())?))
}

/// A pack, or every `*.yaml` of a directory in the order of their names.
fn packs(path: &Path) -> Result<Vec<PackFile>, String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = fs::read_dir(path).map_err(cannot)?.map(|entry| entry.map(|entry| entry.path()));
        paths = entries.collect::<Result<_, _>>().map_err(cannot)?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        paths.sort();
        if paths.is_empty() || paths.len() > MAX_FILES {
            return Err(format!("{}: there must be 1 to {MAX_FILES} packs (*.yaml)", path.display()));
        }
    }
    paths.iter().map(|path| Ok(PackFile { name: path.display().to_string(), text: read(path)? })).collect()
}

fn read(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    if fs::metadata(path).map_err(told)?.len() > MAX_FILE {
        return Err(format!("{}: larger than {MAX_FILE} bytes", path.display()));
    }
    fs::read_to_string(path).map_err(told)
}

fn deliver(args: &RedteamArgs, run: &Run, out: &mut Out) -> Result<(), Error> {
    let written = match args.format {
        Format::Text => report::text(run),
        Format::Json => format!("{:#}\n", report::json(run)),
        Format::Junit => report::junit(run),
        Format::Html => report::html(run),
    };
    let Some(path) = &args.output else { return out.text(&written) };
    fs::write(path, written).map_err(|source| Error::Io { what: path.display().to_string(), source })?;
    out.line(report::summary(run))
}
