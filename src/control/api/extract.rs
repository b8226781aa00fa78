//! What handlers take out of a request, with errors in the API's form.

use axum::body::Bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::App;
use super::error::ApiError;

/// A JSON body: one value, unknown fields refused by its type, no zero bytes.
pub struct Body<T>(pub T);

/// Parameters of the query, unknown ones refused by their type.
pub struct Asked<T>(pub T);

/// Parameters of the path.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let told = "The body has to be application/json.";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", told));
        }
        let bytes = body(request, app).await?;
        // Names and values are kept by PostgreSQL, which has no zero bytes.
        if has_zero(&bytes) {
            return Err(ApiError::bad("zero_byte", "The body has a zero byte in a text."));
        }
        // Serde takes arrays for structs.
        if bytes.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
            return Err(ApiError::bad("invalid_body", "The body has to be an object."));
        }
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            Err(error) if error.is_data() => Err(ApiError::bad("invalid_body", cleaned(&error.to_string()))),
            Err(_) => Err(ApiError::bad("invalid_json", "The body is not valid JSON.")),
        }
    }
}

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match axum::extract::Query::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(QueryRejection::FailedToDeserializeQueryString(error)) => {
                Err(ApiError::bad("invalid_query", cleaned(&error.body_text())))
            }
            Err(_) => Err(ApiError::bad("invalid_query", "The query cannot be read.")),
        }
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(_)) => {
                Err(ApiError::bad("invalid_path", "The path has a part that cannot be read."))
            }
            Err(_) => Err(ApiError::bad("invalid_path", "The path cannot be read.")),
        }
    }
}

/// The whole body, if it is within bounds.
async fn body(request: Request, app: &App) -> Result<Bytes, ApiError> {
    let limit = app.settings.max_body.len();
    axum::body::to_bytes(request.into_body(), limit).await.map_err(|_| {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("A body has at most {limit} bytes."))
    })
}

/// A reader's message without what the client sent: it may be a password in the wrong place.
fn cleaned(message: &str) -> String {
    let told = message.split(" at line ").next().unwrap_or_default();
    let about = ["unknown field", "missing field", "duplicate field", "unknown variant"];
    if about.iter().any(|start| told.contains(start)) && told.len() < 400 && !told.contains("string \"") {
        return format!("{}.", told.chars().filter(|c| !c.is_control()).collect::<String>());
    }
    "A value has the wrong type or is out of its bounds.".to_owned()
}

/// Whether a JSON text has the escape of a zero byte in it. Bare ones are no JSON.
fn has_zero(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let after = rest.get(at.saturating_add(1)..).unwrap_or_default();
        if after.starts_with(b"u0000") {
            return true;
        }
        // What is escaped may be a backslash itself: it escapes nothing.
        rest = after.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_zero;

    #[test]
    fn a_zero_byte_is_found_and_a_text_about_one_is_not() {
        assert!(has_zero(br#"{"a":"x\u0000"}"#) && has_zero(br#"{"a":"\\\u0000"}"#));
        assert!(!has_zero(br#"{"a":"\\u0000"}"#) && !has_zero(br#"{"a":"\u00001"}"#.get(..8).unwrap()));
        assert!(!has_zero(b"\\"));
    }
}
