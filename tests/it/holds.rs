//! Tool calls that wait for a person, in three dialects: nothing of a call leaves before somebody says yes to exactly it.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use portcullis::types::soc::ToolRuling;
use portcullis::types::{Decision, Measure, Order, Outcome, Subject};
use serde_json::{Value, json};

use crate::inside::Inside;
use crate::support::answers::{self, chat_chunk};
use crate::support::client::{self, collect, open, post};
use crate::support::mock::{Act, Mock};
use crate::support::within;

const POLICY: &str = "[[policies]]\nname = \"all\"\nmatch = {}\napprove_tools = [\"delete_*\"]\n";
const SOON: &str = "[approvals]\nkeep_alive = \"20ms\"\n";
/// The arguments of every call here, and their SHA-256.
const ARGUMENTS: &str = r#"{"sum": 5}"#;
const HASH: &str = "9dc6d101e9569a085108fa44b9c2bf14ae3bc13fb89f00a1cd634b3fd538b0d4";

/// A dialect: where to ask, what to ask, what comes before a call and what of it and after it, whole and streamed.
struct Speech {
    path: &'static str,
    request: Value,
    before: String,
    call: String,
    whole: Value,
    alive: &'static str,
}

fn speeches(tool: &str) -> Vec<Speech> {
    vec![chat(tool), responses(tool), messages(tool)]
}

fn chat(tool: &str) -> Speech {
    let user = json!([{"role": "user", "content": "hello"}]);
    let part = |part: Value| chat_chunk(0, json!({"tool_calls": [part]}), None);
    let before = [
        chat_chunk(0, json!({"role": "assistant", "content": "I will "}), None),
        chat_chunk(0, json!({"content": "do it."}), None),
    ];
    let call = [
        part(json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": tool, "arguments": ""}})),
        part(json!({"index": 0, "function": {"arguments": "{\"sum\""}})),
        part(json!({"index": 0, "function": {"arguments": ": 5}"}})),
        chat_chunk(0, json!({}), Some("tool_calls")),
    ];
    let mut whole = answers::chat("I will do it.");
    whole["choices"][0]["message"]["tool_calls"] =
        json!([{"id": "call_1", "type": "function", "function": {"name": tool, "arguments": ARGUMENTS}}]);
    Speech {
        path: "/v1/chat/completions",
        request: json!({"model": "m", "messages": user}),
        before: before.iter().map(|event| format!("data: {event}\n\n")).collect(),
        call: answers::events(&call),
        whole,
        alive: ": waiting for approval\n\n",
    }
}

fn responses(tool: &str) -> Speech {
    let item = |arguments: &str, status: &str| json!({"id": "fc_1", "type": "function_call", "status": status, "call_id": "call_1", "name": tool, "arguments": arguments});
    let mut open = answers::response("", "in_progress");
    open["output"] = json!([]);
    let mut whole = answers::response("I will do it.", "completed");
    whole["output"].as_array_mut().unwrap().push(item(ARGUMENTS, "completed"));
    let text = |mut fields: Value| {
        fields["item_id"] = "msg_1".into();
        fields["output_index"] = 0.into();
        fields["content_index"] = 0.into();
        fields
    };
    let said = |mut fields: Value| {
        fields["item_id"] = "fc_1".into();
        fields["output_index"] = 1.into();
        fields
    };
    let message = whole["output"][0].clone();
    let mut all = vec![
        json!({"type": "response.created", "response": open}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"id": "msg_1", "type": "message",
            "status": "in_progress", "role": "assistant", "content": []}}),
        text(json!({"type": "response.output_text.delta", "delta": "I will do it."})),
        text(json!({"type": "response.output_text.done", "text": "I will do it."})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": message}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": item("", "in_progress")}),
        said(json!({"type": "response.function_call_arguments.delta", "delta": "{\"sum\""})),
        said(json!({"type": "response.function_call_arguments.delta", "delta": ": 5}"})),
        said(json!({"type": "response.function_call_arguments.done", "arguments": ARGUMENTS})),
        json!({"type": "response.output_item.done", "output_index": 1, "item": item(ARGUMENTS, "completed")}),
        json!({"type": "response.completed", "response": whole}),
    ];
    for (number, event) in all.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    Speech {
        path: "/v1/responses",
        request: json!({"model": "m", "input": "hello"}),
        before: answers::typed_events(&all[..5]),
        call: answers::typed_events(&all[5..]),
        whole,
        alive: ": waiting for approval\n\n",
    }
}

