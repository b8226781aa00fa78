//! Method and path -> what is spoken, where it goes, and how it is treated.

use std::sync::Arc;

use hyper::Method;
use hyper::header::HeaderName;
use hyper::http::request::Parts;

use super::approve::Approver;
use super::refuse::Refusal;
use crate::config::settings::{Mode, OnFailure, OnUninspected, RouteAction, SecurityMode};
use crate::config::{Policy, Snapshot, Upstream};
use crate::detect::Thresholds;
use crate::types::{ApiFamily, Dialect};
use crate::wire::{self, Target};

/// What a request is and how it is treated.
pub(super) struct Plan {
    /// The wire format.
    pub(super) dialect: Dialect,
    /// The canonical path, without `/v1`.
    pub(super) path: Arc<str>,
    /// Inspected, or let pass.
    pub(super) action: RouteAction,
    /// Where it goes.
    pub(super) upstream: Arc<Upstream>,
    /// Whether the verdict has consequences.
    pub(super) mode: Mode,
    /// How hard the gateway leans on the model.
    pub(super) security: SecurityMode,
    /// Whether the method is one that comes without a body.
    pub(super) bodiless: bool,
    /// Whether only the head of the answer is asked for.
    pub(super) head_only: bool,
    /// Headers that speak of the caller to this gateway alone.
    pub(super) strip: Arc<[Box<str>]>,
    /// Whether the credential that came with it is one of the gateway's, and not for the provider.
    pub(super) own_key: bool,
    /// Whether the gateway asks a stream what it used although the client did not: it does not see the answer to that.
    pub(super) asks_usage: bool,
    /// What decides the above and more, by who asks.
    pub(super) policy: Arc<Policy>,
    /// Whether an order has the caller judged by the strict thresholds, whatever the policy says.
    pub(super) tightened: bool,
    /// Asks people about tool calls, where the policy says so.
    pub(super) approver: Option<Approver>,
}

pub(super) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// The plan for a request of a caller of `family`.
///
/// # Errors
/// A path that can be read two ways, an endpoint that is not allowed, or no upstream for it.
pub(super) fn plan(snapshot: &Snapshot, head: &Parts, family: ApiFamily) -> Result<Plan, Refusal> {
    let (known, path) = match wire::target(head.method.as_str(), head.uri.path()) {
        Target::Bad => return Err(Refusal::bad_path()),
        Target::Call { dialect, path } => (Some(dialect), path),
        Target::Unknown(path) => (None, path),
    };
    let planned = snapshot
        .routes
        .lookup(head.method.as_str(), &path, known, family)
        .ok_or_else(|| Refusal::endpoint_not_allowed(true))?;
    if planned.action == RouteAction::Deny {
        return Err(Refusal::endpoint_not_allowed(true));
    }
    let upstream = planned.upstream.clone().ok_or_else(Refusal::no_upstream)?;
    Ok(Plan {
        dialect: known.unwrap_or(Dialect::Generic),
        path: Arc::from(path),
        action: planned.action,
        upstream,
        mode: if planned.action == RouteAction::Pass { Mode::Off } else { planned.mode },
        security: planned.security,
        bodiless: super::bodiless(&head.method),
        head_only: head.method == Method::HEAD,
        strip: Arc::clone(&snapshot.identity_headers),
        own_key: false,
        asks_usage: false,
        policy: Arc::default(),
        tightened: false,
        approver: None,
    })
}

impl Plan {
    /// Treats the request as `policy` says, where it says anything.
    pub(super) fn adopt(&mut self, policy: &Arc<Policy>) {
        if self.action == RouteAction::Inspect {
            self.mode = policy.mode.unwrap_or(self.mode);
        }
        self.security = policy.security.unwrap_or(self.security);
        self.policy = Arc::clone(policy);
    }

    /// What a verdict is measured against.
    pub(super) fn thresholds(&self, snapshot: &Snapshot) -> Thresholds {
        let security = if self.tightened { SecurityMode::Strict } else { self.security };
        self.policy.thresholds(&snapshot.settings.inspect, security)
    }

    /// What text that cannot be inspected gets.
    pub(super) fn on_uninspected(&self, snapshot: &Snapshot) -> OnUninspected {
        self.policy.on_uninspected.unwrap_or(snapshot.settings.inspect.on_uninspected)
    }

    /// What happens when inspection itself fails.
    pub(super) fn on_failure(&self, snapshot: &Snapshot) -> OnFailure {
        self.policy.on_failure.unwrap_or(snapshot.settings.inspect.on_failure)
    }
}

/// Whose SDK is calling, as far as the head tells: decides the shape of errors before the dialect is known.
pub(super) fn family(head: &Parts) -> ApiFamily {
    let path = head.uri.path();
    if path.ends_with("/messages") || path.contains("/messages/") || head.headers.contains_key(ANTHROPIC_VERSION) {
        ApiFamily::Anthropic
    } else {
        ApiFamily::OpenAi
    }
}
