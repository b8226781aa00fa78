//! What every admin request meets first: host, bounds and time limit; and what every answer carries.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::App;
use super::error::ApiError;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// Bytes of a request target; queries here are short.
const MAX_TARGET: usize = 4096;

/// How a request came in.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The client's address: the peer, or what a trusted proxy says.
    pub address: Option<IpAddr>,
    /// The `Host` it asked, with port, in lower case.
    pub host: Arc<str>,
    /// Whether it came by TLS.
    pub secure: bool,
    /// Whether the peer and the host it asked are this machine, without a proxy between.
    pub loopback: bool,
    /// The id of this request.
    pub request: Arc<str>,
}

/// Marks connections that came by TLS; whoever serves the router inserts it into the request.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

/// Refuses what is out of bounds and dresses every answer.
pub async fn edge(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let id: Arc<str> = format!("adm_{}", Uuid::now_v7().simple()).into();
    let answer = match peer(&app, &request, Arc::clone(&id)) {
        Ok(peer) => {
            let secure = peer.secure;
            request.extensions_mut().insert(peer);
            let limit = app.settings.request_timeout.get();
            let answer = tokio::time::timeout(limit, next.run(request)).await;
            let late = |_| ApiError::unavailable("timeout", "This took too long.").into_response();
            let mut answer = answer.unwrap_or_else(late);
            if secure {
                let value = HeaderValue::from_static("max-age=31536000");
                answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
            }
            answer
        }
        Err(error) => error.into_response(),
    };
    dress(answer, &id)
}

fn dress(mut answer: Response, id: &str) -> Response {
    let headers = answer.headers_mut();
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (RESOURCE_POLICY, "same-origin"),
        (OPENER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn peer(app: &App, request: &Request, id: Arc<str>) -> Result<Peer, ApiError> {
    let target = request.uri().path_and_query().map_or("", axum::http::uri::PathAndQuery::as_str);
    if target.len() > MAX_TARGET {
        return Err(ApiError::new(StatusCode::URI_TOO_LONG, "target_too_long", "The request target is too long."));
    }
    // No name or value of ours has a zero byte, and PostgreSQL could not keep it.
    if target.contains("%00") {
        return Err(ApiError::bad("zero_byte", "The request target has a zero byte in it."));
    }
    let host = host(app, request.headers(), request.uri())?;
    let direct = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_canonical());
    let trusted = direct.is_some_and(|ip| app.settings.trusted_proxies.iter().any(|network| network.contains(&ip)));
    let address = if trusted { forwarded(app, request.headers()).or(direct) } else { direct };
    let by_proxy = trusted && request.headers().get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
    let secure = by_proxy || request.extensions().get::<OverTls>().is_some();
    let loopback = !trusted && direct.is_some_and(|ip| ip.is_loopback()) && is_loopback(bare(&host));
    Ok(Peer { address, host, secure, loopback, request: id })
}

/// The host that was asked, if it is one of ours. Without this any page could point its own name at this address and
/// would be of the same origin (DNS rebinding).
fn host(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<Arc<str>, ApiError> {
    let wrong = || ApiError::new(StatusCode::MISDIRECTED_REQUEST, "unknown_host", "This host name is not served here.");
    let mut named = headers.get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else {
        return Err(ApiError::bad("invalid_host", "A request names exactly one host."));
    };
    let host = host.to_str().map_err(|_| wrong())?.to_ascii_lowercase();
    let known = |host: &str| {
        let name = bare(host).trim_end_matches('.');
        !name.is_empty() && app.settings.allowed_hosts.iter().any(|allowed| bare(allowed).eq_ignore_ascii_case(name))
    };
    if !known(&host) || uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(&host)) {
        return Err(wrong());
    }
    Ok(host.into())
}

/// A host without port and brackets.
fn bare(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(address, _)| address);
    }
    // More than one colon: an IPv6 address as settings may have it.
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        Some(_) | None => host,
    }
}

fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The last address in `X-Forwarded-For` that is not a trusted proxy's.
fn forwarded(app: &App, headers: &HeaderMap) -> Option<IpAddr> {
    let all: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let addresses = all.iter().flat_map(|value| value.split(',')).map(|text| text.trim().parse::<IpAddr>());
    let mut last = None;
    for address in addresses.rev() {
        let address = address.ok()?.to_canonical();
        last = Some(address);
        if !app.settings.trusted_proxies.iter().any(|network| network.contains(&address)) {
            break;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_bare_without_port_and_brackets() {
        for (host, name) in [
            ("localhost", "localhost"),
            ("localhost:9090", "localhost"),
            ("[::1]:9090", "::1"),
            ("::1", "::1"),
            ("[::1", ""),
            ("evil@localhost", "evil@localhost"),
        ] {
            assert_eq!(bare(host), name, "{host}");
        }
    }
}
