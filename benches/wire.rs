//! What reading costs: requests of three sizes, one streamed event, and splitting a stream.

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use portcullis::types::Dialect;
use portcullis::wire::json::{Limits, Tape};
use portcullis::wire::{Splitter, Stream, read_prompt};

fn main() {
    divan::main();
}

const PROSE: &str = "The committee met on Tuesday to go over the budget for the coming year, and after a long talk agreed to \
                     keep the library open on Sundays. Nobody asked about the roof.";

/// A chat request of about this many bytes, in turns of about 2 KB; `escapes` puts a line break after each sentence.
fn request(size: usize, escapes: bool) -> String {
    let sentence = if escapes { format!("{PROSE}\\n") } else { format!("{PROSE} ") };
    let mut messages = vec![r#"{"role":"system","content":"You are helpful."}"#.to_owned()];
    let mut left = size;
    while left > 0 {
        let turn = left.min(2_000);
        let text: String = sentence.chars().cycle().take(turn).collect();
        let text = text.strip_suffix('\\').unwrap_or(&text);
        messages.push(format!(r#"{{"role":"user","content":"{text}"}}"#));
        left -= turn;
    }
    format!(r#"{{"model":"gpt-5.1","stream":true,"messages":[{}]}}"#, messages.join(","))
}

#[divan::bench(args = [200, 8_000, 128_000])]
fn read_prompt_plain(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size, false);
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| read_prompt(Dialect::Chat, black_box(body.as_bytes()), &Limits::default()).map(|p| p.spans.len()));
}

#[divan::bench(args = [8_000, 128_000])]
fn read_prompt_with_line_breaks(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size, true);
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| read_prompt(Dialect::Chat, black_box(body.as_bytes()), &Limits::default()).map(|p| p.spans.len()));
}

#[divan::bench(args = [200, 8_000, 128_000])]
fn parse_only(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size, false);
    let mut tape = Tape::default();
    bencher
        .counter(BytesCount::of_str(&body))
        .bench_local(|| tape.parse(black_box(body.as_bytes()), &Limits::default()).map(str::len));
}

#[divan::bench(args = [200, 8_000, 128_000])]
fn serde_json_value(bencher: Bencher<'_, '_>, size: usize) {
    let body = request(size, false);
    bencher
        .counter(BytesCount::of_str(&body))
        .bench(|| serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes())));
}

const EVENT: &str = r#"{"id":"chatcmpl-abc123","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5.1","choices":[{"index":0,"delta":{"content":" library"},"logprobs":null,"finish_reason":null}]}"#;

#[divan::bench]
fn parse_one_event(bencher: Bencher<'_, '_>) {
    let mut tape = Tape::default();
    bencher
        .counter(BytesCount::of_str(EVENT))
        .bench_local(|| tape.parse(black_box(EVENT.as_bytes()), &Limits::default()).map(str::len));
}

#[divan::bench]
fn read_one_event(bencher: Bencher<'_, '_>) {
    let mut splitter = Splitter::new(1 << 20);
    splitter.push(Bytes::from(format!("data: {EVENT}\n\n")));
    let Some(Ok(event)) = splitter.next_event() else { return };
    let mut stream = Stream::new(Dialect::Chat, Limits::default());
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| stream.read(black_box(&event)).map(|c| c.pieces.len()));
}

#[divan::bench]
fn split_a_hundred_events(bencher: Bencher<'_, '_>) {
    let input = Bytes::from(format!("data: {EVENT}\n\n").repeat(100));
    bencher.counter(ItemsCount::new(100_usize)).bench(|| {
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(input.clone());
        std::iter::from_fn(|| splitter.next_event()).flatten().count()
    });
}
