//! What is told of the gateway as a whole: how telemetry is set up, and where store, trail, budgets and approvals stand.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::backing::Backing;
use crate::config::settings::{LogFormat, Settings};
use crate::control::audit::Health as TrailHealth;
use crate::proxy::Shared;
use crate::proxy::listen::TlsState;
use crate::quota::FleetState;
use crate::store::soc::PlanFilter;
use crate::store::{self, Health, State, StoreError};
use crate::telemetry::{self, Metrics, names};
use crate::types::Severity;
use crate::types::soc::{AlertState, PlanState};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(10);

/// Plans and tool calls that are counted, of each.
const MOST: u32 = 1000;

/// Of alerts.
const SEVERITIES: [Severity; 5] =
    [Severity::Informational, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

/// What is looked at.
pub(super) struct Looked {
    pub(super) metrics: Metrics,
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<Arc<TlsState>>,
    pub(super) backing: Option<Backing>,
}

impl Looked {
    /// Looks now and then, and tells the metrics, until `stop`.
    pub(super) async fn keep_looking(self, stop: CancellationToken) {
        loop {
            self.budgets();
            self.certificate();
            if let Some(backing) = &self.backing {
                self.store(&backing.writer.health());
                self.trail(&backing.trail.health());
                if let Err(error) = self.people(backing).await {
                    tracing::debug!(%error, "what waits for people cannot be counted");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    fn budgets(&self) {
        let (standing, meter) = (self.metrics.standing(), self.shared.counting.meter());
        standing.tell_each(&names::BUDGET_USED, meter.budgets());
        match meter.state() {
            FleetState::Alone => {}
            FleetState::Together => standing.tell(&names::FLEET_APART, 0.0),
            FleetState::Apart => standing.tell(&names::FLEET_APART, 1.0),
        }
    }

    fn certificate(&self) {
        if let Some(expires) = self.tls.as_ref().map(|tls| tls.expires()) {
            self.metrics.standing().tell(&names::CERTIFICATE_EXPIRY, expires as f64);
        }
    }

    fn store(&self, health: &Health) {
        let standing = self.metrics.standing();
        standing.tell(&names::STORE_UP, f64::from(u8::from(health.state == State::Up)));
        standing.tell(&names::STORE_SPOOL, health.spool_bytes as f64);
        let waiting = [("ordinary", health.queued), ("important", health.important_queued)];
        standing.tell_each(&names::STORE_QUEUE, waiting.map(|(kind, items)| (kind, items as f64)));
        let items = [
            ("committed", health.committed),
            ("spooled", health.spooled),
            ("dropped", health.dropped),
            ("rejected", health.rejected),
        ];
        standing.tell_each(&names::STORE_ITEMS, items.map(|(result, items)| (result, items as f64)));
    }

    fn trail(&self, health: &TrailHealth) {
        let standing = self.metrics.standing();
        standing.tell(&names::AUDIT_DIVERGED, f64::from(u8::from(health.diverged)));
        standing.tell(&names::AUDIT_WRITTEN, health.written as f64);
        standing.tell(&names::AUDIT_REFUSED, health.refused as f64);
        standing.tell(&names::AUDIT_SPOOLED, health.spooled as f64);
        standing.tell(&names::AUDIT_CHECKPOINT, (health.checkpoint_time / 1_000_000) as f64);
    }

    /// Alerts, plans and tool calls that somebody has to look at.
    async fn people(&self, backing: &Backing) -> Result<(), StoreError> {
        let (standing, now) = (self.metrics.standing(), store::now());
        let counts = backing.database.alert_counts().await?;
        let of = |severity: Severity| {
            let open = counts.iter().filter(|count| count.severity == severity && count.state != AlertState::Closed);
            (severity.name(), open.map(|count| count.count).sum::<u64>() as f64)
        };
        standing.tell_each(&names::ALERTS_OPEN, SEVERITIES.map(of));
        let waiting = PlanFilter { state: Some(PlanState::Waiting), ..PlanFilter::default() };
        let plans = backing.database.plans(&waiting, MOST).await?;
        let tools = backing.database.tool_holds(Some(now), None, MOST).await?;
        let oldest = |since: Option<i64>| since.map_or(0.0, |since| now.saturating_sub(since).max(0) as f64 / 1e6);
        let since = [plans.iter().map(|plan| plan.made).min(), tools.iter().map(|tool| tool.hold.since).min()];
        standing.tell_each(&names::APPROVALS_WAITING, [("plan", plans.len() as f64), ("tool", tools.len() as f64)]);
        standing.tell_each(&names::APPROVALS_OLDEST, ["plan", "tool"].into_iter().zip(since.map(oldest)));
        Ok(())
    }
}

/// How logs, metrics and traces are set up.
pub(super) fn telemetry_options(settings: &Settings) -> telemetry::Options {
    let telemetry = &settings.telemetry;
    telemetry::Options {
        log: telemetry.log.clone(),
        log_format: match telemetry.log_format {
            LogFormat::Auto => telemetry::LogFormat::Auto,
            LogFormat::Text => telemetry::LogFormat::Text,
            LogFormat::Json => telemetry::LogFormat::Json,
        },
        otlp_endpoint: telemetry.otlp_endpoint.clone(),
        trace_ratio: telemetry.trace_ratio,
        service_name: telemetry.service_name.clone(),
    }
}
