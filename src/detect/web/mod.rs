//! Attacks on the web server, database or shell behind the model, found by their structure.
//!
//! The same string is an attack as the value of a parameter and harmless inside a developer's question. So a text is
//! first taken apart into the values it carries (the whole of a short text, parameters of an address, strings of a JSON
//! body, headers, what a short sentence ends with or quotes), and each value is read, decoded, by one detector per
//! language: does it break out of where a value stands? Prose around it, questions above all, counts against it.

mod carrier;
mod code;
mod code_names;
mod command;
mod command_names;
mod command_shape;
mod command_spelling;
mod decode;
mod field;
mod field_names;
mod gate;
mod http;
mod list;
mod phrases;
mod prose;
mod prose_words;
mod sql_signs;
mod sql_statements;
mod sql_tokens;
mod sqli;
mod strict;
mod template;
mod traversal;
mod xss;
mod xss_script;
mod xss_tags;

use carrier::{Place, Value};
use prose::Prose;

/// Longest text taken as one value, in bytes; most rows it may have.
const LONGEST: usize = 1500;
/// Most rows of a text taken as one value.
const MOST_ROWS: usize = 8;

/// What a detector looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detector {
    /// SQL that leaves the literal it was put into.
    Sql,
    /// Markup or script that runs in a browser.
    Script,
    /// Paths that leave their directory, or name files of the system.
    Path,
    /// Shell commands appended to a value.
    Command,
    /// Expressions of template engines.
    Template,
    /// Code, serialised objects and lookups that run on a server.
    Code,
    /// Operators and filters of document databases, directories and XML.
    Query,
    /// Line breaks, server-side includes and addresses that mislead a server.
    Server,
}

/// How sure a detector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Confidence {
    /// Rare in honest values.
    Likely,
    /// Hardly ever seen in an honest value.
    Certain,
}

/// What a rule asks for: a detector's findings of one confidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) detector: Detector,
    pub(super) confidence: Confidence,
}

/// What was found, and in which bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Catch {
    pub(super) probe: Probe,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Probe {
    /// From the words of a rule file.
    pub(super) fn parse(detector: &str, confidence: &str) -> Result<Self, String> {
        let detector = match detector {
            "sql" => Detector::Sql,
            "script" => Detector::Script,
            "path" => Detector::Path,
            "command" => Detector::Command,
            "template" => Detector::Template,
            "code" => Detector::Code,
            "query" => Detector::Query,
            "server" => Detector::Server,
            _ => {
                return Err("must be one of sql, script, path, command, template, code, query, server".into());
            }
        };
        let confidence = match confidence {
            "likely" => Confidence::Likely,
            "certain" => Confidence::Certain,
            _ => return Err("`confidence` must be likely or certain".into()),
        };
        Ok(Self { detector, confidence })
    }
}

/// What each detector finds in `text`, at its highest confidence.
pub(super) fn examine(text: &[u8]) -> Vec<Catch> {
    let mut found: Vec<Catch> = Vec::new();
    if !gate::suspicious(text) {
        return found;
    }
    let Ok(text) = std::str::from_utf8(text) else { return found };
    let prose = Prose::of(text);
    for value in carrier::values(text, &prose) {
        for (detector, needs, look) in DETECTORS {
            let readings = value.readings().filter(|(bytes, _)| bytes & needs != 0);
            let Some(confidence) = readings.filter_map(|(_, reading)| look(&value, reading)).max() else { continue };
            let Some(confidence) = weigh(confidence, detector, &value, &prose) else { continue };
            note(&mut found, &value, detector, confidence);
        }
        if value.place != Place::Tail {
            for (detector, confidence) in value.readings().filter_map(|(_, reading)| field::look(&value, reading)) {
                note(&mut found, &value, detector, confidence);
            }
        }
    }
    found
}

/// Keeps the surest finding of each detector.
fn note(found: &mut Vec<Catch>, value: &Value<'_>, detector: Detector, confidence: Confidence) {
    // Fields that are there to carry code.
    if confidence == Confidence::Likely && CARRIERS.contains(&value.name.as_str()) {
        return;
    }
    let new = Catch { probe: Probe { detector, confidence }, start: value.start, end: value.end };
    match found.iter_mut().find(|known| known.probe.detector == detector) {
        Some(known) if known.probe.confidence < confidence => *known = new,
        Some(_) => {}
        None => found.push(new),
    }
}

/// Names of fields that carry code by their purpose.
const CARRIERS: [&str; 12] = [
    "command",
    "code",
    "script",
    "sql",
    "shell",
    "bash",
    "source",
    "snippet",
    "statement",
    "expression",
    "template",
    "program",
];

/// What reads one value.
type Look = fn(&Value<'_>, &str) -> Option<Confidence>;

/// A detector, the bytes of which it needs one, and what reads a value for it.
const DETECTORS: [(Detector, u128, Look); 8] = [
    (Detector::Sql, bytes(b"'\"()=;<>#@|&*-%+_$0123456789"), sqli::look),
    (Detector::Script, bytes(b"<(=`:&"), xss::look),
    (Detector::Path, bytes(b"/\\:%."), traversal::look),
    (Detector::Command, bytes(b";|&`$<>%\n\r/\\-\"'"), command::look),
    (Detector::Template, bytes(b"{@<#["), template::look),
    (Detector::Code, bytes(b"({$<!_:=[/"), code::look),
    (Detector::Query, bytes(b"$'\"*)</&|;"), phrases::look),
    (Detector::Server, bytes(b"<\r\n\\/:"), http::look),
];

/// A set of ASCII bytes.
const fn bytes(mut list: &[u8]) -> u128 {
    let mut all = 0;
    while let [first, rest @ ..] = list {
        all |= 1 << *first;
        list = rest;
    }
    all
}

/// What remains of a confidence in the prose around the value.
fn weigh(confidence: Confidence, detector: Detector, value: &Value<'_>, prose: &Prose) -> Option<Confidence> {
    if value.place == Place::Field {
        return Some(confidence);
    }
    let spoken = match detector {
        Detector::Sql => prose.words_without_sql,
        _ => prose.words,
    };
    if prose.asks || spoken > prose::MOST {
        return None;
    }
    match (value.place, spoken) {
        (Place::Whole, 0..=4) => Some(confidence),
        _ if prose.technical => (confidence == Confidence::Certain).then_some(Confidence::Likely),
        _ => Some(confidence),
    }
}

#[cfg(test)]
mod tests;
