//! What `deploy/` ships fits the gateway: its metrics exist, its files parse, its configurations load.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say where")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::config;
use portcullis::telemetry::names::{self, Kind};
use portcullis::telemetry::{BreakerState, Metrics, ModelCall, ModelPurpose, NoticeResult, QueueDepth};
use portcullis::types::{
    Action, Decision, Dialect, Evidence, Family, Finding, Generation, Outcome, Record, ReloadOutcome, RequestId,
    RuleId, RuleSetHash, Severity, SpanIndex, Usage, Verdict,
};
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Every file under `deploy/` with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    fn collect(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, extension, found);
            } else if path.extension().is_some_and(|has| has == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    collect(&deploy(), extension, &mut found);
    // What Helm renders is no YAML before that; the tests of the chart look at it.
    found.retain(|path| !path.components().any(|part| part.as_os_str() == "templates"));
    found.sort();
    assert!(!found.is_empty(), "no .{extension} file under deploy/");
    found
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
}

/// Every string under one of these keys, wherever it is.
fn strings(value: &Value, keys: &[&str], found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if let (true, Some(text)) = (keys.contains(&key.as_str()), member.as_str()) {
                    found.push(text.to_owned());
                }
                strings(member, keys, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strings(item, keys, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Metric names and the labels used with them, of one PromQL expression: a name is a word with one of our prefixes.
fn used(expression: &str) -> Vec<(String, Vec<String>)> {
    let mut rest = expression;
    let mut found = Vec::new();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(start) = rest.find(word) {
        let tail = rest.get(start..).unwrap();
        let (name, after) = tail.split_at(tail.find(|c| !word(c)).unwrap_or(tail.len()));
        rest = after;
        if !["portcullis_", "gen_ai_client", "process_"].iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let selector = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or("", |(inner, _)| inner);
        let labels =
            selector.split(',').filter_map(|matcher| Some(matcher.split(['=', '!']).next()?.trim().to_owned()));
        found.push((name.to_owned(), labels.filter(|label| !label.is_empty()).collect()));
        // What follows the selector, so that quoted label values are not taken for names.
        rest = after.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or(after, |(_, behind)| behind);
    }
    found
}

/// All expressions of the dashboards and the alert rules, with the file each stands in.
fn expressions() -> Vec<(PathBuf, String)> {
    let mut all = Vec::new();
    for (path, document) in files("json")
        .into_iter()
        .map(|path| (path.clone(), serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()))
        .chain(files("yaml").into_iter().flat_map(|path| documents(&path).into_iter().map(move |d| (path.clone(), d))))
    {
        let mut found = Vec::new();
        strings(&document, &["expr", "query"], &mut found);
        all.extend(found.into_iter().map(|expression| (path.clone(), expression)));
    }
    all
}

/// The series names that a scrape shows once something of everything has happened.
fn rendered() -> BTreeSet<String> {
    let metrics = Metrics::new("portcullis").unwrap();
    let finding = Finding {
        rule: RuleId(Arc::from("PC-SEC-0001")),
        title: Arc::from("title"),
        family: Family::Secrets,
        severity: Severity::High,
        score: 5.0,
        action: Action::Block,
        threats: Arc::from([]),
        evidence: Evidence { span: SpanIndex(0), start: 0, end: 4 },
        doubts: Vec::new(),
    };
    let verdict = Verdict {
        decision: Decision::Block,
        risk: 1.0,
        false_positive: 0.0,
        recommended: Default::default(),
        factors: Default::default(),
        findings: vec![finding],
        steps: Vec::new(),
        rule_set: RuleSetHash(Arc::from("00")),
    };
    let mut record = Record::new(0, RequestId("req_1".into()), Generation(1));
    record.dialect = Some(Dialect::Messages);
    record.stream = true;
    record.upstream = Some(Arc::from("anthropic"));
    record.attempts = 1;
    record.outcome = Outcome::AnswerBlocked;
    record.reason = Some("content_filter");
    record.input = Some(verdict.clone());
    record.output = Some(verdict);
    record.request_bytes.inspected = 10;
    record.usage = Some(Usage { input: 3, cached: 0, output: 1, reasoning: 0 });
    record.micros.first_chunk = 5;
    record.cost = Some(5);
    record.priced = Some(Arc::from("gpt-4o*"));
    metrics.record(&record);
    metrics.reload(&ReloadOutcome {
        trigger: Arc::from("start"),
        generation: Generation(1),
        problems: Vec::new(),
        warnings: Vec::new(),
    });
    metrics.watch_event_queue(|| QueueDepth { waiting: 0, capacity: 1 });
    metrics.watch_verdict_cache(|| 0);
    metrics.watch_history(|| (0, 0));
    metrics.watch_monitoring(|| false);
    metrics.model(&Arc::from("guard"), ModelCall::Timeout, 2.0);
    metrics.soc().notice(&Arc::from("pager"), NoticeResult::Sent);
    metrics.soc().breaker(&Arc::from("pager"), BreakerState::Closed);
    metrics.soc().model(ModelPurpose::Analyst, ModelCall::Ok, 1.0);
    for metric in names::ALL {
        metrics.standing().tell_each(metric, [("one", 1.0)]);
        if metric.labels.is_empty() {
            metrics.standing().tell(metric, 1.0);
        }
    }
    let text = metrics.render().unwrap();
    let name = |line: &str| line.split(['{', ' ']).next().map(str::to_owned);
    text.lines().filter(|line| !line.starts_with('#')).filter_map(name).collect()
}

#[test]
fn every_metric_that_is_asked_for_exists() {
    let rendered = rendered();
    let mut series: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for metric in names::ALL {
        let suffixes: &[&str] = match metric.kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram(_) => &["_bucket", "_sum", "_count"],
        };
        let labels = metric.labels.iter().map(|label| label.replace('.', "_"));
        let labels: BTreeSet<String> = labels.chain(["le", "instance", "job"].map(str::to_owned)).collect();
        for suffix in suffixes {
            series.insert(format!("{}{suffix}", metric.prometheus), labels.clone());
        }
    }
    let mut asked = BTreeSet::new();
    for (path, expression) in expressions() {
        for (name, labels) in used(&expression) {
            let known = series.get(&name).unwrap_or_else(|| panic!("{}: {name} is not listed", path.display()));
            assert!(rendered.contains(&name), "{}: {name} is listed but never shown", path.display());
            for label in labels {
                assert!(known.contains(&label), "{}: {name} has no label {label}", path.display());
            }
            asked.insert(name);
        }
    }
    assert!(asked.len() > 60, "only {} metrics were found in the expressions: {asked:?}", asked.len());
}

#[test]
fn expressions_are_read_as_prometheus_would() {
    let name =
        |name: &str, labels: &[&str]| (name.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect());
    assert_eq!(
        used(r#"sum by (le) (rate(portcullis_a_bucket{x=~"portcullis_no",y!="z"}[5m])) / portcullis_b"#),
        [name("portcullis_a_bucket", &["x", "y"]), name("portcullis_b", &[])]
    );
}

#[test]
fn panels_stand_side_by_side_and_ask_something() {
    for name in ["overview", "security", "cost", "health"] {
        let text = fs::read_to_string(deploy().join(format!("grafana/{name}.json"))).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(dashboard["uid"], format!("portcullis-{name}"));
        panels_fit(&dashboard);
    }
}

fn panels_fit(dashboard: &Value) {
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let at = |key: &str| panel.pointer(&format!("/gridPos/{key}")).and_then(Value::as_u64).unwrap();
        assert!(ids.insert(panel["id"].as_u64()), "two panels with the id {}", panel["id"]);
        assert!(at("x") + at("w") <= 24, "{} is too wide", panel["title"]);
        for cell in (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y))) {
            assert!(taken.insert(cell), "{} lies over another panel", panel["title"]);
        }
        let asks = panel["targets"].as_array().is_some_and(|targets| !targets.is_empty());
        assert!(panel["type"] == "row" || asks, "{} asks nothing", panel["title"]);
    }
}

