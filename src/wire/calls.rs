//! The tool calls of a whole answer: what each is called and all that it is called with.

use super::dialect;
use super::json::{BadBody, Document, Limits, Tape};
use crate::types::Dialect;

/// One tool call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeCall {
    /// The tool's name; empty where the provider's own tools have none.
    pub name: String,
    /// Its arguments: of a string what it says, of anything else the JSON as written.
    pub arguments: String,
}

/// Every tool call in a whole answer, as it leaves.
///
/// # Errors
/// [`BadBody`] when the body is not one unambiguous JSON document.
pub fn whole_calls(dialect: Dialect, body: &[u8], limits: &Limits) -> Result<Vec<WholeCall>, BadBody> {
    let mut tape = Tape::default();
    let text = tape.parse(body, limits)?;
    Ok((dialect::answer(dialect).calls)(&tape.document(text)))
}

impl WholeCall {
    /// The call of an object that has its name, and its arguments under one of `keys`.
    pub(crate) fn of(doc: &Document<'_, '_>, object: u32, keys: &[&str]) -> Self {
        let name = doc.get_str(object, "name").unwrap_or_default().into_owned();
        let arguments = keys.iter().find_map(|key| doc.get(object, key));
        Self { name, arguments: arguments.map(|value| doc.said(value)).unwrap_or_default() }
    }
}

impl Document<'_, '_> {
    /// What a string says; of anything else the JSON as written.
    pub(crate) fn said(&self, value: u32) -> String {
        self.as_str(value).unwrap_or_else(|| self.raw(value).into()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(dialect: Dialect, body: &str) -> Vec<(String, String)> {
        let calls = whole_calls(dialect, body.as_bytes(), &Limits::default()).unwrap();
        calls.into_iter().map(|call| (call.name, call.arguments)).collect()
    }

    fn pair(name: &str, arguments: &str) -> (String, String) {
        (name.to_owned(), arguments.to_owned())
    }

    #[test]
    fn every_call_of_a_chat_answer_is_found_with_all_its_arguments() {
        let body = r#"{"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "pay", "arguments": "{\"sum\": 5}"}},
            {"id": "b", "type": "custom", "custom": {"name": "run", "input": "ls"}}]}},
            {"index": 1, "message": {"function_call": {"name": "old", "arguments": ""}}}]}"#;
        assert_eq!(calls(Dialect::Chat, body), [pair("pay", r#"{"sum": 5}"#), pair("run", "ls"), pair("old", "")]);
    }

    #[test]
    fn every_call_of_a_response_is_found_and_of_a_message_with_its_numbers() {
        let body = r#"{"output": [{"type": "message", "name": "no", "content": []},
            {"type": "function_call", "name": "pay", "arguments": "{}"},
            {"type": "shell_call", "action": {"commands": ["ls"]}}]}"#;
        assert_eq!(calls(Dialect::Responses, body), [pair("pay", "{}"), pair("", r#"{"commands": ["ls"]}"#)]);
        let body = r#"{"content": [{"type": "text", "text": "hi"},
            {"type": "tool_use", "id": "t", "name": "pay", "input": {"sum": 5000}}]}"#;
        assert_eq!(calls(Dialect::Messages, body), [pair("pay", r#"{"sum": 5000}"#)]);
        assert_eq!(calls(Dialect::Generic, body), []);
    }
}
