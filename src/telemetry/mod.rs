//! Logs, traces and metrics: every metric name, and what may never be logged.
//!
//! No log line, label, span attribute or error message carries prompt text, an answer, a key or what a rule matched.
//! Three habits keep it so: what must not be printed travels in `types::Secret`, which nothing can print; Records and
//! Verdicts carry offsets and never text; and errors about bodies name a place, never a content. A log line is an
//! event (`message` lower case, no full stop) with fields.

mod events;
mod export;
mod grid;
mod labels;
mod learn;
mod live;
mod metrics;
mod models;
pub mod names;
mod otlp;
mod process;
mod recorded;
mod soc;
mod standing;
mod trace;

use std::io::IsTerminal as _;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use events::{EventQueues, Events, WeakEvents};
pub use export::{Export, ExportGauges};
pub use labels::{
    BreakerState, ConnectionRefused, ExportFailure, ExportResult, Handshake, ListenerKind, ModelCall, ModelPurpose,
    NoticeResult, Part, SearchBy,
};
pub use metrics::{Connection, InFlight, Metrics, QueueDepth};
pub use names::Metric;
pub use soc::Soc;
pub use standing::Standing;
pub use trace::Traces;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// What `init` needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// A `tracing` filter (`info`, `portcullis=debug`); `RUST_LOG` wins.
    pub log: String,
    /// How log lines look. They go to standard error.
    pub log_format: LogFormat,
    /// OTLP over HTTP, the base (`http://127.0.0.1:4318`); absent: `OTEL_EXPORTER_OTLP_ENDPOINT`, else nothing is sent.
    pub otlp_endpoint: Option<String>,
    /// Share of requests traced, 0 to 1, where the caller's own trace does not decide.
    pub trace_ratio: f64,
    /// `service.name` of the resource.
    pub service_name: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: "info".into(),
            log_format: LogFormat::Auto,
            otlp_endpoint: None,
            trace_ratio: 0.01,
            service_name: "portcullis".into(),
        }
    }
}

/// Why telemetry could not be set up or shut down.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter cannot be parsed.
    #[error("log filter {filter:?}: {problem}")]
    Filter {
        /// The filter as written.
        filter: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An exporter could not be built or flushed.
    #[error("telemetry exporter: {0}")]
    Exporter(String),
    /// A subscriber is installed already.
    #[error("logging is set up already")]
    Twice,
}

/// Telemetry at work. Dropped, it is shut down.
pub struct Guard {
    metrics: Metrics,
    traces: Option<Traces>,
    provider: Option<SdkTracerProvider>,
    /// The threads that send; `None` without OTLP.
    sender: Option<otlp::Sender>,
    down: bool,
}

/// Sets up logs for the whole process, and metrics and traces for whoever gets the handles from the guard.
///
/// # Errors
/// A filter that cannot be parsed, an OTLP endpoint that is not a URL, a second call in one process.
pub fn init(options: &Options) -> Result<Guard, Error> {
    let guard = Guard::new(options)?;
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(filter) if !filter.is_empty() => filter,
        Ok(_) | Err(_) => options.log.clone(),
    };
    let filter = EnvFilter::try_new(&filter)
        .map_err(|problem| Error::Filter { filter: filter.clone(), problem: problem.to_string() })?;
    let spans = guard
        .provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("portcullis")).with_location(false));
    tracing_subscriber::registry()
        .with(lines(options.log_format))
        .with(spans)
        .with(filter)
        .try_init()
        .map_err(|_| Error::Twice)?;
    Ok(guard)
}

/// Log lines on standard error.
fn lines(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    if json {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        layer.with_ansi(terminal).with_target(false).boxed()
    }
}

impl Guard {
    /// Metrics and traces without touching the process's logging.
    fn new(options: &Options) -> Result<Self, Error> {
        let resource = metrics::resource(&options.service_name);
        let Some(endpoint) = otlp::endpoint(options.otlp_endpoint.as_deref()) else {
            let metrics = Metrics::new(&options.service_name)?;
            return Ok(Self { metrics, traces: None, provider: None, sender: None, down: false });
        };
        let sender = otlp::Sender::start(&endpoint)?;
        let metrics = Metrics::pushed(resource.clone(), sender.metrics(&endpoint)?)?;
        let provider = trace::provider(resource, sender.spans(&endpoint)?, options.trace_ratio);
        let traces = Some(Traces::new(&provider));
        Ok(Self { metrics, traces, provider: Some(provider), sender: Some(sender), down: false })
    }