fn messages(tool: &str) -> Speech {
    let use_of = |input: Value| json!({"type": "tool_use", "id": "toolu_1", "name": tool, "input": input});
    let before = [
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I will do it."}}),
        json!({"type": "content_block_stop", "index": 0}),
    ];
    let part = |part: &str| json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": part}});
    let call = [
        json!({"type": "content_block_start", "index": 1, "content_block": use_of(json!({}))}),
        part("{\"sum\""),
        part(": 5}"),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"output_tokens": 12}}),
        json!({"type": "message_stop"}),
    ];
    let mut whole = answers::message("I will do it.");
    whole["content"].as_array_mut().unwrap().push(use_of(json!({"sum": 5})));
    Speech {
        path: "/v1/messages",
        request: json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "hello"}]}),
        before: answers::typed_events(&before),
        call: answers::typed_events(&call),
        whole,
        alive: "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    }
}

impl Speech {
    /// The provider answers so from now on, as a stream.
    fn streams(&self, mock: &Mock) {
        mock.play(answers::stream([&*self.before, &*self.call].concat().as_bytes(), 100));
    }

    async fn ask_streamed(&self, inside: &Inside) -> Response<Incoming> {
        let mut request = self.request.clone();
        request["stream"] = true.into();
        open(inside.address, post(self.path, request.to_string())).await.unwrap()
    }

    async fn ask(&self, inside: &Inside) -> client::Answer {
        client::send(inside.address, post(self.path, self.request.to_string())).await
    }
}

/// Reads until the stream has said `times` times that it is alive; everything so far.
async fn alive(stream: &mut Response<Incoming>, alive: &str, times: usize) -> String {
    within(20, async {
        let mut text = String::new();
        while text.matches(alive).count() < times {
            let frame = stream.body_mut().frame().await.expect("the stream goes on").unwrap();
            text.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
        }
        text
    })
    .await
}

#[tokio::test]
async fn a_call_waits_and_leaves_byte_for_byte_when_it_is_granted() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, &[POLICY, SOON].concat(), "");
    for speech in speeches("delete_all") {
        speech.streams(&mock);
        let mut stream = speech.ask_streamed(&inside).await;
        let hold = inside.held().await;
        let waiting = alive(&mut stream, speech.alive, 3).await;
        assert_eq!(waiting.replace(speech.alive, ""), speech.before, "nothing of the call left, all before it did");
        assert_eq!((&*hold.tool, hold.bytes), ("delete_all", 10));
        assert!(hold.id.starts_with("tch_") && hold.expires > hold.since);
        assert_eq!(inside.shared.holds.len(), 1);
        inside.rule(&hold, true);
        let rest = within(10, collect(stream)).await;
        assert!(rest.complete);
        assert_eq!(rest.text().replace(speech.alive, ""), speech.call, "{}", speech.path);
        let record = inside.record().await;
        assert_eq!((record.id.clone(), record.outcome, record.reason), (hold.request, Outcome::Served, None));
        assert!(record.micros.waited > 0 && record.output.is_none());
        assert!(inside.shared.holds.is_empty());
    }
}

