//! API tokens: everybody's, with those of service accounts, which nobody signs in with.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::account::{revoke, token};
use super::settings::ways;
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::table::List;
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::accounts::AccountView;
use crate::control::api::tokens::TokenView;
use crate::control::api::words;

/// The list: of one account, or of all.
pub(super) async fn page(visit: Visit) -> Answer {
    let of = visit.query().get("account").unwrap_or("*");
    let after = visit.query().get("after").map(|after| format!("&after={}", part(after))).unwrap_or_default();
    let found: words::Page<TokenView> =
        visit.get(&format!("/api/v1/tokens?account={}&limit=100{after}", part(of))).await?;
    let accounts: words::Page<AccountView> = visit.get("/api/v1/accounts?limit=500").await?;
    let names: BTreeMap<&str, &str> =
        accounts.items.iter().map(|account| (account.id.as_str(), account.name.as_str())).collect();
    let body = html! {
        (ways(&visit))
        @if of != "*" { p { "Those of " b { (parts::name(names.get(of).copied().unwrap_or(of))) } ". " a href="/console/tokens" { "All tokens" } } }
        (List {
            part: "tokens",
            caption: "API tokens",
            heads: &["Account", "Name", "State", "Roles", "Made", "Last used", "Ends", ""],
            rows: found.items.iter().map(|one| row(&visit, &names, one)).collect(),
            next: found.next.map(|next| ("after", next)),
            none: ("There are no API tokens.", "Service accounts get theirs at Accounts, people make their own at Your account."),
        }.show(&visit))
    };
    Ok(Page::new("/settings", "API tokens", body))
}

fn row(visit: &Visit, names: &BTreeMap<&str, &str>, one: &TokenView) -> Markup {
    html! { tr data-id=(one.id) {
        td { (whose(names, one)) }
        (token(one, time::now()))
        td { @if visit.may_manage() { (revoke(visit, one)) } }
    } }
}

fn whose(names: &BTreeMap<&str, &str>, one: &TokenView) -> Markup {
    let shown = names.get(one.account.as_str()).copied().unwrap_or(&one.account);
    html! { a href={ "/console/tokens?account=" (part(&one.account)) } { (parts::name(shown)) } }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whose_a_token_is_stands_there_as_words() {
        let one: TokenView = serde_json::from_value(json!({ "id": "tok_1", "account": "acc_1&x", "name": "n",
            "shown": "pct_ab", "roles": ["viewer"], "created": 1, "created_by": "root", "expires": 10 }))
        .unwrap();
        let shown = whose(&BTreeMap::from([("acc_1&x", "<b>")]), &one).into_string();
        assert!(!shown.contains("<b>") && shown.contains("account=acc_1%26x"), "{shown}");
        assert!(whose(&BTreeMap::new(), &one).into_string().contains("acc_1&amp;x"));
    }
}
