//! What the listener itself refuses, and the bytes a client gets for it.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use uuid::Uuid;
use uuid::fmt::Simple;

/// A request that breaks the protocol or a limit of it. The message never quotes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refuse {
    /// The HTTP status, 400..=505.
    pub status: u16,
    /// The `code` of the error body; one of a small fixed set, fit for a metric label.
    pub code: &'static str,
    /// The `message` of the error body.
    pub message: &'static str,
}

impl Refuse {
    /// A 400 with the code `invalid_http`.
    pub const fn bad(message: &'static str) -> Self {
        Self::new(400, "invalid_http", message)
    }

    /// Any other.
    pub const fn new(status: u16, code: &'static str, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// The error body: OpenAI's shape, which the Anthropic SDKs read as well.
    pub fn body(&self) -> String {
        serde_json::json!({
            "error": {
                "message": self.message,
                "type": if self.status >= 500 { "server_error" } else { "invalid_request_error" },
                "param": null,
                "code": self.code,
            }
        })
        .to_string()
    }

    /// A whole HTTP/1.1 answer that closes the connection.
    pub(super) fn response(&self) -> String {
        let body = self.body();
        let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&Timestamp::now()).unwrap_or_default();
        let allow = if self.status == 405 { "allow: GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS\r\n" } else { "" };
        format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-request-id: {}\r\n\
             x-should-retry: false\r\n{allow}connection: close\r\ndate: {date}\r\n\r\n{body}",
            self.status,
            reason(self.status),
            body.len(),
            request_id(),
        )
    }
}

/// A fresh `x-request-id`: `req_` and a time-ordered UUID.
pub(in crate::proxy) fn request_id() -> String {
    let mut digits = [0; Simple::LENGTH];
    ["req_", Uuid::now_v7().simple().encode_lower(&mut digits)].concat()
}

/// The reason phrase; RFC 9110, section 15.
fn reason(status: u16) -> &'static str {
    hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}
