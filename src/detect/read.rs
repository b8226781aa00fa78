//! One span of a prompt against everything: the rules on each of its readings, the classifier, and what a disguise says.

use std::sync::Arc;

use super::classify::Opinion;
use super::normalize::{self, Budget, Disguise, View};
use super::probe::Probe;
use super::rule::{Roles, Rule};
use super::{RuleSet, doubt};
use crate::types::learn::Stage;
use crate::types::{Action, Doubt, Evidence, Family, Finding, Role, SpanIndex};

/// Points of the classifier that are worth a word.
const WORTH: f32 = 1.0;

/// Points of the classifier that make a reading an attack.
const ATTACK: f32 = 4.0;

/// What is read of a conversation: bytes of all turns, the last ones first, and of each.
const CONVERSATION: usize = 6 << 10;
const TURN: usize = 800;

/// Matches of a rule that are looked at for one that is meant: a text that only talks this often is taken at its word.
const MENTIONS: usize = 32;

/// Turns of a user that make a conversation.
const TURNS: usize = 2;

/// A rule that reports a built-in detector of the readings as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// Its position among all rules.
    pub(super) rule: usize,
    pub(super) roles: Roles,
    pub(super) probe: Probe,
}

/// A rule's match in the original text, with the points it adds if not the rule's own.
#[derive(Debug)]
struct Hit {
    rule: usize,
    start: usize,
    end: usize,
    points: Option<f32>,
    /// What it is, if not what the rule says.
    family: Option<Family>,
    /// Counts in full, whatever is around it.
    is_meant: bool,
}

impl RuleSet {
    /// Appends what the rules find in a text as it stands: no other reading, no classifier.
    pub fn scan_as_written(&self, span: SpanIndex, role: Role, text: &str, out: &mut Vec<Finding>) {
        for (rule, start, end) in self.input.scan(text.as_bytes(), role) {
            let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            out.extend(self.finding(rule, Evidence { span, start: short(start), end: short(end) }));
        }
    }

    /// Appends what is found in one span of a prompt. Evidence counts bytes of `text`. A rule that redacts gives a
    /// finding per match, any other at most one.
    pub fn scan(&self, span: SpanIndex, role: Role, text: &str, out: &mut Vec<Finding>) {
        let plain = |(rule, start, end): (usize, usize, usize)| Hit {
            rule,
            start,
            end,
            points: None,
            family: None,
            is_meant: false,
        };
        let mut hits: Vec<Hit> = self.input.scan(text.as_bytes(), role).into_iter().map(plain).collect();
        let (folded, views) = normalize::readings(text, &Budget::default());
        let mut opinion = self.opinion(role, folded.as_ref().map_or(text, |view| &view.text));
        if let (Some(opinion), Some(view)) = (&mut opinion, &folded) {
            let (start, end) = view.original(opinion.place.start, opinion.place.end);
            opinion.place = start..end;
        }
        let mut disguised = None;
        for view in folded.iter().chain(&views.views) {
            let before = hits.len();
            for (rule, start, end) in self.input.scan(view.text.as_bytes(), role) {
                let (start, end) = view.original(start, end);
                let known = |hit: &Hit| {
                    hit.rule == rule
                        && (hit.start < end && start < hit.end || self.rules.get(rule).is_some_and(reports_once))
                };
                if !hits.iter().any(known) {
                    hits.push(Hit { rule, start, end, points: None, family: None, is_meant: false });
                }
            }
            if !is_disguised(view) {
                continue;
            }
            let grave = |hit: &Hit| {
                // What is on trial shows nothing to others.
                let rule = self.rules.get(hit.rule).filter(|rule| rule.stage == Stage::Live);
                matches!(rule.map(|rule| rule.action), Some(Action::Flag | Action::Block))
            };
            let new = hits.get(before..).unwrap_or_default().iter().find(|hit| grave(hit));
            disguised = disguised.or(new.map(|hit| hit.start..hit.end));
            let Some(read) = self.opinion(role, &view.text) else { continue };
            let clear = opinion.as_ref().map_or(0.0, |opinion| opinion.points);
            if read.points > clear {
                let (start, end) = view.original(read.place.start, read.place.end);
                if read.points >= ATTACK && clear < ATTACK {
                    disguised = disguised.or(Some(start..end));
                }
                opinion = Some(Opinion { place: start..end, ..read });
            }
        }
        for report in self.reports.iter().filter(|report| report.roles.contains(role)) {
            let at = match report.probe {
                Probe::Hidden => views.hidden.clone().map(|place| (place, None, None)),
                Probe::Disguise => disguised.clone().map(|place| (place, None, None)),
                Probe::Classifier => {
                    let worth = opinion.as_ref().filter(|opinion| opinion.points >= WORTH);
                    worth.map(|own| (own.place.clone(), Some(own.points), own.family.map(|kind| of_role(kind, role))))
                }
                Probe::Web(_) | Probe::Learned | Probe::Conversation | Probe::SystemPrompt | Probe::Behaviour(_) => {
                    None
                }
            };
            hits.extend(at.map(|(place, points, family)| Hit {
                rule: report.rule,
                start: place.start,
                end: place.end,
                points,
                family,
                is_meant: false,
            }));
        }
        let views: Vec<&View> = folded.iter().chain(&views.views).collect();
        self.find_meant(text, role, &views, &mut hits);
        for Hit { rule, start, end, points, family, is_meant } in hits {
            let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let evidence = Evidence { span, start: short(start), end: short(end) };
            out.extend(self.finding(rule, evidence).map(|finding| Finding {
                score: points.unwrap_or(finding.score),
                family: family.unwrap_or(finding.family),
                doubts: match points {
                    // Nobody is accused of anything yet.
                    Some(points) if points < ATTACK => Vec::new(),
                    // The classifier has read the words around.
                    Some(_) => without(|doubt| doubt == Doubt::Forbidden, doubt::about(text, start, end)),
                    None => without(|doubt| is_meant && doubt.excuses(), doubt::about(text, start, end)),
                },
                ..finding
            }));
        }
    }

