//! Sigma: `detection` with keyword lists, selections over fields that hold a text, and a `condition`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Found, documents, draft, name, strings};
use crate::types::{Family, Severity};

/// Fields that hold what is said to a model. A request has no others.
const TEXTS: [&str; 14] = [
    "prompt",
    "text",
    "message",
    "messages",
    "content",
    "input",
    "query",
    "body",
    "user_input",
    "user_prompt",
    "cs-uri-query",
    "c-uri-query",
    "request_body",
    "keyword",
];
/// What a `*` of Sigma may stand for at most.
const GAP: &str = ".{0,100}";
/// Most selections of one rule.
const MOST: usize = 64;

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
    let mut draft = draft(&name, Family::MaliciousInput, rule);
    draft.severity = severity(text("level"));
    draft.false_positives = list(rule.get("falsepositives"));
    let attack =
        list(rule.get("tags")).into_iter().filter_map(|tag| tag.strip_prefix("attack.t").map(|id| format!("T{id}")));
    let attack: Vec<String> = attack.collect();
    if !attack.is_empty() {
        draft.references.insert("mitre_attack", attack);
    }
    if rule.get("correlation").is_some() {
        return Err(told("it correlates other rules".into()));
    }
    let Some(detection) = rule.get("detection").and_then(Value::as_object) else {
        return Err(told("it has no detection".into()));
    };
    let mut reader = Reader { detection, made: BTreeMap::new(), selections: Vec::new() };
    let condition = reader.condition().map_err(told)?;
    draft.selections = reader.selections;
    draft.condition = Some(condition);
    Ok(draft)
}

pub(super) fn severity(level: Option<&str>) -> Severity {
    match level {
        Some("informational") => Severity::Informational,
        Some("low") => Severity::Low,
        Some("high") => Severity::High,
        Some("critical") => Severity::Critical,
        Some(_) | None => Severity::Medium,
    }
}

/// One text or a list of texts.
pub(super) fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(values)) => strings(values.iter().map(Value::as_str)),
        Some(_) | None => Vec::new(),
    }
}

/// Turns the selections a condition names into ours, as it names them.
struct Reader<'d> {
    detection: &'d Map<String, Value>,
    /// The expression of each selection that was used, by our prefix and its name.
    made: BTreeMap<String, String>,
    selections: Vec<(String, Vec<String>)>,
}

