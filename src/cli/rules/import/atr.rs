//! Agent threat rules: `detection.conditions` over what is said to a model or by it, `test_cases`, `references`.

use serde_json::Value;

use super::draft::Draft;
use super::sigma::{list, severity};
use super::{Found, documents, draft, name};
use crate::detect::Directions;
use crate::types::Family;

/// Fields that hold what is said to a model, what a tool returns included.
const PROMPTS: [&str; 12] = [
    "user_input",
    "input",
    "prompt",
    "content",
    "text",
    "message",
    "context",
    "tool_response",
    "tool_output",
    "tool_result",
    "document",
    "agent_message",
];
/// Fields that hold what a model says.
const ANSWERS: [&str; 6] = ["agent_output", "output", "response", "completion", "model_output", "llm_output"];

/// The rules of a file, one per document.
///
/// # Errors
/// When a document is not YAML.
pub(super) fn read(text: &str) -> Result<Vec<Found>, String> {
    Ok(documents(text)?.iter().enumerate().map(|(nth, document)| one(nth, document)).collect())
}

fn one(nth: usize, rule: &Value) -> Found {
    let text = |key: &str| rule.get(key).and_then(Value::as_str);
    let name = name(nth, rule);
    let told = |reason: String| (name.clone(), reason);
    let at = |path: &str| rule.pointer(path);
    let category = at("/tags/category").and_then(Value::as_str).unwrap_or_default();
    let subcategory = at("/tags/subcategory").and_then(Value::as_str).unwrap_or_default();
    let mut draft = draft(&name, family(category, subcategory), rule);
    draft.severity = severity(text("severity"));
    for catalogue in ["owasp_llm", "owasp_agentic", "mitre_atlas", "mitre_attack"] {
        let ids = list(at(&format!("/references/{catalogue}")));
        // Some carry their title behind the id.
        let ids =
            ids.iter().filter_map(|id| id.split_whitespace().next()).map(|id| id.trim_end_matches(',').to_owned());
        let ids: Vec<String> = ids.collect();
        if !ids.is_empty() {
            draft.references.insert(catalogue, ids);
        }
    }
    let method = at("/detection/method").and_then(Value::as_str).unwrap_or("pattern");
    if method != "pattern" {
        return Err(told(format!("its method is `{method}`, not patterns on a text")));
    }
    draft.false_positives = list(at("/detection/false_positives"));
    conditions(rule, &mut draft).map_err(told)?;
    draft.positive = cases(at("/test_cases/true_positives"));
    draft.negative = cases(at("/test_cases/true_negatives"));
    if at("/response/actions").is_some() {
        draft.notes.push("response: an imported rule is reported, no more".into());
    }
    if rule.get("evasion_tests").or(at("/test_cases/evasion_tests")).is_some() {
        draft.notes.push("evasion_tests".into());
    }
    Ok(draft)
}

fn family(category: &str, subcategory: &str) -> Family {
    match category {
        _ if subcategory.contains("jailbreak") => Family::Jailbreak,
        _ if subcategory.contains("indirect") => Family::IndirectInjection,
        "tool-poisoning" | "data-poisoning" | "skill-compromise" => Family::IndirectInjection,
        "context-exfiltration" => Family::DataExfiltration,
        "privilege-escalation" | "excessive-autonomy" => Family::SystemManipulation,
        "model-abuse" | "model-security" => Family::Jailbreak,
        _ => Family::PromptInjection,
    }
}

/// The texts of test cases: strings, or objects with an `input`.
fn cases(value: Option<&Value>) -> Vec<String> {
    let text = |case: &Value| {
        let inner = ["input", "text", "prompt", "content", "tool_response", "agent_output"];
        let inner = inner.iter().find_map(|key| case.get(key)).unwrap_or(case);
        inner.as_str().map(str::to_owned)
    };
    value.and_then(Value::as_array).into_iter().flatten().filter_map(text).collect()
}

fn conditions(rule: &Value, draft: &mut Draft) -> Result<(), String> {
    let conditions = rule.pointer("/detection/conditions").ok_or("it has no conditions")?;
    let named: Vec<(String, &Value)> = match conditions {
        Value::Array(all) => all.iter().enumerate().map(|(nth, one)| (format!("c{}", nth + 1), one)).collect(),
        Value::Object(all) => all.iter().map(|(name, one)| (name.clone(), one)).collect(),
        _ => return Err("its conditions are neither a list nor named".into()),
    };
    let (mut prompts, mut answers) = (false, false);
    let mut names = Vec::new();
    for (name, condition) in &named {
        let field = condition.get("field").and_then(Value::as_str).unwrap_or("content");
        let last = field.rsplit('.').next().unwrap_or(field);
        match last {
            _ if PROMPTS.contains(&last) => prompts = true,
            _ if ANSWERS.contains(&last) => answers = true,
            other => return Err(format!("field `{other}` is neither part of a prompt nor of an answer")),
        }
        let texts = ["value", "patterns", "values"].iter().find_map(|key| condition.get(key));
        let texts: Vec<String> = match texts {
            Some(Value::Array(texts)) => texts
                .iter()
                .filter_map(|text| text.as_str().or_else(|| text.get("pattern").and_then(Value::as_str)))
                .map(str::to_owned)
                .collect(),
            other => list(other),
        };
        if texts.is_empty() {
            return Err(format!("condition `{name}` has no text or pattern"));
        }
        let way = ["operator", "match_type"].iter().find_map(|key| condition.get(key)).and_then(Value::as_str);
        let patterns: Vec<String> = match way.unwrap_or("regex") {
            "regex" | "matches" => texts,
            "contains" => texts.iter().map(|text| format!("(?i){}", regex_syntax::escape(text))).collect(),
            "exact" | "equals" => texts.iter().map(|text| format!("^{}$", regex_syntax::escape(text))).collect(),
            other => return Err(format!("operator `{other}` has no counterpart")),
        };
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        names.push((name.clone(), format!("sel_{plain}")));
        draft.selections.push((format!("sel_{plain}"), patterns));
    }
    draft.directions = match (prompts, answers) {
        (true, true) => {
            draft.notes.push("fields of prompts and answers in one rule: both are looked at by all of it".into());
            Directions::Both
        }
        (false, true) => Directions::Output,
        (_, false) => Directions::Input,
    };
    let ours = || names.iter().map(|(_, ours)| ours.as_str()).collect::<Vec<_>>();
    let written = rule.pointer("/detection/condition").and_then(Value::as_str).unwrap_or("any");
    draft.condition = Some(match written.trim() {
        "any" | "or" => ours().join(" or "),
        "all" | "and" => ours().join(" and "),
        expression => {
            let spaced = expression.replace('(', " ( ").replace(')', " ) ");
            let word = |word: &str| {
                let lower = word.to_ascii_lowercase();
                if matches!(lower.as_str(), "and" | "or" | "not" | "(" | ")") {
                    return Ok(lower);
                }
                let known = names.iter().find(|(theirs, _)| theirs == word).map(|(_, ours)| ours.clone());
                known.ok_or_else(|| format!("its condition names `{word}`, which nothing is"))
            };
            let words: Result<Vec<String>, String> = spaced.split_whitespace().map(word).collect();
            words?.join(" ")
        }
    });
    Ok(())
}
