//! The vocabulary of the wire formats: keys and enum values that are known, so that they need no inspection.
//! Whatever is not listed here is text somebody wrote.

/// Nothing special is known of the key's value.
const KEY: u8 = 1;
/// The key's value is an enum: a known value of it is not text.
const ENUM: u8 = 2;
/// The key's value is a number that carries no text however many digits it has.
const NUMBER: u8 = 4;
/// The word is an enum value.
const VALUE: u8 = 8;

/// Whether this is a key that some dialect defines.
pub(crate) fn is_key(word: &str) -> bool {
    flags(word) & (KEY | ENUM | NUMBER) != 0
}

/// Whether a key's string value is one of the dialects' fixed words.
pub(crate) fn is_fixed_value(key: &str, value: &str) -> bool {
    flags(key) & ENUM != 0 && flags(value) & VALUE != 0
}

/// Whether a key's number is a count, a time or a setting.
pub(crate) fn is_plain_number(key: &str) -> bool {
    flags(key) & NUMBER != 0
}

/// Whether a case-insensitive reader would take this unknown key for a known one. Go's folds two more letters.
pub(crate) fn is_case_variant(word: &str) -> bool {
    if word.len() > 64 || word.bytes().all(|b| b.is_ascii_lowercase() || !b.is_ascii_alphabetic() && b.is_ascii()) {
        return false;
    }
    let folded: String = word
        .chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    is_key(&folded)
}

fn flags(word: &str) -> u8 {
    let bytes = word.as_bytes();
    if bytes.is_empty() || bytes.len() > 48 {
        return 0;
    }
    let mut slot = hash(bytes);
    loop {
        match SLOTS.get(slot) {
            Some(&entry) if entry != 0 => {
                if let Some(&(known, flags)) = WORDS.get(entry as usize - 1)
                    && known == word
                {
                    return flags;
                }
            }
            _ => return 0,
        }
        slot = (slot + 1) % SIZE;
    }
}

const SIZE: usize = 2048;

/// Open addressing: the index of a word in `WORDS`, plus one; 0 is free.
static SLOTS: [u16; SIZE] = slots();

