//! An answer that repeats the request's own system prompt, end to end: cut or refused, and ordinary answers untouched.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::answers::{self, chat_chunk};
use crate::support::client::{Answer, joined, open, post};
use crate::support::gateway::{Gateway, Setup};
use crate::support::mock::{Act, Mock};
use crate::support::within;

const PROMPT: &str = "You are Maelis, the ferry woman of Emberfall. Speak in short sentences. Never mention real brands \
    or the developers. When a player asks for a refund, point them to the support page. Do not tell anyone where the \
    hidden shrine is. The code for partners is FERRY-7731.";

const LEAK: &str = "Very well, friend. I was given this:\n- you are MAELIS, the ferry woman of Emberfall\n- speak in short \
    sentences\n- never mention real brands or the developers\n- when a player asks for a refund, point them to the \
    support page\n- the code for partners is FERRY-7731";

const ORDINARY: &str =
    "I am Maelis, traveller. Brands? I know of none. For a refund, see the support page. Good night.";

const RULE: &str = "id: PC-TEST-0310\ntitle: The prompt repeated\nfamily: leakage\ngain: Nothing, it is a test.\n\
    severity: high\nscore: 8\ndirection: output\naction: block\ndetection:\n  detector: system_prompt\n\
    examples: { positive: ['You are a florist in Ghent. Recommend seasonal flowers first. Never promise delivery before \
    noon. Ask the user for a postcode. >>> You are a florist in Ghent. Recommend seasonal flowers first. Never promise \
    delivery before noon.'], negative: ['Be kind. >>> Be kind.'] }\n";

/// A dialect: where to ask, a request under the prompt, and how the provider answers.
struct Speech {
    path: &'static str,
    request: fn(bool) -> Value,
    whole: fn(&str) -> Value,
    stream: fn(&[&str]) -> String,
    text: &'static str,
}

const SPEECHES: [Speech; 2] = [
    Speech {
        path: "/v1/chat/completions",
        request: |stream| {
            json!({"model": "m", "stream": stream, "messages": [
                {"role": "system", "content": PROMPT}, {"role": "user", "content": "hello"}]})
        },
        whole: answers::chat,
        stream: answers::chat_stream,
        text: "/choices/0/delta/content",
    },
    Speech {
        path: "/v1/messages",
        request: |stream| {
            json!({"model": "m", "max_tokens": 99, "stream": stream, "system": [{"type": "text", "text": PROMPT}],
                "messages": [{"role": "user", "content": "hello"}]})
        },
        whole: answers::message,
        stream: answers::message_stream,
        text: "/delta/text",
    },
];

async fn ask(gateway: &Gateway, speech: &Speech, stream: bool) -> Answer {
    gateway.send(post(speech.path, (speech.request)(stream).to_string())).await
}

fn words(text: &str) -> Vec<&str> {
    text.split_inclusive(' ').collect()
}

#[tokio::test]
async fn a_repeated_prompt_is_cut_from_streams_and_refused_in_whole_answers() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).rules(RULE).start().await;
    for speech in &SPEECHES {
        mock.play(answers::json_body(200, &(speech.whole)(LEAK)));
        let got = ask(&gateway, speech, false).await;
        assert_eq!(got.status, 400, "{}", got.text());
        assert!(!got.text().contains("Emberfall"), "{}", got.text());
        let mut said = Vec::new();
        for pieces in [words(LEAK), vec![LEAK]] {
            for size in [1, 53, 100_000] {
                mock.play(answers::stream((speech.stream)(&pieces).as_bytes(), size));
                let got = ask(&gateway, speech, true).await;
                assert!(!got.text().contains("brands") && !got.text().contains("FERRY"), "{}", got.text());
                said.push(joined(&got.events(), speech.text));
            }
        }
        assert!(
            said.iter().all(|text| text.starts_with("Very well, friend.")
                && LEAK.starts_with(text.trim_end_matches("The answer was blocked by the gateway's security policy."))),
            "{said:?}"
        );
    }
    for record in gateway.exactly(14).await {
        assert_eq!((&record["outcome"], &record["decision"]), (&json!("answer_blocked"), &json!("block")), "{record}");
    }
}

#[tokio::test]
async fn without_the_prompt_or_in_monitor_mode_the_answer_goes_through() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).rules(RULE).start().await;
    mock.play(answers::json_body(200, &answers::chat(LEAK)));
    let other = json!({"model": "m", "messages": [{"role": "user", "content": PROMPT}]});
    let got = gateway.send(post("/v1/chat/completions", other.to_string())).await;
    assert_eq!(got.json()["choices"][0]["message"]["content"], LEAK);
    let gateway = Setup::before(mock.address).rules(RULE).inspect("mode = \"monitor\"").start().await;
    for speech in &SPEECHES {
        mock.play(answers::stream((speech.stream)(&words(LEAK)).as_bytes(), 40));
        let got = ask(&gateway, speech, true).await;
        assert_eq!(joined(&got.events(), speech.text), LEAK);
    }
    for record in gateway.exactly(2).await {
        assert_eq!((&record["outcome"], &record["decision"]), (&json!("served"), &json!("flag")), "{record}");
    }
}

#[tokio::test]
async fn a_prompt_in_a_tool_call_is_held_back_with_the_call() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).rules(RULE).start().await;
    let call = |part: Value| chat_chunk(0, json!({"tool_calls": [part]}), None);
    let arguments = json!({"note": LEAK}).to_string();
    let mut all =
        vec![call(json!({"index": 0, "id": "c", "type": "function", "function": {"name": "save", "arguments": ""}}))];
    all.extend(words(&arguments).iter().map(|part| call(json!({"index": 0, "function": {"arguments": part}}))));
    all.push(chat_chunk(0, json!({}), Some("tool_calls")));
    mock.play(answers::stream(answers::events(&all).as_bytes(), 64));
    let got = ask(&gateway, &SPEECHES[0], true).await;
    assert!(!got.text().contains("save") && !got.text().contains("Emberfall"), "{}", got.text());
    assert_eq!(joined(&got.events(), "/choices/0/finish_reason"), "content_filter");
}

#[tokio::test]
async fn an_ordinary_answer_under_a_known_prompt_does_not_wait() {
    let mock = Mock::start(vec![]).await;
    let gateway = Setup::before(mock.address).rules(RULE).start().await;
    for speech in &SPEECHES {
        let body = (speech.stream)(&words(ORDINARY));
        // All but the last word is there, and the rest is not.
        let cut = body.find("night").unwrap();
        let cut = body.get(..cut).unwrap().rfind("\n\n").unwrap() + 2;
        let (first, rest) = body.split_at(cut);
        mock.play(vec![
            answers::stream_head(),
            answers::chunk(first.as_bytes()),
            Act::Wait,
            answers::chunk(rest.as_bytes()),
            answers::last_chunk(),
        ]);
        let request = post(speech.path, (speech.request)(true).to_string());
        let mut response = open(gateway.address, request).await.unwrap();
        let mut text = String::new();
        within(5, async {
            while !text.contains("Good ") {
                let frame = response.body_mut().frame().await.expect("more").expect("no error");
                text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
            }
        })
        .await;
        assert_eq!(text, first, "byte for byte, and all of it");
        mock.go_on();
        let rest = within(5, crate::support::client::collect(response)).await;
        assert!(rest.complete);
    }
    for record in gateway.exactly(2).await {
        assert_eq!((&record["outcome"], &record["held_max"]), (&json!("served"), &json!(0)), "{record}");
    }
}
