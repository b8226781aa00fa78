//! From the store into the Snapshot: virtual keys, standing orders, rulings on tool calls and the switch of monitoring, at start, when they change here, and when another
//! replica changed them.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config::issued::{IssuedKey, IssuedKeys, KeyHash};
use crate::config::{Handle, Orders, Rulings};
use crate::store::{Changed, Changes, Database, KeyRow, StoreError, now};
use crate::types::soc::{MonitoringOff, ToolRuling};
use crate::types::{Order, unhex};

/// Ends the requests under way that an order is about; how many.
pub type CarryOut = Arc<dyn Fn(&Arc<Order>) -> usize + Send + Sync>;

/// The switch that says that monitoring is off; its value is a `MonitoringOff`.
pub const MONITORING: &str = "monitoring";

/// Keeps the Snapshot in step with the store.
#[derive(Clone)]
pub struct Follower {
    database: Database,
    config: Arc<Handle>,
    carry_out: CarryOut,
    seen: Arc<Mutex<Option<Changes>>>,
    lent: Arc<std::sync::Mutex<Vec<(KeyHash, IssuedKey)>>>,
}

impl Follower {
    /// From this store into this Snapshot.
    pub fn new(database: Database, config: Arc<Handle>, carry_out: CarryOut) -> Self {
        Self { database, config, carry_out, seen: Arc::default(), lent: Arc::default() }
    }

    /// Looks whether keys or orders changed, and reads what did.
    ///
    /// # Errors
    /// The store does not answer; what is in force stays.
    pub async fn look(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().await;
        let changes = self.database.changes().await?;
        let changed = match *seen {
            None => vec![Changed::Keys, Changed::Orders, Changed::Rulings, Changed::Switches],
            Some(before) => changes.since(before),
        };
        // Orders first, and whatever becomes of the keys: who is blocked matters most. Accounts are read at each use.
        let orders = if changed.contains(&Changed::Orders) { self.orders().await } else { Ok(()) };
        let rulings = if changed.contains(&Changed::Rulings) { self.read_rulings().await } else { Ok(()) };
        let switches = if changed.contains(&Changed::Switches) { self.read_switches().await } else { Ok(()) };
        let keys = if changed.contains(&Changed::Keys) { self.keys().await } else { Ok(()) };
        orders.and(rulings).and(switches).and(keys)?;
        *seen = Some(changes);
        Ok(())
    }

