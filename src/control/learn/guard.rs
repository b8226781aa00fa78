//! Looks after what was learned: writes what it found, takes back what hits harmless traffic, and lets what did well go on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::counter::Counts;
use super::{by_gateway, micros};
use crate::control::audit::{Entry, Kind, Outcome, Trail};
use crate::control::soc::feed::Feed;
use crate::control::surge::Raise;
use crate::store::{StoreError, now};
use crate::telemetry::Metrics;
use crate::types::learn::{GATEWAY, Hits, Proposal, ProposalState, Report, Said, Stage};
use crate::types::{Alarm, AlarmKind, Caller};

const MINUTE: i64 = 60_000_000;

/// Counts are kept so long.
const KEPT: i64 = 30 * 24 * 60;

/// How often old counts are forgotten, in rounds.
const SWEEP: u32 = 500;

/// False alarms looked at, the newest.
const FALSE_ALARMS: u32 = 200;

/// When what was learned goes on, and when it is taken back.
#[derive(Debug, Clone, Copy)]
pub struct GuardOptions {
    /// How often it is looked at.
    pub every: Duration,
    /// How far back.
    pub within: Duration,
    /// The share of requests that a rule alone may find something in.
    pub rate: f32,
    /// Such requests below which that says nothing.
    pub hits: u64,
    /// Different callers of these below which that says nothing.
    pub callers: usize,
    /// Accounts that report false alarms of it.
    pub false_alarms: usize,
    /// Let what did well in the shadow go on by itself.
    pub automatic: bool,
    /// How long it has to be there.
    pub shadow_for: Duration,
    /// Requests it has to have seen there.
    pub shadow_requests: u64,
    /// The share that it alone may have found something in.
    pub shadow_rate: f32,
    /// The share of callers it holds for first.
    pub canary: f32,
    /// How long; zero: until a person promotes it.
    pub canary_for: Duration,
    /// Requests it has to have seen meanwhile.
    pub canary_requests: u64,
}

/// The task.
pub struct Guard {
    feed: Feed,
    trail: Trail,
    counts: Counts,
    raise: Raise,
    metrics: Metrics,
    options: GuardOptions,
    replica: String,
    rounds: u32,
    /// What is staged, and when it changed.
    staged: Option<(u64, Vec<Proposal>)>,
}

