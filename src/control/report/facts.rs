//! What a compliance report is made of: settings in force, counts of the store, and the audit trail verified.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hyper::Uri;
use tokio_util::sync::CancellationToken;

use super::gather::{self, Answers, scope};
use crate::config::Snapshot;
use crate::config::export_settings::{SinkKind, SyslogProtocol};
use crate::config::settings::{ClientAuth, Mode, OnFailure, OnUninspected, Protocol, Settings, UpstreamKind};
use crate::config::units::Time;
use crate::control::audit::walk::{self, Against};
use crate::control::audit::{Fault, KeyRing, segment};
use crate::quota::Kind;
use crate::report::Ask;
use crate::report::data::Row;
use crate::report::facts::{Accounts, Admin, Audit, Content, Entry, Facts, Inspect, Verified};
use crate::store::accounts::{Account, AccountKind, Accounts as AccountStore};
use crate::store::{Database, StoreError, Tally};

/// How long an account may be unused, in microseconds.
const UNUSED: i64 = 90 * 86_400_000_000;
const PAGE: u32 = 500;
/// Rows of a question.
const ROWS: u32 = 20_000;

pub(super) async fn facts(database: &Database, snapshot: &Snapshot, ask: &Ask) -> Result<Facts, StoreError> {
    let settings = &*snapshot.settings;
    let asked = [
        Tally::Decisions,
        Tally::Families,
        Tally::Actions,
        Tally::Who,
        Tally::Audited,
        Tally::Contents,
        Tally::Keys,
        Tally::Reported,
    ];
    let all: Vec<Tally> = asked.into_iter().chain(gather::SOC).collect();
    let mut answers = Answers::ask(database, &scope(ask, ROWS), &all).await?;
    let (decisions, families, actions, who) = (answers.rows(), answers.rows(), answers.rows(), answers.one());
    let (kinds, kept, keys, reported) = (answers.rows(), answers.rows(), answers.rows(), answers.rows());
    let learned = database.proposal_counts().await?;
    let live = learned.iter().filter(|(state, _)| state == "live").fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
    let policies: Vec<_> = snapshot.policies.iter().collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let modes = policies.iter().map(|policy| policy.mode.unwrap_or(settings.inspect.mode));
    let lax = count(modes.filter(|mode| *mode != Mode::Enforce).count());
    let with =
        |some: &dyn Fn(&crate::config::Policy) -> bool| count(policies.iter().filter(|policy| some(policy)).count());
    let rules =
        || policies.iter().map(|policy| &policy.charges).chain([&*snapshot.charges]).flat_map(|plan| plan.rules());
    Ok(Facts {
        audit: Audit { kinds, verified: verified(database, settings).await?, keep: seconds(settings.audit.keep) },
        accounts: accounts(database, ask.made).await?,
        keys,
        static_keys: count(settings.identity.keys.len()),
        admin: Admin {
            enabled: settings.admin.enabled,
            oidc: settings.admin.oidc.is_some(),
            min_password: settings.admin.passwords.min_length,
            lockout: settings.admin.lockout.per_account,
            idle: seconds(settings.admin.session_idle),
        },
        entry: entry(database, settings).await?,
        content: Content {
            policies: policies.iter().map(|one| (one.name.to_string(), one.privacy.name().to_owned())).collect(),
            sealed: settings.store.content_key_env.is_some(),
            kept,
            now: ask.made,
        },
        retention: retention(settings),
        inspect: inspect(snapshot, (lax, count(policies.len()))),
        decisions,
        families,
        actions,
        budgets: count(rules().filter(|(_, rule)| matches!(rule.kind, Kind::Budget { .. })).count()),
        limited: rules().any(|(_, rule)| !matches!(rule.kind, Kind::Budget { .. })),
        soc_enabled: settings.soc.enabled,
        channels: count(settings.soc.notify.len()),
        soc: gather::soc(&mut answers),
        learning: (
            settings.learn.enabled,
            reported.iter().fold(0, |sum: u64, row: &Row| sum.saturating_add(row.count)),
            live,
        ),
        tool_approvals: (with(&|policy| policy.approve_tools.is_some()), count(policies.len())),
        allow_lists: with(&|policy| policy.models.is_some() || policy.tools.is_some()),
        who,
        fleet: settings.fleet != crate::config::settings::Fleet::default(),
    })
}

