//! Remedies carried out: leased, done by means that can be repeated without harm, written down.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::approvals::{RuleError, Who, line, record};
use super::feed::Feed;
use super::notify::{Channels, Notice};
use crate::control::audit::{Entry, Kind, Outcome, Trail};
use crate::soc::remedy::{Refusal, Retry, applied, failed, impossible, order_of};
use crate::store::soc::Done;
use crate::store::{StoreError, now};
use crate::types::soc::{LogKind, Remedy, RemedyAction};
use crate::types::{AccessRole, Order, Subject};

/// Remedies taken at once: what the store has to know of them it is told together.
const AT_ONCE: u32 = 16;

/// How often remedies are looked for whose time is over: what they did has ended by itself.
const EXPIRE: Duration = Duration::from_secs(1);

/// Makes a change of orders or keys effective here at once; other replicas find it by themselves.
pub type Refresh = Arc<dyn Fn() -> Refreshed + Send + Sync>;

/// What is waited for then.
pub type Refreshed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// How remedies are carried out.
#[derive(Debug, Clone, Copy)]
pub struct RemedyOptions {
    /// How often the store is looked at for what is due.
    pub every: Duration,
    /// How long one try may take; after that another replica may try.
    pub lease: Duration,
    /// How failures are retried.
    pub retry: Retry,
}

/// Carries remedies out. Clones are the same.
#[derive(Clone)]
pub struct Remedies {
    feed: Feed,
    trail: Trail,
    channels: Arc<Channels>,
    refresh: Refresh,
    options: RemedyOptions,
}

/// What a try came to.
enum Tried {
    /// It is in force, or done.
    Applied,
    /// It is in force as soon as this order is given.
    Given(Box<Order>),
    /// Another try may help.
    Failed(String),
    /// Nothing helps.
    Impossible(String),
}

impl Remedies {
    /// With these means.
    pub fn new(feed: Feed, trail: Trail, channels: Arc<Channels>, refresh: Refresh, options: RemedyOptions) -> Self {
        Self { feed, trail, channels, refresh, options }
    }

