//! The audit trail: entries, one entry, checkpoints, verifying it, its key.

use axum::http::Method;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

use super::words::{number, shown, tabs, text};
use crate::console::Answer;
use crate::console::forms::Form;
use crate::console::layout::{self, Page};
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::export::{self, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::form::{Act, csrf};
use crate::console::parts::number::count;
use crate::console::parts::table::{List, table};
use crate::console::parts::time::{self, Range};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::views::open::Shown;
use crate::console::visit::Visit;
use crate::control::api::door::AuditPage;
use crate::control::audit::{Kind, Verified, VerifiedState};

/// Before every number there is: the newest entries.
const NEWEST: u64 = (1 << 53) - 1;
/// Entries of an exported file.
const MOST: usize = 5000;

fn ways(visit: &Visit) -> Markup {
    tabs(visit, "Audit", &[("/console/audit", "Entries"), ("/console/audit/verify", "Verify, checkpoints, key")])
}

/// The list.
pub(super) async fn page(visit: Visit) -> Result<Shown, Trouble> {
    let range = Range::of(visit.query(), "30d");
    let mut filter = format!("&from={}&to={}", range.from, range.to);
    for name in ["kind", "actor"] {
        if let Some(value) = visit.query().get(name) {
            filter.push_str(&format!("&{name}={}", part(value)));
        }
    }
    if let Some(format) = Format::asked(&visit) {
        let place = visit.file_place()?;
        let all = exported(&visit, &filter).await?;
        let rows: Vec<Vec<String>> = all.iter().map(cells).collect();
        let heads = ["number", "time", "kind", "actor", "name", "object", "outcome", "action", "hash"];
        let text = export::table(format, &heads, &rows, &Value::Array(all));
        return Ok(Shown::Other(export::attached(export::held(text, place), "audit", format)));
    }
    let before = visit.query().get("before").and_then(|before| before.parse().ok()).unwrap_or(NEWEST);
    let found: AuditPage = visit.get(&format!("/api/v1/audit?limit=50&before={before}{filter}")).await?;
    let head: Value = visit.get("/api/v1/audit/head").await?;
    let kinds: Vec<(&str, &str)> = Kind::ALL.iter().map(|kind| (kind.name(), kind.name())).collect();
    let body = html! {
        (ways(&visit))
        (facts(&head))
        (filters(&visit, &[Filter::One("kind", "Kind", &kinds), Filter::Text("actor", "Actor (id of an account or key)"), Filter::RangeOr("30d")]))
        (export::links(&visit))
        p.quiet { "A file has the newest " (MOST) " entries of these filters. For an export that can be verified with the public key alone: " code { "portcullis audit export" } "." }
        (List {
            part: "entries",
            caption: "Audit entries",
            heads: &["#Number", "When", "Kind", "Action", "Who", "To what", "Outcome"],
            rows: found.entries.iter().map(row).collect(),
            next: found.next.map(|next| ("before", next.to_string())),
            none: ("No entries.", "Choose a longer period or fewer filters."),
        }.show(&visit))
    };
    Ok(Shown::Page(Page::new("/audit", "Audit", body)))
}

fn facts(head: &Value) -> Markup {
    let number = |name: &str| number(head, name).unwrap_or(0);
    let is_diverged = head.get("diverged").is_some_and(|diverged| diverged.as_bool().unwrap_or(!diverged.is_null()));
    html! {
        @if is_diverged { div.notice.bad role="alert" { p { "The store and the checkpoints outside it tell different histories. Verify the trail." } } }
        (parts::facts(&[
            ("Entries", html! { (count(u64::try_from(number("seq")).unwrap_or(0))) }),
            ("Signed up to", html! { (number("checkpoint")) }),
            ("Signed outside the store, too", html! { (witnessed(head)) }),
            ("Head", html! { code { (parts::name(text(head, "hash"))) } }),
        ]))
    }
}

/// Whether the newest checkpoint also stands outside the store.
pub(super) fn witnessed(head: &Value) -> &'static str {
    if head.get("witnessed").and_then(Value::as_bool).unwrap_or(false) { "yes" } else { "not yet" }
}

