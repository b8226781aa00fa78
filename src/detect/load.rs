//! Rule files to checked rules. Every problem is reported, not only the first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::condition::{Condition, is_negative};
use super::defines::{self, Defines};
use super::documents::documents;
use super::history::{self, Correlation};
use super::learned;
use super::literal;
use super::probe::Probe;
use super::problem::Problem;
use super::rule::{Directions, Override, RawRule, Roles, Rule, Source, is_id};
use super::threats;
use super::validate::Validator;
use super::words::is_odd;
use crate::types::learn::Stage;
use crate::types::{Action, Family, Role, RuleId};

/// Shortest prefilter literal: below it every other sentence would be a candidate.
const MIN_LITERAL: usize = 3;
/// What replaces a redacted match unless the rule says otherwise.
const DEFAULT_MARK: &str = "[REDACTED]";

/// A rule with what it looks for, before its automata exist.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) rule: Rule,
    pub(super) prefilter: Vec<String>,
    /// Names of the selections, sorted.
    pub(super) names: Vec<String>,
    /// The patterns of each.
    pub(super) selections: Vec<Vec<String>>,
    pub(super) condition: Condition,
    /// The built-in detector it reports, instead of patterns.
    pub(super) probe: Option<Probe>,
    /// What a learned rule knows.
    pub(super) learned: Option<learned::Weights>,
    /// The requests it puts together, instead of looking at one.
    pub(super) correlation: Option<Correlation>,
    /// The entries of `detection` as written.
    pub(super) written: Vec<(String, Vec<String>)>,
    /// The entries of `validate` as written.
    pub(super) checks: Vec<String>,
    /// Where problems with each part are reported.
    pub(super) lines: Lines,
}

impl Loaded {
    /// A problem with one part of this rule.
    pub(super) fn problem(&self, part: &str, message: impl Into<String>) -> Problem {
        self.lines.problem(&self.rule.id.0, part, message)
    }
}

/// One document's text and where it starts, to find the line of a key.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    file: Arc<str>,
    first: u32,
    keys: Arc<[(Box<str>, u32)]>,
}

impl Lines {
    pub(super) fn new(file: &str, first: u32, text: &str) -> Self {
        let keys = text.lines().zip(first..).filter_map(|(line, at)| {
            let (key, _) = line.trim_start().split_once(':')?;
            let plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            (plain && !key.is_empty()).then(|| (key.into(), at))
        });
        Self { file: file.into(), first, keys: keys.collect() }
    }

    /// A document that cannot be read as what it should be.
    pub(super) fn unread(&self, error: &serde_saphyr::Error) -> Problem {
        let error = error.without_snippet();
        let line = error.location().and_then(|location| u32::try_from(location.line()).ok());
        Problem {
            file: self.file.to_string(),
            line: Some(line.map_or(self.first, |line| self.first.saturating_add(line.saturating_sub(1)))),
            path: String::new(),
            message: error.to_string(),
        }
    }

    /// A problem with a part of what is called `id`.
    pub(super) fn problem(&self, id: &str, part: &str, message: impl Into<String>) -> Problem {
        let key = part.rsplit('.').next().unwrap_or(part);
        let found = self.keys.iter().find(|(known, _)| **known == *key).map(|(_, line)| *line);
        let path = if part.is_empty() { id.to_owned() } else { format!("{id}.{part}") };
        let line = Some(found.unwrap_or(self.first));
        Problem { file: self.file.to_string(), line, path, message: message.into() }
    }
}

