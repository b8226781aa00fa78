//! `scan`: what the gateway would conclude about a text, and why.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};

use super::names::{DialectName, DirectionName, RoleName};
use super::output::{Out, complain};
use super::{Error, load};
use crate::config::settings::Settings;
use crate::config::{self, Source};
use crate::detect::leak::Known;
use crate::detect::{self, RuleSet, Thresholds};
use crate::models::{Models, Scale, Who, in_question};
use crate::types::{Decision, Dialect, Direction, Factors, Finding, Role, SpanIndex, Verdict};
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
    rules: Arc<RuleSet>,
    models: Arc<Models>,
    settings: Arc<Settings>,
}

/// A verdict with the texts it is about.
pub(super) struct Scanned {
    direction: Direction,
    /// Path and text of each span.
    texts: Vec<(String, String)>,
    pub(super) verdict: Verdict,
    pub(super) micros: u128,
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
        Format::Text => out.text(&scanned.explained())?,
        Format::Json => out.line(scanned.json())?,
    }
    Ok(if args.exit_code { exit_code(scanned.verdict.decision) } else { ExitCode::SUCCESS })
}

impl Scanner {
    /// With the rules, models and thresholds that `source` configures.
    pub(super) fn new(source: &Source) -> Result<Self, Error> {
        let loaded = load(source)?;
        let prepared = config::prepare(&loaded, None).map_err(Error::Problems)?;
        let snapshot = prepared.snapshot();
        let (rules, models) = (Arc::clone(&snapshot.rules), Arc::clone(&snapshot.models));
        Ok(Self { rules, models, settings: Arc::clone(&loaded.settings) })
    }

    /// The verdict on one text; a conversation written as a JSON list of messages is read turn by turn, and an answer
    /// is compared with the system prompt it was made under.
    pub(super) fn text(&self, direction: Direction, role: Role, system: Option<&str>, text: String) -> Scanned {
        match conversation(&text) {
            Some(turns) if direction == Direction::Input => self.conversation(turns),
            Some(_) | None => self.plain(direction, role, system, text),
        }
    }

    fn conversation(&self, turns: Vec<(Role, String)>) -> Scanned {
        let started = Instant::now();
        let mut findings = Vec::new();
        let spans: Vec<(SpanIndex, Role, &str)> =
            (0_u32..).zip(&turns).map(|(at, (role, text))| (SpanIndex(at), *role, text.as_str())).collect();
        self.rules.scan_all(&spans, &mut findings);
        let texts: Vec<(Role, &str)> = spans.iter().map(|(_, role, text)| (*role, *text)).collect();
        let verdict = self.judge(&texts, findings);
        let micros = started.elapsed().as_micros();
        let texts = (0..).zip(turns).map(|(at, (_, text)): (usize, _)| (format!("[{at}].content"), text)).collect();
        Scanned { direction: Direction::Input, texts, verdict, micros }
    }

    fn plain(&self, direction: Direction, role: Role, system: Option<&str>, text: String) -> Scanned {
        let started = Instant::now();
        let span = SpanIndex(0);
        let verdict = match direction {
            Direction::Input => {
                let mut findings = Vec::new();
                self.rules.scan(span, role, &text, &mut findings);
                self.judge(&[(role, &text)], findings)
            }
            Direction::Output => {
                let known = Known::of(system).map(Arc::new);
                let found = detect::inspect_output_knowing(&self.rules, known.as_ref(), span, &text, true);
                detect::judge_answer(found.findings, &self.thresholds(), self.rules.hash())
            }
        };
        Scanned { direction, texts: vec![("text".to_owned(), text)], verdict, micros: started.elapsed().as_micros() }
    }