    /// Looks every `every`, until `stop`.
    pub async fn run(self, every: Duration, stop: CancellationToken) {
        let mut away = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(every) => {}
            }
            match self.look().await {
                Ok(()) => away = false,
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(%error, "keys and orders cannot be read: what is known of them stays in force");
                }
                Err(_) => {}
            }
        }
    }

    /// Puts these rulings on tool calls in the place of those that were known, and wakes the calls that wait.
    pub fn rulings(&self, rulings: Vec<ToolRuling>) {
        let rulings = Arc::new(Rulings::new(rulings));
        self.config.amend(|snapshot| snapshot.rulings = Arc::clone(&rulings));
    }

    /// Monitoring is off as this says, or on.
    pub fn monitoring(&self, off: Option<Arc<MonitoringOff>>) {
        self.config.amend(|snapshot| snapshot.monitoring.clone_from(&off));
    }

    async fn read_rulings(&self) -> Result<(), StoreError> {
        self.rulings(self.database.live_rulings(now()).await?);
        Ok(())
    }

    async fn read_switches(&self) -> Result<(), StoreError> {
        let off = match self.database.switch(MONITORING).await? {
            None => None,
            Some(switch) => match serde_json::from_value(switch.value) {
                Ok(off) => Some(Arc::new(off)),
                // What cannot be read switches nothing off.
                Err(error) => {
                    tracing::error!(%error, "the switch of monitoring cannot be read: monitoring is on");
                    None
                }
            },
        };
        self.monitoring(off);
        Ok(())
    }

    async fn keys(&self) -> Result<(), StoreError> {
        let rows = self.database.live_keys(now()).await?;
        let mut keys = table(rows);
        // Held until the table is in force: what is lent meanwhile is put into that one.
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, key) in &*lent {
            keys.put(*hash, key.clone());
        }
        let keys = Arc::new(keys);
        self.config.amend(|snapshot| snapshot.issued = Arc::clone(&keys));
        Ok(())
    }

    /// Puts keys in force that are in no store: the gateway's own, for itself. They hold until they end or are taken back;
    /// those that have ended are forgotten.
    pub fn lend(&self, keys: Vec<(KeyHash, IssuedKey)>) {
        let now = now();
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<_> = lent.extract_if(.., |(_, key)| key.expires.is_some_and(|end| end <= now)).collect();
        lent.extend(keys.iter().cloned());
        self.config.amend(|snapshot| {
            let mut issued = IssuedKeys::clone(&snapshot.issued);
            for (_, key) in &ended {
                issued.remove(&key.id);
            }
            for (hash, key) in &keys {
                issued.put(*hash, key.clone());
            }
            snapshot.issued = Arc::new(issued);
        });
    }

    /// Takes back what was lent.
    pub fn take_back(&self, ids: &[Arc<str>]) {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.retain(|(_, key)| !ids.contains(&key.id));
        self.config.amend(|snapshot| {
            let mut issued = IssuedKeys::clone(&snapshot.issued);
            for id in ids {
                issued.remove(id);
            }
            snapshot.issued = Arc::new(issued);
        });
    }

    async fn orders(&self) -> Result<(), StoreError> {
        let orders = Arc::new(Orders::new(self.database.live_orders(now()).await?));
        let before = Arc::clone(&self.config.load().orders);
        self.config.amend(|snapshot| snapshot.orders = Arc::clone(&orders));
        // After they are in force, so that what begins now is refused and what began before is found.
        for order in orders.iter().filter(|order| order.measure.cuts() && before.get(&order.id).is_none()) {
            let ended = (self.carry_out)(order);
            tracing::info!(order = %order.id, ended, "a standing order is in force");
        }
        Ok(())
    }
}

/// Keys as the data path looks for them. A key that replaces others is of the family of the first of them.
fn table(rows: Vec<KeyRow>) -> IssuedKeys {
    let mut keys = IssuedKeys::default();
    for row in rows {
        let Some(hash) = unhex(&row.hash) else {
            tracing::error!(key = %row.id, "a key in the store has no hash, and is not honoured");
            continue;
        };
        let family = row.rotated_from.as_deref().map_or_else(|| Arc::clone(&row.id), Arc::from);
        let models: Arc<[Arc<str>]> = row.models.iter().map(|model| Arc::from(model.as_str())).collect();
        let key = IssuedKey {
            id: row.id,
            family,
            name: Arc::from(row.name.as_str()),
            tenant: row.tenant,
            team: row.team,
            user: row.user,
            agent: row.agent,
            models: (!models.is_empty()).then_some(models),
            not_before: row.not_before,
            expires: row.expires,
            revoked: row.revoked,
            lent: None,
        };
        keys.put(KeyHash::from_bytes(hash), key);
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, from: Option<&str>) -> KeyRow {
        KeyRow {
            id: id.into(),
            name: id.to_owned(),
            hash: format!("{:064x}", id.len()),
            prefix: String::new(),
            tenant: None,
            team: None,
            user: None,
            agent: None,
            models: Vec::new(),
            created_by: String::new(),
            created: 0,
            not_before: None,
            expires: None,
            revoked: None,
            rotated_from: from.map(str::to_owned),
            note: String::new(),
        }
    }

    #[test]
    fn a_key_that_replaces_others_stays_in_their_family_even_when_they_are_gone() {
        let keys = table(vec![row("a", None), row("bb", Some("a")), row("dddd", Some("gone"))]);
        let family = |id: &str| keys.get(id).unwrap().family.to_string();
        assert_eq!([family("a"), family("bb"), family("dddd")], ["a", "a", "gone"]);
    }

    #[test]
    fn a_hash_that_is_none_makes_no_key() {
        let bad = KeyRow { hash: "zz".to_owned(), ..row("a", None) };
        assert!(table(vec![bad]).is_empty());
    }
}