/// Reads every source, in order. A later rule replaces an earlier one of the same id from another source.
pub(super) fn load(
    sources: &[Source],
    overrides: &BTreeMap<String, Override>,
    problems: &mut Vec<Problem>,
) -> Vec<Loaded> {
    let mut rules: BTreeMap<Arc<str>, (usize, Loaded)> = BTreeMap::new();
    let defines = defines(sources, problems);
    threats::read(sources, problems);
    for (nth, source) in sources.iter().enumerate() {
        for (first, text) in documents(&source.text).into_iter().filter(|(_, text)| !defines::is_one(text)) {
            let lines = Lines::new(&source.name, first, text);
            let Some(loaded) = document(lines, text, &defines, problems) else { continue };
            let id = Arc::clone(&loaded.rule.id.0);
            match rules.get(&id) {
                Some((from, other)) if *from == nth => {
                    let line = other.rule.line;
                    problems.push(loaded.problem("id", format!("used twice in this file; first at line {line}")));
                }
                Some(_) | None => {
                    rules.insert(id, (nth, loaded));
                }
            }
        }
    }
    let named = |key: &str| Family::ALL.into_iter().find(|family| family.name() == key);
    for (key, change) in overrides {
        if let Some(family) = named(key) {
            rules
                .values_mut()
                .filter(|(_, loaded)| loaded.rule.family == family)
                .for_each(|(_, own)| apply(own, change));
        }
    }
    // What is said of one rule counts more than what is said of its family.
    for (key, change) in overrides {
        match rules.get_mut(key.as_str()) {
            Some((_, loaded)) => apply(loaded, change),
            None if named(key).is_some() => {}
            None => problems.push(Problem {
                file: "overrides".into(),
                line: None,
                path: key.clone(),
                message: "no rule has this id, and no family this name".into(),
            }),
        }
    }
    let is_on = |rule: &Rule| {
        let of = |key: &str| overrides.get(key).and_then(|change| change.enabled);
        of(&rule.id.0).or_else(|| of(rule.family.name())).unwrap_or(true)
    };
    rules.into_values().map(|(_, loaded)| loaded).filter(|loaded| is_on(&loaded.rule)).collect()
}

fn apply(loaded: &mut Loaded, change: &Override) {
    let rule = &mut loaded.rule;
    rule.action = change.action.unwrap_or(rule.action);
    rule.score = change.score.unwrap_or(rule.score);
    rule.severity = change.severity.unwrap_or(rule.severity);
}

/// The lists and macros of every source; they are known before any rule is read.
fn defines(sources: &[Source], problems: &mut Vec<Problem>) -> Defines {
    let (mut defines, mut additions) = (Defines::default(), Vec::new());
    for (nth, source) in sources.iter().enumerate() {
        let own = |text: &str| defines::is_defining(text) && !threats::is_one(text);
        for (first, text) in documents(&source.text).into_iter().filter(|(_, text)| own(text)) {
            defines.read(nth, &Lines::new(&source.name, first, text), text, &mut additions, problems);
        }
    }
    defines.finish(additions, problems);
    defines
}

fn document(lines: Lines, text: &str, defines: &Defines, problems: &mut Vec<Problem>) -> Option<Loaded> {
    match serde_saphyr::from_str(text) {
        Ok(raw) => check(raw, lines, defines, problems),
        Err(error) => {
            problems.push(lines.unread(&error));
            None
        }
    }
}

