//! What comes back: the channels text can take in an answer, why it ended, what it used.

use serde::{Deserialize, Serialize};

/// One independent flow of text in an answer. A match can span the pieces of one channel, never two channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Channel {
    /// The choice (chat, completions), output item (responses) or 0.
    pub choice: u32,
    /// The tool call, content part or content block within the choice.
    pub part: u32,
    /// What kind of text.
    pub kind: ChannelKind,
}

/// What the text of a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// The answer itself.
    Content,
    /// A refusal.
    Refusal,
    /// Reasoning or thinking, and its summaries.
    Reasoning,
    /// A tool call's name and arguments: leaves only after the verdict on the whole call.
    ToolCall,
    /// Anything else that is text: annotations, transcripts, ids, names, unknown fields.
    Other,
}

impl ChannelKind {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Refusal => "refusal",
            Self::Reasoning => "reasoning",
            Self::ToolCall => "tool_call",
            Self::Other => "other",
        }
    }
}

/// Why an answer ended, in neutral words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or met a stop sequence.
    Stop,
    /// A token limit.
    Length,
    /// It wants a tool called.
    ToolCalls,
    /// The provider's or our own filter.
    ContentFilter,
    /// Anything else.
    Other,
}

impl FinishReason {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Other => "other",
        }
    }
}

/// Tokens as the provider counted them; `input` includes cached ones whatever the dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached: u64,
    /// Completion tokens, reasoning included.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
}
