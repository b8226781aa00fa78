//! What each wire format says where. One file per dialect; the table below is all that the rest of the room knows.

pub(crate) mod answers;
mod chat;
mod completions;
mod embeddings;
mod generic;
mod messages;
mod models;
pub(crate) mod parts;
mod responses;

use super::answer::Enter;
use super::edit::Splice;
use super::json::{BadBody, Document};
use super::prompt::At;
use super::walk::Visit;
use crate::types::{Dialect, FinishReason, Usage};

/// How a dialect's requests are read.
pub(crate) struct Request {
    /// The meaning of the body itself.
    pub(crate) root: At,
    /// The meaning of a value from that of its container.
    pub(crate) enter: fn(&Document<'_, '_>, At, Visit<'_>) -> At,
    /// Refuses a body that lacks what the dialect requires.
    pub(crate) require: fn(&Document<'_, '_>) -> Result<(), BadBody>,
    /// How a system message is added.
    pub(crate) harden: fn(&Document<'_, '_>, &str) -> Option<Splice>,
}

/// How requests of this dialect are read.
pub(crate) fn request(dialect: Dialect) -> &'static Request {
    match dialect {
        Dialect::Chat => &chat::REQUEST,
        Dialect::Responses => &responses::REQUEST,
        Dialect::Completions => &completions::REQUEST,
        Dialect::Embeddings => &embeddings::REQUEST,
        Dialect::Models => &models::REQUEST,
        Dialect::Messages => &messages::REQUEST,
        Dialect::Generic => &generic::REQUEST,
    }
}

/// How a dialect's answers are read.
pub(crate) struct Answer {
    /// The meaning of a value from that of its container, in whole answers and in events.
    pub(crate) enter: Enter,
    /// The tokens counted in an answer object.
    pub(crate) usage: fn(&Document<'_, '_>, u32) -> Option<Usage>,
    /// Why an answer ended.
    pub(crate) finish: fn(&Document<'_, '_>) -> Option<FinishReason>,
    /// A whole answer that a filter ended: from an id, a model, a notice and the tokens used.
    pub(crate) blocked: fn(&str, &str, &str, Usage) -> Vec<u8>,
}

/// How answers of this dialect are read.
pub(crate) fn answer(dialect: Dialect) -> &'static Answer {
    match dialect {
        Dialect::Chat => &chat::ANSWER,
        Dialect::Responses => &responses::ANSWER,
        Dialect::Completions => &completions::ANSWER,
        Dialect::Embeddings => &embeddings::ANSWER,
        Dialect::Models => &models::ANSWER,
        Dialect::Messages => &messages::ANSWER,
        Dialect::Generic => &generic::ANSWER,
    }
}
