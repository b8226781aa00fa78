//! Incident rules: which alerts of which subject, and what about them.

use std::sync::Arc;

use serde::Deserialize;

use super::filter::Filter;
use crate::soc::problem::Problem;
use crate::soc::read::{self, Document};
use crate::soc::rules::AlertRules;
use crate::soc::words;
use crate::types::soc::Alert;
use crate::types::{Family, Severity};

/// The rules built into the binary.
const BUILTIN: (&str, &str) = ("rules/soc/incidents.yaml", include_str!("../../../rules/soc/incidents.yaml"));

/// What a rule's document says it is.
const KIND: &str = "incident";

/// Events and different values that a rule may ask for: as many marks are kept of each subject.
const MOST: u32 = 1000;
/// Steps of a sequence.
const MAX_STEPS: usize = 8;

/// Every incident rule in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IncidentRules {
    rules: Arc<[IncidentRule]>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentRule {
    /// `SOC-...`, or `SITE-...` for a site's own.
    pub id: Arc<str>,
    /// For people, in a few words.
    pub title: String,
    /// What its alerts have in common.
    pub by: By,
    /// How bad its incidents are at least.
    pub severity: Severity,
    /// Catalogued threats beside those of the alerts.
    pub threats: Vec<Arc<str>>,
    /// What has to come together.
    pub condition: Condition,
}

/// What the alerts of an incident have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A session.
    Session,
    /// A user of a tenant.
    User,
    /// A gateway key.
    Key,
    /// An address.
    Address,
    /// A user, else a key, else an address.
    Caller,
    /// The alert rule and the family, whoever it is.
    Campaign,
}

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Users, else keys, else addresses.
    Caller,
    /// Users.
    User,
    /// Gateway keys.
    Key,
    /// Addresses.
    Address,
    /// Sessions.
    Session,
    /// Models.
    Model,
    /// Families of threats.
    Family,
}

/// What has to come together. Times are in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// So many events within a time.
    Count {
        /// So many.
        at_least: u32,
        /// Within this.
        within: i64,
        /// Of these alerts.
        of: Filter,
    },
    /// So many different values within a time.
    Distinct {
        /// Of this.
        what: What,
        /// So many.
        at_least: u32,
        /// Within this.
        within: i64,
        /// Of these alerts.
        of: Filter,
    },
    /// One after the other, in this order.
    Sequence {
        /// Within this, from the first to the last.
        within: i64,
        /// Each one alert or more.
        steps: Vec<Filter>,
    },
    /// All of them, in any order.
    Together {
        /// Within this.
        within: i64,
        /// Each one alert or more.
        steps: Vec<Filter>,
    },
    /// One alert is enough.
    AtOnce {
        /// Such a one.
        of: Filter,
    },
}

impl Condition {
    /// Whether an alert is one that it looks for.
    pub fn wants(&self, alert: &Alert) -> bool {
        self.filters().iter().any(|filter| filter.fits(alert))
    }

    fn filters(&self) -> &[Filter] {
        match self {
            Self::Count { of, .. } | Self::Distinct { of, .. } | Self::AtOnce { of } => std::slice::from_ref(of),
            Self::Sequence { steps, .. } | Self::Together { steps, .. } => steps,
        }
    }
}

impl IncidentRule {
    /// What an alert is about, for this rule; `None` where it says nothing of that. What one alert is enough for is told in
    /// any case.
    pub(super) fn subject(&self, alert: &Alert) -> Option<String> {
        let caller = &alert.caller;
        let found = match self.by {
            By::Session => words::session(caller),
            By::User => words::user(caller),
            By::Key => words::key(caller),
            By::Address => words::address(caller),
            By::Caller => words::who(caller),
            By::Campaign => {
                let family = alert.family.map_or("none", Family::name);
                Some(format!("campaign:{}/{family}", words::part(&alert.rule)))
            }
        };
        let alone = || matches!(self.condition, Condition::AtOnce { .. }).then(|| format!("alert:{}", alert.id));
        found.or_else(alone)
    }
}

