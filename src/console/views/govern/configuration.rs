//! The configuration: what is in force, what another one would say, reading it again.

use axum::http::Method;
use maud::{Markup, html};
use serde_json::json;

use super::settings::ways;
use crate::console::Answer;
use crate::console::forms::Form;
use crate::console::layout::{self, Page};
use crate::console::parts;
use crate::console::parts::form::csrf;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::door::{Effective, Validation};
use crate::control::api::status::Reloaded;
use crate::types::visible;

/// Characters of a configuration that the API takes.
const LONGEST: usize = 60_000;

/// What came of a form.
enum Done {
    Validated(Validation),
    Reloaded(Reloaded),
}

/// The page; its forms validate a text, or reload.
pub(super) async fn page(visit: Visit, form: Option<Form>) -> Answer {
    let done = match &form {
        Some(form) => Some(act(&visit, form).await),
        None => None,
    };
    let config: Effective = visit.get("/api/v1/config").await?;
    let pasted = form.as_ref().map(|form| form.get("text")).unwrap_or_default();
    let body = html! {
        (ways(&visit))
        @match &done {
            Some(Ok(done)) => (outcome(done)),
            Some(Err(trouble)) => (layout::told(trouble)),
            None => {},
        }
        @if visit.may_manage() {
            section.panel { h2 { "Reload" }
                p { "Reads gateway.toml, rules and policies again. What is wrong changes nothing, and is told here. Generation " (config.generation) " is in force." }
                form.inline method="post" action="/console/settings/configuration" data-sure="Read the configuration again?" {
                    (csrf(&visit))
                    input type="hidden" name="what" value="reload";
                    button type="submit" { "Reload the configuration" }
                }
            }
            section.panel { h2 { "Check a configuration" }
                p { "Every problem of a gateway.toml is told; nothing is changed. Paths in it are looked up on the gateway's machine." }
                form.stack method="post" action="/console/settings/configuration" {
                    (csrf(&visit))
                    input type="hidden" name="what" value="validate";
                    label { "gateway.toml" textarea name="text" rows="14" maxlength=(LONGEST) spellcheck="false" required { (pasted) } }
                    button.main type="submit" { "Check" }
                }
            }
        }
        section.panel { h2 { "In force" }
            p { "Every setting, defaults and environment included, without secrets: what " code { "portcullis config print --effective --redact" } " prints." }
            (toml(&config.toml))
        }
    };
    Ok(Page::new("/settings", "Configuration", body))
}

async fn act(visit: &Visit, form: &Form) -> Result<Done, Trouble> {
    match form.get("what") {
        "validate" => {
            let body = json!({ "text": form.get("text").replace("\r\n", "\n") });
            visit.post("/api/v1/validate", &body).await.map(Done::Validated)
        }
        "reload" => {
            let told = visit.ask(Method::POST, "/api/v1/reload", None).await?;
            // A configuration that cannot be used is told as a conflict with its problems.
            serde_json::from_slice(&told.body).map(Done::Reloaded).map_err(|_| Trouble::told(told.status, &told.body))
        }
        _ => Err(Trouble::bad("This form does not do that.")),
    }
}

fn outcome(done: &Done) -> Markup {
    let (class, words, problems, warnings) = match done {
        Done::Validated(told) if told.valid => {
            ("good", "This configuration could be used.".to_owned(), &told.problems, &told.warnings)
        }
        Done::Validated(told) => {
            let words = format!("This configuration cannot be used: {} problems.", told.problems.len());
            ("bad", words, &told.problems, &told.warnings)
        }
        Done::Reloaded(told) if told.problems.is_empty() => (
            "good",
            format!("It was read again: generation {} is in force.", told.generation),
            &told.problems,
            &told.warnings,
        ),
        Done::Reloaded(told) => {
            let words = format!(
                "Nothing was changed, generation {} stays in force: {} problems.",
                told.generation,
                told.problems.len()
            );
            ("bad", words, &told.problems, &told.warnings)
        }
    };
    html! { div class={ "notice " (class) } role="status" {
        p { b { (words) } }
        @if !problems.is_empty() { ul { @for problem in problems { li { (parts::lines(problem)) } } } }
        @if !warnings.is_empty() { p { "Worth knowing:" } ul { @for warning in warnings { li { (parts::lines(warning)) } } } }
    } }
}

/// TOML for people to read, in folds of its tables.
fn toml(text: &str) -> Markup {
    let mut tables: Vec<(&str, Vec<&str>)> = vec![("Before the first table", Vec::new())];
    for line in text.lines() {
        let name = line.trim_start_matches('[').split([']', '.']).next().unwrap_or_default();
        let is_new = line.starts_with('[') && tables.last().is_some_and(|(last, _)| *last != name);
        if is_new {
            tables.push((name, Vec::new()));
        }
        if let Some((_, lines)) = tables.last_mut() {
            lines.push(line);
        }
    }
    html! { @for (name, lines) in tables.iter().filter(|(_, lines)| lines.iter().any(|line| !line.is_empty())) {
        details.fold { summary { (visible(name, 80)) }
            pre.json tabindex="0" { code { @for line in lines { (visible(line, 4000)) "\n" } } }
        }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_and_none_is_markup() {
        let told = Validation {
            valid: false,
            problems: vec!["gateway.toml:1: <script>".into(), "second\u{202e}".into()],
            warnings: vec!["<b>w</b>".into()],
        };
        let shown = outcome(&Done::Validated(told)).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>w") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("2 problems") && shown.contains("second"), "{shown}");
    }

    #[test]
    fn settings_are_folded_by_their_tables() {
        let shown = toml("a = 1\n\n[ops]\naddress = \"<x>\"\n[ops.x]\nb = 2\n[[routes]]\nc = 3\n").into_string();
        assert_eq!(shown.matches("<details").count(), 3, "{shown}");
        assert!(!shown.contains("<x>") && shown.contains("routes"), "{shown}");
    }
}
