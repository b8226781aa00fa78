//! How many tokens a prompt will be, before anyone asks the provider: exact where its tokenizer is public, else estimated.
//!
//! OpenAI publishes `o200k_base` and `cl100k_base`; others are estimated as a multiple of `o200k_base`, rounded towards
//! too many, because the difference is given back when the provider has counted. The overhead of messages is that of
//! OpenAI's cookbook ("How to count tokens with tiktoken"): 3 per message, 1 per name, 3 to prime the answer.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use bpe_openai::{Tokenizer, cl100k_base, o200k_base};
use moka::sync::Cache;

/// Texts shorter than this are counted faster than they are looked up, in bytes.
const MEMO_FROM: usize = 256;

/// Which tokenizer a model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4o and everything OpenAI made after it.
    O200k,
    /// GPT-4, GPT-3.5 and the embedding models.
    Cl100k,
    /// Not public: so many thousandths of the count by `o200k_base`.
    Estimated(u32),
}

/// How a model name begins, and its encoding. The first match wins; what matches nothing is counted generously.
const ENCODINGS: [(&str, Encoding); 40] = [
    ("gpt-4o", Encoding::O200k),
    ("gpt-4.", Encoding::O200k),
    ("gpt-4", Encoding::Cl100k),
    ("gpt-3.5", Encoding::Cl100k),
    ("gpt-35", Encoding::Cl100k),
    ("gpt-", Encoding::O200k),
    ("chatgpt-", Encoding::O200k),
    ("codex-", Encoding::O200k),
    ("computer-use", Encoding::O200k),
    ("omni-moderation", Encoding::O200k),
    ("o1", Encoding::O200k),
    ("o3", Encoding::O200k),
    ("o4", Encoding::O200k),
    ("text-embedding-", Encoding::Cl100k),
    ("davinci-002", Encoding::Cl100k),
    ("babbage-002", Encoding::Cl100k),
    // Measured by others against o200k on English, mathematics and code: 16, 21 and 30 per cent more.
    ("claude", Encoding::Estimated(1350)),
    ("gemini", Encoding::Estimated(1150)),
    ("gemma", Encoding::Estimated(1150)),
    ("learnlm", Encoding::Estimated(1150)),
    ("llama-2", Encoding::Estimated(1350)),
    ("llama2", Encoding::Estimated(1350)),
    ("llama", Encoding::Estimated(1100)),
    ("meta-llama-2", Encoding::Estimated(1350)),
    ("meta-llama", Encoding::Estimated(1100)),
    ("meta.llama", Encoding::Estimated(1100)),
    ("mistral", Encoding::Estimated(1250)),
    ("ministral", Encoding::Estimated(1250)),
    ("magistral", Encoding::Estimated(1250)),
    ("mixtral", Encoding::Estimated(1350)),
    ("codestral", Encoding::Estimated(1350)),
    ("devstral", Encoding::Estimated(1250)),
    ("pixtral", Encoding::Estimated(1250)),
    ("deepseek", Encoding::Estimated(1150)),
    ("qwen", Encoding::Estimated(1150)),
    ("qwq", Encoding::Estimated(1150)),
    ("grok", Encoding::Estimated(1200)),
    ("command", Encoding::Estimated(1200)),
    ("kimi", Encoding::Estimated(1150)),
    ("glm", Encoding::Estimated(1150)),
];

/// What models are not known are counted as.
const UNKNOWN: Encoding = Encoding::Estimated(1350);

/// What does not come as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// A picture.
    Image,
    /// A recording.
    Audio,
    /// A document.
    File,
}

impl Media {
    /// Tokens assumed for one. Image: the most that one costs at OpenAI (GPT-4o, high detail: 1,105) and Anthropic
    /// (1,600) after scaling. Audio: three minutes at OpenAI's 10 per second. File: ten pages as text and picture.
    pub const fn tokens(self) -> u32 {
        match self {
            Self::Image => 1_600,
            Self::Audio => 1_800,
            Self::File => 20_000,
        }
    }
}

/// The encoding of a model. A provider before a slash or a dot, and a fine-tuning prefix, are ignored.
pub fn encoding(model: &str) -> Encoding {
    let name = model.rsplit('/').next().unwrap_or(model);
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let matches = |name: &str| {
        let begins = |start: &str| name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
        ENCODINGS.iter().find(|(start, _)| begins(start)).map(|(_, encoding)| *encoding)
    };
    // Bedrock writes `eu.anthropic.claude-…`.
    let after_dots = || name.split('.').skip(1).find_map(matches);
    matches(name).or_else(after_dots).unwrap_or(UNKNOWN)
}

