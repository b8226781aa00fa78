//! What kind of program asks, of a few names: what clients say of themselves, reduced so that nobody can make up a new one.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use hyper::HeaderMap;
use hyper::header::USER_AGENT;

/// Programs by what their `User-Agent` holds, whatever its case; the first of the list that fits counts.
const BY_USER_AGENT: &[(&str, &str)] = &[
    ("claude-cli", "claude-code"),
    ("claude-code", "claude-code"),
    ("codex", "codex"),
    ("cursor", "cursor"),
    ("copilot", "copilot"),
    ("aider", "aider"),
    ("cline", "cline"),
    ("continue", "continue"),
    ("langchain", "langchain"),
    ("langgraph", "langchain"),
    ("llamaindex", "llamaindex"),
    ("llama-index", "llamaindex"),
    ("litellm", "litellm"),
    ("crewai", "crewai"),
    ("autogen", "autogen"),
    ("semantic-kernel", "semantic-kernel"),
    ("vercel", "vercel-ai"),
    ("ai-sdk", "vercel-ai"),
    ("openai/python", "openai-python"),
    ("asyncopenai/python", "openai-python"),
    ("openai/js", "openai-node"),
    ("openai/go", "openai-go"),
    ("openai/java", "openai-java"),
    ("openai.net", "openai-dotnet"),
    ("openai/", "openai-sdk"),
    ("anthropic", "anthropic-sdk"),
    ("curl/", "curl"),
    ("wget/", "curl"),
    ("httpie/", "curl"),
    ("postman", "postman"),
    ("insomnia", "postman"),
    ("python-requests", "python"),
    ("python-httpx", "python"),
    ("aiohttp", "python"),
    ("python", "python"),
    ("node", "node"),
    ("undici", "node"),
    ("axios", "node"),
    ("okhttp", "java"),
    ("java", "java"),
    ("go-http-client", "go"),
    ("mozilla/", "browser"),
];

/// The signs, looked for all at once. So few make an automaton that always fits.
static SIGNS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let signs = BY_USER_AGENT.iter().map(|(sign, _)| sign);
    AhoCorasick::builder().ascii_case_insensitive(true).build(signs).ok()
});

/// How much of a `User-Agent` is looked at, in bytes.
const LOOKED_AT: usize = 256;

/// The kind of program, as far as its headers tell: one of a few fixed names, `other`, or `None` if it says nothing.
pub fn agent(headers: &HeaderMap) -> Option<&'static str> {
    let named = headers.get(USER_AGENT).and_then(|value| {
        let bytes = value.as_bytes();
        let text = bytes.get(..LOOKED_AT).unwrap_or(bytes);
        let all = SIGNS.iter().flat_map(|signs| signs.find_overlapping_iter(text));
        let found = all.map(|sign| sign.pattern().as_usize()).min().and_then(|first| BY_USER_AGENT.get(first));
        if text.is_empty() { None } else { Some(found.map_or("other", |(_, agent)| *agent)) }
    });
    match named {
        Some("other") | None => stainless(headers).or(named),
        Some(agent) => Some(agent),
    }
}

/// SDKs that Stainless generates say their language; with a version of Anthropic's API it is Anthropic's.
fn stainless(headers: &HeaderMap) -> Option<&'static str> {
    let language = headers.get("x-stainless-lang")?.as_bytes();
    if headers.contains_key("anthropic-version") {
        return Some("anthropic-sdk");
    }
    Some(match language {
        b"python" => "openai-python",
        b"js" => "openai-node",
        b"go" => "openai-go",
        b"java" => "openai-java",
        _ => "openai-sdk",
    })
}
