//! Which events are alerts: rules that an analyst can read, in YAML. The first rule that fits makes the alert.
//!
//! ```yaml
//! kind: alert
//! id: SOC-INJ-0001
//! title: Prompt injection blocked
//! when: { event: request, decision: block, foremost: [prompt_injection] }
//! severity: from_verdict
//! ```

use std::sync::Arc;

use serde::Deserialize;

use super::problem::Problem;
use super::read::{self, Document, Placed};
use crate::types::{AlarmKind, Decision, Direction, Event, Family, Finding, Outcome, Record, Severity, Verdict};

/// The rules built into the binary.
const BUILTIN: (&str, &str) = ("rules/soc/alerts.yaml", include_str!("../../rules/soc/alerts.yaml"));

/// What a rule's document says it is.
const KIND: &str = "alert";

/// Every alert rule in force, in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AlertRules {
    rules: Vec<AlertRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRule {
    /// `SOC-...`, or `SITE-...` for a site's own.
    pub id: Arc<str>,
    /// For people, in a few words.
    pub title: String,
    /// Which events it is about.
    pub when: When,
    /// How bad they are; `None`: as bad as the worst finding.
    pub severity: Option<Severity>,
    /// The family of its alerts; `None`: that of the worst finding.
    pub family: Option<Family>,
    /// Catalogued threats beside those of the findings.
    pub threats: Vec<Arc<str>>,
}

/// What an event must be: all of it. What is not said holds for every event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// What kind of event.
    pub event: EventKind,
    /// What was done to the request, at least.
    pub decision: Option<Decision>,
    /// What was done to the request, at most.
    pub decision_at_most: Option<Decision>,
    /// What was judged of the prompt or the answer, at least, whether it was carried out or not.
    pub verdict: Option<Decision>,
    /// How the request ended: one of these.
    #[serde(default)]
    pub outcomes: Vec<Outcome>,
    /// Something was found of one of these families, in this `direction` and of this `severity` where these are said.
    #[serde(default)]
    pub families: Vec<Family>,
    /// The worst that was found is of one of these families.
    #[serde(default)]
    pub foremost: Vec<Family>,
    /// Prompt or answer: where something was found, and which verdict counts.
    pub direction: Option<Direction>,
    /// How bad what was found is, at least.
    pub severity: Option<Severity>,
    /// The risk, 0 to 1, at least.
    pub risk: Option<f32>,
    /// How likely it is a false alarm, in percent, at most.
    pub false_positive: Option<u8>,
    /// Which alarm: one of these.
    #[serde(default)]
    pub alarms: Vec<AlarmKind>,
    /// Why it was refused or ended (`invalid_api_key`): one of these.
    #[serde(default)]
    pub reasons: Vec<Arc<str>>,
    /// Whether a standing order refused or cut it.
    pub order: Option<bool>,
}

/// What kind of event a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A request ended.
    Request,
    /// Something about money or behaviour.
    Alarm,
    /// A reload failed.
    Reload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Alert,
}

/// How bad alerts are, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawSeverity {
    Informational,
    Low,
    Medium,
    High,
    Critical,
    FromVerdict,
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
    when: When,
    severity: RawSeverity,
    family: Option<Family>,
    #[serde(default)]
    threats: Vec<Arc<str>>,
}

const fn yes() -> bool {
    true
}

impl AlertRules {
    /// The rules built into the binary.
    ///
    /// # Errors
    /// Every problem with them; a test proves that there is none.
    pub fn builtin() -> Result<Self, Vec<Problem>> {
        Self::read(&[])
    }

    /// The rules built into the binary and those of `sources` (name and text), which may replace them by id, switch them off
    /// (`enabled: false`) or stand before them. Documents that are not `kind: alert` are not looked at.
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
        let mut placed = read::rules::<Raw>(sources, KIND, |raw| &raw.id, &mut problems);
        placed.iter().for_each(|one| check(&one.rule, &one.from, &mut problems));
        placed.retain(|one| one.rule.enabled);
        unreachable(&placed, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { rules: placed.into_iter().map(|one| one.rule.into()).collect() })
    }

    /// The rules, in the order in which they are asked.
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// The first rule that fits.
    pub fn first(&self, event: &Event) -> Option<&AlertRule> {
        if matches!(event, Event::Content(_) | Event::ToolHeld(_)) {
            return None;
        }
        self.rules.iter().find(|rule| rule.when.fits(event))
    }
}

