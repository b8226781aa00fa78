//! Golden fixtures: `tests/fixtures/wire/<dialect>/{request,answer,stream}-*.{json,sse}`, each with what is read in it in
//! a `.txt` beside it. A new fixture needs no code: run with `UPDATE_FIXTURES=1` and read what was written.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failing test panics")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use portcullis::types::{Channel, Dialect, Place, SpanIndex, Uninspected};
use portcullis::wire::{Limits, Piece, Splitter, SseEvent, Stream, read_answer, read_prompt};

fn fixtures() -> Vec<(Dialect, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut found = Vec::new();
    for dialect in Dialect::ALL {
        let folder = std::fs::read_dir(root.join(dialect.name())).unwrap();
        let files =
            folder.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e != "txt"));
        found.extend(files.map(|path| (dialect, path)));
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    assert!(found.len() >= 15, "fixtures are missing");
    found
}

#[test]
fn every_fixture_reads_as_written_down() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let mut wrong = Vec::new();
    for (dialect, path) in fixtures() {
        let body = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let shown = match name.split('-').next() {
            Some("request") => request(dialect, &body),
            Some("answer") => answer(dialect, &body),
            Some("stream") => stream(dialect, &body),
            _ => panic!("{name}: fixtures begin with request-, answer- or stream-"),
        };
        let expected = path.with_extension("txt");
        if update {
            std::fs::write(&expected, &shown).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fixture_is_rebuilt_byte_for_byte_without_edits() {
    let limits = Limits::default();
    for (dialect, path) in fixtures() {
        let body = std::fs::read(&path).unwrap();
        match path.file_name().unwrap().to_str().unwrap().split('-').next() {
            Some("request") => assert_eq!(read_prompt(dialect, &body, &limits).unwrap().rebuild(&[], None), body),
            Some("answer") => assert_eq!(read_answer(dialect, &body, &limits).unwrap().rebuild(&[]), body),
            _ => {
                let mut state = Stream::new(dialect, limits);
                let mut out = Vec::new();
                for event in events(&body) {
                    let chunk = state.read(&event).unwrap();
                    if chunk.tool.part {
                        state.hold(&event, &chunk, &[]);
                    }
                    if !chunk.tool.done.is_empty() {
                        out.extend_from_slice(&state.release(&[]));
                    }
                    if !chunk.tool.part {
                        out.extend_from_slice(&state.rewrite(&event, &chunk, &[]));
                    }
                }
                let sorted = |bytes: &[u8]| {
                    let mut raws: Vec<Vec<u8>> = events(bytes).iter().map(|event| event.raw.to_vec()).collect();
                    raws.sort();
                    raws
                };
                assert_eq!(sorted(&out), sorted(&body), "{}", path.display());
            }
        }
    }
}

fn request(dialect: Dialect, body: &[u8]) -> String {
    let prompt = read_prompt(dialect, body, &Limits::default()).unwrap();
    let mut out = format!("model {:?}, stream {}, user {:?}\n", prompt.model, prompt.stream, prompt.user);
    for (index, span) in prompt.spans.iter().enumerate() {
        let path = prompt.path_of(SpanIndex(u32::try_from(index).unwrap()));
        writeln!(out, "{:10} {path}: {:?}", span.role.name(), span.text).unwrap();
    }
    opaque(&prompt.opaque, body, &mut out);
    out
}

fn answer(dialect: Dialect, body: &[u8]) -> String {
    let answer = read_answer(dialect, body, &Limits::default()).unwrap();
    let mut out = format!("model {:?}, finish {:?}, usage {:?}\n", answer.model, answer.finish, answer.usage);
    pieces(&answer.pieces, &mut out);
    opaque(&answer.opaque, body, &mut out);
    out
}

fn stream(dialect: Dialect, body: &[u8]) -> String {
    let mut state = Stream::new(dialect, Limits::default());
    let mut out = String::new();
    for event in events(body) {
        let chunk = state.read(&event).unwrap();
        let first = event.data.as_ref().or(event.other.first()).map(|text| String::from_utf8_lossy(text).into_owned());
        writeln!(out, "> {}", first.unwrap_or_default().chars().take(60).collect::<String>()).unwrap();
        pieces(&chunk.pieces, &mut out);
        opaque(&chunk.opaque, event.data.as_deref().unwrap_or_default(), &mut out);
        for channel in &chunk.closes {
            writeln!(out, "  closes {}", shown(*channel)).unwrap();
        }
        if chunk.tool.part {
            out.push_str("  held\n");
        }
        for channel in &chunk.tool.done {
            writeln!(out, "  complete {}", shown(*channel)).unwrap();
            pieces(&state.call(*channel).unwrap().pieces, &mut out);
        }
        if !chunk.tool.done.is_empty() {
            state.release(&[]);
        }
        if chunk.usage.is_some() || chunk.finish.is_some() || chunk.terminal {
            writeln!(out, "  usage {:?}, finish {:?}, terminal {}", chunk.usage, chunk.finish, chunk.terminal).unwrap();
        }
    }
    out
}

fn events(body: &[u8]) -> Vec<SseEvent> {
    let mut splitter = Splitter::new(1 << 20);
    splitter.push(Bytes::copy_from_slice(body));
    let mut events = Vec::new();
    while let Some(event) = splitter.next_event() {
        events.push(event.unwrap());
    }
    events.extend(splitter.finish());
    events
}

fn shown(channel: Channel) -> String {
    format!("{} {}/{}", channel.kind.name(), channel.choice, channel.part)
}

fn pieces(pieces: &[Piece<'_>], out: &mut String) {
    for piece in pieces {
        writeln!(out, "  {:?} {}: {:?}", piece.kind, shown(piece.channel), piece.text).unwrap();
    }
}

fn opaque(opaque: &[(Place, Uninspected)], body: &[u8], out: &mut String) {
    for (place, why) in opaque {
        let text = String::from_utf8_lossy(&body[place.start as usize..place.end as usize]).into_owned();
        writeln!(out, "  {}: {}", why.name(), text.chars().take(40).collect::<String>()).unwrap();
    }
}
