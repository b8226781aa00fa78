//! The frame around every page: the way around, who is signed in, what is live.

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Response};
use maud::{DOCTYPE, Markup, html};

use super::assets::url;
use super::parts::{form, time};
use super::trouble::Trouble;
use super::visit::Visit;
use crate::types::AccessRole;

/// A page without its frame.
pub(super) struct Page {
    place: &'static str,
    title: String,
    body: Markup,
    scripts: Vec<&'static str>,
    live: &'static [&'static str],
}

impl Page {
    /// A page that is reached by the entry `place` of the way around.
    pub(super) fn new(place: &'static str, title: impl Into<String>, body: Markup) -> Self {
        Self { place, title: title.into(), body, scripts: Vec::new(), live: &[] }
    }

    /// With a module of its own, by the name of its file.
    pub(super) fn script(mut self, name: &'static str) -> Self {
        self.scripts.push(name);
        self
    }

    /// Kept up to date: by which kinds of the feed.
    pub(super) fn live(mut self, kinds: &'static [&'static str]) -> Self {
        self.live = kinds;
        self
    }
}

/// An entry of the way around: path below `/console`, name, and who sees it.
type Entry = (&'static str, &'static str, &'static [AccessRole]);

const EVERYBODY: &[AccessRole] = &AccessRole::ALL;
const READERS: &[AccessRole] = &[AccessRole::Analyst, AccessRole::Responder, AccessRole::Admin, AccessRole::Auditor];
const AUDITORS: &[AccessRole] = &[AccessRole::Admin, AccessRole::Auditor];

/// The way around, in groups.
const WAYS: &[(&str, &[Entry])] = &[
    (
        "Now",
        &[
            ("", "Overview", EVERYBODY),
            ("/alerts", "Alerts", READERS),
            ("/incidents", "Incidents", READERS),
            ("/approvals", "Approvals", READERS),
            ("/remedies", "Remedies", READERS),
        ],
    ),
    (
        "Look into",
        &[
            ("/requests", "Requests", READERS),
            ("/sessions", "Sessions", READERS),
            ("/playbooks", "Playbooks", READERS),
            ("/callers", "Callers and keys", READERS),
            ("/spend", "Spend", AUDITORS),
        ],
    ),
    (
        "Detect",
        &[
            ("/rules", "Rules", EVERYBODY),
            ("/bench", "Test bench", READERS),
            ("/coverage", "Coverage", EVERYBODY),
            ("/learning", "Learning", READERS),
        ],
    ),
    ("Try", &[("/playground", "Playground", READERS), ("/lab", "Attack lab", READERS)]),
    (
        "Answer for",
        &[
            ("/compliance", "Compliance", AUDITORS),
            ("/reports", "Reports", AUDITORS),
            ("/audit", "Audit", AUDITORS),
            ("/settings", "Settings", EVERYBODY),
        ],
    ),
];

/// A page in its frame.
pub(super) fn framed(visit: &Visit, status: StatusCode, page: Page) -> Response {
    let me = visit.me();
    let title = page.title.clone();
    let body = html! {
        a.skip href="#main" { "Skip to the content" }
        header.top {
            button.menu type="button" hidden aria-expanded="false" aria-controls="ways" { "Menu" }
            a.brand href="/console" { span.mark aria-hidden="true" { "▮▯▮" } " Portcullis" }
            div.state id="monitoring" data-monitoring="" aria-live="polite" {
                @match visit.monitoring() {
                    Some(now) if now.off => { a href="/console/settings" {
                        "Monitoring is off" @if let Some(until) = now.until { ": " (time::until(until)) " to go" }
                    } },
                    Some(_) | None => {},
                }
            }
            span.link id="link" title="Live updates" { "" }
            button.theme type="button" hidden data-theme-switch="" { "Theme" }
            details.who {
                summary { (me.name) }
                div.card {
                    p { "Signed in as " b { (me.name) } }
                    p.quiet { @for role in &me.roles { (AccessRole::from(*role).name()) " " } }
                    p { a href="/console/account" { "Account, sessions and tokens" } }
                    form method="post" action="/console/logout" { (form::csrf(visit)) button type="submit" { "Sign out" } }
                }
            }
        }
        nav.ways id="ways" aria-label="Console" {
            @for (group, entries) in WAYS {
                @let seen: Vec<&Entry> = entries.iter().filter(|(_, _, roles)| visit.has(roles)).collect();
                @if !seen.is_empty() {
                    h2 { (group) }
                    ul { @for (path, name, _) in seen {
                        li { a href={ "/console" (path) } aria-current=[(page.place == *path).then_some("page")] { (name) } }
                    } }
                }
            }
        }
        main id="main" tabindex="-1" data-live=[(!page.live.is_empty()).then(|| page.live.join(" "))] { h1 { (page.title) } (page.body) }
        div.toasts id="toasts" role="status" aria-live="polite" {}
    };
    let scripts = std::iter::once("app.js").chain(page.scripts.iter().copied()).collect::<Vec<_>>();
    document(status, &title, Some(visit.csrf()), &scripts, &body)
}

/// A page for somebody who is not signed in, or that stands alone.
pub(super) fn outside(status: StatusCode, title: &str, body: &Markup) -> Response {
    let body = html! { main.alone id="main" { h1 { (title) } (body) } };
    document(status, title, None, &["alone.js"], &body)
}

fn document(status: StatusCode, title: &str, csrf: Option<&str>, scripts: &[&str], body: &Markup) -> Response {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(csrf) = csrf { meta name="csrf" content=(csrf); }
                title { (title) " - Portcullis" }
                link rel="icon" href=(url("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(url("console.css"));
                script src=(url("theme.js")) {}
                @for name in scripts { script type="module" src=(url(name)) {} }
            }
            body { (body) }
        }
    };
    (status, Html(page.into_string())).into_response()
}

/// What went wrong.
pub(super) fn told(trouble: &Trouble) -> Markup {
    html! { div.notice.bad role="alert" { p { (trouble.message) } p.quiet { code { (trouble.code) } } } }
}

/// What went wrong, and the way back.
pub(super) fn told_and_back(trouble: &Trouble, back: &str) -> Markup {
    html! { (told(trouble)) p { a.button href=(back) { "Back" } } }
}
