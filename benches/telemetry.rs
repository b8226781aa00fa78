//! What telemetry costs: `cargo bench --bench telemetry`. The gateway may spend some ten microseconds per request in all.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to measure")]

use std::sync::Arc;

use divan::{Bencher, black_box};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use portcullis::control::{Reader as _, RecordWriter, Told};
use portcullis::telemetry::Metrics;
use portcullis::types::{
    Accounted, Action, Decision, Dialect, Event, Evidence, Family, Finding, FinishReason, Generation, Outcome, Record,
    RequestId, RuleId, RuleSetHash, Severity, SpanIndex, Usage, Verdict,
};

fn main() {
    divan::main();
}

fn verdict(findings: u32) -> Verdict {
    let finding = |start| Finding {
        rule: RuleId(Arc::from("PC-INJ-0001")),
        title: Arc::from("Instruction override in user text"),
        family: Family::PromptInjection,
        severity: Severity::High,
        score: 5.0,
        action: Action::Block,
        threats: Arc::from([Arc::from("LLM01:2025"), Arc::from("AML.T0051.000")]),
        evidence: Evidence { span: SpanIndex(1), start, end: start + 30 },
        doubts: Vec::new(),
    };
    Verdict {
        decision: if findings > 0 { Decision::Flag } else { Decision::Allow },
        risk: 0.1,
        false_positive: 0.0,
        recommended: Default::default(),
        factors: Default::default(),
        findings: (0..findings).map(finding).collect(),
        steps: Vec::new(),
        rule_set: RuleSetHash(Arc::from("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")),
    }
}

/// A streamed chat that was served, as nearly every request is.
fn record(findings: u32) -> Record {
    let id = RequestId("req_0190163d8694739b9d8f2f4c7a1b2c3d".into());
    let mut record = Record::new(1_700_000_000_000_000, id, Generation(3));
    record.caller.address = Some([127, 0, 0, 1].into());
    record.method = Arc::from("POST");
    record.path = Arc::from("/chat/completions");
    record.dialect = Some(Dialect::Chat);
    record.model = Some("gpt-5".into());
    record.stream = true;
    record.upstream = Some(Arc::from("openai"));
    record.attempts = 1;
    record.outcome = Outcome::Served;
    record.status = 200;
    record.input = Some(verdict(findings));
    record.output = Some(verdict(0));
    record.request_bytes = Accounted { inspected: 812, exempt: 0, uninspected: 0 };
    record.response_bytes = Accounted { inspected: 9_120, exempt: 0, uninspected: 0 };
    record.held_max = 11;
    record.finish = Some(FinishReason::Stop);
    record.usage = Some(Usage { input: 201, cached: 0, output: 88, reasoning: 0 });
    record.micros.total = 812_400;
    record.micros.upstream = 812_100;
    record.micros.receive = 90;
    record.micros.scan = 61;
    record.micros.scan_output = 22;
    record.micros.first_chunk = 240_000;
    record.micros.hold = 900;
    record
}

/// All metrics of one request.
#[divan::bench(args = [0, 2])]
fn record_one_request(bencher: Bencher<'_, '_>, findings: u32) {
    let (metrics, record) = (Metrics::new("bench").unwrap(), record(findings));
    bencher.bench_local(|| metrics.record(black_box(&record)));
}

#[divan::bench]
fn count_one_chunk(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new("bench").unwrap();
    bencher.bench_local(|| metrics.stream_chunk());
}

#[divan::bench]
fn count_one_request_in_flight(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new("bench").unwrap();
    bencher.bench_local(|| drop(metrics.in_flight()));
}

/// One line of the record file, its share of the write included.
#[divan::bench(args = [0, 2])]
fn write_one_record(bencher: Bencher<'_, '_>, findings: u32) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.jsonl");
    let mut writer = RecordWriter::new(&path, 64 << 20, 1, Metrics::new("bench").unwrap());
    let event = Event::Request(Box::new(record(findings)));
    bencher.bench_local(|| writer.read(&Told::new(black_box(&event))));
}

/// `/metrics` after a request of every dialect.
#[divan::bench]
fn render(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new("bench").unwrap();
    for dialect in Dialect::ALL {
        let mut record = record(2);
        record.dialect = Some(dialect);
        metrics.record(&record);
    }
    bencher.bench_local(|| metrics.render().unwrap());
}

/// What is avoided: looking the attributes up at each measurement.
#[divan::bench]
fn unbound_histogram(bencher: Bencher<'_, '_>) {
    let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).build();
    let histogram = provider.meter("bench").f64_histogram("seconds").build();
    let attributes = [KeyValue::new("upstream", "openai"), KeyValue::new("dialect", "chat")];
    bencher.bench_local(|| histogram.record(black_box(0.01), &attributes));
}

#[divan::bench]
fn bound_histogram(bencher: Bencher<'_, '_>) {
    let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).build();
    let histogram = provider.meter("bench").f64_histogram("seconds").build();
    let histogram = histogram.bind(&[KeyValue::new("upstream", "openai"), KeyValue::new("dialect", "chat")]);
    bencher.bench_local(|| histogram.record(black_box(0.01)));
}
