//! Reload under load: nothing fails, every request is decided by one rule set, a broken file changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::answers;
use crate::support::client::{Connection, ask};
use crate::support::gateway::{RULES, Setup};
use crate::support::mock::Mock;
use crate::support::{until, within};

const REQUESTS: usize = 10_000;
const RELOADS: usize = 100;
const CLIENTS: usize = 8;

/// A rule set that leaves its letter on the prompt and on the answer.
fn lettered(letter: char) -> String {
    let rule = |id: &str, direction: &str, word: &str| {
        format!(
            "id: {id}\ntitle: Marks the {direction} with its letter\nfamily: privacy\ngain: Nothing, it is a test.\n\
             severity: low\nscore: 1\ndirection: {direction}\naction: redact\nmark: \"[{direction}-{letter}]\"\ndetection:\n  \
             prefilter: [{word}]\n  sel_word: '{word}'\nexamples: {{ positive: [\"a {word}\"], negative: [\"a word\"] }}\n"
        )
    };
    format!("{}---\n{}", rule("PC-TEST-1001", "input", "asked-word"), rule("PC-TEST-1002", "output", "said-word"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_during_a_hundred_reloads_and_none_fails() {
    let mock = Mock::start(vec![]).await;
    // The provider repeats what it was asked and adds a word of its own.
    mock.play_with(|seen| {
        let asked = seen.json()["messages"][0]["content"].as_str().unwrap_or_default().to_owned();
        answers::json_body(200, &answers::chat(&format!("{asked} said-word")))
    });
    let gateway = Setup::before(mock.address).rules(&lettered('A')).start().await;
    let done = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    // However long a reload takes, it is met by its share of the requests and not by any number of them.
    let wanted = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, done, stop) = (gateway.address, Arc::clone(&done), Arc::clone(&stop));
            let wanted = Arc::clone(&wanted);
            tokio::spawn(async move {
                let mut connection = Connection::to(address).await;
                let (mut a, mut b) = (0_usize, 0_usize);
                while !stop.load(Ordering::SeqCst) {
                    if done.load(Ordering::SeqCst) >= wanted.load(Ordering::SeqCst) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        continue;
                    }
                    let got = connection.send(ask("an asked-word")).await.expect("an answer");
                    assert_eq!(got.status, 200, "{}", got.text());
                    match got.json()["choices"][0]["message"]["content"].as_str().expect("text") {
                        "an [input-A] [output-A]" => a += 1,
                        "an [input-B] [output-B]" => b += 1,
                        mixed => panic!("decided by two rule sets: {mixed}"),
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                }
                (a, b)
            })
        })
        .collect();
    let mut refused = 0;
    for number in 0..RELOADS {
        // Reloads spread over the requests.
        let share = REQUESTS * number / RELOADS;
        wanted.store(REQUESTS * (number + 1) / RELOADS, Ordering::SeqCst);
        within(120, async {
            while done.load(Ordering::SeqCst) < share {
                assert!(!clients.iter().any(tokio::task::JoinHandle::is_finished), "a client failed");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        match number % 6 {
            0 | 3 => gateway.write_rules(&lettered('B')),
            1 | 4 => gateway.write_rules(&lettered('A')),
            2 => gateway.write_rules("id: PC-TEST-1001\ntitle: [broken"),
            _ => gateway.write_rules(&lettered('B').replace("sel_word: 'said-word'", "sel_word: '(said'")),
        }
        let answer = gateway.reload().await;
        if number % 3 == 2 {
            assert!(answer.status >= 400, "a broken file is refused: {} {}", answer.status, answer.text());
            assert!(answer.text().contains("test.yaml"), "and says where: {}", answer.text());
            refused += 1;
        } else {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    within(120, async {
        while done.load(Ordering::SeqCst) < REQUESTS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let (mut a, mut b) = (0, 0);
    for client in clients {
        let (of_a, of_b) = within(20, client).await.expect("no request failed");
        a += of_a;
        b += of_b;
    }
    assert!(a > 0 && b > 0 && a + b >= REQUESTS, "A decided {a}, B decided {b}");
    assert_eq!(refused, RELOADS / 3);
    for record in gateway.exactly(a + b).await {
        assert_eq!(record["input"]["rule_set"], record["output"]["rule_set"], "{record}");
    }
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_the_repaired_one_does() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let mut gateway = Setup::before(mock.address).start().await;
    for broken in [
        "",
        "id: [",
        "id: PC-TEST-0001\n",
        &RULES.replace("positive: [\"an attack-marker here\"]", "positive: [\"nothing of the kind\"]"),
        &RULES.replace("sel_marker: 'attack-marker'", "sel_marker: 'attack-marker.*(a+)+$'"),
        &RULES.replace("score: 10", "scor: 10"),
    ] {
        gateway.write_rules(broken);
        let answer = gateway.reload().await;
        // No rules at all is a rule set, if not a wise one; everything else is refused.
        if !broken.is_empty() {
            assert!(answer.status >= 400, "{broken:?}: {}", answer.text());
            gateway.send(ask("attack-marker")).await.assert_error(400, "content_filter");
        }
        gateway.write_rules(RULES);
        assert_eq!(gateway.reload().await.status, 200);
    }
    gateway.write_config("listeners = [\n");
    assert!(gateway.reload().await.status >= 400);
    gateway.write_sections("[inspekt]\nmode = \"off\"");
    let answer = gateway.reload().await;
    assert!(answer.status >= 400 && answer.text().contains("inspekt"), "{}", answer.text());
    gateway.send(ask("attack-marker")).await.assert_error(400, "content_filter");
    gateway.write_sections("");
    gateway.write_rules(&RULES.replace("attack-marker", "other-marker"));
    assert_eq!(gateway.reload().await.status, 200);
    assert_eq!(gateway.send(ask("attack-marker")).await.status, 200);
    assert_eq!(gateway.send(ask("other-marker")).await.status, 400);
}

#[tokio::test]
async fn a_signal_and_a_watched_file_reload_too() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("ok"))).await;
    let gateway = Setup::before(mock.address).start().await;
    gateway.write_rules(&RULES.replace("attack-marker", "other-marker"));
    gateway.signal("HUP");
    let address = gateway.address;
    within(5, async {
        while crate::support::client::send(address, ask("other-marker")).await.status != 400 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    drop(gateway);
    let mut gateway = Setup::before(mock.address).start().await;
    let text = std::fs::read_to_string(gateway.path("gateway.toml")).unwrap();
    gateway.write_config(&text.replace("watch = false", "watch = true\ndebounce = \"50ms\""));
    assert_eq!(gateway.reload().await.status, 200);
    gateway.write_rules(&RULES.replace("attack-marker", "third-marker"));
    let address = gateway.address;
    within(10, async {
        while crate::support::client::send(address, ask("third-marker")).await.status != 400 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert!(gateway.is_running());
}

/// A stream that began under one rule set ends under it.
#[tokio::test]
async fn a_request_in_flight_keeps_its_rules() {
    use crate::support::mock::Act;
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).start().await;
    let prose = |text: &str| format!("data: {}\n\n", answers::chat_chunk(0, json!({"content": text}), None));
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(prose("begins ").as_bytes()),
        Act::Wait,
        answers::chunk(prose("leak-12345678 ends").as_bytes()),
        answers::chunk(b"data: [DONE]\n\n"),
        answers::last_chunk(),
    ]);
    let address = gateway.address;
    let running = tokio::spawn(crate::support::client::send(address, crate::support::client::ask_streamed("hello")));
    until(5, "the stream to begin", || (mock.count() == 1).then_some(())).await;
    gateway.write_rules(&RULES.replace("leak-", "drip-"));
    assert_eq!(gateway.reload().await.status, 200);
    mock.go_on();
    let got = within(5, running).await.unwrap();
    assert!(!got.text().contains("leak-1"), "{}", got.text());
    mock.play(answers::json_body(200, &answers::chat("leak-12345678")));
    assert_eq!(gateway.send(ask("hello")).await.status, 200);
}
