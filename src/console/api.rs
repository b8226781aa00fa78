//! The admin API, called within the process with what the browser sent: its cookie, its host, its origin.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;

use super::trouble::Trouble;
use crate::control::api::guard::{CSRF, WATCHING};

/// What of a browser's request says who it is and from where: the API looks at nothing else of it.
const CARRIED: [HeaderName; 8] = [
    WATCHING,
    COOKIE,
    HOST,
    ORIGIN,
    USER_AGENT,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
];

/// Bytes of an answer of the API that a page is made of.
const MOST: usize = 32 << 20;

/// The router of the admin API.
pub(super) struct Api {
    router: Router,
}

/// Who sent a request, as far as the API has to know.
#[derive(Clone)]
pub(super) struct Sender {
    headers: HeaderMap,
    from: Option<ConnectInfo<SocketAddr>>,
}

impl Sender {
    /// Whoever sent this.
    pub(super) fn of(head: &Parts) -> Self {
        let mut headers = HeaderMap::new();
        for name in CARRIED {
            for value in head.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        Self { headers, from: head.extensions.get::<ConnectInfo<SocketAddr>>().copied() }
    }
}

/// What the API answered.
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Told {
    /// The JSON of a success; what went wrong otherwise.
    pub(super) fn json(&self) -> Result<Value, Trouble> {
        if !self.status.is_success() {
            return Err(Trouble::told(self.status, &self.body));
        }
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Trouble::unreadable(&error))
    }
}

impl Api {
    pub(super) fn new(router: Router) -> Self {
        Self { router }
    }

    /// Asks something; `csrf` is the session's token, for what changes something.
    pub(super) async fn send(
        &self,
        sender: &Sender,
        method: Method,
        path: &str,
        body: Option<&Value>,
        csrf: Option<&str>,
    ) -> Result<Told, Trouble> {
        let answer = self.open(sender, method, path, body, csrf).await?;
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, MOST).await.map_err(|error| Trouble::unreadable(&error))?;
        Ok(Told { status: head.status, headers: head.headers, body })
    }

    /// The same, with a body that may go on for a while.
    pub(super) async fn open(
        &self,
        sender: &Sender,
        method: Method,
        path: &str,
        body: Option<&Value>,
        csrf: Option<&str>,
    ) -> Result<Response<Body>, Trouble> {
        let text = body.map(Value::to_string);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(text.map_or_else(Body::empty, Body::from))
            .map_err(|_| Trouble::bad("This address cannot be read."))?;
        let headers = request.headers_mut();
        headers.clone_from(&sender.headers);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(csrf) = csrf.and_then(|csrf| HeaderValue::from_str(csrf).ok()) {
            headers.insert(CSRF, csrf);
        }
        if let Some(from) = sender.from {
            request.extensions_mut().insert(from);
        }
        Ok(self.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}))
    }
}
