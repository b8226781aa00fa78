//! What is said in a request, whatever the wire format: dialects, roles, trust, places.

use serde::{Deserialize, Serialize};

/// The wire format of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI `POST /chat/completions`.
    Chat,
    /// OpenAI `POST /responses`.
    Responses,
    /// OpenAI `POST /completions` (legacy).
    Completions,
    /// OpenAI `POST /embeddings`.
    Embeddings,
    /// OpenAI and Anthropic `GET /models`, `GET /models/{id}`.
    Models,
    /// Anthropic `POST /messages`.
    Messages,
    /// Any other JSON, on a route that says `inspect`: every string leaf is read.
    Generic,
}

impl Dialect {
    /// Every dialect, in the order of the enum.
    pub const ALL: [Self; 7] =
        [Self::Chat, Self::Responses, Self::Completions, Self::Embeddings, Self::Models, Self::Messages, Self::Generic];

    /// A low-cardinality label for metrics, records and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Completions => "completions",
            Self::Embeddings => "embeddings",
            Self::Models => "models",
            Self::Messages => "messages",
            Self::Generic => "generic",
        }
    }

    /// Whose error shapes and headers the caller understands.
    pub const fn api_family(self) -> ApiFamily {
        match self {
            Self::Messages => ApiFamily::Anthropic,
            Self::Chat | Self::Responses | Self::Completions | Self::Embeddings | Self::Models | Self::Generic => {
                ApiFamily::OpenAi
            }
        }
    }

    /// `gen_ai.operation.name` of the OpenTelemetry GenAI conventions.
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses | Self::Messages => "chat",
            Self::Completions => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Models => "list_models",
            Self::Generic => "generic",
        }
    }
}

/// A provider's family of APIs: decides the shape of errors, authentication and rate-limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiFamily {
    /// `Authorization: Bearer`, `{"error":{"message","type","param","code"}}`.
    OpenAi,
    /// `x-api-key`, `{"type":"error","error":{"type","message"}}`.
    Anthropic,
}

/// Who is said to have written a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The operator's instructions to the model.
    System,
    /// The application developer's instructions (OpenAI's newer name for the above).
    Developer,
    /// The person asking.
    User,
    /// The model's own earlier turns as the client quotes them: may be forged.
    Assistant,
    /// What a tool or a retrieved document returned.
    Tool,
    /// Tool definitions, response schemas and grammars.
    Definition,
    /// Everything else that is text: metadata, names, stop sequences, unknown fields.
    Parameter,
}

impl Role {
    /// A low-cardinality label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Definition => "definition",
            Self::Parameter => "parameter",
        }
    }

    /// How far text of this role may be believed.
    pub const fn trust(self) -> Trust {
        match self {
            Self::System | Self::Developer | Self::Definition => Trust::Operator,
            Self::User | Self::Parameter => Trust::User,
            Self::Assistant => Trust::Model,
            Self::Tool => Trust::External,
        }
    }
}

/// How far a span's author may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Nobody vouches for it: tool results, documents, web pages.
    External,
    /// A model wrote it, or a client says so.
    Model,
    /// The person asking.
    User,
    /// Whoever runs the application.
    Operator,
}

/// A byte range in a JSON document: the contents of a string literal, without its quotes, still escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Place {
    /// Length in bytes of the escaped text.
    pub const fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing is there.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}
