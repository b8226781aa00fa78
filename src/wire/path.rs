//! Which call a request line asks for. Paths that two servers could read differently are refused, not repaired.

use crate::types::Dialect;

/// What a method and path ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A call whose wire format is known.
    Call {
        /// Its wire format.
        dialect: Dialect,
        /// The path after the optional `/v1`, without the query: what is forwarded to the upstream's base URL.
        path: String,
    },
    /// Some other clean path, without the optional `/v1` and without the query.
    Unknown(String),
    /// A path trick: empty or dot segments, percent escapes, backslashes, parameters, control bytes.
    Bad,
}

/// Reads a request target (path and query, as sent). `/v1/...` and bare `/...` are the same call.
pub fn target(method: &str, raw_path: &str) -> Target {
    let path = raw_path.split_once('?').map_or(raw_path, |(path, _)| path);
    if !is_clean(path) {
        return Target::Bad;
    }
    let path = match path.strip_prefix("/v1") {
        Some("") => "/",
        Some(rest) if rest.starts_with('/') => rest,
        _ => path,
    };
    let dialect = match (method, path) {
        ("POST", "/chat/completions") => Dialect::Chat,
        ("POST", "/responses") => Dialect::Responses,
        ("POST", "/completions") => Dialect::Completions,
        ("POST", "/embeddings") => Dialect::Embeddings,
        ("POST", "/messages" | "/messages/count_tokens") => Dialect::Messages,
        ("GET", "/models") => Dialect::Models,
        ("GET", _) if path.starts_with("/models/") => Dialect::Models,
        _ => return Target::Unknown(path.to_owned()),
    };
    Target::Call { dialect, path: path.to_owned() }
}

fn is_clean(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let allowed =
        |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b';' | b'#' | b'"' | b'<' | b'>');
    path.bytes().all(allowed)
        && (segments.is_empty() || segments.split('/').all(|segment| !matches!(segment, "" | "." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_with_and_without_v1() {
        let chat = Target::Call { dialect: Dialect::Chat, path: "/chat/completions".to_owned() };
        assert_eq!(target("POST", "/v1/chat/completions"), chat);
        assert_eq!(target("POST", "/chat/completions?x=%2e%2e"), chat);
        assert_eq!(
            target("GET", "/v1/models/org/gpt-5.1"),
            Target::Call { dialect: Dialect::Models, path: "/models/org/gpt-5.1".to_owned() }
        );
    }

    #[test]
    fn other_methods_and_paths_are_unknown() {
        assert_eq!(target("GET", "/v1/chat/completions"), Target::Unknown("/chat/completions".to_owned()));
        assert_eq!(target("POST", "/v1/Chat/Completions"), Target::Unknown("/Chat/Completions".to_owned()));
        assert_eq!(target("POST", "/v1/v1/responses"), Target::Unknown("/v1/responses".to_owned()));
        assert_eq!(target("POST", "/v1chat"), Target::Unknown("/v1chat".to_owned()));
        assert_eq!(target("GET", "/v1"), Target::Unknown("/".to_owned()));
    }

    #[test]
    fn path_tricks_are_bad() {
        for path in [
            "",
            "v1/models",
            "//v1/models",
            "/v1//models",
            "/v1/./models",
            "/v1/../models",
            "/v1/models/",
            "/v1/",
            "/v1/models/..",
            "/v1/%2e%2e/models",
            "/v1%2fmodels",
            "/v1/models%00",
            "/v1\\models",
            "/v1/models;x",
            "/v1/models#a",
            "/v1/mod els",
            "/v1/modéls",
            "/v1/models\0",
            "*",
            "http://host/v1/models",
        ] {
            assert_eq!(target("GET", path), Target::Bad, "{path}");
        }
    }
}
