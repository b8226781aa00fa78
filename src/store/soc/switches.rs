//! What people switch while the gateway runs: monitoring, say. A name, a value, and when it ends by itself.

use std::sync::Arc;

use serde_json::Value as Json;

use super::feed::FeedTx;
use super::{Fed, from_json, json};
use crate::store::changes::{Changed, touch};
use crate::store::{Database, Row, StoreError};
use crate::types::soc::{FeedEntry, FeedKind};
use crate::values;

/// A switch as somebody set it.
#[derive(Debug, Clone, PartialEq)]
pub struct Switch {
    /// Which.
    pub name: Arc<str>,
    /// What it is set to.
    pub value: Json,
    /// Until when: Unix time in microseconds; `None`: until somebody sets it otherwise.
    pub until: Option<i64>,
    /// Who set it: the name of an account.
    pub by: Arc<str>,
    /// When.
    pub at: i64,
}

impl Switch {
    /// Whether it still counts at `now`: Unix time in microseconds.
    pub fn in_force(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

fn switch_of(row: &Row) -> Result<Switch, StoreError> {
    Ok(Switch {
        name: row.shared(0)?,
        value: from_json(&row.text(1)?)?,
        until: row.maybe_int(2)?,
        by: row.shared(3)?,
        at: row.int(4)?,
    })
}

fn tell(tx: &mut FeedTx, switch: &Switch) {
    let Switch { name, value, until, by, at } = switch;
    let shown = serde_json::json!({ "name": name, "value": value, "until": until, "by": by, "at": at });
    tx.tell(FeedKind::Monitoring, name, shown);
}

async fn set(tx: &mut FeedTx, switch: &Switch) -> Result<(), StoreError> {
    let sql = "INSERT INTO switches (name, value, until_, by_, at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) \
               DO UPDATE SET value = EXCLUDED.value, until_ = EXCLUDED.until_, by_ = EXCLUDED.by_, at = EXCLUDED.at";
    let values = values![&switch.name, json(&switch.value)?, switch.until, &switch.by, switch.at];
    tx.put(sql, values);
    touch(tx.session().await?, Changed::Switches).await?;
    tell(tx, switch);
    Ok(())
}

async fn clear(tx: &mut FeedTx, name: &Arc<str>, by: &Arc<str>, at: i64) -> Result<bool, StoreError> {
    if tx.session().await?.execute("DELETE FROM switches WHERE name = $1", values![name]).await? == 0 {
        return Ok(false);
    }
    touch(tx.session().await?, Changed::Switches).await?;
    let (name, by) = (Arc::clone(name), Arc::clone(by));
    tell(tx, &Switch { name, value: Json::Null, until: None, by, at });
    Ok(true)
}

/// Switches.
impl Database {
    /// How a switch was set; whether that still counts, `Switch::in_force` says.
    pub async fn switch(&self, name: &str) -> Result<Option<Switch>, StoreError> {
        let sql = "SELECT name, value, until_, by_, at FROM switches WHERE name = $1";
        self.read().await?.row(sql, values![name.to_owned()]).await?.as_ref().map(switch_of).transpose()
    }

    /// Sets a switch; every replica learns of it.
    pub async fn set_switch(&self, switch: &Switch) -> Result<Vec<FeedEntry>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = set(&mut tx, switch).await;
        tx.end(done).await.map(|((), feed)| feed)
    }

    /// Puts a switch back to how it is by itself; says whether it was set. The feed shows `null` as its value.
    pub async fn clear_switch(&self, name: &Arc<str>, by: &Arc<str>, at: i64) -> Result<Fed<bool>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = clear(&mut tx, name, by, at).await;
        tx.end(done).await
    }
}
