//! `scan`: what the gateway would conclude about a text, and why.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::{DialectName, DirectionName, RoleName};
use super::output::{Out, complain};
use super::{Error, load};
use crate::app::scan::{self, Judged, Scanned};
use crate::config::settings::Settings;
use crate::config::{self, Source};
use crate::detect;
use crate::types::{Decision, Dialect, Direction, Factors, Role, SpanIndex};
use crate::wire;

/// The longest text or body read. The gateway's own limit is `body.max_request`.
const MAX_TEXT: u64 = 256 << 20;

#[derive(Debug, Args)]
pub(super) struct ScanArgs {
    /// The text; `-`, or none at all, reads it from standard input
    #[arg(conflicts_with_all = ["file", "body", "jsonl"])]
    text: Option<String>,
    /// Read the text from a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["body", "jsonl"])]
    file: Option<PathBuf>,
    /// Read a request body from a file, `-` for standard input: every text in it is inspected in its role
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jsonl", "direction", "role"])]
    body: Option<PathBuf>,
    /// What the request body is written in
    #[arg(long, value_enum, default_value_t = DialectName::Chat, requires = "body")]
    dialect: DialectName,
    /// Read rows {"id", "text", "direction"?, "role"?, "system"?} from a file, `-` for standard input, and print a line for each
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Whether the text is on its way to the model or comes from it
    #[arg(long, value_enum, default_value_t = DirectionName::Input)]
    direction: DirectionName,
    /// The system prompt the text, an answer, was made under: with `--direction output`, and for rows without their own
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    system: Option<PathBuf>,
    /// Who is said to have written it
    #[arg(long, value_enum, default_value_t = RoleName::User)]
    role: RoleName,
    /// How the verdict is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Exit with 0 for allow, 3 for flag and redact, 4 for block
    #[arg(long)]
    exit_code: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The rules, models and thresholds of a configuration.
pub(super) struct Scanner {
    judge: scan::Scanner,
    settings: Arc<Settings>,
}

pub(super) fn run(source: &Source, args: &ScanArgs, out: &mut Out) -> Result<ExitCode, Error> {
    let scanner = Scanner::new(source)?;
    let system = args.system.as_deref().map(|path| read(path).and_then(utf8)).transpose()?;
    if let Some(rows) = &args.jsonl {
        return scanner.rows(rows, args, system.as_deref(), out);
    }
    let scanned = match &args.body {
        Some(path) => scanner.body(args.dialect.into(), &read(path)?)?,
        None => {
            let text = match (&args.text, &args.file) {
                (Some(text), _) if text != "-" => text.clone(),
                (_, Some(path)) => utf8(read(path)?)?,
                (_, None) => utf8(read(Path::new("-"))?)?,
            };
            scanner.text(args.direction.into(), args.role.into(), system.as_deref(), text)
        }
    };
    match args.format {
        Format::Text => out.text(&explained(&scanned))?,
        Format::Json => out.line(shown(&scanned))?,
    }
    Ok(if args.exit_code { exit_code(scanned.verdict.decision) } else { ExitCode::SUCCESS })
}

impl Scanner {
    /// With the rules, models and thresholds that `source` configures.
    pub(super) fn new(source: &Source) -> Result<Self, Error> {
        let loaded = load(source)?;
        let prepared = config::prepare(&loaded, None).map_err(Error::Problems)?;
        Ok(Self { judge: scan::Scanner::new(prepared.snapshot(), None), settings: Arc::clone(&loaded.settings) })
    }

    /// The verdict on one text; a conversation written as a JSON list of messages is read turn by turn, and an answer
    /// is compared with the system prompt it was made under.
    pub(super) fn text(&self, direction: Direction, role: Role, system: Option<&str>, text: String) -> Scanned {
        told(self.judge.text(direction, role, system, text))
    }

    fn body(&self, dialect: Dialect, body: &[u8]) -> Result<Scanned, Error> {
        let limits = wire::Limits { max_depth: self.settings.body.max_depth, max_nodes: self.settings.body.max_nodes };
        let prompt = wire::read_prompt(dialect, body, &limits)
            .map_err(|bad| Error::Failed(format!("the body would be refused: {bad} (offset {})", bad.offset)))?;
        let texts = (0_u32..).zip(&prompt.spans).map(|(index, span)| Judged {
            path: prompt.path_of(SpanIndex(index)),
            role: span.role,
            text: span.text.clone().into_owned(),
        });
        Ok(told(self.judge.prompt(texts.collect())))
    }

