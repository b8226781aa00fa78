//! Responses: what is done about which incident unless a playbook fits better. Data, read and checked here.
//!
//! ```yaml
//! kind: responses
//! responses:
//!   - id: repeated-injection
//!     title: Slow the caller down
//!     when: {families: [prompt_injection], events: 3}
//!     steps: [{action: rate_limit, target: caller, requests: 5, seconds: 120, lasts: 1h}]
//! ```

use std::sync::Arc;

use serde::Deserialize;

use super::front::{Facts, MAX_STEPS, RawStep, Template, When, at, line_of, unread};
use super::playbook::Source;
use super::problem::Problem;

/// Responses of all files together.
const MAX_RESPONSES: usize = 256;

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its name.
    pub id: Arc<str>,
    /// In a few words.
    pub title: Arc<str>,
    /// When it holds.
    pub when: When,
    /// Whether none that stands after it is taken too.
    pub last: bool,
    /// Whether it is taken only where none before it was.
    pub otherwise: bool,
    /// What to do.
    pub steps: Vec<Template>,
}

/// Every response, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Responses {
    all: Vec<Response>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Responses,
}

/// A file as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(rename = "kind")]
    _kind: Kind,
    responses: Vec<RawResponse>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawResponse {
    id: Arc<str>,
    title: Arc<str>,
    when: When,
    #[serde(default = "ends")]
    last: bool,
    #[serde(default)]
    otherwise: bool,
    steps: Vec<RawStep>,
}

const fn ends() -> bool {
    true
}

impl Responses {
    /// Reads every source; those that do not say `kind: responses` are left to others. A later response replaces an earlier
    /// one of the same id, in its place; new ones of a later source stand before those of earlier sources, so that a site's
    /// own are tried first.
    ///
    /// # Errors
    /// What is wrong, of every source.
    pub fn new(sources: &[Source]) -> Result<Self, Vec<Problem>> {
        let mut all: Vec<Response> = Vec::new();
        let mut problems = Vec::new();
        let kind = |source: &&Source| source.text.lines().any(|line| line.trim_end() == "kind: responses");
        for source in sources.iter().filter(kind) {
            let mut fresh = Vec::new();
            for response in read(source, &mut problems) {
                match all.iter_mut().find(|known| known.id == response.id) {
                    Some(known) => *known = response,
                    None => fresh.push(response),
                }
            }
            fresh.append(&mut all);
            all = fresh;
        }
        if all.len() > MAX_RESPONSES {
            problems.push(at("responses", 1, format!("there are {}, at most {MAX_RESPONSES}", all.len())));
        }
        if problems.is_empty() { Ok(Self { all }) } else { Err(problems) }
    }

    /// Those that hold, in order, until one that is the last; each with how closely it fits.
    pub(super) fn fitting(&self, facts: &Facts<'_>) -> Vec<(&Response, u32)> {
        let mut found = Vec::new();
        for response in &self.all {
            if response.otherwise && !found.is_empty() {
                continue;
            }
            if let Some(fit) = response.when.fit(facts) {
                found.push((response, fit));
                if response.last {
                    break;
                }
            }
        }
        found
    }

    /// Every response, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Response> {
        self.all.iter()
    }
}

/// The responses of one file that are in order.
fn read(source: &Source, problems: &mut Vec<Problem>) -> Vec<Response> {
    let raw: Raw = match serde_saphyr::from_str(&source.text) {
        Ok(raw) => raw,
        Err(error) => {
            problems.push(unread(&source.name, 0, &error));
            return Vec::new();
        }
    };
    let mut found: Vec<Response> = Vec::new();
    let mut step_number = 0_usize;
    for (number, response) in raw.responses.into_iter().enumerate() {
        let line = line_of(&source.text, "id", number, 0);
        let mut wrong = |message: String| problems.push(at(&source.name, line, message));
        if found.iter().any(|other| other.id == response.id) {
            wrong(format!("`{}` is used twice in this file", response.id));
        }
        if response.steps.is_empty() || response.steps.len() > MAX_STEPS {
            wrong(format!("a response has 1 to {MAX_STEPS} steps"));
        }
        let mut steps = Vec::new();
        for step in response.steps {
            match step.checked() {
                Ok(step) => steps.push(step),
                Err(message) => {
                    let line = line_of(&source.text, "action", step_number, 0);
                    problems.push(at(&source.name, line, message));
                }
            }
            step_number = step_number.saturating_add(1);
        }
        let RawResponse { id, title, when, last, otherwise, .. } = response;
        found.push(Response { id, title, when, last, otherwise, steps });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "r.yaml".into(), text: format!("kind: responses\nresponses:\n{text}") }
    }

    fn one(id: &str, action: &str) -> String {
        format!(
            "  - id: {id}\n    title: T\n    when: {{families: [jailbreak]}}\n    steps:\n      - {{action: {action}}}\n"
        )
    }

    #[test]
    fn problems_name_their_lines() {
        let told = |text: String| {
            Responses::new(&[source(&text)]).unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(one("a", "monitor") + &one("b", "fly")).len(), 1);
        assert!(told(one("a", "monitor") + &one("b", "fly"))[0].starts_with("r.yaml:12: `fly` is no action"));
        assert_eq!(told(one("a", "monitor") + &one("a", "monitor")), ["r.yaml:8: `a` is used twice in this file"]);
        assert!(
            told("  - id: a\n    title: T\n    when: {colour: red}\n    steps: []\n".into())[0].starts_with("r.yaml:5")
        );
        let other = Source { name: "x".into(), text: "kind: alert\nid: X\n".into() };
        assert_eq!(Responses::new(&[other]), Ok(Responses::default()));
    }

    #[test]
    fn a_sites_own_are_tried_first_and_replace_in_place() {
        let shipped = source(&(one("a", "monitor") + &one("b", "monitor")));
        let own = source(&(one("c", "monitor") + &one("b", "notify")));
        let responses = Responses::new(&[shipped, own]).unwrap();
        let ids: Vec<_> = responses.iter().map(|response| (&*response.id, response.steps[0].action.name())).collect();
        assert_eq!(ids, [("c", "monitor"), ("a", "monitor"), ("b", "notify")]);
    }
}
