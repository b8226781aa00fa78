//! The cross-encoder that reads claims of plans with their evidence: a real network, made here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis::models::{CrossEncoder, CrossSpec};
use portcullis::telemetry::ModelCall;
use tempfile::TempDir;

use crate::network;
use crate::support::answers;
use crate::support::gateway::Setup;
use crate::support::mock::Mock;

const LONG: Duration = Duration::from_secs(20);

fn files() -> TempDir {
    let directory = TempDir::new().unwrap();
    write(directory.path());
    directory
}

fn write(directory: &Path) {
    fs::write(directory.join("model.onnx"), network::cross_encoder()).unwrap();
    fs::write(directory.join("tokenizer.json"), network::cross_tokenizer()).unwrap();
}

fn spec(directory: &Path) -> CrossSpec {
    CrossSpec { directory: directory.to_owned(), files: Vec::new(), max_tokens: 16, threads: 1 }
}

fn pair(claim: &str, text: &str) -> (String, String) {
    (claim.to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_claim_is_read_with_its_evidence_wherever_it_stands_in_it() {
    let files = files();
    let model = CrossEncoder::build(&spec(files.path()), None).unwrap();
    let far = format!("{}severity{}", "nothing ".repeat(60), " at all".repeat(60));
    let pairs = [
        pair("severity high", "an alert of severity high"),
        pair("severity high", "an alert with events"),
        pair("severity high", &far),
        pair("severity high", ""),
        // Both words in one of the two texts are no support.
        pair("severity and severity", "nothing"),
    ];
    let scores = model.score(pairs.to_vec(), LONG).await.unwrap();
    assert_eq!(scores.iter().map(|score| *score > 0.5).collect::<Vec<_>>(), [true, false, true, false, false]);
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)), "{scores:?}");
    assert!(std::sync::Arc::ptr_eq(&model, &CrossEncoder::build(&spec(files.path()), Some(&model)).unwrap()));
}

#[tokio::test]
async fn too_late_is_a_failure() {
    let files = files();
    let model = CrossEncoder::build(&spec(files.path()), None).unwrap();
    let pairs = vec![pair("severity", &"alert events ".repeat(20_000)); 4];
    let failure = model.score(pairs, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(failure.call, ModelCall::Timeout);
}

#[tokio::test]
async fn of_several_outputs_config_json_names_the_one_that_supports() {
    let files = files();
    let path = files.path();
    // Two outputs: a classifier, which reads the two texts as one.
    fs::write(path.join("model.onnx"), network::onnx(network::Width::Any)).unwrap();
    fs::write(path.join("tokenizer.json"), network::tokenizer()).unwrap();
    let problem = CrossEncoder::build(&spec(path), None).unwrap_err();
    assert!(problem.contains("none of them entailment"), "{problem}");
    fs::write(path.join("config.json"), r#"{"id2label": {"0": "CONTRADICTION", "1": "ENTAILMENT"}}"#).unwrap();
    let model = CrossEncoder::build(&spec(path), None).unwrap();
    let scores = model.score(vec![pair("evil", "plan"), pair("hello", "world")], LONG).await.unwrap();
    assert!(scores[0] > 0.9 && scores[1] < 0.1, "{scores:?}");
}

#[tokio::test]
async fn one_that_cannot_be_used_is_told_at_a_reload_and_the_settings_of_before_stay() {
    let (good, bad) = (files(), files());
    let mock = Mock::start(answers::json_body(200, &answers::chat("fine"))).await;
    let table = |path: &Path| format!("[soc.analyst]\ncross_encoder = {path:?}\ncross_tokens = 32\n");
    let mut gateway = Setup::before(mock.address).section(&table(good.path())).start().await;
    let harm = |file: &str, content: &str| fs::write(bad.path().join(file), content).unwrap();
    let broken: [(&dyn Fn(), &str); 3] = [
        (&|| harm("model.onnx", "not a network"), "model.onnx"),
        (&|| harm("tokenizer.json", "{}"), "tokenizer.json"),
        (&|| fs::remove_file(bad.path().join("tokenizer.json")).unwrap(), "tokenizer.json"),
    ];
    for (harm, told) in broken {
        write(bad.path());
        harm();
        gateway.write_sections(&table(bad.path()));
        let refused = gateway.reload().await;
        assert!(refused.status >= 400 && refused.text().contains(told), "{told}: {}", refused.text());
        assert!(refused.text().contains("soc.analyst.cross_encoder"), "{}", refused.text());
    }
    write(bad.path());
    gateway.write_sections(&table(bad.path()));
    assert_eq!(gateway.reload().await.status, 200);
}
