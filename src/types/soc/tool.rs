//! Tool calls in live answers that wait for a person.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{Caller, RequestId};

/// One call that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolHold {
    /// `tch_` and a time-ordered UUID (version 7).
    pub id: Arc<str>,
    /// The request whose answer it is in.
    pub request: RequestId,
    /// Whose request that is.
    pub caller: Caller,
    /// The tool's name.
    pub tool: Arc<str>,
    /// SHA-256 of the arguments as they would leave, in hexadecimal digits.
    pub arguments: String,
    /// How many bytes these are.
    pub bytes: u64,
    /// Since when it waits: Unix time in microseconds.
    pub since: i64,
    /// Until when; after that it is refused.
    pub expires: i64,
}

/// What a person said about a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRuling {
    /// The call's id.
    pub id: Arc<str>,
    /// For this tool and these arguments alone.
    pub tool: Arc<str>,
    /// SHA-256 of the arguments.
    pub arguments: String,
    /// Whether it may leave.
    pub granted: bool,
    /// Who said so: the id of an account.
    pub by: Arc<str>,
    /// When: Unix time in microseconds.
    pub at: i64,
}

impl ToolRuling {
    /// Whether it is about `hold` and nothing else: the same call, tool and arguments.
    pub fn is_about(&self, hold: &ToolHold) -> bool {
        self.id == hold.id && self.tool == hold.tool && self.arguments == hold.arguments
    }
}
