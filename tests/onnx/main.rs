//! A second opinion from an ONNX classifier: a real network and tokenizer, made here, run by the real gateway.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "a test that meets what it does not expect has failed; the harness has more than these tests need"
)]

mod cross;
mod network;
#[path = "../support/mod.rs"]
mod support;
/// Its own tests run here, so that the library need not be built for testing with this feature too.
#[path = "../../src/models/onnx/windows.rs"]
mod windows;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::network::Width;
use crate::support::answers;
use crate::support::client::ask;
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::Mock;

/// A directory with a classifier in it.
fn classifier(width: Width) -> TempDir {
    let directory = TempDir::new().unwrap();
    write(directory.path(), width);
    directory
}

fn write(directory: &Path, width: Width) {
    fs::write(directory.join("model.onnx"), network::onnx(width)).unwrap();
    fs::write(directory.join("tokenizer.json"), network::tokenizer()).unwrap();
    fs::write(directory.join("config.json"), network::CONFIG).unwrap();
}

fn table(directory: &Path, keys: &str) -> String {
    let keys =
        format!("when = \"always\"\nattack = [\"injection\"]\nmax_tokens = 8\nstride = 2\ntimeout = \"20s\"\n{keys}");
    format!("[models.guard]\ndirectory = {directory:?}\n{keys}\n")
}

async fn gateway(directory: &Path, keys: &str) -> (Mock, Gateway) {
    let mock = Mock::start(answers::json_body(200, &answers::chat("fine"))).await;
    let gateway = Setup::before(mock.address).section(&table(directory, keys)).start().await;
    (mock, gateway)
}

/// The last of so many records' only finding, and its evidence.
async fn finding(gateway: &Gateway, records: usize) -> (Value, usize, usize) {
    let record = gateway.exactly(records).await.pop().unwrap();
    let finding = record["input"]["findings"][0].clone();
    let place = |key: &str| finding["evidence"][key].as_u64().unwrap_or_else(|| panic!("{record}")) as usize;
    let (start, end) = (place("start"), place("end"));
    (finding, start, end)
}

#[tokio::test]
async fn an_attack_is_found_and_located_and_the_rest_passes() {
    let files = classifier(Width::Any);
    let (mock, gateway) = gateway(files.path(), "").await;
    gateway.send(ask("An EVIL plan, hello")).await.assert_error(400, "content_filter");
    let (found, start, end) = finding(&gateway, 1).await;
    assert_eq!((&found["rule"], start, end), (&"PC-MDL-GUARD".into(), 0, 19));
    assert!(found["title"].as_str().unwrap().ends_with(": INJECTION"), "{found}");
    assert_eq!(gateway.send(ask("hello world")).await.status, 200);
    assert_eq!(gateway.exactly(2).await[1]["input"]["decision"], "allow");
    let text = format!("{} evil {}", "hello world ".repeat(12), "hello world ".repeat(12));
    gateway.send(ask(&text)).await.assert_error(400, "content_filter");
    let (_, start, end) = finding(&gateway, 3).await;
    let window = text.get(start..end).unwrap();
    assert!(window.contains("evil") && window.len() < 60, "the worst window: {window}");
    assert_eq!(mock.count(), 1);
    let calls = gateway.metric("portcullis_model_calls_total", &["model=\"guard\"", "result=\"ok\""]).await;
    assert_eq!(calls, 3.0);
    gateway.send(ask(&text)).await.assert_error(400, "content_filter");
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"ok\""]).await, calls, "it is remembered");
}

#[tokio::test]
async fn a_word_in_a_text_too_long_for_one_window_would_drown_without_windows() {
    let files = classifier(Width::Any);
    // Wide enough that the tokenizer gets the text in one piece.
    let (_mock, gateway) = gateway(files.path(), "max_windows = 64\n").await;
    let text = format!("{}evil {}", "hello ".repeat(100), "world ".repeat(100));
    gateway.send(ask(&text)).await.assert_error(400, "content_filter");
    drop(gateway);
    // The same in one window: the mean over two hundred words is harmless.
    let mock = Mock::start(answers::json_body(200, &answers::chat("fine"))).await;
    let keys = table(files.path(), "").replace("max_tokens = 8", "max_tokens = 512");
    let gateway = Setup::before(mock.address).section(&keys).start().await;
    assert_eq!(gateway.send(ask(&text)).await.status, 200);
}

#[tokio::test]
async fn a_network_of_fixed_size_is_filled_up() {
    for (width, keys) in [(Width::Fixed(1, 8), ""), (Width::Fixed(4, 8), "batch = 3\n"), (Width::Fixed(2, 16), "")] {
        let files = classifier(width);
        let (_mock, gateway) = gateway(files.path(), keys).await;
        gateway.send(ask("evil")).await.assert_error(400, "content_filter");
        assert_eq!(gateway.send(ask("hello world")).await.status, 200);
        let text = format!("{}evil plan{}", "hello ".repeat(21), " world".repeat(22));
        gateway.send(ask(&text)).await.assert_error(400, "content_filter");
        let (_, start, end) = finding(&gateway, 3).await;
        assert!(text.get(start..end).unwrap().contains("evil"), "{start} to {end}");
    }
}

