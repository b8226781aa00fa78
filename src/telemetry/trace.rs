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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::trace::{SpanKind, Status};
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SpanData, SpanExporter};

    use super::{Traces, provider};
    use crate::telemetry::metrics::resource;
    use crate::types::{Dialect, FinishReason, Generation, Outcome, Record, RequestId, Usage};

    /// Keeps what it is given.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    fn emitted(record: &Record, ratio: f64) -> Vec<SpanData> {
        let exporter = Kept::default();
        let provider = provider(resource("portcullis"), exporter.clone(), ratio);
        Traces::new(&provider).request(record);
        provider.force_flush().unwrap();
        exporter.0.lock().unwrap().clone()
    }

    fn attribute(span: &SpanData, key: &str) -> Option<String> {
        span.attributes.iter().find(|attribute| attribute.key.as_str() == key).map(|found| found.value.to_string())
    }

    fn chat() -> Record {
        let mut record = Record::new(1_700_000_000_000_000, RequestId("req_1".into()), Generation(1));
        record.method = Arc::from("POST");
        record.path = Arc::from("/chat/completions");
        record.dialect = Some(Dialect::Chat);
        record.model = Some("gpt-5".into());
        record.upstream = Some(Arc::from("openai"));
        record.attempts = 1;
        record.outcome = Outcome::Served;
        record.status = 200;
        record.finish = Some(FinishReason::Stop);
        record.usage = Some(Usage { input: 12, cached: 4, output: 7, reasoning: 0 });
        record.micros.total = 2_000_000;
        record.micros.upstream = 1_900_000;
        record.micros.receive = 50_000;
        record
    }

    #[test]
    fn a_request_becomes_a_server_span_with_the_operation_inside() {
        let mut record = chat();
        record.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        let spans = emitted(&record, 0.0);
        let server = spans.iter().find(|span| span.span_kind == SpanKind::Server).unwrap();
        let client = spans.iter().find(|span| span.span_kind == SpanKind::Client).unwrap();
        assert_eq!(spans.len(), 2);
        assert_eq!(server.name, "POST /chat/completions");
        assert_eq!(server.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(server.parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(server.end_time.duration_since(server.start_time).unwrap().as_micros(), 2_000_000);
        assert_eq!(attribute(server, "http.response.status_code").as_deref(), Some("200"));
        assert_eq!(client.name, "chat gpt-5");
        assert_eq!(client.parent_span_id, server.span_context.span_id());
        assert_eq!(client.start_time.duration_since(server.start_time).unwrap().as_micros(), 50_000);
        assert_eq!(attribute(client, "gen_ai.provider.name").as_deref(), Some("openai"));
        assert_eq!(attribute(client, "gen_ai.usage.input_tokens").as_deref(), Some("12"));
        assert_eq!(attribute(client, "gen_ai.response.finish_reasons").as_deref(), Some(r#"["stop"]"#));
    }

    #[test]
    fn an_upstream_that_failed_is_an_error_in_both_spans() {
        let mut record = chat();
        record.outcome = Outcome::UpstreamFailed;
        record.reason = Some("upstream_timeout");
        for span in emitted(&record, 1.0) {
            assert_eq!(span.status, Status::error("upstream_timeout"));
            assert_eq!(attribute(&span, "error.type").as_deref(), Some("upstream_timeout"));
        }
    }

    #[test]
    fn what_is_not_sampled_leaves_no_span() {
        assert!(emitted(&chat(), 0.0).is_empty());
        let mut record = chat();
        record.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".into());
        assert!(emitted(&record, 1.0).is_empty(), "the caller's trace says not to sample");
        record.traceparent = Some("nonsense".into());
        assert_eq!(emitted(&record, 1.0).len(), 2, "a malformed header is no parent");
    }
}
