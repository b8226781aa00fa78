//! A plausible value for a JSON schema: every required property, the right types, the bounds that are simple to keep.

use serde_json::{Map, Number, Value};

/// Beyond this nesting, optional properties are left out and arrays stay empty.
const DEEP: usize = 8;
/// Beyond this, `null`: the schema asks for something endless.
const DEEPEST: usize = 24;

/// A value that `schema` allows, flavoured with words of `about` (what the user wrote).
pub(super) fn example(schema: &Value, about: &str) -> Value {
    Maker { root: schema, about }.value(schema, "", 0)
}

struct Maker<'a> {
    root: &'a Value,
    about: &'a str,
}

impl<'a> Maker<'a> {
    fn value(&self, schema: &'a Value, name: &str, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let found = target.strip_prefix('#').and_then(|at| self.root.pointer(at));
            return found.map_or(Value::Null, |found| self.value(found, name, depth.saturating_add(1)));
        }
        if let Some(fixed) = fixed(schema) {
            return fixed.clone();
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.all_of(schema, parts, name, depth);
        }
        if let Some(branch) = self.branch(schema, depth) {
            return self.value(branch, name, depth.saturating_add(1));
        }
        match type_of(schema, depth) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => Value::from(self.integer(schema)),
            "number" => self.number(schema),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::from(self.string(schema, name)),
        }
    }

    /// The first branch of `anyOf` or `oneOf`; when it gets deep, one that is `null` if there is one.
    fn branch(&self, schema: &'a Value, depth: usize) -> Option<&'a Value> {
        let branches = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array())?;
        let null = || branches.iter().find(|branch| branch.get("type").and_then(Value::as_str) == Some("null"));
        if depth > DEEP { null().or_else(|| branches.first()) } else { branches.first() }
    }

    fn all_of(&self, schema: &'a Value, parts: &'a [Value], name: &str, depth: usize) -> Value {
        let mut merged = Map::new();
        if schema.get("properties").is_some()
            && let Value::Object(own) = self.object(schema, depth)
        {
            merged.extend(own);
        }
        for part in parts {
            match self.value(part, name, depth.saturating_add(1)) {
                Value::Object(fields) => merged.extend(fields),
                other => return other,
            }
        }
        Value::Object(merged)
    }

    fn object(&self, schema: &'a Value, depth: usize) -> Value {
        let required: Option<Vec<&str>> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect());
        let mut made = Map::new();
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let wanted = required.as_ref().map_or(depth < DEEP, |names| names.contains(&name.as_str()));
            if wanted {
                made.insert(name.clone(), self.value(property, name, depth.saturating_add(1)));
            }
        }
        for name in required.iter().flatten() {
            if !made.contains_key(*name) {
                made.insert((*name).to_owned(), Value::from(self.about_or(name)));
            }
        }
        Value::Object(made)
    }

    fn array(&self, schema: &'a Value, name: &str, depth: usize) -> Value {
        let count = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        let least = count("minItems").unwrap_or(0);
        let wanted = if depth > DEEP { least } else { least.max(1) };
        let wanted = wanted.min(count("maxItems").unwrap_or(usize::MAX)).min(64);
        let first = schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let rest = schema.get("items").filter(|items| items.is_object());
        let mut made: Vec<Value> = first.iter().map(|item| self.value(item, name, depth.saturating_add(1))).collect();
        while made.len() < wanted {
            let Some(item) = rest else { break };
            made.push(self.value(item, name, depth.saturating_add(1)));
        }
        Value::Array(made)
    }

    fn integer(&self, schema: &Value) -> i64 {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64).map(|bound| bound as i64);
        let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|bound| bound.saturating_add(1)));
        let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|bound| bound.saturating_sub(1)));
        let wish = self.number_said().map_or(1, |said| said as i64);
        let kept = wish.max(least.unwrap_or(i64::MIN)).min(most.unwrap_or(i64::MAX));
        match bound("multipleOf").filter(|step| *step > 0) {
            None => kept,
            Some(step) => {
                let below = kept.div_euclid(step).saturating_mul(step);
                if below < least.unwrap_or(i64::MIN) { below.saturating_add(step) } else { below }
            }
        }
    }

    fn number(&self, schema: &Value) -> Value {
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let least = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|bound| bound + 1e-3));
        let most = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|bound| bound - 1e-3));
        let wish = self.number_said().unwrap_or(1.5);
        let kept = wish.max(least.unwrap_or(f64::MIN)).min(most.unwrap_or(f64::MAX));
        let kept = bound("multipleOf").filter(|step| *step > 0.0).map_or(kept, |step| (kept / step).floor() * step);
        Number::from_f64(kept).map_or(Value::Null, Value::Number)
    }

    fn string(&self, schema: &Value, name: &str) -> String {
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2026-01-31".to_owned(),
            Some("time") => "12:00:00Z".to_owned(),
            Some("date-time") => "2026-01-31T12:00:00Z".to_owned(),
            Some("duration") => "PT1H".to_owned(),
            Some("email") => "someone@example.com".to_owned(),
            Some("hostname") => "example.com".to_owned(),
            Some("ipv4") => "192.0.2.1".to_owned(),
            Some("ipv6") => "2001:db8::1".to_owned(),
            Some("uri" | "url") => "https://example.com/".to_owned(),
            Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
            _ => self.about_or(name),
        };
        let count = |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        let most = count("maxLength").unwrap_or(usize::MAX);
        let least = count("minLength").unwrap_or(0).min(4096);
        let mut kept: String = text.chars().take(most).collect();
        while kept.chars().count() < least {
            kept.push('x');
        }
        kept
    }

    /// A string for a property of this name, from what the user wrote where that fits.
    fn about_or(&self, name: &str) -> String {
        let lower = name.to_ascii_lowercase();
        let is = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        if is(&["city", "location", "place", "country", "region"]) {
            return self.proper_name().unwrap_or_else(|| "Paris".to_owned());
        }
        if is(&["url", "uri", "link"]) {
            return "https://example.com/".to_owned();
        }
        if is(&["path", "file"]) {
            return "notes.txt".to_owned();
        }
        if is(&["command", "cmd"]) {
            return "echo rehearsal".to_owned();
        }
        if is(&["date"]) {
            return "2026-01-31".to_owned();
        }
        if is(&["name"]) {
            return self.proper_name().unwrap_or_else(|| "Ada".to_owned());
        }
        let said: String = self.about.trim().chars().take(200).collect();
        if said.is_empty() { "rehearsal".to_owned() } else { said }
    }

    /// The first capitalised word after the first word, without its punctuation.
    fn proper_name(&self) -> Option<String> {
        let words = self.about.split_whitespace().skip(1);
        let bare = words.map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
        bare.filter(|word| word.chars().count() > 1)
            .find(|word| word.starts_with(char::is_uppercase))
            .map(str::to_owned)
    }

    /// The first number the user wrote.
    fn number_said(&self) -> Option<f64> {
        let words = self.about.split(|c: char| !(c.is_ascii_digit() || c == '.'));
        words.map(|word| word.trim_matches('.')).find_map(|word| word.parse().ok())
    }
}

/// `const`, the first of `enum`, `default` or the first of `examples`.
fn fixed(schema: &Value) -> Option<&Value> {
    let first = |key: &str| schema.get(key)?.as_array()?.first();
    schema.get("const").or_else(|| first("enum")).or_else(|| schema.get("default")).or_else(|| first("examples"))
}

/// The type a schema names or implies; of several, the first that is not `null` (when deep, `null`).
fn type_of(schema: &Value, depth: usize) -> &str {
    match schema.get("type") {
        Some(Value::String(one)) => one,
        Some(Value::Array(several)) => {
            let mut names = several.iter().filter_map(Value::as_str);
            if depth > DEEP && names.clone().any(|name| name == "null") {
                return "null";
            }
            names.find(|name| *name != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() || schema.as_object().is_some_and(Map::is_empty) => "object",
        _ if schema.get("items").is_some() || schema.get("prefixItems").is_some() => "array",
        _ => "string",
    }
}