impl From<Raw> for AlertRule {
    fn from(raw: Raw) -> Self {
        let severity = match raw.severity {
            RawSeverity::Informational => Some(Severity::Informational),
            RawSeverity::Low => Some(Severity::Low),
            RawSeverity::Medium => Some(Severity::Medium),
            RawSeverity::High => Some(Severity::High),
            RawSeverity::Critical => Some(Severity::Critical),
            RawSeverity::FromVerdict => None,
        };
        Self { id: raw.id, title: raw.title, when: raw.when, severity, family: raw.family, threats: raw.threats }
    }
}

impl When {
    /// Whether an event is all that it must be.
    pub fn fits(&self, event: &Event) -> bool {
        match (self.event, event) {
            (EventKind::Request, Event::Request(record)) => self.fits_request(record),
            (EventKind::Alarm, Event::Alarm(alarm)) => self.alarms.is_empty() || self.alarms.contains(&alarm.kind),
            (EventKind::Reload, Event::Reload(outcome)) => !outcome.problems.is_empty(),
            _ => false,
        }
    }

    fn fits_request(&self, record: &Record) -> bool {
        let reason = || record.reason.is_some_and(|code| self.reasons.iter().any(|known| **known == *code));
        self.decision.is_none_or(|least| record.decision >= least)
            && self.decision_at_most.is_none_or(|most| record.decision <= most)
            && (self.outcomes.is_empty() || self.outcomes.contains(&record.outcome))
            && (self.reasons.is_empty() || reason())
            && self.order.is_none_or(|wanted| record.order.is_some() == wanted)
            && (!self.judges() || self.fits_verdicts(record))
    }

    /// Whether it asks what was judged.
    fn judges(&self) -> bool {
        self.looks_for_findings()
            || !self.foremost.is_empty()
            || self.verdict.is_some()
            || self.risk.is_some()
            || self.false_positive.is_some()
    }

    /// Whether something must have been found.
    pub(super) fn looks_for_findings(&self) -> bool {
        !self.families.is_empty() || self.severity.is_some() || self.direction.is_some()
    }

    /// Whether a finding is one that it looks for.
    pub(super) fn wants(&self, direction: Direction, finding: &Finding) -> bool {
        (self.families.is_empty() || self.families.contains(&finding.family))
            && self.direction.is_none_or(|wanted| wanted == direction)
            && self.severity.is_none_or(|least| finding.severity >= least)
    }

    fn fits_verdicts(&self, record: &Record) -> bool {
        let Some(riskiest) = riskiest(record, self.direction) else { return false };
        let judged = verdicts(record).filter(|(direction, _)| self.direction.is_none_or(|wanted| wanted == *direction));
        let worst = judged.map(|(_, verdict)| verdict.decision).max();
        self.verdict.is_none_or(|least| worst >= Some(least))
            && self.risk.is_none_or(|least| riskiest.risk >= least)
            && self.false_positive.is_none_or(|most| percent(riskiest.false_positive) <= most)
            && (self.foremost.is_empty()
                || foremost(record, |_, _| true).is_some_and(|(_, worst)| self.foremost.contains(&worst.family)))
            && (!self.looks_for_findings() || findings(record).any(|(direction, one)| self.wants(direction, one)))
    }

