//! The test bench: what the gateway makes of a text, and why.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::{ROLES, families, verdict};
use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::parts::form::{Act, csrf, select};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::console::{Answer, Console};
use crate::control::api::scan::ScanShown;

/// Characters of a text.
const LONGEST: &str = "60000";

const WAYS: [(&str, &str); 2] = [("input", "prompt, to the model"), ("output", "answer, from the model")];
const MODES: [(&str, &str); 4] =
    [("", "as configured"), ("default", "default"), ("aware", "aware"), ("strict", "strict")];

/// What is tried.
#[derive(Default)]
struct Tried {
    text: String,
    direction: String,
    role: String,
    mode: String,
    system: String,
}

/// The empty bench.
pub(super) async fn page(visit: Visit) -> Answer {
    let text = |name: &str| visit.query().get(name).unwrap_or_default().to_owned();
    let tried = Tried { direction: text("direction"), role: text("role"), ..Tried::default() };
    Ok(Page::new("/bench", "Test bench", fields(&visit, &tried)))
}

/// Judges a text, and shows it with the verdict. The text is in no address and in no log.
pub(super) async fn submit(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let visit = match Visit::begin(&console, Request::from_parts(head.clone(), Body::empty())).await {
        Ok(visit) => visit,
        Err(answer) => return answer,
    };
    match judged(&visit, Request::from_parts(head, body)).await {
        Ok(page) => visit.render(page),
        Err(trouble) => visit.tell(&trouble),
    }
}

async fn judged(visit: &Visit, request: Request) -> Answer {
    let form = Form::read(request).await?;
    form.check(visit.csrf())?;
    let tried = Tried::of(&form)?;
    let scan: ScanShown = visit.post("/api/v1/scan", &tried.body()).await?;
    let body = html! {
        section aria-label="Verdict" { (verdict::shown(&scan)) }
        @if visit.may_work() && tried.direction != "output" { (reports(visit, &tried, &scan)) }
        section { h2 { "Try another" } (fields(visit, &tried)) }
    };
    Ok(Page::new("/bench", "Test bench", body))
}

impl Tried {
    fn of(form: &Form) -> Result<Self, Trouble> {
        // Examples come as JSON, so that no end of a line is lost; what is typed has the ends of lines of browsers.
        let text = match form.get("text:json") {
            "" => form.get("text").replace("\r\n", "\n"),
            coded => serde_json::from_str(coded).map_err(|_| Trouble::bad("The text cannot be read."))?,
        };
        if text.is_empty() {
            return Err(Trouble::bad("There is no text to try."));
        }
        let own = |name: &str| form.get(name).to_owned();
        let system = own("system").replace("\r\n", "\n");
        Ok(Self { text, direction: own("direction"), role: own("role"), mode: own("mode"), system })
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let direction = if self.direction.is_empty() { "input" } else { &self.direction };
        body.insert("text".to_owned(), json!(self.text));
        body.insert("direction".to_owned(), json!(direction));
        for (name, value) in [("role", &self.role), ("mode", &self.mode), ("system", &self.system)] {
            if !value.is_empty() {
                body.insert(name.to_owned(), json!(value));
            }
        }
        Value::Object(body)
    }
}

fn fields(visit: &Visit, tried: &Tried) -> Markup {
    html! {
        form.stack.panel method="post" action="/console/bench" {
            (csrf(visit))
            // A line feed right behind the tag is not part of the text.
            label { "Text" textarea name="text" required maxlength=(LONGEST) rows="10" spellcheck="false" autocomplete="off" { "\n" (tried.text) } }
            div.row {
                (select("direction", "It is a", &WAYS, &tried.direction))
                (select("role", "Written by", &ROLES, &tried.role))
                (select("mode", "Security mode", &MODES, &tried.mode))
            }
            details.fold open[!tried.system.is_empty()] {
                summary { "System prompt that an answer was made under" }
                label { "System prompt" textarea name="system" maxlength=(LONGEST) rows="4" spellcheck="false" { "\n" (tried.system) } }
            }
            button.main type="submit" { "Judge it" }
            p.quiet { "It is judged by the rules and models in force, as a request with nothing else in it would be. Nothing is forwarded, "
                "stored or logged. A conversation can be pasted as a JSON list of messages with role and content." }
        }
    }
}

fn reports(visit: &Visit, tried: &Tried, scan: &ScanShown) -> Markup {
    let text = json!(tried.text).to_string();
    let families = families();
    let families: Vec<(&str, &str)> =
        std::iter::once(("", "not sure")).chain(families.iter().map(|(word, name)| (*word, name.as_str()))).collect();
    let common = html! {
        input type="hidden" name="text:json" value=(text);
        @if !tried.role.is_empty() { input type="hidden" name="role" value=(tried.role); }
        label { "Note" input name="note" maxlength="1000"; }
    };
    let act = Act::post("/api/v1/learn/reports").back("/console/learning/reports");
    let missed = html! { input type="hidden" name="kind" value="missed"; (select("family", "Kind of attack", &families, "")) (common) button type="submit" { "Report as missed" } };
    let alarm = html! { input type="hidden" name="kind" value="false_alarm"; (common) button type="submit" { "Report as false alarm" } };
    html! {
        section.panel {
            h2 { "Is this verdict wrong?" }
            @if scan.decision != "block" {
                h3 { "It is an attack that is let through" }
                p.quiet { "Rules are made of it at once, tried, and decide nothing before somebody else approved them." }
                (act.form(visit, "inline", &missed))
            }
            @if !scan.findings.is_empty() {
                h3 { "It is harmless" }
                p.quiet { "Somebody else confirms it; then nothing that is learned may hit it." }
                (act.form(visit, "inline", &alarm))
            }
        }
    }
}
