//! What playbooks and responses have in common: when they hold, and steps as written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::say;
use crate::types::soc::{Alert, Incident, RemedyAction};
use crate::types::{Family, Severity};

/// Steps of one playbook or response.
pub(super) const MAX_STEPS: usize = 16;
/// Callers of one incident that one step may be taken against.
const MAX_SPREAD: u8 = 16;
/// Characters of a step's reason as written.
const MAX_REASON: usize = 300;

/// When a playbook or response holds. What is left out asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct When {
    /// One of these families was seen, or one of `rules`.
    pub families: Vec<Family>,
    /// One of these rules made the incident or an alert of it; `*` stands for anything.
    pub rules: Vec<Arc<str>>,
    /// The incident is at least so severe.
    pub severity: Option<Severity>,
    /// At least so many events are counted in its alerts.
    pub events: u64,
    /// This is known of the caller.
    pub with: Option<Target>,
    /// It holds for what is likely a false alarm; without it a playbook or response does not.
    pub likely_false: bool,
}

/// Whom a step is about, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The user, else the key, else the address.
    Caller,
    /// The session.
    Session,
    /// The user.
    User,
    /// The gateway key.
    Key,
    /// The address; of IPv6 the network of 64 bits it is in.
    Address,
    /// The agent.
    Agent,
}

impl Target {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Caller, Self::Session, Self::User, Self::Key, Self::Address, Self::Agent];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Session => "session",
            Self::User => "user",
            Self::Key => "key",
            Self::Address => "address",
            Self::Agent => "agent",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }
}

/// A step before it is known against whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What to do; a `Notify` without a channel goes to every channel.
    pub action: RemedyAction,
    /// To whom.
    pub target: Option<Target>,
    /// For how long, in seconds.
    pub lasts: Option<u64>,
    /// Why, as written.
    pub reason: String,
    /// Against how many callers of a campaign, those with the most alerts first.
    pub spread: u8,
}

/// A step as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    action: String,
    target: Option<Target>,
    #[serde(default, deserialize_with = "say::read_seconds")]
    lasts: Option<u64>,
    requests: Option<u32>,
    seconds: Option<u32>,
    channel: Option<Arc<str>>,
    #[serde(default)]
    reason: String,
    spread: Option<u8>,
}

impl RawStep {
    /// The step, or what is wrong with it.
    pub(super) fn checked(self) -> Result<Template, String> {
        let action = match (self.action.as_str(), self.requests, self.seconds) {
            ("rate_limit", Some(requests @ 1..), Some(seconds @ 1..)) => RemedyAction::RateLimit { requests, seconds },
            ("rate_limit", _, _) => return Err("rate_limit needs `requests` and `seconds`, both at least 1".to_owned()),
            (_, None, None) => plain(&self.action, self.channel.clone())?,
            (action, _, _) => return Err(format!("`requests` and `seconds` mean nothing to {action}")),
        };
        let notifies = matches!(action, RemedyAction::Notify { .. });
        if self.channel.is_some() && !notifies {
            return Err(format!("`channel` means nothing to {}", action.name()));
        }
        let (needs, lasting) = needs(&action);
        match (needs, self.target) {
            (Needs::Nobody, None) => {}
            (Needs::Nobody, Some(_)) => return Err(format!("{} is done to nobody: no `target`", action.name())),
            (Needs::Anybody, Some(_)) => {}
            (Needs::This(wanted), Some(target)) if wanted == target => {}
            (Needs::This(wanted), _) => return Err(format!("{} needs `target: {}`", action.name(), wanted.name())),
            (Needs::Anybody, None) => return Err(format!("{} needs a `target`", action.name())),
        }
        if self.lasts.is_some() && !lasting {
            return Err(format!("{} has no duration: no `lasts`", action.name()));
        }
        let spread = self.spread.unwrap_or(1);
        if !(1..=MAX_SPREAD).contains(&spread) {
            return Err(format!("`spread` is 1 to {MAX_SPREAD}"));
        }
        if self.reason.chars().count() > MAX_REASON || self.reason.chars().any(char::is_control) {
            return Err(format!("`reason` is one line of at most {MAX_REASON} characters"));
        }
        Ok(Template { action, target: self.target, lasts: self.lasts, reason: self.reason, spread })
    }
}

/// Whom an action is done to.
enum Needs {
    Nobody,
    Anybody,
    This(Target),
}

