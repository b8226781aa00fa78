//! What a request asks for beside its texts: how long the answer may be, which tools, which servers, what is counted.

use std::borrow::Cow;

use super::edit::Splice;
use super::json::{Document, Kind};
use super::prompt::Prompt;
use crate::types::Dialect;

/// A tool or server that a request offers to the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer<'a> {
    /// A tool by its name; one that the provider brings along by its type (`web_search`).
    Tool(Cow<'a, str>),
    /// The host of an MCP server, in lower case; of a connector of the provider's, its id.
    Server(String),
}

impl<'a> Prompt<'a> {
    /// The most tokens that all answers together may have, where the request says so.
    pub fn max_output(&self) -> Option<u64> {
        let doc = self.document();
        // Of several the largest: which one counts is the provider's to say.
        let most = ["max_completion_tokens", "max_output_tokens", "max_tokens"];
        let tokens = most.into_iter().filter_map(|key| doc.get_u64(0, key)).max()?;
        Some(tokens.saturating_mul(self.choices()))
    }

    /// How many answers are made: for each of the prompts in one request, those asked for, or those to choose from.
    pub fn choices(&self) -> u64 {
        let doc = self.document();
        let each = ["n", "best_of"].into_iter().filter_map(|key| doc.get_u64(0, key)).max().unwrap_or(1).max(1);
        let texts = |list: u32| doc.elements(list).filter(|one| doc.node(*one).kind != Kind::Number).count() as u64;
        let prompts = doc.get(0, "prompt").filter(|_| self.dialect == Dialect::Completions).map_or(1, texts);
        each.saturating_mul(prompts.max(1))
    }

    /// The session as the client names it in `metadata.session_id`.
    pub fn session(&self) -> Option<Cow<'a, str>> {
        let doc = self.document();
        doc.get(0, "metadata").and_then(|metadata| doc.get_str(metadata, "session_id"))
    }

    /// Whether a stream of this dialect only tells what it used when asked to, and this request does not ask.
    pub fn hides_usage(&self) -> bool {
        self.stream && matches!(self.dialect, Dialect::Chat | Dialect::Completions) && {
            let doc = self.document();
            let asked = doc.get(0, "stream_options").and_then(|options| doc.get(options, "include_usage"));
            !asked.is_some_and(|asked| doc.node(asked).kind == Kind::True)
        }
    }

    /// The tools and servers on offer.
    pub fn offers(&self) -> Vec<Offer<'a>> {
        let doc = self.document();
        let mut offers = Vec::new();
        for list in ["tools", "functions"] {
            let Some(list) = doc.get(0, list) else { continue };
            for tool in doc.elements(list) {
                offer(&doc, tool, &mut offers);
            }
        }
        if doc.get(0, "web_search_options").is_some() {
            offers.push(Offer::Tool(Cow::Borrowed("web_search")));
        }
        for server in doc.get(0, "mcp_servers").into_iter().flat_map(|list| doc.elements(list)) {
            let url = doc.get_str(server, "url").unwrap_or_default();
            offers.push(Offer::Server(host(&url)));
        }
        offers
    }
}

/// A text of a request with the names it stands under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its key; of an element, the array's.
    pub key: Cow<'a, str>,
    /// The key of the object that key is in, or of the array that object is in.
    pub parent: Option<Cow<'a, str>>,
    /// The text.
    pub value: Cow<'a, str>,
}

impl<'a> Prompt<'a> {
    /// The short texts under keys that end in one of `ends` or are one of them, in document order.
    pub fn fields(&self, ends: &[&str]) -> Vec<Field<'a>> {
        const LONGEST: u32 = 512;
        let doc = self.document();
        let mut found = Vec::new();
        // The keys around the node at hand, each with the index at which its value ends.
        let mut around: Vec<(u32, u32)> = Vec::new();
        for index in 0..doc.len() {
            while around.last().is_some_and(|(_, end)| index >= *end) {
                around.pop();
            }
            let node = doc.node(index);
            match node.kind {
                Kind::Key => around.push((index, doc.node(index.saturating_add(1)).next)),
                Kind::String if node.end.saturating_sub(node.start) <= LONGEST => {
                    let Some(((key, _), above)) = around.split_last() else { continue };
                    let key = doc.string(*key);
                    if ends.iter().any(|end| key.ends_with(end)) {
                        let parent = above.last().map(|(parent, _)| doc.string(*parent));
                        found.push(Field { key, parent, value: doc.string(index) });
                    }
                }
                Kind::Object | Kind::Array | Kind::String | Kind::Number | Kind::True | Kind::False | Kind::Null => {}
            }
        }
        found
    }
}

