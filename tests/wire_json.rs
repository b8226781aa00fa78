//! The JSON reader against serde_json, and against what it must refuse.
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use portcullis::wire::json::{BadBodyKind, Document, Kind, Limits, Tape};
use proptest::prelude::*;
use serde_json::Value;

const WIDE: Limits = Limits { max_depth: 200, max_nodes: 1_000_000 };

fn refusal(bytes: &[u8]) -> Option<BadBodyKind> {
    Tape::default().parse(bytes, &Limits::default()).err().map(|bad| bad.kind)
}

fn value_of(doc: &Document<'_, '_>, node: u32) -> Value {
    match doc.node(node).kind {
        Kind::Object => {
            Value::Object(doc.members(node).map(|(k, v)| (doc.string(k).into_owned(), value_of(doc, v))).collect())
        }
        Kind::Array => Value::Array(doc.elements(node).map(|element| value_of(doc, element)).collect()),
        Kind::String | Kind::Key => Value::String(doc.string(node).into_owned()),
        Kind::Number => serde_json::from_str(doc.raw(node)).unwrap(),
        Kind::True => Value::Bool(true),
        Kind::False => Value::Bool(false),
        Kind::Null => Value::Null,
    }
}

/// Accepts and refuses as serde_json does, but for the points where ours is stricter by design.
fn agree(bytes: &[u8]) {
    let mut tape = Tape::default();
    let ours = tape.parse(bytes, &WIDE).map(|text| value_of(&tape.document(text), 0));
    let theirs: Result<Value, _> = serde_json::from_slice(bytes);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(e)) => assert!(e.to_string().contains("recursion limit"), "only ours accepts: {e}"),
        (Err(bad), Ok(_)) => assert!(
            matches!(bad.kind, BadBodyKind::DuplicateKey | BadBodyKind::TooLong | BadBodyKind::TooDeep),
            "only serde_json accepts: {bad}"
        ),
    }
}

#[test]
fn refused_with_the_reason() {
    let deep = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
    let many = format!("[{}1]", "1,".repeat(200_000));
    let long_key = format!("{{\"{}\":1}}", "k".repeat(1 << 20));
    let long_number = "1".repeat(5_000);
    let cases: &[(&[u8], BadBodyKind)] = &[
        (b"", BadBodyKind::InvalidJson),
        (b" ", BadBodyKind::InvalidJson),
        (b"{} {}", BadBodyKind::InvalidJson),
        (b"{}x", BadBodyKind::InvalidJson),
        (b"\xef\xbb\xbf{}", BadBodyKind::InvalidJson),
        (b"{\"a\":1,}", BadBodyKind::InvalidJson),
        (b"[1,]", BadBodyKind::InvalidJson),
        (b"[,1]", BadBodyKind::InvalidJson),
        (b"[1 2]", BadBodyKind::InvalidJson),
        (b"{\"a\" 1}", BadBodyKind::InvalidJson),
        (b"{a:1}", BadBodyKind::InvalidJson),
        (b"{'a':1}", BadBodyKind::InvalidJson),
        (b"[}", BadBodyKind::InvalidJson),
        (b"{]", BadBodyKind::InvalidJson),
        (b"[1}", BadBodyKind::InvalidJson),
        (b"]", BadBodyKind::InvalidJson),
        (b"NaN", BadBodyKind::InvalidJson),
        (b"[Infinity]", BadBodyKind::InvalidJson),
        (b"[01]", BadBodyKind::InvalidJson),
        (b"[-]", BadBodyKind::InvalidJson),
        (b"[+1]", BadBodyKind::InvalidJson),
        (b"[.5]", BadBodyKind::InvalidJson),
        (b"[5.]", BadBodyKind::InvalidJson),
        (b"[1e]", BadBodyKind::InvalidJson),
        (b"[0x1]", BadBodyKind::InvalidJson),
        (b"[tru]", BadBodyKind::InvalidJson),
        (b"[1]//c", BadBodyKind::InvalidJson),
        (b"[\"\\x41\"]", BadBodyKind::InvalidJson),
        (b"[\"\\u12g4\"]", BadBodyKind::InvalidJson),
        (b"[\"a\nb\"]", BadBodyKind::InvalidJson),
        (b"[\"a\0b\"]", BadBodyKind::InvalidJson),
        (b"[\"a", BadBodyKind::InvalidJson),
        (b"[\"\xff\"]", BadBodyKind::InvalidUtf8),
        (b"[\"\xc0\xaf\"]", BadBodyKind::InvalidUtf8),
        (b"[\"\xed\xa0\x80\"]", BadBodyKind::InvalidUtf8),
        (b"[\"\\ud800\"]", BadBodyKind::LoneSurrogate),
        (b"[\"\\ud800\\u0041\"]", BadBodyKind::LoneSurrogate),
        (b"[\"\\udc00\\ud800\"]", BadBodyKind::LoneSurrogate),
        (b"{\"a\":1,\"a\":2}", BadBodyKind::DuplicateKey),
        (b"{\"a\":1,\"\\u0061\":2}", BadBodyKind::DuplicateKey),
        (b"{\"a\":1,\"a\\u0000b\":2}", BadBodyKind::DuplicateKey),
        (b"[{\"x\":{\"b\":1,\"c\":2,\"b\":3}}]", BadBodyKind::DuplicateKey),
        (&deep(65), BadBodyKind::TooDeep),
        (&deep(200_000), BadBodyKind::TooDeep),
        (many.as_bytes(), BadBodyKind::TooManyNodes),
        (long_key.as_bytes(), BadBodyKind::TooLong),
        (long_number.as_bytes(), BadBodyKind::TooLong),
        (b"1e400", BadBodyKind::TooLong),
    ];
    for (bytes, kind) in cases {
        let shown = String::from_utf8_lossy(bytes.get(..60).unwrap_or(bytes));
        assert_eq!(refusal(bytes), Some(*kind), "{shown}");
    }
}

