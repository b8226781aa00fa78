//! What changed: counters that replicas on one database can look at twice a second.

use super::{Database, Session, StoreError};
use crate::values;

/// What replicas hold in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Changed {
    /// Virtual keys.
    Keys,
    /// Standing orders.
    Orders,
    /// Accounts and their tokens.
    Accounts,
    /// What people said about tool calls that wait.
    Rulings,
    /// What is switched at run time.
    Switches,
    /// Learned rules that are on trial or in force.
    Learned,
}

impl Changed {
    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Orders => "orders",
            Self::Accounts => "accounts",
            Self::Rulings => "rulings",
            Self::Switches => "switches",
            Self::Learned => "learned",
        }
    }
}

/// How often each changed since the database was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes {
    /// Virtual keys.
    pub keys: u64,
    /// Standing orders.
    pub orders: u64,
    /// Accounts and their tokens.
    pub accounts: u64,
    /// What people said about tool calls that wait.
    pub rulings: u64,
    /// What is switched at run time.
    pub switches: u64,
    /// Learned rules that are on trial or in force.
    pub learned: u64,
}

impl Changes {
    /// What changed since `before`.
    pub fn since(self, before: Self) -> Vec<Changed> {
        let pairs = [
            (Changed::Keys, self.keys, before.keys),
            (Changed::Orders, self.orders, before.orders),
            (Changed::Accounts, self.accounts, before.accounts),
            (Changed::Rulings, self.rulings, before.rulings),
            (Changed::Switches, self.switches, before.switches),
            (Changed::Learned, self.learned, before.learned),
        ];
        pairs.into_iter().filter(|(_, now, then)| now != then).map(|(what, ..)| what).collect()
    }
}

/// Counts a change, in the transaction that makes it.
pub async fn touch(tx: &mut Session, what: Changed) -> Result<(), StoreError> {
    let sql = "UPDATE changes SET generation = generation + 1 WHERE what = $1";
    tx.execute(sql, values![what.name()]).await.map(drop)
}

impl Database {
    /// How often each changed: one read of a few rows. Read it before what it counts, so that no change is missed.
    pub async fn changes(&self) -> Result<Changes, StoreError> {
        let mut changes = Changes::default();
        for row in self.read().await?.rows("SELECT what, generation FROM changes", Vec::new()).await? {
            let count = row.count(1)?;
            match row.text(0)?.as_str() {
                "keys" => changes.keys = count,
                "orders" => changes.orders = count,
                "accounts" => changes.accounts = count,
                "rulings" => changes.rulings = count,
                "switches" => changes.switches = count,
                "learned" => changes.learned = count,
                _ => {}
            }
        }
        Ok(changes)
    }
}
