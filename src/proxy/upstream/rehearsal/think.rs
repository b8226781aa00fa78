//! What the rehearsal model says: a deterministic answer to a neutral question.

use serde_json::{Value, json};

use super::ask::{Ask, Choice, Format, Tool, tokens};
use super::{Failure, mischief, schema};

/// What it says to introduce itself.
const HONEST: &str = "This is the rehearsal model built into Portcullis: it runs offline, knows nothing, and answers so \
                      that you can try the gateway.";
/// The most characters of a message it quotes back.
const QUOTED: usize = 4000;

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    /// The text is a refusal.
    pub(super) refused: bool,
    pub(super) calls: Vec<Call>,
    pub(super) finish: Finish,
}

/// One tool call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    /// An object, or free text for a custom tool.
    pub(super) arguments: Value,
    /// A custom tool's call.
    pub(super) custom: bool,
}

impl Call {
    /// Arguments as the string OpenAI's dialects carry.
    pub(super) fn arguments_text(&self) -> String {
        if self.custom { self.arguments.as_str().unwrap_or_default().to_owned() } else { self.arguments.to_string() }
    }
}

/// Why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    /// This stop text was met.
    StopText(String),
    Length,
    ToolCalls,
}

impl Said {
    /// Tokens of text and calls together.
    pub(super) fn tokens(&self) -> u64 {
        let calls: u64 =
            self.calls.iter().map(|call| tokens(&call.name).saturating_add(tokens(&call.arguments_text()))).sum();
        tokens(&self.text).saturating_add(calls).max(1)
    }

    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), refused: false, calls: Vec::new(), finish: Finish::Stop }
    }

    fn call(call: Call) -> Self {
        Self { text: String::new(), refused: false, calls: vec![call], finish: Finish::ToolCalls }
    }
}

/// Every answer asked for, or the error that was.
pub(super) fn think(ask: &mut Ask) -> Result<Vec<Said>, Failure> {
    (0..ask.n).map(|index| one(ask, index)).collect()
}

fn one(ask: &mut Ask, index: u32) -> Result<Said, Failure> {
    let asked = ask.tool_result.as_deref().and_then(mischief::request);
    let asked = asked.or_else(|| if ask.tool_result.is_none() { mischief::request(&ask.user) } else { None });
    let said = match asked {
        Some(request) => obey(ask, request)?,
        None => behave(ask, index),
    };
    Ok(cut(said, ask))
}

fn obey(ask: &mut Ask, request: mischief::Request) -> Result<Said, Failure> {
    Ok(match request {
        mischief::Request::Say(text) => Said::text(text),
        mischief::Request::Words(count) => Said::text(words(count)),
        mischief::Request::Refuse => {
            Said { refused: true, ..Said::text("I will not help with that: you asked me to refuse.") }
        }
        mischief::Request::Error(status) => {
            let message = "The rehearsal model was asked for an error.".into();
            return Err(Failure { status, message, param: None });
        }
        mischief::Request::Key(kind) => Said::text(mischief::key_sentence(kind, ask)),
        mischief::Request::Card => Said::text(mischief::card_sentence(ask)),
        mischief::Request::System => Said::text(mischief::system_sentence(ask)),
        mischief::Request::Link => Said::text(mischief::link_sentence(ask)),
        mischief::Request::ToolCall => {
            let (name, arguments, custom) = mischief::tool_call(ask);
            Said::call(Call { name, arguments, custom })
        }
    })
}

fn behave(ask: &Ask, index: u32) -> Said {
    if ask.tool_result.is_none()
        && let Some(tool) = wanted(ask)
    {
        return Said::call(Call {
            name: tool.name.clone(),
            arguments: tool
                .schema
                .as_ref()
                .map_or_else(|| Value::from(quote(&ask.user)), |schema| schema::example(schema, &ask.user)),
            custom: tool.schema.is_none(),
        });
    }
    let subject = ask.tool_result.as_ref().unwrap_or(&ask.user);
    match &ask.format {
        Format::Schema(schema) => Said::text(schema::example(schema, subject).to_string()),
        Format::Object => Said::text(json!({"answer": quote(subject), "note": HONEST}).to_string()),
        Format::Text => Said::text(prose(ask, index)),
    }
}

fn prose(ask: &Ask, index: u32) -> String {
    let number = if ask.n > 1 { format!(" (Answer {} of {}.)", index.saturating_add(1), ask.n) } else { String::new() };
    let heard = match (&ask.tool_result, ask.user.trim()) {
        (Some(result), _) => format!("The tool answered: “{}”.", quote(result)),
        (None, "") => "You sent no text.".to_owned(),
        (None, user) => {
            let count = user.split_whitespace().count();
            let unit = if count == 1 { "word" } else { "words" };
            format!("You wrote {count} {unit}: “{}”.", quote(user))
        }
    };
    format!("{heard}{number} {HONEST}")
}

fn quote(text: &str) -> String {
    text.trim().chars().take(QUOTED).collect()
}

fn words(count: usize) -> String {
    const NUMBERS: [&str; 10] = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    NUMBERS.iter().cycle().take(count).copied().collect::<Vec<_>>().join(" ")
}

/// The tool to call: the one that is forced, else the first that the user names or mentions a word of.
fn wanted(ask: &Ask) -> Option<&Tool> {
    let user = ask.user.to_lowercase();
    let named = || ask.tools.iter().find(|tool| user.contains(&tool.name.to_lowercase()));
    let mentioned = || ask.tools.iter().find(|tool| name_words(&tool.name).iter().any(|word| user.contains(word)));
    match &ask.choice {
        Choice::None => None,
        Choice::Named(name) => ask.tools.iter().find(|tool| tool.name == *name),
        Choice::Required => named().or_else(mentioned).or_else(|| ask.tools.first()),
        Choice::Auto => named().or_else(mentioned),
    }
}

/// The telling words of a tool's name: `get_current_weather` gives `current` and `weather`.
fn name_words(name: &str) -> Vec<String> {
    const COMMON: [&str; 6] = ["call", "tool", "function", "with", "from", "list"];
    let mut spaced = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_uppercase() {
            spaced.push(' ');
        }
        spaced.extend(letter.to_lowercase());
    }
    let words = spaced.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| word.chars().count() >= 4 && !COMMON.contains(word)).map(str::to_owned).collect()
}

/// Ends a text at the first stop text and at the token limit.
fn cut(mut said: Said, ask: &Ask) -> Said {
    let first = ask
        .stop
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| Some((said.text.find(stop.as_str())?, stop)))
        .min();
    if let Some((at, stop)) = first {
        said.text.truncate(at);
        said.finish = Finish::StopText(stop.clone());
    }
    let most = ask.max_tokens.and_then(|most| usize::try_from(most).ok()).and_then(|most| most.checked_mul(4));
    if let Some(most) = most
        && let Some((at, _)) = said.text.char_indices().nth(most)
    {
        said.text.truncate(at);
        said.finish = Finish::Length;
    }
    said
}
