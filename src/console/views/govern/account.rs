//! One's own account: password, sessions, API tokens.

use maud::{Markup, html};

use super::accounts::roles;
use super::settings::ways;
use super::words::LIVES;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::form::{Act, select};
use crate::console::parts::table::List;
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::sessions::SessionView;
use crate::control::api::tokens::TokenView;
use crate::control::api::words;
use crate::types::AccessRole;

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let sessions: words::Page<SessionView> = visit.get("/api/v1/sessions?limit=100").await?;
    let tokens: words::Page<TokenView> = visit.get("/api/v1/tokens?limit=200").await?;
    let me = visit.me();
    let own = sessions.items.iter().find(|session| session.id == me.credential);
    let has_password = own.is_none_or(|session| session.method != "oidc");
    let body = html! {
        (ways(&visit))
        (parts::facts(&[
            ("Signed in as", parts::name(&me.name)),
            ("Account", html! { code { (parts::name(&me.account)) } }),
            ("Roles", html! { @for role in &me.roles { span.badge { (AccessRole::from(*role).name()) } " " } }),
        ]))
        section.panel { h2 { "Password" }
            @if has_password { (password(&visit)) } @else { p { "Your password is kept by your identity provider." } }
        }
        h2 { "Sessions" }
        (List {
            part: "sessions",
            caption: "Your sessions",
            heads: &["Program", "Address", "Begun", "Last seen", "Ends", ""],
            rows: sessions.items.iter().map(|one| html! { tr data-id=(one.id) { (session(one)) td { (end(&visit, one)) } } }).collect(),
            next: None,
            none: ("There is no session.", ""),
        }.show(&visit))
        p { (Act::post("/api/v1/logout/all").back("/console/login").sure("End all your sessions, this one too?").button(&visit, "Sign out everywhere", &[])) }
        h2 { "API tokens" }
        (parts::fold("Make a token", &make(&visit)))
        (List {
            part: "tokens",
            caption: "Your API tokens",
            heads: &["Name", "State", "Roles", "Made", "Last used", "Ends", ""],
            rows: tokens.items.iter().map(|one| html! { tr data-id=(one.id) { (token(one, time::now())) td { (revoke(&visit, one)) } } }).collect(),
            next: None,
            none: ("You have no API tokens.", "A token lets a program ask the admin API in your name, with the roles you give it."),
        }.show(&visit))
    };
    Ok(Page::new("/settings", "Your account", body))
}

fn password(visit: &Visit) -> Markup {
    Act::post("/api/v1/me/password").form(visit, "stack", &html! {
        input type="text" name="_name" value=(visit.me().name) autocomplete="username" hidden;
        label { "Your password now" input type="password" name="current" required maxlength="256" autocomplete="current-password"; }
        label { "New password, 12 characters at least" input type="password" name="new" required minlength="12" maxlength="256" autocomplete="new-password"; }
        button type="submit" { "Change password" }
        p.quiet { "Your other sessions end." }
    })
}

fn session(one: &SessionView) -> Markup {
    html! {
        td { (parts::name(&one.agent)) div.quiet { (parts::name(&one.method)) } }
        td { (parts::name_or_dash(one.address.as_deref())) }
        td { (time::at(one.created)) }
        td { (time::ago(one.last_seen)) }
        td { (time::at(one.expires)) }
    }
}

fn end(visit: &Visit, one: &SessionView) -> Markup {
    html! {
        @if one.id == visit.me().credential { span.quiet { "this one" } }
        @else { (Act::delete(&format!("/api/v1/sessions/{}", part(&one.id))).button(visit, "End", &[])) }
    }
}

fn token_state(one: &TokenView, now: i64) -> &'static str {
    if one.revoked.is_some() {
        "revoked"
    } else if one.expires <= now {
        "expired"
    } else {
        "good"
    }
}

/// A token, without the cell of what can be done with it.
pub(super) fn token(one: &TokenView, now: i64) -> Markup {
    html! {
        td { (parts::name(&one.name)) div.quiet { code { (parts::name(&one.shown)) "…" } } }
        td { (badge::state(token_state(one, now))) }
        td { @for role in &one.roles { span.badge { (AccessRole::from(*role).name()) } " " } }
        td { (time::ago(one.created)) " by " (parts::name(&one.created_by)) }
        td { @match one.last_used { Some(at) => (time::ago(at)), None => span.quiet { "never" } } }
        td { (time::at(one.expires)) }
    }
}

/// The way to revoke it, where it is good.
pub(super) fn revoke(visit: &Visit, one: &TokenView) -> Markup {
    html! { @if token_state(one, time::now()) == "good" {
        (Act::delete(&format!("/api/v1/tokens/{}", part(&one.id))).sure("Revoke this token? The next request with it fails.").button(visit, "Revoke", &[]))
    } }
}

fn make(visit: &Visit) -> Markup {
    Act::post("/api/v1/tokens").once("The API token").form(
        visit,
        "panel stack",
        &html! {
            label { "Name" input name="name" required maxlength="128"; }
            (roles(&[AccessRole::Viewer]))
            (select("expires_in:number", "Good for", &LIVES, "2592000"))
            button.main type="submit" { "Make a token" }
            p.quiet { "No longer than admin.token_lifetime allows, and with roles that you have." }
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_browser_calls_itself_is_only_words() {
        let one: SessionView = serde_json::from_value(json!({ "id": "ses_1", "account": "acc_1", "method": "password",
            "address": "192.0.2.1", "agent": "<script>\u{202e}", "created": 1, "last_seen": 1, "expires": 2 }))
        .unwrap();
        let shown = session(&one).into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        let one: TokenView =
            serde_json::from_value(json!({ "id": "tok_1", "account": "acc_1", "name": "<b>", "shown": "pct_ab",
            "roles": ["viewer"], "created": 1, "created_by": "root", "expires": 10 }))
            .unwrap();
        assert_eq!((token_state(&one, 9), token_state(&one, 10)), ("good", "expired"));
        assert!(!token(&one, 5).into_string().contains("<b>"));
    }
}
