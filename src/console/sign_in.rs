//! Signing in and out, and the first administrator.

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::Console;
use super::api::Sender;
use super::forms::{Form, own};
use super::layout;
use super::query::Query;
use super::trouble::Trouble;
use super::visit::{me, with_cookies};

/// What the API says about the first administrator, and about other ways to sign in.
#[derive(Deserialize)]
struct Setup {
    needed: bool,
    #[serde(default)]
    oidc: bool,
}

/// Leads to where one can sign in, and back afterwards.
pub(super) fn first(from: &Uri) -> Response {
    let there = from.path_and_query().map_or("/console", axum::http::uri::PathAndQuery::as_str);
    Redirect::to(&Query::default().with("next", there).on("/console/login")).into_response()
}

/// Has the browser ask once more, from a page of ours: along a link from elsewhere it sends no cookie.
pub(super) fn again(from: &Uri) -> Response {
    let there = from.path_and_query().map_or("/console", axum::http::uri::PathAndQuery::as_str);
    let body = html! { p { a data-follow="" href=(own(there).unwrap_or_else(|| "/console".to_owned())) { "Go on" } } };
    layout::outside(StatusCode::OK, "Portcullis", &body)
}

/// The page to sign in at.
pub(super) async fn page(State(console): State<Console>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let sender = Sender::of(&head);
    let query = Query::parse(head.uri.query().unwrap_or_default());
    let next = query.get("next").and_then(own).unwrap_or_else(|| "/console".to_owned());
    if me(&console, &sender).await.is_ok() {
        return Redirect::to(&next).into_response();
    }
    match setup_state(&console, &sender).await {
        Ok(state) if state.needed => Redirect::to("/console/setup").into_response(),
        Ok(state) => layout::outside(StatusCode::OK, "Sign in", &fields(&next, None, state.oidc)),
        Err(trouble) => layout::outside(trouble.status, "Sign in", &fields(&next, Some(&trouble), false)),
    }
}

async fn setup_state(console: &Console, sender: &Sender) -> Result<Setup, Trouble> {
    let told = console.0.api.send(sender, Method::GET, "/api/v1/setup", None, None).await?;
    serde_json::from_value(told.json()?).map_err(|error| Trouble::unreadable(&error))
}

fn fields(next: &str, trouble: Option<&Trouble>, oidc: bool) -> Markup {
    html! {
        @if let Some(trouble) = trouble { (layout::told(trouble)) }
        form.stack method="post" action="/console/login" {
            input type="hidden" name="next" value=(next);
            label { "Name" input name="name" autocomplete="username" required autofocus maxlength="64"; }
            label { "Password" input type="password" name="password" autocomplete="current-password" required maxlength="256"; }
            button.main type="submit" { "Sign in" }
        }
        @if oidc { p { a.button href="/api/v1/oidc/login" { "Sign in with your organisation" } } }
    }
}

/// Signs in.
pub(super) async fn submit(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let sender = Sender::of(&head);
    let form = match Form::read(Request::from_parts(head, body)).await {
        Ok(form) => form,
        Err(trouble) => return layout::outside(trouble.status, "Sign in", &fields("/console", Some(&trouble), false)),
    };
    let next = own(form.get("next")).unwrap_or_else(|| "/console".to_owned());
    let asked = json!({ "name": form.get("name"), "password": form.get("password") });
    let told = match console.0.api.send(&sender, Method::POST, "/api/v1/login", Some(&asked), None).await {
        Ok(told) => told,
        Err(trouble) => return layout::outside(trouble.status, "Sign in", &fields(&next, Some(&trouble), false)),
    };
    match told.json() {
        Ok(_) => with_cookies(Redirect::to(&next).into_response(), &told),
        Err(trouble) => layout::outside(trouble.status, "Sign in", &fields(&next, Some(&trouble), false)),
    }
}

/// The page for the first administrator.
pub(super) async fn setup_page(State(console): State<Console>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    match setup_state(&console, &Sender::of(&head)).await {
        Ok(state) if state.needed => layout::outside(StatusCode::OK, "The first administrator", &setup_fields(None)),
        Ok(_) => Redirect::to("/console/login").into_response(),
        Err(trouble) => layout::outside(trouble.status, "The first administrator", &layout::told(&trouble)),
    }
}

fn setup_fields(trouble: Option<&Trouble>) -> Markup {
    html! {
        @if let Some(trouble) = trouble { (layout::told(trouble)) }
        p { "The gateway printed a one-time token when it started. Whoever has it makes the first account." }
        form.stack method="post" action="/console/setup" {
            label { "One-time token" input name="token" required autofocus autocomplete="off" spellcheck="false" maxlength="256"; }
            label { "Name" input name="name" autocomplete="username" required maxlength="64"; }
            label { "Password, at least 12 characters"
                input type="password" name="password" autocomplete="new-password" required minlength="12" maxlength="256"; }
            button.main type="submit" { "Make the account and sign in" }
        }
    }
}

/// Makes the first administrator.
pub(super) async fn setup(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let sender = Sender::of(&head);
    let made = async {
        let form = Form::read(Request::from_parts(head, body)).await?;
        let asked = json!({ "token": form.get("token"), "name": form.get("name"), "password": form.get("password") });
        let told = console.0.api.send(&sender, Method::POST, "/api/v1/setup", Some(&asked), None).await?;
        told.json()?;
        Ok(told)
    };
    match made.await {
        Ok(told) => with_cookies(Redirect::to("/console").into_response(), &told),
        Err(trouble) => {
            let trouble: Trouble = trouble;
            layout::outside(trouble.status, "The first administrator", &setup_fields(Some(&trouble)))
        }
    }
}

/// Signs out.
pub(super) async fn leave(State(console): State<Console>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let sender = Sender::of(&head);
    let left = async {
        let form = Form::read(Request::from_parts(head, body)).await?;
        let told = console.0.api.send(&sender, Method::POST, "/api/v1/logout", None, Some(form.get("_csrf"))).await?;
        told.json()?;
        Ok(told)
    };
    match left.await {
        Ok(told) => with_cookies(Redirect::to("/console/login").into_response(), &told),
        Err(trouble) => {
            let trouble: Trouble = trouble;
            layout::outside(trouble.status, "Sign out", &layout::told_and_back(&trouble, "/console"))
        }
    }
}
