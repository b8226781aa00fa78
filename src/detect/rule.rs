//! A rule as its file says it, and a rule as the rest of the program sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::history::RawCorrelation;
use super::validate::Validator;
use crate::types::learn::{LEARNED, Stage};
use crate::types::{Action, Direction, Family, Role, RuleId, Severity};

/// One file of rules, already read. `name` is what problems call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its path, as shown to people.
    pub name: String,
    /// Its contents: one YAML document per rule.
    pub text: String,
}

/// A site's change to one rule.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// `false` switches the rule off.
    pub enabled: Option<bool>,
    /// Another action.
    pub action: Option<Action>,
    /// Other points.
    pub score: Option<u16>,
    /// Another severity.
    pub severity: Option<Severity>,
}

/// What a rule set may cost, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// The automata of one rule.
    pub max_rule: u64,
    /// The automata of all rules.
    pub max_total: u64,
    /// What a completion rule may have to hold back.
    pub max_hold: u64,
}

/// Which texts a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directions {
    /// Prompts.
    Input,
    /// Answers.
    Output,
    /// Prompts and answers.
    Both,
}

impl Directions {
    /// Whether a rule looks at texts that travel this way.
    pub const fn include(self, direction: Direction) -> bool {
        match direction {
            Direction::Input => matches!(self, Self::Input | Self::Both),
            Direction::Output => matches!(self, Self::Output | Self::Both),
        }
    }
}

/// A set of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// Every role.
    pub const ALL: Self = Self(0x7f);

    /// The roles listed.
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | Self::bit(*role)))
    }

    /// Whether `role` is in the set.
    pub const fn contains(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    /// Some role of the set, the most usual first.
    pub fn any(self) -> Role {
        const ORDER: [Role; 7] =
            [Role::User, Role::Tool, Role::Assistant, Role::Parameter, Role::Definition, Role::System, Role::Developer];
        ORDER.into_iter().find(|role| self.contains(*role)).unwrap_or(Role::User)
    }

    const fn bit(role: Role) -> u8 {
        match role {
            Role::System => 1,
            Role::Developer => 2,
            Role::User => 4,
            Role::Assistant => 8,
            Role::Tool => 16,
            Role::Definition => 32,
            Role::Parameter => 64,
        }
    }
}

/// What a rule must and must not match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Examples {
    /// Texts in which it must match.
    pub positive: Vec<String>,
    /// Texts in which it must not.
    pub negative: Vec<String>,
}

/// A compiled rule's description.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its id.
    pub id: RuleId,
    /// What it detects.
    pub title: Arc<str>,
    /// Its family.
    pub family: Family,
    /// What an attacker gains.
    pub gain: Arc<str>,
    /// How bad a match is, after overrides.
    pub severity: Severity,
    /// Points a match adds, after overrides.
    pub score: u16,
    /// Which texts it looks at.
    pub directions: Directions,
    /// What a match asks for, after overrides.
    pub action: Action,
    /// Whose text it looks at; prompts only.
    pub roles: Roles,
    /// Threat ids.
    pub threats: Arc<[Arc<str>]>,
    /// What replaces a redacted match.
    pub mark: Arc<str>,
    /// Checks on the matched text; all must pass.
    pub validators: Vec<Validator>,
    /// Its own cases.
    pub examples: Examples,
    /// Innocent texts that may match.
    pub false_positives: Vec<String>,
    /// How far it is trusted.
    pub stage: Stage,
    /// Where it comes from, by name, for rules that were learned or taken over.
    pub origin: BTreeMap<String, String>,
    /// The file it comes from.
    pub file: Arc<str>,
    /// The line its document starts at.
    pub line: u32,
}

/// A rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) family: Family,
    pub(super) gain: String,
    pub(super) severity: Severity,
    pub(super) score: u16,
    #[serde(default)]
    pub(super) direction: Option<Directions>,
    pub(super) action: Action,
    #[serde(default)]
    pub(super) roles: Option<Vec<Role>>,
    #[serde(default)]
    pub(super) references: References,
    #[serde(default)]
    pub(super) detection: BTreeMap<String, OneOrMany>,
    #[serde(default)]
    pub(super) correlation: Option<RawCorrelation>,
    #[serde(default)]
    pub(super) validate: Option<OneOrMany>,
    #[serde(default)]
    pub(super) mark: Option<String>,
    pub(super) examples: Examples,
    #[serde(default)]
    pub(super) false_positives: Vec<String>,
    #[serde(default)]
    pub(super) stage: RawStage,
    /// The share of callers that a rule in the stage `canary` holds for.
    #[serde(default)]
    pub(super) share: Option<f32>,
    #[serde(default)]
    pub(super) origin: BTreeMap<String, String>,
}

/// The word for a stage.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawStage {
    Shadow,
    Canary,
    #[default]
    Live,
}

impl RawRule {
    /// The direction; correlation rules are about prompts without saying so.
    pub(super) fn direction(&self) -> Option<Directions> {
        self.direction.or(self.correlation.as_ref().map(|_| Directions::Input))
    }
}

impl RawStage {
    /// The stage, with the share it has to have.
    pub(super) fn with(self, share: Option<f32>) -> Result<Stage, &'static str> {
        match (self, share) {
            (Self::Shadow, None) => Ok(Stage::Shadow),
            (Self::Live, None) => Ok(Stage::Live),
            (Self::Canary, Some(share)) if (0.0..=1.0).contains(&share) => Ok(Stage::Canary { share }),
            (Self::Canary, _) => Err("must say for what share of callers the rule holds, 0 to 1"),
            (Self::Shadow | Self::Live, Some(_)) => Err("is only for `stage: canary`"),
        }
    }
}

/// Threat ids by catalogue.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct References {
    pub(super) owasp_llm: Vec<String>,
    pub(super) owasp_agentic: Vec<String>,
    pub(super) mitre_atlas: Vec<String>,
    pub(super) mitre_attack: Vec<String>,
}

/// A text, or a list of texts.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The texts, however written.
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Whether an id looks like `PC-INJ-0001`, `SITE-OWN-0001` or `LRN-7F3A9C-1`.
pub(super) fn is_id(id: &str) -> bool {
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte));
    if let Some((report, number)) = id.strip_prefix(LEARNED).and_then(|rest| rest.split_once('-')) {
        let numbered = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
        return (6..=12).contains(&report.len()) && hex(report) && numbered;
    }
    let mut parts = id.split('-');
    let (Some("PC" | "SITE"), Some(theme), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (2..=5).contains(&theme.len())
        && theme.bytes().all(|byte| byte.is_ascii_uppercase())
        && number.len() == 4
        && number.bytes().all(|byte| byte.is_ascii_digit())
}