    /// One verdict per row. A row that cannot be read gets a line that says so, and the exit code is 1.
    fn rows(&self, path: &Path, args: &ScanArgs, system: Option<&str>, out: &mut Out) -> Result<ExitCode, Error> {
        let (mut bad, mut worst) = (false, Decision::Allow);
        for (number, line) in (1_u64..).zip(open(path)?.lines()) {
            let line = line.map_err(|source| Error::Io { what: format!("row {number}"), source })?;
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Row>(&line) {
                Ok(row) => {
                    let direction = row.direction.unwrap_or(args.direction).into();
                    let role = row.role.unwrap_or(args.role).into();
                    let system = row.system.as_deref().or(system);
                    let scanned = self.text(direction, role, system, row.text);
                    worst = worst.max(scanned.verdict.decision);
                    out.line(self::row(&scanned, &row.id))?;
                }
                Err(error) => {
                    bad = true;
                    out.line(json!({ "id": null, "error": format!("row {number}: {error}") }))?;
                }
            }
        }
        Ok(match (bad, args.exit_code) {
            (true, _) => ExitCode::FAILURE,
            (false, true) => exit_code(worst),
            (false, false) => ExitCode::SUCCESS,
        })
    }
}

/// Says which models were not heard.
fn told(scanned: Scanned) -> Scanned {
    scanned.unheard.iter().for_each(|failure| complain(failure));
    scanned
}

/// One row of `--jsonl`.
#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    id: Value,
    text: String,
    direction: Option<DirectionName>,
    role: Option<RoleName>,
    system: Option<String>,
}

fn explained(scanned: &Scanned) -> String {
    let texts: Vec<(&str, &str)> = scanned.texts.iter().map(|one| (one.path.as_str(), one.text.as_str())).collect();
    detect::explain(&scanned.verdict, &texts)
}

fn shown(scanned: &Scanned) -> Value {
    let path = |span: SpanIndex| usize::try_from(span.0).ok().and_then(|at| scanned.texts.get(at)).map(|one| &one.path);
    let findings: Vec<Value> = scanned
        .verdict
        .findings
        .iter()
        .map(|finding| {
            let mut shown = json!(finding);
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("path".to_owned(), json!(path(finding.evidence.span)));
            }
            shown
        })
        .collect();
    json!({
        "direction": scanned.direction.name(),
        "decision": scanned.verdict.decision.name(),
        "risk": digits(scanned.verdict.risk),
        "likelihood_false_positive": digits(scanned.verdict.false_positive),
        "recommended": scanned.verdict.recommended.name(),
        "factors": factors(scanned.verdict.factors),
        "findings": findings,
        "steps": scanned.verdict.steps,
        "rule_set": scanned.verdict.rule_set,
        "spans": scanned.texts.len(),
        "micros": scanned.micros,
    })
}

fn row(scanned: &Scanned, id: &Value) -> Value {
    let categories: BTreeSet<&str> = scanned.verdict.findings.iter().map(|finding| finding.family.name()).collect();
    let rules: BTreeSet<&str> = scanned.verdict.findings.iter().map(|finding| &*finding.rule.0).collect();
    json!({
        "id": id,
        "risk": digits(scanned.verdict.risk),
        "likelihood_false_positive": digits(scanned.verdict.false_positive),
        "decision": scanned.verdict.decision.name(),
        "categories": categories,
        "rules": rules,
        "micros": scanned.micros,
    })
}

/// Those that are something.
fn factors(factors: Factors) -> Value {
    let Factors { content, behaviour, context, history } = factors;
    let all = [("content", content), ("behaviour", behaviour), ("context", context), ("history", history)];
    all.into_iter()
        .filter(|(_, factor)| *factor > 0.0)
        .map(|(name, factor)| (name.to_owned(), json!(digits(factor))))
        .collect()
}

/// Four digits, so that a 32-bit fraction does not look more exact than it is.
fn digits(share: f32) -> f64 {
    (f64::from(share) * 10_000.0).round() / 10_000.0
}

fn exit_code(decision: Decision) -> ExitCode {
    ExitCode::from(match decision {
        Decision::Allow => 0,
        Decision::Flag | Decision::Redact => 3,
        Decision::Block => 4,
    })
}

/// The lines of a file that say something.
pub(super) fn lines(path: &Path) -> Result<impl Iterator<Item = io::Result<String>>, Error> {
    Ok(open(path)?.lines().filter(|line| line.as_ref().map_or(true, |line| !line.trim().is_empty())))
}

fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = fs::File::open(path).map_err(|source| Error::Io { what: path.display().to_string(), source })?;
    Ok(Box::new(io::BufReader::new(file)))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_TEXT).read_to_end(&mut bytes);
    read.map_err(|source| Error::Io { what: path.display().to_string(), source })?;
    Ok(bytes)
}

fn utf8(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::Failed(format!("the text is not UTF-8: the byte at offset {at} starts no character"))
    })
}