#[tokio::test]
async fn a_call_that_is_denied_does_not_leave_and_the_stream_ends_as_a_blocked_one() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    for speech in speeches("delete_all") {
        speech.streams(&mock);
        let stream = speech.ask_streamed(&inside).await;
        let hold = inside.held().await;
        inside.rule(&hold, false);
        let got = within(10, collect(stream)).await;
        let text = got.text();
        assert!(got.complete && text.starts_with(&speech.before), "{text}");
        assert!(!text.contains("delete_all") && !text.contains("sum"), "{text}");
        let end = match speech.path {
            "/v1/messages" => "\"stop_reason\":\"refusal\"",
            "/v1/responses" => "\"reason\":\"content_filter\"",
            _ => "\"finish_reason\":\"content_filter\"",
        };
        assert!(text.contains(end), "{text}");
        let record = inside.record().await;
        assert_eq!((record.outcome, record.reason), (Outcome::AnswerBlocked, Some("tool_not_approved")));
        assert_eq!(record.decision, Decision::Block);
        assert_eq!(&*record.output.unwrap().findings[0].rule.0, "PC-POL-0002");
    }
}

#[tokio::test]
async fn a_ruling_on_other_arguments_another_tool_or_nobodys_ruling_is_a_no_in_the_end() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, &[POLICY, "[approvals]\ntool_wait = \"300ms\"\n"].concat(), "");
    let wrong: [Option<fn(&mut ToolRuling)>; 3] =
        [Some(|ruling| ruling.arguments = "0".repeat(64)), Some(|ruling| ruling.tool = "delete_one".into()), None];
    for (speech, change) in speeches("delete_all").into_iter().zip(wrong) {
        speech.streams(&mock);
        let stream = speech.ask_streamed(&inside).await;
        let hold = inside.held().await;
        if let Some(change) = change {
            let mut ruling = ToolRuling {
                id: Arc::clone(&hold.id),
                tool: Arc::clone(&hold.tool),
                arguments: hold.arguments.clone(),
                granted: true,
                by: "acc_1".into(),
                at: hold.since,
            };
            change(&mut ruling);
            inside.put(ruling);
        }
        let text = within(10, collect(stream)).await.text();
        assert!(!text.contains("sum"), "{text}");
        assert_eq!(inside.record().await.reason, Some("tool_not_approved"));
    }
}

