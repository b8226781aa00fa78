//! Learned rules as a file, and rules of others taken over.

use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::ways;
use crate::console::Answer;
use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::parts::form::{Act, csrf};
use crate::console::query::Query;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::learn::proposals::Exported;

/// States that can be exported.
const STATES: [(&str, &str); 3] = [("live", "Live rules"), ("canary", "Canaries"), ("shadow", "Rules in the shadow")];

/// The page.
pub(in crate::console::views::detection) async fn page(visit: Visit) -> Answer {
    let body = html! {
        (ways("exchange"))
        div.columns { (export(&visit)) (import(&visit)) }
    };
    Ok(Page::new("/learning", "Export and import", body))
}

fn export(visit: &Visit) -> Markup {
    html! { section.panel {
        h2 { "Export" }
        p { "An ordinary rule file: each rule says where it comes from. Its examples are words that were reported." }
        @if visit.may_work() {
            p.quiet { "Who takes them stands in the audit trail." }
            form.row method="post" action="/console/learning/rules.yaml" data-file="" { (csrf(visit))
                @for (state, label) in STATES { button type="submit" name="state" value=(state) { (label) } }
            }
        } @else { p.quiet { "Your role does not read them." } }
    } }
}

fn import(visit: &Visit) -> Markup {
    let fields = html! {
        label { "A rule file" textarea name="rules" required maxlength="60000" rows="12" spellcheck="false" {} }
        button.main type="submit" { "Take over" }
    };
    html! { section.panel {
        h2 { "Import" }
        p { "Rules that were learned elsewhere pass the same gates, and somebody else lets them decide." }
        @if visit.may_decide() { (Act::post("/api/v1/learn/import").back("/console/learning").form(visit, "stack", &fields)) }
        @else { p.quiet { "Your role does not take rules over." } }
    } }
}

/// The rules as a file.
pub(in crate::console::views::detection) async fn download(visit: Visit, form: Form) -> Result<Response, Trouble> {
    let (state, name) = match form.get("state") {
        "shadow" => ("shadow", "attachment; filename=\"learned-shadow.yaml\""),
        "canary" => ("canary", "attachment; filename=\"learned-canary.yaml\""),
        _ => ("live", "attachment; filename=\"learned-live.yaml\""),
    };
    let path = Query::default().with("state", state).on("/api/v1/learn/export");
    let exported: Exported = visit.get(&path).await?;
    let mut answer = exported.rules.into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    Ok(answer)
}