/// Tokens that chat messages cost beyond their texts.
pub fn message_overhead(messages: usize, names: usize) -> u32 {
    let tokens = messages.saturating_mul(3).saturating_add(names).saturating_add(3);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// A count that is never too small, from the length alone: no public tokenizer makes more than a token of a byte.
/// Where so much is left anyway, nobody has to count.
pub fn at_most(model: &str, bytes: usize) -> u32 {
    scaled(bytes, encoding(model))
}

/// Counts, and remembers what it counted: a conversation repeats its history with every request.
pub struct Tokens {
    memo: Cache<u64, u32>,
    hasher: RandomState,
}

impl Tokens {
    /// Remembers the counts of so many texts, about 100 bytes each.
    pub fn new(memo_entries: u64) -> Self {
        Self { memo: Cache::new(memo_entries), hasher: RandomState::new() }
    }

    /// Tokens of a text. The tokenizer is loaded when it is needed first, which takes a moment.
    pub fn count(&self, model: &str, text: &str) -> u32 {
        let encoding = encoding(model);
        if text.len() < MEMO_FROM {
            return count(encoding, text);
        }
        // Keyed and random: nobody can make two texts meet, and a wrong count would be put right by the provider's.
        let key = self.hasher.hash_one((tokenizer_of(encoding), text));
        if let Some(counted) = self.memo.get(&key) {
            return multiplied(counted, encoding);
        }
        let counted = raw(encoding, text);
        self.memo.insert(key, counted);
        multiplied(counted, encoding)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("remembered", &self.memo.entry_count()).finish()
    }
}

/// Loads the tokenizers, so that no request waits for them.
pub fn load() {
    LazyLock::force(&EMPTY);
}

static EMPTY: LazyLock<usize> = LazyLock::new(|| o200k_base().count("") + cl100k_base().count(""));

fn count(encoding: Encoding, text: &str) -> u32 {
    multiplied(raw(encoding, text), encoding)
}

fn raw(encoding: Encoding, text: &str) -> u32 {
    u32::try_from(tokenizer(encoding).count(text)).unwrap_or(u32::MAX)
}

fn tokenizer(encoding: Encoding) -> &'static Tokenizer {
    match encoding {
        Encoding::O200k | Encoding::Estimated(_) => o200k_base(),
        Encoding::Cl100k => cl100k_base(),
    }
}

fn tokenizer_of(encoding: Encoding) -> u8 {
    u8::from(encoding == Encoding::Cl100k)
}

fn multiplied(counted: u32, encoding: Encoding) -> u32 {
    scaled(counted as usize, encoding)
}

fn scaled(count: usize, encoding: Encoding) -> u32 {
    let thousandths = match encoding {
        Encoding::O200k | Encoding::Cl100k => 1000,
        Encoding::Estimated(thousandths) => u64::from(thousandths),
    };
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    u32::try_from(count.saturating_mul(thousandths).div_ceil(1000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_counts_are_met() {
        // From tiktoken.
        assert_eq!(count(Encoding::Cl100k, "tiktoken is great!"), 6);
        assert_eq!(count(Encoding::O200k, "tiktoken is great!"), 6);
        assert_eq!(count(Encoding::Cl100k, "antidisestablishmentarianism"), 6);
        assert_eq!(count(Encoding::Cl100k, "お誕生日おめでとう"), 9);
        assert_eq!(count(Encoding::O200k, "お誕生日おめでとう"), 8);
    }

    #[test]
    fn names_find_their_tokenizer() {
        for (model, expected) in [
            ("gpt-4o-mini", Encoding::O200k),
            ("gpt-4.1", Encoding::O200k),
            ("gpt-4-turbo", Encoding::Cl100k),
            ("gpt-5-nano", Encoding::O200k),
            ("openai/o3-pro", Encoding::O200k),
            ("ft:gpt-3.5-turbo:us::1", Encoding::Cl100k),
            ("text-embedding-3-large", Encoding::Cl100k),
            ("claude-sonnet-4-5", Encoding::Estimated(1350)),
            ("eu.anthropic.claude-3-5-sonnet-20240620-v1:0", Encoding::Estimated(1350)),
            ("meta-llama/Llama-3.3-70B-Instruct", Encoding::Estimated(1100)),
            ("nobody-knows", UNKNOWN),
            ("", UNKNOWN),
        ] {
            assert_eq!(encoding(model), expected, "{model}");
        }
    }

    #[test]
    fn what_is_remembered_is_what_was_counted() {
        let tokens = Tokens::new(100);
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
        let counted = tokens.count("gpt-4o", &text);
        assert_eq!(counted, count(Encoding::O200k, &text));
        assert_eq!(tokens.count("gpt-4o", &text), counted);
        assert_eq!(tokens.count("claude-3", &text), (counted * 1350).div_ceil(1000));
        assert!(counted <= at_most("gpt-4o", text.len()));
    }

    #[test]
    fn hostile_texts_are_counted_too() {
        for text in ["a".repeat(200_000), " ".repeat(200_000), "\u{1F600}\u{200D}".repeat(20_000)] {
            assert!(count(Encoding::O200k, &text) > 0);
        }
    }
}
