//! The bodies of the gateway's own errors, in the words of the caller's dialect.

use serde_json::{Map, Value, json};

use crate::types::ApiFamily;

/// The JSON body of a refusal. OpenAI: `{"error":{"message","type","param","code"}}`, `details` inside `error`;
/// Anthropic: `{"type":"error","error":{"type","message"},"request_id"}` with its own error types by status.
#[expect(clippy::too_many_arguments, reason = "one argument per field of the two formats; the caller names each")]
pub fn error_body(
    family: ApiFamily,
    status: u16,
    code: &str,
    kind: &str,
    message: &str,
    param: Option<&str>,
    request_id: &str,
    details: Option<Value>,
) -> Vec<u8> {
    let mut error = Map::new();
    match family {
        ApiFamily::OpenAi => {
            error.insert("message".to_owned(), json!(message));
            error.insert("type".to_owned(), json!(kind));
            error.insert("param".to_owned(), json!(param));
            error.insert("code".to_owned(), json!(code));
        }
        ApiFamily::Anthropic => {
            error.insert("type".to_owned(), json!(anthropic_type(status)));
            error.insert("message".to_owned(), json!(message));
            error.insert("code".to_owned(), json!(code));
        }
    }
    if let Some(details) = details {
        error.insert("details".to_owned(), details);
    }
    let body = match family {
        ApiFamily::OpenAi => json!({ "error": error }),
        ApiFamily::Anthropic => json!({ "type": "error", "error": error, "request_id": request_id }),
    };
    body.to_string().into_bytes()
}

/// Anthropic's error type for a status.
pub const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_gets_its_own_shape() {
        let openai = error_body(
            ApiFamily::OpenAi,
            400,
            "content_filter",
            "invalid_request_error",
            "blocked",
            None,
            "req_1",
            Some(json!({"incident": "i"})),
        );
        assert_eq!(
            String::from_utf8(openai).unwrap(),
            r#"{"error":{"message":"blocked","type":"invalid_request_error","param":null,"code":"content_filter","details":{"incident":"i"}}}"#
        );
        let anthropic = error_body(ApiFamily::Anthropic, 529, "busy", "server_error", "later", None, "req_1", None);
        assert_eq!(
            String::from_utf8(anthropic).unwrap(),
            r#"{"type":"error","error":{"type":"overloaded_error","message":"later","code":"busy"},"request_id":"req_1"}"#
        );
    }
}
