//! Remedies carried out: leased, done by means that can be repeated without harm, written down.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::approvals::{RuleError, Who, line, record};
use super::feed::Feed;
use super::notify::{Channels, Notice};
use crate::control::audit::{Entry, Kind, Outcome, Trail};
use crate::soc::remedy::{Refusal, Retry, applied, failed, impossible, order_of};
use crate::store::{StoreError, now};
use crate::types::soc::{LogKind, Remedy, RemedyAction};
use crate::types::{AccessRole, Subject};

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
        loop {
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

    /// One look: whether something was done.
    async fn round(&self, worker: &str) -> Result<bool, StoreError> {
        let database = self.feed.database();
        let (ended, entries) = database.expire_remedies(now()).await?;
        self.feed.publish(entries).await;
        for remedy in ended {
            let entry =
                Entry::new(Kind::Action, "gateway", format!("remedy/{}", remedy.id)).detail("action", "remedy.expire");
            drop(record(&self.trail, entry).await);
        }
        let until = now().saturating_add(micros(self.options.lease));
        let Some(remedy) = database.lease_remedy(worker, until, now()).await? else { return Ok(false) };
        self.carry_out(remedy, worker, until).await?;
        Ok(true)
    }

    async fn carry_out(&self, remedy: Remedy, worker: &str, until: i64) -> Result<(), StoreError> {
        // What cannot be written down is not done: it stays leased, and is tried again when the lease is over.
        let entry = Entry::new(Kind::Action, "gateway", format!("remedy/{}", remedy.id))
            .detail("action", format!("remedy.{}", remedy.action.name()))
            .detail("plan", &*remedy.plan)
            .detail("once", remedy.once.as_str())
            .detail("target", serde_json::to_value(&remedy.target).unwrap_or_default());
        if let Err(error) = record(&self.trail, entry).await {
            tracing::warn!(%error, remedy = %remedy.id, "a remedy waits: it cannot be written into the audit trail");
            return Ok(());
        }
        let left = Duration::from_micros(u64::try_from(until.saturating_sub(now())).unwrap_or(0));
        let tried = tokio::time::timeout(left, self.act(&remedy, worker)).await;
        let tried = tried.unwrap_or_else(|_| Tried::Failed("it took too long".to_owned()));
        let at = now();
        let name = remedy.action.name();
        let (next, text) = match tried {
            Tried::Applied => (applied(&remedy, at), format!("{name}: done")),
            Tried::Failed(why) => (failed(&remedy, &why, at, &self.options.retry), format!("{name}: {why}")),
            Tried::Impossible(why) => (impossible(&remedy, &why, at), format!("{name}: {why}")),
        };
        let remedy = match next {
            Ok(next) => next,
            // It was leased because it waits.
            Err(refusal) => return Err(StoreError::Conflict(refusal.to_string())),
        };
        let log = [line(LogKind::Remedy, &Arc::from("gateway"), text, &remedy.id)];
        match self.feed.database().finish_remedy(&remedy, worker, at, &log).await {
            Ok((_, entries)) => self.feed.publish(entries).await,
            // Another replica took over, and what was done is the same; or somebody undid it, and no order was given after that.
            Err(StoreError::Conflict(why)) => tracing::warn!(%why, remedy = %remedy.id, "the lease was lost"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn act(&self, remedy: &Remedy, worker: &str) -> Tried {
        let database = self.feed.database();
        match (&remedy.action, &remedy.target) {
            (RemedyAction::Monitor, _) => Tried::Applied,
            (RemedyAction::Notify { channel }, _) => self.notify(remedy, channel).await,
            (RemedyAction::RevokeKey, Some(Subject::Key { name })) => match database.revoke_key(name, now()).await {
                Ok(()) => {
                    (self.refresh)().await;
                    Tried::Applied
                }
                Err(StoreError::Missing(_)) => Tried::Impossible("there is no such key in the store".to_owned()),
                Err(error) => Tried::Failed(error.to_string()),
            },
            (RemedyAction::RevokeKey, _) => Tried::Impossible("it names no key".to_owned()),
            _ => {
                let Some(order) = order_of(remedy, now()) else {
                    return Tried::Impossible("this action cannot be done to this target".to_owned());
                };
                // The order's id follows from the remedy's: given twice, it is there once.
                match database.give_order(&remedy.id, worker, &order, now()).await {
                    Ok(()) => {
                        (self.refresh)().await;
                        Tried::Applied
                    }
                    Err(error) => Tried::Failed(error.to_string()),
                }
            }
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
