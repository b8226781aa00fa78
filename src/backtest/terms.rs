//! How a stored request is treated by the configuration now: the mode of its route, the treatments and thresholds of its
//! policy.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::config::settings::{Mode, RouteAction, SecurityMode, Settings};
use crate::config::{Asking, Loaded, Policies, Policy, Routes};
use crate::detect::{Thresholds, Treatments};
use crate::store::StoredRequest;
use crate::types::{ApiFamily, Caller, Dialect, Privacy};

/// What of the configuration decides beside the rules.
#[derive(Debug, Clone)]
pub struct Terms {
    settings: Arc<Settings>,
    routes: Arc<Routes>,
    policies: Arc<Policies>,
}

/// How one request is treated.
#[derive(Debug, Clone)]
pub struct Treated {
    /// Whether a verdict has consequences.
    pub mode: Mode,
    /// What it is measured against.
    pub thresholds: Thresholds,
    /// What its policy does to families of findings.
    pub treatments: Option<Arc<Treatments>>,
    /// What its policy keeps of words, now.
    pub privacy: Privacy,
    /// The same number for the same treatment.
    pub number: u64,
    /// The policy it was treated by is gone: it is treated by the one that it would get now.
    pub policy_gone: bool,
}

impl Terms {
    /// Those of a configuration.
    pub fn of(loaded: &Loaded) -> Self {
        let (settings, routes) = (Arc::clone(&loaded.settings), Arc::clone(&loaded.routes));
        Self { settings, routes, policies: Arc::clone(&loaded.policies) }
    }

    /// How `stored` is treated.
    pub fn of_request(&self, stored: &StoredRequest) -> Treated {
        let (action, mode, security) = self.route(stored);
        let named = stored.policy.as_deref();
        let known = named.and_then(|name| self.policies.iter().position(|policy| &*policy.name == name));
        let chosen = known.unwrap_or_else(|| {
            let caller = caller(stored);
            let asking = Asking { caller: &caller, route: &stored.path, model: stored.model.as_deref() };
            let chosen = self.policies.choose(&asking);
            self.policies.iter().position(|policy| Arc::ptr_eq(policy, chosen)).unwrap_or_default()
        });
        let unchanged = Arc::new(Policy::default());
        let policy = self.policies.iter().nth(chosen).unwrap_or(&unchanged);
        let mode = match action {
            RouteAction::Pass => Mode::Off,
            RouteAction::Inspect => policy.mode.unwrap_or(mode),
            RouteAction::Deny => mode,
        };
        let security = policy.security.unwrap_or(security);
        Treated {
            mode,
            thresholds: policy.thresholds(&self.settings.inspect, security),
            treatments: policy.treatments.clone(),
            privacy: policy.privacy,
            number: (chosen as u64) << 8 | (mode as u64) << 4 | security as u64,
            policy_gone: known.is_none() && named.is_some(),
        }
    }

    fn route(&self, stored: &StoredRequest) -> (RouteAction, Mode, SecurityMode) {
        let dialect =
            stored.dialect.as_deref().and_then(|name| Dialect::ALL.into_iter().find(|one| one.name() == name));
        let known = dialect.filter(|dialect| *dialect != Dialect::Generic);
        let anthropic = stored.path.ends_with("/messages") || stored.path.contains("/messages/");
        let family = if anthropic { ApiFamily::Anthropic } else { ApiFamily::OpenAi };
        let inspect = &self.settings.inspect;
        match self.routes.lookup(&stored.method, &stored.path, known, family) {
            Some(plan) => (plan.action, plan.mode, plan.security),
            None => (RouteAction::Inspect, inspect.mode, inspect.security),
        }
    }

    /// A digest over everything here that decides.
    pub fn digest(&self) -> String {
        let mut all = String::new();
        // Writing to a String cannot fail.
        write!(all, "{:?} {:?}", self.settings.routes, self.settings.inspect).unwrap_or_default();
        for policy in self.policies.iter() {
            write!(all, "\n{} {:?}", policy.name, policy.written).unwrap_or_default();
        }
        blake3::hash(all.as_bytes()).to_hex().to_string()
    }
}

/// The caller, as far as the store tells: not the groups that its token named.
fn caller(stored: &StoredRequest) -> Caller {
    let text = |text: &Option<String>| text.as_deref().map(Arc::from);
    Caller {
        address: stored.address.as_deref().and_then(|address| address.parse().ok()),
        tenant: text(&stored.tenant),
        team: text(&stored.team),
        key: text(&stored.key),
        user: text(&stored.user),
        agent: text(&stored.agent),
        ..Caller::default()
    }
}