#[test]
fn accepted() {
    let wide = format!("{{{}}}", (0..5_000).map(|i| format!("\"key{i}\":{i}")).collect::<Vec<_>>().join(","));
    for text in [
        "{}",
        "[]",
        " \t\r\n[ ] \n",
        "1",
        "-0",
        "0.5e-3",
        "1E+2",
        "\"\"",
        "null",
        "[true,false,null]",
        "1e-400",
        r#"{"foo\u0000bar":42}"#,
        r#"["\ud83d\ude00","\u0000"]"#,
        "[\"\u{7f}\u{fffe}\"]",
        r#"{"a":1,"A":2}"#,
        &wide,
    ] {
        assert_eq!(refusal(text.as_bytes()), None, "{text}");
        agree(text.as_bytes());
    }
}

#[test]
fn a_path_names_the_place_of_a_byte() {
    let text = r#"{"messages":[{"role":"user"},{"content":[{"text":"here"}]}],"odd":1}"#;
    let mut tape = Tape::default();
    let parsed = tape.parse(text.as_bytes(), &WIDE).unwrap();
    let doc = tape.document(parsed);
    let offset = |needle: &str| u32::try_from(text.find(needle).unwrap()).unwrap();
    assert_eq!(doc.path_at(offset("here")), "messages[1].content[0].text");
    assert_eq!(doc.path_at(offset("odd")), "odd (key)");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::String),
        "[ -~é\u{1f600}]{0,80}".prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..16).prop_map(Value::Array),
            prop::collection::vec((any::<String>(), inner), 0..16).prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn values_read_as_serde_json_wrote_them(value in json()) {
        agree(&serde_json::to_vec(&value).unwrap());
        agree(&serde_json::to_vec_pretty(&value).unwrap());
    }

    #[test]
    fn mutilated_documents_are_judged_as_serde_json_judges_them(
        value in json(), at in any::<prop::sample::Index>(), byte in any::<u8>(), how in 0..3,
    ) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        match how {
            0 => *bytes.get_mut(at).unwrap() = byte,
            1 => bytes.insert(at, byte),
            _ => bytes.truncate(at),
        }
        agree(&bytes);
    }

    #[test]
    fn odd_bytes_are_judged_as_serde_json_judges_them(
        text in r#"[\[\]{}",:\\0-9eE.+\-tfnulrasd u/\n]{0,40}"#,
    ) {
        agree(text.as_bytes());
    }
}
