//! What the policy of a request allows it to ask for, and what standing orders say of its caller.

use std::sync::Arc;

use super::live::{Cancel, Live, Place};
use super::record::Flight;
use super::refuse::Refusal;
use super::route::Plan;
use crate::config::issued::Lent;
use crate::config::settings::Mode;
use crate::config::{Asking, Handle, Policy, Snapshot};
use crate::types::{Caller, Measure, Order};
use crate::wire::{Offer, Prompt};

/// The policy of a request, adopted by its plan.
///
/// # Errors
/// It asks for a model, a tool or a server that the policy does not allow.
pub(super) fn adopt(
    snapshot: &Snapshot,
    plan: &mut Plan,
    caller: &Caller,
    lent: Option<&Lent>,
    prompt: Option<&Prompt<'_>>,
    flight: &mut Flight,
) -> Result<(), Refusal> {
    let model = prompt.and_then(|prompt| prompt.model.as_deref());
    let asking = Asking { caller, route: &Arc::clone(&plan.path), model };
    let named = lent.and_then(|lent| snapshot.policies.named(lent.policy.as_deref()?));
    let policy = named.unwrap_or_else(|| snapshot.policies.choose(&asking));
    plan.adopt(policy);
    if plan.mode == Mode::Enforce && lent.is_some_and(|lent| lent.monitor) {
        plan.mode = Mode::Monitor;
    }
    let now = flight.time();
    plan.tightened = snapshot.orders.against(caller, now).tightens.is_some();
    if snapshot.monitoring_off(now) && plan.mode != Mode::Off {
        plan.mode = Mode::Off;
        flight.note(|record| record.monitoring_off = true);
    }
    flight.note(|record| record.policy = Some(Arc::clone(&policy.name)));
    // A request that does not name its model leaves the choice to somebody else.
    if let Some(allowed) = policy.models.as_ref().filter(|_| prompt.is_some())
        && !model.is_some_and(|model| allowed.fit(model))
    {
        return Err(Refusal::model_not_allowed());
    }
    prompt.map_or(Ok(()), |prompt| offers(policy, prompt))
}

fn offers(policy: &Policy, prompt: &Prompt<'_>) -> Result<(), Refusal> {
    if policy.tools.is_none() && policy.mcp_hosts.is_none() {
        return Ok(());
    }
    for offer in prompt.offers() {
        let (allowed, name) = match &offer {
            Offer::Tool(name) => (&policy.tools, &**name),
            Offer::Server(host) => (&policy.mcp_hosts, host.as_str()),
        };
        if allowed.as_ref().is_some_and(|allowed| !allowed.fit(name)) {
            return Err(Refusal::tool_not_allowed());
        }
    }
    Ok(())
}

/// What orders say of `caller` before anything it sends is read.
///
/// # Errors
/// An order refuses it.
pub(super) fn obey(snapshot: &Snapshot, caller: &Caller, flight: &mut Flight) -> Result<Option<Arc<Order>>, Refusal> {
    if snapshot.orders.is_empty() {
        return Ok(None);
    }
    let standing = snapshot.orders.against(caller, flight.time());
    let Some(order) = standing.refuses else { return Ok(None) };
    flight.note(|record| record.order = Some(Arc::clone(&order.id)));
    match order.measure {
        Measure::Block => Err(Refusal::ordered()),
        Measure::Quarantine | Measure::Limit { .. } | Measure::Tighten => Ok(Some(order)),
    }
}

/// What is said to a caller whose request was ended before it was answered.
pub(super) fn ended(cut: &Cancel, flight: &mut Flight) -> Refusal {
    if let Some(order) = cut.order() {
        flight.note(|record| record.order = Some(Arc::clone(&order.id)));
    }
    cut.refusal()
}

/// The orders that limit `caller`.
pub(super) fn limits(snapshot: &Snapshot, caller: &Caller, flight: &Flight) -> Vec<Arc<Order>> {
    snapshot.orders.against(caller, flight.time()).limits
}

/// Puts the request among those that an order given from now on ends.
///
/// # Errors
/// An order that was given since the request's own Snapshot was taken refuses it.
pub(super) fn enter(
    config: &Handle,
    live: &Arc<Live>,
    caller: &Caller,
    cut: &Cancel,
    flight: &mut Flight,
) -> Result<(Place, Option<Arc<Order>>), Refusal> {
    let place = live.enter(Arc::new(caller.clone()), cut);
    // After entering, so that there is no moment at which an order finds neither the request nor is found by it.
    let quarantine = obey(&config.load(), caller, flight)?;
    Ok((place, quarantine))
}
