//! `train`: makes the classifier's model file out of texts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Error;
use super::output::Out;
use crate::train::{self, Held, corpus, corpus::Example, kinds};

#[derive(Debug, Args)]
pub(super) struct TrainArgs {
    /// Folders and files to learn from: `*.jsonl` rows {"text", "label", "category"} and `*.txt` corpora
    #[arg(required = true, value_name = "PATH")]
    from: Vec<PathBuf>,
    /// The lexicon
    #[arg(long, value_name = "FILE", default_value = "rules/model/lexicon.txt")]
    lexicon: PathBuf,
    /// Where the model goes
    #[arg(long, short, value_name = "FILE", default_value = "rules/model/classifier.bin")]
    out: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

/// How a source fared with a model that had not seen it.
#[derive(Debug, Default, Clone, Copy)]
struct Fared {
    rows: u32,
    flagged: u32,
    blocked: u32,
    /// Attacks of a kind that is told apart, and those that were taken for it.
    kinds: [u32; 2],
}

pub(super) fn run(args: &TrainArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let examples = corpus::readings(read(&args.from)?);
    let lexicon = text(&args.lexicon)?;
    let trained = train::train(&examples, &lexicon).map_err(Error::Failed)?;
    let written = fs::write(&args.out, &trained.file);
    written.map_err(|source| Error::Io { what: args.out.display().to_string(), source })?;
    let fared = fared(&examples, &trained.held, |held| trained.points(held));
    if args.json {
        let rows = fared.iter().map(|((attack, source), one)| {
            let [kinds, told] = one.kinds;
            json!({
                "source": source, "attack": attack, "rows": one.rows, "flagged": one.flagged, "blocked": one.blocked,
                "kinds": kinds, "kinds_told": told,
            })
        });
        out.line(
            json!({ "examples": examples.len(), "bytes": trained.file.len(), "held_out": rows.collect::<Vec<_>>() }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = format!(
        "{} texts, {} bytes written to {}\nEach source as judged by a model that had not seen it:\n",
        examples.len(),
        trained.file.len(),
        args.out.display()
    );
    for attack in [true, false] {
        table += if attack { "\nattacks" } else { "\nharmless" };
        table += &format!("{:>43} {:>9} {:>9} {:>11}\n", "rows", "flagged %", "blocked %", "kind told %");
        for ((_, source), one) in fared.iter().filter(|((of, _), _)| *of == attack) {
            let share = |part: u32| 100.0 * f64::from(part) / f64::from(one.rows.max(1));
            let [kinds, told] = one.kinds;
            let kind = if kinds > 0 { format!("{:.1}", 100.0 * f64::from(told) / f64::from(kinds)) } else { "".into() };
            let (flagged, blocked) = (share(one.flagged), share(one.blocked));
            table += &format!("  {source:42} {:>6} {flagged:>9.1} {blocked:>9.1} {kind:>11}\n", one.rows);
        }
    }
    out.text(&table)?;
    Ok(ExitCode::SUCCESS)
}

fn fared<'e>(
    examples: &'e [Example],
    held: &[Held],
    points: impl Fn(&Held) -> f32,
) -> BTreeMap<(bool, &'e str), Fared> {
    let mut fared: BTreeMap<(bool, &str), Fared> = BTreeMap::new();
    for (one, held) in examples.iter().zip(held) {
        let points = points(held);
        let of = fared.entry((one.attack, &one.source)).or_default();
        of.rows += 1;
        of.flagged += u32::from(points >= 4.0);
        of.blocked += u32::from(points >= 8.0);
        if let Some(kind) = kinds::family(&one.category).filter(|_| one.attack) {
            of.kinds[0] += 1;
            of.kinds[1] += u32::from(held.kind == Some(kind));
        }
    }
    fared
}

/// Every text below the paths, in the order of their names.
fn read(paths: &[PathBuf]) -> Result<Vec<Example>, Error> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    let mut examples = Vec::new();
    for path in files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = text(&path)?;
        let read = if is(&path, "jsonl") { corpus::rows(&name, &text) } else { corpus::corpus(&name, &text) };
        examples.extend(read.map_err(|bad| Error::Failed(format!("{}: {bad}", path.display())))?);
    }
    Ok(examples)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |source| Error::Io { what: path.display().to_string(), source };
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries: Result<Vec<PathBuf>, _> =
        fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut entries = entries.map_err(failed)?;
    entries.sort();
    files.extend(entries.into_iter().filter(|path| is(path, "jsonl") || is(path, "txt")));
    Ok(())
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own == extension)
}

fn text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::Io { what: path.display().to_string(), source })
}
