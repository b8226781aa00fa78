//! Canonical JSON: one value has one spelling, whoever writes it.

use serde_json::{Map, Number, Value};

/// Integers up to here are the same in every JSON implementation (2^53 - 1); larger ones are written as texts.
const EXACT: u64 = (1 << 53) - 1;
/// Values nested deeper are replaced by a text: nothing that is audited needs more.
const DEEPEST: usize = 16;

/// Appends `value` as RFC 8785 spells it: keys sorted by UTF-16 code units, no white space, the fewest escapes.
///
/// Numbers that are not integers every implementation agrees on (fractions, exponents, more than 2^53 - 1) become
/// texts of their digits, as RFC 8785 recommends: so there is nothing left that two readers could round differently.
pub fn write(out: &mut String, value: &Value) {
    nested(out, value, 0);
}

/// `write` into a text of its own.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// Appends an object, as `write` does.
pub fn object(out: &mut String, map: &Map<String, Value>) {
    members(out, map, 0);
}

fn nested(out: &mut String, value: &Value, depth: usize) {
    if depth > DEEPEST {
        text(out, "nested too deeply");
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => digits(out, number),
        Value::String(string) => text(out, string),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                nested(out, item, depth + 1);
            }
            out.push(']');
        }
        Value::Object(map) => members(out, map, depth),
    }
}

fn members(out: &mut String, map: &Map<String, Value>, depth: usize) {
    let mut sorted: Vec<(&String, &Value)> = map.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push('{');
    for (at, (key, value)) in sorted.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        text(out, key);
        out.push(':');
        nested(out, value, depth + 1);
    }
    out.push('}');
}

fn digits(out: &mut String, number: &Number) {
    let exact = match (number.as_u64(), number.as_i64()) {
        (Some(unsigned), _) => unsigned <= EXACT,
        (None, Some(signed)) => signed.unsigned_abs() <= EXACT,
        (None, None) => false,
    };
    if exact {
        out.push_str(&number.to_string());
    } else {
        text(out, &number.to_string());
    }
}

/// Appends an integer, as `write` does.
pub fn integer(out: &mut String, number: i64) {
    digits(out, &Number::from(number));
}

/// Appends a text in quotation marks, with the escapes that JSON demands and no others.
pub fn text(out: &mut String, string: &str) {
    out.push('"');
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_sorted_by_utf16_units_as_in_rfc_8785() {
        let value: Value =
            serde_json::from_str(r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#)
                .unwrap();
        assert_eq!(
            to_string(&value),
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}"
        );
    }

    #[test]
    fn numbers_that_readers_could_round_differently_are_texts() {
        let value = json!({"a": 9_007_199_254_740_991_u64, "b": 9_007_199_254_740_992_u64, "c": -9_007_199_254_740_992_i64,
            "d": u64::MAX, "e": 0.1, "f": 1e100, "g": -1, "h": 1.0});
        assert_eq!(
            to_string(&value),
            r#"{"a":9007199254740991,"b":"9007199254740992","c":"-9007199254740992","d":"18446744073709551615","e":"0.1","f":"1e+100","g":-1,"h":"1.0"}"#
        );
    }

    #[test]
    fn only_what_json_demands_is_escaped() {
        assert_eq!(
            to_string(&json!("\u{0}\u{1f}\"\\/\u{7f}\u{2028}é\u{10ffff}")),
            "\"\\u0000\\u001f\\\"\\\\/\u{7f}\u{2028}é\u{10ffff}\""
        );
    }

    #[test]
    fn depth_is_bounded() {
        let mut value = json!(1);
        for _ in 0..100 {
            value = json!([value]);
        }
        assert!(to_string(&value).contains("nested too deeply"));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((".*", inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn shuffled(value: &Value) -> Value {
        match value {
            Value::Array(items) => Value::Array(items.iter().map(shuffled).collect()),
            Value::Object(map) => Value::Object(map.iter().rev().map(|(k, v)| (k.clone(), shuffled(v))).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    proptest! {
        #[test]
        fn reading_and_writing_again_changes_nothing(value in values()) {
            let once = to_string(&value);
            let again: Value = serde_json::from_str(&once).unwrap();
            prop_assert_eq!(to_string(&again), once);
        }

        #[test]
        fn the_order_of_keys_does_not_matter(value in values()) {
            prop_assert_eq!(to_string(&shuffled(&value)), to_string(&value));
        }

        #[test]
        fn texts_survive(string in "\\PC*|.*") {
            let mut out = String::new();
            text(&mut out, &string);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), string);
        }
    }
}
