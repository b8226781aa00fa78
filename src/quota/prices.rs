//! What tokens cost: a versioned table, by model pattern, in integers.

use std::fmt;

use moka::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::types::Usage;

/// The table that comes with the program.
const SHIPPED: &str = include_str!("../../rules/prices.toml");

/// Tokens a price is for.
const MILLION: u128 = 1_000_000;

/// Model names of which the price is remembered, and how long in bytes such a name may be.
const REMEMBERED: u64 = 1024;
const LONGEST_NAME: usize = 256;

/// Billionths of a dollar in a dollar.
const NANO: u64 = 1_000_000_000;

/// A price table as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Which table, for the ledger: a cost can be traced to the prices it was made with.
    pub version: String,
    /// The day the prices were looked up, `yyyy-mm-dd`.
    pub as_of: String,
    /// The first pattern that matches a model says what it costs.
    #[serde(rename = "price")]
    pub prices: Vec<Price>,
}

/// What models of one pattern cost per million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Model names; `*` stands for any text. A provider before a slash is ignored unless the pattern has a
    /// slash, fine-tuning (`ft:`) unless the pattern begins with it.
    pub model: String,
    /// Prompt tokens.
    pub input: Usd,
    /// Prompt tokens read from the provider's cache; the price of others if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Usd>,
    /// Prompt tokens written to the provider's cache; the price of others if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<Usd>,
    /// Answer tokens, reasoning included.
    pub output: Usd,
}

/// An amount of money: billionths of a US dollar, written as dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Usd(pub u64);

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// Not TOML of this shape.
    #[error("{0}")]
    Shape(#[from] toml::de::Error),
    /// A table without a single price.
    #[error("there is no [[price]] in it")]
    Empty,
}

impl PricesError {
    /// What is wrong, without quoting the file: it may be one that was not meant to be read.
    pub fn brief(&self) -> String {
        match self {
            Self::Shape(error) => error.message().to_owned(),
            Self::Empty => self.to_string(),
        }
    }
}

impl Prices {
    /// Reads a table.
    ///
    /// # Errors
    /// When it has another shape, or no price.
    pub fn parse(text: &str) -> Result<Self, PricesError> {
        let prices: Self = toml::from_str(text)?;
        if prices.prices.is_empty() { Err(PricesError::Empty) } else { Ok(prices) }
    }

    /// The table that comes with the program.
    ///
    /// # Errors
    /// Never, in a program that passed its tests.
    pub fn shipped() -> Result<Self, PricesError> {
        Self::parse(SHIPPED)
    }

    /// What a model costs.
    pub fn of(&self, model: &str) -> Option<&Price> {
        self.prices.get(self.index(model)?)
    }

    fn index(&self, model: &str) -> Option<usize> {
        let bare = model.rsplit('/').next().unwrap_or(model);
        let bare = bare.strip_prefix("ft:").unwrap_or(bare);
        self.prices.iter().position(|price| {
            let whole = price.model.contains('/') || price.model.starts_with("ft:");
            let name = if whole { model } else { bare };
            matches(&price.model, name)
        })
    }

    /// What a request cost, in billionths of a US dollar; `None` for a model without a price.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<u64> {
        self.of(model).map(|price| price.cost(usage))
    }
}

/// A table that remembers which price a model has: names come from callers, so it remembers only so many. Two are equal
/// when their tables are.
#[derive(Debug)]
pub struct PriceBook {
    prices: Prices,
    found: Cache<Box<str>, Option<usize>>,
}

impl PriceBook {
    /// Nothing was looked up yet.
    pub fn new(prices: Prices) -> Self {
        Self { prices, found: Cache::new(REMEMBERED) }
    }

    /// The table.
    pub fn prices(&self) -> &Prices {
        &self.prices
    }

    /// What a model costs.
    pub fn of(&self, model: &str) -> Option<&Price> {
        let index = self.found.get(model).unwrap_or_else(|| {
            let index = self.prices.index(model);
            if model.len() <= LONGEST_NAME {
                self.found.insert(Box::from(model), index);
            }
            index
        })?;
        self.prices.prices.get(index)
    }

    /// What a request cost, in billionths of a US dollar; `None` for a model without a price.
    pub fn cost(&self, model: &str, usage: &Usage) -> Option<u64> {
        self.of(model).map(|price| price.cost(usage))
    }
}

impl PartialEq for PriceBook {
    fn eq(&self, other: &Self) -> bool {
        self.prices == other.prices
    }
}

impl Price {
    /// What so much usage costs, in billionths of a US dollar, rounded up. Cached tokens are part of the input,
    /// reasoning is part of the output.
    pub fn cost(&self, usage: &Usage) -> u64 {
        let cached = usage.cached.min(usage.input);
        let fresh = usage.input - cached;
        let sum = times(fresh, self.input)
            .saturating_add(times(cached, self.cached_input.unwrap_or(self.input)))
            .saturating_add(times(usage.output, self.output));
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }

