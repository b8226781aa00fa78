//! What was found in a text and what follows from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{RuleId, RuleSetHash, SpanIndex};

/// How bad a finding is, in Sigma's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth a line in a log.
    Informational,
    /// Unlikely to matter alone.
    Low,
    /// Worth a look.
    Medium,
    /// An attack or a leak, most likely.
    High,
    /// An attack or a leak.
    Critical,
}

impl Severity {
    /// A low-cardinality label; also the word used in rule files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Which way the text travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the client to the model.
    Input,
    /// From the model to the client.
    Output,
}

impl Direction {
    /// Both directions, in the order of the enum.
    pub const ALL: [Self; 2] = [Self::Input, Self::Output];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// The family of threats a rule belongs to: the unit of thresholds, metrics and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Overriding the operator's instructions.
    PromptInjection,
    /// Orders planted in documents and tool results.
    IndirectInjection,
    /// Forged turns and delimiters: text that poses as another role or a new conversation.
    ForgedContext,
    /// Personas and modes that talk the model out of its limits.
    Jailbreak,
    /// Games, stories and pretended settings that lead the model out of its limits.
    RolePlay,
    /// Getting at the system prompt and other hidden context.
    PromptExtraction,
    /// Getting at a secret the context holds: a password, a flag, a key.
    SecretExtraction,
    /// Getting data out: credentials, databases, links that carry data.
    DataExfiltration,
    /// Shell, file system, path traversal, code execution.
    SystemManipulation,
    /// Personal, health and financial data.
    Privacy,
    /// Keys, tokens and passwords.
    Secrets,
    /// Cross-site scripting, SQL injection, template injection.
    MaliciousInput,
    /// Pressure, false authority, emotion.
    SocialEngineering,
    /// An attack spread over the turns of a conversation.
    MultiStep,
    /// Disguises: encodings, hidden characters, forged delimiters.
    Encoding,
    /// An answer that harms whoever acts on it: dangerous commands, exfiltration links.
    UnsafeOutput,
    /// An answer that gives away the instructions it was made under.
    Leakage,
    /// How a caller behaves over many requests.
    Behaviour,
}

impl Family {
    /// Every family, in the order of the enum.
    pub const ALL: [Self; 18] = [
        Self::PromptInjection,
        Self::IndirectInjection,
        Self::ForgedContext,
        Self::Jailbreak,
        Self::RolePlay,
        Self::PromptExtraction,
        Self::SecretExtraction,
        Self::DataExfiltration,
        Self::SystemManipulation,
        Self::Privacy,
        Self::Secrets,
        Self::MaliciousInput,
        Self::SocialEngineering,
        Self::MultiStep,
        Self::Encoding,
        Self::UnsafeOutput,
        Self::Leakage,
        Self::Behaviour,
    ];

    /// A low-cardinality label; also the word used in rule files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PromptInjection => "prompt_injection",
            Self::IndirectInjection => "indirect_injection",
            Self::ForgedContext => "forged_context",
            Self::Jailbreak => "jailbreak",
            Self::RolePlay => "role_play",
            Self::PromptExtraction => "prompt_extraction",
            Self::SecretExtraction => "secret_extraction",
            Self::DataExfiltration => "data_exfiltration",
            Self::SystemManipulation => "system_manipulation",
            Self::Privacy => "privacy",
            Self::Secrets => "secrets",
            Self::MaliciousInput => "malicious_input",
            Self::SocialEngineering => "social_engineering",
            Self::MultiStep => "multi_step",
            Self::Encoding => "encoding",
            Self::UnsafeOutput => "unsafe_output",
            Self::Leakage => "leakage",
            Self::Behaviour => "behaviour",
        }
    }

    /// Whether it finds data, not attacks: an address in a prompt may have to be reported or replaced, and is no risk.
    pub const fn is_data(self) -> bool {
        matches!(self, Self::Privacy | Self::Secrets)
    }
}

/// What a rule asks for when it matches, before thresholds and policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Add its score, no more.
    Score,
    /// At least flag.
    Flag,
    /// Replace the matched text.
    Redact,
    /// Refuse the request, or end the answer.
    Block,
}

impl Action {
    /// Every action, mildest first.
    pub const ALL: [Self; 4] = [Self::Score, Self::Flag, Self::Redact, Self::Block];

    /// A low-cardinality label; also the word used in rule files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Flag => "flag",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// What happens to a request or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Nothing found that matters.
    Allow,
    /// Let through and reported.
    Flag,
    /// Let through with the matched text replaced.
    Redact,
    /// Refused, or cut off.
    Block,
}

impl Decision {
    /// Every decision, mildest first.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Flag, Self::Redact, Self::Block];

    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Flag => "flag",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// Where in which text: offsets into the original (decoded) text of one span. Carries no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Which span of the prompt, or which channel of the answer.
    pub span: SpanIndex,
    /// First byte of the match.
    pub start: u32,
    /// One past its last byte.
    pub end: u32,
}

