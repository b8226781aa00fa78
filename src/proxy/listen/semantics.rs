//! What a well-formed request may not mean, in either version of HTTP.

use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, TE, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, Uri};
use hyper::{HeaderMap, Method, Version};

use super::framing::{TARGET_TOO_LONG, TOO_MANY_HEADERS};
use super::refuse::Refuse;
use crate::config::settings::Http;

/// A credential that came twice would be checked in one place and used in another.
const ONCE: [HeaderName; 3] = [AUTHORIZATION, HeaderName::from_static("x-api-key"), hyper::header::CONTENT_TYPE];

const MISDIRECTED: Refuse = Refuse::new(421, "misdirected_request", "the request target and Host name different hosts");
const BAD_HOST: Refuse = Refuse::bad("Host is missing, doubled or not a host and port");

/// Checks method, target, host and the fields that may come only once. Pure; to be called first for every request.
///
/// # Errors
/// What to answer instead of serving.
pub fn check_semantics(request: &Parts) -> Result<(), Refuse> {
    check_method(&request.method)?;
    check_form(&request.method, &request.uri)?;
    check_host(request)?;
    for name in &ONCE {
        if request.headers.get_all(name).iter().nth(1).is_some() {
            return Err(Refuse::bad("a header field that may come only once came twice"));
        }
    }
    let mut expectations = request.headers.get_all(EXPECT).iter();
    if let Some(expectation) = expectations.next()
        && (!expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") || expectations.next().is_some())
    {
        return Err(Refuse::new(417, "expectation_failed", "the only expectation served here is 100-continue"));
    }
    if request.version == Version::HTTP_2 { check_http2(&request.headers) } else { Ok(()) }
}

/// The limits on heads for a request that came by HTTP/2: those of HTTP/1 are checked before a head is read.
///
/// # Errors
/// 431 for too many fields, 414 for a target that is too long, as for HTTP/1.
pub fn check_size(request: &Parts, http: &Http) -> Result<(), Refuse> {
    if request.version != Version::HTTP_2 {
        return Ok(());
    }
    let target = request.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target as u64 > http.max_target.get() {
        return Err(TARGET_TOO_LONG);
    }
    if request.headers.len() > http.max_headers { Err(TOO_MANY_HEADERS) } else { Ok(()) }
}

fn check_method(method: &Method) -> Result<(), Refuse> {
    match *method {
        Method::GET | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::HEAD | Method::OPTIONS => {
            Ok(())
        }
        Method::CONNECT | Method::TRACE => Err(Refuse::new(405, "method_not_allowed", "this method is not allowed")),
        _ => Err(Refuse::new(501, "method_not_implemented", "this method is not implemented")),
    }
}

fn check_form(method: &Method, uri: &Uri) -> Result<(), Refuse> {
    let path = uri.path();
    if !(path.starts_with('/') || path == "*" && method == Method::OPTIONS) {
        return Err(Refuse::bad("the request target has no form that is served here"));
    }
    match uri.scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err(Refuse::bad("the scheme of the request target is not http or https")),
    }
}

/// One host, the same in every place that names it.
fn check_host(request: &Parts) -> Result<(), Refuse> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BAD_HOST);
    }
    let authority = request.uri.authority();
    // Without a second host to compare it with, it is enough that it is one.
    if let (Some(host), None) = (host, authority) {
        return if host.to_str().is_ok_and(is_plain_host) || host.to_str().is_ok_and(|host| parse_host(host).is_some()) {
            Ok(())
        } else {
            Err(BAD_HOST)
        };
    }
    let host = host.map(|host| host.to_str().ok().and_then(parse_host).ok_or(BAD_HOST)).transpose()?;
    if let Some(authority) = authority
        && parse_host(authority.as_str()).is_none()
    {
        return Err(BAD_HOST);
    }
    match (authority, host) {
        (Some(authority), Some(host)) if !same_host(authority, &host, request.uri.scheme_str()) => Err(MISDIRECTED),
        (Some(_), None) if request.version == Version::HTTP_11 => Err(BAD_HOST),
        (None, None) if request.version >= Version::HTTP_11 => Err(BAD_HOST),
        _ => Ok(()),
    }
}

/// `host` or `host:port`, of letters, digits, `-._~` and percent escapes, or an IP literal in brackets.
fn parse_host(text: &str) -> Option<Authority> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (literal, port) = rest.split_once(']')?;
            literal.parse::<std::net::Ipv6Addr>().ok()?;
            (literal, port.strip_prefix(':').or(port.is_empty().then_some("0")))
        }
        None => {
            let (name, port) = text.split_once(':').map_or((text, "0"), |(name, port)| (name, port));
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            name.bytes().all(plain).then_some((name, Some(port)))?
        }
    };
    let port = port?;
    if name.is_empty() || name.len() > 255 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    port.parse::<u16>().ok()?;
    text.parse().ok()
}

/// The usual `host:port` in fewer steps: what passes here passes `parse_host` as well.
fn is_plain_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (1..=255).contains(&name.len())
        && name.bytes().all(plain)
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

