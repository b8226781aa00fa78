//! What the gateway would conclude about a text by itself: for `portcullis scan` and for the test bench of the console.

use std::sync::Arc;
use std::time::Instant;

use serde::Deserialize;

use crate::config::Snapshot;
use crate::control::api::door::{self, ScanAsked};
use crate::detect::leak::Known;
use crate::detect::{self, RuleSet, Thresholds};
use crate::models::{Models, Scale, Who, in_question};
use crate::types::{Decision, Direction, Finding, Role, SpanIndex, Verdict};

/// The rules, models and thresholds that texts are judged with.
#[derive(Debug, Clone)]
pub struct Scanner {
    rules: Arc<RuleSet>,
    models: Arc<Models>,
    thresholds: Thresholds,
}

/// A text of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it is called.
    pub path: String,
    /// Who is said to have written it.
    pub role: Role,
    /// The text.
    pub text: String,
}

/// A verdict with the texts it is about.
#[derive(Debug)]
pub struct Scanned {
    /// Which way they travel.
    pub direction: Direction,
    /// The text of each span.
    pub texts: Vec<Judged>,
    /// The verdict.
    pub verdict: Verdict,
    /// How long it took.
    pub micros: u128,
    /// Models that gave no answer, each with why: they were passed over.
    pub unheard: Vec<String>,
}

impl Scanner {
    /// With what a Snapshot holds; `thresholds` are those of the settings unless there are others.
    pub fn new(snapshot: &Snapshot, thresholds: Option<Thresholds>) -> Self {
        let inspect = &snapshot.settings.inspect;
        let thresholds = thresholds.unwrap_or_else(|| inspect.thresholds(inspect.security));
        Self { rules: Arc::clone(&snapshot.rules), models: Arc::clone(&snapshot.models), thresholds }
    }

    /// The verdict on one text; a conversation written as a JSON list of messages is read turn by turn, and an answer is
    /// compared with the system prompt it was made under. Takes as long as the text is and models take: not for an async worker.
    pub fn text(&self, direction: Direction, role: Role, system: Option<&str>, text: String) -> Scanned {
        match conversation(&text) {
            Some(turns) if direction == Direction::Input => self.prompt(turns),
            Some(_) | None => self.plain(direction, role, system, text),
        }
    }

    fn plain(&self, direction: Direction, role: Role, system: Option<&str>, text: String) -> Scanned {
        let started = Instant::now();
        let span = SpanIndex(0);
        let (verdict, unheard) = match direction {
            Direction::Input => {
                let mut findings = Vec::new();
                self.rules.scan(span, role, &text, &mut findings);
                self.judge(&[(role, &text)], findings)
            }
            Direction::Output => {
                let known = Known::of(system).map(Arc::new);
                let found = detect::inspect_output_knowing(&self.rules, known.as_ref(), span, &text, true);
                (detect::judge_answer(found.findings, &self.thresholds, self.rules.hash()), Vec::new())
            }
        };
        let micros = started.elapsed().as_micros();
        Scanned { direction, texts: vec![Judged { path: "text".to_owned(), role, text }], verdict, micros, unheard }
    }

    /// The verdict on the texts of one prompt.
    pub fn prompt(&self, texts: Vec<Judged>) -> Scanned {
        let started = Instant::now();
        let mut findings = Vec::new();
        let spans: Vec<(SpanIndex, Role, &str)> =
            (0_u32..).zip(&texts).map(|(at, one)| (SpanIndex(at), one.role, one.text.as_str())).collect();
        self.rules.scan_all(&spans, &mut findings);
        let read: Vec<(Role, &str)> = texts.iter().map(|one| (one.role, one.text.as_str())).collect();
        let (verdict, unheard) = self.judge(&read, findings);
        let micros = started.elapsed().as_micros();
        Scanned { direction: Direction::Input, texts, verdict, micros, unheard }
    }

    /// The verdict on a prompt, models heard where the rules do not block already. One that gives no answer is told about
    /// and passed over: the gateway does what `on_failure` says.
    fn judge(&self, texts: &[(Role, &str)], mut findings: Vec<Finding>) -> (Verdict, Vec<String>) {
        // What is on trial decides nothing, or only for some callers.
        self.rules.on_trial(&mut findings, || 1.0);
        let mut unheard = Vec::new();
        let undecided = |findings: &[Finding]| {
            detect::judge(findings.to_vec(), &self.thresholds, self.rules.hash()).decision < Decision::Block
        };
        if !self.models.is_empty() && undecided(&findings) {
            let scale = Scale { flag_at: self.thresholds.flag_at, block_at: self.thresholds.block_at };
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
                    Err(failure) => unheard.push(format!("model {}: {failure}", model.name())),
                }
            }
            findings.extend(found);
        }
        (detect::judge(findings, &self.thresholds, self.rules.hash()), unheard)
    }
}

/// What a Snapshot concludes about a text that the admin API asks about.
pub fn conclude(snapshot: &Snapshot, asked: ScanAsked) -> door::Scanned {
    let inspect = &snapshot.settings.inspect;
    let scanner = Scanner::new(snapshot, asked.mode.map(|mode| inspect.thresholds(mode)));
    let scanned = scanner.text(asked.direction, asked.role, asked.system.as_deref(), asked.text);
    door::Scanned {
        texts: scanned.texts.into_iter().map(|one| (one.path, one.text)).collect(),
        verdict: scanned.verdict,
        micros: u64::try_from(scanned.micros).unwrap_or(u64::MAX),
        unheard: scanned.unheard,
    }
}

/// The messages of a conversation written as a JSON list of `{role, content}`.
fn conversation(text: &str) -> Option<Vec<Judged>> {
    #[derive(Deserialize)]
    struct Message {
        role: Role,
        content: String,
    }
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let messages: Vec<Message> = serde_json::from_str(text).ok()?;
    let turn =
        |(at, one): (usize, Message)| Judged { path: format!("[{at}].content"), role: one.role, text: one.content };
    (!messages.is_empty()).then(|| messages.into_iter().enumerate().map(turn).collect())
}
