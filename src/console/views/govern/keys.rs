//! Gateway keys: issued, rotated, revoked.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::callers::ways;
use super::words::{LIVES, caller_path};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::form::{Act, select};
use crate::console::parts::table::List;
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::callers::CallersView;
use crate::control::api::keys::KeyView;
use crate::control::api::words;

const MONTH: i64 = 30 * 86_400_000_000;

/// The list, and the form for a new one.
pub(super) async fn page(visit: Visit) -> Answer {
    let mut path = "/api/v1/keys?limit=50".to_owned();
    for name in ["tenant", "team", "user", "after"] {
        if let Some(value) = visit.query().get(name) {
            path.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let found: words::Page<KeyView> = visit.get(&path).await?;
    let since = time::now().saturating_sub(MONTH);
    let used: Option<CallersView> =
        visit.maybe(&format!("/api/v1/callers?kind=key&sort=last&limit=200&from={since}")).await?;
    let last: BTreeMap<String, i64> =
        used.into_iter().flat_map(|used| used.items).map(|one| (one.name, one.last)).collect();
    let body = html! {
        (ways(&visit))
        @if visit.may_manage() { (parts::fold("Issue a key", &issue(&visit))) }
        (filters(&visit, &[Filter::Text("tenant", "Tenant"), Filter::Text("team", "Team"), Filter::Text("user", "User")]))
        (List {
            part: "keys",
            caption: "Gateway keys",
            heads: &["Key", "State", "Whose", "Models", "Made", "Ends", "Last request", ""],
            rows: found.items.iter().map(|key| row(&visit, key, &last)).collect(),
            next: found.next.map(|next| ("after", next)),
            none: ("There are no gateway keys here.", "Keys of gateway.toml are not listed: they stand in that file."),
        }.show(&visit))
        p.quiet { "The last request is looked for in the newest requests of the last 30 days." }
    };
    Ok(Page::new("/callers", "Gateway keys", body))
}

/// In a word how a key stands.
fn state(key: &KeyView, now: i64) -> &'static str {
    if key.revoked.is_some() {
        "revoked"
    } else if key.expires.is_some_and(|end| end <= now) {
        "expired"
    } else if key.not_before.is_some_and(|begin| begin > now) {
        "waiting"
    } else {
        "good"
    }
}

fn owner(key: &KeyView) -> Markup {
    let parts = [("tenant", &key.tenant), ("team", &key.team), ("user", &key.user), ("agent", &key.agent)];
    html! {
        @if parts.iter().all(|(_, name)| name.is_none()) { span.quiet { "nobody's in particular" } }
        @for (kind, name) in parts { @if let Some(name) = name {
            div { (kind) " " a href=(caller_path(kind, name)) { (parts::name(name)) } }
        } }
    }
}

fn row(visit: &Visit, key: &KeyView, last: &BTreeMap<String, i64>) -> Markup {
    let state = state(key, time::now());
    // Records name a key by the first of its line.
    let family = key.rotated_from.as_ref().unwrap_or(&key.id);
    html! { tr data-id=(key.id) {
        td {
            a href=(caller_path("key", family)) { (parts::name(&key.name)) }
            div { code { (parts::name(&key.prefix)) "…" } }
            @if !key.note.is_empty() { div.quiet { (parts::name(&key.note)) } }
        }
        td { (badge::state(state)) }
        td { (owner(key)) }
        td { @if key.models.is_empty() { "all" } @for model in &key.models { div { code { (parts::name(model)) } } } }
        td { (time::ago(key.created)) " by " (parts::name(&key.created_by)) }
        td { @match (key.revoked, key.expires) {
            (Some(at), _) => { "revoked " (time::ago(at)) },
            (None, Some(at)) => (time::at(at)),
            (None, None) => "never",
        } }
        td { @match last.get(family) { Some(at) => (time::ago(*at)), None => span.quiet { "–" } } }
        td { @if visit.may_manage() && matches!(state, "good" | "waiting") { (parts::fold("Change", &changes(visit, key))) } }
    } }
}

fn changes(visit: &Visit, key: &KeyView) -> Markup {
    let path = format!("/api/v1/keys/{}", part(&key.id));
    let overlaps = [("0", "at once"), ("3600", "after 1 hour"), ("86400", "after 1 day"), ("604800", "after 1 week")];
    let ends: Vec<(&str, &str)> = LIVES.iter().copied().chain([("null", "never")]).collect();
    html! {
        (Act::post(&format!("{path}/rotate")).once("The new key").form(visit, "inline", &html! {
            (select("overlap:number", "The old key ends", &overlaps, "86400"))
            button type="submit" { "Rotate" }
        }))
        (Act::patch(&path).form(visit, "inline", &html! {
            (select("expires_in:json", "Ends from now in", &ends, "2592000"))
            button type="submit" { "Set end" }
        }))
        (Act::delete(&path).sure("Revoke this key? The next request with it fails, and it cannot be undone.").form(visit, "inline", &html! {
            button.danger type="submit" { "Revoke" }
        }))
    }
}

fn issue(visit: &Visit) -> Markup {
    let lives: Vec<(&str, &str)> = LIVES.iter().copied().chain([("", "for ever")]).collect();
    Act::post("/api/v1/keys").once("The key").form(
        visit,
        "panel stack",
        &html! {
            div.row {
                label { "Name" input name="name" required maxlength="128"; }
                label { "Tenant" input name="tenant" maxlength="256"; }
                label { "Team" input name="team" maxlength="256"; }
                label { "User" input name="user" maxlength="256"; }
                label { "Agent" input name="agent" maxlength="256"; }
            }
            fieldset {
                legend { "Models it may use (none: all; * stands for any characters)" }
                @for number in 1..=3 { label { "Model " (number) input name="models[]" maxlength="256"; } " " }
            }
            div.row {
                (select("expires_in:number", "Good for", &lives, "7776000"))
                label { "Note" input name="note" maxlength="1000" size="40"; }
            }
            button.main type="submit" { "Issue key" }
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_says_how_it_stands_and_whose_it_is() {
        let key = |extra: serde_json::Value| -> KeyView {
            let mut key = json!({ "id": "key_1", "name": "app", "prefix": "pck_ab", "models": [], "created_by": "root",
                "created": 1, "note": "", "team": "<i>blue</i>" });
            key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            serde_json::from_value(key).unwrap()
        };
        assert_eq!(state(&key(json!({})), 10), "good");
        assert_eq!(state(&key(json!({ "expires": 10 })), 10), "expired");
        assert_eq!(state(&key(json!({ "expires": 10, "revoked": 5 })), 10), "revoked");
        assert_eq!(state(&key(json!({ "not_before": 11 })), 10), "waiting");
        let shown = owner(&key(json!({}))).into_string();
        assert!(!shown.contains("<i>") && shown.contains("/console/callers/team/%3Ci%3Eblue%3C%2Fi%3E"), "{shown}");
    }
}