impl What {
    /// What an alert has of it.
    pub(super) fn of(self, alert: &Alert) -> Option<String> {
        let caller = &alert.caller;
        match self {
            Self::Caller => words::who(caller),
            Self::User => words::user(caller),
            Self::Key => words::key(caller),
            Self::Address => words::address(caller),
            Self::Session => words::session(caller),
            Self::Model => alert.model.as_deref().map(words::part),
            Self::Family => alert.family.map(|family| family.name().to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Incident,
}

/// A rule as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "kind")]
    _kind: Kind,
    id: Arc<str>,
    title: String,
    #[serde(default = "yes")]
    enabled: bool,
    by: By,
    severity: Severity,
    #[serde(default)]
    threats: Vec<Arc<str>>,
    count: Option<RawCount>,
    distinct: Option<RawDistinct>,
    sequence: Option<RawSteps>,
    together: Option<RawSteps>,
    at_once: Option<Filter>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCount {
    at_least: u32,
    within: String,
    of: Filter,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDistinct {
    what: What,
    at_least: u32,
    within: String,
    of: Filter,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSteps {
    within: String,
    steps: Vec<Filter>,
}

const fn yes() -> bool {
    true
}

impl IncidentRules {
    /// The rules built into the binary.
    ///
    /// # Errors
    /// Every problem with them; a test proves that there is none.
    pub fn builtin() -> Result<Self, Vec<Problem>> {
        Self::read(&[])
    }

    /// The rules built into the binary and those of `sources` (name and text), which may replace them by id, switch them off
    /// (`enabled: false`) or add to them. Documents that are not `kind: incident` are not looked at.
    ///
    /// # Errors
    /// Every problem, with file and line.
    pub fn read(sources: &[(&str, &str)]) -> Result<Self, Vec<Problem>> {
        let all: Vec<_> = std::iter::once(BUILTIN).chain(sources.iter().copied()).collect();
        Self::only(&all)
    }

    /// The rules of `sources` alone.
    ///
    /// # Errors
    /// Every problem, with file and line.
    pub fn only(sources: &[(&str, &str)]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let placed = read::rules::<Raw>(sources, KIND, |raw| &raw.id, &mut problems);
        let mut rules = Vec::new();
        for one in placed {
            let enabled = one.rule.enabled;
            let rule = check(one.rule, &one.from, &mut problems);
            rules.extend(rule.filter(|_| enabled));
        }
        if problems.is_empty() { Ok(Self { rules: rules.into() }) } else { Err(problems) }
    }

    /// The rules.
    pub fn rules(&self) -> &[IncidentRule] {
        &self.rules
    }

    /// Rules that ask for alert rules which are not in force, with these: worth a warning.
    pub fn missing(&self, alerts: &AlertRules) -> Vec<(Arc<str>, Arc<str>)> {
        let named = |rule: &IncidentRule| -> Vec<(Arc<str>, Arc<str>)> {
            let ids = rule.condition.filters().iter().flat_map(|filter| filter.rules.iter());
            ids.map(|id| (Arc::clone(&rule.id), Arc::clone(id))).collect()
        };
        let known = |id: &str| alerts.rules().iter().any(|rule| *rule.id == *id);
        self.rules.iter().flat_map(named).filter(|(_, id)| !known(id)).collect()
    }

    pub(super) fn find(&self, id: &str) -> Option<(usize, &IncidentRule)> {
        self.rules.iter().enumerate().find(|(_, rule)| *rule.id == *id)
    }
}

fn check(raw: Raw, from: &Document<'_>, problems: &mut Vec<Problem>) -> Option<IncidentRule> {
    let before = problems.len();
    let mut wrong = |part: &str, message: &str| problems.push(from.problem(&raw.id, part, message));
    if !read::is_id(&raw.id) {
        wrong("id", read::ID);
    }
    if raw.title.trim().is_empty() {
        wrong("title", "must say something");
    }
    let mut within = |text: &str| match read::duration(text) {
        Ok(micros) => micros,
        Err(message) => {
            wrong("within", &message);
            0
        }
    };
    let found = [
        raw.count.map(|raw| {
            let within = within(&raw.within);
            Condition::Count { at_least: raw.at_least, within, of: raw.of }
        }),
        raw.distinct.map(|raw| {
            let within = within(&raw.within);
            Condition::Distinct { what: raw.what, at_least: raw.at_least, within, of: raw.of }
        }),
        raw.sequence.map(|raw| Condition::Sequence { within: within(&raw.within), steps: raw.steps }),
        raw.together.map(|raw| Condition::Together { within: within(&raw.within), steps: raw.steps }),
        raw.at_once.map(|of| Condition::AtOnce { of }),
    ];
    let mut found: Vec<_> = found.into_iter().flatten().collect();
    let (Some(condition), true) = (found.pop(), found.is_empty()) else {
        wrong("", "must have exactly one of count, distinct, sequence, together, at_once");
        return None;
    };
    match &condition {
        Condition::Count { at_least, .. } | Condition::Distinct { at_least, .. } => {
            if !(2..=MOST).contains(at_least) {
                wrong("at_least", &format!("must be 2 to {MOST}"));
            }
        }
        Condition::Sequence { steps, .. } | Condition::Together { steps, .. } => {
            if !(2..=MAX_STEPS).contains(&steps.len()) {
                wrong("steps", &format!("must be 2 to {MAX_STEPS}"));
            }
        }
        Condition::AtOnce { .. } => {}
    }
    if let Condition::Distinct { what, .. } = &condition
        && same(raw.by, *what)
    {
        wrong("what", "is the same for all alerts of one subject");
    }
    for filter in condition.filters() {
        if *filter == Filter::default() {
            wrong("", "asks for every alert: say which");
        }
        if filter.severity.zip(filter.severity_at_most).is_some_and(|(least, most)| least > most) {
            wrong("severity_at_most", "is less than `severity`: no alert fits");
        }
        if filter.false_positive.is_some_and(|percent| percent > 100) {
            wrong("false_positive", "must be 0 to 100");
        }
    }
    if problems.len() > before {
        return None;
    }
    let Raw { id, title, by, severity, threats, .. } = raw;
    Some(IncidentRule { id, title, by, severity, threats, condition })
}

/// Whether there can be only one of `what` among the alerts of a subject.
const fn same(by: By, what: What) -> bool {
    matches!(
        (by, what),
        (By::Session, What::Session)
            | (By::User, What::User | What::Caller)
            | (By::Key, What::Key)
            | (By::Address, What::Address)
            | (By::Caller, What::Caller)
            | (By::Campaign, What::Family)
    )
}
