//! What is kept of words decides what can be said of them, and it is said.

use serde_json::{Value, json};

use crate::support::client::{ask, send};
use crate::support::gateway::{Gateway, Setup};
use crate::{backtest, report, tried};

/// A gateway with a policy for each privacy, by model, after a few requests for each.
async fn after_requests(key: bool) -> Gateway {
    let mut sections = String::from("[inspect.history]\ncallers = 0\nconversations = 0\n");
    for privacy in ["full", "masked", "hash_only", "none"] {
        sections += &format!(
            "[[policies]]\nname = \"{privacy}\"\nmatch = {{ model = [\"{privacy}\"] }}\nprivacy = \"{privacy}\"\n"
        );
    }
    if key {
        sections += "[store]\ncontent_key_env = \"TEST_CONTENT_KEY\"\n";
    }
    let mut gateway = Setup::rehearsal().section(&sections).env("TEST_CONTENT_KEY", &"0a".repeat(32)).start().await;
    let mut sent = 0;
    for privacy in ["full", "masked", "hash_only", "none"] {
        for text in ["The zeppelin for anna.kestrel@mail.org", "Good morning.", "an attack-marker"] {
            let body = json!({"model": privacy, "messages": [{"role": "user", "content": text}]});
            let got =
                send(gateway.address, crate::support::client::post("/v1/chat/completions", body.to_string())).await;
            assert!(matches!(got.status, 200 | 400), "{}", got.text());
            sent += 1;
        }
    }
    // Neither of these has words that anybody read.
    send(gateway.address, crate::support::client::post("/v1/chat/completions", "{")).await;
    gateway.exactly(sent + 1).await;
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(30).await, Some(0));
    gateway
}

fn excerpts(told: &Value) -> String {
    let samples = told["samples"]["newly_blocked"].as_array().unwrap();
    samples.iter().map(|sample| format!("{}\n", sample["excerpt"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_is_counted_and_said_by_privacy() {
    let gateway = after_requests(false).await;
    let rules = tried(&gateway.path(""));
    let asked = ["--rules", rules.to_str().unwrap(), "--since", "1d"];
    let told = report(&gateway.path(""), &asked);
    let by = |privacy: &str| {
        let own = &told["by_privacy"][privacy];
        ["compared", "newly_blocked", "newly_passed", "not_stored"].map(|name| own[name].as_u64().unwrap_or(99))
    };
    assert_eq!(by("full"), [3, 1, 1, 0]);
    assert_eq!(by("masked"), [3, 1, 1, 0]);
    assert_eq!(by("hash_only"), [0, 0, 0, 3]);
    assert_eq!(by("none"), [0, 0, 0, 3]);
    assert_eq!((&told["requests"]["not_stored"], &told["requests"]["never_inspected"]), (&json!(6), &json!(1)));
    assert_eq!(told["compared_as"]["masked"], json!(3));
    let notes = told["notes"].to_string();
    assert!(notes.contains("3 requests: redacted texts: figures may be low"), "{notes}");
    assert!(notes.contains("privacy none") && notes.contains("privacy hash_only"), "{notes}");
    let shown = excerpts(&told);
    assert_eq!(shown.matches("anna.kestrel").count(), 1, "only where all is kept: {shown}");
    let quiet = report(&gateway.path(""), &[&asked[..], &["--no-excerpts"]].concat());
    assert_eq!(excerpts(&quiet), "null\nnull\n");
    let text = backtest(&gateway.path(""), &asked);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("newly blocked") && text.contains("SITE-BT-0001") && text.contains("note: "), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_words_are_inspected_with_their_key_and_never_written_elsewhere() {
    let gateway = after_requests(true).await;
    let rules = tried(&gateway.path(""));
    let arguments = ["--rules", rules.to_str().unwrap(), "--since", "1d", "--format", "json"];
    let key = |key: &str| crate::command(&gateway.path(""), &arguments).env("TEST_CONTENT_KEY", key).output().unwrap();
    let told: Value = serde_json::from_slice(&key(&"0a".repeat(32)).stdout).unwrap();
    assert_eq!((&told["newly_blocked"], &told["newly_passed"]), (&json!(2), &json!(2)), "{told:#}");
    let other: Value = serde_json::from_slice(&key(&"0b".repeat(32)).stdout).unwrap();
    assert_eq!((&other["requests"]["compared"], &other["requests"]["sealed"]), (&json!(0), &json!(6)), "{other:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_tell_too_many_blocks_bad_arguments_and_what_could_not_run() {
    let mut gateway = Setup::before(([127, 0, 0, 1], 9).into())
        .section("[[policies]]\nname = \"everyone\"\nmatch = {}\nprivacy = \"full\"\n")
        .start()
        .await;
    send(gateway.address, ask("The zeppelin")).await;
    for _ in 0..3 {
        send(gateway.address, ask("Good morning.")).await;
    }
    gateway.exactly(4).await;
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(30).await, Some(0));
    let directory = gateway.path("");
    let rules = tried(&directory);
    let rules = rules.to_str().unwrap();
    let code = |arguments: &[&str]| {
        let done = backtest(&directory, arguments);
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let asked = ["--rules", rules, "--since", "1d"];
    assert_eq!(code(&asked).0, Some(0));
    assert_eq!(code(&[&asked[..], &["--fail-if-newly-blocked", "25%"]].concat()).0, Some(0));
    assert_eq!(code(&[&asked[..], &["--fail-if-newly-blocked", "0.24"]].concat()).0, Some(1));
    for wrong in [
        &["--since", "1d"][..],
        &["--rules", rules],
        &["--rules", rules, "--since", "soon"],
        &["--rules", rules, "--since", "1d", "--until", "2d"],
        &["--since", "1d", "--against", "configured"],
    ] {
        assert_eq!(code(wrong).0, Some(2), "{wrong:?}: {}", code(wrong).1);
    }
    for (wrong, why) in [
        (&["--rules", "nowhere", "--since", "1d"][..], "nowhere"),
        (&["--rules", rules, "--since", "1d", "--resume"], "checkpoint"),
    ] {
        let (code, said) = code(wrong);
        assert!(code == Some(3) && said.contains(why), "{wrong:?}: {code:?} {said}");
    }
}
