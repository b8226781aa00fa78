//! A request judged with what is known of its caller and conversation, and what is remembered of it.

use super::caller::{Behaviour, Caller, Grade};
use super::conversation::Conversation;
use super::correlation::{By, Correlation};
use super::decay::Moment;
use super::example::{behaves, completes};
use super::log::{Entry, Log};
use super::print::Print;
use crate::detect::factors::{Circumstances, judge_in};
use crate::detect::{Problem, Rule, RuleSet, Thresholds, score};
use crate::types::{Action, Decision, Evidence, Finding, Role, SpanIndex, Trust, Verdict};

/// The rules of a rule set that are about more than one request, each with its position.
#[derive(Debug, Default)]
pub(in crate::detect) struct Watched {
    pub(in crate::detect) behaviours: Vec<(usize, Behaviour)>,
    pub(in crate::detect) correlations: Vec<(usize, Correlation)>,
}

impl Watched {
    /// A problem for every rule that is named and not there.
    pub(in crate::detect) fn dangling(&self, rules: &[Rule]) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (at, correlation) in &self.correlations {
            let Some(rule) = rules.get(*at) else { continue };
            for id in correlation.named.iter().filter(|id| !rules.iter().any(|rule| *rule.id.0 == ***id)) {
                let (path, message) = (format!("{}.events", rule.id), format!("no rule in force has the id {id}"));
                problems.push(Problem { file: rule.file.to_string(), line: Some(rule.line), path, message });
            }
        }
        problems
    }

    /// Whether a case shows what a rule looks for; `None` if it looks at single texts.
    pub(in crate::detect) fn shows(&self, rule: usize, case: &str) -> Option<bool> {
        let behaviour = self.behaviours.iter().find(|(at, _)| *at == rule).map(|(_, kind)| behaves(case, *kind));
        behaviour
            .or_else(|| self.correlations.iter().find(|(at, _)| *at == rule).map(|(_, rule)| completes(case, rule)))
    }
}

/// A request as its history sees it.
pub struct Asked<'a> {
    /// When.
    pub now: Moment,
    /// What its user says anew, if that says enough to be known again.
    pub print: Option<Print>,
    /// Where that stands: what is found about the caller is reported there.
    pub spoken: Evidence,
    /// A client library says that it sends it again by itself.
    pub is_retry: bool,
    /// Whose a span is, and whether it is new: not a turn that earlier requests had already.
    pub span: &'a dyn Fn(SpanIndex) -> (Role, bool),
}

/// What a request's own new words come to.
struct Fresh {
    entry: Entry,
    /// How much of an attack they are, 0 to 1.
    attack: f32,
    /// Where the heaviest finding is.
    place: Option<Evidence>,
}

/// The verdict on a request in the light of its caller and its conversation, both of which remember it.
pub fn judge_request(
    rules: &RuleSet,
    mut caller: Option<&mut Caller>,
    mut conversation: Option<&mut Conversation>,
    asked: &Asked<'_>,
    findings: Vec<Finding>,
    thresholds: &Thresholds,
) -> Verdict {
    let now = asked.now;
    let mut around = Circumstances { is_untrusted: is_untrusted(&findings, asked), ..Circumstances::default() };
    let fresh = Fresh::of(&findings, asked, thresholds);
    let known = caller.as_ref().is_some_and(|caller| caller.asked_before(now, asked.print.as_ref()));
    let is_retry = asked.is_retry && known;
    if let Some(caller) = &mut caller {
        let signs = caller.ask(now, asked.print.as_ref(), is_retry);
        around.history = caller.history(now);
        if !signs.is_quiet() {
            around.behaviour = behaviour(rules, |kind| signs.of(kind), asked.spoken);
        }
    }
    if let Some(conversation) = &conversation {
        around.conversation = conversation.score(now);
    }
    let mut fired = Vec::new();
    if !fresh.entry.is_empty() && !is_retry {
        if let Some(caller) = &mut caller {
            caller.log(fresh.entry);
        }
        if let Some(conversation) = &mut conversation {
            conversation.log.push(fresh.entry);
        }
        let logs = Logs::of(caller.as_deref(), conversation.as_deref(), now);
        around.correlated = logs.correlate(rules, &mut fired, |_| true, fresh.place.unwrap_or(asked.spoken));
    }
    let mut verdict = judge_in(findings, around, thresholds, rules.hash());
    let denied = verdict.decision == Decision::Block;
    if denied && !is_retry {
        if let Some(caller) = &mut caller {
            caller.deny(fresh.entry);
        }
        if let Some(conversation) = &mut conversation {
            deny(&mut conversation.log, fresh.entry);
        }
        let logs = Logs::of(caller.as_deref(), conversation.as_deref(), now);
        let place = fresh.place.unwrap_or(asked.spoken);
        let correlated = logs.correlate(rules, &mut fired, Correlation::is_about_denials, place);
        Circumstances { correlated, ..Circumstances::default() }.apply(&mut verdict, thresholds);
    }
    let grade = match (denied, fresh.attack > 0.0) {
        (true, _) => Grade::Denied,
        (false, true) => Grade::Found,
        (false, false) => Grade::Clean,
    };
    if let Some(caller) = caller {
        caller.close(now, asked.print.as_ref(), grade, fresh.attack, is_retry);
    }
    if let Some(conversation) = conversation {
        conversation.attacked(now, fresh.attack);
    }
    verdict
}