#[tokio::test]
async fn the_hash_is_that_of_the_arguments_in_every_dialect() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    for speech in speeches("delete_all") {
        speech.streams(&mock);
        let stream = speech.ask_streamed(&inside).await;
        assert_eq!(inside.held().await.arguments, HASH, "{}", speech.path);
        drop(stream);
        inside.nothing_waits().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_waits_before_it_is_answered() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    for speech in speeches("delete_all") {
        mock.play(answers::json_body(200, &speech.whole));
        let (granted, hold) = tokio::join!(speech.ask(&inside), async {
            let hold = inside.held().await;
            inside.rule(&hold, true);
            hold
        });
        assert_eq!((granted.status, granted.text()), (200, speech.whole.to_string()), "byte for byte");
        assert_eq!(&*hold.tool, "delete_all");
        let record = inside.record().await;
        assert_eq!(record.response_bytes.inspected, granted.body.len() as u64);
        let (denied, ()) = tokio::join!(speech.ask(&inside), async { inside.rule(&inside.held().await, false) });
        assert_eq!(denied.status, 400);
        assert!(!denied.text().contains("sum") && denied.text().contains("approve"), "{}", denied.text());
        let record = inside.record().await;
        assert_eq!((record.outcome, record.reason), (Outcome::AnswerBlocked, Some("tool_not_approved")));
        assert_eq!((record.decision, record.response_bytes.inspected), (Decision::Block, 0));
    }
    // The numbers in the arguments count, though they are no text.
    let mut other = messages("delete_all");
    other.whole["content"][1]["input"]["sum"] = 6.into();
    mock.play(answers::json_body(200, &other.whole));
    let (_, six) = tokio::join!(other.ask(&inside), async {
        let hold = inside.held().await;
        inside.rule(&hold, false);
        hold.arguments
    });
    let five = portcullis::types::hex(&portcullis::config::digest(br#"{"sum":5}"#));
    assert_ne!(six, five);
}

#[tokio::test]
async fn a_blocked_answer_that_is_no_stream_may_keep_its_form() {
    let mock = Mock::start(vec![]).await;
    let finish = "[inspect]\nblock_mode = \"finish_reason\"\n[approvals]\ntool_wait = \"50ms\"\n";
    let inside = Inside::before(mock.address, &[POLICY, finish].concat(), "");
    let speech = chat("delete_all");
    mock.play(answers::json_body(200, &speech.whole));
    let got = speech.ask(&inside).await;
    assert_eq!(got.json()["choices"][0]["finish_reason"], "content_filter");
    assert!(!got.text().contains("sum"));
    assert_eq!(inside.record().await.reason, Some("tool_not_approved"));
}

#[tokio::test]
async fn other_tools_and_policies_that_only_monitor_wait_for_nobody() {
    let mock = Mock::start(vec![]).await;
    let monitor = [POLICY, "mode = \"monitor\"\n"].concat();
    for (sections, tool) in [(POLICY, "list"), (&*monitor, "delete_all")] {
        let inside = Inside::before(mock.address, sections, "");
        for speech in speeches(tool) {
            speech.streams(&mock);
            let got = within(10, collect(speech.ask_streamed(&inside).await)).await;
            assert_eq!(got.text(), [speech.before, speech.call].concat());
            mock.play(answers::json_body(200, &speech.whole));
            let request = post(speech.path, speech.request.to_string());
            assert_eq!(client::send(inside.address, request).await.text(), speech.whole.to_string());
        }
    }
}

#[tokio::test]
async fn the_upstreams_deadlines_do_not_run_while_a_call_waits() {
    let mock = Mock::start(vec![]).await;
    let sections = [POLICY, "[approvals]\nkeep_alive = \"100ms\"\n"].concat();
    let inside = Inside::before(mock.address, &sections, "total_timeout = \"1s\"\nidle_timeout = \"1s\"\n");
    let speech = chat("delete_all");
    // The end of the answer comes after the call was let go.
    let (call, end) = speech.call.split_at(speech.call.find("data: [DONE]").unwrap());
    let all = [&*speech.before, call].concat();
    mock.play(vec![
        answers::stream_head(),
        answers::chunk(all.as_bytes()),
        Act::Wait,
        answers::chunk(end.as_bytes()),
        answers::last_chunk(),
    ]);
    let mut stream = speech.ask_streamed(&inside).await;
    let hold = inside.held().await;
    alive(&mut stream, speech.alive, 14).await;
    inside.rule(&hold, true);
    let mut rest = String::new();
    while !rest.contains("tool_calls\"}") {
        let frame = within(10, stream.body_mut().frame()).await.unwrap().unwrap();
        rest.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    mock.go_on();
    rest.push_str(&within(10, collect(stream)).await.text());
    assert_eq!(rest.replace(speech.alive, ""), speech.call);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_wait_and_cancels_the_upstream() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    let speech = messages("delete_all");
    let all = [&*speech.before, &*speech.call].concat();
    mock.play(vec![answers::stream_head(), answers::chunk(all.as_bytes()), Act::Hang]);
    let stream = speech.ask_streamed(&inside).await;
    let hold = inside.held().await;
    assert_eq!(inside.shared.holds.len(), 1);
    drop(stream);
    inside.nothing_waits().await;
    let record = inside.record().await;
    assert_eq!((record.id, record.outcome), (hold.request, Outcome::Abandoned));
    within(10, async {
        while !mock.last().cancelled {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // An answer that is no stream likewise.
    mock.play(answers::json_body(200, &speech.whole));
    let asking = tokio::spawn(open(inside.address, post(speech.path, speech.request.to_string())));
    inside.held().await;
    asking.abort();
    // The connection's task is another one: the socket closes with the runtime's last handle to it.
    drop(asking.await);
    inside.nothing_waits().await;
}

#[tokio::test]
async fn an_order_cuts_a_stream_that_waits_and_an_answer_that_does() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    let order = || {
        let subject = Subject::Network { address: "127.0.0.1".parse().unwrap(), prefix: 32 };
        Arc::new(Order {
            id: "ord_1".into(),
            subject,
            measure: Measure::Block,
            reason: "".into(),
            made_by: "".into(),
            made: 0,
            expires: None,
        })
    };
    for speech in speeches("delete_all") {
        speech.streams(&mock);
        let stream = speech.ask_streamed(&inside).await;
        inside.held().await;
        assert_eq!(inside.shared.live.carry_out(&order()), 1);
        let text = within(10, collect(stream)).await.text();
        assert!(text.contains("blocked_by_order") && !text.contains("sum"), "{text}");
        let record = inside.record().await;
        assert_eq!((record.outcome, record.order.as_deref()), (Outcome::Cut, Some("ord_1")));
        mock.play(answers::json_body(200, &speech.whole));
        let (cut, ended) = tokio::join!(speech.ask(&inside), async {
            inside.held().await;
            inside.shared.live.carry_out(&order())
        });
        assert_eq!((cut.status, ended), (403, 1), "{}", cut.text());
        inside.record().await;
        inside.nothing_waits().await;
    }
}

#[tokio::test]
async fn the_end_of_a_drain_ends_the_wait() {
    let mock = Mock::start(vec![]).await;
    let sections = [POLICY, "[server]\nworkers = 1\ndrain_deadline = \"50ms\"\n"].concat();
    let inside = Inside::before(mock.address, &sections, "");
    let speech = chat("delete_all");
    speech.streams(&mock);
    let stream = speech.ask_streamed(&inside).await;
    inside.held().await;
    inside.shutdown.drain();
    let text = within(10, collect(stream)).await.text();
    assert!(text.contains("gateway_shutting_down") && !text.contains("sum"), "{text}");
    inside.nothing_waits().await;
}

#[tokio::test]
async fn several_calls_of_one_answer_all_wait() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, &[POLICY, SOON].concat(), "");
    let part = |index: u32, name: &str, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        chat_chunk(
            0,
            json!({"tool_calls": [{"index": index, "id": "c", "type": "function", "function": function}]}),
            None,
        )
    };
    let all = [
        part(0, "delete_one", "{\"a\": 1}"),
        part(1, "list", "{}"),
        part(2, "delete_two", "{\"b\": 2}"),
        chat_chunk(0, json!({}), Some("tool_calls")),
    ];
    let speech = Speech { before: String::new(), call: answers::events(&all), ..chat("") };
    speech.streams(&mock);
    for second in [true, false] {
        let mut stream = speech.ask_streamed(&inside).await;
        let (one, two) = (inside.held().await, inside.held().await);
        assert_eq!((&*one.tool, &*two.tool), ("delete_one", "delete_two"));
        inside.rule(&one, true);
        let waiting = alive(&mut stream, speech.alive, 3).await;
        assert_eq!(waiting.replace(speech.alive, ""), "", "one of two is granted");
        inside.rule(&two, second);
        let text = within(10, collect(stream)).await.text().replace(speech.alive, "");
        if second {
            assert_eq!(text, speech.call);
        } else {
            assert!(text.contains("content_filter") && !text.contains("delete_one"), "all or nothing: {text}");
        }
    }
}

#[tokio::test]
async fn calls_that_come_one_after_another_wait_one_after_another() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    let speech = messages("delete_all");
    let ended = speech.call.find("event: message_delta").unwrap();
    let (first, end) = speech.call.split_at(ended);
    let second = first.replace("\"index\":1", "\"index\":2").replace("delete_all", "delete_more");
    let speech = Speech { call: [first, &second, end].concat(), ..messages("delete_all") };
    speech.streams(&mock);
    let stream = speech.ask_streamed(&inside).await;
    for tool in ["delete_all", "delete_more"] {
        let hold = inside.held().await;
        assert_eq!((&*hold.tool, inside.shared.holds.len()), (tool, 1));
        inside.rule(&hold, true);
    }
    let text = within(10, collect(stream)).await.text();
    assert_eq!(text, [speech.before, speech.call].concat());
}

#[tokio::test]
async fn no_more_calls_wait_than_may_and_the_next_is_refused() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, &[POLICY, "[approvals]\ntool_waiting = 1\n"].concat(), "");
    let speech = chat("delete_all");
    speech.streams(&mock);
    let first = speech.ask_streamed(&inside).await;
    let hold = inside.held().await;
    let text = within(10, collect(speech.ask_streamed(&inside).await)).await.text();
    assert!(text.contains("content_filter") && !text.contains("sum"), "{text}");
    assert_eq!(inside.record().await.reason, Some("tool_waiting_full"));
    inside.rule(&hold, true);
    assert_eq!(within(10, collect(first)).await.text(), [&*speech.before, &*speech.call].concat());
}

