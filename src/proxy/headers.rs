//! Which header fields cross the gateway: what belongs to one connection or to one side stays there.

use hyper::HeaderMap;
use hyper::header::{CONNECTION, HeaderName};

/// What belongs to one connection, never to the next one.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// What a client says that an upstream must not hear from us: credentials, claims about addresses, framing.
fn is_clients_own(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "x-api-key"
            | "api-key"
            | "cookie"
            | "host"
            | "content-length"
            | "content-encoding"
            | "expect"
            | "forwarded"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
            | "x-forwarded-port"
            | "x-forwarded-prefix"
            | "x-real-ip"
            | "x-client-ip"
            | "true-client-ip"
            | "cf-connecting-ip"
    )
}

/// Never hop-by-hop, whatever `Connection` says: both sides need them to understand the message.
fn is_end_to_end(name: &str) -> bool {
    matches!(name, "content-type" | "content-encoding" | "content-length")
}

/// Leaves of a client's headers what an upstream may hear.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    strip(headers, |name| is_hop_by_hop(name) || is_clients_own(name));
}

/// Leaves of an upstream's headers what belongs to its answer. Its content coding is undone and its length ours to say.
pub(super) fn strip_answer(headers: &mut HeaderMap) {
    strip(headers, |name| is_hop_by_hop(name) || matches!(name, "content-encoding" | "content-length"));
}

/// Removes the headers that are `unwanted`, and those that `Connection` names. What must reach the other side is set
/// afterwards, so nobody can have it removed by naming it.
fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
        .filter(|name| !is_end_to_end(name.as_str()))
        .collect();
    let unwanted: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name.as_str())).cloned().collect();
    for name in named.iter().chain(&unwanted) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        fields.iter().map(pair).collect()
    }

    fn left(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_connection_names_goes_with_it_but_never_what_frames_the_message() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Odd, content-type"),
            ("keep-alive", "timeout=5"),
            ("x-odd", "1"),
            ("content-type", "application/json"),
            ("x-kept", "1"),
        ]);
        strip_request(&mut headers);
        assert_eq!(left(&headers), ["content-type", "x-kept"]);
    }

    #[test]
    fn credentials_and_claims_about_addresses_stay_here() {
        let mut headers = map(&[
            ("authorization", "Bearer secret"),
            ("x-api-key", "secret"),
            ("cookie", "a=b"),
            ("x-forwarded-for", "192.0.2.1"),
            ("via", "1.1 proxy"),
            ("accept", "*/*"),
        ]);
        headers.append("x-forwarded-for", HeaderValue::from_static("192.0.2.2"));
        strip_request(&mut headers);
        assert_eq!(left(&headers), ["accept"]);
    }
}
