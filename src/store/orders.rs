//! Standing orders as the store keeps them, so that they outlive a restart and reach every replica.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::changes::{Changed, touch};
use super::{Database, Row, Session, StoreError};
use crate::types::{Order, Subject};
use crate::values;

/// An order with its end, for lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOrder {
    /// The order.
    pub order: Order,
    /// When it was lifted: Unix time in microseconds.
    pub lifted: Option<i64>,
    /// By whom.
    pub lifted_by: Option<String>,
}

/// Which orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// About exactly this one.
    pub subject: Option<Subject>,
    /// In force then: Unix time in microseconds.
    pub in_force: Option<i64>,
    /// The id that the last page ended with.
    pub before: Option<String>,
}

macro_rules! columns {
    () => {
        "id, subject, measure, reason, made_by, made, expires, lifted, lifted_by"
    };
}

/// Keeps an order; says whether it was new.
pub(super) async fn insert(tx: &mut Session, order: &Order) -> Result<bool, StoreError> {
    let sql = "INSERT INTO orders (id, subject, measure, reason, made_by, made, expires) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
    let values = values![
        &order.id,
        json(&order.subject)?,
        json(&order.measure)?,
        &order.reason,
        &order.made_by,
        order.made,
        order.expires,
    ];
    let new = tx.execute(sql, values).await? > 0;
    if new {
        touch(tx, Changed::Orders).await?;
    }
    Ok(new)
}

impl Database {
    /// Keeps an order; says whether it was new. The same id again changes nothing.
    pub async fn insert_order(&self, order: &Order) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let new = insert(&mut tx, order).await?;
        tx.commit().await?;
        Ok(new)
    }

    /// Lifts an order; says whether it was in force.
    ///
    /// # Errors
    /// `Missing` when there is none with this id.
    pub async fn lift_order(&self, id: &str, by: &str, now: i64) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "UPDATE orders SET lifted = $2, lifted_by = $3 WHERE id = $1 AND lifted IS NULL \
                   AND (expires IS NULL OR expires > $2)";
        let lifted = tx.execute(sql, values![id.to_owned(), now, by.to_owned()]).await? > 0;
        if lifted {
            touch(&mut tx, Changed::Orders).await?;
        } else if tx.row("SELECT id FROM orders WHERE id = $1", values![id.to_owned()]).await?.is_none() {
            tx.roll_back().await;
            return Err(StoreError::Missing("order"));
        }
        tx.commit().await?;
        Ok(lifted)
    }

    /// Every order in force at `now`.
    pub async fn live_orders(&self, now: i64) -> Result<Vec<Order>, StoreError> {
        const PAGE: u32 = 5_000;
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE lifted IS NULL AND (expires IS NULL OR expires > $1) AND id > $2 ORDER BY id LIMIT $3"
        );
        let mut orders: Vec<Order> = Vec::new();
        loop {
            let after = orders.last().map_or_else(|| Arc::from(""), |last| Arc::clone(&last.id));
            let rows = self.read().await?.rows(sql, values![now, after, PAGE]).await?;
            for row in &rows {
                orders.push(order_of(row)?.order);
            }
            if rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX) {
                return Ok(orders);
            }
        }
    }

    /// The order with this id, in force or not.
    pub async fn order(&self, id: &str) -> Result<Option<StoredOrder>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM orders WHERE id = $1");
        self.read().await?.row(sql, values![id.to_owned()]).await?.as_ref().map(order_of).transpose()
    }

    /// A page of orders, newest first.
    pub async fn orders(&self, filter: &OrderFilter, limit: u32) -> Result<Vec<StoredOrder>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM orders WHERE ($1 IS NULL OR id < $1) AND ($2 IS NULL OR subject = $2) \
             AND ($3 IS NULL OR (lifted IS NULL AND (expires IS NULL OR expires > $3))) ORDER BY id DESC LIMIT $4"
        );
        // A subject is always written alike.
        let subject = filter.subject.as_ref().map(json).transpose()?;
        let values = values![filter.before.clone(), subject, filter.in_force, limit];
        self.read().await?.rows(sql, values).await?.iter().map(order_of).collect()
    }
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|why| StoreError::Value(why.to_string()))
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|why| StoreError::Value(why.to_string()))
}

fn order_of(row: &Row) -> Result<StoredOrder, StoreError> {
    Ok(StoredOrder {
        order: Order {
            id: row.shared(0)?,
            subject: from_json(&row.text(1)?)?,
            measure: from_json(&row.text(2)?)?,
            reason: row.shared(3)?,
            made_by: row.shared(4)?,
            made: row.int(5)?,
            expires: row.maybe_int(6)?,
        },
        lifted: row.maybe_int(7)?,
        lifted_by: row.maybe_text(8)?,
    })
}