/// One detector's evidence on a span.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that matched.
    pub rule: RuleId,
    /// Its title.
    pub title: Arc<str>,
    /// Its family.
    pub family: Family,
    /// Its severity.
    pub severity: Severity,
    /// Points it adds to the risk.
    pub score: f32,
    /// What it asks for, after site overrides.
    pub action: Action,
    /// Threat ids it carries (`LLM01:2025`, `AML.T0051.000`).
    pub threats: Arc<[Arc<str>]>,
    /// Where.
    pub evidence: Evidence,
    /// Why it may be harmless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubts: Vec<Doubt>,
}

impl Finding {
    /// The points it counts for, and what it asks for. What the text around it talks about, or forbids, is not what the
    /// text does: it counts for less and asks for nothing.
    pub fn counts_for(&self) -> (f32, Action) {
        let is_content = !self.family.is_data() && !matches!(self.family, Family::UnsafeOutput | Family::Leakage);
        // What only adds points, the classifier above all, has read the text around it; but no rule reads prohibitions.
        let asks = self.action > Action::Score || self.doubts.contains(&Doubt::Forbidden);
        let left = Doubt::leave(&self.doubts);
        if is_content && asks && left < 1.0 { (self.score * left, Action::Score) } else { (self.score, self.action) }
    }
}

/// What is left of the points of a finding that is only talked about.
const DISCUSSED: f32 = 0.4;

/// And of one that the text around it forbids.
const FORBIDDEN: f32 = 0.1;

/// A reason to think that a finding is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// It stands in quotation marks.
    Quoted,
    /// The words around it talk about attacks.
    Discussed,
    /// It stands in code, or among the words of people who write it.
    Technical,
    /// The words around it forbid it, or say to refuse it.
    Forbidden,
}

impl Doubt {
    /// Whether an attack that a rule found is one that the text does not make: it counts for less.
    pub const fn excuses(self) -> bool {
        matches!(self, Self::Discussed | Self::Forbidden)
    }

    /// What doubts leave of the points of an attack, 0 to 1.
    pub fn leave(doubts: &[Self]) -> f32 {
        let of = |doubt: &Self| match doubt {
            Self::Forbidden => FORBIDDEN,
            Self::Discussed => DISCUSSED,
            Self::Quoted | Self::Technical => 1.0,
        };
        doubts.iter().map(of).fold(1.0, f32::min)
    }

    /// For a person.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Quoted => "it is quoted",
            Self::Discussed => "the text around it talks about attacks",
            Self::Technical => "it stands in code or technical talk",
            Self::Forbidden => "the text around it forbids it or says to refuse it",
        }
    }
}

/// What somebody who watches should do about a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recommendation {
    /// There is nothing to recommend.
    #[default]
    None,
    /// Let it be.
    Ignore,
    /// Watch whether it comes again.
    Monitor,
    /// Look into it.
    Investigate,
    /// Stop it.
    Block,
}

impl Recommendation {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ignore => "ignore",
            Self::Monitor => "monitor",
            Self::Investigate => "investigate",
            Self::Block => "block",
        }
    }
}

/// One step of the score, in the order it was taken: repeatable by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// What was counted, for example a rule id or `threshold`.
    pub what: Arc<str>,
    /// Points so far, after this step.
    pub points: f32,
}

/// What a risk is made of, each 0 to 1. The risk is `1 - (1 - content)(1 - behaviour)(1 - context)(1 - history)`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Factors {
    /// The words themselves.
    pub content: f32,
    /// How the caller behaves: its pace, its repetitions, its share of denials.
    #[serde(skip_serializing_if = "is_nothing")]
    pub behaviour: f32,
    /// Where the words stand, and what the conversation was so far.
    #[serde(skip_serializing_if = "is_nothing")]
    pub context: f32,
    /// What the caller did before, fading, and what that and this request come to together.
    #[serde(skip_serializing_if = "is_nothing")]
    pub history: f32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_nothing(factor: &f32) -> bool {
    *factor == 0.0
}

/// What was concluded on a prompt or an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// What follows, before the route's mode (`monitor` lets everything through) is applied.
    pub decision: Decision,
    /// 0 to 1.
    pub risk: f32,
    /// How likely it is that somebody who looks finds nothing wrong, 0 to 1.
    #[serde(default)]
    pub false_positive: f32,
    /// What to do about it.
    #[serde(default)]
    pub recommended: Recommendation,
    /// What the risk is made of.
    #[serde(default)]
    pub factors: Factors,
    /// The evidence, most severe first.
    pub findings: Vec<Finding>,
    /// How the risk came about.
    pub steps: Vec<Step>,
    /// What it was made with.
    pub rule_set: RuleSetHash,
}