#[tokio::test]
async fn a_call_that_only_the_end_of_a_response_tells_of_does_not_leave() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    let speech = responses("delete_all");
    let (_, last) = speech.call.split_at(speech.call.find("event: response.completed").unwrap());
    let bare = [&*speech.before, last].concat();
    mock.play(answers::stream(bare.as_bytes(), 100));
    let text = within(10, collect(speech.ask_streamed(&inside).await)).await.text();
    assert!(!text.contains("delete_all") && text.contains("response.incomplete"), "{text}");
    // Nor one whose events do not agree on what it is called with.
    let lying = speech.call.replace(r#"{\"sum\": 5}"#, r#"{\"sum\": 7}"#);
    assert_ne!(lying, speech.call);
    let lying = [&*speech.before, &lying].concat();
    mock.play(answers::stream(lying.as_bytes(), 100));
    let text = within(10, collect(speech.ask_streamed(&inside).await)).await.text();
    assert!(!text.contains("delete_all"), "{text}");
}

#[tokio::test]
async fn what_is_redacted_in_a_call_is_hashed_as_it_leaves() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, POLICY, "");
    let arguments = "{\"to\": \"private-abcdefgh\"}";
    let mut speech = chat("delete_all");
    speech.whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = arguments.into();
    let function = json!({"name": "delete_all", "arguments": arguments});
    let call = [
        chat_chunk(0, json!({"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}), None),
        chat_chunk(0, json!({}), Some("tool_calls")),
    ];
    speech.call = answers::events(&call);
    let left = portcullis::types::hex(&portcullis::config::digest(b"{\"to\": \"[GONE]\"}"));
    speech.streams(&mock);
    let stream = speech.ask_streamed(&inside).await;
    let hold = inside.held().await;
    assert_eq!(hold.arguments, left);
    inside.rule(&hold, true);
    let text = within(10, collect(stream)).await.text();
    assert!(text.contains("[GONE]") && !text.contains("private-"), "{text}");
    mock.play(answers::json_body(200, &speech.whole));
    let (got, hold) = tokio::join!(speech.ask(&inside), async {
        let hold = inside.held().await;
        inside.rule(&hold, true);
        hold
    });
    assert_eq!(hold.arguments, left);
    assert!(got.text().contains("[GONE]") && !got.text().contains("private-"), "{}", got.text());
}

#[tokio::test]
async fn rulings_stay_over_a_reload_that_comes_between() {
    let mock = Mock::start(vec![]).await;
    let inside = Inside::before(mock.address, &[POLICY, SOON].concat(), "");
    let speech = responses("delete_all");
    speech.streams(&mock);
    let mut stream = speech.ask_streamed(&inside).await;
    let hold = inside.held().await;
    let other = portcullis::types::soc::ToolHold { id: "tch_other".into(), ..hold.clone() };
    inside.rule(&other, true);
    inside.reload();
    assert_eq!(inside.handle.load().rulings.on(&other), Some(true));
    alive(&mut stream, speech.alive, 2).await;
    inside.rule(&hold, true);
    assert!(within(10, collect(stream)).await.text().ends_with(&speech.call));
}