/// The entry within what the API tells of it.
fn inner(entry: &Value) -> &Value {
    entry.get("entry").unwrap_or(entry)
}

fn details(entry: &Value) -> Option<&Map<String, Value>> {
    inner(entry).get("details").and_then(Value::as_object)
}

fn action(entry: &Value) -> &str {
    details(entry).and_then(|details| details.get("action")).and_then(Value::as_str).unwrap_or_default()
}

fn outcome(word: &str) -> Markup {
    match word {
        "success" => badge::state("done"),
        "denied" => badge::state("refused"),
        "failure" => badge::state("failed"),
        other => badge::state(other),
    }
}

/// Who did it: the name, where it was not erased, beside the id.
fn who(entry: &Value) -> Markup {
    let name = entry.pointer("/personal/name").and_then(Value::as_str);
    html! { @if let Some(name) = name { (parts::name(name)) " " } span.quiet { (parts::name(text(inner(entry), "actor"))) } }
}

fn row(entry: &Value) -> Markup {
    let (seq, body) = (number(entry, "seq").unwrap_or(0), inner(entry));
    html! { tr data-id=(seq) {
        td.n { a href={ "/console/audit/" (seq) } { (seq) } }
        td { (time::at(number(entry, "time").unwrap_or(0))) }
        td { (parts::name(&text(body, "kind").replace('_', " "))) }
        td { (parts::name(action(entry))) }
        td { (who(entry)) }
        td { (parts::name(text(body, "object"))) }
        td { (outcome(text(body, "outcome"))) }
    } }
}

async fn exported(visit: &Visit, filter: &str) -> Result<Vec<Value>, Trouble> {
    let (mut all, mut before) = (Vec::new(), NEWEST);
    while all.len() < MOST {
        let page: AuditPage = visit.get(&format!("/api/v1/audit?limit=500&before={before}{filter}")).await?;
        all.extend(page.entries);
        let Some(next) = page.next else { break };
        before = next;
    }
    all.truncate(MOST);
    Ok(all)
}

fn cells(entry: &Value) -> Vec<String> {
    let body = inner(entry);
    let name = entry.pointer("/personal/name").and_then(Value::as_str).unwrap_or_default();
    let own = |name: &str| text(body, name).to_owned();
    vec![
        number(entry, "seq").unwrap_or(0).to_string(),
        number(entry, "time").unwrap_or(0).to_string(),
        own("kind"),
        own("actor"),
        name.to_owned(),
        own("object"),
        own("outcome"),
        action(entry).to_owned(),
        text(entry, "hash").to_owned(),
    ]
}

/// One entry.
pub(super) async fn one(visit: Visit) -> Answer {
    let seq: u64 = visit.raw("number").parse().map_err(|_| Trouble::nowhere())?;
    let found: AuditPage = visit.get(&format!("/api/v1/audit?after={}&limit=1", seq.saturating_sub(1))).await?;
    let entry = found.entries.into_iter().next().filter(|entry| number(entry, "seq") == i64::try_from(seq).ok());
    let entry = entry.ok_or_else(Trouble::nowhere)?;
    Ok(Page::new("/audit", format!("Audit entry {seq}"), html! { (ways(&visit)) (entry_of(&entry, seq)) }))
}

fn entry_of(entry: &Value, seq: u64) -> Markup {
    let body = inner(entry);
    let change = |name: &str| details(entry).and_then(|details| details.get(name)).filter(|value| !value.is_null());
    let others = details(entry).into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "before" | "after"));
    html! {
        (parts::facts(&[
            ("When", time::at(number(entry, "time").unwrap_or(0))),
            ("Kind", parts::name(text(body, "kind"))),
            ("Outcome", outcome(text(body, "outcome"))),
            ("Who", who(entry)),
            ("To what", parts::name(text(body, "object"))),
            ("Replica", parts::name(text(body, "replica"))),
            ("Admin request", parts::name_or_dash(body.get("request").and_then(Value::as_str))),
            ("Hash", html! { code { (parts::name(text(entry, "hash"))) } }),
        ]))
        section.panel { h2 { "Details" } dl.facts { @for (name, value) in others { div { dt { (parts::name(name)) } dd { (shown(value)) } } } } }
        @if change("before").is_some() || change("after").is_some() {
            div.columns {
                section.panel { h2 { "Before" } @match change("before") { Some(value) => (parts::json(value)), None => p.quiet { "Nothing." } } }
                section.panel { h2 { "After" } @match change("after") { Some(value) => (parts::json(value)), None => p.quiet { "Nothing." } } }
            }
        }
        section.panel { h2 { "Personal part" }
            @match entry.get("personal").filter(|part| !part.is_null()) {
                Some(part) => (parts::json(part)),
                None => p.quiet { "None, or it was erased: the chain has only a commitment to it." },
            }
        }
        (parts::fold("As it stands in the chain", &parts::json(body)))
        p { @if seq > 1 { a.button href={ "/console/audit/" (seq.saturating_sub(1)) } { "The one before" } " " }
            a.button href={ "/console/audit/" (seq.saturating_add(1)) } { "The next" } }
    }
}

