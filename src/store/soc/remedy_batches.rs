//! Remedies carried out together: orders given, and outcomes written, each refusable by itself.

use std::sync::Arc;

use super::feed::FeedTx;
use super::remedies::{Done, find, finish, mine};
use super::{Fed, few};
use crate::store::{Database, StoreError, orders};
use crate::types::Order;
use crate::types::soc::Remedy;

/// Gives orders, each if the worker's lease on its remedy lasts.
async fn give_all(
    tx: &mut FeedTx,
    given: &[(Arc<str>, Order)],
    worker: &str,
    now: i64,
) -> Result<Vec<Result<(), StoreError>>, StoreError> {
    few(given.len())?;
    let mut done = Vec::with_capacity(given.len());
    for (remedy, order) in given {
        let held = match find(tx, remedy).await {
            Ok((known, holder, until)) => mine(&known, holder.as_deref(), until, worker, now),
            Err(StoreError::Missing(what)) => Err(StoreError::Missing(what)),
            Err(error) => return Err(error),
        };
        if held.is_ok() {
            orders::insert(tx.session().await?, order).await?;
        }
        done.push(held);
    }
    Ok(done)
}

async fn finish_all(
    tx: &mut FeedTx,
    done: &[Done],
    worker: &str,
    now: i64,
) -> Result<Vec<Result<Remedy, StoreError>>, StoreError> {
    few(done.len())?;
    let mut finished = Vec::with_capacity(done.len());
    for one in done {
        finished.push(match finish(tx, one, worker, now).await {
            Err(refused @ (StoreError::Conflict(_) | StoreError::Missing(_))) => Err(refused),
            other => Ok(other?),
        });
    }
    Ok(finished)
}

/// Many remedies at once.
impl Database {
    /// Gives the orders that remedies are, each if the worker's lease on the remedy lasts; says of each whether it does: an
    /// order that is there has a remedy that says so, or will. The same order again changes nothing.
    ///
    /// # Errors
    /// Of each: `Missing`; `Conflict` when the lease is lost, and that one is not given then.
    pub async fn give_orders(
        &self,
        given: &[(Arc<str>, Order)],
        worker: &str,
        now: i64,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let done = give_all(&mut tx, given, worker, now).await;
        match tx.end(done).await {
            Ok((done, _)) => Ok(done),
            Err(error) if !error.is_permanent() => Err(error),
            // One that cannot be given does not keep the others from it.
            Err(_) => {
                let mut each = Vec::with_capacity(given.len());
                for one in given.chunks(1) {
                    let mut tx = FeedTx::begin(self).await?;
                    let done = give_all(&mut tx, one, worker, now).await;
                    each.push(match tx.end(done).await {
                        Ok((mut done, _)) => done.pop().unwrap_or(Err(StoreError::Missing("remedy"))),
                        Err(error) if error.is_permanent() => Err(error),
                        Err(error) => return Err(error),
                    });
                }
                Ok(each)
            }
        }
    }

    /// Writes what came of tries and gives the leases back; says of each what became of it. A plan none of whose remedies
    /// waits any more is carried out.
    ///
    /// # Errors
    /// Of each: `Missing`; `Conflict` when the lease is lost, and nothing is written of it then.
    pub async fn finish_remedies(
        &self,
        done: &[Done],
        worker: &str,
        now: i64,
    ) -> Result<Fed<Vec<Result<Remedy, StoreError>>>, StoreError> {
        let mut tx = FeedTx::begin(self).await?;
        let all = finish_all(&mut tx, done, worker, now).await;
        match tx.end(all).await {
            Err(error) if error.is_permanent() => {}
            ended => return ended,
        }
        // What cannot be written of one is not lost of the others.
        let (mut each, mut feed) = (Vec::with_capacity(done.len()), Vec::new());
        for one in done.chunks(1) {
            let mut tx = FeedTx::begin(self).await?;
            let finished = finish_all(&mut tx, one, worker, now).await;
            each.push(match tx.end(finished).await {
                Ok((mut finished, entries)) => {
                    feed.extend(entries);
                    finished.pop().unwrap_or(Err(StoreError::Missing("remedy")))
                }
                Err(error) if error.is_permanent() => Err(error),
                Err(error) => return Err(error),
            });
        }
        Ok((each, feed))
    }
}
