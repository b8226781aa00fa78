//! Tests of the metrics: what is counted is what is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Metrics, QueueDepth};
use crate::telemetry::ExportGauges;
use crate::telemetry::labels::{
    BreakerState, ConnectionRefused, ExportFailure, ExportResult, Handshake, ListenerKind, ModelCall, ModelPurpose,
    NoticeResult, Part, SearchBy,
};
use crate::telemetry::names::{self, Kind};
use crate::types::{
    Accounted, Action, AlarmKind, Decision, Dialect, Direction, Evidence, Family, Finding, Generation, Outcome, Record,
    ReloadOutcome, RequestId, RuleId, RuleSetHash, Severity, SpanIndex, Uninspected, Usage, Verdict,
};

fn verdict(decision: Decision, rules: &[&str]) -> Verdict {
    let finding = |rule: &&str| Finding {
        rule: RuleId(Arc::from(*rule)),
        title: Arc::from("title"),
        family: Family::Secrets,
        severity: Severity::High,
        score: 5.0,
        action: Action::Block,
        threats: Arc::from([]),
        evidence: Evidence { span: SpanIndex(0), start: 0, end: 4 },
        doubts: Vec::new(),
    };
    Verdict {
        decision,
        risk: 0.5,
        false_positive: 0.0,
        recommended: Default::default(),
        factors: Default::default(),
        findings: rules.iter().map(finding).collect(),
        steps: Vec::new(),
        rule_set: RuleSetHash(Arc::from("00")),
    }
}

/// A streamed chat whose answer was cut, with something in every field that has a metric.
fn record() -> Record {
    let mut record = Record::new(0, RequestId("req_1".into()), Generation(1));
    record.dialect = Some(Dialect::Chat);
    record.model = Some("model-as-sent".into());
    record.stream = true;
    record.upstream = Some(Arc::from("openai"));
    record.attempts = 3;
    record.outcome = Outcome::AnswerBlocked;
    record.reason = Some("content_filter");
    record.status = 200;
    record.decision = Decision::Block;
    record.input = Some(verdict(Decision::Allow, &[]));
    record.output = Some(verdict(Decision::Block, &["PC-SEC-0001"]));
    record.request_bytes = Accounted { inspected: 900, exempt: 0, uninspected: 100 };
    record.response_bytes = Accounted { inspected: 5000, exempt: 0, uninspected: 0 };
    record.uninspected = vec![(Uninspected::Media, 100)];
    record.held_max = 24;
    record.cost = Some(1_250_000_000);
    record.priced = Some(Arc::from("gpt-4o*"));
    record.usage = Some(Usage { input: 300, cached: 0, output: 40, reasoning: 0 });
    record.micros.total = 1_000_300;
    record.micros.upstream = 900_000;
    record.micros.receive = 100_000;
    record.micros.scan = 70;
    record.micros.scan_output = 30;
    record.micros.first_chunk = 250_000;
    record.micros.hold = 1_500;
    record
}

fn everything() -> Metrics {
    let metrics = Metrics::new("portcullis").unwrap();
    metrics.record(&record());
    metrics.reload(&ReloadOutcome {
        trigger: Arc::from("start"),
        generation: Generation(1),
        problems: vec![],
        warnings: vec![],
    });
    metrics.watch_event_queue(|| QueueDepth { waiting: 3, capacity: 8 });
    metrics.watch_verdict_cache(|| 17);
    metrics.watch_history(|| (5, 3));
    metrics.watch_monitoring(|| true);
    metrics.model(&Arc::from("guard"), ModelCall::Ok, 0.125);
    metrics.soc().notice(&Arc::from("pager"), NoticeResult::Sent);
    let siem = Arc::from("siem");
    metrics.export().items(&siem, ExportResult::Sent, 2);
    metrics.export().failed(&siem, ExportFailure::Timeout);
    let gauges = ExportGauges { backlog: 3, oldest: 1.5, dead: 1, breaker: BreakerState::Closed };
    metrics.export().stands(&siem, Some(gauges));
    metrics.soc().breaker(&Arc::from("pager"), BreakerState::Open);
    metrics.soc().model(ModelPurpose::Analyst, ModelCall::Ok, 0.25);
    metrics.soc().searched(SearchBy::Fallback);
    metrics.soc().subscribed();
    metrics.soc().lagged();
    for metric in names::ALL {
        metrics.standing().tell_each(metric, [("one", 1.5)]);
        if metric.labels.is_empty() {
            metrics.standing().tell(metric, 2.0);
        }
    }
    metrics
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "{line:?} is missing from\n{text}");
}

