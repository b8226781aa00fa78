//! Compliance: frameworks with their controls and evidence, how long things are kept, erasing a person.

use axum::http::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::document;
use super::reports::{downloads, make, ways};
use super::words::{entries, number, text};
use crate::console::Answer;
use crate::console::forms::Form;
use crate::console::layout::{self, Page};
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::form::csrf;
use crate::console::parts::number::count;
use crate::console::parts::table::table;
use crate::console::parts::time;
use crate::console::query::Query;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::door::Effective;
use crate::control::api::erasures::ErasureDone;
use crate::control::audit::{Verified, VerifiedState};

/// The page; its form erases a person.
pub(super) async fn page(visit: Visit, form: Option<Form>) -> Answer {
    let erased = match &form {
        Some(form) => Some(erase(&visit, form).await),
        None => None,
    };
    let frameworks: Option<Value> = visit.maybe("/api/v1/reports/frameworks").await?;
    let kept: Option<Value> = visit.maybe("/api/v1/reports?limit=200").await?;
    let body = html! {
        (ways(&visit))
        @match &erased {
            Some(Ok(done)) => (told(done)),
            Some(Err(trouble)) => (layout::told(trouble)),
            None => {},
        }
        h2 { "Frameworks" }
        (list(&visit, frameworks.as_ref(), kept.as_ref()))
        (chosen(&visit, frameworks.as_ref(), kept.as_ref()).await?)
        div.columns {
            section.panel { h2 { "How long things are kept" } (retention(&visit).await?) }
            section.panel { h2 { "Audit trail" } (trail(&visit).await?) }
        }
        @if visit.may_manage() { section.panel { h2 { "Erase a person" } (erasure(&visit)) } }
    };
    Ok(Page::new("/compliance", "Compliance", body))
}

/// The newest kept report about a framework.
fn newest<'a>(kept: Option<&'a Value>, framework: &str) -> Option<&'a Value> {
    let all = kept.into_iter().flat_map(|kept| entries(kept, "items"));
    all.filter(|one| text(one, "framework") == framework).max_by_key(|one| number(one, "made"))
}

fn list(visit: &Visit, frameworks: Option<&Value>, kept: Option<&Value>) -> Markup {
    let rows: Vec<Markup> = frameworks
        .into_iter()
        .flat_map(|all| entries(all, "items"))
        .map(|one| {
            let name = text(one, "name");
            let last = newest(kept, name);
            html! { tr data-id=(name) {
                td {
                    a href=(Query::default().with("framework", name).on(visit.path())) { (parts::name(text(one, "title"))) }
                    div.quiet { (parts::name(text(one, "version"))) }
                }
                td.n { (number(one, "controls").unwrap_or(0)) }
                td.n { (number(one, "not_covered").unwrap_or(0)) }
                td { @match last { Some(last) => (time::ago(number(last, "made").unwrap_or(0))), None => span.quiet { "no report yet" } } }
                td { @if let Some(last) = last { (downloads(text(last, "id"))) } }
            } }
        })
        .collect();
    html! {
        @if rows.is_empty() { (parts::empty("No frameworks are known here.", "Reports are switched off, or this gateway has none.")) }
        @else { (table("Frameworks", &["Framework", "#Controls looked at", "#Not covered by a gateway", "Last report", "Download"], &rows)) }
    }
}

/// The controls of the framework that was chosen, as its newest report has them.
async fn chosen(visit: &Visit, frameworks: Option<&Value>, kept: Option<&Value>) -> Result<Markup, Trouble> {
    let Some(name) = visit.query().get("framework") else { return Ok(html! {}) };
    let all = frameworks.into_iter().flat_map(|all| entries(all, "items"));
    let Some(framework) = all.into_iter().find(|one| text(one, "name") == name) else { return Ok(html! {}) };
    let report: Option<Value> = match newest(kept, name) {
        Some(last) => {
            let id = crate::console::query::part(text(last, "id"));
            visit.maybe(&format!("/api/v1/reports/{id}?format=json")).await?
        }
        None => None,
    };
    Ok(html! {
        h2 { (parts::name(text(framework, "title"))) }
        @if visit.may_work() || visit.may_audit() { (make(visit, None, Some(name))) }
        @match &report {
            Some(report) => {
                p { "Evidence of " (document::period(report)) ", made " (time::ago(number(report, "made").unwrap_or(0))) "." }
                (document::sections(report))
            },
            None => (parts::empty("There is no report about it yet.", "Make one: it gathers what this gateway has to show for each control.")),
        }
    })
}

/// A time of the settings, in days where it is whole ones.
fn in_days(time: &str) -> String {
    let hours = time.strip_suffix('h').and_then(|hours| hours.parse::<u64>().ok());
    let days = hours.filter(|hours| *hours >= 24 && hours % 24 == 0).map(|hours| hours / 24);
    days.map_or_else(|| time.to_owned(), |days| format!("{days} days"))
}

