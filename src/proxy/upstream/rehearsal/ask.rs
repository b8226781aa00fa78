//! A request of any dialect, as the rehearsal model reads it.

use serde_json::Value;

use super::dice::Dice;

/// What is asked, whatever the dialect.
pub(super) struct Ask {
    /// System, developer and `instructions` text, joined by blank lines.
    pub(super) system: String,
    /// The last user message.
    pub(super) user: String,
    /// The result of a tool, when the conversation ends with one.
    pub(super) tool_result: Option<String>,
    /// The tools on offer.
    pub(super) tools: Vec<Tool>,
    /// Which of them to call.
    pub(super) choice: Choice,
    /// The form the answer must have.
    pub(super) format: Format,
    /// The most tokens an answer may have.
    pub(super) max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub(super) stop: Vec<String>,
    /// Answers wanted.
    pub(super) n: u32,
    /// Tokens of everything read.
    pub(super) input_tokens: u64,
    /// Where made-up values come from.
    pub(super) dice: Dice,
}

/// A tool on offer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tool {
    pub(super) name: String,
    /// The JSON schema of its arguments; `None` for a custom tool, which takes free text.
    pub(super) schema: Option<Value>,
}

/// Which tools to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// The model decides.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    Text,
    /// Any JSON object.
    Object,
    /// JSON that this schema allows.
    Schema(Value),
}

/// One turn of a conversation.
pub(super) struct Turn {
    pub(super) who: Who,
    pub(super) text: String,
}

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    System,
    User,
    Assistant,
    Tool,
}

impl Who {
    /// From the `role` of OpenAI's and Anthropic's messages; unknown ones count as the user's.
    pub(super) fn of(role: Option<&str>) -> Self {
        match role {
            Some("system" | "developer") => Self::System,
            Some("assistant") => Self::Assistant,
            Some("tool" | "function") => Self::Tool,
            _ => Self::User,
        }
    }
}

/// Tokens of a text, at four characters each, rounded up.
pub(super) fn tokens(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(4)).unwrap_or(u64::MAX)
}

impl Ask {
    /// A plain question made of these turns.
    pub(super) fn new(turns: Vec<Turn>, dice: Dice) -> Self {
        let of = |who: Who| turns.iter().filter(move |turn| turn.who == who).map(|turn| turn.text.as_str());
        let system = of(Who::System).collect::<Vec<_>>().join("\n\n");
        let user = of(Who::User).next_back().unwrap_or_default().to_owned();
        let tool_result = turns.last().filter(|turn| turn.who == Who::Tool).map(|turn| turn.text.clone());
        let input_tokens = turns.iter().map(|turn| tokens(&turn.text).saturating_add(3)).sum();
        Self {
            system,
            user,
            tool_result,
            tools: Vec::new(),
            choice: Choice::Auto,
            format: Format::Text,
            max_tokens: None,
            stop: Vec::new(),
            n: 1,
            input_tokens,
            dice,
        }
    }
}

/// The text of a `content`: a string, or parts of which the ones with text count, tool results included.
pub(super) fn text_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            parts.iter().map(part_text).filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn part_text(part: &Value) -> String {
    let text = part.as_str().or_else(|| ["text", "refusal"].iter().find_map(|key| part.get(key)?.as_str()));
    text.map_or_else(|| text_of(part.get("content")), str::to_owned)
}

/// A string or a list of strings.
pub(super) fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A tool, from the object that holds its `name` and, under one of `keys`, its schema.
pub(super) fn tool(holder: &Value, schema_key: &str) -> Option<Tool> {
    let name = holder.get("name")?.as_str()?.to_owned();
    let schema = holder.get(schema_key).cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    Some(Tool { name, schema: Some(schema) })
}

/// OpenAI's `tool_choice`: a word, or an object that names a tool at its top or under `function` or `custom`.
pub(super) fn openai_choice(value: Option<&Value>) -> Choice {
    match value {
        Some(Value::String(word)) if word == "none" => Choice::None,
        Some(Value::String(word)) if word == "required" => Choice::Required,
        Some(object @ Value::Object(_)) => {
            let name = ["/name", "/function/name", "/custom/name"].iter().find_map(|at| object.pointer(at)?.as_str());
            name.map_or(Choice::Auto, |name| Choice::Named(name.to_owned()))
        }
        _ => Choice::Auto,
    }
}

/// A response format: `holder` has `type`, and the schema at `schema` or `json_schema.schema`.
pub(super) fn format(holder: Option<&Value>) -> Format {
    let Some(holder) = holder else { return Format::Text };
    match holder.get("type").and_then(Value::as_str) {
        Some("json_object") => Format::Object,
        Some("json_schema") => {
            let schema = holder.pointer("/json_schema/schema").or_else(|| holder.get("schema"));
            schema.map_or(Format::Object, |schema| Format::Schema(schema.clone()))
        }
        _ => Format::Text,
    }
}
