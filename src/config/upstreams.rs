//! Where requests may go: base addresses parsed once, keys fetched from wherever they are kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};

use super::check::Check;
use super::env::Environment;
use super::problem::KeyPath;
use super::settings::{self, ApiKey, Settings, UpstreamKind};
use super::tls;
use crate::types::Secret;

/// Every upstream, ordered by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Upstreams(Vec<Arc<Upstream>>);

/// One upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// Its position in `Upstreams`.
    pub index: usize,
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whose API it speaks.
    pub kind: UpstreamKind,
    /// Where it is; `None` for the rehearsal model, which is built in.
    pub base: Option<Base>,
    /// The key to inject.
    pub api_key: Option<Secret>,
    /// The client's own credential travels on instead.
    pub forward_client_key: bool,
    /// PEM text of further CAs.
    pub ca_pem: Option<Arc<str>>,
    /// Until connected, TLS included.
    pub connect_timeout: Duration,
    /// From the request sent to the head of the answer.
    pub first_byte_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// The whole exchange.
    pub total_timeout: Duration,
    /// Further attempts after connection failures.
    pub retries: u32,
    /// Before the first of them; doubles each time.
    pub retry_delay: Duration,
    /// Idle connections kept per worker.
    pub max_idle: usize,
    /// How long an idle connection is kept.
    pub idle_connection_timeout: Duration,
    /// HTTP/2, negotiated over TLS.
    pub http2: bool,
    /// Ask streams what they used where clients do not.
    pub ask_usage: bool,
}

/// An upstream's address, in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host, and port where one is written.
    pub authority: Authority,
    /// What comes before a canonical path, without a final slash: `/v1`, or empty.
    pub prefix: Arc<str>,
}

impl Base {
    /// The address of a canonical path (`/chat/completions`), with an optional query.
    ///
    /// # Errors
    /// When path and query do not make a valid address.
    pub fn uri(&self, path: &str, query: Option<&str>) -> Result<Uri, hyper::http::Error> {
        let target = match query {
            Some(query) => format!("{}{path}?{query}", self.prefix),
            None => format!("{}{path}", self.prefix),
        };
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(PathAndQuery::try_from(target)?)
            .build()
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains('#') {
            return Err("may have no fragment");
        }
        let uri: Uri = text.parse().map_err(|_| "is not an address: write it like https://api.openai.com/v1")?;
        let parts = uri.into_parts();
        let scheme = match parts.scheme {
            Some(scheme) if scheme == Scheme::HTTP || scheme == Scheme::HTTPS => scheme,
            _ => return Err("must begin with http:// or https://"),
        };
        let authority = parts.authority.filter(|authority| !authority.host().is_empty()).ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("may have no user or password: use api_key_env or api_key_file");
        }
        if authority.port().is_none() && authority.as_str().ends_with(':') {
            return Err("has a colon but no port");
        }
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err("may have no query");
        }
        Ok(Self { scheme, authority, prefix: path.path().trim_end_matches('/').into() })
    }
}

impl Upstreams {
    /// In order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By position.
    pub fn get(&self, index: usize) -> Option<&Arc<Upstream>> {
        self.0.get(index)
    }

    /// By name.
    pub fn named(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.0.iter().find(|upstream| &*upstream.name == name)
    }

    /// The first of a kind, else the first rehearsal.
    pub fn of_kind(&self, kind: UpstreamKind) -> Option<&Arc<Upstream>> {
        let first = |kind| self.0.iter().find(|upstream| upstream.kind == kind);
        first(kind).or_else(|| first(UpstreamKind::Rehearsal))
    }
}

/// Without a single upstream configured: the providers whose key is in the environment, and the rehearsal model for
/// the others.
pub(super) fn add_defaults(settings: &mut Settings, environment: &Environment) {
    if !settings.upstreams.is_empty() {
        return;
    }
    let providers = [("openai", UpstreamKind::Openai, "OPENAI"), ("anthropic", UpstreamKind::Anthropic, "ANTHROPIC")];
    for (name, kind, prefix) in providers {
        let variable = format!("{prefix}_API_KEY");
        let file = environment.get(&format!("{variable}_FILE"));
        let mut upstream = settings::Upstream::of_kind(kind);
        if environment.get(&variable).is_some() {
            upstream.api_key_env = Some(variable);
        } else if let Some(file) = file {
            upstream.api_key_file = Some(PathBuf::from(file));
        } else {
            continue;
        }
        settings.upstreams.insert(name.to_owned(), upstream);
    }
    if settings.upstreams.len() < providers.len() {
        let rehearsal = settings::Upstream::of_kind(UpstreamKind::Rehearsal);
        settings.upstreams.insert("rehearsal".to_owned(), rehearsal);
    }
}

