//! Correlation rules: what several requests of one caller or conversation say together.

use serde::Deserialize;

use super::decay::{Moment, duration};
use super::log::{Entry, KEPT, Log, bit, tag};
use crate::detect::rule::OneOrMany;
use crate::types::Family;

/// The word for a request that was refused, or whose answer was cut.
pub(super) const DENIED: &str = "denied";
/// The longest time a rule may look back, in milliseconds.
const LONGEST: u64 = 86_400_000;

/// What a correlation rule looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation {
    kind: Kind,
    events: Vec<Event>,
    by: By,
    /// Milliseconds.
    within: u64,
    at_least: usize,
    /// The rules among its events, by id.
    pub(super) named: Vec<String>,
}

/// How events are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// So many requests with any of the events.
    EventCount,
    /// So many different ones of the events.
    ValueCount,
    /// All of the events, in more than one request.
    Temporal,
    /// All of them, in this order, each in a later request.
    TemporalOrdered,
}

/// Whose requests belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    Caller,
    Conversation,
}

/// One event: any of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Event {
    families: u32,
    rules: Vec<u64>,
    denied: bool,
}

/// As written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::detect) struct RawCorrelation {
    r#type: Kind,
    events: Vec<OneOrMany>,
    by: By,
    within: String,
    #[serde(default)]
    at_least: Option<usize>,
}