    /// The most a request may cost that has so many prompt tokens and may answer so many.
    pub fn at_most(&self, input: u64, output: u64) -> u64 {
        let input_price = self.cache_write.unwrap_or(self.input).max(self.input);
        let sum = times(input, input_price).saturating_add(times(output, self.output));
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

fn times(tokens: u64, price: Usd) -> u128 {
    u128::from(tokens) * u128::from(price.0)
}

/// Whether a name matches a pattern in which `*` stands for any text. Case does not count.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = strip(name, first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let found = (0..=rest.len()).filter_map(|at| rest.get(at..)).find_map(|tail| strip(tail, part));
        let Some(after) = found else { return false };
        rest = after;
    }
    rest.len() >= last.len() && rest.get(rest.len() - last.len()..).is_some_and(|tail| tail.eq_ignore_ascii_case(last))
}

fn strip<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(start.len())?;
    head.eq_ignore_ascii_case(start).then_some(tail)
}

impl Usd {
    /// From a decimal number of dollars, nine digits after the point at most.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || part.len() > 9 || !digits(whole) || !digits(part) {
            return None;
        }
        let fraction: u64 = format!("{part:0<9}").parse().ok()?;
        whole.parse::<u64>().ok()?.checked_mul(NANO)?.checked_add(fraction).map(Self)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / NANO, self.0 % NANO);
        let digits = format!("{part:09}");
        let digits = digits.trim_end_matches('0');
        if digits.is_empty() { write!(f, "{whole}") } else { write!(f, "{whole}.{digits}") }
    }
}

impl Serialize for Usd {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(u64),
            Number(f64),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Whole(dollars) => dollars.to_string(),
            // The shortest text that means the same number is what was written.
            Written::Number(dollars) => dollars.to_string(),
            Written::Text(text) => text,
        };
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is not an amount in dollars: write it like 0.25"))
        })
    }
}

impl JsonSchema for Usd {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Usd".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "US dollars, nine digits after the point at most.",
            "type": ["number", "string"],
            "minimum": 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"
        version = "1"
        as_of = "2026-11-01"
        [[price]]
        model = "gpt-4o-mini*"
        input = 0.15
        cached_input = 0.075
        output = 0.6
        [[price]]
        model = "together/*llama*70b*"
        input = "0.88"
        output = 1
    "#;

    fn usage(input: u64, cached: u64, output: u64) -> Usage {
        Usage { input, cached, output, reasoning: output }
    }

    #[test]
    fn cached_input_is_cheaper_and_reasoning_is_output() {
        let prices = Prices::parse(TABLE).unwrap();
        let cost = prices.cost("gpt-4o-mini-2024-07-18", &usage(1_000_000, 400_000, 100_000));
        assert_eq!(cost, Some(90_000_000 + 30_000_000 + 60_000_000));
        assert_eq!(prices.cost("gpt-4o-mini", &usage(1, 0, 0)), Some(150));
        assert_eq!(prices.cost("gpt-4", &usage(1, 0, 0)), None);
    }

    #[test]
    fn patterns_match_the_whole_name() {
        for (pattern, name, expected) in [
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "abcd", false),
            ("*", "", true),
            ("a", "A", true),
            ("a", "ab", false),
            ("*ü*", "xüx", true),
            ("a*a", "a", false),
            ("*a*b*", "xbax", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let prices = Prices::parse(TABLE).unwrap();
        assert!(prices.of("together/Meta-Llama-3-70B-Instruct").is_some());
        assert!(prices.of("openai/gpt-4o-mini").is_some());
        assert!(prices.of("Meta-Llama-3-70B-Instruct").is_none());
        let book = PriceBook::new(prices.clone());
        for model in ["openai/gpt-4o-mini", "gpt-4", "openai/gpt-4o-mini", "gpt-4"] {
            assert_eq!(book.of(model), prices.of(model));
        }
        assert_eq!(book, PriceBook::new(prices), "what was looked up is no part of what it is");
    }

    #[test]
    fn absurd_usage_does_not_overflow() {
        let prices = Prices::parse(TABLE).unwrap();
        assert_eq!(prices.cost("gpt-4o-mini", &usage(u64::MAX, u64::MAX, u64::MAX)), Some(u64::MAX));
    }

    #[test]
    fn dollars_are_read_and_written_exactly() {
        for (text, nano) in [("0.075", 75_000_000), ("15", 15_000_000_000), ("0.000000001", 1)] {
            assert_eq!(Usd::parse(text), Some(Usd(nano)));
            assert_eq!(Usd(nano).to_string(), text);
        }
        for text in ["", ".5", "-1", "1e3", "0.0000000001", "99999999999999"] {
            assert_eq!(Usd::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_shipped_table_has_prices_and_every_one_can_be_reached() {
        let prices = Prices::shipped().unwrap();
        for (index, price) in prices.prices.iter().enumerate() {
            let example = price.model.replace('*', "");
            let found = prices.of(&example).map(|found| &found.model);
            let earlier = prices.prices.iter().take(index).find(|earlier| Some(&earlier.model) == found);
            assert!(earlier.is_none(), "{} is hidden by {:?}", price.model, found);
            assert!(price.cached_input.is_none_or(|cached| cached <= price.input), "{}", price.model);
        }
        assert!(prices.of("gpt-4o-2024-08-06").is_some() && prices.of("claude-sonnet-4-5-20250929").is_some());
    }
}
