//! Whether a plan may be carried out, and how many people have to say so. What fails is never run.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::forbidden;
use super::guard::{Guardrails, harmless, lasts, network};
use super::say;
use super::support::{Evidence, Grounded, Scored};
use crate::types::Subject;
use crate::types::soc::{PlanBody, RemedyAction, Step};

/// Problems that are told of one plan.
const MAX_PROBLEMS: usize = 64;
/// Bytes of a target's name.
const MAX_NAME: usize = 256;
/// How far the groundedness a plan states may be from what it is.
const STATED_WITHIN: f32 = 0.005;

/// What a plan is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The subjects that the incident's evidence names; `None` for a plan that a person proposed without an incident.
    pub subjects: Option<&'a [Subject]>,
    /// What can be cited.
    pub evidence: &'a Evidence,
    /// What a model says of the claims.
    pub scored: &'a Scored,
    /// The channels that can be notified.
    pub channels: &'a [Arc<str>],
    /// People who must approve at least, by the playbooks that it follows.
    pub approvals: u8,
    /// Whether a person proposed it: it may claim nothing, but what it claims must be supported.
    pub by_person: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether it may be carried out, once approved.
    pub ok: bool,
    /// Why not.
    pub problems: Vec<String>,
    /// The share of claims that are supported, 0 to 1.
    pub groundedness: f32,
    /// The claims that are not, with the reason.
    pub unsupported: Vec<String>,
    /// By what that was measured: `words`, or `cross_encoder` for a model that read each claim with its evidence.
    #[serde(default)]
    pub measure: Arc<str>,
    /// What the model said of each claim, 0 to 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scores: Vec<f32>,
    /// Why words were counted although there is a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure_problem: Option<String>,
    /// How many people have to approve.
    pub needed: u8,
    /// Why so many.
    pub why: Vec<String>,
}

/// Looks whether a plan may be carried out.
pub fn verify(body: &PlanBody, guard: &Guardrails, known: &Known<'_>) -> Verified {
    let mut problems = Vec::new();
    if body.steps.is_empty() {
        problems.push("it has no steps".to_owned());
    }
    if body.steps.len() > guard.most_steps {
        problems.push(format!("it has {} steps, at most {}", body.steps.len(), guard.most_steps));
    }
    if body.false_positive > 100 {
        problems.push("its likelihood of a false alarm is above 100 percent".to_owned());
    }
    let mut seen = BTreeSet::new();
    for (number, step) in (1..).zip(&body.steps) {
        let told = of_step(step, guard, known)
            .into_iter()
            .map(|problem| format!("step {number} ({}): {problem}", step.action.name()));
        problems.extend(told);
        let same = (step.action.name(), step.target.as_ref().map(super::subjects::key), channel(&step.action));
        if !seen.insert(same) {
            problems.push(format!("step {number} ({}): is there twice", step.action.name()));
        }
    }
    texts(body, guard, &mut problems);
    let grounded = grounded(body, guard, known, &mut problems);
    problems.truncate(MAX_PROBLEMS);
    let (needed, why) = needed(body, guard, known);
    Verified {
        ok: problems.is_empty(),
        problems,
        groundedness: grounded.score,
        unsupported: grounded.unsupported,
        measure: known.scored.measure().into(),
        scores: known.scored.scores.clone(),
        measure_problem: known.scored.problem.clone(),
        needed,
        why,
    }
}

fn channel(action: &RemedyAction) -> Option<&str> {
    if let RemedyAction::Notify { channel } = action { Some(channel) } else { None }
}

/// What is wrong with a step.
fn of_step(step: &Step, guard: &Guardrails, known: &Known<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let name = step.action.name();
    if !guard.allowed.contains(name) {
        problems.push("is not among the allowed actions".to_owned());
    }
    if step.reversible != step.action.reversible() {
        problems.push("says wrongly whether it can be undone".to_owned());
    }
    match &step.action {
        RemedyAction::RateLimit { requests: 0, .. } | RemedyAction::RateLimit { seconds: 0, .. } => {
            problems.push("limits to nothing: block instead".to_owned());
        }
        RemedyAction::Notify { channel } if !known.channels.contains(channel) => {
            problems.push("notifies a channel that does not exist".to_owned());
        }
        _ => {}
    }
    match (&step.target, harmless(&step.action)) {
        (None, true) => {}
        (Some(_), true) => problems.push("is done to nobody, but names a target".to_owned()),
        (None, false) => problems.push("names no target".to_owned()),
        (Some(target), false) => of_target(target, &step.action, guard, known, &mut problems),
    }
    match (step.lasts, lasts(&step.action)) {
        (Some(_), false) => problems.push("has no duration, but names one".to_owned()),
        (Some(0), true) => problems.push("lasts no time".to_owned()),
        (Some(seconds), true) if seconds > guard.longest(&step.action) => {
            let longest = say::lasting(guard.longest(&step.action));
            problems.push(format!("lasts {}, at most {longest}", say::lasting(seconds)));
        }
        (None, true) if !guard.permanent => {
            problems.push("has no end, and permanent measures are not allowed".to_owned())
        }
        (Some(_) | None, _) => {}
    }
    if !harmless(&step.action) {
        problems.extend(guard.blast.exceeded(&step.blast));
    }
    problems
}

