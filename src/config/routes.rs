//! Which request goes where and how it is treated: the configured exceptions first, then the built-in routes.

use std::sync::Arc;

use super::check::Check;
use super::problem::KeyPath;
use super::settings::{Inspect, Mode, RouteAction, SecurityMode, Settings, UpstreamKind};
use super::upstreams::{Upstream, Upstreams};
use crate::types::{ApiFamily, Dialect};

/// Every route, ready to be looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Routes {
    configured: Vec<Configured>,
    /// For known dialects that no configured route takes.
    openai: RoutePlan,
    anthropic: RoutePlan,
}

/// How one request is treated.
#[derive(Debug, Clone, PartialEq)]
pub struct RoutePlan {
    /// Refused, inspected or relayed as it is.
    pub action: RouteAction,
    /// Where it goes; `None` when no upstream speaks the caller's API.
    pub upstream: Option<Arc<Upstream>>,
    /// Whether the verdict has consequences.
    pub mode: Mode,
    /// How hard the gateway leans on the model.
    pub security: SecurityMode,
    /// What decided this, for records and for law 2's "exempt by which policy": `built-in` or `routes[2]`.
    pub policy: Arc<str>,
}

#[derive(Debug, Clone, PartialEq)]
struct Configured {
    path: Box<str>,
    /// `path` is a beginning: what follows it may be anything.
    open: bool,
    methods: Vec<Box<str>>,
    openai: RoutePlan,
    anthropic: RoutePlan,
}

impl Routes {
    /// The plan for a request, or `None` where nothing serves it: neither a known dialect nor a configured route.
    ///
    /// `path` is canonical and without `/v1`. `family` is whose API the caller speaks; it matters where the dialect
    /// alone does not tell, as for `Dialect::Models` and unknown paths.
    pub fn lookup(&self, method: &str, path: &str, dialect: Option<Dialect>, family: ApiFamily) -> Option<&RoutePlan> {
        let family = match dialect {
            Some(Dialect::Messages) => ApiFamily::Anthropic,
            Some(Dialect::Chat | Dialect::Responses | Dialect::Completions | Dialect::Embeddings) => ApiFamily::OpenAi,
            Some(Dialect::Models | Dialect::Generic) | None => family,
        };
        let of = |openai, anthropic| match family {
            ApiFamily::OpenAi => openai,
            ApiFamily::Anthropic => anthropic,
        };
        if let Some(route) = self.configured.iter().find(|route| route.takes(method, path)) {
            return Some(of(&route.openai, &route.anthropic));
        }
        match dialect {
            None | Some(Dialect::Generic) => None,
            Some(_) => Some(of(&self.openai, &self.anthropic)),
        }
    }
}

impl Configured {
    fn takes(&self, method: &str, path: &str) -> bool {
        let path_fits = match path.strip_prefix(&*self.path) {
            Some("") => !self.open,
            Some(rest) => self.open && rest.len() > 1 && rest.starts_with('/'),
            None => false,
        };
        path_fits && self.methods.iter().any(|known| **known == *method)
    }
}

/// Checks the routes and resolves their upstreams.
pub(super) fn check(check: &mut Check<'_>, settings: &Settings, upstreams: &Upstreams) -> Routes {
    let mut configured = Vec::new();
    for (index, raw) in settings.routes.iter().enumerate() {
        let at = KeyPath::of(&["routes"]).index(index);
        let (path, open) = match raw.path.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (raw.path.as_str(), false),
        };
        if let Some(message) = bad_path(&raw.path, path, open) {
            check.problem(&at.key("path"), message);
        }
        for (position, method) in raw.methods.iter().enumerate() {
            if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()) {
                check.problem(&at.key("methods").index(position), "a method is written in capitals, such as \"POST\"");
            }
        }
        let upstream = raw.upstream.as_ref().and_then(|name| {
            let found = upstreams.named(name);
            if found.is_none() && !check.doubtful(&KeyPath::of(&["upstreams", name])) {
                let known: Vec<&str> = upstreams.iter().map(|upstream| &*upstream.name).collect();
                check.problem(
                    &at.key("upstream"),
                    format!("there is no upstream `{name}`: known are {}", known.join(", ")),
                );
            }
            found
        });
        let plan = |kind| RoutePlan {
            action: raw.action.unwrap_or(RouteAction::Inspect),
            upstream: upstream.or_else(|| upstreams.of_kind(kind)).cloned(),
            mode: raw.mode.unwrap_or(settings.inspect.mode),
            security: raw.security.unwrap_or(settings.inspect.security),
            policy: format!("routes[{index}]").into(),
        };
        let methods = if raw.methods.is_empty() { vec!["POST".to_owned()] } else { raw.methods.clone() };
        configured.push(Configured {
            path: path.into(),
            open,
            methods: methods.into_iter().map(String::into_boxed_str).collect(),
            openai: plan(UpstreamKind::Openai),
            anthropic: plan(UpstreamKind::Anthropic),
        });
    }
    Routes {
        configured,
        openai: built_in(&settings.inspect, upstreams.of_kind(UpstreamKind::Openai)),
        anthropic: built_in(&settings.inspect, upstreams.of_kind(UpstreamKind::Anthropic)),
    }
}

fn built_in(inspect: &Inspect, upstream: Option<&Arc<Upstream>>) -> RoutePlan {
    RoutePlan {
        action: RouteAction::Inspect,
        upstream: upstream.cloned(),
        mode: inspect.mode,
        security: inspect.security,
        policy: "built-in".into(),
    }
}

fn bad_path(written: &str, path: &str, open: bool) -> Option<&'static str> {
    if !written.starts_with('/') {
        return Some("must begin with a slash, such as \"/chat/completions\"");
    }
    if path == "/v1" || path.starts_with("/v1/") {
        return Some("is written without the leading /v1: both forms are covered");
    }
    if path.contains('*') {
        return Some("may have a star only as its end, \"/*\"");
    }
    let plain = path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'%' | b'\\'));
    let segments_fit = path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | ".."));
    let everything = open && path.is_empty();
    if !(plain && (segments_fit || everything)) {
        return Some("must be canonical: no query, no escapes, no empty, `.` or `..` segments, no final slash");
    }
    None
}