/// Whom an action is done to, and whether it lasts.
const fn needs(action: &RemedyAction) -> (Needs, bool) {
    match action {
        RemedyAction::Monitor | RemedyAction::Notify { .. } => (Needs::Nobody, false),
        RemedyAction::RateLimit { .. } | RemedyAction::TightenPolicy => (Needs::Anybody, true),
        RemedyAction::BlockAddress => (Needs::This(Target::Address), true),
        RemedyAction::TerminateSession => (Needs::This(Target::Session), true),
        RemedyAction::SuspendUser => (Needs::This(Target::User), true),
        RemedyAction::RevokeKey => (Needs::This(Target::Key), false),
        RemedyAction::IsolateAgent => (Needs::This(Target::Agent), true),
    }
}

/// An action without parameters of its own.
fn plain(name: &str, channel: Option<Arc<str>>) -> Result<RemedyAction, String> {
    Ok(match name {
        "monitor" => RemedyAction::Monitor,
        "block_address" => RemedyAction::BlockAddress,
        "terminate_session" => RemedyAction::TerminateSession,
        "suspend_user" => RemedyAction::SuspendUser,
        "revoke_key" => RemedyAction::RevokeKey,
        "isolate_agent" => RemedyAction::IsolateAgent,
        "tighten_policy" => RemedyAction::TightenPolicy,
        "notify" => RemedyAction::Notify { channel: channel.unwrap_or_default() },
        other => return Err(format!("`{other}` is no action: use {}", RemedyAction::NAMES.join(", "))),
    })
}

/// A problem at a line of a source.
pub(super) fn at(file: &str, line: u32, message: impl Into<String>) -> Problem {
    Problem { file: file.to_owned(), line, message: message.into() }
}

/// A document that cannot be read as what it should be; `before` lines of its file stand before it.
pub(super) fn unread(file: &str, before: u32, error: &serde_saphyr::Error) -> Problem {
    let error = error.without_snippet();
    let line = error.location().and_then(|location| u32::try_from(location.line()).ok()).unwrap_or(1);
    at(file, line.saturating_add(before), error.to_string())
}

/// The line, counted from 1, on which `key` stands for the `nth` time (from 0) in `text`; `before` lines precede it.
pub(super) fn line_of(text: &str, key: &str, nth: usize, before: u32) -> u32 {
    let wanted = |line: &str| {
        let line = line.trim_start_matches([' ', '-', '{']);
        line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))
    };
    let found = (1_u32..).zip(text.lines()).filter(|(_, line)| wanted(line)).nth(nth);
    found.map_or(1, |(number, _)| number).saturating_add(before)
}

/// What is known of an incident when a playbook or response is looked for.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    families: Vec<Family>,
    rules: Vec<&'a str>,
    severity: Severity,
    events: u64,
    with: Vec<Target>,
    likely_false: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn new(incident: &'a Incident, alerts: &'a [Alert], with: Vec<Target>, likely_false: bool) -> Self {
        let mut families = incident.families.clone();
        families.extend(alerts.iter().filter_map(|alert| alert.family));
        let mut rules = vec![&*incident.rule];
        rules.extend(alerts.iter().map(|alert| &*alert.rule));
        let severity = alerts.iter().map(|alert| alert.severity).fold(incident.severity, Ord::max);
        let events = alerts.iter().fold(0_u64, |sum, alert| sum.saturating_add(alert.count)).max(incident.alerts);
        Self { families, rules, severity, events, with, likely_false }
    }
}

impl When {
    /// How closely it fits; `None` where it does not hold. A named rule says more than a family, and that more than how
    /// bad or how many.
    pub(super) fn fit(&self, facts: &Facts<'_>) -> Option<u32> {
        let family = self.families.iter().any(|family| facts.families.contains(family));
        let rule = self.rules.iter().any(|pattern| facts.rules.iter().any(|rule| say::fits(pattern, rule)));
        let anything = self.families.is_empty() && self.rules.is_empty();
        let severe = self.severity.is_none_or(|least| facts.severity >= least);
        let known = self.with.is_none_or(|target| facts.with.contains(&target));
        let holds = (anything || family || rule)
            && severe
            && known
            && facts.events >= self.events
            && self.likely_false == facts.likely_false;
        holds.then(|| {
            let bad = self.severity.map_or(0, |least| if least >= Severity::High { 2 } else { 1 });
            [(rule, 8), (family, 4), (self.with.is_some(), 2), (self.events > 1, 1)]
                .into_iter()
                .fold(bad, |sum: u32, (given, worth)| if given { sum.saturating_add(worth) } else { sum })
        })
    }
}