fn same_host(one: &Authority, other: &Authority, scheme: Option<&str>) -> bool {
    let default = match scheme {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    };
    let port = |authority: &Authority| authority.port_u16().or(default);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

/// RFC 9113, section 8.2.2, and one length.
fn check_http2(headers: &HeaderMap) -> Result<(), Refuse> {
    let connection_specific = [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    if connection_specific.iter().any(|name| headers.contains_key(name)) {
        return Err(Refuse::bad("a connection-specific header field in HTTP/2"));
    }
    if headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        return Err(Refuse::bad("TE other than trailers in HTTP/2"));
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(length) = lengths.next()
        && (length.is_empty() || !length.as_bytes().iter().all(u8::is_ascii_digit) || lengths.next().is_some())
    {
        return Err(Refuse::bad("Content-Length is not one plain decimal number"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn status(version: Version, method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut builder = Request::builder().version(version).method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (parts, ()) = builder.body(()).unwrap().into_parts();
        check_semantics(&parts).map_or_else(|refuse| refuse.status, |()| 200)
    }

    fn http1(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        status(Version::HTTP_11, method, uri, headers)
    }

    fn http2(headers: &[(&str, &str)]) -> u16 {
        status(Version::HTTP_2, "POST", "https://gateway:8443/v1/models", headers)
    }

    #[test]
    fn every_host_form_is_judged() {
        for host in
            ["a", "a.example", "a.example:8443", "127.0.0.1:80", "[::1]", "[2001:db8::1]:8443", "under_score", "A-b.c"]
        {
            assert_eq!(http1("GET", "/", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "", " ", "a b", "a,b", "a/b", "user@a", "a:b", "a:", "a:99999", ":80", "[::1", "[zz]", "[::1]x", "a:80:80",
            "a?b", "a#b", "http://a", "a\\b", "a%00",
        ] {
            assert_eq!(http1("GET", "/", &[("host", host)]), 400, "{host}");
        }
        assert_eq!(http1("GET", "/", &[]), 400);
        assert_eq!(http1("GET", "/", &[("host", "a"), ("host", "a")]), 400);
        assert_eq!(status(Version::HTTP_10, "GET", "/", &[]), 200);
    }

    #[test]
    fn a_target_and_a_host_must_agree() {
        assert_eq!(http1("GET", "http://a/x", &[("host", "a")]), 200);
        assert_eq!(http1("GET", "http://A:80/x", &[("host", "a")]), 200);
        assert_eq!(http1("GET", "http://a:81/x", &[("host", "a")]), 421);
        assert_eq!(http1("GET", "http://169.254.169.254/latest", &[("host", "a")]), 421);
        assert_eq!(http1("GET", "http://a/x", &[]), 400);
        assert_eq!(http1("GET", "ftp://a/x", &[("host", "a")]), 400);
        assert_eq!(http1("GET", "http://user@a/x", &[("host", "a")]), 400);
        assert_eq!(http1("GET", "a:80", &[("host", "a:80")]), 400);
        assert_eq!(http2(&[]), 200);
        assert_eq!(http2(&[("host", "gateway:8443")]), 200);
        assert_eq!(http2(&[("host", "other")]), 421);
        assert_eq!(status(Version::HTTP_2, "GET", "/", &[]), 400);
    }

    #[test]
    fn methods_are_a_closed_set() {
        let host = [("host", "a")];
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
            assert_eq!(http1(method, "/", &host), 200, "{method}");
        }
        for method in ["TRACE", "CONNECT"] {
            assert_eq!(http1(method, "/", &host), 405, "{method}");
        }
        for method in ["FOO", "PROPFIND", "get", "M-SEARCH"] {
            assert_eq!(http1(method, "/", &host), 501, "{method}");
        }
        assert_eq!(http1("OPTIONS", "*", &host), 200);
        assert_eq!(http1("POST", "*", &host), 400);
    }

    #[test]
    fn what_may_come_once_may_not_come_twice() {
        for name in ["authorization", "x-api-key", "content-type"] {
            assert_eq!(http1("GET", "/", &[("host", "a"), (name, "x"), (name, "x")]), 400, "{name}");
            assert_eq!(http2(&[(name, "x"), (name, "y")]), 400, "{name}");
            assert_eq!(http2(&[(name, "x")]), 200, "{name}");
        }
        assert_eq!(http1("POST", "/", &[("host", "a"), ("expect", "100-Continue")]), 200);
        assert_eq!(http1("POST", "/", &[("host", "a"), ("expect", "200-ok")]), 417);
        assert_eq!(http1("POST", "/", &[("host", "a"), ("expect", "100-continue"), ("expect", "100-continue")]), 417);
    }

    #[test]
    fn http2_has_no_connection_fields() {
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "1"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("content-length", "+5"),
        ] {
            assert_eq!(http2(&[(name, value)]), 400, "{name}");
        }
        assert_eq!(http2(&[("te", "trailers")]), 200);
        assert_eq!(http2(&[("content-length", "5"), ("content-length", "5")]), 400);
    }
}
