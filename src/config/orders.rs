//! Standing orders as the data path sees them: found by whom they are about, amended one at a time.
//!
//! The index is persistent (`imbl`): a new one shares all but a few nodes with the one before, so that giving or lifting
//! one order among 100,000 takes microseconds, and requests that look at the old one are not disturbed.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::HashMap;

use crate::types::{Caller, Measure, Order, Subject};

/// Every order in force or waiting to expire.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    by_subject: HashMap<Subject, Arc<[Arc<Order>]>>,
    by_id: HashMap<Arc<str>, Subject>,
    counts: Counts,
}

/// How many orders there are of each kind: what there is none of is not looked for.
#[derive(Debug, Clone)]
struct Counts {
    v4: [u32; 33],
    v6: [u32; 129],
    names: [u32; 6],
}

impl Default for Counts {
    fn default() -> Self {
        Self { v4: [0; 33], v6: [0; 129], names: [0; 6] }
    }
}

/// What stands against a caller.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// The order that refuses it, a block before a quarantine.
    pub refuses: Option<Arc<Order>>,
    /// The orders that limit it.
    pub limits: Vec<Arc<Order>>,
    /// The order that has it judged by the strict thresholds.
    pub tightens: Option<Arc<Order>>,
}

impl Orders {
    /// These orders.
    pub fn new(orders: impl IntoIterator<Item = Order>) -> Self {
        let mut all = Self::default();
        for order in orders {
            all.give(Arc::new(order));
        }
        all
    }

    /// Adds an order; one with the same id is replaced.
    pub fn give(&mut self, order: Arc<Order>) {
        self.lift(&order.id);
        let subject = normal(order.subject.clone());
        if let Some(count) = self.counts.of(&subject) {
            *count = count.saturating_add(1);
        }
        self.by_id.insert(Arc::clone(&order.id), subject.clone());
        let others = self.by_subject.get(&subject).map(|others| &**others).unwrap_or_default();
        let all: Arc<[Arc<Order>]> = others.iter().cloned().chain([order]).collect();
        self.by_subject.insert(subject, all);
    }

    /// Takes an order away; whether there was one of that id.
    pub fn lift(&mut self, id: &str) -> bool {
        let Some(subject) = self.by_id.remove(id) else { return false };
        if let Some(count) = self.counts.of(&subject) {
            *count = count.saturating_sub(1);
        }
        let left: Arc<[Arc<Order>]> = self
            .by_subject
            .get(&subject)
            .into_iter()
            .flat_map(|all| all.iter())
            .filter(|order| *order.id != *id)
            .cloned()
            .collect();
        if left.is_empty() {
            self.by_subject.remove(&subject);
        } else {
            self.by_subject.insert(subject, left);
        }
        true
    }

    /// The orders that expired before `now` (Unix time in microseconds) are forgotten; how many.
    pub fn forget_expired(&mut self, now: i64) -> usize {
        let expired: Vec<Arc<str>> =
            self.iter().filter(|order| !order.in_force(now)).map(|order| Arc::clone(&order.id)).collect();
        expired.iter().filter(|id| self.lift(id)).count()
    }

    /// What stands against `caller` at `now`, Unix time in microseconds.
    pub fn against(&self, caller: &Caller, now: i64) -> Standing {
        let mut standing = Standing::default();
        if self.by_id.is_empty() {
            return standing;
        }
        if let Some(address) = caller.address {
            self.counts.networks(address.to_canonical(), |subject| self.gather(&subject, now, &mut standing));
        }
        for subject in named(caller, &self.counts.names).into_iter().flatten() {
            self.gather(&subject, now, &mut standing);
        }
        standing
    }

    /// Whether this order is about `caller`.
    pub fn concerns(order: &Order, caller: &Caller) -> bool {
        let named = |name: &Arc<str>, of: &Option<Arc<str>>| of.as_ref() == Some(name);
        match normal(order.subject.clone()) {
            Subject::Network { address, prefix } => {
                caller.address.is_some_and(|caller| masked(caller.to_canonical(), prefix) == Some(address))
            }
            Subject::Tenant { name } => named(&name, &caller.tenant),
            Subject::Team { name } => named(&name, &caller.team),
            Subject::User { name } => named(&name, &caller.user),
            Subject::Key { name } => named(&name, &caller.key),
            Subject::Session { name } => named(&name, &caller.session),
            Subject::Agent { name } => named(&name, &caller.agent),
        }
    }