impl RawCorrelation {
    /// Its entries for people, by key.
    pub(in crate::detect) fn written(&self) -> Vec<(String, Vec<String>)> {
        let event = |event: &OneOrMany| event.clone().into_vec().join(" or ");
        let one = |key: &str, value: String| (key.to_owned(), vec![value]);
        let mut entries = vec![
            one("type", words(self.r#type)),
            ("events".to_owned(), self.events.iter().map(event).collect()),
            one("by", words(self.by)),
            one("within", self.within.clone()),
        ];
        entries.extend(self.at_least.map(|least| one("at_least", least.to_string())));
        entries
    }

    /// Checks what types cannot say; every problem with the key it is about.
    pub(in crate::detect) fn check(&self) -> Result<Correlation, Vec<(&'static str, String)>> {
        let mut wrong = Vec::new();
        let within = duration(&self.within).filter(|within| (1_000..=LONGEST).contains(within));
        if within.is_none() {
            wrong.push(("within", format!("`{}` is no time from 1s to 1d, such as 90s, 10m or 2h", self.within)));
        }
        let mut events = Vec::new();
        for written in &self.events {
            let words = written.clone().into_vec();
            if words.len() != 1 && !matches!(self.r#type, Kind::Temporal | Kind::TemporalOrdered) {
                wrong.push(("events", "a list within the list is for temporal and temporal_ordered".into()));
            }
            match Event::of(&words) {
                Ok(event) => events.push(event),
                Err(message) => wrong.push(("events", message)),
            }
        }
        let counts = matches!(self.r#type, Kind::EventCount | Kind::ValueCount);
        let least = if self.r#type == Kind::EventCount { 1 } else { 2 };
        if events.len() < least && wrong.is_empty() {
            wrong.push(("events", format!("a {} needs {least} or more", words(self.r#type))));
        }
        let most = if self.r#type == Kind::EventCount { KEPT } else { events.len() };
        match self.at_least {
            None if counts => wrong.push(("at_least", format!("is missing: a {} needs it", words(self.r#type)))),
            Some(_) if !counts => wrong.push(("at_least", "is for event_count and value_count".into())),
            Some(at_least) if at_least < 2 || at_least > most => {
                wrong.push(("at_least", format!("must be 2 to {most}, not {at_least}")));
            }
            Some(_) | None => {}
        }
        match within {
            Some(within) if wrong.is_empty() => {
                let at_least = self.at_least.unwrap_or(events.len());
                let words = self.events.iter().flat_map(|event| event.clone().into_vec());
                let named = words.filter(|word| is_rule(word)).collect();
                Ok(Correlation { kind: self.r#type, events, by: self.by, within, at_least, named })
            }
            Some(_) | None => Err(wrong),
        }
    }
}

impl Correlation {
    /// Whether its events are those of a caller or those of a conversation.
    pub(super) const fn by(&self) -> By {
        self.by
    }

    /// Whether being denied is one of its events.
    pub(super) fn is_about_denials(&self) -> bool {
        self.events.iter().any(|event| event.denied)
    }

    /// Whether the newest entry of `log` completes it.
    pub(super) fn fires(&self, log: &Log) -> bool {
        let mut entries = log.entries();
        let Some(newest) = entries.next() else { return false };
        if !self.events.iter().any(|event| event.is(newest)) {
            return false;
        }
        let recent = |entry: &&Entry| Moment::since(newest.at, entry.at) <= self.within;
        let earlier = entries.filter(recent);
        match self.kind {
            Kind::EventCount => 1 + earlier.filter(|entry| self.takes(entry)).count() >= self.at_least,
            Kind::ValueCount => {
                let earlier: Vec<&Entry> = earlier.collect();
                let seen = |event: &&Event| event.is(newest) || earlier.iter().any(|entry| event.is(entry));
                self.events.iter().filter(seen).count() >= self.at_least
            }
            Kind::Temporal => {
                let earlier: Vec<&Entry> = earlier.filter(|entry| self.takes(entry)).collect();
                let seen = |event: &Event| event.is(newest) || earlier.iter().any(|entry| event.is(entry));
                !earlier.is_empty() && self.events.iter().all(seen)
            }
            Kind::TemporalOrdered => {
                let Some((last, before)) = self.events.split_last() else { return false };
                let mut missing = before.iter();
                let mut next = missing.next();
                for entry in earlier.rev() {
                    if next.is_some_and(|event| event.is(entry)) {
                        next = missing.next();
                    }
                }
                next.is_none() && last.is(newest)
            }
        }
    }

    fn takes(&self, entry: &Entry) -> bool {
        self.events.iter().any(|event| event.is(entry))
    }
}

impl Event {
    fn of(written: &[String]) -> Result<Self, String> {
        let mut event = Self::default();
        if written.is_empty() {
            return Err("an empty list is no event".into());
        }
        for word in written {
            if let Some(family) = family(word) {
                event.families |= bit(family);
            } else if word == DENIED {
                event.denied = true;
            } else if is_rule(word) {
                event.rules.push(tag(word));
            } else {
                return Err(format!("`{word}` is no family, no rule's id and not `{DENIED}`"));
            }
        }
        Ok(event)
    }

    fn is(&self, entry: &Entry) -> bool {
        entry.has_family(self.families)
            || self.denied && entry.denied
            || self.rules.iter().any(|rule| entry.has_rule(*rule))
    }
}

/// A family by its name.
pub(super) fn family(word: &str) -> Option<Family> {
    Family::ALL.into_iter().find(|family| family.name() == word)
}

/// Whether a word can be a rule's id.
pub(super) fn is_rule(word: &str) -> bool {
    word.starts_with("PC-") || word.starts_with("SITE-")
}

/// A value as rule files write it.
fn words(value: impl std::fmt::Debug) -> String {
    let mut out = String::new();
    for letter in format!("{value:?}").chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> RawCorrelation {
        serde_saphyr::from_str(text).unwrap()
    }

    /// Whether it fires with the last of these: seconds, and what was found.
    fn fires(rule: &str, log: &[(u64, &str)]) -> bool {
        let rule = raw(rule).check().unwrap();
        let mut all = Log::default();
        for (at, found) in log {
            let mut entry = Entry::of(Moment(at * 1_000), [].iter());
            for word in found.split_whitespace() {
                match family(word) {
                    Some(family) => entry.add_family(family),
                    None if word == DENIED => entry.denied = true,
                    None => entry.add_rule(tag(word)),
                }
            }
            all.push(entry);
        }
        rule.fires(&all)
    }

    #[test]
    fn events_are_counted_within_the_time() {
        let rule =
            "{type: event_count, events: [prompt_extraction, PC-TEST-0001], by: caller, within: 1m, at_least: 3}";
        let extraction = "prompt_extraction";
        assert!(fires(rule, &[(0, extraction), (30, "PC-TEST-0001 encoding"), (60, extraction)]));
        assert!(!fires(rule, &[(0, extraction), (30, extraction), (61, extraction)]));
        assert!(!fires(rule, &[(0, extraction), (30, extraction), (60, "encoding")]));
        assert!(!fires(rule, &[(0, extraction), (1, extraction), (2, extraction), (3, "denied")]));
    }

    #[test]
    fn different_events_are_counted_once_each() {
        let rule = "{type: value_count, events: [jailbreak, encoding, privacy], by: caller, within: 1m, at_least: 2}";
        assert!(!fires(rule, &[(0, "jailbreak"), (1, "jailbreak"), (2, "jailbreak")]));
        assert!(fires(rule, &[(0, "jailbreak"), (1, "secrets"), (2, "privacy")]));
    }

    #[test]
    fn all_of_the_events_in_any_order_or_in_this_order() {
        let body = "events: [[prompt_injection, jailbreak], data_exfiltration], by: caller, within: 1m}";
        let (any, ordered) = (format!("{{type: temporal, {body}"), format!("{{type: temporal_ordered, {body}"));
        let (first, second) = ((0, "jailbreak"), (5, "data_exfiltration"));
        assert!(fires(&any, &[first, second]) && fires(&ordered, &[first, second]));
        let turned = [(0, "data_exfiltration"), (5, "jailbreak")];
        assert!(fires(&any, &turned) && !fires(&ordered, &turned));
        let at_once = [(0, "encoding"), (5, "jailbreak data_exfiltration")];
        assert!(!fires(&any, &at_once) && !fires(&ordered, &at_once));
        let three = "{type: temporal_ordered, events: [denied, encoding, denied], by: caller, within: 1m}";
        assert!(fires(three, &[(0, "denied"), (1, "encoding"), (2, "encoding denied")]));
        assert!(!fires(three, &[(0, "denied"), (2, "encoding denied")]));
    }

    #[test]
    fn mistakes_are_told_with_their_key() {
        let told = |text: &str| match raw(text).check() {
            Ok(_) => String::new(),
            Err(wrong) => wrong.iter().map(|(key, message)| format!("{key}: {message}; ")).collect(),
        };
        for (text, expected) in [
            (
                "{type: event_count, events: [sorcery], by: caller, within: 1m, at_least: 3}",
                "events: `sorcery` is no family",
            ),
            ("{type: event_count, events: [], by: caller, within: 1m, at_least: 3}", "needs 1 or more"),
            ("{type: event_count, events: [encoding], by: caller, within: 1m}", "at_least: is missing"),
            (
                "{type: event_count, events: [encoding], by: caller, within: 1m, at_least: 33}",
                "must be 2 to 32, not 33",
            ),
            ("{type: value_count, events: [encoding, denied], by: caller, within: 1m, at_least: 3}", "must be 2 to 2"),
            ("{type: temporal, events: [encoding], by: caller, within: 1m}", "events: a temporal needs 2 or more"),
            ("{type: temporal, events: [encoding, denied], by: caller, within: 1m, at_least: 2}", "is for event_count"),
            ("{type: temporal, events: [encoding, []], by: caller, within: 1m}", "an empty list"),
            ("{type: event_count, events: [[encoding, denied]], by: caller, within: 1m, at_least: 2}", "a list within"),
            ("{type: temporal, events: [encoding, denied], by: caller, within: 3w}", "within: `3w` is no time"),
        ] {
            assert!(told(text).contains(expected), "{text}: {}", told(text));
        }
    }
}