    /// Whether every event that fits `other` fits this one too.
    fn covers(&self, other: &Self) -> bool {
        fn least<T: PartialOrd>(own: Option<T>, other: Option<T>) -> bool {
            own.is_none_or(|own| other.is_some_and(|other| other >= own))
        }
        fn most<T: PartialOrd>(own: Option<T>, other: Option<T>) -> bool {
            own.is_none_or(|own| other.is_some_and(|other| other <= own))
        }
        fn among<T: PartialEq>(own: &[T], other: &[T]) -> bool {
            own.is_empty() || (!other.is_empty() && other.iter().all(|one| own.contains(one)))
        }
        self.event == other.event
            && least(self.decision, other.decision)
            && most(self.decision_at_most, other.decision_at_most)
            && least(self.verdict, other.verdict)
            && among(&self.outcomes, &other.outcomes)
            && among(&self.families, &other.families)
            && among(&self.foremost, &other.foremost)
            && self.direction.is_none_or(|own| other.direction == Some(own))
            && least(self.severity, other.severity)
            && least(self.risk, other.risk)
            && most(self.false_positive, other.false_positive)
            && (self.false_positive.is_none() || self.direction == other.direction)
            && among(&self.alarms, &other.alarms)
            && among(&self.reasons, &other.reasons)
            && self.order.is_none_or(|own| other.order == Some(own))
    }
}

/// The verdicts of a request with their directions.
pub(super) fn verdicts(record: &Record) -> impl Iterator<Item = (Direction, &Verdict)> {
    let of = |direction, verdict: &'_ Option<Verdict>| verdict.as_ref().map(|_| direction);
    let input = of(Direction::Input, &record.input).zip(record.input.as_ref());
    let output = of(Direction::Output, &record.output).zip(record.output.as_ref());
    input.into_iter().chain(output)
}

/// Everything found, in both directions.
pub(super) fn findings(record: &Record) -> impl Iterator<Item = (Direction, &Finding)> {
    verdicts(record).flat_map(|(direction, verdict)| verdict.findings.iter().map(move |finding| (direction, finding)))
}

/// The worst finding of those that `wanted` takes: by severity, then by points; the first of equals.
pub(super) fn foremost(record: &Record, wanted: impl Fn(Direction, &Finding) -> bool) -> Option<(Direction, &Finding)> {
    findings(record).filter(|(direction, finding)| wanted(*direction, finding)).reduce(|best, next| {
        let (old, new) = (best.1, next.1);
        let worse = new.severity.cmp(&old.severity).then(new.counts_for().0.total_cmp(&old.counts_for().0)).is_gt();
        if worse { next } else { best }
    })
}

/// The verdict with the highest risk, of one direction or of both.
pub(super) fn riskiest(record: &Record, direction: Option<Direction>) -> Option<&Verdict> {
    let of = |(own, verdict): (Direction, _)| direction.is_none_or(|wanted| wanted == own).then_some(verdict);
    verdicts(record).filter_map(of).reduce(|best: &Verdict, next| if next.risk > best.risk { next } else { best })
}

/// A likelihood of 0 to 1 in percent.
pub(super) fn percent(share: f32) -> u8 {
    // What is no number becomes 0.
    (share.clamp(0.0, 1.0) * 100.0).round() as u8
}

fn check(raw: &Raw, from: &Document<'_>, problems: &mut Vec<Problem>) {
    let mut wrong = |part: &str, message: &str| problems.push(from.problem(&raw.id, part, message));
    let when = &raw.when;
    if !read::is_id(&raw.id) {
        wrong("id", read::ID);
    }
    if raw.title.trim().is_empty() {
        wrong("title", "must say something");
    }
    if when.decision.zip(when.decision_at_most).is_some_and(|(least, most)| least > most) {
        wrong("decision_at_most", "is less than `decision`: no event fits");
    }
    if when.risk.is_some_and(|risk| !(0.0..=1.0).contains(&risk)) {
        wrong("risk", "must be 0 to 1");
    }
    if when.false_positive.is_some_and(|percent| percent > 100) {
        wrong("false_positive", "must be 0 to 100");
    }
    let code = |code: &str| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if !when.reasons.iter().all(|reason| code(reason)) {
        wrong("reasons", "must be codes of small letters and underscores");
    }
    let asks = when.judges()
        || when.decision.is_some()
        || when.decision_at_most.is_some()
        || !when.outcomes.is_empty()
        || !when.reasons.is_empty()
        || when.order.is_some();
    match when.event {
        EventKind::Request if !when.alarms.is_empty() => wrong("alarms", "a request is no alarm: no event fits"),
        EventKind::Request if !asks => wrong("when", "fits every request: say which"),
        EventKind::Request => {}
        EventKind::Alarm | EventKind::Reload if asks => {
            wrong("when", "asks for what only requests have: no event fits")
        }
        EventKind::Reload if !when.alarms.is_empty() => wrong("alarms", "a reload is no alarm: no event fits"),
        EventKind::Alarm | EventKind::Reload if raw.severity == RawSeverity::FromVerdict => {
            wrong("severity", "there is no verdict on alarms and reloads");
        }
        EventKind::Alarm | EventKind::Reload => {}
    }
}

