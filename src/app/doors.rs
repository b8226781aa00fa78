//! What the admin API asks of the running gateway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::backing::Backing;
use super::effective;
use super::fleet::Word;
use super::scan;
use crate::config::issued::generate_key;
use crate::config::{Asking, Environment, Handle, Policy, Reloader, Snapshot};
use crate::control::Follower;
use crate::control::api::door::{
    AuditLog, AuditNote, AuditPage, AuditQuery, AuditSink, DoorError, Doors, Effective, ExplainQuery, FreshKey,
    Gateway, Refresh, Reply, ScanAsked, Scanned, UseQuery, Validation,
};
use crate::control::api::soc::Soc;
use crate::control::api::trying::Trying;
use crate::control::audit::{AuditError, Checks, Entry, Kind, Outcome, Trail, Verified};
use crate::control::export::Exports;
use crate::control::learn::LearnDesk;
use crate::control::report::ReportDesk;
use crate::proxy::Counting;
use crate::quota::{Kind as Form, ScopeKind, Unit};
use crate::store::audit::{AuditFilter, AuditRow};
use crate::store::{self, Database, StoreError};
use crate::types::{Caller, ReloadOutcome, hex};

/// The running gateway, as the admin API sees it.
pub(super) struct Running {
    pub(super) config: Arc<Handle>,
    pub(super) counting: Arc<Counting>,
    pub(super) reloader: Reloader,
    pub(super) follower: Follower,
    pub(super) word: Word,
    pub(super) backing: Backing,
    pub(super) environment: Environment,
    pub(super) started: Instant,
}

/// How long a verification of the trail is waited for before it is told how far it is.
const VERIFY_WAIT: Duration = Duration::from_secs(5);

/// The trail, to write to and to read.
struct Log {
    trail: Trail,
    database: Database,
    checks: Checks,
}

/// Every door of the admin API.
pub(super) fn doors(
    running: Running,
    soc: Option<Soc>,
    learn: Option<LearnDesk>,
    exports: Option<Exports>,
    trying: Option<Trying>,
    reports: Option<ReportDesk>,
) -> Doors {
    let Backing { trail, database, vault, .. } = running.backing.clone();
    let longest = running.config.load().settings.admin.verify_timeout.get();
    let checks = Checks::new(database.clone(), trail.options().directory.clone(), longest);
    let log = Arc::new(Log { trail, database, checks });
    let mint = || {
        let key = generate_key().map_err(|error| DoorError::Unavailable(error.to_string()))?;
        Ok(FreshKey { secret: key.secret, hash: hex(key.hash.as_bytes()), shown: key.shown })
    };
    Doors {
        gateway: Arc::new(running),
        sink: Arc::clone(&log) as Arc<dyn AuditSink>,
        trail: log,
        mint: Arc::new(mint),
        vault,
        clock: Arc::new(store::now),
        soc,
        learn,
        exports,
        trying,
        reports,
    }
}

fn away(error: &impl ToString) -> DoorError {
    DoorError::Unavailable(error.to_string())
}

