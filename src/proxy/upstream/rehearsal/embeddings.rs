//! `POST /embeddings`: feature hashing, so that texts which share words point the same way.

use serde_json::{Value, json};

use super::ask::tokens;
use super::dice::Dice;
use super::{Failure, MODEL, Made};
use crate::types::base64;

/// Length of a vector when the request names none: that of OpenAI's small model.
const DIMENSIONS: usize = 1536;
/// The most a request may ask for.
const MAX_DIMENSIONS: u64 = 8192;
/// Components each word touches.
const SPREAD: usize = 12;

/// One unit vector per input; `encoding_format` `base64` is little-endian f32, as the Python SDK asks for.
pub(super) fn answer(request: &Value) -> Made {
    let Some(inputs) = request.get("input").and_then(inputs) else {
        return Made::Failed(Failure::missing("input"));
    };
    let dimensions = match request.get("dimensions").map(Value::as_u64) {
        None => DIMENSIONS,
        Some(Some(asked @ 1..=MAX_DIMENSIONS)) => usize::try_from(asked).unwrap_or(DIMENSIONS),
        Some(_) => return Made::Failed(Failure::missing("dimensions")),
    };
    let packed = request.get("encoding_format").and_then(Value::as_str) == Some("base64");
    let used: u64 = inputs.iter().map(|text| tokens(text)).sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = embed(text, dimensions);
            let embedding = if packed {
                Value::from(base64(&vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()))
            } else {
                Value::from(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    Made::Json(json!({
        "object": "list", "data": data, "model": MODEL, "usage": {"prompt_tokens": used, "total_tokens": used},
    }))
}

/// A string, strings, token ids or lists of token ids, each as text (ids as decimal words).
fn inputs(input: &Value) -> Option<Vec<String>> {
    let ids = |list: &[Value]| -> Option<String> {
        let words: Option<Vec<String>> = list.iter().map(|id| id.as_u64().map(|id| id.to_string())).collect();
        words.map(|words| words.join(" "))
    };
    match input {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Array(list) if list.first().is_some_and(Value::is_u64) => Some(vec![ids(list)?]),
        Value::Array(list) if !list.is_empty() => list
            .iter()
            .map(|one| match one {
                Value::String(text) => Some(text.clone()),
                Value::Array(list) => ids(list),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn embed(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0_f32; dimensions];
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.chain(std::iter::once("\0")) {
        let mut dice = Dice::new(word.as_bytes());
        for _ in 0..SPREAD {
            let at = usize::from(dice.number()).checked_rem(dimensions).unwrap_or(0);
            let sign = if dice.byte() & 1 == 0 { 1.0 } else { -1.0 };
            if let Some(component) = vector.get_mut(at) {
                *component += sign;
            }
        }
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        for component in &mut vector {
            *component /= length;
        }
    } else if let Some(first) = vector.first_mut() {
        *first = 1.0;
    }
    vector
}