fn seconds(time: Time) -> u64 {
    time.get().as_secs()
}

fn retention(settings: &Settings) -> BTreeMap<String, u64> {
    let kept = &settings.store.retention;
    let classes = [
        ("requests", kept.requests),
        ("findings", kept.findings),
        ("content", kept.content),
        ("events", kept.events),
        ("ledger", kept.ledger),
        ("alerts", kept.alerts),
        ("incidents", kept.incidents),
    ];
    classes.into_iter().map(|(what, time)| (what.to_owned(), seconds(time))).collect()
}

fn inspect(snapshot: &Snapshot, lax: (u64, u64)) -> Inspect {
    let settings = &snapshot.settings.inspect;
    let mut rules_of: BTreeMap<String, u64> = BTreeMap::new();
    for rule in snapshot.rules.rules() {
        let count = rules_of.entry(rule.family.name().to_owned()).or_default();
        *count = count.saturating_add(1);
    }
    let mode = match settings.mode {
        Mode::Off => "off",
        Mode::Monitor => "monitor",
        Mode::Enforce => "enforce",
    };
    Inspect {
        mode: mode.to_owned(),
        lax,
        answers: settings.answers,
        closed: settings.on_failure == OnFailure::Closed,
        uninspected_passes: settings.on_uninspected == OnUninspected::Pass,
        rules: u64::try_from(snapshot.rules.rules().len()).unwrap_or(u64::MAX),
        rules_of,
    }
}

async fn entry(database: &Database, settings: &Settings) -> Result<Entry, StoreError> {
    let mut listeners = (0_u64, 0_u64, 0_u64);
    for listener in &settings.listeners {
        let local = listener.address.is_none_or(|address| address.ip().is_loopback());
        let which = match (listener.protocol, local) {
            (Protocol::Https, _) => &mut listeners.0,
            (Protocol::Unix, _) | (Protocol::Http, true) => &mut listeners.1,
            (Protocol::Http, false) => &mut listeners.2,
        };
        *which = which.saturating_add(1);
    }
    let mut upstreams = (0_u64, 0_u64);
    for upstream in settings.upstreams.values() {
        let clear = upstream.base_url.as_deref().is_some_and(|url| url.starts_with("http://"));
        let which = if clear && upstream.kind != UpstreamKind::Rehearsal { &mut upstreams.1 } else { &mut upstreams.0 };
        *which = which.saturating_add(1);
    }
    let store = match database.encrypted().await? {
        None => "file",
        Some(true) => "tls",
        Some(false) => "clear",
    };
    Ok(Entry {
        required: settings.identity.require_key,
        listeners,
        certificates: settings.tls.client_auth == ClientAuth::Required,
        upstreams,
        issuers: u64::try_from(settings.identity.tokens.len()).unwrap_or(u64::MAX),
        store: store.to_owned(),
        others: others(settings),
    })
}

/// The ops listener, the fleet's counters and the receivers of exports: each with whether nobody on the way can read it.
fn others(settings: &Settings) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    if let Some(address) = settings.ops.address {
        found.push(("the ops listener".to_owned(), address.ip().is_loopback()));
    }
    if settings.fleet.is_on() {
        let url = &settings.fleet.redis_url;
        found.push(("Redis".to_owned(), url.starts_with("rediss://") || within(url)));
    }
    for sink in settings.export.sinks.iter().filter(|_| settings.export.enabled) {
        let safe = match sink.kind {
            SinkKind::Ocsf => continue,
            SinkKind::Syslog if sink.protocol == SyslogProtocol::Tls => true,
            SinkKind::Syslog => sink.address.as_deref().is_some_and(|address| within(&format!("syslog://{address}"))),
            SinkKind::Webhook
            | SinkKind::Slack
            | SinkKind::Pagerduty
            | SinkKind::Splunk
            | SinkKind::Elasticsearch
            | SinkKind::Otlp => match &sink.url {
                Some(url) => !url.starts_with("http://") || within(url),
                // One of the environment is https, unless that is not asked for.
                None => !sink.insecure_http,
            },
        };
        found.push((format!("the {} sink {}", sink.kind.name(), sink.name), safe));
    }
    found
}

