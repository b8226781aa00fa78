//! Candidate rules in the words of a rule file.

use std::fmt::Write as _;

use super::Miss;
use super::pattern::Patterns;
use crate::detect::learned::Weights;
use crate::types::{Family, Role};

/// Bytes of an example at most; a longer text is no example.
const EXAMPLE: usize = 8 << 10;

/// One rule as a YAML document.
pub(super) struct Document<'a> {
    pub(super) miss: &'a Miss<'a>,
    /// The number behind the id's stem.
    pub(super) number: usize,
    pub(super) positive: &'a [&'a str],
    pub(super) negative: &'a [&'a str],
}

impl Document<'_> {
    pub(super) fn id(&self) -> String {
        format!("{}-{}", self.miss.id, self.number)
    }

    /// A rule of weighed words.
    pub(super) fn weighed(&self, weights: &Weights) -> String {
        let term = |term: &crate::detect::learned::Term| {
            let second = term.second.as_ref().map(|second| format!("~{second}")).unwrap_or_default();
            format!("    - {}\n", quoted(&format!("{}{second} {}", term.first, term.weight)))
        };
        let terms: String = weights.terms.iter().map(term).collect();
        let Weights { threshold, telling, window, .. } = weights;
        self.whole(&format!(
            "  detector: learned\n  threshold: '{threshold}'\n  telling: '{telling}'\n  window: '{window}'\n  \
             weights:\n{terms}"
        ))
    }

    /// A rule of patterns.
    pub(super) fn patterns(&self, patterns: &Patterns) -> String {
        let list = |texts: &[String]| texts.iter().map(|text| format!("    - {}\n", quoted(text))).collect::<String>();
        self.whole(&format!("  prefilter:\n{}  sel_learned:\n{}", list(&patterns.prefilter), list(&patterns.patterns)))
    }

    fn whole(&self, detection: &str) -> String {
        let list = |texts: &[&str]| {
            let short = texts.iter().filter(|text| text.len() <= EXAMPLE);
            short.map(|text| format!("    - {}\n", quoted(text))).collect::<String>()
        };
        let family = family(self.miss.family);
        let mut out = String::new();
        let _infallible = write!(
            out,
            "# origin: learned from the report {}\nid: {}\ntitle: {}\nfamily: {}\ngain: {}\nseverity: high\nscore: 8\n\
             direction: input\naction: block\nroles: [{}]\ndetection:\n{detection}examples:\n  positive:\n{}  \
             negative:\n{}",
            self.miss.id,
            self.id(),
            quoted(&format!("Learned: {}", family.name().replace('_', " "))),
            family.name(),
            quoted(gain(family)),
            roles(self.miss.role),
            list(self.positive),
            list(self.negative),
        );
        out
    }
}

/// The family of a rule about prompts: what only answers or callers can be is told as an injection.
fn family(family: Family) -> Family {
    match family {
        Family::UnsafeOutput | Family::Leakage | Family::Behaviour | Family::Privacy | Family::Secrets => {
            Family::PromptInjection
        }
        family => family,
    }
}

const fn gain(family: Family) -> &'static str {
    match family {
        Family::PromptExtraction => "The attacker learns the instructions the model works under.",
        Family::SecretExtraction => "The attacker learns a secret that the model was given.",
        Family::DataExfiltration => "Data leaves that was not meant for the attacker.",
        Family::Jailbreak | Family::RolePlay => "The model does what its operator does not allow.",
        Family::SystemManipulation | Family::MaliciousInput => {
            "The systems behind the model do what the attacker wants."
        }
        Family::SocialEngineering => "Somebody is talked into something by a false story.",
        _ => "The model follows the attacker's orders instead of its operator's.",
    }
}

/// Prompts of people, tools and models, and of whoever was reported.
fn roles(role: Role) -> String {
    let mut roles = vec!["user", "assistant", "tool", "parameter"];
    match role {
        Role::System => roles.push("system"),
        Role::Developer => roles.push("developer"),
        Role::Definition => roles.push("definition"),
        Role::User | Role::Assistant | Role::Tool | Role::Parameter => {}
    }
    roles.join(", ")
}

/// A text in quotation marks, as YAML reads them.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(letter),
            _ if letter.is_alphanumeric() => out.push(letter),
            _ => {
                let _infallible = write!(out, "\\U{:08X}", letter as u32);
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_survives_being_written() {
        for text in ["a: b # c", "it's \"so\"\\n", "two\nlines\ttab", "\u{200b}\u{7f}\u{85}", "ü 字 😀", "", "- x"]
        {
            let read: String = serde_saphyr::from_str(&quoted(text)).unwrap();
            assert_eq!(read, text);
        }
    }
}
