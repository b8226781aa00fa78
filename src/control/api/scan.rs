//! The test bench: what would be concluded about a text. Nothing is kept of it, and nothing is told of it elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use super::App;
use super::door::{ScanAsked, Scanned};
use super::error::{ApiError, ErrorBody};
use super::extract::Body;
use super::words::LongText;
use crate::config::settings::SecurityMode;
use crate::detect::normalize::{Budget, View, readings};
use crate::types::{Direction, Factors, Finding, Role, Step};

/// Characters of one reading that are shown.
const MOST_SHOWN: usize = 20_000;
/// Readings shown of one text.
const MOST_READINGS: usize = 32;

/// A text to judge.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScanBody {
    /// The text. A conversation written as a JSON list of `{"role", "content"}` is read turn by turn.
    text: LongText,
    /// Which way it travels: `input`, a prompt, or `output`, an answer.
    #[schema(value_type = String, pattern = "^(input|output)$")]
    direction: Direction,
    /// Who is said to have written it; absent: a user.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(system|developer|user|assistant|tool|definition|parameter)$")]
    role: Option<Role>,
    /// Under which security mode: `default`, `aware`, `strict`; absent: the one that is configured.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(default|aware|strict)$")]
    mode: Option<SecurityMode>,
    /// The system prompt that an answer was made under.
    #[serde(default)]
    system: Option<LongText>,
}

/// A text that offsets count in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TextShown {
    /// What it is called.
    pub path: String,
    /// The text.
    pub text: String,
}

/// One rule's evidence: `rule`, `title`, `family`, `severity`, `score`, `action`, `threats`, `evidence` (`span`, and `start` and
/// `end` in bytes of that text), `doubts`, and the `path` of the text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindingShown {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// The text it is in.
    pub path: String,
}

/// Another reading of a text, which rules looked at too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadingShown {
    /// The text it is a reading of.
    pub path: String,
    /// What was undone: `folded`, `base64`, `leet` and so on.
    pub disguises: Vec<String>,
    /// How it reads; at most 20000 characters.
    pub text: String,
}

/// What would be concluded about a text, and why.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ScanShown {
    /// Which way it travels.
    pub direction: String,
    /// What follows: `allow`, `flag`, `redact`, `block`.
    pub decision: String,
    /// 0 to 1.
    pub risk: f64,
    /// How likely it is that nothing is wrong, 0 to 1.
    pub likelihood_false_positive: f64,
    /// What to do about it: `none`, `ignore`, `monitor`, `investigate`, `block`.
    pub recommended: String,
    /// What the risk is made of; those that are something.
    pub factors: BTreeMap<String, f64>,
    /// The evidence, most severe first.
    #[schema(value_type = Vec<Object>)]
    pub findings: Vec<FindingShown>,
    /// How the risk came about: `what` was counted, and the `points` so far.
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Step>,
    /// What it was judged with.
    pub rule_set: String,
    /// The texts.
    pub texts: Vec<TextShown>,
    /// Other readings of them; of prompts only.
    pub readings: Vec<ReadingShown>,
    /// Models that gave no answer, each with why.
    pub unheard: Vec<String>,
    /// How long it took to judge.
    pub micros: u64,
}

/// Judges a text as `portcullis scan` does. Nothing of it is stored or logged.
#[utoipa::path(post, path = "/api/v1/scan", tag = "detection", request_body = ScanBody,
    responses(
        (status = 200, description = "The verdict, explained.", body = ScanShown),
        (status = 429, description = "As many texts are being judged as may be.", body = ErrorBody)))]
pub async fn scan(State(app): State<App>, Body(asked): Body<ScanBody>) -> Result<Json<ScanShown>, ApiError> {
    let full = || ApiError::limited(Duration::from_secs(1), "busy", "Other texts are being judged: try again.");
    let slot = Arc::clone(&app.scans).try_acquire_owned().map_err(|_| full())?;
    let asked = ScanAsked {
        direction: asked.direction,
        role: asked.role.unwrap_or(Role::User),
        mode: asked.mode,
        system: asked.system.map(String::from).filter(|text| !text.is_empty()),
        text: asked.text.into(),
    };
    let gateway = Arc::clone(&app.doors.gateway);
    let judged = tokio::task::spawn_blocking(move || {
        // Whoever asked may be gone: the slot is free when the work is done.
        let slot: OwnedSemaphorePermit = slot;
        let direction = asked.direction;
        let shown = shown(direction, gateway.scan(asked));
        drop(slot);
        shown
    });
    judged.await.map(Json).map_err(|error| ApiError::internal(&error))
}

fn shown(direction: Direction, scanned: Scanned) -> ScanShown {
    let Scanned { texts, verdict, micros, unheard } = scanned;
    let readings = match direction {
        Direction::Input => texts.iter().flat_map(|(path, text)| read_otherwise(path, text)).collect(),
        Direction::Output => Vec::new(),
    };
    let path = |span: u32| {
        let found = usize::try_from(span).ok().and_then(|at| texts.get(at));
        found.map(|(path, _)| path.clone()).unwrap_or_default()
    };
    let findings = verdict.findings.into_iter();
    ScanShown {
        direction: direction.name().to_owned(),
        decision: verdict.decision.name().to_owned(),
        risk: digits(verdict.risk),
        likelihood_false_positive: digits(verdict.false_positive),
        recommended: verdict.recommended.name().to_owned(),
        factors: factors(verdict.factors),
        findings: findings.map(|finding| FindingShown { path: path(finding.evidence.span.0), finding }).collect(),
        steps: verdict.steps,
        rule_set: verdict.rule_set.0.to_string(),
        readings,
        unheard,
        micros,
        texts: texts.into_iter().map(|(path, text)| TextShown { path, text }).collect(),
    }
}

/// The readings of a prompt's text that differ from it.
fn read_otherwise(path: &str, text: &str) -> Vec<ReadingShown> {
    let (folded, views) = readings(text, &Budget::default());
    let shown = |view: View| ReadingShown {
        path: path.to_owned(),
        disguises: view.disguises.iter().map(|disguise| disguise.name().to_owned()).collect(),
        text: view.text.chars().take(MOST_SHOWN).collect(),
    };
    folded.into_iter().chain(views.views).take(MOST_READINGS).filter(|view| view.text != text).map(shown).collect()
}

/// Those that are something.
fn factors(factors: Factors) -> BTreeMap<String, f64> {
    let Factors { content, behaviour, context, history } = factors;
    let all = [("content", content), ("behaviour", behaviour), ("context", context), ("history", history)];
    all.into_iter().filter(|(_, share)| *share > 0.0).map(|(name, share)| (name.to_owned(), digits(share))).collect()
}

/// Four digits, so that a 32-bit fraction does not look more exact than it is.
fn digits(share: f32) -> f64 {
    (f64::from(share) * 10_000.0).round() / 10_000.0
}
