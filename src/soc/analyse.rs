//! What happened and how bad it is, by rules: the same records give the same findings. Every sentence is a claim with the
//! evidence for it, and every factor of the risk says why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::playbook::Section;
use super::say::{count, lasting};
use super::support::{blast_id, blast_words};
use crate::types::soc::{Alert, Blast, Claim, Incident, Threat};
use crate::types::{Decision, Family, Severity, Subject};

pub use super::phases::Stage;

/// Ids that one claim cites.
const MAX_SUPPORT: usize = 16;
/// Threats, callers' figures, playbooks and past incidents that are told of.
const MAX_TOLD: usize = 6;
/// In percent: from so much on it is likely a false alarm.
pub const LIKELY_FALSE_AT: u8 = 70;

/// What was found for an incident before it is analysed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Retrieved {
    /// Sections of playbooks, the likest first.
    pub sections: Vec<Section>,
    /// Incidents that were like it.
    pub past: Vec<Past>,
}

/// An incident that was like this one and is closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Its id.
    pub incident: Arc<str>,
    /// How it was closed: `resolved`, `false_positive`, `duplicate`, `accepted`, `expired`.
    pub closed: Arc<str>,
    /// The families seen.
    pub families: Vec<Family>,
}

impl Past {
    /// In words.
    pub(super) fn words(&self) -> String {
        format!("A past incident of {} was closed as {}.", names(&self.families), self.closed.replace('_', " "))
    }
}

/// What the analysis found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// How likely it is an attack that matters, 0 to 1.
    pub true_risk: f32,
    /// How likely it is a false alarm, in percent.
    pub false_positive: u8,
    /// Whether it is more likely a false alarm than not.
    pub likely_false: bool,
    /// What happened: the claims as sentences.
    pub what_happened: String,
    /// The catalogued threats.
    pub techniques: Vec<Threat>,
    /// The stages of an attack that were seen, in the order of events.
    pub stages: Vec<Stage>,
    /// What it rests on.
    pub claims: Vec<Claim>,
    /// What the risk is made of.
    pub factors: Vec<Factor>,
}

/// One thing that the risk is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// A low-cardinality label: `verdict`, `severity`, `repetition`, `progress`, `passed`, `doubt`.
    pub name: Arc<str>,
    /// 0 to 1. `doubt` lowers the risk, the others raise it.
    pub value: f32,
    /// Why, with figures.
    pub why: String,
}

