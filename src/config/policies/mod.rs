//! Policies: who gets what treatment. Tried in order, the first that matches holds; what none matches gets the default.

mod explain;
mod read;
pub mod settings;

use std::sync::Arc;

pub use explain::{Explained, Tried};
pub(super) use read::check;

use self::settings::PolicySettings;
use super::glob::Globs;
use super::settings::{Inspect, Mode, OnFailure, OnUninspected, SecurityMode};
use crate::detect::{Thresholds, Treatments};
use crate::quota::Plan;
use crate::types::{Caller, Privacy};

/// Every policy, in the order they are tried; the default is the last.
#[derive(Debug, Clone, PartialEq)]
pub struct Policies {
    tried: Vec<Arc<Policy>>,
    default: Arc<Policy>,
}

/// One policy with everything it takes from those it extends. What is `None` is left to the route, to `[inspect]` and to
/// `[limits]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// What it is called.
    pub name: Arc<str>,
    /// The policies it extends, nearest first.
    pub bases: Vec<Arc<str>>,
    /// Whom it is for.
    matches: Match,
    /// Whether verdicts have consequences.
    pub mode: Option<Mode>,
    /// How hard the gateway leans on the model.
    pub security: Option<SecurityMode>,
    /// Points at which a prompt is flagged.
    pub flag_at: Option<u32>,
    /// Points at which a prompt is blocked.
    pub block_at: Option<u32>,
    /// Families that are treated in another way; `None` where there is none.
    pub treatments: Option<Arc<Treatments>>,
    /// The models that may be asked for.
    pub models: Option<Globs>,
    /// The tools that may be offered and called.
    pub tools: Option<Globs>,
    /// The tools whose calls wait for a person.
    pub approve_tools: Option<Globs>,
    /// The hosts of MCP servers.
    pub mcp_hosts: Option<Globs>,
    /// What text that cannot be inspected gets.
    pub on_uninspected: Option<OnUninspected>,
    /// What happens when inspection itself fails.
    pub on_failure: Option<OnFailure>,
    /// What is kept of prompts and answers.
    pub privacy: Privacy,
    /// Limits and budgets of those it is for.
    pub charges: Plan,
    /// All that it says, as it would be written without extending another.
    pub written: Arc<PolicySettings>,
}

/// Whom a policy is for.
#[derive(Debug, Clone, PartialEq, Default)]
struct Match {
    tenant: Globs,
    team: Globs,
    user: Globs,
    group: Globs,
    key: Globs,
    agent: Globs,
    route: Globs,
    model: Globs,
}

/// What a request is matched by.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// The canonical path without `/v1`.
    pub route: &'a str,
    /// The model asked for, where one is.
    pub model: Option<&'a str>,
}

impl Policies {
    /// The policy of a request.
    pub fn choose(&self, asking: &Asking<'_>) -> &Arc<Policy> {
        self.tried.iter().find(|policy| policy.matches.differs(asking).is_none()).unwrap_or(&self.default)
    }

    /// The policy of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Policy>> {
        self.iter().find(|policy| *policy.name == *name)
    }

    /// Every policy in the order they are tried; the default is the last.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.tried.iter().chain([&self.default])
    }
}

impl Policy {
    /// What a verdict is measured against under `security`.
    pub fn thresholds(&self, inspect: &Inspect, security: SecurityMode) -> Thresholds {
        let own = |points: Option<u32>, general| points.unwrap_or(general);
        let points = (own(self.flag_at, inspect.flag_at), own(self.block_at, inspect.block_at));
        inspect.thresholds_of(points, security)
    }
}

impl Match {
    /// The first thing by which a request is not matched; `None` when it is.
    fn differs(&self, asking: &Asking<'_>) -> Option<&'static str> {
        let Asking { caller, route, model } = asking;
        let one = |globs: &Globs, name: Option<&str>| globs.is_empty() || name.is_some_and(|name| globs.fit(name));
        let group = self.group.is_empty() || caller.groups.iter().any(|group| self.group.fit(group));
        let tests = [
            ("tenant", one(&self.tenant, caller.tenant.as_deref())),
            ("team", one(&self.team, caller.team.as_deref())),
            ("user", one(&self.user, caller.user.as_deref())),
            ("group", group),
            ("key", one(&self.key, caller.key.as_deref())),
            ("agent", one(&self.agent, caller.agent.as_deref())),
            ("route", one(&self.route, Some(route))),
            ("model", one(&self.model, *model)),
        ];
        tests.into_iter().find(|(_, fits)| !fits).map(|(what, _)| what)
    }
}

impl Default for Policies {
    /// No policies: `[inspect]` as it stands for everybody.
    fn default() -> Self {
        let default = Policy { name: "default".into(), ..Policy::default() };
        Self { tried: Vec::new(), default: Arc::new(default) }
    }
}
