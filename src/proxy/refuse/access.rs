//! Refusals about who asks and how much: identity, orders, policies, limits, budgets.

use std::time::Duration;

use hyper::StatusCode;

use super::Refusal;
use crate::proxy::identify::{ErrorClass, IdentityError};
use crate::types::Outcome;

impl Refusal {
    /// Nobody we know, or somebody who contradicts themselves.
    pub(in crate::proxy) fn unidentified(error: &IdentityError) -> Self {
        let message = format!("{}.", sentence(&error.to_string()));
        match error.class() {
            ErrorClass::BadRequest => Self::invalid(StatusCode::BAD_REQUEST, error.code(), message),
            ErrorClass::Unauthorized => {
                Self::new(StatusCode::UNAUTHORIZED, error.code(), "authentication_error", message)
            }
            ErrorClass::Forbidden => {
                Self::new(StatusCode::FORBIDDEN, error.code(), "permission_denied", message).final_word()
            }
            ErrorClass::Unavailable => {
                Self::server(StatusCode::SERVICE_UNAVAILABLE, error.code(), message).retry_after(Duration::from_secs(1))
            }
        }
    }

    /// An id that a provider issued to somebody else, or to nobody known. It looks the same as one that does not exist.
    pub(in crate::proxy) fn not_yours() -> Self {
        Self::invalid(StatusCode::NOT_FOUND, "not_found", "There is no such object.").final_word()
    }

    /// A standing order blocks the caller.
    pub(in crate::proxy) fn ordered() -> Self {
        Self::forbidden("blocked_by_order", "Access is suspended by an order of the operator.")
    }

    /// A standing order quarantines the caller.
    pub(in crate::proxy) fn quarantined() -> Self {
        Self::forbidden(
            "quarantined",
            "Access is suspended by an order of the operator: requests are read, not answered.",
        )
    }

    /// The policy does not let this caller ask for this model.
    pub(in crate::proxy) fn model_not_allowed() -> Self {
        let mut refusal = Self::forbidden("model_not_allowed", "The gateway's policy does not allow this model.");
        refusal.0.param = Some("model".to_owned());
        refusal
    }

    /// The policy does not let this caller offer this tool or server to a model.
    pub(in crate::proxy) fn tool_not_allowed() -> Self {
        let message = "The gateway's policy does not allow a tool or MCP server of this request.";
        let mut refusal = Self::forbidden("tool_not_allowed", message);
        refusal.0.param = Some("tools".to_owned());
        refusal
    }

    /// The answer calls a tool, and no person said that it may.
    pub(in crate::proxy) fn tool_unapproved(code: &'static str) -> Self {
        let message = "The answer was blocked: it calls a tool that a person must approve, and nobody did.";
        Self::invalid(StatusCode::BAD_REQUEST, code, message).final_word().ending(Outcome::AnswerBlocked)
    }

    /// A rate was exceeded.
    pub(in crate::proxy) fn rate_limited(wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "requests", "Rate limit exceeded.")
            .retry_after(wait)
    }

    /// A rate of tokens or money was exceeded.
    pub(in crate::proxy) fn tokens_limited(wait: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "tokens", "Token rate limit exceeded.")
            .retry_after(wait)
    }

    /// The request alone needs more than a whole limit.
    pub(in crate::proxy) fn over_limit() -> Self {
        let message =
            "The request needs more tokens than a limit ever allows: shorten it, or ask for a shorter answer.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", "tokens", message).final_word()
    }

    /// A budget is spent.
    pub(in crate::proxy) fn insufficient_quota() -> Self {
        let message = "A budget of the gateway is spent: it begins again with its next period.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", "insufficient_quota", message).final_word()
    }

    /// A budget in dollars applies, and the model has no price.
    pub(in crate::proxy) fn unpriced() -> Self {
        let message = "A budget applies, and the gateway knows no price for this model.";
        let mut refusal = Self::forbidden("model_without_price", message);
        refusal.0.param = Some("model".to_owned());
        refusal
    }

    /// What the fleet has used cannot be told, and limits fail closed.
    pub(in crate::proxy) fn limits_unavailable() -> Self {
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "limits_unavailable", "Limits cannot be checked just now.")
            .retry_after(Duration::from_secs(1))
    }

    /// Too many requests of one caller are running.
    pub(in crate::proxy) fn too_many_concurrent() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "concurrency_limit_exceeded",
            "requests",
            "Too many requests of this caller are in flight.",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// The whole gateway is full.
    pub(in crate::proxy) fn overloaded() -> Self {
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "The gateway has as much work as it may take.")
            .retry_after(Duration::from_secs(1))
    }

    /// The event queue is full and the configuration says to refuse then.
    pub(in crate::proxy) fn unrecordable() -> Self {
        Self::server(StatusCode::SERVICE_UNAVAILABLE, "record_queue_full", "Requests cannot be recorded just now.")
            .retry_after(Duration::from_secs(1))
    }
}

/// With a capital.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
