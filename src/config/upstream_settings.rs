//! The shape of `[upstreams.NAME]`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::defaults::upstream;
use super::units::Time;
use crate::types::Secret;

/// Where requests may go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Whose API it speaks.
    pub kind: UpstreamKind,
    /// Up to and including the version (`https://api.openai.com/v1`).
    #[serde(default)]
    pub base_url: Option<String>,
    /// The provider's key, injected by the gateway.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub api_key: Option<ApiKey>,
    /// An environment variable that holds it.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// A file that holds it; read again at each reload.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// Let the client's own credential travel on instead.
    #[serde(default)]
    pub forward_client_key: bool,
    /// PEM file with further CAs, beside the platform's.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Until connected, TLS included.
    #[serde(default = "upstream::connect_timeout")]
    pub connect_timeout: Time,
    /// From the request sent to the head of the answer.
    #[serde(default = "upstream::first_byte_timeout")]
    pub first_byte_timeout: Time,
    /// Between two pieces of an answer.
    #[serde(default = "upstream::idle_timeout")]
    pub idle_timeout: Time,
    /// The whole exchange.
    #[serde(default = "upstream::total_timeout")]
    pub total_timeout: Time,
    /// Further attempts while nothing was sent twice (connection failures only).
    #[serde(default = "upstream::retries")]
    pub retries: u32,
    /// Before the first of them; doubles each time.
    #[serde(default = "upstream::retry_delay")]
    pub retry_delay: Time,
    /// Idle connections kept per worker.
    #[serde(default = "upstream::max_idle")]
    pub max_idle: usize,
    /// How long an idle connection is kept.
    #[serde(default = "upstream::idle_connection")]
    pub idle_connection_timeout: Time,
    /// Speak HTTP/2 with this upstream (over TLS it is negotiated; in clear it needs prior knowledge).
    #[serde(default)]
    pub http2: bool,
    /// Ask streams what they used where clients do not, and keep the answer to that from them.
    #[serde(default = "upstream::ask_usage")]
    pub ask_usage: bool,
}

/// A provider's key as written in the file. It prints as `[redacted]`, whatever prints it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct ApiKey(pub Secret);

impl From<String> for ApiKey {
    fn from(key: String) -> Self {
        Self(Secret::new(key))
    }
}

impl Serialize for ApiKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[redacted]")
    }
}

/// Whose API an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamKind {
    /// Chat completions, responses, completions, embeddings, models.
    Openai,
    /// Messages.
    Anthropic,
    /// The built-in offline model: answers every dialect.
    Rehearsal,
}