async fn retention(visit: &Visit) -> Result<Markup, Trouble> {
    let config: Option<Effective> = visit.maybe("/api/v1/config").await?;
    let Some(config) = config else {
        return Ok(html! { p.quiet { "Only administrators and auditors see the settings." } });
    };
    let kept = |pointer: &str| config.settings.pointer(pointer).and_then(Value::as_str).unwrap_or("–").to_owned();
    let classes = [
        ("Requests", "/store/retention/requests"),
        ("Findings", "/store/retention/findings"),
        ("Content of prompts and answers", "/store/retention/content"),
        ("Alarms and other events", "/store/retention/events"),
        ("Ledger", "/store/retention/ledger"),
        ("Ids issued by providers", "/store/retention/issued"),
        ("Orders that are over", "/store/retention/orders"),
        ("Alerts", "/store/retention/alerts"),
        ("Closed incidents", "/store/retention/incidents"),
        ("Live feed", "/store/retention/feed"),
        ("Audit trail in the store", "/audit/archive_after"),
        ("Audit trail in segments", "/audit/keep"),
    ];
    let rows: Vec<Markup> = classes
        .iter()
        .map(|(name, pointer)| {
            let kept = kept(pointer);
            html! { tr { td { (name) } td { @if matches!(kept.as_str(), "0" | "0s") { "for ever" } @else { (parts::name(&in_days(&kept))) } } td { code { (pointer.trim_start_matches('/').replace('/', ".")) } } } }
        })
        .collect();
    Ok(table("Retention", &["What", "Kept", "Setting"], &rows))
}

async fn trail(visit: &Visit) -> Result<Markup, Trouble> {
    let head: Option<Value> = visit.maybe("/api/v1/audit/head").await?;
    let verified: Option<Verified> = visit.maybe("/api/v1/audit/verify").await?;
    let Some(head) = head else {
        return Ok(html! { p.quiet { "Only administrators and auditors see the audit trail." } });
    };
    Ok(html! {
        (parts::facts(&[
            ("Entries", html! { (count(u64::try_from(number(&head, "seq").unwrap_or(0)).unwrap_or(0))) }),
            ("Signed up to", html! { (number(&head, "checkpoint").unwrap_or(0)) }),
            ("Signed outside the store, too", html! { (super::audit::witnessed(&head)) }),
            ("Last verified", html! { @match verified {
                Some(Verified { state: VerifiedState::Never, .. }) | None => "not since this process started",
                Some(verified) => { (badge::state(super::audit::word(verified.state).0)) " " (time::ago(verified.ended.unwrap_or(verified.started))) },
            } }),
        ]))
        p { a.button href="/console/audit/verify" { "Verify it" } " " a.button href="/console/audit" { "Look at it" } }
    })
}

/// The form that erases a person. The name is typed twice: it cannot be undone.
fn erasure(visit: &Visit) -> Markup {
    html! {
        p { "Removes what is remembered of one user: texts, names in requests, events, alerts and the ledger, their keys. The audit trail stays valid and says that it was done, not for whom." }
        form.stack method="post" action="/console/compliance" data-sure="Erase everything that is remembered of this person? It cannot be undone." {
            (csrf(visit))
            div.row {
                label { "The user, as requests name them" input name="user" required maxlength="256" autocomplete="off"; }
                label { "The same once more" input name="again" required maxlength="256" autocomplete="off"; }
            }
            label.check { input type="checkbox" name="sure" value="on" required; "I know that this cannot be undone." }
            button.danger type="submit" { "Erase this person" }
        }
    }
}

async fn erase(visit: &Visit, form: &Form) -> Result<ErasureDone, Trouble> {
    let user = form.get("user");
    if user.is_empty() || user != form.get("again") {
        return Err(Trouble::bad("The two names are not the same: nothing was erased."));
    }
    if form.get("sure") != "on" {
        return Err(Trouble::bad("Say that you know it cannot be undone: nothing was erased."));
    }
    let told = visit.ask(Method::POST, "/api/v1/erasures", Some(&json!({ "user": user }))).await?;
    serde_json::from_value(told.json()?).map_err(|error| Trouble::unreadable(&error))
}

fn told(done: &ErasureDone) -> Markup {
    let figures = [
        ("Texts", done.contents),
        ("Requests", done.requests),
        ("Events", done.events),
        ("Ledger rows", done.ledger),
        ("Keys revoked", done.keys),
        ("Objects of providers", done.issued),
        ("Orders", done.orders),
        ("Alerts and incidents", done.soc),
        ("Reports of texts", done.reports),
        ("Audit records", done.audit),
    ];
    html! { div.notice.good role="status" {
        p { b { "The person was erased." } }
        dl.facts { @for (name, number) in figures { div { dt { (name) } dd { (count(number)) } } } }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_told_in_days() {
        assert_eq!(["2160h", "36h", "10m", "0s"].map(in_days), ["90 days", "36h", "10m", "0s"]);
    }

    #[test]
    fn the_newest_report_about_a_framework_is_found() {
        let kept = json!({ "items": [{ "framework": "soc2", "made": 1 }, { "framework": "soc2", "made": 3 }, { "framework": "gdpr", "made": 9 }, 5] });
        assert_eq!(newest(Some(&kept), "soc2").and_then(|one| number(one, "made")), Some(3));
        assert!(newest(Some(&kept), "none").is_none() && newest(None, "soc2").is_none());
    }
}
