//! `audit`: verify the audit trail, export it, and prove single records, with the public key alone.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand, ValueEnum};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

use super::output::{Out, complain};
use super::{Error, load, wait};
use crate::app::store_of;
use crate::config::Source;
use crate::control::audit::ocsf::Exporter;
use crate::control::audit::segment;
use crate::control::audit::walk::{self, Against};
use crate::control::audit::{AuditError, Finding, KeyRing, Proof, Summary};
use crate::store::{self, Database};
use crate::types::Secret;

/// Records fetched at once.
const PAGE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Verify a whole trail, an export, a segment or a proof; exit code 1 if anything is wrong with it
    Verify(VerifyArgs),
    /// Write records out, one JSON per line
    Export(ExportArgs),
    /// Write the proof that one record is in the trail, which `verify --proof` checks without the trail
    Prove(ProveArgs),
}

/// Where the trail is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The store [default: store.url of the configuration]
    #[arg(long, value_name = "URL", env = "PORTCULLIS_AUDIT_STORE", hide_env_values = true)]
    store: Option<String>,
    /// The trail's directory [default: audit.directory of the configuration]
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// An export or a segment to verify instead of the store
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A proof to verify; needs nothing but --key
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    proof: Option<PathBuf>,
    /// A PEM file with public keys, or a directory of them; may be repeated [default: those of the trail's directory]
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
    /// Checkpoints kept outside the store: a file, or the directory they are in [default: the trail's directory]
    #[arg(long, value_name = "PATH")]
    checkpoints: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    place: Place,
    /// The first record: a number, or a time such as 2026-11-21T10:00:00Z
    #[arg(long, value_name = "RECORD|TIME")]
    from: Option<String>,
    /// The last record: a number, or the time before which it happened
    #[arg(long, value_name = "RECORD|TIME")]
    to: Option<String>,
    /// As what
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// Leave out what names persons; what is left verifies all the same
    #[arg(long)]
    without_persons: bool,
    /// Where to [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What an export looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Our own records, hashes and checkpoints: `verify` reads it
    Jsonl,
    /// Events of the Open Cybersecurity Schema Framework with the profile `record_integrity`
    Ocsf,
}

#[derive(Debug, Args)]
pub(super) struct ProveArgs {
    #[command(flatten)]
    place: Place,
    /// The record's number
    #[arg(value_name = "RECORD")]
    record: i64,
}

pub(super) fn run(source: &Source, command: &AuditCommand, out: &mut Out) -> Result<ExitCode, Error> {
    match command {
        AuditCommand::Verify(args) => match &args.proof {
            Some(path) => verify_proof(path, args, source, out),
            None => wait(verify(source, args, out)),
        },
        AuditCommand::Export(args) => wait(export(source, args)),
        AuditCommand::Prove(args) => wait(prove(source, args, out)),
    }
}

impl Place {
    async fn open(&self, source: &Source) -> Result<Database, Error> {
        let url = match &self.store {
            Some(url) => Secret::new(url.as_str()),
            None => configured_store(source)?,
        };
        Database::open(&url, &store::Options::default()).await.map_err(|error| Error::Failed(error.to_string()))
    }

    fn directory(&self, source: &Source) -> Result<PathBuf, Error> {
        self.directory.clone().map_or_else(|| configured_directory(source), Ok)
    }
}

fn configured_store(source: &Source) -> Result<Secret, Error> {
    let (url, _) = store_of(&load(source)?.settings).map_err(|error| Error::Failed(error.to_string()))?;
    url.ok_or_else(|| Error::Failed("there is no store: store.url is empty; name one with --store URL".to_owned()))
}

fn configured_directory(source: &Source) -> Result<PathBuf, Error> {
    Ok(load(source)?.settings.audit.directory.clone())
}

fn failed(error: AuditError) -> Error {
    match error {
        AuditError::File { path, source } => Error::Io { what: path.display().to_string(), source },
        other => Error::Failed(other.to_string()),
    }
}

/// The keys to believe. Those of the trail's own directory prove less: who can change it can change them.
fn keys(source: &Source, args: &VerifyArgs) -> Result<KeyRing, Error> {
    if args.key.is_empty() {
        let directory = args.place.directory(source)?;
        complain(&format!("note: believing the keys in {}; --key names others", directory.display()));
        return KeyRing::of_directory(&directory).map_err(failed);
    }
    let mut keys = KeyRing::default();
    for path in &args.key {
        keys.merge(KeyRing::read(path).map_err(failed)?);
    }
    Ok(keys)
}

fn verify_proof(path: &Path, args: &VerifyArgs, source: &Source, out: &mut Out) -> Result<ExitCode, Error> {
    let keys = keys(source, args)?;
    let text = std::fs::read(path).map_err(|source| Error::Io { what: path.display().to_string(), source })?;
    let proof: Proof = serde_json::from_slice(&text).map_err(|error| Error::Failed(format!("no proof: {error}")))?;
    let proven = proof.verify(&keys).map_err(failed)?;
    let at = |micros| jiff::Timestamp::from_microsecond(micros).map_or_else(|_| "?".to_owned(), |at| at.to_string());
    out.line(format_args!("record {} of {} is in the trail", proven.seq, at(proven.time)))?;
    out.line(format_args!("signed {} with key {}", at(proven.signed), proven.key))?;
    Ok(ExitCode::SUCCESS)
}

