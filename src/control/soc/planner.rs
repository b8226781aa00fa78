//! Plans that people propose: the same guardrails, and never approved by who proposed them.

use std::sync::Arc;

use super::analyst::blast;
use super::approvals::{RuleError, Who, line, record};
use super::feed::Feed;
use super::knowledge::Knowledge;
use crate::control::audit::{Entry, Kind, Trail};
use crate::soc::analyse::Retrieved;
use crate::soc::plan::{body_json, hash};
use crate::soc::subjects;
use crate::soc::support::{Evidence, Scored};
use crate::soc::verify::{Known, verify};
use crate::store::now;
use crate::store::soc::AlertFilter;
use crate::types::soc::{Blast, LogKind, Plan, PlanBody, PlanState, Step};
use crate::types::{AccessRole, Severity};

/// Alerts of an incident that are looked at.
const ALERTS: u32 = 200;

/// Makes plans of what people propose. Clones are the same.
#[derive(Clone)]
pub struct Planner {
    feed: Feed,
    trail: Trail,
    knowledge: Arc<Knowledge>,
}

impl Planner {
    /// With this knowledge.
    pub fn new(feed: Feed, trail: Trail, knowledge: Arc<Knowledge>) -> Self {
        Self { feed, trail, knowledge }
    }

    /// Proposes a plan: verified at once, and then it waits for others than who proposed it, however harmless it is.
    ///
    /// # Errors
    /// `Refused` with what is wrong with it; nothing is kept then.
    pub async fn propose(
        &self,
        incident: Option<&str>,
        who: &Who,
        summary: String,
        mut steps: Vec<Step>,
    ) -> Result<Plan, RuleError> {
        if !who.roles.iter().any(|role| matches!(role, AccessRole::Analyst | AccessRole::Responder | AccessRole::Admin))
        {
            return Err(RuleError::Refused("the roles analyst, responder and admin may propose plans".to_owned()));
        }
        let database = self.feed.database();
        let limits = &self.knowledge.limits;
        for step in &mut steps {
            step.reversible = step.action.reversible();
            step.blast = match &step.target {
                Some(subject) => blast(&self.feed, subject, limits.hours).await?,
                None => Blast { hours: limits.hours, ..Blast::default() },
            };
        }
        let found = match incident {
            Some(id) => Some(database.incident(id).await?.ok_or(RuleError::Missing("incident"))?),
            None => None,
        };
        let alerts = match incident {
            Some(id) => {
                let filter = AlertFilter { incident: Some(id.to_owned()), ..AlertFilter::default() };
                database.alerts(&filter, ALERTS).await?
            }
            None => Vec::new(),
        };
        let id: Arc<str> = format!("pln_{}", uuid::Uuid::now_v7().simple()).into();
        let body = PlanBody {
            plan: Arc::clone(&id),
            incident: found.as_ref().map(|incident| Arc::clone(&incident.id)),
            summary,
            severity: found.as_ref().map_or(Severity::Medium, |incident| incident.severity),
            false_positive: found.as_ref().map_or(0, |incident| incident.false_positive),
            steps,
            claims: Vec::new(),
            groundedness: 1.0,
            playbooks: Vec::new(),
        };
        let evidence = found
            .as_ref()
            .map(|incident| Evidence::new(incident, &alerts, &Retrieved::default(), &[]))
            .unwrap_or_default();
        // Of an incident's callers only, where there is an incident: a person may reach further without one, and says so.
        let subjects = found.as_ref().map(|incident| subjects(incident, &alerts));
        let verified = verify(
            &body,
            &(self.knowledge.guard)(),
            &Known {
                subjects: subjects.as_deref(),
                evidence: &evidence,
                // A person's plan claims nothing.
                scored: &Scored::default(),
                channels: &self.knowledge.channel_names(),
                approvals: 0,
                by_person: true,
            },
        );
        if !verified.ok {
            return Err(RuleError::Refused(verified.problems.join("; ")));
        }
        let text = body_json(&body);
        let made = now();
        let plan = Plan {
            id,
            incident: body.incident.clone(),
            hash: hash(&text),
            body: text,
            proposer: Arc::clone(&who.account),
            made,
            expires: made.saturating_add(limits.lifetime),
            needed: verified.needed.max(1),
            state: PlanState::Waiting,
            reasons: verified.why,
        };
        let entry = Entry::new(Kind::Action, &*who.account, format!("plan/{}", plan.id))
            .detail("action", "plan.propose")
            .detail("hash", plan.hash.as_str());
        record(&self.trail, entry).await?;
        let log = [line(LogKind::Plan, &who.name, format!("proposed by {}: {}", who.name, body.summary), &plan.id)];
        let (_, entries) = database.insert_plan(&plan, &log).await?;
        self.feed.publish(entries).await;
        Ok(plan)
    }
}