/// What a rule of a proposal found, the most of any.
fn of(proposal: &Proposal, sums: &BTreeMap<String, Hits>) -> Hits {
    let mut all = Hits { seen: sums.get("").map_or(0, |all| all.seen), ..Hits::default() };
    for hits in proposal.ids.iter().filter_map(|id| sums.get(&*id.0)) {
        all.hits = all.hits.max(hits.hits);
        all.alone = all.alone.max(hits.alone);
        all.decided = all.decided.max(hits.decided);
        all.callers.extend(&hits.callers);
    }
    all.callers.sort_unstable();
    all.callers.dedup();
    all
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

impl GuardOptions {
    /// Why a proposal that decides is taken back for what it found.
    fn too_often(&self, hits: &Hits, stage: Option<Stage>) -> Option<String> {
        // A canary decides about a share of the requests alone.
        let part = if let Some(Stage::Canary { share }) = stage { share.clamp(0.0, 1.0) } else { 1.0 };
        let often = hits.decided >= self.hits
            && hits.callers.len() >= self.callers
            && share(hits.decided, hits.seen) > f64::from(self.rate) * f64::from(part);
        often.then(|| {
            format!(
                "it alone decided about {} of {} requests, of {} callers or more, within {} s",
                hits.decided,
                hits.seen,
                hits.callers.len(),
                self.within.as_secs()
            )
        })
    }

    fn did_well(&self, proposal: &Proposal, hits: &Hits, now: i64) -> bool {
        now.saturating_sub(proposal.since) >= micros(self.shadow_for)
            && hits.seen >= self.shadow_requests
            && share(hits.alone, hits.seen) <= f64::from(self.shadow_rate)
    }
}

impl Guard {
    /// One for this replica.
    pub fn new(
        feed: Feed,
        trail: Trail,
        counts: Counts,
        raise: Raise,
        metrics: Metrics,
        options: GuardOptions,
    ) -> Self {
        let replica = uuid::Uuid::now_v7().simple().to_string();
        Self { feed, trail, counts, raise, metrics, options, replica, rounds: 0, staged: None }
    }

    /// Looks every so often, until `stop`; writes the last counts then.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut away = false;
        loop {
            let ending = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(self.options.every) => false,
            };
            match self.round().await {
                Ok(()) => away = false,
                Err(error) if !away => {
                    away = true;
                    tracing::warn!(%error, "learned rules cannot be looked after: what they find is counted meanwhile");
                }
                Err(_) => {}
            }
            if ending {
                return;
            }
        }
    }

    /// Writes what was counted and acts on what all replicas counted.
    ///
    /// # Errors
    /// Of the store; what was counted is kept and written the next time.
    pub async fn round(&mut self) -> Result<(), StoreError> {
        let database = self.feed.database().clone();
        let rows = self.counts.fresh();
        if !rows.is_empty()
            && let Err(error) = database.write_hits(&self.replica, &rows).await
        {
            self.counts.unwritten(&rows);
            return Err(error);
        }
        let now = now();
        let minute = now.div_euclid(MINUTE);
        self.counts.forget(minute.saturating_sub(2));
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds % SWEEP == 1 {
            database.forget_hits(minute.saturating_sub(KEPT)).await?;
        }
        self.metrics.learn().proposals(&database.proposal_counts().await?);
        let version = database.changes().await?.learned;
        if self.staged.as_ref().is_none_or(|(known, _)| *known != version) {
            self.staged = Some((version, database.staged_proposals().await?));
        }
        let staged = self.staged.as_ref().map(|(_, staged)| staged.clone()).unwrap_or_default();
        if staged.is_empty() {
            return Ok(());
        }
        let decides = |one: &Proposal| matches!(one.state, ProposalState::Canary | ProposalState::Live);
        let false_alarms = match staged.iter().any(decides) {
            true => database.false_alarms(FALSE_ALARMS).await?,
            false => Vec::new(),
        };
        let within = minute.saturating_sub(i64::try_from(self.options.within.as_secs() / 60).unwrap_or(i64::MAX));
        let recent = database.hits_since(within).await?;
        for proposal in &staged {
            let why =
                if decides(proposal) { self.why_back(proposal, &of(proposal, &recent), &false_alarms) } else { None };
            if let Some(why) = why {
                self.take_back(proposal, why).await?;
            } else {
                self.go_on(proposal, now).await?;
            }
        }
        Ok(())
    }

    /// Why a proposal that decides is to be taken back.
    fn why_back(&self, proposal: &Proposal, recent: &Hits, false_alarms: &[Report]) -> Option<String> {
        if let Some(why) = self.options.too_often(recent, proposal.stage()) {
            return Some(why);
        }
        // From when on it decided for anybody.
        let lets = |one: &&Said| matches!(&*one.what, "approve" | "promote");
        let since = proposal.said.iter().find(lets).map_or(proposal.since, |one| one.at);
        let about = false_alarms.iter().filter(|report| report.rules.iter().any(|rule| proposal.ids.contains(rule)));
        let reporters = about.clone().flat_map(|report| &report.reporters).map(|one| (&one.account, one.at));
        // Who confirmed it says so too.
        let confirmed = about.filter_map(|report| report.ruling.as_ref()).map(|one| (&one.account, one.at));
        let said = reporters.chain(confirmed).filter(|(_, at)| *at >= since);
        let mut accounts: Vec<&Arc<str>> = said.map(|(account, _)| account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let count = accounts.len();
        (count >= self.options.false_alarms).then(|| format!("{count} accounts reported false alarms of it"))
    }

    /// Takes a proposal out of force, once whichever replica sees it first.
    async fn take_back(&self, proposal: &Proposal, why: String) -> Result<(), StoreError> {
        let (from, at, reason) = (proposal.state, now(), why.clone());
        let entry = Entry::new(Kind::Action, GATEWAY, format!("proposal/{}", proposal.id))
            .detail("action", "learn.roll_back")
            .detail("why", why.as_str())
            .detail("hash", &*proposal.hash);
        self.trail.append(entry).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let change = move |one: &mut Proposal| {
            if one.state != from {
                return Err(StoreError::Conflict("somebody else changed the proposal".to_owned()));
            }
            (one.state, one.since, one.updated) = (ProposalState::RolledBack, at, at);
            one.said.push(by_gateway("roll_back", reason, at));
            Ok(())
        };
        match self.feed.database().change_proposal(&proposal.id, change).await {
            Ok((_, entries)) => {
                self.feed.publish(entries).await;
                self.metrics.learn().rolled_back();
                tracing::warn!(proposal = %proposal.id, why, "a learned rule was taken back");
                let message = format!("{} ({}) was taken back: {why}", proposal.title, proposal.stem);
                (self.raise)(Alarm {
                    time: at,
                    kind: AlarmKind::RuleRolledBack,
                    caller: Caller::default(),
                    request: None,
                    message,
                });
                Ok(())
            }
            // Another replica was first, and raised the alarm.
            Err(StoreError::Conflict(_) | StoreError::Missing(_)) => self.not_done(proposal, "learn.roll_back").await,
            Err(error) => Err(error),
        }
    }

    /// What did well in the shadow becomes a canary, where that may happen by itself; a canary of long enough becomes live.
    async fn go_on(&self, proposal: &Proposal, now: i64) -> Result<(), StoreError> {
        let (to, why) = match proposal.state {
            ProposalState::Shadow if self.options.automatic => {
                let since = proposal.since.div_euclid(MINUTE);
                let hits = of(proposal, &self.feed.database().hits_since(since).await?);
                if !self.options.did_well(proposal, &hits, now) {
                    return Ok(());
                }
                let to = if self.options.canary < 1.0 { ProposalState::Canary } else { ProposalState::Live };
                let (seen, alone) = (hits.seen, hits.alone);
                (to, format!("{seen} requests in the shadow, it alone found something in {alone}"))
            }
            ProposalState::Canary
                if !self.options.canary_for.is_zero()
                    && now.saturating_sub(proposal.since) >= micros(self.options.canary_for) =>
            {
                let hits = of(proposal, &self.feed.database().hits_since(proposal.since.div_euclid(MINUTE)).await?);
                if hits.seen < self.options.canary_requests {
                    return Ok(());
                }
                let (time, seen) = (self.options.canary_for.as_secs(), hits.seen);
                (ProposalState::Live, format!("{time} s as a canary, {seen} requests"))
            }
            _ => return Ok(()),
        };
        let (from, share, said) = (proposal.state, self.options.canary, by_gateway("promote", why.clone(), now));
        let entry = Entry::new(Kind::Action, GATEWAY, format!("proposal/{}", proposal.id))
            .detail("action", "learn.promote")
            .detail("to", to.name())
            .detail("why", why)
            .detail("hash", &*proposal.hash);
        self.trail.append(entry).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let change = move |one: &mut Proposal| {
            if one.state != from {
                return Err(StoreError::Conflict("somebody else changed the proposal".to_owned()));
            }
            (one.state, one.since, one.updated, one.share) = (to, now, now, share);
            one.said.push(said);
            Ok(())
        };
        match self.feed.database().change_proposal(&proposal.id, change).await {
            Ok((_, entries)) => {
                self.feed.publish(entries).await;
                Ok(())
            }
            Err(StoreError::Conflict(_) | StoreError::Missing(_)) => self.not_done(proposal, "learn.promote").await,
            Err(error) => Err(error),
        }
    }

    /// Takes back what the trail says of something that somebody else did first.
    async fn not_done(&self, proposal: &Proposal, action: &'static str) -> Result<(), StoreError> {
        let entry = Entry::new(Kind::Action, GATEWAY, format!("proposal/{}", proposal.id))
            .outcome(Outcome::Failure)
            .detail("action", action);
        let written = self.trail.append(entry).await;
        written.map(drop).map_err(|error| StoreError::Unavailable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: GuardOptions = GuardOptions {
        every: Duration::from_secs(5),
        within: Duration::from_secs(300),
        rate: 0.01,
        hits: 10,
        callers: 3,
        false_alarms: 2,
        automatic: true,
        shadow_for: Duration::from_secs(60),
        shadow_requests: 100,
        shadow_rate: 0.001,
        canary: 0.1,
        canary_for: Duration::from_secs(60),
        canary_requests: 10,
    };

    #[test]
    fn only_many_hits_of_many_callers_take_a_rule_back() {
        let hits = |seen, alone, callers: u64| Hits {
            seen,
            hits: alone,
            alone,
            decided: alone,
            callers: (0..callers).collect(),
        };
        assert!(OPTIONS.too_often(&hits(500, 10, 3), None).is_some());
        assert!(OPTIONS.too_often(&hits(500, 9, 3), None).is_none(), "too few");
        assert!(OPTIONS.too_often(&hits(500, 400, 2), None).is_none(), "one who attacks alone");
        assert!(OPTIONS.too_often(&hits(2_000, 15, 9), None).is_none(), "a small share");
        assert!(OPTIONS.too_often(&hits(0, 0, 0), None).is_none());
        let canary = Some(Stage::Canary { share: 0.1 });
        assert!(OPTIONS.too_often(&hits(2_000, 15, 9), canary).is_some(), "of the requests that it decides about");
        let shadow = Hits { decided: 0, ..hits(500, 100, 9) };
        assert!(OPTIONS.too_often(&shadow, None).is_none(), "what it found on trial hurt nobody");
    }
}
