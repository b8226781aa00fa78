//! Learned rules as a file, and rules of others taken over.

use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::ways;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::query::Query;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::console::{Answer, Console};
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
            div.row { @for (state, label) in STATES { a.button download="" href={ "/console/learning/rules.yaml?state=" (state) } { (label) } } }
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
pub(in crate::console::views::detection) async fn download(
    State(console): State<Console>,
    request: Request,
) -> Response {
    let visit = match Visit::begin(&console, request).await {
        Ok(visit) => visit,
        Err(answer) => return answer,
    };
    match exported(&visit).await {
        Ok((name, rules)) => {
            let mut answer = rules.into_response();
            let headers = answer.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
            answer
        }
        Err(trouble) => visit.tell(&trouble),
    }
}

async fn exported(visit: &Visit) -> Result<(&'static str, String), Trouble> {
    let asked = visit.query().get("state").unwrap_or("live");
    let (state, name) = match asked {
        "shadow" => ("shadow", "attachment; filename=\"learned-shadow.yaml\""),
        "canary" => ("canary", "attachment; filename=\"learned-canary.yaml\""),
        _ => ("live", "attachment; filename=\"learned-live.yaml\""),
    };
    let path = Query::default().with("state", state).on("/api/v1/learn/export");
    let exported: Exported = visit.get(&path).await?;
    Ok((name, exported.rules))
}