/// The figures of an incident, summed up over its alerts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figures {
    alerts: u64,
    events: u64,
    retries: u64,
    /// Microseconds from the first event to the last.
    within: u64,
    severity: Severity,
    risk: u32,
    false_positive: u8,
    families: BTreeMap<Family, u64>,
    refused: u64,
    passed: u64,
    /// Different users, keys, addresses, sessions, agents.
    callers: [(&'static str, u64); 5],
}

impl Figures {
    pub(super) fn new(incident: &Incident, alerts: &[Alert]) -> Self {
        let sum = |of: fn(&Alert) -> u64| alerts.iter().fold(0_u64, |sum, alert| sum.saturating_add(of(alert)));
        let first = alerts.iter().map(|alert| alert.first).min().unwrap_or(incident.opened);
        let last = alerts.iter().map(|alert| alert.last).max().unwrap_or(incident.updated);
        let mut families = BTreeMap::new();
        for alert in alerts {
            if let Some(family) = alert.family {
                let events: &mut u64 = families.entry(family).or_default();
                *events = events.saturating_add(alert.count);
            }
        }
        let refused = |alert: &Alert| alert.verdict.enforced == Some(Decision::Block);
        let passed = |alert: &Alert| alert.verdict.enforced.is_some_and(|done| done != Decision::Block);
        let counted = |which: &dyn Fn(&Alert) -> bool| {
            alerts.iter().filter(|alert| which(alert)).fold(0_u64, |sum, alert| sum.saturating_add(alert.count))
        };
        let different = |of: &dyn Fn(&Alert) -> Option<String>| {
            u64::try_from(alerts.iter().filter_map(of).collect::<BTreeSet<_>>().len()).unwrap_or(u64::MAX)
        };
        let name = |name: &Option<Arc<str>>| name.as_ref().map(ToString::to_string);
        Self {
            alerts: u64::try_from(alerts.len()).unwrap_or(u64::MAX),
            events: sum(|alert| alert.count),
            retries: sum(|alert| alert.retries),
            within: last.saturating_sub(first).unsigned_abs(),
            severity: alerts.iter().map(|alert| alert.severity).fold(incident.severity, Ord::max),
            risk: percent(alerts.iter().map(|alert| alert.verdict.risk).fold(incident.risk, f32::max)),
            false_positive: alerts
                .iter()
                .map(|alert| alert.verdict.false_positive)
                .min()
                .unwrap_or(incident.false_positive),
            families,
            refused: counted(&refused),
            passed: counted(&passed),
            callers: [
                ("user", different(&|alert| name(&alert.caller.user))),
                ("key", different(&|alert| name(&alert.caller.key))),
                ("address", different(&|alert| alert.caller.address.map(|address| address.to_canonical().to_string()))),
                ("session", different(&|alert| name(&alert.caller.session))),
                ("agent", different(&|alert| name(&alert.caller.agent))),
            ],
        }
    }

    fn size(&self) -> String {
        let span = match self.within.div_ceil(1_000_000) {
            0 | 1 => "at once".to_owned(),
            seconds if seconds < 120 => format!("within {}", lasting(seconds)),
            seconds if seconds < 7_200 => format!("within {}", lasting(seconds.div_ceil(60).saturating_mul(60))),
            seconds => format!("within {}", lasting(seconds.div_ceil(3600).saturating_mul(3600))),
        };
        let retries = match self.retries {
            0 => String::new(),
            retries => format!(", {retries} of them sent again by client libraries"),
        };
        let (events, alerts) = (count(self.events, "event"), count(self.alerts, "alert"));
        format!("{events} in {alerts} {span}{retries}, severity {}.", self.severity.name())
    }

    fn from(&self) -> Option<String> {
        let known: Vec<String> =
            self.callers.iter().filter(|(_, number)| *number > 0).map(|(kind, number)| count(*number, kind)).collect();
        (!known.is_empty()).then(|| format!("They come from {}.", known.join(", ")))
    }

    fn kinds(&self) -> Option<String> {
        let mut seen: Vec<(&Family, &u64)> = self.families.iter().collect();
        seen.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        let seen: Vec<String> = seen
            .into_iter()
            .map(|(family, events)| format!("{} ({})", name(*family), count(*events, "event")))
            .collect();
        (!seen.is_empty()).then(|| format!("Families of threats: {}.", seen.join(", ")))
    }

    fn done(&self) -> Option<String> {
        match (self.refused, self.passed) {
            (0, 0) => None,
            (refused, 0) => {
                Some(format!("The gateway refused or cut {}, and let none through.", count(refused, "event")))
            }
            (0, passed) => Some(format!("The gateway let {} through and refused none.", count(passed, "event"))),
            (refused, passed) => {
                Some(format!("The gateway refused or cut {} and let {passed} through.", count(refused, "event")))
            }
        }
    }

    fn judged(&self) -> String {
        format!(
            "The highest risk is {} percent, the lowest likelihood of a false alarm {} percent.",
            self.risk, self.false_positive
        )
    }

    /// All of it, to be compared with what is claimed.
    pub(super) fn words(&self) -> String {
        let parts = [self.from(), self.kinds(), self.done()];
        format!("{} {} {}", self.size(), self.judged(), parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// Says what happened and how bad it is.
pub fn analyse(incident: &Incident, alerts: &[Alert], blasts: &[(Subject, Blast)], retrieved: &Retrieved) -> Findings {
    let figures = Figures::new(incident, alerts);
    let stages = super::phases::stages(alerts);
    let techniques = techniques(incident, alerts);
    let (factors, true_risk, false_positive) = weigh(&figures, &stages, retrieved);
    let claims = claims(incident, alerts, &figures, &techniques, blasts, retrieved);
    let told: Vec<&str> = claims.iter().map(|claim| claim.text.as_str()).collect();
    // An attack in several stages is none that words alone have feigned.
    let likely_false = false_positive >= LIKELY_FALSE_AT && stages.len() < 3;
    Findings {
        true_risk,
        false_positive,
        likely_false,
        what_happened: told.join(" "),
        techniques,
        stages,
        claims,
        factors,
    }
}

/// The factors, the risk they make, and how likely it is a false alarm, in percent.
fn weigh(figures: &Figures, stages: &[Stage], retrieved: &Retrieved) -> (Vec<Factor>, f32, u8) {
    let mut factors = Vec::new();
    let mut factor = |name: &str, value: f32, why: String| {
        if value > 0.0 {
            factors.push(Factor { name: name.into(), value: round(value), why });
        }
        value
    };
    let verdict = factor("verdict", share(figures.risk), format!("the gateway judged {} percent", figures.risk));
    let worst: f32 = match figures.severity {
        Severity::Informational => 0.05,
        Severity::Low => 0.15,
        Severity::Medium => 0.35,
        Severity::High => 0.6,
        Severity::Critical => 0.8,
    };
    let base = worst.max(verdict);
    factor("severity", worst, format!("the worst alert is {}", figures.severity.name()));
    let doublings = u8::try_from(figures.events.max(1).ilog2()).unwrap_or(u8::MAX);
    let repeated = (0.06 * f32::from(doublings)).min(0.3);
    factor("repetition", repeated, format!("{} were counted", count(figures.events, "event")));
    let further = u8::try_from(stages.len().saturating_sub(1)).unwrap_or(u8::MAX);
    let progress = (0.12 * f32::from(further)).min(0.36);
    factor(
        "progress",
        progress,
        format!("{} of an attack were seen", count(u64::from(further).saturating_add(1), "stage")),
    );
    let through = figures.passed > 0 && figures.severity >= Severity::High;
    let passed =
        factor("passed", if through { 0.2 } else { 0.0 }, format!("{} got through", count(figures.passed, "event")));

    let (false_positive, why) = doubt(figures, retrieved);
    let doubt = factor("doubt", share(u32::from(false_positive)), why);
    let together = 1.0 - (1.0 - base) * (1.0 - repeated) * (1.0 - progress) * (1.0 - passed);
    (factors, round((together * (1.0 - 0.75 * doubt)).clamp(0.0, 1.0)), false_positive)
}

/// How likely it is a false alarm, in percent, and why.
fn doubt(figures: &Figures, retrieved: &Retrieved) -> (u8, String) {
    let own = figures.false_positive.min(100);
    let alike = retrieved.past.len();
    let harmless = retrieved.past.iter().filter(|past| &*past.closed == "false_positive").count();
    let judged = format!("the gateway thinks a false alarm {own} percent likely");
    // What people said of two or more like it counts, but does not turn an attack into none by itself.
    if alike >= 2 && harmless.saturating_mul(3) >= alike.saturating_mul(2) && figures.severity < Severity::Critical {
        let raised = own.saturating_add(20).min(100);
        return (raised, format!("{judged}, and people closed {harmless} of {alike} like it as false alarms"));
    }
    (own, judged)
}

/// The threats of incident and alerts, those with a title first known.
fn techniques(incident: &Incident, alerts: &[Alert]) -> Vec<Threat> {
    let mut found: BTreeMap<Arc<str>, Arc<str>> = BTreeMap::new();
    for threat in alerts.iter().flat_map(|alert| &alert.threats) {
        let title = found.entry(Arc::clone(&threat.id)).or_default();
        if title.is_empty() {
            *title = Arc::clone(&threat.title);
        }
    }
    for id in &incident.threats {
        found.entry(Arc::clone(id)).or_default();
    }
    found.into_iter().map(|(id, title)| Threat { id, title }).take(64).collect()
}

fn claims(
    incident: &Incident,
    alerts: &[Alert],
    figures: &Figures,
    techniques: &[Threat],
    blasts: &[(Subject, Blast)],
    retrieved: &Retrieved,
) -> Vec<Claim> {
    let all: Vec<Arc<str>> =
        std::iter::once(&incident.id).chain(alerts.iter().map(|alert| &alert.id)).take(MAX_SUPPORT).cloned().collect();
    let mut claims = Vec::new();
    let mut claim = |text: String, support: Vec<Arc<str>>| claims.push(Claim { text, support });
    claim(figures.size(), all.clone());
    for text in [figures.from(), figures.kinds(), figures.done()].into_iter().flatten() {
        claim(text, all.clone());
    }
    claim(figures.judged(), all.clone());
    let known = techniques.iter().filter(|threat| !threat.title.is_empty()).take(MAX_TOLD);
    for threat in known {
        let shown = alerts.iter().filter(|alert| alert.threats.contains(threat)).map(|alert| Arc::clone(&alert.id));
        claim(format!("{} {}.", threat.id, threat.title), shown.take(MAX_SUPPORT).collect());
    }
    for (number, blast) in (1..).zip(blasts).take(MAX_TOLD) {
        claim(blast_words(blast), vec![blast_id(number)]);
    }
    let mut cited = BTreeSet::new();
    for section in retrieved.sections.iter().filter(|section| cited.insert(&section.playbook)).take(MAX_TOLD / 2) {
        let text = format!("The playbook on it: {}, {}.", section.title, section.heading);
        claim(text, vec![Arc::clone(&section.anchor)]);
    }
    for past in retrieved.past.iter().take(MAX_TOLD / 2) {
        claim(past.words(), vec![Arc::clone(&past.incident)]);
    }
    claims
}

/// A family's name in words.
pub(super) fn name(family: Family) -> String {
    family.name().replace('_', " ")
}

fn names(families: &[Family]) -> String {
    match families {
        [] => "no family".to_owned(),
        families => families.iter().map(|family| name(*family)).collect::<Vec<_>>().join(" and "),
    }
}

/// 0 to 1 in whole percent.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100 after clamping; NaN becomes 0")]
fn percent(share: f32) -> u32 {
    (share.clamp(0.0, 1.0) * 100.0).round() as u32
}

fn share(percent: u32) -> f32 {
    f32::from(u8::try_from(percent.min(100)).unwrap_or(100)) / 100.0
}

/// To two digits, so that what is stored and what is computed again are the same.
fn round(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soc::examples;
    use crate::soc::support::Evidence;

    fn past(closed: &str) -> Past {
        Past {
            incident: format!("inc_{closed}").into(),
            closed: closed.into(),
            families: vec![Family::PromptInjection],
        }
    }

    fn findings(change: impl FnOnce(&mut Incident, &mut Vec<Alert>, &mut Retrieved)) -> Findings {
        let (mut incident, mut alerts, mut retrieved) =
            (examples::incident(), vec![examples::alert()], Retrieved::default());
        change(&mut incident, &mut alerts, &mut retrieved);
        analyse(&incident, &alerts, &[], &retrieved)
    }

    #[test]
    fn it_says_what_happened_with_figures_and_evidence() {
        let playbooks = examples::playbooks();
        let mut second = examples::alert();
        second.id = "alt_2".into();
        second.family = Some(Family::DataExfiltration);
        second.severity = Severity::Critical;
        (second.first, second.last, second.retries) = (400_000_000, 400_000_000, 1);
        second.caller.user = Some("bob".into());
        second.verdict.enforced = Some(Decision::Flag);
        second.threats = vec![Threat { id: "T1567".into(), title: "Exfiltration Over Web Service".into() }];
        let (incident, alerts) = (examples::incident(), [examples::alert(), second]);
        let sections = playbooks.get("repeated-injection").unwrap().sections.clone();
        let retrieved = Retrieved { sections, past: vec![past("resolved")] };
        let subject = Subject::User { name: "ann".into() };
        let blasts = [(subject, Blast { requests: 120, callers: 1, clean: 100, hours: 24 })];
        let findings = analyse(&incident, &alerts, &blasts, &retrieved);
        insta::assert_json_snapshot!(findings);
        let evidence = Evidence::new(&incident, &alerts, &retrieved, &blasts);
        let grounded = evidence.grounds(&findings.claims, 0.6, &crate::soc::support::Scored::default());
        assert_eq!((grounded.score, grounded.unsupported), (1.0, Vec::new()));
        let again: Findings = serde_json::from_str(&serde_json::to_string(&findings).unwrap()).unwrap();
        assert_eq!(again, findings);
    }

    #[test]
    fn every_factor_moves_the_risk_the_way_it_says() {
        let plain = findings(|_, _, _| {}).true_risk;
        let more = |change: fn(&mut Vec<Alert>)| findings(|_, alerts, _| change(alerts)).true_risk;
        assert!(more(|alerts| alerts[0].count = 64) > plain);
        assert!(more(|alerts| alerts[0].severity = Severity::Critical) >= plain);
        assert!(more(|alerts| alerts[0].verdict.enforced = Some(Decision::Flag)) > plain);
        assert!(more(|alerts| alerts[0].verdict.false_positive = 60) < plain);
        let stages = more(|alerts| {
            let mut next = alerts[0].clone();
            next.family = Some(Family::DataExfiltration);
            alerts.push(next);
        });
        assert!(stages > plain);
        for count in [0, 1, u64::MAX] {
            let risk = findings(|_, alerts, _| alerts[0].count = count).true_risk;
            assert!((0.0..=1.0).contains(&risk));
        }
        assert!(findings(|incident, _, _| incident.risk = f32::NAN).true_risk.is_finite());
    }

    #[test]
    fn a_likely_false_alarm_is_named_unless_an_attack_went_through_stages() {
        let doubtful = |alerts: &mut Vec<Alert>| alerts[0].verdict.false_positive = 70;
        assert!(findings(|_, alerts, _| doubtful(alerts)).likely_false);
        assert!(!findings(|_, alerts, _| alerts[0].verdict.false_positive = 69).likely_false);
        let staged = findings(|_, alerts, _| {
            doubtful(alerts);
            for family in [Family::PromptExtraction, Family::DataExfiltration] {
                alerts.push(Alert { family: Some(family), ..alerts[0].clone() });
            }
        });
        assert!(!staged.likely_false);
        // One alert without doubt is enough for the whole.
        let mixed = findings(|_, alerts, _| {
            alerts.push(alerts[0].clone());
            doubtful(alerts);
        });
        assert!(!mixed.likely_false);
    }

    #[test]
    fn what_people_said_of_the_like_counts_but_not_against_what_is_critical() {
        let raised = |closed: &[&str], severity: Severity| {
            findings(|_, alerts, retrieved| {
                alerts[0].verdict.false_positive = 50;
                alerts[0].severity = severity;
                retrieved.past = closed.iter().map(|closed| past(closed)).collect();
            })
            .false_positive
        };
        assert_eq!(raised(&["false_positive", "false_positive"], Severity::High), 70);
        assert_eq!(raised(&["false_positive"], Severity::High), 50);
        assert_eq!(raised(&["false_positive", "resolved"], Severity::High), 50);
        assert_eq!(raised(&["false_positive", "false_positive"], Severity::Critical), 50);
    }
}