    /// Moves hits that count for less because of the words around them to a place where their rule matches without: who
    /// first talks of an attack has not excused the one that follows.
    fn find_meant(&self, text: &str, role: Role, views: &[&View], hits: &mut [Hit]) {
        let excused = |start, end| doubt::about(text, start, end).iter().any(|doubt| doubt.excuses());
        let is_excused = |hit: &&mut Hit| {
            hit.points.is_none()
                && self.rules.get(hit.rule).is_some_and(|rule| reports_once(rule) && !rule.family.is_data())
                && excused(hit.start, hit.end)
        };
        let mut talked: Vec<&mut Hit> = hits.iter_mut().filter(is_excused).collect();
        if talked.is_empty() {
            return;
        }
        let rules: Vec<usize> = talked.iter().map(|hit| hit.rule).collect();
        let mut places = self.input.scan_every(text.as_bytes(), role, |rule| rules.contains(&rule));
        for view in views {
            let found = self.input.scan_every(view.text.as_bytes(), role, |rule| rules.contains(&rule));
            places.extend(found.into_iter().map(|(rule, start, end)| {
                let (start, end) = view.original(start, end);
                (rule, start, end)
            }));
        }
        for hit in &mut talked {
            let own = || places.iter().filter(|(rule, _, _)| *rule == hit.rule);
            if let Some((_, start, end)) = own().take(MENTIONS).find(|(_, start, end)| !excused(*start, *end)) {
                (hit.start, hit.end) = (*start, *end);
            }
            hit.is_meant = own().nth(MENTIONS).is_some();
        }
    }

    /// Appends every place of a text that holds something personal or secret, or that a rule redacts: each match of each
    /// such rule, whatever it reports otherwise. For masking what is kept: nothing is weighed, and no classifier asked.
    /// Evidence counts bytes of `text`.
    pub fn scan_private(&self, span: SpanIndex, role: Role, text: &str, out: &mut Vec<Finding>) {
        let is_private = |rule: &Rule| rule.family.is_data() || rule.action == Action::Redact;
        let wanted = |rule: usize| self.rules.get(rule).is_some_and(is_private);
        let mut hits = self.input.scan_every(text.as_bytes(), role, wanted);
        let (folded, views) = normalize::readings(text, &Budget::default());
        for view in folded.iter().chain(&views.views) {
            let found = self.input.scan_every(view.text.as_bytes(), role, wanted);
            hits.extend(found.into_iter().map(|(rule, start, end)| {
                let (start, end) = view.original(start, end);
                (rule, start, end)
            }));
        }
        hits.sort_unstable();
        hits.dedup();
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let found = hits.into_iter().filter_map(|(rule, start, end)| {
            self.finding(rule, Evidence { span, start: short(start), end: short(end) })
        });
        out.extend(found);
    }

    /// Appends what is found in the texts of a prompt, one by one and as a conversation.
    pub fn scan_all(&self, texts: &[(SpanIndex, Role, &str)], out: &mut Vec<Finding>) {
        for (span, role, text) in texts {
            self.scan(*span, *role, text, out);
        }
        self.scan_conversation(texts, out);
    }