async fn verify(source: &Source, args: &VerifyArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let started = Instant::now();
    let keys = keys(source, args)?;
    let done = match &args.file {
        Some(path) => {
            let against = Against { keys, checkpoints: args.checkpoints.clone(), segments: None };
            walk::file(path, &against).await
        }
        None => {
            let directory = args.place.directory(source)?;
            let segments = Some(directory.join(segment::DIRECTORY));
            let checkpoints = args.checkpoints.clone().or(Some(directory));
            let database = args.place.open(source).await?;
            let done = walk::store(&database, &Against { keys, checkpoints, segments }).await;
            database.close().await;
            done
        }
    };
    match done.map_err(failed)? {
        Ok(summary) => {
            report(&summary, args.file.is_none() || args.checkpoints.is_some(), started, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(found) => Err(Error::Failed(broken(&found))),
    }
}

fn broken(found: &Finding) -> String {
    format!("the audit trail is BROKEN\n{found}")
}

fn report(summary: &Summary, witnessed: bool, started: Instant, out: &mut Out) -> Result<(), Error> {
    let Summary { records, first, last, checkpoints, unsigned, unwitnessed, erased, retired } = summary;
    out.line(format_args!("intact       records {first} to {last} ({records}), {checkpoints} signed checkpoints"))?;
    if *retired > 0 {
        out.line(format_args!("retired      records up to {retired}, as the chain says"))?;
    }
    if *erased > 0 {
        out.line(format_args!("without      the personal part of {erased} records"))?;
    }
    if *unsigned > 0 {
        out.line(format_args!("not signed   the last {unsigned} records: no checkpoint covers them yet"))?;
    }
    if *unwitnessed > 0 && witnessed {
        out.line(format_args!("only inside  {unwitnessed} records are signed in the store only"))?;
    }
    out.line(format_args!("took         {} ms", started.elapsed().as_millis()))
}

async fn export(source: &Source, args: &ExportArgs) -> Result<ExitCode, Error> {
    let database = args.place.open(source).await?;
    let head = database.audit_head().await.map_err(|error| failed(error.into()))?;
    let first = match &args.from {
        Some(text) => number(&database, text).await?.unwrap_or(head.seq.saturating_add(1)),
        None => head.archived.saturating_add(1),
    };
    let last = match &args.to {
        Some(text) if text.parse::<i64>().is_err() => {
            number(&database, text).await?.map_or(head.seq, |after| after.saturating_sub(1))
        }
        Some(text) => number(&database, text).await?.unwrap_or(head.seq).min(head.seq),
        None => head.seq,
    };
    if first <= head.archived {
        complain(&format!("note: records up to {} are in segment files, which are exports already", head.archived));
    }
    let mut to: Box<dyn AsyncWrite + Unpin> = match &args.output {
        Some(path) => {
            let made = tokio::fs::File::create(path).await;
            Box::new(BufWriter::new(made.map_err(|source| Error::Io { what: path.display().to_string(), source })?))
        }
        None => {
            let same = std::io::stdout().as_fd().try_clone_to_owned().map_err(writing)?;
            Box::new(BufWriter::new(tokio::fs::File::from_std(std::fs::File::from(same))))
        }
    };
    let range = (first.max(head.archived.saturating_add(1)), last);
    let count = match args.format {
        Format::Jsonl => segment::write(&database, &mut to, range, !args.without_persons).await.map_err(failed)?,
        Format::Ocsf => write_ocsf(&database, &mut to, range, !args.without_persons).await?,
    };
    to.shutdown().await.map_err(writing)?;
    complain(&format!("{count} records exported"));
    Ok(ExitCode::SUCCESS)
}

fn writing(source: std::io::Error) -> Error {
    Error::Io { what: "cannot write the export".to_owned(), source }
}

/// A record's number: as it is, or of the first record at or after a time.
async fn number(database: &Database, text: &str) -> Result<Option<i64>, Error> {
    if let Ok(number) = text.parse() {
        return Ok(Some(number));
    }
    let time: jiff::Timestamp =
        text.parse().map_err(|_| Error::Failed(format!("`{text}` is neither a number nor a time")))?;
    database.audit_first_since(time.as_microsecond()).await.map_err(|error| failed(error.into()))
}

async fn write_ocsf(
    database: &Database,
    to: &mut (impl AsyncWrite + Unpin),
    (first, last): (i64, i64),
    persons: bool,
) -> Result<u64, Error> {
    let head = database.audit_head().await.map_err(|error| failed(error.into()))?;
    let mut exporter = Exporter::new(&head.store);
    let mut after = first.saturating_sub(1);
    let mut count = 0_u64;
    while after < last {
        let page = database.audit_page(after, PAGE).await.map_err(|error| failed(error.into()))?;
        let Some(end) = page.last().map(|row| row.seq) else { break };
        for mut row in page.into_iter().filter(|row| row.seq <= last) {
            row.personal = row.personal.filter(|_| persons);
            let line = exporter.event(&row);
            to.write_all(line.as_bytes()).await.map_err(writing)?;
            to.write_all(b"\n").await.map_err(writing)?;
            count = count.saturating_add(1);
        }
        after = end;
    }
    Ok(count)
}

async fn prove(source: &Source, args: &ProveArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let database = args.place.open(source).await?;
    let proof = Proof::make(&database, args.record).await.map_err(failed)?;
    let text = serde_json::to_string_pretty(&proof).map_err(|error| Error::Failed(error.to_string()))?;
    out.line(text)?;
    Ok(ExitCode::SUCCESS)
}