impl Reader<'_> {
    fn condition(&mut self) -> Result<String, String> {
        let written = match self.detection.get("condition") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(_)) => return Err("it has several conditions".into()),
            _ => return Err("it has no condition".into()),
        };
        if self.detection.contains_key("timeframe") || written.contains('|') {
            return Err("it counts events over time".into());
        }
        let spaced = written.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let (mut out, mut at, mut negated) = (Vec::new(), 0, false);
        while let Some(word) = words.get(at) {
            at += 1;
            let lower = word.to_ascii_lowercase();
            let quantified = matches!(lower.as_str(), "1" | "any" | "all")
                && words.get(at).is_some_and(|next| next.eq_ignore_ascii_case("of"));
            match lower.as_str() {
                "and" | "or" | "(" | ")" => out.push(lower),
                "not" => {
                    negated = true;
                    out.push(lower);
                    continue;
                }
                _ if quantified => {
                    let of = words.get(at + 1).copied().ok_or("its condition ends too early")?;
                    at += 2;
                    let names = self.names(of);
                    if names.is_empty() {
                        return Err(format!("its condition names `{of}`, which nothing is"));
                    }
                    let parts: Result<Vec<String>, String> =
                        names.iter().map(|name| self.named(name, negated)).collect();
                    out.push(format!("({})", parts?.join(if lower == "all" { " and " } else { " or " })));
                }
                _ => out.push(self.named(word, negated)?),
            }
            negated = false;
        }
        Ok(out.join(" "))
    }

    /// The selections that `them` or a name with a star stands for.
    fn names(&self, of: &str) -> Vec<String> {
        let (all, start) = (of.eq_ignore_ascii_case("them"), of.strip_suffix('*'));
        let fits = |name: &&String| {
            *name != "condition" && (all || start.map_or(*name == of, |start| name.starts_with(start)))
        };
        self.detection.keys().filter(fits).cloned().collect()
    }

    /// The expression of one selection.
    fn named(&mut self, name: &str, negated: bool) -> Result<String, String> {
        let plain: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
        let base = format!("{}{plain}", if negated { "not_" } else { "sel_" });
        if let Some(known) = self.made.get(&base) {
            return Ok(known.clone());
        }
        let value =
            self.detection.get(name).ok_or_else(|| format!("its condition names `{name}`, which nothing is"))?;
        let expression = self.selection(&base, value)?;
        self.made.insert(base, expression.clone());
        Ok(expression)
    }

    fn selection(&mut self, base: &str, value: &Value) -> Result<String, String> {
        match value {
            Value::String(_) | Value::Number(_) => self.any(base, vec![keyword(value)?]),
            Value::Array(values) if values.iter().all(|value| !value.is_object()) => {
                let words: Result<Vec<String>, String> = values.iter().map(keyword).collect();
                self.any(base, words?)
            }
            Value::Array(values) => {
                let parts =
                    values.iter().enumerate().map(|(nth, value)| self.selection(&format!("{base}_{nth}"), value));
                let parts: Result<Vec<String>, String> = parts.collect();
                Ok(format!("({})", parts?.join(" or ")))
            }
            Value::Object(fields) => {
                let parts = fields.iter().enumerate();
                let parts: Result<Vec<String>, String> =
                    parts.map(|(nth, (field, value))| self.field(&format!("{base}_{nth}"), field, value)).collect();
                Ok(format!("({})", parts?.join(" and ")))
            }
            Value::Null | Value::Bool(_) => Err("a selection has no text in it".into()),
        }
    }

    /// `field|modifier: values`.
    fn field(&mut self, base: &str, field: &str, value: &Value) -> Result<String, String> {
        let mut modifiers = field.split('|');
        let name = modifiers.next().unwrap_or_default();
        if !name.is_empty() && !TEXTS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("field `{name}` is not part of a prompt"));
        }
        let (mut all, mut cased, mut way) = (false, false, "is");
        for modifier in modifiers {
            match modifier {
                "all" => all = true,
                "cased" => cased = true,
                "contains" | "startswith" | "endswith" | "re" => way = modifier,
                "i" if way == "re" => cased = false,
                other => return Err(format!("modifier `{other}` has no counterpart")),
            }
        }
        let values: Vec<&Value> = match value {
            Value::Array(values) => values.iter().collect(),
            single => vec![single],
        };
        let patterns: Result<Vec<String>, String> = values
            .into_iter()
            .map(|value| {
                let text = value.as_str().map(str::to_owned).or_else(|| value.as_number().map(ToString::to_string));
                let text = text.ok_or("a selection has no text in it")?;
                let case = if cased || way == "re" { "" } else { "(?i)" };
                Ok(match way {
                    "re" => text,
                    "startswith" => format!("{case}^{}", wild(&text)),
                    "endswith" => format!("{case}{}$", wild(&text)),
                    "is" if name.is_empty() => format!("{case}{}", wild(&text)),
                    "is" => format!("{case}^{}$", wild(&text)),
                    _ => format!("{case}{}", wild(&text)),
                })
            })
            .collect();
        let patterns = patterns?;
        if !all {
            return self.any(base, patterns);
        }
        let parts = patterns.into_iter().enumerate();
        let parts: Result<Vec<String>, String> =
            parts.map(|(nth, pattern)| self.any(&format!("{base}_{nth}"), vec![pattern])).collect();
        Ok(format!("({})", parts?.join(" and ")))
    }

    fn any(&mut self, name: &str, patterns: Vec<String>) -> Result<String, String> {
        if patterns.is_empty() {
            return Err("a selection is empty".into());
        }
        if self.selections.len() >= MOST {
            return Err(format!("it has more than {MOST} selections"));
        }
        self.selections.push((name.to_owned(), patterns));
        Ok(name.to_owned())
    }
}

fn keyword(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(format!("(?i){}", wild(text))),
        Value::Number(number) => Ok(regex_syntax::escape(&number.to_string())),
        _ => Err("a keyword is not a text".into()),
    }
}

/// A text with Sigma's `*` and `?` as a pattern; stars at its ends say nothing.
fn wild(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.trim_matches('*').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if matches!(letters.peek(), Some('*' | '?' | '\\')) => {
                out.push_str(&regex_syntax::escape(&letters.next().unwrap_or('\\').to_string()));
            }
            '*' => out.push_str(GAP),
            '?' => out.push('.'),
            other => out.push_str(&regex_syntax::escape(&other.to_string())),
        }
    }
    out
}