    /// Carries out what is due, and ends what is over, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let worker = format!("remedies-{}", uuid::Uuid::now_v7().simple());
        let mut looked: Option<tokio::time::Instant> = None;
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= EXPIRE) {
                looked = Some(tokio::time::Instant::now());
                if let Err(error) = self.expire().await {
                    tracing::warn!(%error, "remedies whose time is over cannot be looked for");
                }
            }
            match self.round(&worker).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "remedies cannot be looked for"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.options.every) => {}
            }
        }
    }

    /// Ends what is over.
    async fn expire(&self) -> Result<(), StoreError> {
        let (ended, entries) = self.feed.database().expire_remedies(now()).await?;
        self.feed.publish(entries).await;
        for remedy in ended {
            let entry =
                Entry::new(Kind::Action, "gateway", format!("remedy/{}", remedy.id)).detail("action", "remedy.expire");
            drop(record(&self.trail, entry).await);
        }
        Ok(())
    }

    /// One look: whether something was done.
    async fn round(&self, worker: &str) -> Result<bool, StoreError> {
        let database = self.feed.database();
        let until = now().saturating_add(micros(self.options.lease));
        let leased = database.lease_remedies(worker, until, now(), AT_ONCE).await?;
        if leased.is_empty() {
            return Ok(false);
        }
        let (mut outside, inside): (Vec<_>, Vec<_>) =
            leased.into_iter().partition(|remedy| matches!(remedy.action, RemedyAction::Notify { .. }));
        // What waits for others is done one after the other: those that would wait for it are somebody else's again.
        let others: Vec<Arc<str>> = outside.drain(outside.len().min(1)..).map(|remedy| remedy.id).collect();
        if !others.is_empty() {
            database.release_remedies(&others, worker).await?;
        }
        for together in [inside, outside] {
            self.carry_out(together, worker, until).await?;
        }
        Ok(true)
    }

    async fn carry_out(&self, remedies: Vec<Remedy>, worker: &str, until: i64) -> Result<(), StoreError> {
        let mut tries = Vec::with_capacity(remedies.len());
        let (mut orders, mut changed) = (Vec::new(), false);
        for remedy in self.recorded(remedies).await {
            let left = Duration::from_micros(u64::try_from(until.saturating_sub(now())).unwrap_or(0));
            let tried = tokio::time::timeout(left, self.act(&remedy)).await;
            let mut tried = tried.unwrap_or_else(|_| Tried::Failed("it took too long".to_owned()));
            if let Tried::Given(order) = tried {
                orders.push((Arc::clone(&remedy.id), *order));
                tried = Tried::Applied;
            }
            changed |= matches!(tried, Tried::Applied) && remedy.action == RemedyAction::RevokeKey;
            tries.push((remedy, tried));
        }
        // In force here before anybody is told so.
        let lost = self.give(&orders, &mut tries, worker).await;
        if changed || orders.len() > lost {
            (self.refresh)().await;
        }
        let at = now();
        let mut done = Vec::with_capacity(tries.len());
        for (remedy, tried) in tries {
            let name = remedy.action.name();
            let (next, text) = match tried {
                Tried::Applied | Tried::Given(_) => (applied(&remedy, at), format!("{name}: done")),
                Tried::Failed(why) => (failed(&remedy, &why, at, &self.options.retry), format!("{name}: {why}")),
                Tried::Impossible(why) => (impossible(&remedy, &why, at), format!("{name}: {why}")),
            };
            let log = vec![line(LogKind::Remedy, &Arc::from("gateway"), text, &remedy.id)];
            match next {
                Ok(next) => done.push(Done { remedy: next, log }),
                // It was leased because it waits.
                Err(refusal) => return Err(StoreError::Conflict(refusal.to_string())),
            }
        }
        if done.is_empty() {
            return Ok(());
        }
        let (finished, entries) = self.feed.database().finish_remedies(&done, worker, now()).await?;
        for (done, finished) in done.iter().zip(finished) {
            // Another replica took over, and what was done is the same; or somebody undid it, and no order was given after that.
            if let Err(why) = finished {
                tracing::warn!(%why, remedy = %done.remedy.id, "the lease was lost");
            }
        }
        self.feed.publish(entries).await;
        Ok(())
    }

    /// Gives orders, all in one change of the store; says how many were not given, because a lease was lost or the store does
    /// not answer.
    async fn give(&self, orders: &[(Arc<str>, Order)], tries: &mut [(Remedy, Tried)], worker: &str) -> usize {
        if orders.is_empty() {
            return 0;
        }
        let given = match self.feed.database().give_orders(orders, worker, now()).await {
            Ok(given) => given,
            Err(error) => vec![Err(error); orders.len()],
        };
        let mut lost = 0_usize;
        for ((remedy, _), given) in orders.iter().zip(given) {
            if let Err(error) = given
                && let Some((_, tried)) = tries.iter_mut().find(|(known, _)| known.id == *remedy)
            {
                *tried = Tried::Failed(error.to_string());
                lost = lost.saturating_add(1);
            }
        }
        lost
    }

    /// Those that are written into the trail. What cannot be written down is not done: it stays leased, and is tried again
    /// when the lease is over.
    async fn recorded(&self, remedies: Vec<Remedy>) -> Vec<Remedy> {
        let entry = |remedy: &Remedy| {
            Entry::new(Kind::Action, "gateway", format!("remedy/{}", remedy.id))
                .detail("action", format!("remedy.{}", remedy.action.name()))
                .detail("plan", &*remedy.plan)
                .detail("once", remedy.once.as_str())
                .detail("target", serde_json::to_value(&remedy.target).unwrap_or_default())
        };
        // Handed over together, so that they are written together.
        let handed: Vec<_> = remedies.iter().map(|remedy| self.trail.try_append(entry(remedy))).collect();
        let mut recorded = Vec::with_capacity(remedies.len());
        for (remedy, handed) in remedies.into_iter().zip(handed) {
            let written = match handed {
                Ok(pending) => pending.await.map(drop).map_err(|error| error.to_string()),
                // There was no room: it is waited for.
                Err(entry) => record(&self.trail, *entry).await.map_err(|error| error.to_string()),
            };
            match written {
                Ok(()) => recorded.push(remedy),
                Err(error) => {
                    tracing::warn!(%error, remedy = %remedy.id, "a remedy waits: it cannot be written into the audit trail");
                }
            }
        }
        recorded
    }

    async fn act(&self, remedy: &Remedy) -> Tried {
        match (&remedy.action, &remedy.target) {
            (RemedyAction::Monitor, _) => Tried::Applied,
            (RemedyAction::Notify { channel }, _) => self.notify(remedy, channel).await,
            (RemedyAction::RevokeKey, Some(Subject::Key { name })) => {
                match self.feed.database().revoke_key(name, now()).await {
                    Ok(()) => Tried::Applied,
                    Err(StoreError::Missing(_)) => Tried::Impossible("there is no such key in the store".to_owned()),
                    Err(error) => Tried::Failed(error.to_string()),
                }
            }
            (RemedyAction::RevokeKey, _) => Tried::Impossible("it names no key".to_owned()),
            // The order's id follows from the remedy's: given twice, it is there once.
            _ => match order_of(remedy, now()) {
                Some(order) => Tried::Given(Box::new(order)),
                None => Tried::Impossible("this action cannot be done to this target".to_owned()),
            },
        }
    }

    async fn notify(&self, remedy: &Remedy, channel: &Arc<str>) -> Tried {
        let incident = match &remedy.incident {
            Some(id) => self.feed.database().incident(id).await.ok().flatten(),
            None => None,
        };
        let notice = Notice {
            id: Arc::clone(&remedy.id),
            title: incident.as_ref().map_or_else(|| "Portcullis".to_owned(), |incident| incident.title.clone()),
            severity: incident.as_ref().map_or(crate::types::Severity::Medium, |incident| incident.severity),
            text: remedy.reason.clone(),
            incident: remedy.incident.clone(),
            url: None,
            resolved: false,
            time: remedy.made,
        };
        match self.channels.send(channel, &notice).await {
            Ok(()) => Tried::Applied,
            Err(error) if error.retryable => Tried::Failed(error.to_string()),
            Err(error) => Tried::Impossible(error.to_string()),
        }
    }

    /// Undoes a remedy that is in force.
    ///
    /// # Errors
    /// `Refused` when it is over or cannot be undone, or who asks may not.
    pub async fn undo(&self, id: &str, who: &Who, reason: String) -> Result<Remedy, RuleError> {
        if !who.roles.iter().any(|role| matches!(role, AccessRole::Responder | AccessRole::Admin)) {
            return Err(RuleError::Refused("the roles responder and admin may undo a remedy".to_owned()));
        }
        let database = self.feed.database();
        let remedy = database.remedy(id).await?.ok_or(RuleError::Missing("remedy"))?;
        let entry = Entry::new(Kind::Action, &*who.account, format!("remedy/{id}"))
            .detail("action", "remedy.undo")
            .detail("reason", reason.as_str());
        if remedy.state.ended() || !remedy.action.reversible() {
            record(&self.trail, entry.outcome(Outcome::Denied)).await?;
            return Err(RuleError::Refused(Refusal::Ended.to_string()));
        }
        record(&self.trail, entry).await?;
        let text = format!("undone by {}: {reason}", who.name);
        let log = [line(LogKind::Remedy, &who.name, text, &remedy.id)];
        let (remedy, entries) = database.undo_remedy(id, &who.name, now(), &log).await?;
        (self.refresh)().await;
        self.feed.publish(entries).await;
        Ok(remedy)
    }
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}