/// What was found in an answer is remembered of its caller, and told in the verdict where it completes a correlation.
pub fn judge_answer(rules: &RuleSet, caller: &mut Caller, now: Moment, verdict: &mut Verdict, denied: bool) {
    let Some(place) = verdict.findings.first().map(|finding| finding.evidence) else { return };
    let mut entry = Entry::of(now, verdict.findings.iter());
    entry.denied = denied;
    caller.answered(now, entry);
    let logs = Logs::of(Some(caller), None, now);
    let correlated = logs.correlate(rules, &mut Vec::new(), |_| true, place);
    if !correlated.is_empty() {
        verdict.decision = verdict.decision.max(Decision::Flag);
        verdict.findings.extend(correlated);
    }
}

impl Fresh {
    fn of(findings: &[Finding], asked: &Asked<'_>, thresholds: &Thresholds) -> Self {
        let is_fresh = |finding: &&Finding| {
            let (role, is_new) = (asked.span)(finding.evidence.span);
            is_new && role.trust() != Trust::Operator && is_event(finding, thresholds)
        };
        let mut all: Vec<&Finding> = findings.iter().filter(is_fresh).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        let (mut points, mut floor, mut counted) = (0.0, Action::Score, Vec::new());
        for finding in all.iter().filter(|finding| !finding.family.is_data()) {
            if !counted.contains(&&finding.rule) {
                counted.push(&finding.rule);
                points += finding.score;
                floor = floor.max(finding.action);
            }
        }
        let flagged = floor >= Action::Flag || points >= thresholds.flag_at as f32;
        let attack = if flagged { score::risk(points, floor, thresholds) } else { 0.0 };
        Self {
            entry: Entry::of(asked.now, all.iter().copied()),
            attack,
            place: all.first().map(|finding| finding.evidence),
        }
    }
}

/// Whether a finding says enough to be remembered: half of what is reported, and more than talk.
fn is_event(finding: &Finding, thresholds: &Thresholds) -> bool {
    let heavy = finding.action >= Action::Flag || finding.score * 2.0 >= thresholds.flag_at as f32;
    heavy && !finding.doubts.iter().any(|doubt| doubt.excuses())
}

/// Whether an attack stands where only data should: in what a tool or a document says.
fn is_untrusted(findings: &[Finding], asked: &Asked<'_>) -> bool {
    let mut attacks = findings.iter().filter(|finding| !finding.family.is_data());
    attacks.any(|finding| (asked.span)(finding.evidence.span).0.trust() == Trust::External)
}

/// The findings of the rules about behaviour, with points by how strong the sign is.
fn behaviour(rules: &RuleSet, strength: impl Fn(Behaviour) -> f32, place: Evidence) -> Vec<Finding> {
    let found = rules.watched().behaviours.iter().filter_map(|(rule, kind)| {
        let strength = strength(*kind);
        let finding = rules.finding(*rule, place).filter(|_| strength > 0.0)?;
        Some(Finding { score: finding.score * strength, ..finding })
    });
    found.collect()
}

/// What correlations look at.
struct Logs<'l> {
    caller: Option<&'l Log>,
    conversation: Option<&'l Log>,
}

impl<'l> Logs<'l> {
    fn of(caller: Option<&'l Caller>, conversation: Option<&'l Conversation>, now: Moment) -> Self {
        Self {
            caller: caller.filter(|caller| caller.is_one_of_few(now)).map(|caller| &caller.log),
            conversation: conversation.map(|conversation| &conversation.log),
        }
    }

    /// The correlations that the newest entries complete, but for those that `fired` already.
    fn correlate(
        &self,
        rules: &RuleSet,
        fired: &mut Vec<usize>,
        wanted: impl Fn(&Correlation) -> bool,
        place: Evidence,
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        for (rule, correlation) in &rules.watched().correlations {
            let log = match correlation.by() {
                By::Caller => self.caller,
                By::Conversation => self.conversation,
            };
            if !fired.contains(rule) && wanted(correlation) && log.is_some_and(|log| correlation.fires(log)) {
                fired.push(*rule);
                found.extend(rules.finding(*rule, place));
            }
        }
        found
    }
}

/// The newest entry was denied; if nothing was remembered of it, that is.
pub(super) fn deny(log: &mut Log, entry: Entry) {
    if entry.is_empty() {
        log.push(entry);
    }
    log.deny();
}
