//! Builds exports: each sink with its receiver and its secrets, and the tasks that send.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Error;
use super::backing::Backing;
use crate::config;
use crate::config::export_settings::{ExportSink, SinkKind, safe};
use crate::config::settings::Settings;
use crate::control::export::sinks::syslog::SyslogOptions;
use crate::control::export::sinks::{Elastic, Files, FilesOptions, Hec, Otlp, Pager, Posts, Sink, Syslog, Webhook};
use crate::control::export::{Exports, Parts, Target};
use crate::control::http::{Http, Options as HttpOptions, Reach};
use crate::telemetry::Metrics;
use crate::types::Secret;

/// Bytes of an answer: one of `_bulk` has a line for each item.
const ANSWER: usize = 4 << 20;

/// Connections kept for each receiver.
const KEPT: usize = 1;

/// How long the tasks may take to give their sinks back, at the end.
const LAST: Duration = Duration::from_secs(2);

/// Exports at work.
pub(super) struct Exporting {
    exports: Exports,
    tasks: Vec<JoinHandle<()>>,
}

/// Builds every sink; `None` where there is none, or no store.
///
/// # Errors
/// A secret that is not set, an address that is none, a file that cannot be read.
pub(super) fn build(
    settings: &Settings,
    backing: Option<&Backing>,
    metrics: &Metrics,
) -> Result<Option<Exporting>, Error> {
    let export = &settings.export;
    if !export.enabled || export.sinks.is_empty() {
        return Ok(None);
    }
    let Some(backing) = backing else {
        return Err(Error::Export("sinks need a store: see [store]".to_owned()));
    };
    let made = |sink: &ExportSink| {
        let receiver = receiver(sink, &settings.telemetry.service_name);
        let receiver = receiver.map_err(|why| Error::Export(format!("sink `{}`: {why}", sink.name)))?;
        Ok(Target { name: Arc::from(sink.name.as_str()), settings: sink.clone(), sink: receiver })
    };
    let targets = export.sinks.iter().map(made).collect::<Result<Vec<_>, Error>>()?;
    let parts = Parts {
        database: backing.database.clone(),
        trail: backing.trail.clone(),
        vault: Arc::clone(&backing.vault),
        metrics: metrics.clone(),
        every: export.every.get(),
        lease: export.lease.get(),
        max_dead: export.max_dead_letters,
        store: OnceCell::new(),
    };
    Ok(Some(Exporting { exports: Exports::new(parts, targets), tasks: Vec::new() }))
}

impl Exporting {
    /// What the admin API uses.
    pub(super) fn door(&self) -> Exports {
        self.exports.clone()
    }

    /// Starts the tasks. They end soon after `stop`.
    pub(super) fn run(&mut self, stop: &CancellationToken) {
        self.tasks = self.exports.run(stop);
    }
}

/// Waits until every sink was given back, so that another replica need not wait for a lease to end.
pub(super) async fn end(exporting: Option<Exporting>) {
    let all = async {
        for task in exporting.into_iter().flat_map(|exporting| exporting.tasks) {
            drop(task.await);
        }
    };
    if tokio::time::timeout(LAST, all).await.is_err() {
        tracing::info!("a sink of exports was in the middle of a try: another replica goes on when its lease is over");
    }
}

fn receiver(sink: &ExportSink, service: &str) -> Result<Sink, String> {
    let ca = sink.ca.as_deref().map(text).transpose()?;
    let tls = || config::towards(ca.as_deref());
    let http = || -> Result<Http, String> {
        let timeout = sink.timeout.get();
        // The operator's own file names the target.
        let options =
            HttpOptions { connect: timeout, total: timeout, max_answer: ANSWER, kept: KEPT, reach: Reach::Anywhere };
        Ok(Http::new(tls()?, options))
    };
    let url = match (&sink.url, &sink.url_env) {
        (Some(url), _) => Some(Secret::new(url.as_str())),
        (None, name) => secret(name.as_deref(), None)?,
    };
    if let Some(url) = &url {
        // It may come from the environment, which the settings' check does not see.
        if url.expose().parse::<Uri>().is_err() || !safe(url.expose(), sink.insecure_http) {
            return Err("the address must be https, without a user (http on this machine only)".to_owned());
        }
    }
    let address = || url.clone().ok_or_else(|| "it needs an address".to_owned());
    let held = secret(sink.secret_env.as_deref(), sink.secret_file.as_deref())?;
    let key = || held.clone().ok_or_else(|| "it needs a secret".to_owned());
    let index = sink.index.clone();
    let user = sink.user.as_deref();
    let made = match sink.kind {
        SinkKind::Webhook => {
            let before = secret(sink.secret_before_env.as_deref(), sink.secret_before_file.as_deref())?;
            let keys: Vec<Secret> = [key()?].into_iter().chain(before).collect();
            Sink::Webhook(Webhook::new(http()?, address()?.expose(), &keys)?)
        }
        SinkKind::Slack => Sink::Slack(Posts::new(http()?, address()?)?),
        SinkKind::Pagerduty => Sink::Pager(Pager::new(http()?, key()?, url.as_ref().map(Secret::expose))?),
        SinkKind::Splunk => {
            let ack = sink.ack.then(|| sink.timeout.get());
            Sink::Splunk(Hec::new(http()?, address()?.expose(), &key()?, index, ack)?)
        }
        SinkKind::Elasticsearch => {
            let index = index.ok_or("it needs an index")?;
            Sink::Elastic(Elastic::new(http()?, address()?.expose(), &index, user, held.as_ref())?)
        }
        SinkKind::Otlp => Sink::Otlp(Otlp::new(http()?, address()?.expose(), service.to_owned(), user, held.as_ref())?),
        SinkKind::Syslog => Sink::Syslog(Syslog::new(syslog(sink, tls()?)?)?),
        SinkKind::Ocsf => Sink::Files(Files::new(FilesOptions {
            directory: sink.directory.clone().ok_or("it needs a directory")?,
            name: sink.name.clone(),
            max_file: sink.max_file.get(),
            rotate_every: sink.rotate_every.get(),
            keep: usize::try_from(sink.keep_files).unwrap_or(usize::MAX),
        })),
    };
    Ok(made)
}

fn syslog(sink: &ExportSink, tls: rustls::ClientConfig) -> Result<SyslogOptions, String> {
    let wrong = || "address is host:port".to_owned();
    let (host, port) = sink.address.as_deref().and_then(|address| address.rsplit_once(':')).ok_or_else(wrong)?;
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(SyslogOptions {
        host: host.to_owned(),
        port: port.parse().map_err(|_| wrong())?,
        protocol: sink.protocol,
        facility: sink.facility,
        confirm: sink.confirm,
        hostname: name.trim().to_owned(),
        tls,
        timeout: sink.timeout.get(),
    })
}

fn text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A secret of the environment or a file; nothing where neither is named.
fn secret(variable: Option<&str>, file: Option<&Path>) -> Result<Option<Secret>, String> {
    super::soc::secret(variable, file).map_err(|error| match error {
        Error::Soc(why) => why,
        other => other.to_string(),
    })
}