    /// Every order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Order>> {
        self.by_subject.values().flat_map(|orders| orders.iter())
    }

    /// The order of this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Order>> {
        self.by_subject.get(self.by_id.get(id)?)?.iter().find(|order| *order.id == *id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn gather(&self, subject: &Subject, now: i64, standing: &mut Standing) {
        for order in self.by_subject.get(subject).into_iter().flat_map(|orders| orders.iter()) {
            if !order.in_force(now) {
                continue;
            }
            match order.measure {
                Measure::Block => standing.refuses = Some(Arc::clone(order)),
                Measure::Quarantine => {
                    standing.refuses.get_or_insert_with(|| Arc::clone(order));
                }
                Measure::Limit { .. } => standing.limits.push(Arc::clone(order)),
                Measure::Tighten => {
                    standing.tightens.get_or_insert_with(|| Arc::clone(order));
                }
            }
        }
    }
}

impl Counts {
    fn of(&mut self, subject: &Subject) -> Option<&mut u32> {
        match subject {
            Subject::Network { address: IpAddr::V4(_), prefix } => self.v4.get_mut(usize::from(*prefix)),
            Subject::Network { address: IpAddr::V6(_), prefix } => self.v6.get_mut(usize::from(*prefix)),
            Subject::Tenant { .. } => self.names.get_mut(0),
            Subject::Team { .. } => self.names.get_mut(1),
            Subject::User { .. } => self.names.get_mut(2),
            Subject::Key { .. } => self.names.get_mut(3),
            Subject::Session { .. } => self.names.get_mut(4),
            Subject::Agent { .. } => self.names.get_mut(5),
        }
    }

    /// The networks around `address` of the lengths that there are orders for.
    fn networks(&self, address: IpAddr, mut each: impl FnMut(Subject)) {
        let counts: &[u32] = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        for (prefix, _) in (0_u8..).zip(counts).filter(|(_, count)| **count > 0) {
            if let Some(address) = masked(address, prefix) {
                each(Subject::Network { address, prefix });
            }
        }
    }
}

/// The names of a caller that there are orders about the like of.
fn named(caller: &Caller, counts: &[u32; 6]) -> [Option<Subject>; 6] {
    let [tenant, team, user, key, session, agent] = counts;
    let known = |count: &u32, name: &Option<Arc<str>>| name.clone().filter(|_| *count > 0);
    [
        known(tenant, &caller.tenant).map(|name| Subject::Tenant { name }),
        known(team, &caller.team).map(|name| Subject::Team { name }),
        known(user, &caller.user).map(|name| Subject::User { name }),
        known(key, &caller.key).map(|name| Subject::Key { name }),
        known(session, &caller.session).map(|name| Subject::Session { name }),
        known(agent, &caller.agent).map(|name| Subject::Agent { name }),
    ]
}

/// A subject as it stands in the index: networks by their first address.
fn normal(subject: Subject) -> Subject {
    match subject {
        Subject::Network { address, prefix } => {
            let address = address.to_canonical();
            Subject::Network { address: masked(address, prefix).unwrap_or(address), prefix }
        }
        named @ (Subject::Tenant { .. }
        | Subject::Team { .. }
        | Subject::User { .. }
        | Subject::Key { .. }
        | Subject::Session { .. }
        | Subject::Agent { .. }) => named,
    }
}