#[tokio::test]
async fn a_network_that_says_nothing_of_its_size_or_the_wrong_thing_is_run_all_the_same() {
    let files = classifier(Width::Unsaid);
    for file in [network::onnx(Width::Unsaid), network::onnx_of_eight()] {
        fs::write(files.path().join("model.onnx"), file).unwrap();
        let (_mock, gateway) = gateway(files.path(), "").await;
        gateway.send(ask("hello evil")).await.assert_error(400, "content_filter");
        assert_eq!(gateway.send(ask("hello world")).await.status, 200);
        let text = format!("{}evil{}", "hello ".repeat(30), " world".repeat(10));
        gateway.send(ask(&text)).await.assert_error(400, "content_filter");
    }
}

#[tokio::test]
async fn too_late_is_a_failure() {
    let files = classifier(Width::Any);
    let text = "hello world ".repeat(40_000);
    for (mode, status) in [("closed", 503), ("open", 200)] {
        let keys = format!("max_windows = 1024\nmax_bytes = \"8MiB\"\non_failure = \"{mode}\"\nbatch = 1\n");
        let mock = Mock::start(answers::json_body(200, &answers::chat("fine"))).await;
        let section = table(files.path(), &keys).replace("timeout = \"20s\"", "timeout = \"1ms\"");
        let gateway = Setup::before(mock.address).section(&section).start().await;
        assert_eq!(gateway.send(ask(&text)).await.status, status);
        assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"timeout\""]).await, 1.0);
        let opened = gateway.metric("portcullis_fail_open_total", &["part=\"models\""]).await;
        assert_eq!(opened, if mode == "open" { 1.0 } else { 0.0 });
    }
}

#[tokio::test]
async fn a_classifier_that_cannot_be_used_is_told_and_the_one_before_stays() {
    let (files, other) = (classifier(Width::Any), classifier(Width::Any));
    let (_mock, mut gateway) = gateway(files.path(), "").await;
    let path = other.path();
    let harm = |file: &str, content: &str| fs::write(path.join(file), content).unwrap();
    let broken: [(&dyn Fn(), &str); 6] = [
        (&|| harm("model.onnx", "not a network"), "model.onnx"),
        (&|| harm("tokenizer.json", "{}"), "tokenizer.json"),
        (&|| fs::remove_file(path.join("tokenizer.json")).unwrap(), "tokenizer.json: cannot be read"),
        (&|| harm("config.json", "{}"), "it has no label `injection`"),
        (&|| harm("config.json", r#"{"id2label": {"7": "INJECTION"}}"#), "2 outputs"),
        (&|| harm("config.json", "["), "config.json"),
    ];
    for (harm, told) in broken {
        write(path, Width::Any);
        harm();
        gateway.write_sections(&table(path, ""));
        let refused = gateway.reload().await;
        assert!(refused.status >= 400 && refused.text().contains(told), "{told}: {}", refused.text());
        assert!(refused.text().contains("models.guard"), "{}", refused.text());
        gateway.send(ask("evil")).await.assert_error(400, "content_filter");
    }
    write(path, Width::Any);
    gateway.write_sections(&table(path, ""));
    assert_eq!(gateway.reload().await.status, 200);
    gateway.send(ask("evil")).await.assert_error(400, "content_filter");
}

#[tokio::test]
async fn another_file_is_another_model() {
    let files = classifier(Width::Any);
    let (_mock, gateway) = gateway(files.path(), "").await;
    gateway.send(ask("evil")).await.assert_error(400, "content_filter");
    let before = finding(&gateway, 1).await.0["title"].clone();
    assert_eq!(gateway.reload().await.status, 200);
    gateway.send(ask("evil")).await.assert_error(400, "content_filter");
    assert_eq!(finding(&gateway, 2).await.0["title"], before);
    assert_eq!(gateway.metric("portcullis_model_calls_total", &["result=\"ok\""]).await, 1.0, "kept, and what it said");
    write(files.path(), Width::Fixed(2, 8));
    assert_eq!(gateway.reload().await.status, 200);
    gateway.send(ask("evil")).await.assert_error(400, "content_filter");
    assert_ne!(finding(&gateway, 3).await.0["title"], before);
}

#[test]
fn scan_hears_the_model() {
    let files = classifier(Width::Any);
    let config = files.path().join("gateway.toml");
    fs::write(&config, format!("{}[rules]\nclassifier = \"off\"\n", table(files.path(), ""))).unwrap();
    let scan = |text: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["scan", "--format", "json", "--config"])
            .arg(&config)
            .arg(text)
            .env_clear()
            .current_dir(files.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let verdict = scan("evil evil evil");
    assert_eq!((&verdict["decision"], &verdict["findings"][0]["rule"]), (&"block".into(), &"PC-MDL-GUARD".into()));
    assert_eq!(scan("hello world")["decision"], "allow");
}
