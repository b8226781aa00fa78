//! Accounts: who may sign in, and what they may do.

use maud::{Markup, html};

use super::settings::ways;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::form::{Act, select};
use crate::console::parts::table::List;
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::accounts::{AccountKindWord, AccountView};
use crate::control::api::words;
use crate::types::AccessRole;

/// The list, and the form for a new one.
pub(super) async fn page(visit: Visit) -> Answer {
    let after = visit.query().get("after").map(|after| format!("&after={}", part(after))).unwrap_or_default();
    let found: words::Page<AccountView> = visit.get(&format!("/api/v1/accounts?limit=100{after}")).await?;
    let body = html! {
        (ways(&visit))
        @if visit.may_manage() { (parts::fold("Make an account", &make(&visit))) }
        (List {
            part: "accounts",
            caption: "Accounts",
            heads: &["Name", "Kind", "Roles", "State", "Last sign-in", "Made", ""],
            rows: found.items.iter().map(|one| row(&visit, one)).collect(),
            next: found.next.map(|next| ("after", next)),
            none: ("There are no accounts.", ""),
        }.show(&visit))
    };
    Ok(Page::new("/settings", "Accounts", body))
}

/// A box for each role; whoever looks can give only what they have, and the API says so.
pub(super) fn roles(marked: &[AccessRole]) -> Markup {
    html! { fieldset { legend { "Roles" }
        // No box ticked is no role, not no change.
        input type="hidden" name="roles:json" value="[]";
        @for role in AccessRole::ALL {
            label.check { input type="checkbox" name="roles[]" value=(role.name()) checked[marked.contains(&role)]; (role.name()) } " "
        }
    } }
}

const fn kind(kind: AccountKindWord) -> &'static str {
    match kind {
        AccountKindWord::Local => "password",
        AccountKindWord::Service => "service (tokens only)",
        AccountKindWord::Oidc => "identity provider",
    }
}

fn row(visit: &Visit, one: &AccountView) -> Markup {
    let is_own = visit.me().account == one.id;
    html! { tr data-id=(one.id) {
        td { (named(one, is_own)) }
        td { (kind(one.kind)) }
        td { @for role in &one.roles { span.badge { (AccessRole::from(*role).name()) } " " } }
        td { @if one.disabled { (badge::state("disabled")) } @else { (badge::state("good")) } }
        td { @match one.last_login { Some(at) => (time::ago(at)), None => span.quiet { "never" } } }
        td { (time::ago(one.created)) " by " (parts::name(&one.created_by)) }
        td { @if visit.may_manage() { (parts::fold("Change", &changes(visit, one))) } }
    } }
}

fn named(one: &AccountView, is_own: bool) -> Markup {
    html! { (parts::name(&one.name)) @if is_own { span.quiet { " (you)" } } div.quiet { code { (parts::name(&one.id)) } } }
}

fn changes(visit: &Visit, one: &AccountView) -> Markup {
    let path = format!("/api/v1/accounts/{}", part(&one.id));
    let marked: Vec<AccessRole> = one.roles.iter().copied().map(AccessRole::from).collect();
    html! {
        (Act::patch(&path).sure("Change the roles? Sessions of this account end.").form(visit, "stack", &html! {
            (roles(&marked))
            button type="submit" { "Set roles" }
        }))
        div.row {
            @if one.disabled {
                (Act::patch(&path).button(visit, "Enable", &[("disabled:json", "false")]))
            } @else {
                (Act::patch(&path).sure("Disable this account? Its sessions end and its tokens stop working.").button(visit, "Disable", &[("disabled:json", "true")]))
            }
            (Act::post(&format!("{path}/logout")).sure("End all sessions of this account?").button(visit, "Sign out everywhere", &[]))
        }
        @if one.kind == AccountKindWord::Local {
            (Act::post(&format!("{path}/password")).sure("Set this password? Sessions of this account end.").form(visit, "inline", &html! {
                label { "New password" input type="password" name="password" minlength="12" maxlength="256" required autocomplete="new-password"; }
                button type="submit" { "Set password" }
            }))
        }
        @if one.kind == AccountKindWord::Service {
            p { a href={ "/console/tokens?account=" (part(&one.id)) } { "Its tokens" } }
            (token(visit, &one.id, &marked))
        }
        (Act::delete(&path).sure("Remove this account with its sessions and tokens?").form(visit, "inline", &html! {
            button.danger type="submit" { "Remove" }
        }))
    }
}

/// A token for a service account.
fn token(visit: &Visit, id: &str, marked: &[AccessRole]) -> Markup {
    Act::post("/api/v1/tokens").once("The API token").form(
        visit,
        "stack",
        &html! {
            input type="hidden" name="account" value=(id);
            label { "Name of the token" input name="name" required maxlength="128"; }
            (roles(marked))
            (select("expires_in:number", "Good for", &super::words::LIVES, "2592000"))
            button type="submit" { "Make a token" }
        },
    )
}

fn make(visit: &Visit) -> Markup {
    Act::post("/api/v1/accounts").form(visit, "panel stack", &html! {
        label { "Name (letters, digits, . _ @ -)" input name="name" required maxlength="64" pattern="[A-Za-z0-9._@\\-]{1,64}" autocomplete="off"; }
        (roles(&[AccessRole::Viewer]))
        label { "First password (12 characters at least; none makes a service account, which has tokens only)"
            input type="password" name="password" minlength="12" maxlength="256" autocomplete="new-password"; }
        button.main type="submit" { "Make account" }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_account_shows_its_name_as_words() {
        let one: AccountView = serde_json::from_value(json!({ "id": "acc_1", "name": "<b>eve</b>", "kind": "oidc",
            "roles": ["viewer"], "disabled": false, "created": 1, "created_by": "oidc" }))
        .unwrap();
        let shown = named(&one, true).into_string();
        assert!(!shown.contains("<b>") && shown.contains("(you)") && kind(one.kind) == "identity provider", "{shown}");
        let boxes = roles(&[AccessRole::Auditor]).into_string();
        assert_eq!((boxes.matches("checkbox").count(), boxes.matches(" checked").count()), (AccessRole::ALL.len(), 1));
    }
}