/// Rules that are never asked, because an earlier one of the same source or of one before it fits whatever they fit. A
/// site's own rule may hide a shipped one: that is how it is put aside.
fn unreachable(placed: &[Placed<'_, Raw>], problems: &mut Vec<Problem>) {
    for (at, late) in placed.iter().enumerate() {
        let hides = |early: &&Placed<'_, Raw>| early.source <= late.source && early.rule.when.covers(&late.rule.when);
        if let Some(early) = placed.iter().take(at).find(hides) {
            let message = format!("is never reached: {} ({}) fits first", early.rule.id, early.from.place());
            problems.push(late.from.problem(&late.rule.id, "when", message));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::soc::fixture::{alarm, answered, blocked, event, finding, flagged, record, refused, reload, verdict};

    fn builtin() -> AlertRules {
        AlertRules::builtin().unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn first(rules: &AlertRules, event: &Event) -> String {
        rules.first(event).map_or_else(|| "none".to_owned(), |rule| rule.id.to_string())
    }

    /// An event for every shipped rule.
    fn cases() -> Vec<(&'static str, Event)> {
        use Decision::{Block, Flag, Redact};
        use Severity::{Critical, High, Low, Medium};
        let ordered = Record { order: Some("ord_1".into()), ..refused("blocked_by_order") };
        let mut cases = vec![
            ("SOC-EXF-0001", event(blocked(Family::DataExfiltration, Critical))),
            ("SOC-ORD-0001", event(ordered)),
            ("SOC-LEAK-0001", event(answered(Family::Secrets, High, Flag, Flag))),
            ("SOC-LEAK-0002", event(answered(Family::Secrets, High, Redact, Redact))),
            ("SOC-LEAK-0003", event(answered(Family::Leakage, High, Block, Block))),
            ("SOC-LEAK-0004", event(answered(Family::Privacy, High, Flag, Flag))),
            ("SOC-LEAK-0005", event(answered(Family::Privacy, High, Redact, Redact))),
            ("SOC-OUT-0001", event(answered(Family::UnsafeOutput, High, Block, Block))),
            ("SOC-OUT-0002", event(refused("tool_not_allowed"))),
            ("SOC-BLK-0001", event(Record { decision: Block, ..refused("content_filter") })),
            ("SOC-MON-0001", event(flagged(Family::Jailbreak, High, Block, 0.9))),
            ("SOC-FLAG-0001", event(flagged(Family::Jailbreak, Low, Flag, 0.7))),
            ("SOC-FLAG-0002", event(flagged(Family::Behaviour, High, Flag, 0.4))),
            ("SOC-FLAG-0003", event(flagged(Family::Encoding, Low, Flag, 0.2))),
            ("SOC-CRED-0001", event(refused("invalid_api_key"))),
            ("SOC-CRED-0002", event(refused("revoked_api_key"))),
            ("SOC-LIM-0001", event(refused("rate_limit_exceeded"))),
            ("SOC-GRD-0001", event(refused("guardrail_unavailable"))),
            ("SOC-COST-0001", alarm(AlarmKind::SpendSurge)),
            ("SOC-COST-0002", alarm(AlarmKind::BudgetWarning)),
            ("SOC-COST-0003", alarm(AlarmKind::RunawayLoop)),
            ("SOC-CONF-0003", alarm(AlarmKind::RuleRolledBack)),
            ("SOC-CONF-0001", reload(2)),
        ];
        for (id, families) in [
            ("SOC-INJ-0001", &[Family::PromptInjection][..]),
            ("SOC-INJ-0002", &[Family::IndirectInjection, Family::ForgedContext]),
            ("SOC-JBR-0001", &[Family::Jailbreak, Family::RolePlay]),
            ("SOC-EXT-0001", &[Family::PromptExtraction, Family::SecretExtraction]),
            ("SOC-EXF-0002", &[Family::DataExfiltration]),
            ("SOC-SYS-0001", &[Family::SystemManipulation]),
            ("SOC-WEB-0001", &[Family::MaliciousInput]),
            ("SOC-HUM-0001", &[Family::SocialEngineering]),
            ("SOC-STEP-0001", &[Family::MultiStep, Family::Behaviour]),
            ("SOC-ENC-0001", &[Family::Encoding]),
            ("SOC-DATA-0001", &[Family::Secrets, Family::Privacy]),
        ] {
            cases.extend(families.iter().map(|family| (id, event(blocked(*family, Medium)))));
        }
        cases
    }

    #[test]
    fn every_shipped_rule_has_an_event_that_reaches_it() {
        let rules = builtin();
        let cases = cases();
        for (id, event) in &cases {
            assert_eq!(first(&rules, event), *id, "{event:?}");
        }
        let reached: BTreeSet<_> = cases.iter().map(|(id, _)| *id).collect();
        let shipped: BTreeSet<_> = rules.rules().iter().map(|rule| &*rule.id).collect();
        assert_eq!(reached, shipped);
    }

    #[test]
    fn every_family_that_is_blocked_is_an_alert_of_its_own_kind() {
        let rules = builtin();
        for family in Family::ALL.into_iter().filter(|family| !matches!(family, Family::UnsafeOutput | Family::Leakage))
        {
            let id = first(&rules, &event(blocked(family, Severity::Medium)));
            assert!(!["none", "SOC-BLK-0001", "SOC-FLAG-0001"].contains(&id.as_str()), "{family:?}: {id}");
        }
    }

    #[test]
    fn what_is_harmless_is_no_alert() {
        let rules = builtin();
        let clean = verdict(Decision::Allow, 0.0, Vec::new());
        let allowed = Record { input: Some(clean.clone()), output: Some(clean), ..record("ann") };
        let phone = flagged(Family::Privacy, Severity::Low, Decision::Flag, 0.0);
        for event in [event(record("ann")), event(allowed), event(phone), event(refused("invalid_json")), reload(0)] {
            assert_eq!(first(&rules, &event), "none", "{event:?}");
        }
    }

    #[test]
    fn a_likely_false_alarm_is_not_critical_and_the_worst_finding_says_the_family() {
        let rules = builtin();
        let mut doubtful = blocked(Family::SecretExtraction, Severity::Critical);
        doubtful.input.as_mut().unwrap().false_positive = 0.8;
        assert_eq!(first(&rules, &event(doubtful)), "SOC-EXT-0001");
        let mut two = blocked(Family::Encoding, Severity::Low);
        two.input.as_mut().unwrap().findings.push(finding(Family::Jailbreak, Severity::High));
        assert_eq!(first(&rules, &event(two)), "SOC-JBR-0001");
    }

    #[test]
    fn threats_of_shipped_rules_are_in_the_catalogues() {
        let catalogue = include_str!("../../rules/_threats.yaml");
        let known = |id: &str| catalogue.lines().any(|line| line.trim_start().starts_with(&format!("{id}: ")));
        for rule in builtin().rules() {
            for id in &rule.threats {
                assert!(known(id), "{}: {id}", rule.id);
            }
        }
        for rule in crate::soc::IncidentRules::builtin().unwrap().rules() {
            for id in &rule.threats {
                assert!(known(id), "{}: {id}", rule.id);
            }
        }
    }

    const OWN: &str =
        "kind: alert\nid: SITE-OWN-0001\ntitle: Ours\nwhen: { event: request, decision: block }\nseverity: low\n";

    #[test]
    fn a_site_adds_before_replaces_in_place_and_puts_aside() {
        let replaced = OWN.replace("SITE-OWN-0001", "SOC-INJ-0001").replace("severity: low", "severity: critical");
        let replaced = replaced.replace("decision: block", "decision: block, foremost: [prompt_injection]");
        let off = "kind: alert\nid: SOC-LIM-0001\ntitle: Off\nenabled: false\nwhen: { event: request, decision: block }\nseverity: low\n";
        let rules = AlertRules::read(&[("site.yaml", &format!("{replaced}---\n{off}"))]).unwrap();
        let attack = event(blocked(Family::PromptInjection, Severity::Low));
        let rule = rules.first(&attack).unwrap();
        assert_eq!((&*rule.id, &*rule.title, rule.severity), ("SOC-INJ-0001", "Ours", Some(Severity::Critical)));
        assert_eq!(first(&rules, &event(refused("rate_limit_exceeded"))), "none");
        // One that stands before the shipped ones may hide them all.
        let rules = AlertRules::read(&[("site.yaml", OWN)]).unwrap();
        assert_eq!(first(&rules, &attack), "SITE-OWN-0001");
    }

    fn problems(text: &str) -> Vec<String> {
        match AlertRules::only(&[("f.yaml", text)]) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn problems_are_all_told_with_file_and_line() {
        assert_eq!(problems(OWN), Vec::<String>::new());
        let twice = format!("{OWN}---\n{OWN}");
        assert_eq!(problems(&twice), ["f.yaml:8: SITE-OWN-0001.id: used twice; first at f.yaml:1"]);
        let hidden = OWN.replace("0001", "0002").replace("decision: block", "decision: block, foremost: [jailbreak]");
        let told = problems(&format!("{OWN}---\n{hidden}"));
        assert_eq!(told, ["f.yaml:10: SITE-OWN-0002.when: is never reached: SITE-OWN-0001 (f.yaml:1) fits first"]);
        // In the other order both are reached.
        assert_eq!(problems(&format!("{hidden}---\n{OWN}")), Vec::<String>::new());
    }

    #[test]
    fn what_no_event_can_be_is_a_problem() {
        let when = |when: &str| problems(&OWN.replace("event: request, decision: block", when));
        for (wrong, part) in [
            ("event: request", "fits every request"),
            ("event: request, decision: block, decision_at_most: flag", "decision_at_most"),
            ("event: request, risk: 2", "risk"),
            ("event: request, false_positive: 101", "false_positive"),
            ("event: request, alarms: [spend_surge], order: true", "alarms"),
            ("event: alarm, decision: block", "only requests"),
            ("event: reload, alarms: [spend_surge]", "alarms"),
            ("event: request, reasons: [Bad Key]", "reasons"),
            ("event: request, families: [sorcery]", "sorcery"),
            ("event: request, colour: red", "colour"),
            ("event: thing", "thing"),
        ] {
            let told = when(wrong);
            assert!(told.len() == 1 && told[0].contains(part) && told[0].starts_with("f.yaml:"), "{wrong}: {told:?}");
        }
        let from = OWN.replace("request, decision: block", "alarm").replace("low", "from_verdict");
        assert!(problems(&from)[0].contains("no verdict"));
        for (old, new, part) in [("SITE-OWN-0001", "OWN-1", "must look like"), ("Ours", "' '", "must say something")] {
            assert!(problems(&OWN.replace(old, new))[0].contains(part));
        }
    }

    #[test]
    fn a_finding_must_be_all_that_is_asked_at_once() {
        let text = OWN.replace("decision: block", "families: [jailbreak], direction: output, severity: high");
        let rules = AlertRules::only(&[("f.yaml", &text)]).unwrap();
        let mut record = answered(Family::Jailbreak, Severity::Low, Decision::Flag, Decision::Flag);
        record.input = Some(verdict(Decision::Block, 1.0, vec![finding(Family::Jailbreak, Severity::Critical)]));
        assert_eq!(first(&rules, &event(record.clone())), "none");
        record.output.as_mut().unwrap().findings.push(finding(Family::Jailbreak, Severity::High));
        assert_eq!(first(&rules, &event(record)), "SITE-OWN-0001");
    }
}
