//! What goes wrong in the admin API, and the only place where it becomes HTTP.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::ToSchema;

use super::door::DoorError;
use crate::store::StoreError;

/// An answer that is not what was asked for. The message is for the client and quotes no credential.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

/// Every answer that is no success has this form.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A sentence for people.
    pub message: String,
    /// The kind of error: `authentication_error`, `permission_error`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// A low-cardinality word for programs.
    pub code: String,
}

impl ApiError {
    /// An error of that status.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    /// 400: it cannot be read.
    pub fn bad(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 422: it can be read but not done.
    pub fn invalid(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// 401: nobody, or nobody any more.
    pub fn unauthenticated(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// 403: somebody, but not allowed to.
    pub fn forbidden(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    /// 404: there is none.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("There is no such {what}."))
    }

    /// 409: not as things are.
    pub fn conflict(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// 429: not now.
    pub fn later(wait: Duration) -> Self {
        let message = "Too many wrong tries: wait before the next one.";
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", message) }
    }

    /// 429: more than is allowed of it.
    pub fn limited(wait: Duration, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(wait), ..Self::new(StatusCode::TOO_MANY_REQUESTS, code, message) }
    }

    /// 503: something that is needed does not answer.
    pub fn unavailable(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let error = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message);
        Self { retry_after: Some(Duration::from_secs(1)), ..error }
    }

    /// 500: our own fault; what happened is in the log only.
    pub fn internal(what: &dyn std::fmt::Display) -> Self {
        error!(problem = %what, "admin request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The gateway failed to answer this request.")
    }

    /// The word for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 | 405 => "not_found_error",
            409 => "conflict_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let kind = self.kind().to_owned();
        let detail = ErrorDetail { message: self.message.into_owned(), kind, code: self.code.to_owned() };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1).to_string();
            if let Ok(value) = HeaderValue::from_str(&seconds) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let value = HeaderValue::from_static("Bearer realm=\"portcullis\"");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(problem: StoreError) -> Self {
        error!(%problem, "store failed an admin request");
        Self::unavailable("store_unavailable", "The store does not answer.")
    }
}

impl From<DoorError> for ApiError {
    fn from(problem: DoorError) -> Self {
        match problem {
            DoorError::NotFound(what) => Self::not_found(what),
            DoorError::Invalid(message) => Self::invalid("invalid_value", message),
            DoorError::Unavailable(message) => {
                error!(problem = %message, "a part of the gateway failed an admin request");
                Self::unavailable("unavailable", "A part of the gateway that this needs does not answer.")
            }
        }
    }
}