/// How a verification stands, as a word of the style sheet and in words.
pub(super) fn word(state: VerifiedState) -> (&'static str, &'static str) {
    match state {
        VerifiedState::Never => ("waiting", "It was not verified since this process started."),
        VerifiedState::Running => ("in_progress", "It is being verified."),
        VerifiedState::Intact => ("good", "It is intact: every entry is as it was written."),
        VerifiedState::Broken => ("bad", "It is broken."),
        VerifiedState::Unfinished => {
            ("unsure", "It took longer than it may: up to the entry reached all is as it was written.")
        }
        VerifiedState::Failed => ("failed", "Something that it needs could not be read; the log says what."),
    }
}

/// Verifying the trail, its checkpoints and its key.
pub(super) async fn verify(visit: Visit, form: Option<Form>) -> Answer {
    let asked = match &form {
        Some(form) => Some(ask(&visit, form).await),
        None => None,
    };
    let verified: Verified = visit.get("/api/v1/audit/verify").await?;
    let head: Value = visit.get("/api/v1/audit/head").await?;
    let signed = number(&head, "checkpoint").unwrap_or(0);
    // The newest: pages go forward from a number, and a checkpoint ends with at least one entry.
    let checkpoints: AuditPage =
        visit.get(&format!("/api/v1/audit/checkpoints?after={}&limit=50", signed.saturating_sub(50).max(0))).await?;
    let body = html! {
        (ways(&visit))
        @if let Some(Err(trouble)) = &asked { (layout::told(trouble)) }
        section.panel { h2 { "Verification" } (result(&verified)) (begin(&visit)) }
        (facts(&head))
        h2 { "Newest checkpoints" }
        (signatures(&checkpoints))
        @if visit.may_manage() {
            section.panel { h2 { "Signing key" }
                p { "Has the key of the replica that answers introduce another one and sign with that from now on. What the old one signed stays valid." }
                (Act::post("/api/v1/audit/key/rotate").sure("Sign with a new key from now on?").once("The new signing key").button(&visit, "Change the signing key", &[]))
            }
        }
    };
    Ok(Page::new("/audit", "Verify the audit trail", body))
}

async fn ask(visit: &Visit, form: &Form) -> Result<(), Trouble> {
    let mut body = json!({});
    for name in ["from", "to"] {
        let value = form.get(name).trim();
        if let (false, Some(fields)) = (value.is_empty(), body.as_object_mut()) {
            let number: u64 = value.parse().map_err(|_| Trouble::bad("An entry is named by its number."))?;
            fields.insert(name.to_owned(), json!(number));
        }
    }
    visit.ask(Method::POST, "/api/v1/audit/verify", Some(&body)).await?.json().map(drop)
}

fn begin(visit: &Visit) -> Markup {
    html! {
        form.filters method="post" action="/console/audit/verify" {
            (csrf(visit))
            label { "From entry (empty: all, with segments and outside checkpoints)" input name="from" inputmode="numeric" pattern="[0-9]*" maxlength="16"; }
            label { "Up to entry" input name="to" inputmode="numeric" pattern="[0-9]*" maxlength="16"; }
            button.main type="submit" { "Verify now" }
            a.button href="/console/audit/verify" { "Look again" }
        }
    }
}

