//! How streams of choices work: chat completions and completions share everything but where the text is.

use serde_json::{Value, json};

use super::answers::{openai_finish, openai_usage};
use super::{Select, Signs, Template};
use crate::wire::json::{Document, Kind};
use crate::wire::sse::SseEvent;

/// Learns the mould of a chunk's outer object, reads its usage and how its choices end. Calls `choice` for each.
pub(crate) fn note(
    doc: &Document<'_, '_>,
    signs: &mut Signs,
    template: &mut Template,
    mut each: impl FnMut(u32, u32, &mut Signs, &mut Template),
) {
    if template.id.is_empty() {
        template.id = doc.get_str(0, "id").unwrap_or_default().into_owned();
        template.model = doc.get_str(0, "model").unwrap_or_default().into_owned();
        template.created = doc.get_u64(0, "created").unwrap_or(0);
    }
    template.started = true;
    signs.usage = openai_usage(doc, 0);
    let Some(choices) = doc.get(0, "choices") else { return };
    for (position, choice) in doc.elements(choices).enumerate() {
        let index = doc.get_u64(choice, "index").and_then(|i| u32::try_from(i).ok());
        let index = index.unwrap_or_else(|| u32::try_from(position).unwrap_or(u32::MAX));
        template.opens(index);
        each(choice, index, signs, template);
        if let Some(reason) = doc.get(choice, "finish_reason").filter(|&reason| doc.node(reason).kind == Kind::String) {
            signs.finish = signs.finish.or(Some(openai_finish(&doc.string(reason))));
            signs.ends.push(Select::Choice(index));
            template.ends(index);
        }
    }
}

/// A chunk around one choice.
pub(crate) fn chunk(template: &Template, object: &str, choice: Value) -> Value {
    json!({
        "id": template.id_or("chatcmpl-portcullis"),
        "object": object,
        "created": template.created,
        "model": template.model,
        "choices": [choice],
    })
}

/// A last chunk for each choice that is open, then the end mark.
pub(crate) fn end_blocked(template: &Template, object: &str, choice: impl Fn(u32) -> Value) -> Vec<u8> {
    let mut open = template.open.clone();
    if open.is_empty() && !template.finished {
        open.push(0);
    }
    let mut out = Vec::new();
    for index in open {
        SseEvent::write(None, chunk(template, object, choice(index)).to_string().as_bytes(), &mut out);
    }
    SseEvent::write(None, b"[DONE]", &mut out);
    out
}

/// The event that SDKs raise as an error.
pub(crate) fn end_error(code: &str, message: &str, _: u64) -> Vec<u8> {
    let error = json!({ "message": message, "type": "server_error", "param": null, "code": code });
    let mut out = Vec::new();
    SseEvent::write(None, json!({ "error": error }).to_string().as_bytes(), &mut out);
    out
}