fn offer<'a>(doc: &Document<'a, '_>, tool: u32, offers: &mut Vec<Offer<'a>>) {
    let kind = doc.get_str(tool, "type").unwrap_or_default();
    if kind == "mcp" {
        let server = doc.get_str(tool, "server_url").map(|url| host(&url));
        let connector = doc.get_str(tool, "connector_id").map(|id| id.to_lowercase());
        if server.is_none() && connector.is_none() {
            offers.push(Offer::Server(String::new()));
        }
        offers.extend(server.into_iter().chain(connector).map(Offer::Server));
        return;
    }
    // Every name it could go by: which one counts is the provider's to say.
    let inside = ["function", "custom"].into_iter().filter_map(|inner| doc.get_str(doc.get(tool, inner)?, "name"));
    let names: Vec<Cow<'a, str>> = doc.get_str(tool, "name").into_iter().chain(inside).collect();
    let is_own = names.is_empty() || !matches!(&*kind, "" | "function" | "custom");
    offers.extend(names.into_iter().map(Offer::Tool));
    if is_own {
        offers.push(Offer::Tool(kind));
    }
}

/// The host of a URL, in lower case, without port and trailing dot; of anything else, nothing.
fn host(url: &str) -> String {
    // What two readers could take for two hosts is none.
    let Some((_, rest)) = url.split_once("://").filter(|_| url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\'))
    else {
        return String::new();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains(['@', '%']) {
        return String::new();
    }
    let name = match authority.strip_prefix('[') {
        Some(six) => six.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    name.trim_end_matches('.').to_lowercase()
}

/// Has a stream say what it used.
pub(super) fn ask_usage(doc: &Document<'_, '_>) -> Splice {
    const WISH: &[u8] = br#""include_usage":true"#;
    let inside = |object: u32, mut bytes: Vec<u8>| {
        if doc.members(object).next().is_some() {
            bytes.push(b',');
        }
        let at = doc.node(object).start.saturating_add(1);
        Splice { start: at, end: at, bytes }
    };
    let Some(options) = doc.get(0, "stream_options") else {
        return inside(0, [b"\"stream_options\":{", WISH, b"}"].concat());
    };
    let node = doc.node(options);
    if node.kind != Kind::Object {
        return Splice { start: node.start, end: node.end, bytes: [b"{", WISH, b"}"].concat() };
    }
    match doc.get(options, "include_usage") {
        Some(value) => {
            // Of a string only what stands between its quotes is replaced: it stays one, and the provider says so.
            let node = doc.node(value);
            Splice { start: node.start, end: node.end, bytes: b"true".to_vec() }
        }
        None => inside(options, WISH.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Limits, read_prompt};

    fn prompt(dialect: Dialect, body: &str) -> Prompt<'_> {
        read_prompt(dialect, body.as_bytes(), &Limits::default()).unwrap()
    }

    fn chat(rest: &str) -> String {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{rest}}}"#)
    }

    #[test]
    fn how_long_answers_may_be_counts_every_answer_asked_for() {
        assert_eq!(prompt(Dialect::Chat, &chat("")).max_output(), None);
        assert_eq!(prompt(Dialect::Chat, &chat(r#","max_tokens":10"#)).max_output(), Some(10));
        assert_eq!(prompt(Dialect::Chat, &chat(r#","max_completion_tokens":7,"n":3"#)).max_output(), Some(21));
        assert_eq!(prompt(Dialect::Chat, &chat(r#","max_completion_tokens":1,"max_tokens":9"#)).max_output(), Some(9));
        let many = r#"{"model":"m","prompt":["a","b","c"],"best_of":4,"n":2,"max_tokens":5}"#;
        assert_eq!(prompt(Dialect::Completions, many).max_output(), Some(60));
    }

    #[test]
    fn tools_and_servers_are_named_in_every_way_a_request_can_name_them() {
        let body = chat(
            r#","tools":[{"type":"function","function":{"name":"a"}},{"type":"custom","custom":{"name":"b"}},
            {"type":"web_search"},{"name":"c","input_schema":{}},{"type":"mcp","server_url":"https://MCP.Example.:8443/x","connector_id":"C"},
            {"type":"mcp","server_url":"https://u@mcp.example/"},{"type":"mcp","server_url":"https://a.example\\@b.example/"},
            {"type":"code_interpreter","name":"a"},{"type":"function","name":"x","function":{"name":"y"}},
            {"type":"mcp","connector_id":"connector_Gmail"},{"type":"mcp"}],"functions":[{"name":"d"}],
            "mcp_servers":[{"type":"url","url":"https://[::1]/sse"}]"#,
        );
        let names: Vec<String> = prompt(Dialect::Chat, &body)
            .offers()
            .into_iter()
            .map(|offer| match offer {
                Offer::Tool(name) => name.into_owned(),
                Offer::Server(host) => format!("@{host}"),
            })
            .collect();
        assert_eq!(
            names,
            [
                "a",
                "b",
                "web_search",
                "c",
                "@mcp.example",
                "@c",
                "@",
                "@",
                "a",
                "code_interpreter",
                "x",
                "y",
                "@connector_gmail",
                "@",
                "d",
                "@::1"
            ]
        );
    }

    #[test]
    fn texts_are_found_with_the_names_they_stand_under() {
        let body = r#"{"model":"m","input":[{"type":"input_file","file_id":"f1"},{"content":[{"file_ids":["f2","f3"]}]}],
            "conversation":{"id":"c1"},"previous_response_id":"r1","tools":[{"vector_store_ids":["v"],"x":1}],"id":{"z":"q"}}"#;
        let prompt = prompt(Dialect::Responses, body);
        let found: Vec<String> = prompt
            .fields(&["id", "ids"])
            .iter()
            .map(|field| format!("{}/{}={}", field.parent.as_deref().unwrap_or(""), field.key, field.value))
            .collect();
        let expected = [
            "input/file_id=f1",
            "content/file_ids=f2",
            "content/file_ids=f3",
            "conversation/id=c1",
            "/previous_response_id=r1",
            "tools/vector_store_ids=v",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stream_is_asked_for_what_it_used_whatever_its_options_say() {
        for (rest, expected) in [
            (r#","stream":true"#, r#"{"stream_options":{"include_usage":true},"model""#),
            (r#","stream":true,"stream_options":{}"#, r#""stream_options":{"include_usage":true}"#),
            (r#","stream":true,"stream_options":null"#, r#""stream_options":{"include_usage":true}"#),
            (r#","stream":true,"stream_options":{"a":1}"#, r#""stream_options":{"include_usage":true,"a":1}"#),
            (
                r#","stream":true,"stream_options":{"include_usage":false}"#,
                r#""stream_options":{"include_usage":true}"#,
            ),
        ] {
            let body = chat(rest);
            let prompt = prompt(Dialect::Chat, &body);
            assert!(prompt.hides_usage());
            let asked = String::from_utf8(prompt.rebuild_asking(&[], None)).unwrap();
            assert!(asked.contains(expected), "{asked}");
            assert!(!self::prompt(Dialect::Chat, &asked).hides_usage());
        }
        assert!(!prompt(Dialect::Chat, &chat("")).hides_usage());
        assert!(
            !prompt(Dialect::Chat, &chat(r#","stream":true,"stream_options":{"include_usage":true}"#)).hides_usage()
        );
    }
}
