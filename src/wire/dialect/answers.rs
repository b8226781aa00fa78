//! What answers of the dialects have in common: token counts, reasons, classification of the odd places.

use serde_json::{Value, json};

use crate::types::{FinishReason, Usage};
use crate::wire::answer::Spot;
use crate::wire::calls::WholeCall;
use crate::wire::collect::Reading;
use crate::wire::json::{Document, Kind};
use crate::wire::walk::Visit;

/// OpenAI's `usage`, of either generation: `prompt_tokens` and `input_tokens` include cached ones.
pub(crate) fn openai_usage(doc: &Document<'_, '_>, object: u32) -> Option<Usage> {
    let usage = doc.get(object, "usage").filter(|&usage| doc.node(usage).kind == Kind::Object)?;
    let either = |old: &str, new: &str| doc.get_u64(usage, old).or_else(|| doc.get_u64(usage, new)).unwrap_or(0);
    let detail = |old: &str, new: &str, field: &str| {
        let details = doc.get(usage, old).or_else(|| doc.get(usage, new))?;
        doc.get_u64(details, field)
    };
    Some(Usage {
        input: either("prompt_tokens", "input_tokens"),
        cached: detail("prompt_tokens_details", "input_tokens_details", "cached_tokens").unwrap_or(0),
        output: either("completion_tokens", "output_tokens"),
        reasoning: detail("completion_tokens_details", "output_tokens_details", "reasoning_tokens").unwrap_or(0),
    })
}

/// Anthropic's `usage`: `input_tokens` leaves out what the cache read or wrote, so that is added.
pub(crate) fn anthropic_usage(doc: &Document<'_, '_>, object: u32) -> Option<Usage> {
    let usage = doc.get(object, "usage").filter(|&usage| doc.node(usage).kind == Kind::Object)?;
    let count = |field: &str| doc.get_u64(usage, field).unwrap_or(0);
    let cached = count("cache_read_input_tokens");
    let input = count("input_tokens").saturating_add(cached).saturating_add(count("cache_creation_input_tokens"));
    Some(Usage { input, cached, output: count("output_tokens"), reasoning: 0 })
}

/// A finish reason of chat or completions.
pub(crate) fn openai_finish(word: &str) -> FinishReason {
    match word {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    }
}

/// The first choice's finish reason.
pub(crate) fn first_finish(doc: &Document<'_, '_>) -> Option<FinishReason> {
    let choices = doc.get(0, "choices")?;
    doc.elements(choices).find_map(|choice| doc.get_str(choice, "finish_reason")).map(|word| openai_finish(&word))
}

/// No reason is given.
pub(crate) fn no_finish(_: &Document<'_, '_>) -> Option<FinishReason> {
    None
}

/// No tokens are counted.
pub(crate) fn no_usage(_: &Document<'_, '_>, _: u32) -> Option<Usage> {
    None
}

/// There are no tool calls.
pub(crate) fn no_calls(_: &Document<'_, '_>) -> Vec<WholeCall> {
    Vec::new()
}

/// A `usage` object as chat and completions write it.
pub(crate) fn usage_json(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

/// A member of the outermost object that no rule of the dialect covers: its known words and numbers are known,
/// all else is text.
pub(crate) fn top_field(doc: &Document<'_, '_>, at: Spot, visit: Visit<'_>) -> Spot {
    match doc.node(visit.value).kind {
        Kind::Object | Kind::Array if visit.key != "usage" => at.other(Reading::Text),
        _ => at.other(Reading::Field),
    }
}

/// A member of a result or unknown value: text, but for what the provider encrypted.
pub(crate) fn inner_field(at: Spot, visit: Visit<'_>) -> Spot {
    match visit.key {
        "encrypted_content" | "encrypted_index" => at.other(Reading::Encrypted),
        _ => at,
    }
}

/// The part number of a channel for a field that no dialect defines, from its name (FNV-1a).
pub(crate) fn part_of_name(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)) | 0x8000_0000
}
