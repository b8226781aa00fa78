//! gitleaks: `[[rules]]` with `regex`, `keywords`, `entropy` and allowlists, in TOML.

use toml::{Table, Value};

use super::draft::Draft;
use super::{Found, strings};
use crate::detect::Directions;
use crate::types::{Family, Severity};

/// What a rule may have that is read here or means nothing for a prompt.
const KNOWN: [&str; 10] =
    ["id", "description", "regex", "keywords", "entropy", "secretGroup", "path", "tags", "allowlist", "allowlists"];

/// The rules of a file.
///
/// # Errors
/// When the file is not TOML, or holds no rules.
pub(super) fn read(text: &str) -> Result<Vec<Found>, String> {
    let file: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let rules = file.get("rules").and_then(Value::as_array).ok_or("it has no [[rules]]")?;
    let mut found: Vec<Found> = rules.iter().enumerate().map(|(nth, rule)| one(nth, rule)).collect();
    for key in file.keys().filter(|key| !matches!(key.as_str(), "rules" | "title" | "description" | "minVersion")) {
        found.push(Err((format!("[{key}]"), "what holds for the whole file is not taken over".into())));
    }
    Ok(found)
}

fn one(nth: usize, rule: &Value) -> Found {
    let text = |key: &str| rule.get(key).and_then(Value::as_str);
    let name = text("id").map_or_else(|| format!("rule {}", nth + 1), str::to_owned);
    let Some(regex) = text("regex").filter(|regex| !regex.is_empty()) else {
        return Err((name, "it looks at paths of files only".into()));
    };
    let mut draft = Draft::new(name, Family::Secrets);
    if let Some(description) = text("description") {
        draft.title = description.trim().trim_end_matches('.').to_owned();
    }
    draft.gain = "Whoever reads the text can use the credential in it.".into();
    draft.severity = Severity::High;
    draft.directions = Directions::Both;
    draft.keywords = strings(rule.get("keywords").and_then(Value::as_array).into_iter().flatten().map(Value::as_str));
    draft.selections.push(("sel_main".into(), vec![regex.to_owned()]));
    draft.entropy =
        rule.get("entropy").and_then(|bits| bits.as_float().or_else(|| bits.as_integer().map(|n| n as f64)));
    draft.references.insert("owasp_llm", vec!["LLM02:2025".into()]);
    if rule.get("secretGroup").is_some() {
        draft.notes.push("secretGroup: the whole match is reported".into());
    }
    if text("path").is_some() {
        draft.notes.push("path: a prompt has none, so the rule holds everywhere".into());
    }
    for key in rule.as_table().into_iter().flat_map(Table::keys).filter(|key| !KNOWN.contains(&key.as_str())) {
        draft.notes.push(format!("{key}: is not known here"));
    }
    let lists = rule.get("allowlists").and_then(Value::as_array).into_iter().flatten();
    for list in lists.chain(rule.get("allowlist")) {
        allowlist(list, &mut draft);
    }
    Ok(draft)
}

/// What a list lets pass is what `not_*` matches, where it looks at the match itself.
fn allowlist(list: &Value, draft: &mut Draft) {
    let of = |key: &str| strings(list.get(key).and_then(Value::as_array).into_iter().flatten().map(Value::as_str));
    for key in ["paths", "commits"] {
        if !of(key).is_empty() {
            draft.notes.push(format!("allowlist: {key}"));
        }
    }
    let (regexes, words) = (of("regexes"), of("stopwords"));
    let both = list.get("condition").and_then(Value::as_str).is_some_and(|word| word.eq_ignore_ascii_case("and"));
    let target = list.get("regexTarget").and_then(Value::as_str).unwrap_or("secret");
    if both || (target == "line" && !regexes.is_empty()) {
        draft.notes.push("allowlist: one that joins its parts by AND, or looks at the line".into());
        return;
    }
    if regexes.is_empty() && words.is_empty() {
        return;
    }
    let stop = words.iter().map(|word| format!("(?i){}", regex_syntax::escape(word)));
    let mut patterns: Vec<String> = stop.collect();
    for regex in regexes {
        if regex.contains('^') || regex.contains('$') {
            draft.notes.push(format!("allowlist: `{regex}`, which is anchored to the secret"));
        } else {
            patterns.push(regex);
        }
    }
    if patterns.is_empty() {
        return;
    }
    draft.notes.push("allowlist: in a prompt what it names lets the whole text pass, not the match alone".into());
    match draft.selections.iter_mut().find(|(name, _)| name == "not_allowed") {
        Some((_, known)) => known.extend(patterns),
        None => draft.selections.push(("not_allowed".into(), patterns)),
    }
}