fn check(raw: RawRule, lines: Lines, defines: &Defines, problems: &mut Vec<Problem>) -> Option<Loaded> {
    let before = problems.len();
    let id = raw.id.clone();
    let mut wrong = |part: &str, message: String| problems.push(lines.problem(&id, part, message));
    if !is_id(&raw.id) {
        wrong(
            "id",
            "must look like PC-INJ-0001: PC (or SITE for rules of your own), 2 to 5 capital letters, 4 digits; a learned one \
             like LRN-7F3A9C-1"
                .into(),
        );
    }
    if !(1..=10).contains(&raw.score) {
        wrong("score", format!("must be 1 to 10, not {}", raw.score));
    }
    for (part, text) in [("title", &raw.title), ("gain", &raw.gain)] {
        if text.trim().is_empty() {
            wrong(part, "must say something".into());
        }
    }
    for (part, list) in [("positive", &raw.examples.positive), ("negative", &raw.examples.negative)] {
        if list.is_empty() {
            wrong(&format!("examples.{part}"), "at least one is needed".into());
        }
    }
    let said = raw.direction();
    let stage = raw.stage.with(raw.share).unwrap_or_else(|message| {
        wrong("share", message.into());
        Stage::Live
    });
    let mut validators = Vec::new();
    let checks = raw.validate.map(super::rule::OneOrMany::into_vec).unwrap_or_default();
    for text in &checks {
        match Validator::parse(text) {
            Ok(validator) => validators.push(validator),
            Err(message) => wrong("validate", message),
        }
    }
    let correlation = raw.correlation.as_ref().and_then(|correlation| {
        if !raw.detection.is_empty() || raw.action == Action::Redact || raw.direction == Some(Directions::Output) {
            wrong("correlation", "stands alone: no `detection`, no answers, nothing to redact".into());
        }
        correlation.check().map_err(|told| told.into_iter().for_each(|(part, message)| wrong(part, message))).ok()
    });
    let direction = said.unwrap_or_else(|| {
        wrong("direction", "is missing: input, output or both".into());
        Directions::Input
    });
    let (mut prefilter, mut written) = (Vec::new(), None);
    let (mut names, mut selections) = (Vec::new(), Vec::new());
    let (mut detector, mut confidence) = (None, None);
    let (mut as_written, mut weighed) = (Vec::new(), BTreeMap::new());
    for (key, value) in raw.detection {
        let part = format!("detection.{key}");
        let texts = value.into_vec();
        as_written.push((key.clone(), texts.clone()));
        match key.as_str() {
            "prefilter" => match defines.literals(texts) {
                Ok(literals) => prefilter = literals,
                Err(message) => wrong(&part, message),
            },
            "condition" => written = texts.into_iter().next(),
            "detector" => detector = texts.into_iter().next(),
            "confidence" => confidence = texts.into_iter().next(),
            "weights" | "threshold" | "telling" | "window" => {
                weighed.insert(key, texts);
            }
            _ if key.starts_with("sel_") || key.starts_with("not_") => {
                if texts.is_empty() {
                    wrong(&part, "at least one pattern is needed".into());
                }
                let expanded = texts.iter().filter_map(|text| match defines.expand(text) {
                    Ok(expanded) => Some(expanded),
                    Err(message) => {
                        wrong(&part, message);
                        None
                    }
                });
                selections.push(expanded.collect());
                names.push(key);
            }
            _ => wrong(
                &part,
                "unknown key; expected prefilter, condition, sel_* or not_*, or detector with confidence, or with weights, \
                 threshold, telling and window".into(),
            ),
        }
    }
    let patterns = !prefilter.is_empty() || !names.is_empty() || written.is_some();
    let probe = match (detector, confidence) {
        (None, None) => None,
        (Some(_), _) if patterns => {
            wrong("detection.detector", "stands alone: a rule has a detector or patterns".into());
            None
        }
        (Some(detector), confidence) => match Probe::parse(&detector, confidence.as_deref()) {
            Ok(probe) if probe.is_for_answers() && direction != Directions::Output => {
                wrong("detection.detector", "looks at answers (`direction: output`)".into());
                None
            }
            Ok(probe)
                if !probe.is_for_answers() && (direction != Directions::Input || raw.action == Action::Redact) =>
            {
                wrong("detection.detector", "looks at prompts (`direction: input`) and cannot redact".into());
                None
            }
            Ok(probe) => Some(probe),
            Err(message) => {
                wrong("detection.detector", message);
                None
            }
        },
        (None, Some(_)) => {
            wrong("detection.confidence", "says how sure a `detector` must be; there is none".into());
            None
        }
    };
    let learned = learned::Weights::of(&weighed, probe == Some(Probe::Learned)).unwrap_or_else(|(part, message)| {
        wrong(&format!("detection.{part}"), message);
        None
    });
    let over_time = raw.correlation.is_some() || matches!(probe, Some(Probe::Behaviour(_)));
    let is_plain = raw.correlation.is_none() && probe.as_ref().is_none_or(|probe| matches!(probe, Probe::Learned));
    if stage != Stage::Live && !(is_plain && direction == Directions::Input) {
        wrong("stage", "is for rules that look at prompts, by patterns or with the detector `learned`".into());
    }
    for text in raw.examples.positive.iter().chain(&raw.examples.negative).filter(|_| over_time) {
        if let Err(message) = history::readable(text, raw.correlation.is_some()) {
            wrong("examples", message);
        }
    }
    for literal in &prefilter {
        let lower = literal.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let read = literal::read(literal);
        let telling = read.len() + usize::from(read.bytes().any(is_odd));
        if telling < MIN_LITERAL || !lower {
            let least = format!(
                "{MIN_LITERAL} bytes or more ({} with a digit or sign in it, white space at its beginning not counted)",
                MIN_LITERAL - 1
            );
            wrong("detection.prefilter", format!("`{literal}` must be lower-case ASCII, {least}"));
        }
    }
    if probe.is_none() && raw.correlation.is_none() && (0..names.len()).all(|at| is_negative(&names, at)) {
        wrong("detection", "at least one `sel_*` is needed".into());
        return None;
    }
    let condition = match written.map(|text| Condition::parse(&text, &names)) {
        None => Condition::default_for(&names),
        Some(Ok(condition)) => condition,
        Some(Err(message)) => {
            wrong("detection.condition", message);
            return None;
        }
    };
    for (at, name) in names.iter().enumerate() {
        if !condition.mentions(at) {
            wrong(&format!("detection.{name}"), "is not used by the condition".into());
        }
    }
    if problems.len() > before {
        return None;
    }
    let written = raw.correlation.map_or(as_written, |correlation| correlation.written());
    let threats = [
        raw.references.owasp_llm,
        raw.references.owasp_agentic,
        raw.references.mitre_atlas,
        raw.references.mitre_attack,
    ];
    let rule = Rule {
        id: RuleId(raw.id.into()),
        title: raw.title.into(),
        family: raw.family,
        gain: raw.gain.into(),
        severity: raw.severity,
        score: raw.score,
        directions: direction,
        action: raw.action,
        roles: raw.roles.map_or_else(|| default_roles(raw.family), |roles| Roles::of(&roles)),
        threats: threats.into_iter().flatten().map(Arc::from).collect(),
        mark: raw.mark.as_deref().unwrap_or(DEFAULT_MARK).into(),
        validators,
        examples: raw.examples,
        false_positives: raw.false_positives,
        stage,
        origin: raw.origin,
        file: Arc::clone(&lines.file),
        line: lines.first,
    };
    Some(Loaded { rule, prefilter, names, selections, condition, probe, learned, correlation, written, checks, lines })
}

fn default_roles(family: Family) -> Roles {
    if matches!(family, Family::Secrets | Family::Privacy) {
        return Roles::ALL;
    }
    Roles::of(&[Role::User, Role::Assistant, Role::Tool, Role::Parameter])
}

#[cfg(test)]
mod tests {
    use super::super::documents::definitions_of;
    use super::*;

    #[test]
    fn rules_about_alerts_and_incidents_are_left_to_others() {
        let shipped = [include_str!("../../rules/soc/alerts.yaml"), include_str!("../../rules/soc/incidents.yaml")];
        let sources = shipped.map(|text| Source { name: "soc.yaml".into(), text: text.into() });
        let mut problems = Vec::new();
        let rules = load(&sources, &BTreeMap::new(), &mut problems);
        assert!(rules.is_empty() && problems.is_empty(), "{problems:?}");
        assert_eq!(definitions_of(shipped[0]), "");
        let other = Source { name: "f.yaml".into(), text: "kind: alerts\nid: A\n".into() };
        load(&[other], &BTreeMap::new(), &mut problems);
        assert_eq!(problems.len(), 1, "{problems:?}");
    }
}
