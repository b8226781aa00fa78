//! The playground: a chat through the whole data path. With scripts the answer comes piece by piece (`playground.js`); without
//! them a form shows one exchange.

use axum::extract::{Request, State};
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::parts::form::{csrf, select};
use crate::console::parts::{badge, lines, number};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::console::{Answer, Console};
use crate::control::api::trying::ChatModel;
use crate::control::api::trying::chat::Answered;
use crate::control::api::trying::verdict::Tried;

/// What was written into the form, to be shown in it again.
#[derive(Default)]
struct Written {
    model: String,
    policy: String,
    system: String,
    prompt: String,
    compares: bool,
}

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    show(&visit, &Written::default(), &html! {}).await
}

/// The form of the page, where there are no scripts.
pub(super) async fn submit(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let looked = Request::from_parts(head.clone(), axum::body::Body::empty());
    let visit = match Visit::begin(&console, looked).await {
        Ok(visit) => visit,
        Err(answer) => return answer,
    };
    match answered(&visit, Request::from_parts(head, body)).await {
        Ok(page) => visit.render(page),
        Err(trouble) => visit.tell(&trouble),
    }
}

async fn answered(visit: &Visit, request: Request) -> Answer {
    let form = Form::read(request).await?;
    if !bool::from(form.get("_csrf").as_bytes().ct_eq(visit.csrf().as_bytes())) {
        return Err(Trouble::forbidden("This form is not from a page of your session: load the page again."));
    }
    let text = |name: &str| form.get(name).trim().to_owned();
    let written = Written {
        model: text("model"),
        policy: text("policy"),
        system: text("system"),
        prompt: text("prompt"),
        compares: !form.get("compare").is_empty(),
    };
    if written.prompt.is_empty() {
        return Err(Trouble::bad("There is nothing to say: write a message."));
    }
    let enforced: Answered = visit.post("/api/v1/playground", &asked(&written, false)).await?;
    let watched: Option<Answered> = match written.compares {
        true => Some(visit.post("/api/v1/playground", &asked(&written, true)).await?),
        false => None,
    };
    let said = html! {
        (exchange("Answer", &written.prompt, &enforced))
        @if let Some(watched) = &watched { (exchange("The same, only reported", &written.prompt, watched)) }
    };
    show(visit, &written, &said).await
}

fn asked(written: &Written, monitor: bool) -> Value {
    let system = (!written.system.is_empty()).then(|| json!({ "role": "system", "content": written.system }));
    let user = json!({ "role": "user", "content": written.prompt });
    let messages: Vec<Value> = system.into_iter().chain([user]).collect();
    let policy = (!written.policy.is_empty()).then_some(&written.policy);
    json!({ "model": written.model, "messages": messages, "policy": policy, "monitor": monitor })
}

async fn show(visit: &Visit, written: &Written, said: &Markup) -> Answer {
    if !visit.may_work() {
        return Err(Trouble::forbidden("The playground is for analysts, responders and administrators."));
    }
    let models: Vec<ChatModel> = visit.get("/api/v1/playground/models").await?;
    let policies: Vec<Value> = if visit.may_manage() { policies(visit).await? } else { Vec::new() };
    let rehearsal = models.iter().any(|model| model.rehearsal);
    let body = html! {
        p.quiet {
            "What you write here goes through this gateway as any client's request does: identity, policy, limits, inspection, the \
             model, the answer's inspection and the record. It is sent as user " b { (visit.me().name) } " of team "
            b { "playground" } "."
        }
        @if rehearsal {
            div.notice { p { "No provider key is set for some models: the built-in rehearsal model answers in their place." } }
        }
        (form_of(visit, written, &models, &policies))
        div.chat id="chat" role="log" aria-label="Conversation" aria-live="polite" { (said) }
        p.quiet id="kept" {
            "The conversation is kept in this browser only, until you clear it or sign out. The requests are in the records, as any others."
        }
    };
    Ok(Page::new("/playground", "Playground", body).script("playground.js"))
}