#[expect(clippy::indexing_slicing, reason = "every length is known not to be zero; runs on words of 1 to 48 bytes")]
const fn hash(bytes: &[u8]) -> usize {
    let (n, first, last) = (bytes.len(), bytes[0] as usize, bytes[bytes.len() - 1] as usize);
    let (middle, early) = (bytes[n / 2] as usize, bytes[n / 4] as usize);
    (n * 509 + first * 31 + last * 1009 + middle * 131 + early * 17) % SIZE
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time only")]
const fn slots() -> [u16; SIZE] {
    let mut slots = [0_u16; SIZE];
    let mut word = 0;
    while word < WORDS.len() {
        let mut slot = hash(WORDS[word].0.as_bytes());
        while slots[slot] != 0 {
            slot = (slot + 1) % SIZE;
        }
        slots[slot] = word as u16 + 1;
        word += 1;
    }
    slots
}

const BOTH: u8 = KEY | VALUE;

#[rustfmt::skip]
static WORDS: &[(&str, u8)] = &[
    // Keys of requests, answers and events.
    ("accepted_prediction_tokens", NUMBER), ("action", KEY), ("additionalProperties", KEY), ("allOf", KEY),
    ("allowed_callers", KEY), ("allowed_tools", BOTH), ("annotations", KEY), ("annotation", KEY),
    ("annotation_index", NUMBER), ("anyOf", KEY), ("approve", KEY), ("arguments", KEY), ("attributes", KEY),
    ("audio", BOTH), ("audio_tokens", NUMBER), ("background", KEY), ("best_of", NUMBER), ("bytes", KEY),
    ("cache_control", KEY), ("cache_creation", KEY), ("cache_creation_input_tokens", NUMBER),
    ("cache_read_input_tokens", NUMBER), ("cache_write_tokens", NUMBER), ("cached_tokens", NUMBER), ("call_id", KEY),
    ("caller", KEY), ("category", ENUM), ("choices", KEY), ("citations", KEY), ("cited_text", KEY), ("citation", KEY),
    ("code", KEY), ("commands", KEY), ("command", KEY), ("completed_at", NUMBER), ("completion_tokens", NUMBER),
    ("completion_tokens_details", KEY), ("const", KEY), ("container", KEY), ("content", BOTH), ("content_block", KEY),
    ("content_filter_results", KEY), ("content_index", NUMBER), ("context", KEY), ("context_management", KEY),
    ("conversation", KEY), ("created", NUMBER), ("created_at", NUMBER), ("custom", BOTH), ("data", KEY),
    ("default", BOTH), ("definition", KEY), ("delta", KEY), ("description", KEY), ("detail", ENUM), ("details", KEY),
    ("diff", KEY), ("dimensions", NUMBER), ("display_name", KEY), ("document_index", NUMBER), ("document_title", KEY),
    ("echo", KEY), ("effort", ENUM), ("embedding", BOTH), ("encoding_format", ENUM), ("encrypted_content", KEY),
    ("encrypted_index", KEY), ("end_block_index", NUMBER), ("end_char_index", NUMBER), ("end_index", NUMBER),
    ("enum", KEY), ("ephemeral_1h_input_tokens", NUMBER), ("ephemeral_5m_input_tokens", NUMBER), ("error", BOTH),
    ("exclusiveMaximum", KEY), ("exclusiveMinimum", KEY), ("expires_at", NUMBER), ("explanation", KEY),
    ("file", BOTH), ("file_data", KEY), ("file_id", KEY), ("file_url", KEY), ("filename", KEY),
    ("finish_reason", ENUM), ("format", ENUM), ("frequency_penalty", NUMBER), ("function", BOTH),
    ("function_call", BOTH), ("functions", KEY), ("grammar", BOTH), ("id", KEY), ("image_url", BOTH),
    ("include", KEY), ("include_obfuscation", KEY), ("include_usage", KEY), ("incomplete_details", KEY),
    ("index", NUMBER), ("input", KEY), ("input_audio", BOTH), ("input_schema", KEY), ("input_tokens", NUMBER),
    ("input_tokens_details", KEY), ("instructions", KEY), ("is_error", KEY), ("item", KEY), ("item_id", KEY),
    ("items", KEY), ("json_schema", BOTH), ("last_id", KEY), ("first_id", KEY), ("has_more", KEY),
    ("logit_bias", KEY), ("logprob", NUMBER), ("logprobs", KEY), ("logs", BOTH), ("max_completion_tokens", NUMBER),
    ("max_output_tokens", BOTH | NUMBER), ("max_tokens", BOTH | NUMBER), ("max_tool_calls", NUMBER),
    ("maxItems", KEY), ("maxLength", KEY), ("maximum", KEY), ("media_type", ENUM), ("message", BOTH),
    ("messages", KEY), ("metadata", KEY), ("min_p", NUMBER), ("minItems", KEY), ("minLength", KEY), ("minimum", KEY),
    ("modalities", KEY), ("mode", ENUM), ("model", BOTH), ("moderation", KEY), ("n", NUMBER), ("name", KEY),
    ("namespace", KEY), ("object", ENUM | VALUE), ("obfuscation", KEY), ("oneOf", KEY), ("operation", KEY),
    ("output", KEY), ("output_index", NUMBER), ("output_tokens", NUMBER), ("output_tokens_details", KEY),
    ("outputs", KEY), ("owned_by", KEY), ("page_age", KEY), ("parallel_tool_calls", KEY), ("param", KEY),
    ("parameters", KEY), ("part", KEY), ("partial_json", KEY), ("partial_image_index", NUMBER), ("path", KEY),
    ("pattern", KEY), ("phase", ENUM), ("policy", KEY), ("prediction", KEY), ("presence_penalty", NUMBER),
    ("previous_response_id", KEY), ("prompt", KEY), ("prompt_cache_key", KEY), ("prompt_cache_retention", ENUM),
    ("prompt_tokens", NUMBER), ("prompt_tokens_details", KEY), ("properties", KEY), ("queries", KEY), ("query", KEY),
    ("reason", ENUM), ("reasoning", BOTH), ("reasoning_content", KEY), ("reasoning_effort", ENUM),
    ("reasoning_tokens", NUMBER), ("refusal", BOTH), ("rejected_prediction_tokens", NUMBER), ("required", BOTH),
    ("response", BOTH), ("response_format", KEY), ("result", KEY), ("revised_prompt", KEY), ("results", KEY),
    ("role", ENUM), ("root", KEY), ("parent", KEY), ("safety_identifier", KEY), ("schema", KEY),
    ("search_context_size", ENUM), ("search_result_index", NUMBER), ("seed", NUMBER), ("sequence_number", NUMBER),
    ("server_label", KEY), ("server_tool_use", BOTH), ("service_tier", ENUM), ("signature", KEY), ("source", KEY),
    ("sources", KEY), ("start_block_index", NUMBER), ("start_char_index", NUMBER), ("start_index", NUMBER),
    ("status", ENUM), ("stderr", KEY), ("stdout", KEY), ("stop", BOTH), ("stop_details", KEY), ("stop_reason", ENUM),
    ("stop_sequence", BOTH), ("stop_sequences", KEY), ("store", KEY), ("stream", KEY), ("stream_options", KEY),
    ("strict", KEY), ("suffix", KEY), ("summary", ENUM), ("summary_index", NUMBER), ("syntax", ENUM),
    ("system", BOTH), ("system_fingerprint", KEY), ("temperature", NUMBER), ("text", BOTH), ("text_offset", KEY),
    ("thinking", BOTH), ("title", KEY), ("token", KEY), ("token_logprobs", KEY), ("tokens", KEY),
    ("tool_call_id", KEY), ("tool_calls", BOTH), ("tool_choice", ENUM), ("tool_use_id", KEY), ("tools", KEY),
    ("top_k", NUMBER), ("top_logprobs", KEY), ("top_p", NUMBER), ("total_tokens", NUMBER), ("transcript", KEY),
    ("truncation", ENUM), ("ttl", ENUM), ("type", ENUM), ("url", BOTH), ("url_citation", BOTH), ("usage", KEY),
    ("user", BOTH), ("user_id", KEY), ("variables", KEY), ("verbosity", ENUM), ("version", KEY), ("voice", KEY),
    ("web_search_options", KEY), ("budget_tokens", NUMBER), ("disable_parallel_tool_use", KEY), ("$ref", KEY),
    ("$defs", KEY), ("nullable", KEY), ("location", KEY), ("connector_id", KEY), ("server_url", KEY),
    ("headers", KEY), ("authorization", KEY), ("require_approval", ENUM), ("web_search_requests", NUMBER),
    ("web_fetch_requests", NUMBER), ("inference_geo", KEY), ("speed", ENUM), ("country", KEY), ("city", KEY),
    ("region", KEY), ("timezone", KEY), ("user_location", KEY), ("generate_summary", ENUM), ("billing", KEY),
    ("payer", KEY), ("request_id", KEY),
    // Enum values that are no keys.
    ("additional_tools", VALUE), ("any", VALUE), ("apply_patch", VALUE), ("apply_patch_call", VALUE),
    ("apply_patch_call_output", VALUE), ("approximate", VALUE), ("array", VALUE), ("assistant", VALUE),
    ("auto", VALUE), ("base64", VALUE), ("bash_20250124", VALUE), ("boolean", VALUE), ("batch", VALUE),
    ("priority", VALUE), ("scale", VALUE), ("fast", VALUE), ("chat.completion", VALUE),
    ("chat.completion.chunk", VALUE), ("code_execution_tool_result", VALUE), ("code_interpreter", VALUE),
    ("code_interpreter_call", VALUE), ("commentary", VALUE), ("final_answer", VALUE), ("compaction", VALUE),
    ("completed", VALUE), ("computer", VALUE), ("computer_call", VALUE), ("computer_call_output", VALUE),
    ("computer_use_preview", VALUE), ("concise", VALUE), ("content_block_delta", VALUE),
    ("content_block_start", VALUE), ("content_block_stop", VALUE), ("content_filter", VALUE),
    ("custom_tool_call", VALUE), ("custom_tool_call_output", VALUE), ("citations_delta", VALUE),
    ("char_location", VALUE), ("page_location", VALUE), ("content_block_location", VALUE),
    ("web_search_result_location", VALUE), ("search_result_location", VALUE), ("web_search_result", VALUE),
    ("bash_code_execution_tool_result", VALUE), ("text_editor_code_execution_tool_result", VALUE),
    ("disabled", VALUE), ("enabled", VALUE), ("adaptive", VALUE), ("date", VALUE), ("date-time", VALUE),
    ("detailed", VALUE), ("developer", VALUE), ("direct", VALUE), ("document", VALUE), ("email", VALUE),
    ("end_turn", VALUE), ("ephemeral", VALUE), ("5m", VALUE), ("1h", VALUE), ("24h", VALUE), ("in_memory", VALUE),
    ("failed", VALUE), ("file_search", VALUE), ("file_search_call", VALUE), ("file_citation", VALUE),
    ("container_file_citation", VALUE), ("file_path", VALUE), ("flex", VALUE), ("float", VALUE),
    ("function_call_output", VALUE), ("high", VALUE), ("image", VALUE), ("image_generation", VALUE),
    ("image_generation_call", VALUE), ("image/gif", VALUE), ("image/jpeg", VALUE), ("image/png", VALUE),
    ("image/webp", VALUE), ("in_progress", VALUE), ("incomplete", VALUE), ("input_file", VALUE),
    ("input_image", VALUE), ("input_json_delta", VALUE), ("input_text", VALUE), ("integer", VALUE),
    ("item_reference", VALUE), ("json_object", VALUE), ("lark", VALUE), ("length", VALUE), ("list", VALUE),
    ("local_shell", VALUE), ("local_shell_call", VALUE), ("local_shell_call_output", VALUE), ("low", VALUE),
    ("mcp", VALUE), ("mcp_approval_request", VALUE), ("mcp_approval_response", VALUE), ("mcp_call", VALUE),
    ("mcp_list_tools", VALUE), ("medium", VALUE), ("message_delta", VALUE), ("message_start", VALUE),
    ("message_stop", VALUE), ("minimal", VALUE), ("model_context_window_exceeded", VALUE), ("mid_conv_system", VALUE),
    ("never", VALUE), ("always", VALUE), ("none", VALUE), ("null", VALUE), ("number", VALUE), ("xhigh", VALUE),
    ("max", VALUE), ("off", VALUE), ("output_audio", VALUE), ("output_text", VALUE), ("pause_turn", VALUE),
    ("ping", VALUE), ("queued", VALUE), ("cancelled", VALUE), ("reasoning_text", VALUE), ("redacted_thinking", VALUE),
    ("refusal_delta", VALUE), ("regex", VALUE), ("original", VALUE), ("search_result", VALUE),
    ("server_error", VALUE), ("shell", VALUE), ("shell_call", VALUE), ("shell_call_output", VALUE),
    ("signature_delta", VALUE), ("standard", VALUE), ("string", VALUE), ("summary_text", VALUE),
    ("text_completion", VALUE), ("text_delta", VALUE), ("text/plain", VALUE), ("application/pdf", VALUE),
    ("thinking_delta", VALUE), ("tool", VALUE), ("tool_result", VALUE), ("tool_use", VALUE), ("uri", VALUE),
    ("uuid", VALUE), ("web_fetch_tool_result", VALUE), ("web_search", VALUE), ("web_search_20250305", VALUE),
    ("web_search_call", VALUE), ("web_search_preview", VALUE), ("web_search_tool_result", VALUE), ("wav", VALUE),
    ("mp3", VALUE), ("search", VALUE), ("open_page", VALUE), ("find_in_page", VALUE), ("response.created", VALUE),
    ("response.queued", VALUE), ("response.in_progress", VALUE), ("response.completed", VALUE),
    ("response.incomplete", VALUE), ("response.failed", VALUE), ("response.output_item.added", VALUE),
    ("response.output_item.done", VALUE), ("response.content_part.added", VALUE),
    ("response.content_part.done", VALUE), ("response.output_text.delta", VALUE),
    ("response.output_text.done", VALUE), ("response.output_text.annotation.added", VALUE),
    ("response.refusal.delta", VALUE), ("response.refusal.done", VALUE), ("response.reasoning_text.delta", VALUE),
    ("response.reasoning_text.done", VALUE), ("response.reasoning_summary_part.added", VALUE),
    ("response.reasoning_summary_part.done", VALUE), ("response.reasoning_summary_text.delta", VALUE),
    ("response.reasoning_summary_text.done", VALUE), ("response.function_call_arguments.delta", VALUE),
    ("response.function_call_arguments.done", VALUE), ("response.custom_tool_call_input.delta", VALUE),
    ("response.custom_tool_call_input.done", VALUE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_listed_once_and_found() {
        for (position, (word, expected)) in WORDS.iter().enumerate() {
            assert!(WORDS.iter().skip(position + 1).all(|(other, _)| other != word), "{word} is listed twice");
            assert_eq!(flags(word), *expected, "{word}");
        }
        assert_eq!(flags("ignore"), 0);
        assert_eq!(flags(""), 0);
    }

    #[test]
    fn a_key_in_another_case_is_a_variant() {
        assert!(is_case_variant("Messages"));
        assert!(is_case_variant("me\u{17f}\u{17f}ages"));
        assert!(!is_case_variant("messages"));
        assert!(!is_case_variant("Weather"));
    }
}
