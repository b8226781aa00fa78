//! Conversations: requests put together by their session.

use axum::response::Response;
use maud::{Markup, html};

use super::requests::and;
use super::words::{asked, chips, session_link};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::export::{self, Columns, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::name_or_dash;
use crate::console::parts::number::{count, dollars, micros};
use crate::console::parts::table::List;
use crate::console::parts::time::{ago, lasting};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::conversations::ConversationView;
use crate::control::api::words::Page as Listed;
use crate::types::Decision;

const FACETS: [&str; 4] = ["tenant", "user", "key", "decision"];

const COLUMNS: &Columns = &[
    ("session", "/session"),
    ("requests", "/requests"),
    ("first", "/first"),
    ("last", "/last"),
    ("blocked", "/blocked"),
    ("flagged", "/flagged"),
    ("risk", "/risk"),
    ("input_tokens", "/input_tokens"),
    ("output_tokens", "/output_tokens"),
    ("cost_nano_usd", "/cost_nano_usd"),
    ("micros", "/micros"),
    ("tenant", "/tenant"),
    ("user", "/user"),
    ("key", "/key"),
    ("agent", "/agent"),
    ("model", "/model"),
];

/// The list as a file.
pub(super) async fn file(visit: Visit, format: Format) -> Result<Response, Trouble> {
    let query = asked(&visit, &FACETS, Some("24h"));
    export::file(&visit, format, "sessions", ("/api/v1/conversations", &query), COLUMNS).await
}

/// The list.
pub(super) async fn list(visit: Visit) -> Answer {
    let query = asked(&visit, &FACETS, Some("24h"));
    let found: Listed<ConversationView> = visit.get(&and(&query.on("/api/v1/conversations"), "limit=100")).await?;
    let decisions: Vec<(&str, &str)> = Decision::ALL.iter().map(|one| (one.name(), one.name())).collect();
    let list = List {
        part: "sessions",
        caption: "Sessions, that with the newest request first",
        heads: &[
            "Session", "User", "Model", "#Turns", "#Blocked", "#Flagged", "#Risk", "#Tokens", "#Cost", "#Took",
            "Lasted", "Last",
        ],
        rows: found.items.iter().map(row).collect(),
        next: found.next.map(|next| ("before", next)),
        none: (
            "There is no session in this period.",
            "Requests get one from a header, their body, or how a conversation begins: choose a longer period.",
        ),
    };
    let body = html! {
        (filters(&visit, &[
            Filter::One("decision", "With a request", &decisions),
            Filter::Range,
            Filter::Text("user", "User"),
            Filter::Text("tenant", "Tenant"),
            Filter::Text("key", "Key"),
        ]))
        (chips(&visit, &FACETS))
        (export::links(&visit))
        (list.show(&visit))
    };
    Ok(Page::new("/sessions", "Sessions", body))
}

fn row(one: &ConversationView) -> Markup {
    let figure = |number: i64| count(u64::try_from(number).unwrap_or(0));
    html! {
        tr data-id=(part(&one.session)) {
            td { (session_link(&one.session)) }
            td { (name_or_dash(one.user.as_deref().or(one.key.as_deref()))) }
            td { (name_or_dash(one.model.as_deref())) }
            td.n { (figure(one.requests)) }
            td.n { @if one.blocked > 0 { span.badge.block { span aria-hidden="true" { "▲ " } (figure(one.blocked)) } } @else { "0" } }
            td.n { (figure(one.flagged)) }
            td.n { (format!("{:.2}", one.risk)) }
            td.n { (figure(one.input_tokens.saturating_add(one.output_tokens))) }
            td.n { (dollars(one.cost_nano_usd)) }
            td.n { (micros(u64::try_from(one.micros).unwrap_or(0))) }
            td { (lasting(one.last.saturating_sub(one.first))) }
            td { (ago(one.last)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_with_a_hostile_name_is_text_and_one_part_of_a_path() {
        let one = serde_json::from_value(serde_json::json!({
            "session": "\"><script>/../x", "requests": 2, "first": 1, "last": 9_000_000, "blocked": 1, "flagged": 0, "risk": 0.5,
            "input_tokens": 3, "output_tokens": 4, "cost_nano_usd": 0, "micros": 5, "user": "<b>",
        }));
        let shown = row(&one.unwrap()).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>"), "{shown}");
        assert!(shown.contains("/console/sessions/%22%3E%3Cscript%3E%2F..%2Fx"), "{shown}");
    }
}
