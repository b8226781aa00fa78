//! Why a page cannot be shown.

use std::fmt::Display;

use axum::http::StatusCode;
use serde_json::Value;
use tracing::error;

/// What went wrong, in words for people.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) status: StatusCode,
    pub(super) code: String,
    pub(super) message: String,
}

impl Trouble {
    /// What the admin API answered instead.
    pub(super) fn told(status: StatusCode, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Self {
            status,
            code: said("/error/code").unwrap_or_else(|| "unknown".to_owned()),
            message: said("/error/message").unwrap_or_else(|| format!("The gateway answered {status}.")),
        }
    }

    /// 400.
    pub(super) fn bad(message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "bad_request".to_owned(), message: message.to_owned() }
    }

    /// 403.
    pub(super) fn forbidden(message: &str) -> Self {
        Self { status: StatusCode::FORBIDDEN, code: "forbidden".to_owned(), message: message.to_owned() }
    }

    /// 404.
    pub(super) fn nowhere() -> Self {
        let message = "There is nothing under this address.".to_owned();
        Self { status: StatusCode::NOT_FOUND, code: "not_found".to_owned(), message }
    }

    /// 429.
    pub(super) fn busy() -> Self {
        let message = "Another list is being made into a file, or still sent: try again in a moment.".to_owned();
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: "busy".to_owned(), message }
    }

    /// 500: what the API answered is not what this console reads.
    pub(super) fn unreadable(why: &dyn Display) -> Self {
        error!(problem = %why, "the console cannot read an answer of the admin API");
        let message = "The gateway failed to make this page.".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "internal_error".to_owned(), message }
    }

    /// Whether somebody has to sign in first.
    pub(super) fn is_nobody(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Whether something is switched off, not for this role, or does not answer: a part of a page does without.
    pub(super) fn is_absence(&self) -> bool {
        use StatusCode as S;
        matches!(self.status, S::FORBIDDEN | S::NOT_FOUND | S::CONFLICT | S::SERVICE_UNAVAILABLE)
    }
}