    fn body(&self, dialect: Dialect, body: &[u8]) -> Result<Scanned, Error> {
        let started = Instant::now();
        let limits = wire::Limits { max_depth: self.settings.body.max_depth, max_nodes: self.settings.body.max_nodes };
        let prompt = wire::read_prompt(dialect, body, &limits)
            .map_err(|bad| Error::Failed(format!("the body would be refused: {bad} (offset {})", bad.offset)))?;
        let mut findings = Vec::new();
        self.rules.scan_all(&prompt.texts(), &mut findings);
        let texts: Vec<(Role, &str)> = prompt.spans.iter().map(|span| (span.role, &*span.text)).collect();
        let verdict = self.judge(&texts, findings);
        let micros = started.elapsed().as_micros();
        let texts = (0_u32..)
            .zip(&prompt.spans)
            .map(|(index, span)| (prompt.path_of(SpanIndex(index)), span.text.clone().into_owned()))
            .collect();
        Ok(Scanned { direction: Direction::Input, texts, verdict, micros })
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
                    out.line(scanned.row(&row.id))?;
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

    /// The verdict on a prompt, models heard where the rules do not block already. One that gives no answer is told about
    /// and passed over: the gateway does what `on_failure` says.
    fn judge(&self, texts: &[(Role, &str)], mut findings: Vec<Finding>) -> Verdict {
        let thresholds = self.thresholds();
        // What is on trial decides nothing, or only for some callers.
        self.rules.on_trial(&mut findings, 1.0);
        let undecided = |findings: &[Finding]| {
            detect::judge(findings.to_vec(), &thresholds, self.rules.hash()).decision < Decision::Block
        };
        if !self.models.is_empty() && undecided(&findings) {
            let scale = Scale { flag_at: thresholds.flag_at, block_at: thresholds.block_at };
            let mut found = Vec::new();
            for model in self.models.iter() {
                let asked = in_question(model.policy(), texts.iter().copied(), &findings);
                let (spans, texts): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
                let question = model.ask(Who { request: "scan", tenant: None }, &texts);
                match model.answer_blocking(question) {
                    Ok(opinions) => {
                        let heard = spans.iter().zip(&opinions);
                        found.extend(heard.filter_map(|(span, opinion)| model.finding(*span, opinion, scale)));
                    }
                    Err(failure) => complain(&format!("model {}: {failure}", model.name())),
                }
            }
            findings.extend(found);
        }
        detect::judge(findings, &thresholds, self.rules.hash())
    }

    fn thresholds(&self) -> Thresholds {
        self.settings.inspect.thresholds(self.settings.inspect.security)
    }
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

impl Scanned {
    fn explained(&self) -> String {
        let texts: Vec<(&str, &str)> = self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        detect::explain(&self.verdict, &texts)
    }

    fn json(&self) -> Value {
        let path =
            |span: SpanIndex| usize::try_from(span.0).ok().and_then(|at| self.texts.get(at)).map(|(path, _)| path);
        let findings: Vec<Value> = self
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
            "direction": self.direction.name(),
            "decision": self.verdict.decision.name(),
            "risk": digits(self.verdict.risk),
            "likelihood_false_positive": digits(self.verdict.false_positive),
            "recommended": self.verdict.recommended.name(),
            "factors": factors(self.verdict.factors),
            "findings": findings,
            "steps": self.verdict.steps,
            "rule_set": self.verdict.rule_set,
            "spans": self.texts.len(),
            "micros": self.micros,
        })
    }

    fn row(&self, id: &Value) -> Value {
        let categories: BTreeSet<&str> = self.verdict.findings.iter().map(|finding| finding.family.name()).collect();
        let rules: BTreeSet<&str> = self.verdict.findings.iter().map(|finding| &*finding.rule.0).collect();
        json!({
            "id": id,
            "risk": digits(self.verdict.risk),
            "likelihood_false_positive": digits(self.verdict.false_positive),
            "decision": self.verdict.decision.name(),
            "categories": categories,
            "rules": rules,
            "micros": self.micros,
        })
    }
}

/// The messages of a conversation written as a JSON list of `{role, content}`.
fn conversation(text: &str) -> Option<Vec<(Role, String)>> {
    #[derive(Deserialize)]
    struct Message {
        role: RoleName,
        content: String,
    }
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let messages: Vec<Message> = serde_json::from_str(text).ok()?;
    (!messages.is_empty()).then(|| messages.into_iter().map(|one| (one.role.into(), one.content)).collect())
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
