//! Remedies: what is in force against whom, for how long, and what was.

use axum::response::Response;
use maud::{Markup, html};

use super::words::{action, chips, read, subject, thing};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::export::{self, Columns, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::form::Act;
use crate::console::parts::table::{List, table};
use crate::console::parts::time::{ago, lasting, until};
use crate::console::parts::{badge, empty, name};
use crate::console::query::{Query, part};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::words::Page as Listed;
use crate::types::soc::{Remedy, RemedyState};

const FACETS: [&str; 3] = ["state", "incident", "plan"];

const COLUMNS: &Columns = &[
    ("id", "/id"),
    ("state", "/state"),
    ("action", "/action/kind"),
    ("target_kind", "/target/kind"),
    ("target", "/target/name"),
    ("target_address", "/target/address"),
    ("lasts", "/lasts"),
    ("reason", "/reason"),
    ("plan", "/plan"),
    ("incident", "/incident"),
    ("made", "/made"),
    ("applied", "/applied"),
    ("expires", "/expires"),
    ("failures", "/failures"),
    ("problem", "/problem"),
    ("undone_by", "/undone_by"),
];

/// The history as a file.
pub(super) async fn file(visit: Visit, format: Format) -> Result<Response, Trouble> {
    export::file(&visit, format, "remedies", ("/api/v1/remedies", &visit.query().only(&FACETS)), COLUMNS).await
}

/// What is in force, then the history.
pub(super) async fn list(visit: Visit) -> Answer {
    let one = match visit.query().get("id") {
        Some(id) => Some(read::<Remedy>(visit.get(&format!("/api/v1/remedies/{}", part(id))).await?)?),
        None => None,
    };
    let in_force: Listed<Remedy> = visit.get("/api/v1/remedies?in_force=true&limit=200").await?;
    let query = Query::default().with("limit", "100");
    let query = visit.query().only(&FACETS).pairs().fold(query, |query, (name, value)| query.with(name, value));
    let query = visit.query().get("before").map_or_else(|| query.clone(), |before| query.with("before", before));
    let found: Listed<Remedy> = visit.get(&query.on("/api/v1/remedies")).await?;
    let states: Vec<(&str, &str)> = RemedyState::ALL.iter().map(|state| (state.name(), state.name())).collect();
    let history = List {
        part: "remedies",
        caption: "Remedies, newest first",
        heads: &["What", "Whom", "State", "Why", "From", "Made", "Ends", "Undo"],
        rows: found.items.iter().map(|remedy| row(&visit, remedy)).collect(),
        next: found.next.map(|next| ("before", next)),
        none: (
            "There is no such remedy.",
            "Remedies are the steps of plans that were approved, or that nobody has to approve.",
        ),
    };
    let rows: Vec<Markup> = in_force.items.iter().map(|remedy| row(&visit, remedy)).collect();
    let body = html! {
        @if let Some(one) = &one { section.panel { h2 { "This remedy" } (short(std::slice::from_ref(one))) } }
        section { h2 { "In force" }
            div data-part="in-force" {
                @if rows.is_empty() { (empty("Nothing is in force.", "What plans do to callers stands here, with the time that is left.")) }
                @else { (table("Remedies in force", &["What", "Whom", "State", "Why", "From", "Made", "Time left", "Undo"], &rows)) }
            }
        }
        section { h2 { "History" }
            (filters(&visit, &[
                Filter::One("state", "State", &states),
                Filter::Text("incident", "Incident"),
                Filter::Text("plan", "Plan"),
            ]))
            (chips(&visit, &FACETS))
            (export::links(&visit))
            (history.show(&visit))
        }
    };
    Ok(Page::new("/remedies", "Remedies", body).live(&["remedy"]))
}

fn row(visit: &Visit, remedy: &Remedy) -> Markup {
    html! {
        tr data-id=(remedy.id) {
            td { (action(&remedy.action)) }
            td { (subject(remedy.target.as_ref())) }
            td { (badge::state(remedy.state.name()))
                @if remedy.failures > 0 { p.quiet { "failed " (remedy.failures) " times" @if let Some(problem) = &remedy.problem { ": " (name(problem)) } } }
                @if let Some(by) = &remedy.undone_by { p.quiet { "by " (name(by)) } } }
            td { (name(&remedy.reason)) }
            td { (thing(&remedy.plan)) @if let Some(incident) = &remedy.incident { br; (thing(incident)) } }
            td { (ago(remedy.made)) }
            td { (ends(remedy)) }
            td { (undo(visit, remedy)) }
        }
    }
}

fn ends(remedy: &Remedy) -> Markup {
    html! { @match (remedy.state, remedy.expires) {
        (RemedyState::Applied, Some(expires)) => (until(expires)),
        (RemedyState::Applied, None) => "until it is undone",
        (RemedyState::Expired, Some(expires)) => (ago(expires)),
        (RemedyState::Done | RemedyState::Failed | RemedyState::Undone, _) => "–",
        (RemedyState::Pending | RemedyState::Expired, _) => @match remedy.lasts { Some(seconds) => (lasting(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))), None => "–" },
    } }
}

fn undo(visit: &Visit, remedy: &Remedy) -> Markup {
    let can = matches!(remedy.state, RemedyState::Applied | RemedyState::Pending) && remedy.action.reversible();
    html! { @if can && visit.may_decide() {
        details { summary { "Undo" }
            (Act::post(&format!("/api/v1/remedies/{}/undo", part(&remedy.id))).form(visit, "stack", &html! {
                label { "Why" input name="reason" required maxlength="1000"; }
                button type="submit" { "Undo it" }
            }))
        }
    } @else if matches!(remedy.state, RemedyState::Applied) && !remedy.action.reversible() { span.quiet { "cannot be undone" } } }
}

/// Remedies in a few words.
pub(super) fn short(remedies: &[Remedy]) -> Markup {
    html! { ul.plain { @for remedy in remedies { li {
        (badge::state(remedy.state.name())) " " a href={ "/console/remedies?id=" (part(&remedy.id)) } { (action(&remedy.action)) } " "
        (subject(remedy.target.as_ref())) " " span.quiet { (name(&remedy.reason)) " · " (ends(remedy)) }
    } } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_remedy_against_a_hostile_name_is_text_and_says_when_it_ends() {
        let nasty = "<script>\u{202e}</script>";
        let mut remedy: Remedy = serde_json::from_value(json!({
            "id": "rem_1", "once": "x", "plan": "pln_1", "incident": "inc_1", "action": { "kind": "suspend_user" },
            "target": { "kind": "user", "name": nasty }, "lasts": 3600, "reason": nasty, "state": "applied", "failures": 0,
            "made": 1, "due": 1, "applied": 2, "expires": null,
        }))
        .unwrap();
        let shown = short(std::slice::from_ref(&remedy)).into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("until it is undone") && shown.contains("Suspend the user"), "{shown}");
        remedy.state = RemedyState::Pending;
        assert!(ends(&remedy).into_string().contains("1 h"));
    }
}
