//! What a detector over HTTP is sent and what it answers: `POST`, JSON both ways, answered with status 200. The schema of
//! both is `deploy/detector.schema.json`, printed by `portcullis config schema detector`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::types::Role;

/// The version of this contract. A service may refuse versions it does not know.
pub const VERSION: u32 = 1;

/// Both directions of the contract.
#[derive(Debug, JsonSchema)]
#[schemars(title = "Portcullis detector")]
pub struct Exchange {
    /// What the gateway posts.
    pub request: Request,
    /// What the service answers.
    pub response: Response,
}

/// What the gateway posts: texts to be judged, each by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// The version of the contract.
    pub version: u32,
    /// The request the texts are from, as in its record and in `x-request-id`.
    pub id: String,
    /// The texts.
    pub texts: Vec<RequestText>,
    /// Who asks; only where `send_caller` is on and there is a user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<RequestCaller>,
}

/// One text: a message, a tool result, or a passage of a long one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestText {
    /// Its position in this request, from 0.
    pub index: u32,
    /// Who is said to have written it: `system`, `developer`, `user`, `assistant`, `tool`, `definition`, `parameter`.
    #[schemars(with = "String")]
    pub role: Role,
    /// The text itself.
    pub text: String,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestCaller {
    /// The name of the gateway key, or what a trusted header says.
    pub user: String,
}

/// What the service answers: one result per text, in any order. Further fields are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Response {
    /// The results.
    pub results: Vec<ResponseResult>,
}

/// What it thinks of one text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ResponseResult {
    /// Which text.
    pub index: u32,
    /// The probability that it is an attack.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub score: f32,
    /// A short word for what it is: letters, digits, `_`, `-`, `.`, at most 64. It appears in records.
    #[serde(default)]
    pub label: Option<String>,
    /// The first byte of the worst place (of the text's UTF-8); absent: the beginning.
    #[serde(default)]
    pub start: Option<u32>,
    /// One past its last byte; absent: the end.
    #[serde(default)]
    pub end: Option<u32>,
}
