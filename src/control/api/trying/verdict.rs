//! What a record says of a request that was tried, as soon as it is written.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::App;

/// How often the record is looked for, and how long in all: it is written when the request has ended.
const EVERY: Duration = Duration::from_millis(60);
const TRIES: u32 = 100;

/// What became of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Tried {
    /// The request's id.
    pub request: String,
    /// How it ended: `served`, `prompt_blocked`, `answer_blocked`, ...; empty where the record is not there yet.
    pub outcome: String,
    /// `allow`, `flag`, `redact`, `block`.
    pub decision: String,
    /// Why, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Rules that found something, in prompt and answer.
    pub rules: Vec<String>,
    /// What the verdicts say before the mode is applied: what is only reported would have been this.
    pub judged: String,
    /// The risk of the prompt, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk: Option<f64>,
    /// The policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// What it cost, in billionths of a US dollar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nano_usd: Option<u64>,
    /// From the head to the last byte, in microseconds.
    pub total_micros: u64,
    /// What of it was inspection.
    pub scan_micros: u64,
}

/// The record's words on that request; what is known without one where it does not come.
pub(super) async fn tried(app: &App, request: &str) -> Tried {
    for _ in 0..TRIES {
        if let Ok(Some(row)) = app.database.request(request).await {
            return read(request, &serde_json::from_str(&row.record).unwrap_or_default());
        }
        tokio::time::sleep(EVERY).await;
    }
    Tried { request: request.to_owned(), ..Tried::default() }
}

fn read(request: &str, record: &Value) -> Tried {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let number = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64);
    let mut rules: Vec<String> = ["/input/findings", "/output/findings"]
        .iter()
        .filter_map(|pointer| record.pointer(pointer)?.as_array())
        .flatten()
        .filter_map(|finding| finding.get("rule")?.as_str().map(str::to_owned))
        .collect();
    rules.sort_unstable();
    rules.dedup();
    Tried {
        request: request.to_owned(),
        outcome: text("/outcome").unwrap_or_default(),
        decision: text("/decision").unwrap_or_default(),
        reason: text("/reason"),
        rules,
        judged: judged(record),
        risk: record.pointer("/input/risk").and_then(Value::as_f64),
        policy: text("/policy"),
        input_tokens: number("/usage/input"),
        output_tokens: number("/usage/output"),
        nano_usd: number("/cost"),
        total_micros: number("/micros/total").unwrap_or(0),
        scan_micros: number("/micros/scan").unwrap_or(0),
    }
}

/// The worse of both verdicts.
fn judged(record: &Value) -> String {
    let order = ["allow", "flag", "redact", "block"];
    let of = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (input, output) = (of("/input/decision"), of("/output/decision"));
    order.iter().rev().find(|word| **word == input || **word == output).copied().unwrap_or_default().to_owned()
}