#[test]
fn one_record_is_counted_everywhere_it_should_be() {
    let text = everything().render().unwrap();
    for line in [
        r#"portcullis_requests_total{decision="block",dialect="chat",outcome="answer_blocked",status_class="2xx"} 1"#,
        r#"portcullis_overhead_seconds_bucket{le="0.00025"} 0"#,
        r#"portcullis_overhead_seconds_bucket{le="0.0005"} 1"#,
        r"portcullis_overhead_seconds_sum 0.0003",
        r#"portcullis_scan_seconds_sum{direction="input"} 0.00004"#,
        r#"portcullis_scan_seconds_sum{direction="output"} 0.00003"#,
        r#"portcullis_upstream_seconds_sum{dialect="chat",upstream="openai"} 0.9"#,
        r#"portcullis_held_bytes_bucket{le="16"} 0"#,
        r#"portcullis_held_bytes_bucket{le="32"} 1"#,
        r"portcullis_hold_seconds_sum 0.0015",
        r#"portcullis_bytes_total{account="inspected",dialect="chat",direction="input"} 900"#,
        r#"portcullis_bytes_total{account="uninspected",dialect="chat",direction="input"} 100"#,
        r#"portcullis_bytes_total{account="inspected",dialect="chat",direction="output"} 5000"#,
        r#"portcullis_uninspected_bytes_total{reason="media"} 100"#,
        r#"portcullis_decisions_total{decision="allow",direction="input"} 1"#,
        r#"portcullis_decisions_total{decision="block",direction="output"} 1"#,
        r#"portcullis_rule_hits_total{action="block",family="secrets",rule="PC-SEC-0001"} 1"#,
        r#"portcullis_refusals_total{code="content_filter"} 1"#,
        r#"portcullis_cost_usd_total{model="gpt-4o*"} 1.25"#,
        r#"portcullis_budget_used_ratio{budget="one"} 1.5"#,
        r#"portcullis_store_items_total{result="one"} 1.5"#,
        "portcullis_audit_diverged 2",
        r#"portcullis_upstream_attempts_total{result="failed",upstream="openai"} 2"#,
        r#"portcullis_upstream_attempts_total{result="ok",upstream="openai"} 1"#,
        r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_token_type="input"} 300"#,
        r#"gen_ai_client_operation_time_to_first_chunk_seconds_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai"} 0.25"#,
        r#"gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai"} 1"#,
        "portcullis_config_last_reload_successful 1",
        "portcullis_snapshot_generation 1",
        "portcullis_event_queue_depth 3",
        "portcullis_verdict_cache_entries 17",
        "portcullis_history_callers 5",
        "portcullis_history_conversations 3",
        r#"portcullis_model_calls_total{model="guard",result="ok"} 1"#,
        r#"portcullis_model_duration_seconds_sum{model="guard"} 0.125"#,
        r#"portcullis_soc_notices_total{channel="pager",result="sent"} 1"#,
        r#"portcullis_soc_notices_total{channel="pager",result="breaker_open"} 0"#,
        r#"portcullis_soc_breaker_state{channel="pager"} 2"#,
        r#"portcullis_soc_model_calls_total{purpose="analyst",result="ok"} 1"#,
        r#"portcullis_soc_model_duration_seconds_sum{purpose="analyst"} 0.25"#,
        r#"portcullis_soc_searches_total{by="fallback"} 1"#,
        "portcullis_soc_subscribers 1",
        "portcullis_soc_feed_lagged_total 1",
    ] {
        has(&text, line);
    }
    assert!(!text.contains("model-as-sent") && !text.contains("req_1"), "a label has a value of the client's making");
    assert!(!text.contains("otel_scope"), "scope labels are on");
}