    /// Appends what is found in the turns of a conversation together: an attack that no single one of them is. The
    /// evidence is the last turn of the user. Texts of other roles are passed over.
    pub fn scan_conversation(&self, turns: &[(SpanIndex, Role, &str)], out: &mut Vec<Finding>) {
        let is_user = |(_, role, _): &&(SpanIndex, Role, &str)| *role == Role::User;
        let Some(report) = self.reports.iter().find(|report| report.probe == Probe::Conversation) else { return };
        let Some(classifier) = &self.classifier else { return };
        let Some((span, role, text)) = turns.iter().rev().find(is_user) else { return };
        if turns.iter().filter(is_user).count() < TURNS || !report.roles.contains(*role) {
            return;
        }
        let Some(opinion) = classifier.judge(&together(turns)) else { return };
        if opinion.points >= WORTH {
            let evidence = Evidence { span: *span, start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
            out.extend(self.finding(report.rule, evidence).map(|finding| Finding { score: opinion.points, ..finding }));
        }
    }

    /// Whether a rule looks at conversations, not at single texts.
    pub(super) fn is_about_conversations(&self, rule: usize) -> bool {
        self.reports.iter().any(|report| report.rule == rule && report.probe == Probe::Conversation)
    }

    /// Whether a rule compares answers with the prompt they were made under.
    pub(super) fn is_about_leaks(&self, rule: usize) -> bool {
        self.reports.iter().any(|report| report.rule == rule && report.probe == Probe::SystemPrompt)
    }

    /// Whether a rule says nothing without a classifier.
    pub(super) fn is_about_classifier(&self, rule: usize) -> bool {
        let asks = |probe: Probe| matches!(probe, Probe::Classifier | Probe::Conversation | Probe::Disguise);
        self.reports.iter().any(|report| report.rule == rule && asks(report.probe))
    }

    /// Points of the classifier for a text, however few; `None` without a classifier.
    pub fn suspicion(&self, text: &str) -> Option<f32> {
        let folded = normalize::folded(text);
        let text = folded.as_ref().map_or(text, |view| view.text.as_str());
        let classifier = self.classifier.as_ref()?;
        Some(classifier.judge(text).map_or(0.0, |opinion| opinion.points))
    }

    /// What the classifier thinks of a text, where its rule looks at the role.
    fn opinion(&self, role: Role, text: &str) -> Option<Opinion> {
        let wanted = |report: &Report| report.probe == Probe::Classifier && report.roles.contains(role);
        let classifier = self.classifier.as_ref().filter(|_| self.reports.iter().any(wanted))?;
        classifier.judge(text)
    }

    pub(super) fn finding(&self, rule: usize, evidence: Evidence) -> Option<Finding> {
        let rule = self.rules.get(rule)?;
        Some(Finding {
            rule: rule.id.clone(),
            title: Arc::clone(&rule.title),
            family: rule.family,
            severity: rule.severity,
            score: f32::from(rule.score),
            action: rule.action,
            threats: Arc::clone(&rule.threats),
            evidence,
            doubts: Vec::new(),
        })
    }
}

/// What a kind of attack is where it stands: an order in what a tool returned was planted there.
const fn of_role(kind: Family, role: Role) -> Family {
    match (kind, role) {
        (Family::PromptInjection, Role::Tool) => Family::IndirectInjection,
        (kind, _) => kind,
    }
}

/// The beginnings of the last turns of user and model, a line each.
fn together(turns: &[(SpanIndex, Role, &str)]) -> String {
    let said = turns.iter().rev().filter(|(_, role, _)| matches!(role, Role::User | Role::Assistant));
    let mut kept = Vec::new();
    let mut left = CONVERSATION;
    for (_, _, text) in said {
        let most = text.len().min(TURN).min(left);
        let end = text.floor_char_boundary(most);
        kept.push(text.get(..end).unwrap_or_default());
        left -= end;
        if left == 0 {
            break;
        }
    }
    kept.reverse();
    kept.join("\n")
}

/// Whether somebody took trouble to hide what this reading shows.
fn is_disguised(view: &View) -> bool {
    view.disguises.iter().any(|disguise| !matches!(disguise, Disguise::Folded | Disguise::Markup | Disguise::Typos))
}

fn without(which: impl Fn(Doubt) -> bool, doubts: Vec<Doubt>) -> Vec<Doubt> {
    doubts.into_iter().filter(|doubt| !which(*doubt)).collect()
}

fn reports_once(rule: &Rule) -> bool {
    rule.action != Action::Redact
}