/// The first address of the network of `prefix` bits around `address`.
fn masked(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    ipnet::IpNet::new(address, prefix).ok().map(|network| network.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str, subject: Subject, measure: Measure, expires: Option<i64>) -> Order {
        Order { id: id.into(), subject, measure, reason: "".into(), made_by: "".into(), made: 0, expires }
    }

    fn network(text: &str, prefix: u8) -> Subject {
        Subject::Network { address: text.parse().unwrap(), prefix }
    }

    fn from(address: &str, user: Option<&str>) -> Caller {
        Caller { address: Some(address.parse().unwrap()), user: user.map(Arc::from), ..Caller::default() }
    }

    fn refused_by(orders: &Orders, caller: &Caller, now: i64) -> Option<String> {
        orders.against(caller, now).refuses.map(|order| order.id.to_string())
    }

    #[test]
    fn an_address_is_found_in_every_range_around_it_however_it_is_written() {
        let orders = Orders::new([
            order("one", network("192.0.2.7", 32), Measure::Block, None),
            order("range", network("198.51.100.99", 24), Measure::Quarantine, None),
            order("six", network("2001:db8::1", 48), Measure::Block, None),
        ]);
        assert_eq!(refused_by(&orders, &from("192.0.2.7", None), 0).as_deref(), Some("one"));
        assert_eq!(refused_by(&orders, &from("::ffff:192.0.2.7", None), 0).as_deref(), Some("one"));
        assert_eq!(refused_by(&orders, &from("198.51.100.1", None), 0).as_deref(), Some("range"));
        assert_eq!(refused_by(&orders, &from("2001:db8:0:ffff::", None), 0).as_deref(), Some("six"));
        for other in ["192.0.2.8", "198.51.101.1", "2001:db9::"] {
            assert_eq!(refused_by(&orders, &from(other, None), 0), None, "{other}");
        }
    }

    #[test]
    fn a_block_counts_before_a_quarantine_and_limits_add_up() {
        let user = || Subject::User { name: "ann".into() };
        let limit = Measure::Limit { requests: 5, seconds: 120 };
        let mut orders = Orders::new([
            order("q", user(), Measure::Quarantine, None),
            order("l", network("192.0.2.0", 24), limit, None),
            order("m", user(), limit, None),
        ]);
        let ann = from("192.0.2.7", Some("ann"));
        assert_eq!(refused_by(&orders, &ann, 0).as_deref(), Some("q"));
        assert_eq!(orders.against(&ann, 0).limits.len(), 2);
        orders.give(Arc::new(order("b", user(), Measure::Block, None)));
        assert_eq!(refused_by(&orders, &ann, 0).as_deref(), Some("b"));
        assert!(orders.lift("b") && !orders.lift("b"));
        assert_eq!(refused_by(&orders, &ann, 0).as_deref(), Some("q"));
    }

    #[test]
    fn an_order_that_tightens_refuses_and_limits_nothing() {
        let orders = Orders::new([order("t", Subject::User { name: "ann".into() }, Measure::Tighten, Some(10))]);
        let standing = orders.against(&from("192.0.2.7", Some("ann")), 9);
        assert!(standing.refuses.is_none() && standing.limits.is_empty());
        assert_eq!(standing.tightens.map(|order| order.id.to_string()).as_deref(), Some("t"));
        assert!(orders.against(&from("192.0.2.7", Some("bob")), 9).tightens.is_none());
        assert!(orders.against(&from("192.0.2.7", Some("ann")), 10).tightens.is_none());
        assert!(!Measure::Tighten.cuts());
    }

    #[test]
    fn an_order_ends_when_it_expires_and_an_index_taken_before_a_change_stays_as_it_was() {
        let mut orders = Orders::new([order("t", network("192.0.2.7", 32), Measure::Block, Some(10))]);
        let before = orders.clone();
        assert_eq!(refused_by(&orders, &from("192.0.2.7", None), 9).as_deref(), Some("t"));
        assert_eq!(refused_by(&orders, &from("192.0.2.7", None), 10), None);
        assert_eq!(orders.forget_expired(10), 1);
        assert!(orders.is_empty() && before.len() == 1);
        assert_eq!(refused_by(&before, &from("192.0.2.7", None), 9).as_deref(), Some("t"));
    }

    #[test]
    fn whom_an_order_concerns_is_the_same_alone_and_in_the_index() {
        let orders = [
            order("a", network("10.1.2.3", 8), Measure::Block, None),
            order("b", Subject::Session { name: "s".into() }, Measure::Block, None),
        ];
        let callers = [
            from("10.9.9.9", None),
            from("11.0.0.1", None),
            Caller { session: Some("s".into()), ..Caller::default() },
            Caller { session: Some("t".into()), ..Caller::default() },
        ];
        for order in orders {
            let index = Orders::new([order.clone()]);
            for caller in &callers {
                assert_eq!(Orders::concerns(&order, caller), index.against(caller, 0).refuses.is_some(), "{caller:?}");
            }
        }
    }
}