#[test]
fn the_list_of_names_is_what_is_rendered() {
    let text = everything().render().unwrap();
    let kinds: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|line| line.split_once(' '))
        .filter(|(name, _)| *name != "target_info")
        .collect();
    let listed: BTreeMap<&str, &str> = names::ALL
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram(_) => "histogram",
            };
            (metric.prometheus, kind)
        })
        .collect();
    assert_eq!(kinds, listed);
    for metric in names::ALL {
        let series = text
            .lines()
            .find(|line| !line.starts_with('#') && line.starts_with(metric.prometheus))
            .unwrap_or_else(|| panic!("{} has no series", metric.prometheus));
        let labels: BTreeSet<String> = series
            .split_once('{')
            .map_or("", |(_, labels)| labels.split_once('}').unwrap().0)
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0.to_owned()))
            .filter(|label| label != "le")
            .collect();
        let expected: BTreeSet<String> = metric.labels.iter().map(|label| label.replace('.', "_")).collect();
        assert_eq!(labels, expected, "{}", metric.prometheus);
    }
}

#[test]
fn what_the_data_path_counts_is_shown() {
    let metrics = Metrics::new("portcullis").unwrap();
    has(&metrics.render().unwrap(), r#"portcullis_fail_open_total{part="input_inspection"} 0"#);
    let first = metrics.in_flight();
    let second = metrics.clone().in_flight();
    drop(first);
    let connection = metrics.connection(ListenerKind::Https);
    metrics.connection_refused(ConnectionRefused::PerAddress);
    metrics.handshake(Handshake::Timeout);
    metrics.stream_chunk();
    metrics.stream_chunk();
    metrics.limited("user");
    metrics.limited("a scope nobody knows");
    metrics.verdict_cache(true);
    metrics.failed_open(Part::InputInspection);
    metrics.panicked();
    metrics.event_dropped();
    metrics.alarm(AlarmKind::SpendSurge);
    metrics.rules_loaded(60);
    metrics.record_write_failed(5);
    let text = metrics.render().unwrap();
    for line in [
        "portcullis_in_flight 1",
        r#"portcullis_connections{listener="https"} 1"#,
        r#"portcullis_connections_refused_total{reason="per_address"} 1"#,
        r#"portcullis_tls_handshakes_total{result="timeout"} 1"#,
        "portcullis_stream_chunks_total 2",
        r#"portcullis_limited_total{scope="user"} 1"#,
        r#"portcullis_limited_total{scope="other"} 1"#,
        r#"portcullis_verdict_cache_total{result="hit"} 1"#,
        r#"portcullis_verdict_cache_total{result="miss"} 0"#,
        r#"portcullis_fail_open_total{part="input_inspection"} 1"#,
        "portcullis_panics_total 1",
        "portcullis_events_dropped_total 1",
        "portcullis_rules_loaded 60",
        "portcullis_record_write_errors_total 5",
    ] {
        has(&text, line);
    }
    drop((second, connection));
    let text = metrics.render().unwrap();
    has(&text, "portcullis_in_flight 0");
    has(&text, r#"portcullis_connections{listener="https"} 0"#);
}

#[test]
fn a_rejected_reload_keeps_the_time_of_the_last_good_one() {
    let metrics = everything();
    let line = |text: &str, name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let name = "portcullis_config_last_reload_success_timestamp_seconds ";
    let before = line(&metrics.render().unwrap(), name);
    metrics.reload(&ReloadOutcome {
        trigger: Arc::from("watch"),
        generation: Generation(1),
        problems: vec!["gateway.toml:1: no".into()],
        warnings: vec![],
    });
    let text = metrics.render().unwrap();
    has(&text, "portcullis_config_last_reload_successful 0");
    has(&text, r#"portcullis_reloads_total{result="rejected"} 1"#);
    assert_eq!(line(&text, name), before);
}

#[test]
fn hostile_numbers_of_rules_share_one_series() {
    let metrics = Metrics::new("portcullis").unwrap();
    let names: Vec<String> = (0..700).map(|number| format!("PC-TST-{number:04}")).collect();
    for name in &names {
        let mut record = record();
        record.output = Some(verdict(Decision::Flag, &[name]));
        record.upstream = Some(Arc::from(name.as_str()));
        metrics.record(&record);
    }
    let text = metrics.render().unwrap();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("portcullis_rule_hits_total{"), 513);
    has(&text, r#"portcullis_rule_hits_total{action="block",family="secrets",rule="other"} 188"#);
    assert_eq!(series("portcullis_upstream_seconds_count{"), 65);
    assert!(!text.contains("otel_metric_overflow"), "the SDK's own limit was met before ours");
    assert_eq!(series("portcullis_decisions_total"), Direction::ALL.len(), "allow in, flag out");
}