/// Whether an address is on this machine.
fn within(url: &str) -> bool {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn accounts(database: &Database, now: i64) -> Result<Accounts, StoreError> {
    let store = AccountStore::new(database.clone());
    let (mut found, mut after) = (Accounts::default(), String::new());
    loop {
        let page = store.list(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after.clone_from(&last.id);
        page.iter().for_each(|account| tell(&mut found, account, now));
        if page.len() < PAGE as usize {
            return Ok(found);
        }
    }
}

fn tell(found: &mut Accounts, account: &Account, now: i64) {
    if account.disabled {
        found.disabled = found.disabled.saturating_add(1);
        return;
    }
    let seen = account.last_login.unwrap_or(account.created);
    let has = |role: &str| account.roles.split(' ').any(|own| own == role);
    let oidc = account.kind == AccountKind::Oidc;
    let service = account.kind == AccountKind::Service;
    let add = |to: &mut u64, holds: bool| *to = to.saturating_add(u64::from(holds));
    add(&mut found.active, true);
    add(&mut found.admins, has("admin"));
    add(&mut found.auditors, has("auditor"));
    add(&mut found.oidc, oidc);
    add(&mut found.local, !oidc && !service);
    add(&mut found.unused, !service && now.saturating_sub(seen) > UNUSED);
}

/// Reads the whole trail and verifies it with the keys and checkpoints of this replica's directory.
async fn verified(database: &Database, settings: &Settings) -> Result<Verified, StoreError> {
    let directory = &settings.audit.directory;
    let keys = match KeyRing::of_directory(directory) {
        Ok(keys) => keys,
        Err(error) => return Ok(Verified::Failed(error.to_string())),
    };
    let segments = Some(directory.join(segment::DIRECTORY));
    let against = Against { keys, checkpoints: Some(directory.clone()), segments };
    // Hashes and signatures of the whole trail: not on the thread that everything else of the control side runs on.
    let (runtime, database) = (tokio::runtime::Handle::current(), database.clone());
    // Whoever waits for the report may give up: then nobody goes on reading.
    let gone = CancellationToken::new();
    let stop = gone.clone();
    let waiting = gone.drop_guard();
    let walking = async move {
        tokio::select! {
            walked = walk::store(&database, &against) => Some(walked),
            () = stop.cancelled() => None,
        }
    };
    let walked = tokio::task::spawn_blocking(move || runtime.block_on(walking)).await;
    drop(waiting);
    let Ok(Some(walked)) = walked else { return Ok(Verified::Failed("verifying it failed".to_owned())) };
    Ok(match walked {
        Ok(Ok(summary)) => Verified::Whole(summary.records, summary.checkpoints, summary.unsigned),
        // Replicas sign with keys of their own: that is no sign of damage.
        Ok(Err(found)) if found.fault == Fault::UnknownKey => Verified::Failed(
            "a checkpoint was signed with a key that is not known here; verify with all keys: portcullis audit verify --key"
                .to_owned(),
        ),
        Ok(Err(found)) => Verified::Broken(found.to_string()),
        Err(error) => Verified::Failed(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_reached_in_clear_over_a_network_is_named() {
        let mut settings = Settings::default();
        settings.ops.address = Some("127.0.0.1:9090".parse().unwrap());
        settings.fleet.redis_url = "redis://[::1]:6379/0".to_owned();
        settings.export.enabled = true;
        for sink in [
            "name = 'a'\nkind = 'syslog'\naddress = 'siem.example:6514'",
            "name = 'b'\nkind = 'syslog'\naddress = 'localhost:514'\nprotocol = 'udp'",
            "name = 'c'\nkind = 'splunk'\nurl = 'https://splunk.example'",
            "name = 'd'\nkind = 'ocsf'\ndirectory = '/var/log'",
        ] {
            settings.export.sinks.push(toml::from_str(sink).unwrap());
        }
        let found = others(&settings);
        assert_eq!((found.len(), found.iter().all(|(_, safe)| *safe)), (5, true), "{found:?}");
        settings.ops.address = Some("0.0.0.0:9090".parse().unwrap());
        settings.fleet.redis_url = "redis://redis.example:6379/0".to_owned();
        let clear = "name = 'e'\nkind = 'syslog'\naddress = '10.0.0.7:514'\nprotocol = 'tcp'";
        settings.export.sinks = vec![toml::from_str(clear).unwrap()];
        let named = ["the ops listener", "Redis", "the syslog sink e"].map(|name| (name.to_owned(), false));
        assert_eq!(others(&settings), named);
    }
}