/// Checks every upstream and reads its key and CAs.
pub(super) fn check(check: &mut Check<'_>, settings: &Settings, environment: &Environment) -> Upstreams {
    let mut upstreams = Vec::new();
    for (name, raw) in &settings.upstreams {
        let at = KeyPath::of(&["upstreams", name]);
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') || name.is_empty() {
            check.problem(
                &at,
                "an upstream's name has letters, digits, `-` and `_` only: it becomes a label of metrics",
            );
        }
        let base = base(check, &at, raw);
        let given = KeyGiven {
            value: raw.api_key.as_ref(),
            variable: raw.api_key_env.as_deref(),
            file: raw.api_key_file.as_deref(),
            other: raw.forward_client_key.then_some("forward_client_key"),
        };
        let api_key = api_key(check, &at, &given, environment);
        let ca_pem = raw.ca.as_ref().and_then(|path| tls::authorities(check, &at.key("ca"), path));
        for (key, time) in [
            ("connect_timeout", raw.connect_timeout),
            ("first_byte_timeout", raw.first_byte_timeout),
            ("idle_timeout", raw.idle_timeout),
            ("total_timeout", raw.total_timeout),
        ] {
            if time.is_zero() {
                check.problem(&at.key(key), "must be longer than 0: every wait has an end");
            }
        }
        if raw.retries > 10 {
            check.problem(&at.key("retries"), "may be 10 at most: the delay doubles each time");
        }
        upstreams.push(Arc::new(Upstream {
            index: upstreams.len(),
            name: name.as_str().into(),
            kind: raw.kind,
            base,
            api_key,
            forward_client_key: raw.forward_client_key,
            ca_pem,
            connect_timeout: raw.connect_timeout.get(),
            first_byte_timeout: raw.first_byte_timeout.get(),
            idle_timeout: raw.idle_timeout.get(),
            total_timeout: raw.total_timeout.get(),
            retries: raw.retries,
            retry_delay: raw.retry_delay.get(),
            max_idle: raw.max_idle,
            idle_connection_timeout: raw.idle_connection_timeout.get(),
            http2: raw.http2,
            ask_usage: raw.ask_usage,
        }));
    }
    Upstreams(upstreams)
}

fn base(check: &mut Check<'_>, at: &KeyPath, raw: &settings::Upstream) -> Option<Base> {
    let default = match raw.kind {
        UpstreamKind::Openai => "https://api.openai.com/v1",
        UpstreamKind::Anthropic => "https://api.anthropic.com/v1",
        UpstreamKind::Rehearsal => {
            let idle = [
                ("base_url", raw.base_url.is_some()),
                ("api_key", raw.api_key.is_some()),
                ("api_key_env", raw.api_key_env.is_some()),
                ("api_key_file", raw.api_key_file.is_some()),
                ("ca", raw.ca.is_some()),
                ("forward_client_key", raw.forward_client_key),
            ];
            for (key, _) in idle.iter().filter(|(_, given)| *given) {
                check.problem(&at.key(key), "means nothing here: the rehearsal model is built in and calls nobody");
            }
            return None;
        }
    };
    match Base::parse(raw.base_url.as_deref().unwrap_or(default)) {
        Ok(base) => Some(base),
        Err(message) => {
            check.problem(&at.key("base_url"), message);
            None
        }
    }
}

/// The ways a key may be given in.
pub(super) struct KeyGiven<'g> {
    /// `api_key`.
    pub(super) value: Option<&'g ApiKey>,
    /// `api_key_env`.
    pub(super) variable: Option<&'g str>,
    /// `api_key_file`.
    pub(super) file: Option<&'g Path>,
    /// Another way that is in use.
    pub(super) other: Option<&'static str>,
}

/// The key, given in one way or not at all.
pub(super) fn api_key(
    check: &mut Check<'_>,
    at: &KeyPath,
    given: &KeyGiven<'_>,
    environment: &Environment,
) -> Option<Secret> {
    let ways = [
        given.value.map(|_| "api_key"),
        given.variable.map(|_| "api_key_env"),
        given.file.map(|_| "api_key_file"),
        given.other,
    ];
    let ways: Vec<&str> = ways.into_iter().flatten().collect();
    if let [_, second, ..] = ways.as_slice() {
        check.problem(&at.key(second), format!("give the key in one way, not by {}", ways.join(" and ")));
        return None;
    }
    let (source, text) = if let Some(key) = given.value {
        ("api_key", key.0.expose().to_owned())
    } else if let Some(name) = given.variable {
        let Some(value) = environment.get(name) else {
            check.problem(&at.key("api_key_env"), format!("the environment variable {name} is not set, or is empty"));
            return None;
        };
        check.reader.note(name, value);
        ("api_key_env", value.to_owned())
    } else if let Some(path) = given.file {
        match check.reader.text(path) {
            Ok(text) => ("api_key_file", text),
            Err(message) => {
                check.problem(&at.key("api_key_file"), format!("{}: {message}", path.display()));
                return None;
            }
        }
    } else {
        return None;
    };
    let key = text.trim();
    if key.is_empty() {
        check.problem(&at.key(source), "the key is empty");
        return None;
    }
    if !key.bytes().all(|b| b.is_ascii_graphic()) {
        check.problem(&at.key(source), "the key has characters that no header can carry: it must be one line of ASCII");
        return None;
    }
    Some(Secret::new(key))
}
