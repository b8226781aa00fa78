//! `GET /models` and `GET /models/{id}`: one answer that OpenAI's and Anthropic's SDKs both read.

use serde_json::{Value, json};

use super::{MODEL, Made};

/// The list, or the entry of any name asked for: the rehearsal model answers to every name.
pub(super) fn answer(path: &str, created: u64) -> Made {
    let id = path.trim_end_matches('/').strip_prefix("/models/").filter(|id| !id.is_empty());
    Made::Json(match id {
        Some(id) => model(id, created),
        None => json!({
            "object": "list", "data": [model(MODEL, created)], "has_more": false, "first_id": MODEL, "last_id": MODEL,
        }),
    })
}

fn model(id: &str, created: u64) -> Value {
    json!({
        "id": id, "object": "model", "created": created, "owned_by": MODEL,
        "type": "model", "display_name": "Portcullis rehearsal model", "created_at": "2026-01-01T00:00:00Z",
    })
}