impl Gateway for Running {
    fn status(&self) -> Reply<'_, Value> {
        let (writer, trail) = (self.backing.writer.health(), self.backing.trail.health());
        let snapshot = self.config.load_full();
        let status = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "generation": snapshot.generation.0,
            "uptime_seconds": self.started.elapsed().as_secs(),
            "rules": snapshot.rules.rules().len(),
            "rule_set": snapshot.rules.hash().0,
            "keys": snapshot.issued.len(),
            "orders": snapshot.orders.len(),
            "limits": { "counted_by": self.counting.meter().state().name(), "buckets": self.counting.meter().tracked() },
            "store": {
                "state": writer.state.name(),
                "spool_bytes": writer.spool_bytes,
                "queued": writer.queued,
                "committed": writer.committed,
                "dropped": writer.dropped,
                "problem": writer.problem,
            },
            "audit": {
                "state": trail.state,
                "seq": trail.seq,
                "head": trail.head,
                "spool_bytes": trail.spooled,
                "checkpoint": trail.checkpoint,
                "diverged": trail.diverged,
            },
        });
        Box::pin(async { Ok(status) })
    }

    fn policies(&self) -> Reply<'_, Vec<Value>> {
        let all = self.config.load().policies.iter().map(|policy| told(policy)).collect();
        Box::pin(async { Ok(all) })
    }

    fn explain(&self, query: ExplainQuery) -> Reply<'_, Value> {
        let snapshot = self.config.load_full();
        let named = |name: &Option<String>| name.as_deref().map(Arc::from);
        let issued = query.key.as_deref().and_then(|key| {
            snapshot
                .issued
                .get(key)
                .or_else(|| snapshot.issued.iter().map(|(_, key)| key).find(|one| *one.name == *key))
        });
        let mut caller = Caller {
            tenant: named(&query.tenant),
            team: named(&query.team),
            user: named(&query.user),
            agent: named(&query.agent),
            key: named(&query.key),
            ..Caller::default()
        };
        if let Some(key) = issued {
            caller.key = Some(Arc::clone(&key.family));
            caller.tenant = caller.tenant.or_else(|| key.tenant.clone());
            caller.team = caller.team.or_else(|| key.team.clone());
            caller.user = caller.user.or_else(|| key.user.clone()).or_else(|| Some(Arc::clone(&key.name)));
            caller.agent = caller.agent.or_else(|| key.agent.clone());
        }
        let route = query.route.as_deref().unwrap_or("/chat/completions");
        let asking = Asking { caller: &caller, route, model: query.model.as_deref() };
        let explained = snapshot.policies.explain(&asking);
        let tried: Vec<Value> = explained
            .tried
            .iter()
            .map(|tried| json!({ "policy": tried.policy.name, "differs": tried.differs }))
            .collect();
        let answer = json!({ "caller": caller, "tried": tried, "policy": explained.holds().map(told) });
        Box::pin(async { Ok(answer) })
    }

    fn config(&self) -> Reply<'_, Effective> {
        let snapshot = self.config.load_full();
        Box::pin(async move { effective::of(&snapshot).map_err(|error| away(&error)) })
    }

    fn validate(&self, text: String) -> Reply<'_, Validation> {
        let environment = self.environment.clone();
        Box::pin(async move {
            let checked = tokio::task::spawn_blocking(move || effective::validate(&text, environment)).await;
            checked.map_err(|error| away(&error))?.map_err(|error| away(&error))
        })
    }

    fn reload(&self) -> Reply<'_, ReloadOutcome> {
        let reloader = self.reloader.clone();
        Box::pin(async move { Ok(reloader.request().await) })
    }

    fn limits(&self, query: UseQuery) -> Reply<'_, Vec<Value>> {
        let used = self.used(&query, |form| !matches!(form, Form::Budget { .. }));
        Box::pin(async { Ok(used) })
    }

    fn budgets(&self, query: UseQuery) -> Reply<'_, Vec<Value>> {
        let used = self.used(&query, |form| matches!(form, Form::Budget { .. }));
        Box::pin(async { Ok(used) })
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.config.load_full()
    }

    fn scan(&self, asked: ScanAsked) -> Scanned {
        scan::conclude(&self.config.load_full(), asked)
    }

    fn refresh(&self, _: Refresh) -> Reply<'_, ()> {
        Box::pin(async {
            self.follower.look().await.map_err(|error| away(&error))?;
            self.word.spread().await;
            Ok(())
        })
    }
}

impl Running {
    /// Limits or budgets; how much of them is used, where somebody is named.
    fn used(&self, query: &UseQuery, wanted: impl Fn(&Form) -> bool) -> Vec<Value> {
        let snapshot = self.config.load_full();
        let plans = std::iter::once((None, &*snapshot.charges))
            .chain(snapshot.policies.iter().map(|policy| (Some(&*policy.name), &policy.charges)));
        let mut all = Vec::new();
        for (policy, plan) in plans {
            for (kind, rule) in plan.rules().filter(|(_, rule)| wanted(&rule.kind)) {
                if query.scope.is_some_and(|scope| scope != kind) {
                    continue;
                }
                let mut one = json!({
                    "name": rule.name,
                    "policy": policy,
                    "scope": kind.name(),
                    "unit": unit(rule.unit),
                    "limit": rule.kind.limit(),
                });
                let name = if kind == ScopeKind::All { Some("") } else { query.name.as_deref() };
                let tenant = query.tenant.as_deref();
                let bucket = name.and_then(|name| {
                    let mut all = plan.buckets(kind, tenant, name).into_iter();
                    all.find(|bucket| bucket.rule.name == rule.name && bucket.rule.unit == rule.unit)
                });
                if let (Some(bucket), Some(fields)) = (bucket, one.as_object_mut()) {
                    let left = self.counting.meter().headroom(&bucket);
                    fields.insert("of".to_owned(), json!(name));
                    fields.insert("used".to_owned(), json!(left.limit.saturating_sub(left.remaining)));
                    fields.insert("remaining".to_owned(), json!(left.remaining));
                    fields.insert("reset_seconds".to_owned(), json!(left.reset.as_secs()));
                }
                all.push(one);
            }
        }
        all.truncate(query.limit as usize);
        all
    }
}

const fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Requests => "requests",
        Unit::Tokens => "tokens",
        Unit::NanoUsd => "nano_usd",
        Unit::Slots => "requests_in_flight",
    }
}

fn told(policy: &Policy) -> Value {
    let mut said = serde_json::to_value(&*policy.written).unwrap_or_default();
    if let Some(fields) = said.as_object_mut() {
        fields.insert("name".to_owned(), json!(policy.name));
        fields.insert("extends".to_owned(), json!(policy.bases));
    }
    said
}

impl AuditSink for Log {
    fn append(&self, note: AuditNote) -> Reply<'_, ()> {
        let kind = match note.kind {
            "account_change" => Kind::Account,
            other => Kind::from_name(other).unwrap_or(Kind::Action),
        };
        let actor = if note.actor.account.is_empty() { "nobody" } else { note.actor.account.as_str() };
        let outcome = match note.outcome {
            "done" => Outcome::Success,
            "refused" => Outcome::Denied,
            _ => Outcome::Failure,
        };
        let mut entry = Entry::new(kind, actor, note.object)
            .outcome(outcome)
            .request(note.actor.request)
            .detail("action", note.action)
            .detail("via", note.actor.via)
            .detail("credential", note.actor.credential)
            .personal("name", note.actor.name);
        if let Some(address) = note.actor.address {
            entry = entry.personal("address", address.to_string());
        }
        if note.before.is_some() || note.after.is_some() {
            entry = entry.change(integers(note.before), integers(note.after));
        }
        Box::pin(async move { self.trail.append(entry).await.map(drop).map_err(|error: AuditError| away(&error)) })
    }
}

/// What the canonical form takes: numbers with a fraction as text.
fn integers(value: Option<Value>) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Number(number) if !number.is_i64() && !number.is_u64() => *value = Value::String(number.to_string()),
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Object(fields) => fields.values_mut().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = value.unwrap_or(Value::Null);
    walk(&mut value);
    value
}

impl AuditLog for Log {
    fn entries(&self, query: AuditQuery) -> Reply<'_, AuditPage> {
        Box::pin(async move {
            let before = query.before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
            let after = i64::try_from(query.after).ok().map(|after| after.saturating_add(1));
            let filter = AuditFilter {
                from: after.filter(|_| before.is_none()),
                before,
                kind: query.kind,
                actor: query.actor,
                since: query.from,
                until: query.to,
                ..AuditFilter::default()
            };
            let mut rows = self.trail.query(&filter, query.limit).await.map_err(|error| away(&error))?;
            if before.is_none() {
                rows.sort_unstable_by_key(|row| row.seq);
            }
            let full = rows.len() >= query.limit as usize;
            let next = rows.last().filter(|_| full).and_then(|row| u64::try_from(row.seq).ok());
            Ok(AuditPage { entries: rows.into_iter().map(shown).collect(), next })
        })
    }

    fn head(&self) -> Reply<'_, Value> {
        let health = self.trail.health();
        let head = json!({
            "seq": health.seq,
            "hash": health.head,
            "checkpoint": health.checkpoint,
            "checkpoint_time": health.checkpoint_time,
            "witnessed": health.witnessed,
            "diverged": health.diverged,
        });
        Box::pin(async { Ok(head) })
    }

    fn checkpoints(&self, after: u64, limit: u32) -> Reply<'_, AuditPage> {
        Box::pin(async move {
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let found = self.database.audit_checkpoints(after, limit).await;
            let rows = found.map_err(|error: StoreError| away(&error))?;
            let next = rows.last().filter(|_| rows.len() >= limit as usize).and_then(|row| u64::try_from(row.seq).ok());
            let entries = rows.iter().map(|row| json!({ "body": row.body, "signature": row.signature })).collect();
            Ok(AuditPage { entries, next })
        })
    }

    fn rotate_key(&self) -> Reply<'_, String> {
        Box::pin(async { self.trail.rotate_key().await.map_err(|error| away(&error)) })
    }

    fn verify(&self, from: Option<i64>, to: Option<i64>) -> Reply<'_, Option<Verified>> {
        Box::pin(async move { Ok(self.checks.run((from, to), VERIFY_WAIT).await) })
    }

    fn verified(&self) -> Verified {
        self.checks.last()
    }
}

fn shown(row: AuditRow) -> Value {
    let body: Value = serde_json::from_str(&row.body).unwrap_or(Value::String(row.body));
    let personal = row.personal.map(|part| serde_json::from_str(&part.body).unwrap_or(Value::String(part.body)));
    json!({ "seq": row.seq, "time": row.time, "hash": hex(&row.hash), "entry": body, "personal": personal })
}