#[test]
fn every_alert_says_what_it_means() {
    let document = documents(&deploy().join("prometheus/alerts.yaml")).remove(0);
    let groups = document["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() >= 30);
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        assert!(name.starts_with("Portcullis"), "{name}");
        assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().unwrap()), "{name}");
        for annotation in ["summary", "description", "runbook"] {
            assert!(rule["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
    }
}

/// Loads a configuration the way `serve` does, with no environment.
fn loads(text: &str, what: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    // The secret a manifest mounts is not on this machine.
    let key = directory.path().join("key");
    fs::write(&key, "a-key").unwrap();
    let text = text.replace("/var/run/secrets/portcullis/openai-api-key", key.to_str().unwrap());
    fs::write(&path, text).unwrap();
    if let Err(problems) = config::load(Some(&path), std::iter::empty()) {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{what}: {}", problems.join("\n"));
    }
}

#[test]
fn the_schema_of_detectors_is_the_one_the_gateway_speaks() {
    let schema = schemars::schema_for!(portcullis::models::contract::Exchange);
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = deploy().join("detector.schema.json");
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == committed,
        "write it anew: portcullis config schema detector > deploy/detector.schema.json\n{text}"
    );
}

#[test]
fn every_configuration_that_is_shipped_loads() {
    for path in files("toml") {
        loads(&fs::read_to_string(&path).unwrap(), &path.display().to_string());
    }
}

#[test]
fn the_manifests_configure_a_gateway_that_their_probes_and_mounts_fit() {
    for name in ["kubernetes/sidecar.yaml", "kubernetes/sidecar-classic.yaml"] {
        let documents = documents(&deploy().join(name));
        let of_kind = |kind: &str| documents.iter().find(|document| document["kind"] == kind).unwrap();
        let configuration = of_kind("ConfigMap")["data"]["gateway.toml"].as_str().unwrap();
        loads(configuration, name);
        let pod = &of_kind("Deployment")["spec"]["template"]["spec"];
        let containers = ["initContainers", "containers"].iter().filter_map(|list| pod[*list].as_array()).flatten();
        let gateway = containers.clone().find(|container| container["name"] == "portcullis").unwrap();
        assert!(configuration.contains("\"0.0.0.0:9090\"") && gateway["ports"][0]["containerPort"] == 9090, "{name}");
        for (probe, path) in [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")]
        {
            assert_eq!(gateway[probe]["httpGet"]["path"], path, "{name}");
            assert_eq!(gateway[probe]["httpGet"]["port"], gateway["ports"][0]["name"], "{name}");
        }
        let volumes: BTreeSet<&str> =
            pod["volumes"].as_array().unwrap().iter().filter_map(|volume| volume["name"].as_str()).collect();
        for mount in gateway["volumeMounts"].as_array().unwrap() {
            assert!(volumes.contains(mount["name"].as_str().unwrap()), "{name}: {mount} has no volume");
            assert!(mount["subPath"].is_null(), "{name}: a subPath never sees a change");
        }
        assert_eq!(gateway["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
    }
}
