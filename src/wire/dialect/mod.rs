//! What each wire format says where. One file per dialect; the table below is all that the rest of the room knows.

pub(crate) mod answers;
mod chat;
mod choices;
mod completions;
mod embeddings;
mod generic;
mod messages;
mod models;
pub(crate) mod parts;
mod responses;

use super::answer::Enter;
use super::calls::WholeCall;
use super::edit::Splice;
use super::json::{BadBody, Document};
use super::prompt::At;
use super::walk::Visit;
use crate::types::{Channel, ChannelKind, Dialect, FinishReason, Usage};

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
    /// The tool calls in a whole answer.
    pub(crate) calls: fn(&Document<'_, '_>) -> Vec<WholeCall>,
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

/// An event of our own: its name, if the dialect names events, and its data.
pub(crate) type Event = (Option<String>, serde_json::Value);

/// How a dialect streams.
pub(crate) struct Streaming {
    /// Whether events come in one numbered or nested order, so that nothing may overtake a held call.
    pub(crate) sequential: bool,
    /// What an event means beyond its texts.
    pub(crate) note: fn(&Document<'_, '_>, &mut Signs, &mut Template),
    /// The name and data of an event that carries text of a channel; with its number in the stream.
    pub(crate) flush: fn(&Template, Channel, &str, u64) -> Option<Event>,
    /// The events that end an answer that was blocked: notice, next number, tokens so far.
    pub(crate) end_blocked: fn(&Template, &str, u64, Usage) -> Vec<u8>,
    /// The event that says what failed: code, message, next number.
    pub(crate) end_error: fn(&str, &str, u64) -> Vec<u8>,
}

/// How answers of this dialect are streamed.
pub(crate) fn streaming(dialect: Dialect) -> &'static Streaming {
    match dialect {
        Dialect::Chat => &chat::STREAMING,
        Dialect::Responses => &responses::STREAMING,
        Dialect::Completions => &completions::STREAMING,
        Dialect::Messages => &messages::STREAMING,
        Dialect::Embeddings | Dialect::Models | Dialect::Generic => &generic::STREAMING,
    }
}

/// What an event means beyond its texts.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    /// What ends with it.
    pub(crate) ends: Vec<Select>,
    /// The tool calls it begins or continues, and what it says of their names (unless the name is a piece anyway).
    pub(crate) begins: Vec<(Channel, String)>,
    /// What it says that all arguments of a call are.
    pub(crate) says: Vec<(Channel, Said)>,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) usage: Option<Usage>,
    pub(crate) terminal: bool,
}

/// What an event says that a call is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// What its fragments come to.
    Arguments(String),
    /// More than its fragments tell.
    Whole(String),
}

/// Some channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Select {
    /// Those of a choice or output item.
    Choice(u32),
    /// Those of a content block.
    Part(u32),
    /// One.
    One(Channel),
    /// All.
    All,
}

impl Select {
    /// Whether a channel is one of them.
    pub(crate) fn takes(self, channel: Channel) -> bool {
        match self {
            Self::Choice(choice) => channel.choice == choice,
            Self::Part(part) => channel.part == part || channel.kind == ChannelKind::Other,
            Self::One(one) => channel == one,
            Self::All => true,
        }
    }
}

/// What events said about themselves: the mould for events of our own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    /// Whether there was an event to learn from.
    pub(crate) started: bool,
    /// The id of the answer.
    pub(crate) id: String,
    /// The model that answers.
    pub(crate) model: String,
    /// When it began, in Unix seconds.
    pub(crate) created: u64,
    /// Choices that have begun and not finished, or content blocks that are open.
    pub(crate) open: Vec<u32>,
    /// Whether any choice has finished.
    pub(crate) finished: bool,
    /// The ids of output items.
    pub(crate) items: Vec<(u32, String)>,
    /// The names of fields or events behind channels that no dialect defines, and the block they are of.
    pub(crate) names: Vec<(Channel, String, u32)>,
}

/// How many odd fields of one stream are remembered.
const MOST_NAMES: usize = 32;
/// How many choices, blocks or items of one stream are remembered.
const MOST_ENTRIES: usize = 1_024;

impl Template {
    /// Text that must not be repeated was replaced in an event we learnt from.
    pub(crate) fn replace(&mut self, old: &str, new: &str) {
        let fields = [&mut self.id, &mut self.model].into_iter();
        let items = self.items.iter_mut().map(|(_, id)| id);
        for field in fields.chain(items).filter(|field| **field == old) {
            new.clone_into(field);
        }
        self.names.retain(|(_, name, _)| name != old);
    }

    /// Remembers what a channel's text is called.
    pub(crate) fn name(&mut self, channel: Channel, name: &str, block: u32) {
        if self.names.len() < MOST_NAMES && self.names.iter().all(|(known, _, _)| *known != channel) {
            self.names.push((channel, name.to_owned(), block));
        }
    }

    /// What a channel's text is called, and its block.
    pub(crate) fn name_of(&self, channel: Channel) -> Option<(&str, u32)> {
        self.names.iter().find(|(known, _, _)| *known == channel).map(|(_, name, block)| (name.as_str(), *block))
    }

    /// A choice or block is open.
    pub(crate) fn opens(&mut self, index: u32) {
        if self.open.len() < MOST_ENTRIES && !self.open.contains(&index) {
            self.open.push(index);
        }
    }

    /// A choice or block has ended.
    pub(crate) fn ends(&mut self, index: u32) {
        self.open.retain(|&open| open != index);
        self.finished = true;
    }

    /// An output item's id.
    pub(crate) fn item(&mut self, index: u32, id: &str) {
        if self.items.len() < MOST_ENTRIES && self.items.iter().all(|(known, _)| *known != index) {
            self.items.push((index, id.to_owned()));
        }
    }

    /// The id, or one of our own.
    pub(crate) fn id_or<'t>(&'t self, fallback: &'t str) -> &'t str {
        if self.id.is_empty() { fallback } else { &self.id }
    }
}
