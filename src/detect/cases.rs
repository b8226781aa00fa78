//! A rule proves itself: its own examples, run through every path a text can take.

use std::sync::Arc;

use super::RuleSet;
use super::leak::{self, Known};
use super::problem::Problem;
use super::released::Released;
use super::rule::{Examples, Rule};
use super::whole::inspect_output_knowing as inspect;
use super::window::Flow;
use crate::types::{Action, Direction, Finding, SpanIndex};

/// How much of the beginning of a match is looked for in what was released.
const TELLING: usize = 16;

/// Rules tested on one copy of the rule set.
const AT_A_TIME: usize = 2;

/// Every case that does not hold.
pub(super) fn self_test(rules: &RuleSet) -> Vec<Problem> {
    let mut problems = Vec::new();
    let tried = |rule: usize| rules.classifier.is_some() || !rules.is_about_classifier(rule);
    let all: Vec<(usize, &Rule)> = rules.rules().iter().enumerate().filter(|(at, _)| tried(*at)).collect();
    for some in all.chunks(AT_A_TIME) {
        // A pattern that ran stays compiled. What these rules leave goes with the copy, not all of it at the very end.
        let copy = rules.clone();
        some.iter().for_each(|(at, rule)| test(&copy, *at, rule, &mut problems));
    }
    problems
}

/// The cases of one rule.
fn test(rules: &RuleSet, at: usize, rule: &Rule, problems: &mut Vec<Problem>) {
    if rules.watched().shows(at, "").is_some() {
        return over_time(rules, at, rule, problems);
    }
    let mut fails = |list: &str, nth: usize, message: String| {
        let path = format!("{}.examples.{list}[{nth}]", rule.id);
        problems.push(Problem { file: rule.file.to_string(), line: Some(rule.line), path, message });
    };
    for (nth, text) in rule.examples.positive.iter().enumerate() {
        for message in positive(rules, at, rule, text) {
            fails("positive", nth, message);
        }
    }
    for (nth, text) in rule.examples.negative.iter().enumerate() {
        for direction in [Direction::Input, Direction::Output] {
            if rule.directions.include(direction) && !found(rules, at, rule, text, direction).is_empty() {
                fails("negative", nth, format!("matches as {}", direction.name()));
            }
        }
    }
}

/// The cases of a rule about many requests.
fn over_time(rules: &RuleSet, at: usize, rule: &Rule, problems: &mut Vec<Problem>) {
    let Examples { positive, negative } = &rule.examples;
    for (list, cases, wanted, message) in
        [("positive", positive, true, "does not show it"), ("negative", negative, false, "shows it")]
    {
        let fails = |(_, case): &(usize, &String)| rules.watched().shows(at, case) != Some(wanted);
        for (nth, _) in cases.iter().enumerate().filter(fails) {
            let path = format!("{}.examples.{list}[{nth}]", rule.id);
            let file = rule.file.to_string();
            problems.push(Problem { file, line: Some(rule.line), path, message: message.to_owned() });
        }
    }
}

/// The rule's findings in `text`; of a conversation every line is a turn.
fn found(rules: &RuleSet, at: usize, rule: &Rule, text: &str, direction: Direction) -> Vec<Finding> {
    let mut findings = Vec::new();
    match direction {
        Direction::Input if rules.is_about_conversations(at) => {
            let turns: Vec<_> = text.lines().map(|line| (SpanIndex(0), rule.roles.any(), line)).collect();
            rules.scan_conversation(&turns, &mut findings);
        }
        Direction::Input => rules.scan(SpanIndex(0), rule.roles.any(), text, &mut findings),
        Direction::Output => {
            let (prompt, text) = answer(rules, at, text);
            findings = inspect(rules, prompt.as_ref(), SpanIndex(0), text, false).findings;
        }
    }
    findings.retain(|finding| finding.rule == rule.id);
    findings
}

/// The answer of an example, and the prompt it was made under where the rule compares them: `prompt >>> answer`.
fn answer<'t>(rules: &RuleSet, at: usize, text: &'t str) -> (Option<Arc<Known>>, &'t str) {
    if !rules.is_about_leaks(at) {
        return (None, text);
    }
    let (prompt, answer) = leak::example(text);
    (prompt.map(Arc::new), answer)
}

fn positive(rules: &RuleSet, at: usize, rule: &Rule, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if rule.directions.include(Direction::Input) && found(rules, at, rule, text, Direction::Input).is_empty() {
        wrong.push("does not match as input".to_owned());
    }
    if !rule.directions.include(Direction::Output) {
        return wrong;
    }
    let findings = found(rules, at, rule, text, Direction::Output);
    if findings.is_empty() {
        wrong.push("does not match as output".to_owned());
    }
    let (prompt, text) = answer(rules, at, text);
    let prompt = prompt.as_ref();
    for enforce in [false, true] {
        let whole = inspect(rules, prompt, SpanIndex(0), text, enforce);
        let parts = streamed(rules, prompt, text, enforce);
        let left = if whole.unchanged { text } else { &whole.text };
        if left != parts.text || whole.blocked != parts.blocked || whole.findings != parts.findings {
            wrong.push("is decided differently when it arrives character by character".to_owned());
        }
        let replaced = enforce && matches!(rule.action, Action::Redact | Action::Block);
        for finding in findings.iter().filter(|_| replaced) {
            let (start, end) = (finding.evidence.start as usize, finding.evidence.end as usize);
            let matched = text.get(start..end.min(start.saturating_add(TELLING))).unwrap_or_default();
            if !matched.is_empty() && parts.text.contains(matched) {
                wrong.push("a part of the match leaves".to_owned());
            }
        }
    }
    wrong
}

/// The same text, one character at a time.
fn streamed(rules: &RuleSet, prompt: Option<&Arc<Known>>, text: &str, enforce: bool) -> Released {
    let mut flow = Flow::new(SpanIndex(0), enforce).knowing(rules, prompt);
    let (mut all, mut out) = (Released::default(), Released::default());
    let mut buffer = [0; 4];
    for letter in text.chars() {
        let letter: &str = letter.encode_utf8(&mut buffer);
        flow.feed(rules, letter, &mut out);
        all.text.push_str(if out.unchanged { letter } else { &out.text });
        all.findings.append(&mut out.findings);
    }
    flow.finish(rules, &mut out);
    all.text.push_str(&out.text);
    all.findings.append(&mut out.findings);
    all.blocked = out.blocked;
    all
}