/// What is wrong with whom a step is about.
fn of_target(
    target: &Subject,
    action: &RemedyAction,
    guard: &Guardrails,
    known: &Known<'_>,
    problems: &mut Vec<String>,
) {
    let fits = match action {
        RemedyAction::BlockAddress => matches!(target, Subject::Network { .. }),
        RemedyAction::TerminateSession => matches!(target, Subject::Session { .. }),
        RemedyAction::SuspendUser => matches!(target, Subject::User { .. }),
        RemedyAction::RevokeKey => matches!(target, Subject::Key { .. }),
        RemedyAction::IsolateAgent => matches!(target, Subject::Agent { .. }),
        RemedyAction::RateLimit { .. } | RemedyAction::TightenPolicy => true,
        RemedyAction::Monitor | RemedyAction::Notify { .. } => false,
    };
    let kind = say::subject(target);
    if !fits {
        problems.push(format!("cannot be done to a {kind}"));
    }
    if guard.protected.holds(target) {
        problems.push(format!("its target, a {kind}, is protected or holds what is"));
    }
    match target {
        Subject::Network { address, prefix } => match network(*address, *prefix) {
            None => problems.push("its target is no network".to_owned()),
            Some(network) => {
                let widest = if network.addr().is_ipv4() { guard.widest_v4 } else { guard.widest_v6 };
                if network.prefix_len() < widest {
                    problems.push(format!("is as wide as /{}, at most /{widest}", network.prefix_len()));
                }
            }
        },
        Subject::Tenant { name }
        | Subject::Team { name }
        | Subject::User { name }
        | Subject::Key { name }
        | Subject::Session { name }
        | Subject::Agent { name } => {
            if name.trim().is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                problems.push("its target has no sound name".to_owned());
            }
        }
    }
    if known.subjects.is_some_and(|subjects| !subjects.iter().any(|own| same(own, target))) {
        problems.push(format!("its target, a {kind}, is no caller of this incident"));
    }
}

/// Whether the evidence names this target: the same, or a network around or within one of its own.
fn same(own: &Subject, target: &Subject) -> bool {
    match (own, target) {
        (Subject::Network { address, prefix }, Subject::Network { address: wanted, prefix: width }) => {
            match (network(*address, *prefix), network(*wanted, *width)) {
                (Some(own), Some(wanted)) => own.contains(&wanted) || wanted.contains(&own),
                _ => false,
            }
        }
        (own, target) => own == target,
    }
}

/// What people read, and what goes into orders and messages.
fn texts(body: &PlanBody, guard: &Guardrails, problems: &mut Vec<String>) {
    let mut look = |text: &str, what: String| {
        if let Some(problem) = forbidden::problem(text, &guard.forbidden, guard.max_text) {
            problems.push(format!("{what} {problem}"));
        }
    };
    look(&body.summary, "its summary".to_owned());
    for (number, step) in (1..).zip(&body.steps) {
        look(&step.reason, format!("the reason of step {number}"));
    }
    for (number, claim) in (1..).zip(&body.claims) {
        look(&claim.text, format!("claim {number}"));
    }
}

fn grounded(body: &PlanBody, guard: &Guardrails, known: &Known<'_>, problems: &mut Vec<String>) -> Grounded {
    let mut grounded = known.evidence.grounds(&body.claims, guard.overlap, known.scored);
    if known.by_person && body.claims.is_empty() {
        grounded.score = 1.0;
        return grounded;
    }
    if grounded.score < guard.groundedness {
        problems.push(format!(
            "{:.0} percent of its claims are supported, at least {:.0}",
            grounded.score * 100.0,
            guard.groundedness * 100.0
        ));
    }
    for id in grounded.unknown.iter().take(MAX_PROBLEMS) {
        // The id may be a model's invention: it is shown only if it is plain.
        let plain = id.len() <= 80 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-/#.".contains(&byte));
        problems.push(format!("it cites {}, which does not exist", if plain { id } else { "something" }));
    }
    if (body.groundedness - grounded.score).abs() > STATED_WITHIN || !body.groundedness.is_finite() {
        problems.push("it states another groundedness than it has".to_owned());
    }
    grounded
}

/// How many people have to approve: as many as the step that needs most, and as the playbooks ask for.
fn needed(body: &PlanBody, guard: &Guardrails, known: &Known<'_>) -> (u8, Vec<String>) {
    let mut needed = 0;
    let mut why = Vec::new();
    for (number, step) in (1..).zip(&body.steps).take(MAX_PROBLEMS) {
        let (people, reason) = guard.approvals(step, body.severity, body.false_positive);
        needed = people.max(needed);
        why.push(format!("step {number}: {people}: {reason}"));
    }
    let acts = body.steps.iter().any(|step| !harmless(&step.action));
    if acts && known.approvals > needed {
        needed = known.approvals.min(2);
        why.push(format!("a playbook that it follows asks for {needed}"));
    }
    (needed, why)
}

#[cfg(test)]
mod tests;
