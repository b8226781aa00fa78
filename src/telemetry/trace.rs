//! Spans of a request, made from its Record after the fact: the data path does nothing for them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanExporter};

use super::recorded::provider as provider_name;
use crate::types::{Decision, Dialect, Outcome, Record};

/// The provider of spans: a caller's own trace decides whether a request is sampled, `ratio` decides for the others.
pub(super) fn provider(resource: Resource, exporter: impl SpanExporter + 'static, ratio: f64) -> SdkTracerProvider {
    SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_batch_exporter(exporter)
        .build()
}

/// Emits the spans of requests.
#[derive(Debug, Clone)]
pub struct Traces {
    tracer: SdkTracer,
}

impl Traces {
    pub(super) fn new(provider: &SdkTracerProvider) -> Self {
        Self { tracer: provider.tracer("portcullis") }
    }

    /// Emits a SERVER span of the request and, if an upstream was asked, a CLIENT span of the operation within it, with
    /// the attributes of the HTTP and GenAI conventions. Does next to nothing if the request is not sampled.
    pub fn request(&self, record: &Record) {
        let parent = record.traceparent.as_deref().map_or_else(Context::new, parent);
        let start = time(record.time);
        let end = later(start, record.micros.total);
        let name = format!("{} {}", record.method, record.path);
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Server).with_start_time(start);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if !span.span_context().is_sampled() {
            return;
        }
        describe_request(&mut span, record);
        if record.attempts > 0
            && let Some(dialect) = record.dialect
        {
            self.operation(span.span_context().clone(), record, dialect, start);
        }
        span.end_with_timestamp(end);
    }

    fn operation(&self, parent: SpanContext, record: &Record, dialect: Dialect, start: SystemTime) {
        let operation = dialect.operation();
        let name = match &record.model {
            Some(model) => format!("{operation} {model}"),
            None => operation.to_owned(),
        };
        let input_scan = record.micros.scan.saturating_sub(record.micros.scan_output);
        let start = later(start, record.micros.receive.saturating_add(input_scan));
        let builder = self.tracer.span_builder(name).with_kind(SpanKind::Client).with_start_time(start);
        let mut span = self.tracer.build_with_context(builder, &Context::new().with_remote_span_context(parent));
        describe_operation(&mut span, record, dialect);
        span.end_with_timestamp(later(start, record.micros.upstream));
    }
}

fn describe_request(span: &mut Span, record: &Record) {
    let mut set = |key: &'static str, value: opentelemetry::Value| span.set_attribute(KeyValue::new(key, value));
    set("http.request.method", record.method.to_string().into());
    set("url.path", record.path.to_string().into());
    if record.status > 0 {
        set("http.response.status_code", i64::from(record.status).into());
    }
    set("portcullis.request.id", record.id.0.clone().into());
    set("portcullis.outcome", record.outcome.name().into());
    set("portcullis.decision", record.decision.name().into());
    if let Some(reason) = record.reason {
        set("error.type", reason.into());
    }
    if record.decision != Decision::Allow {
        let findings = record.input.iter().chain(&record.output).flat_map(|verdict| &verdict.findings);
        let rules: Vec<opentelemetry::StringValue> =
            findings.map(|finding| std::sync::Arc::clone(&finding.rule.0).into()).collect();
        set("portcullis.rules", opentelemetry::Value::Array(rules.into()));
    }
    if matches!(record.outcome, Outcome::Internal | Outcome::UpstreamFailed) {
        span.set_status(Status::error(record.reason.unwrap_or("internal")));
    }
}

fn describe_operation(span: &mut Span, record: &Record, dialect: Dialect) {
    let mut set = |key: &'static str, value: opentelemetry::Value| span.set_attribute(KeyValue::new(key, value));
    set("gen_ai.operation.name", dialect.operation().into());
    set("gen_ai.provider.name", provider_name(dialect.api_family()).into());
    set("gen_ai.request.stream", record.stream.into());
    if let Some(model) = &record.model {
        set("gen_ai.request.model", model.clone().into());
    }
    if let Some(upstream) = &record.upstream {
        set("portcullis.upstream", std::sync::Arc::clone(upstream).into());
    }
    set("portcullis.upstream.attempts", i64::from(record.attempts).into());
    if let Some(finish) = record.finish {
        let reasons: Vec<opentelemetry::StringValue> = vec![finish.name().into()];
        set("gen_ai.response.finish_reasons", opentelemetry::Value::Array(reasons.into()));
    }
    if record.stream && record.micros.first_chunk > 0 {
        let seconds = Duration::from_micros(record.micros.first_chunk).as_secs_f64();
        set("gen_ai.response.time_to_first_chunk", seconds.into());
    }
    if let Some(usage) = record.usage {
        for (key, tokens) in [
            ("gen_ai.usage.input_tokens", usage.input),
            ("gen_ai.usage.cache_read.input_tokens", usage.cached),
            ("gen_ai.usage.output_tokens", usage.output),
            ("gen_ai.usage.reasoning.output_tokens", usage.reasoning),
        ] {
            set(key, i64::try_from(tokens).unwrap_or(i64::MAX).into());
        }
    }
    if record.outcome == Outcome::UpstreamFailed {
        set("error.type", record.reason.unwrap_or("_OTHER").into());
        span.set_status(Status::error(record.reason.unwrap_or("_OTHER")));
    }
}

/// The trace a W3C `traceparent` names; an empty context if it is malformed.
fn parent(traceparent: &str) -> Context {
    struct Header<'a>(&'a str);
    impl Extractor for Header<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            (key == "traceparent").then_some(self.0)
        }
        fn keys(&self) -> Vec<&str> {
            vec!["traceparent"]
        }
    }
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Header(traceparent))
}

fn time(unix_micros: i64) -> SystemTime {
    later(UNIX_EPOCH, u64::try_from(unix_micros).unwrap_or(0))
}

fn later(start: SystemTime, micros: u64) -> SystemTime {
    start.checked_add(Duration::from_micros(micros)).unwrap_or(start)
}
