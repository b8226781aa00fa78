//! `POST /completions`, the legacy endpoint.

use serde_json::{Value, json};

use super::ask::{Ask, Turn, Who, strings, tokens};
use super::sse::{Events, words};
use super::think::{Finish, Said, think};
use super::{Context, Failure, MODEL, Made};

/// The most completions per prompt a request gets.
const MAX_CHOICES: u64 = 16;
/// The most prompts a request may hold.
const MAX_PROMPTS: usize = 64;

/// One completion, and the prompt that `echo` repeats before it.
struct Completion {
    prompt: String,
    said: Said,
}

impl Completion {
    fn text(&self, echo: bool) -> String {
        if echo { format!("{}{}", self.prompt, self.said.text) } else { self.said.text.clone() }
    }

    fn finish(&self) -> &'static str {
        if self.said.finish == Finish::Length { "length" } else { "stop" }
    }
}

pub(super) fn answer(request: &Value, stream: bool, context: &mut Context) -> Made {
    let Some(prompts) = request.get("prompt").and_then(prompts) else {
        return Made::Failed(Failure::missing("prompt"));
    };
    let input: u64 = prompts.iter().map(|prompt| tokens(prompt)).sum();
    let mut made = Vec::new();
    for prompt in prompts {
        match think(&mut read(request, &prompt, context)) {
            Ok(said) => made.extend(said.into_iter().map(|said| Completion { prompt: prompt.clone(), said })),
            Err(failure) => return Made::Failed(failure),
        }
    }
    let output: u64 = made.iter().map(|one| one.said.tokens()).sum();
    let usage = json!({
        "prompt_tokens": input, "completion_tokens": output, "total_tokens": input.saturating_add(output),
    });
    let id = context.dice.id("cmpl-");
    let flag = |at: &str| request.pointer(at).and_then(Value::as_bool).unwrap_or(false);
    let (echo, logprobs) = (flag("/echo"), request.get("logprobs").is_some_and(Value::is_u64));
    let head = |choices: Value| json!({"id": id, "object": "text_completion", "created": context.created, "model": MODEL, "choices": choices});
    let choice = |index: usize, text: &str, finish: Option<&str>| {
        let logprobs = if logprobs && !text.is_empty() { probabilities(text) } else { Value::Null };
        json!([{"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}])
    };
    if !stream {
        let each = made.iter().enumerate().map(|(index, one)| choice(index, &one.text(echo), Some(one.finish())));
        let choices = each.filter_map(|list| list.get(0).cloned()).collect();
        let mut whole = head(choices);
        if let Some(fields) = whole.as_object_mut() {
            fields.insert("usage".into(), usage);
        }
        return Made::Json(whole);
    }
    let mut events = Events::default();
    for (index, one) in made.iter().enumerate() {
        for word in words(&one.text(echo)) {
            events.word(&head(choice(index, word, None)));
        }
        events.data(&head(choice(index, "", Some(one.finish()))));
    }
    if flag("/stream_options/include_usage") {
        let mut last = head(json!([]));
        if let Some(fields) = last.as_object_mut() {
            fields.insert("usage".into(), usage);
        }
        events.data(&last);
    }
    events.done();
    Made::Events(events.finish())
}

/// A string or strings. Token ids are text to nobody here: they are answered as such.
fn prompts(prompt: &Value) -> Option<Vec<String>> {
    let ids = || vec!["(token ids, which the rehearsal model cannot read)".to_owned()];
    match prompt {
        Value::Array(list) if list.first().is_some_and(|first| first.is_u64() || first.is_array()) => Some(ids()),
        Value::Array(list) if list.is_empty() || list.len() > MAX_PROMPTS => None,
        Value::String(_) | Value::Array(_) => Some(strings(Some(prompt))),
        _ => None,
    }
}

fn read(request: &Value, prompt: &str, context: &mut Context) -> Ask {
    let turn = Turn { who: Who::User, text: prompt.to_owned() };
    let mut ask = Ask::new(vec![turn], context.dice.split());
    ask.stop = strings(request.get("stop"));
    ask.max_tokens = request.get("max_tokens").and_then(Value::as_u64);
    ask.n = u32::try_from(request.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, MAX_CHOICES)).unwrap_or(1);
    ask
}

fn probabilities(text: &str) -> Value {
    let mut offset = 0_usize;
    let mut offsets = Vec::new();
    let tokens: Vec<&str> = words(text).collect();
    for token in &tokens {
        offsets.push(offset);
        offset = offset.saturating_add(token.chars().count());
    }
    let certain = vec![0.0; tokens.len()];
    json!({"tokens": tokens, "token_logprobs": certain, "top_logprobs": null, "text_offset": offsets})
}