    /// The handle to the metrics.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The handle to the traces; `None` without OTLP.
    pub fn traces(&self) -> Option<Traces> {
        self.traces.clone()
    }

    /// Sends what has not been sent yet, for at most a few seconds. Blocks.
    ///
    /// # Errors
    /// When the collector did not take it.
    pub fn shutdown(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.down, true) {
            return Ok(());
        }
        let spans = self.provider.as_ref().map_or(Ok(()), |provider| {
            provider.shutdown_with_timeout(Duration::from_secs(5)).map_err(|error| Error::Exporter(error.to_string()))
        });
        let metrics = self.metrics.shutdown();
        if let Some(sender) = self.sender.take() {
            sender.stop();
        }
        spans.and(metrics)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.shutdown() {
            tracing::warn!(%error, "telemetry was not flushed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, mpsc};

    use super::{Guard, Options};
    use crate::types::{Dialect, Generation, Record, RequestId};

    /// A collector that takes everything and tells path and body of each push.
    fn collector() -> (String, mpsc::Receiver<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, pushes) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, sender) = (stream.unwrap(), sender.clone());
                std::thread::spawn(move || {
                    let mut seen = Vec::new();
                    let mut part = [0; 4096];
                    while let Ok(read @ 1..) = stream.read(&mut part) {
                        seen.extend_from_slice(&part[..read]);
                        let Some(head) = seen.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
                        let text = String::from_utf8_lossy(&seen[..head]).to_lowercase();
                        let length: usize =
                            text.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                        if seen.len() < head + 4 + length {
                            continue;
                        }
                        let path = text.split(' ').nth(1).unwrap().to_owned();
                        let body = seen.drain(..head + 4 + length).skip(head + 4).collect();
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
                        sender.send((path, body)).unwrap();
                    }
                });
            }
        });
        (endpoint, pushes)
    }

    #[test]
    fn what_is_left_at_shutdown_reaches_the_collector() {
        let (endpoint, pushes) = collector();
        let options = Options { otlp_endpoint: Some(endpoint), trace_ratio: 1.0, ..Options::default() };
        let mut guard = Guard::new(&options).unwrap();
        let mut record = Record::new(1_700_000_000_000_000, RequestId("req_otlp".into()), Generation(1));
        record.dialect = Some(Dialect::Chat);
        record.upstream = Some(Arc::from("openai"));
        record.attempts = 1;
        guard.metrics().record(&record);
        guard.traces().unwrap().request(&record);
        guard.shutdown().unwrap();
        // The collector answers a push before it hands it on: its two paths are waited for, not polled.
        let mut pushed: Vec<(String, Vec<u8>)> = Vec::new();
        while !["/v1/traces", "/v1/metrics"].iter().all(|path| pushed.iter().any(|(at, _)| at == path)) {
            pushed.push(pushes.recv_timeout(std::time::Duration::from_secs(10)).expect("a push per path"));
        }
        let body = |path: &str| &pushed.iter().find(|(at, _)| at == path).unwrap().1;
        let holds = |body: &[u8], text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(holds(body("/v1/traces"), "req_otlp"));
        assert!(holds(body("/v1/metrics"), "gen_ai.client.operation.duration"));
        assert!(holds(body("/v1/metrics"), "portcullis.overhead"));
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_told() {
        let options = Options { otlp_endpoint: Some("not a url".into()), ..Options::default() };
        assert!(Guard::new(&options).is_err());
    }

    #[tokio::test]
    async fn a_collector_that_is_not_there_delays_nobody_for_long() {
        let options = Options { otlp_endpoint: Some("http://127.0.0.1:1".into()), ..Options::default() };
        let mut guard = Guard::new(&options).unwrap();
        assert!(guard.shutdown().is_err());
    }
}
