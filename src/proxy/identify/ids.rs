//! Where ids that a provider issued stand in requests and answers.

/// What an id is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdKind {
    /// A stored answer: `resp_...`. (Chat completions are stored only if asked for; in paths they count too.)
    Response,
    /// A stored conversation: `conv_...`, or a thread.
    Conversation,
    /// A file: `file-...`, `file_...`; an upload.
    File,
    /// A batch: `batch_...`, `msgbatch_...`.
    Batch,
    /// A container or sandbox: `cntr_...`, `container_...`.
    Container,
    /// A store of vectors: `vs_...`.
    VectorStore,
}

/// What an id is of by how it begins: what `id` fields of answers issue. `None`: not an id that can be used again.
pub fn kind_by_prefix(id: &str) -> Option<IdKind> {
    let known = [
        ("resp_", IdKind::Response),
        ("conv_", IdKind::Conversation),
        ("thread_", IdKind::Conversation),
        ("msgbatch_", IdKind::Batch),
        ("batch_", IdKind::Batch),
        ("file-", IdKind::File),
        ("file_", IdKind::File),
        ("upload_", IdKind::File),
        ("cntr_", IdKind::Container),
        ("container_", IdKind::Container),
        ("vs_", IdKind::VectorStore),
    ];
    known.into_iter().find(|(prefix, _)| id.starts_with(prefix) && id.len() > prefix.len()).map(|(_, kind)| kind)
}

/// The ids in a path (without a query, with or without `/v1`): `/responses/{id}`, `/containers/{id}/files/{id}`.
pub fn ids_in_path(path: &str) -> impl Iterator<Item = (IdKind, &str)> {
    let mut before = None;
    path.split('/').filter(|segment| !segment.is_empty()).filter_map(move |segment| {
        let kind = match before.take() {
            Some("responses" | "completions") => Some(IdKind::Response),
            Some("conversations" | "threads") => Some(IdKind::Conversation),
            Some("files" | "uploads") => Some(IdKind::File),
            Some("batches") => Some(IdKind::Batch),
            Some("containers") => Some(IdKind::Container),
            Some("vector_stores") => Some(IdKind::VectorStore),
            Some(_) | None => None,
        };
        match kind {
            // `/responses/input_tokens`, `/responses/compact`, `/vector_stores/search` name a call, not an object.
            Some(kind) if !is_call(segment) => Some((kind, segment)),
            Some(_) | None => {
                before = Some(segment);
                None
            }
        }
    })
}

fn is_call(segment: &str) -> bool {
    matches!(segment, "input_tokens" | "compact" | "search" | "batches" | "files" | "items")
}

/// Whether a text in a request's body is an id of a provider. `key` is the key it stands under (for an element of an
/// array, the array's), `parent` the key of the object that key is in (again the array's for an object in an array).
pub fn id_in_body(key: &str, parent: Option<&str>, value: &str) -> Option<IdKind> {
    if value.is_empty() {
        return None;
    }
    match (key, parent) {
        ("previous_response_id" | "response_id", _) => Some(IdKind::Response),
        ("conversation" | "conversation_id" | "thread_id", _) | ("id", Some("conversation")) => {
            Some(IdKind::Conversation)
        }
        ("file_id" | "file_ids" | "input_file_id" | "training_file" | "validation_file", _) => Some(IdKind::File),
        ("batch_id", _) => Some(IdKind::Batch),
        ("container" | "container_id", _) | ("id", Some("container")) => Some(IdKind::Container),
        ("vector_store_id" | "vector_store_ids", _) => Some(IdKind::VectorStore),
        _ => None,
    }
}
