//! What is kept of the words of requests, by the privacy mode of their policy: looked for in every file of the gateway.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::access::Admin;
use crate::support::answers;
use crate::support::client::{ask, ask_streamed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::Mock;
use crate::support::until;

const ADDRESSES: [&str; 2] = ["anna.kestrel@mail.org", "bob.kestrel@corp.co.uk"];
const WORD: &str = "zeppelin";

/// Whether `text` stands in any file below `folder`, but for its configuration.
fn stands_in(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return stands_in(&path, text);
        }
        let bytes = fs::read(&path).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// A policy for everybody with this privacy, before the rehearsal model and under the built-in rules.
fn setup(privacy: &str) -> Setup {
    let policy = format!("[[policies]]\nname = \"everyone\"\nmatch = {{}}\nprivacy = \"{privacy}\"\n");
    Setup::rehearsal().section(&policy)
}

/// Has one prompt answered, whole and streamed, and ends the gateway, so that everything is written.
async fn after_two_requests(setup: Setup) -> Gateway {
    let mut gateway = setup.start().await;
    let [anna, bob] = ADDRESSES;
    let text = format!("Which {WORD} sails on Tuesday? Tell {anna} and {bob} please.");
    for request in [ask(&text), ask_streamed(&text)] {
        let got = gateway.send(request).await;
        assert_eq!(got.status, 200, "{}", got.text());
    }
    gateway.exactly(2).await;
    gateway.signal("TERM");
    assert_eq!(gateway.exit_code(30).await, Some(0));
    gateway
}

#[tokio::test]
async fn without_privacy_settings_no_word_is_anywhere_on_disk() {
    for gateway in [after_two_requests(setup("none")).await, after_two_requests(Setup::rehearsal()).await] {
        for text in [WORD, ADDRESSES[0], ADDRESSES[1]] {
            assert!(!stands_in(&gateway.path(""), text), "{text}");
        }
    }
}

#[tokio::test]
async fn masked_content_is_kept_without_any_address() {
    let gateway = after_two_requests(setup("masked")).await;
    assert!(stands_in(&gateway.path("data"), WORD));
    for address in ADDRESSES {
        assert!(!stands_in(&gateway.path(""), address), "{address}");
    }
}

#[tokio::test]
async fn of_hashed_content_no_word_is_anywhere_on_disk() {
    let gateway = after_two_requests(setup("hash_only")).await;
    for text in [WORD, ADDRESSES[0], ADDRESSES[1]] {
        assert!(!stands_in(&gateway.path(""), text), "{text}");
    }
}

#[tokio::test]
async fn full_content_is_kept_as_it_is_and_in_the_store_only() {
    let gateway = after_two_requests(setup("full")).await;
    for text in [WORD, ADDRESSES[0], ADDRESSES[1]] {
        assert!(stands_in(&gateway.path("data"), text), "{text}");
        for file in ["log", "records.jsonl"] {
            assert!(!fs::read_to_string(gateway.path(file)).unwrap().contains(text), "{file}: {text}");
        }
    }
}

#[tokio::test]
async fn with_a_content_key_no_word_is_in_clear_on_disk() {
    let key = "[store]\ncontent_key_env = \"TEST_CONTENT_KEY\"\n";
    let setup = setup("full").section(key).env("TEST_CONTENT_KEY", &"0a".repeat(32));
    let gateway = after_two_requests(setup).await;
    for text in [WORD, ADDRESSES[0], ADDRESSES[1]] {
        assert!(!stands_in(&gateway.path(""), text), "{text}");
    }
}

/// What is revealed of the request of a record, once `count` texts are stored of it.
async fn revealed(admin: &Admin<'_>, record: &Value, count: usize) -> Vec<Value> {
    let path = format!("/events/{}/reveal", record["id"].as_str().unwrap());
    loop {
        let known = admin.get("/events").await.to_string().contains(record["id"].as_str().unwrap());
        if known {
            let shown = admin.send("POST", &path, Some(json!({"reason": "a test"}))).await.json();
            let contents = shown["contents"].as_array().unwrap().clone();
            if contents.len() >= count {
                return contents;
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn sealed_content_of_blocked_prompts_and_of_answers_as_they_went_on_is_revealed() {
    let mock = Mock::start(answers::json_body(200, &answers::chat("a private-abcdefgh here"))).await;
    let sections = "[admin]\ninsecure_loopback_cookie = true\n[store]\ncontent_key_env = \"TEST_CONTENT_KEY\"\n\
                    [[policies]]\nname = \"everyone\"\nmatch = {}\nprivacy = \"full\"\n";
    let setup = Setup::before(mock.address).section(sections).env("TEST_CONTENT_KEY", &"0a".repeat(32));
    let gateway = setup.start().await;
    let admin = Admin::first(&gateway).await;
    assert_eq!(gateway.send(ask("hello there")).await.status, 200);
    gateway.send(ask("an attack-marker")).await.assert_error(400, "content_filter");
    mock.play(answers::stream(answers::chat_stream(&["a priv", "ate-abcdefgh", " there"]).as_bytes(), 1 << 16));
    assert_eq!(gateway.send(ask_streamed("hello again")).await.status, 200);
    let records = until(10, "three records", || Some(gateway.records()).filter(|records| records.len() == 3)).await;
    let text = |contents: &[Value], at: usize| contents[at]["text"].as_str().unwrap().to_owned();
    let whole = revealed(&admin, &records[0], 2).await;
    assert!(text(&whole, 0).contains("[user] hello there"), "{whole:?}");
    assert_eq!((text(&whole, 1).as_str(), &whole[1]["mode"]), ("[content] a [GONE] here", &json!("full")));
    let blocked = revealed(&admin, &records[1], 1).await;
    assert!(blocked.len() == 1 && text(&blocked, 0).contains("[user] an attack-marker"), "{blocked:?}");
    let streamed = revealed(&admin, &records[2], 2).await;
    assert_eq!(text(&streamed, 1), "[content] a [GONE] there");
}