fn result(verified: &Verified) -> Markup {
    let (class, words) = word(verified.state);
    if verified.state == VerifiedState::Never {
        return html! { p.quiet { (words) } };
    }
    let range = match (verified.from, verified.to) {
        (None, None) => "all of it".to_owned(),
        (from, to) => {
            format!("{} to {}", from.unwrap_or(1), to.map_or_else(|| "the end".to_owned(), |to| to.to_string()))
        }
    };
    html! {
        p role="status" { (badge::state(class)) " " (words) }
        @if let Some(problem) = &verified.problem {
            div.notice.bad role="alert" { p { "Entry " a href={ "/console/audit/" (problem.seq) } { (problem.seq) } ": " b { (parts::name(&problem.fault)) } ": " (parts::name(&problem.what)) } }
        }
        (parts::facts(&[
            ("Range", html! { (range) }),
            ("Begun", time::at(verified.started)),
            ("Took", html! { (time::lasting(verified.ended.unwrap_or_else(time::now).saturating_sub(verified.started))) }),
            ("Reached entry", html! { (verified.reached) }),
            ("Entries checked", html! { (count(verified.entries)) }),
            ("Checkpoints checked", html! { (count(verified.checkpoints)) }),
            ("Not signed yet", html! { (verified.unsigned) }),
            ("Signed in the store only", html! { (verified.unwitnessed) }),
            ("Personal part erased", html! { (count(verified.erased)) }),
            ("Removed by retention, up to", html! { (verified.retired) }),
            ("Keys believed", html! { @for key in &verified.keys { code { (parts::name(key)) } " " } }),
        ]))
    }
}

fn signatures(found: &AuditPage) -> Markup {
    let rows: Vec<Markup> = found
        .entries
        .iter()
        .rev()
        .map(|one| {
            let body = one.get("body").and_then(Value::as_str).and_then(|body| serde_json::from_str(body).ok());
            let body: Value = body.or_else(|| one.get("body").cloned()).unwrap_or_default();
            html! { tr {
                td.n { (number(&body, "from").unwrap_or(0)) }
                td.n { (number(&body, "seq").unwrap_or(0)) }
                td { (time::at(number(&body, "time").unwrap_or(0))) }
                td { code { (parts::name(text(&body, "key"))) } }
                td { code { (parts::name(text(one, "signature"))) } }
            } }
        })
        .collect();
    html! {
        @if rows.is_empty() { (parts::empty("There is no checkpoint yet.", "One is signed a moment after each entry.")) }
        @else { (table("Checkpoints", &["#From", "#To", "Signed", "Key", "Signature"], &rows)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::audit::check::VerifiedProblem;

    fn hostile() -> Value {
        json!({ "seq": 7, "time": 5, "hash": "ab",
            "entry": { "kind": "account", "actor": "<a>", "object": "x/<img onerror=1>\u{202e}", "outcome": "denied",
                "details": { "action": "=cmd", "before": { "<b>": "</code><script>" }, "after": { "roles": "admin" } } },
            "personal": { "name": "<i>eve</i>" } })
    }

    #[test]
    fn an_entry_of_somebody_hostile_is_only_words() {
        for shown in [row(&hostile()).into_string(), entry_of(&hostile(), 7).into_string()] {
            for bad in ["<img", "<i>", "<script", "<a>", "\u{202e}"] {
                assert!(!shown.contains(bad), "{bad}: {shown}");
            }
        }
        let cells = cells(&hostile());
        assert_eq!((cells[0].as_str(), cells[4].as_str(), cells[7].as_str()), ("7", "<i>eve</i>", "=cmd"));
        assert!(cells.iter().any(|text| export::cell(text) == "'=cmd"));
        assert!(!row(&Value::Null).into_string().is_empty());
    }

    #[test]
    fn a_broken_trail_says_where() {
        let problem = VerifiedProblem { seq: 12, fault: "changed".into(), what: "its hash is <wrong>".into() };
        let broken = Verified { state: VerifiedState::Broken, problem: Some(problem), ..Verified::default() };
        let shown = result(&broken).into_string();
        assert!(
            shown.contains("/console/audit/12") && shown.contains("&lt;wrong&gt;") && shown.contains("It is broken"),
            "{shown}"
        );
    }
}
