//! The request bodies in which a case can be said, one per dialect that knows its roles.

use portcullis::types::{Dialect, Role};
use serde_json::{Value, json};

/// The body of a request that says `turns`; `None` where the dialect has no place for their roles.
pub(crate) fn of(dialect: Dialect, turns: &[(Role, &str)]) -> Option<Value> {
    let alone = |role: Role| match turns {
        [(only, text)] if *only == role => Some(*text),
        _ => None,
    };
    let hello = json!([{"role": "user", "content": "Hello."}]);
    match dialect {
        Dialect::Chat => {
            if let Some(text) = alone(Role::Parameter) {
                return Some(json!({"model": "m", "messages": hello, "metadata": {"note": text}}));
            }
            if let Some(text) = alone(Role::Definition) {
                let tool = json!({"type": "function", "function": {"name": "f", "description": text}});
                return Some(json!({"model": "m", "messages": hello, "tools": [tool]}));
            }
            let messages: Option<Vec<Value>> = turns.iter().map(|(role, text)| chat(*role, text)).collect();
            Some(json!({"model": "m", "messages": messages?}))
        }
        Dialect::Responses => {
            let items: Option<Vec<Value>> = turns.iter().map(|(role, text)| item(*role, text)).collect();
            Some(json!({"model": "m", "input": items?}))
        }
        Dialect::Messages => {
            if let Some(text) = alone(Role::System) {
                return Some(json!({"model": "m", "max_tokens": 9, "system": text, "messages": hello}));
            }
            let messages: Option<Vec<Value>> = turns.iter().map(|(role, text)| message(*role, text)).collect();
            Some(json!({"model": "m", "max_tokens": 9, "messages": messages?}))
        }
        Dialect::Completions => alone(Role::User).map(|text| json!({"model": "m", "prompt": text})),
        Dialect::Embeddings => alone(Role::User).map(|text| json!({"model": "m", "input": [text]})),
        Dialect::Generic => alone(Role::User).map(|text| json!({"inputs": [{"text": text}]})),
        Dialect::Models => None,
    }
}

/// The roles that are written as a word.
fn word(role: Role) -> Option<&'static str> {
    match role {
        Role::System => Some("system"),
        Role::Developer => Some("developer"),
        Role::User => Some("user"),
        Role::Assistant => Some("assistant"),
        Role::Tool | Role::Definition | Role::Parameter => None,
    }
}

fn chat(role: Role, text: &str) -> Option<Value> {
    if role == Role::Tool {
        return Some(json!({"role": "tool", "tool_call_id": "call_1", "content": text}));
    }
    word(role).map(|role| json!({"role": role, "content": text}))
}

fn item(role: Role, text: &str) -> Option<Value> {
    if role == Role::Tool {
        return Some(json!({"type": "function_call_output", "call_id": "call_1", "output": text}));
    }
    let kind = if role == Role::Assistant { "output_text" } else { "input_text" };
    word(role).map(|role| json!({"role": role, "content": [{"type": kind, "text": text}]}))
}

fn message(role: Role, text: &str) -> Option<Value> {
    let (role, part) = match role {
        Role::Tool => ("user", json!({"type": "tool_result", "tool_use_id": "call_1", "content": text})),
        Role::User | Role::Assistant => (word(role)?, json!({"type": "text", "text": text})),
        Role::System | Role::Developer | Role::Parameter | Role::Definition => return None,
    };
    Some(json!({"role": role, "content": [part]}))
}