async fn policies(visit: &Visit) -> Result<Vec<Value>, Trouble> {
    let said: Value = visit.get("/api/v1/policies").await?;
    let items = said.get("items").cloned().unwrap_or(said);
    Ok(serde_json::from_value(items).unwrap_or_default())
}

fn form_of(visit: &Visit, written: &Written, models: &[ChatModel], policies: &[Value]) -> Markup {
    let first = models.first().map_or("gpt-4o-mini", |model| model.name.as_str());
    let model = if written.model.is_empty() { first } else { &written.model };
    let names: Vec<&str> = policies.iter().filter_map(|one| one.get("name")?.as_str()).collect();
    let choices: Vec<(&str, &str)> =
        std::iter::once(("", "the one that matches")).chain(names.iter().map(|name| (*name, *name))).collect();
    html! {
        form.panel.stack.ask id="ask" method="post" action="/console/playground" data-account=(visit.me().name) {
            (csrf(visit))
            div.filters {
                label { "Model"
                    input name="model" list="models" value=(model) required maxlength="256" autocomplete="off" spellcheck="false";
                }
                datalist id="models" { @for model in models {
                    option value=(model.name) { @if model.rehearsal { "rehearsal" } @else { (model.api) } }
                } }
                @if visit.may_manage() {
                    (select("policy", "Policy", &choices, &written.policy))
                    label.check { input type="checkbox" name="compare" value="1" checked[written.compares]; "Compare with consequences off" }
                }
            }
            details.fold open[!written.system.is_empty()] {
                summary { "System message" }
                label { "What the operator of an application would say first" textarea name="system" maxlength="20000" rows="3" { (written.system) } }
            }
            label { "Message" textarea name="prompt" required maxlength="50000" rows="4" { (written.prompt) } }
            div.row {
                button.main type="submit" title="Ctrl and Enter" { "Send" }
                button type="button" id="stop" hidden { "Stop" }
                button type="button" id="again" hidden { "Regenerate" }
                button type="button" id="to-json" hidden { "Export JSON" }
                button type="button" id="to-markdown" hidden { "Export Markdown" }
                button.danger type="button" id="clear" hidden { "Clear" }
            }
        }
    }
}

/// One exchange, without scripts.
fn exchange(title: &str, prompt: &str, answer: &Answered) -> Markup {
    html! {
        article.message.user { h2 { "You" } div.words { (lines(prompt)) } }
        article.message.assistant {
            h2 { (title) }
            div.words {
                @if !answer.text.is_empty() { (lines(&answer.text)) }
                @if let Some(refused) = &answer.refused {
                    div.notice.bad { p { (refused.message) } p.quiet { code { (refused.code) } " " (refused.status) } }
                }
                @if let Some(broken) = &answer.broken { div.notice.unsure { p { (broken) } } }
            }
            (verdict(&answer.record))
        }
    }
}

/// What the record says, under a message.
fn verdict(record: &Tried) -> Markup {
    let tokens = record.input_tokens.zip(record.output_tokens);
    html! {
        @if !record.request.is_empty() {
            p.verdict {
                @if record.decision.is_empty() { span.quiet { "The record is not written yet." } } @else { (badge::state(&record.decision)) }
                @if record.judged != record.decision && !record.judged.is_empty() {
                    " " span.quiet { "(would have been " (record.judged) ")" }
                }
                " " a href={ "/console/requests/" (record.request) } { "Request" }
                @if let Some((input, output)) = tokens { " · " (number::count(input)) " + " (number::count(output)) " tokens" }
                @if let Some(cost) = record.nano_usd { " · " (number::dollars(i64::try_from(cost).unwrap_or(i64::MAX))) }
                " · " (number::micros(record.total_micros)) ", inspection " (number::micros(record.scan_micros))
                @for rule in &record.rules { " " a.badge href={ "/console/rules/" (rule) } { (rule) } }
            }
        }
    }
}
