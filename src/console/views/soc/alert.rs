//! One alert: what happened, why it is one, what was done, and what can be.

use maud::{Markup, html};
use serde_json::Value;

use super::alert_work;
use super::reveal;
use super::words::{bars, caller, comment_fields, family, read, rule, thing, timeline, who};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::parts::number::count;
use crate::console::parts::table::table;
use crate::console::parts::time::{ago, at};
use crate::console::parts::{badge, facts, fold, json, lines, name, name_or_dash};
use crate::console::query::{Query, part};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::soc::alerts::AlertDetail;
use crate::control::api::words::Page as Listed;
use crate::types::Recommendation;
use crate::types::soc::{Alert, Remedy};

/// The page.
pub(super) async fn one(visit: Visit) -> Answer {
    let path = format!("/api/v1/alerts/{}", visit.name("id"));
    let detail: AlertDetail = visit.get(&path).await?;
    let alert: Alert = read(detail.alert.0)?;
    let raw: Option<Value> = visit.maybe(&format!("{path}?format=ocsf")).await?;
    let related = related(&visit, &alert).await?;
    let remedies = remedies(&visit, &detail.incidents).await?;
    let body = html! {
        div data-part="alert" { (head(&alert)) (said(&alert)) }
        div.columns {
            div {
                (evidence(&alert))
                (texts(&visit, &alert))
                (made_of(&alert))
                (others(&related))
            }
            div {
                @if visit.may_work() { (alert_work::panel(&visit, &alert)) }
                section.panel { h2 { "Who" } (facts(&caller(&alert.caller))) }
                div data-part="belongs" { (belongs(&alert, &detail.incidents, &remedies)) }
                section.panel {
                    h2 { "What happened to it" }
                    div data-part="log" { (timeline(&detail.log)) }
                    @if visit.may_work() { (Act::post(&format!("{path}/comments")).form(&visit, "stack", &comment_fields())) }
                }
                (machine(&path, raw.as_ref(), alert.raw.as_ref()))
            }
        }
    };
    let title = crate::types::visible(&alert.title, 200);
    Ok(Page::new("/alerts", title, body).live(&["alert", "remedy"]).script("copy.js").script("reveal.js"))
}

fn head(alert: &Alert) -> Markup {
    let recommended = match alert.verdict.recommended {
        Recommendation::None => "nothing in particular",
        Recommendation::Ignore => "let it be",
        Recommendation::Monitor => "watch whether it comes again",
        Recommendation::Investigate => "look into it",
        Recommendation::Block => "stop it",
    };
    let enforced = alert.verdict.enforced.map_or_else(|| html! { "–" }, |decision| badge::state(decision.name()));
    html! {
        p.row {
            (badge::severity(alert.severity)) (badge::state(alert.state.name())) (badge::likelihood(alert.verdict.false_positive))
            span.quiet { (count(alert.count)) @if alert.count == 1 { " event" } @else { " events" }
                @if alert.retries > 0 { ", " (count(alert.retries)) " of them sent again by client libraries" } }
        }
        @if let Some(closed) = &alert.closed {
            div.notice.good { p { "Closed as " b { (closed.reason.replace('_', " ")) } " by " (name(&closed.by)) " " (ago(closed.at)) } (lines(&closed.note)) }
        }
        @if let Some(into) = &alert.merged_into { div.notice { p { "Merged into " (thing(into)) } } }
        (facts(&[
            ("Recommended", html! { b { (recommended) } }),
            ("The gateway", enforced),
            ("First", html! { (at(alert.first)) }),
            ("Last", html! { (at(alert.last)) " " span.quiet { (ago(alert.last)) } }),
            ("Rule", rule(&alert.rule)),
            ("Family", html! { (family(alert.family)) }),
            ("Assignee", name_or_dash(alert.assignee.as_deref())),
            ("Source", name(&alert.source)),
            ("Policy", name_or_dash(alert.policy.as_deref())),
            ("Model", name_or_dash(alert.model.as_deref())),
            ("Path", name_or_dash(alert.path.as_deref())),
            ("Threats", html! { @for threat in &alert.threats { code { (name(&threat.id)) } " " (name(&threat.title)) br; } @if alert.threats.is_empty() { "–" } }),
        ]))
    }
}

fn said(alert: &Alert) -> Markup {
    html! {
        section.panel { h2 { "What happened" } (lines(&alert.message))
            @if !alert.verdict.reasons.is_empty() {
                h3 { "Why it may be a false alarm" }
                ul { @for reason in &alert.verdict.reasons { li { (name(reason)) } } }
            }
        }
    }
}

/// What was found where.
fn evidence(alert: &Alert) -> Markup {
    let rows: Vec<Markup> = alert
        .proofs
        .iter()
        .map(|proof| {
            html! { tr {
                td { (rule(&proof.rule)) br; (name(&proof.title)) }
                td { (badge::severity(proof.severity)) }
                td { (proof.direction.name()) }
                td.n { (proof.span) }
                td.n { (proof.start) "–" (proof.end) }
            } }
        })
        .collect();
    html! {
        section.panel { h2 { "Evidence" }
            @if rows.is_empty() { p.quiet { "No rule of the gateway stands behind it: see what happened, and what was sent." } }
            @else { (table("Evidence", &["Rule", "Severity", "In the", "#Text", "#Bytes"], &rows)) }
        }
    }
}

/// The requests, and the way to their words.
fn texts(visit: &Visit, alert: &Alert) -> Markup {
    html! {
        section.panel { h2 { "Requests and their words" }
            @if alert.requests.is_empty() { p.quiet { "It names no request." } }
            @else {
                ul.plain { @for request in alert.requests.iter().rev() { li { (thing(request)) } } }
                p.quiet { "What is kept of their words depends on the policy’s privacy mode. Who reads them, and why, stands in the audit trail." }
                (reveal::form(visit, &alert.requests))
            }
        }
    }
}

fn made_of(alert: &Alert) -> Markup {
    let factors = &alert.verdict.factors;
    let all = [
        ("content".to_owned(), factors.content, "the words themselves".to_owned()),
        ("behaviour".to_owned(), factors.behaviour, "pace, repetitions, share of denials".to_owned()),
        ("context".to_owned(), factors.context, "where the words stand, and the conversation so far".to_owned()),
        ("history".to_owned(), factors.history, "what the caller did before, fading".to_owned()),
    ];
    html! {
        section.panel { h2 { "Risk " (format!("{:.0} %", alert.verdict.risk * 100.0)) }
            (bars(&all))
            p.quiet { "Risk is 1 − (1 − content)(1 − behaviour)(1 − context)(1 − history). How the rules added up stands with each request." }
        }
    }
}

/// Other alerts of the same session, user or address.
async fn related(visit: &Visit, alert: &Alert) -> Result<Vec<(&'static str, String, Vec<Alert>)>, Trouble> {
    let caller = &alert.caller;
    let address = caller.address.map(|address| address.to_canonical().to_string());
    let mut all = Vec::new();
    for (filter, value) in
        [("session", caller.session.as_deref()), ("user", caller.user.as_deref()), ("address", address.as_deref())]
    {
        let Some(value) = value else { continue };
        let query = Query::default().with(filter, value);
        let found: Listed<Alert> = visit.get(&query.with("limit", "6").on("/api/v1/alerts")).await?;
        let items: Vec<Alert> = found.items.into_iter().filter(|one| one.id != alert.id).take(5).collect();
        all.push((filter, query.with("state", "any").on("/console/alerts"), items));
    }
    Ok(all)
}

fn others(related: &[(&'static str, String, Vec<Alert>)]) -> Markup {
    html! {
        section.panel { h2 { "Related alerts" }
            @for (filter, link, alerts) in related {
                h3 { "Same " (filter) " " a href=(link) { "all" } }
                @if alerts.is_empty() { p.quiet { "None." } }
                ul.plain { @for alert in alerts { li {
                    (badge::severity(alert.severity)) " " a href={ "/console/alerts/" (part(&alert.id)) } { (name(&alert.title)) } " "
                    @if alert.count > 1 { "×" (alert.count) " " } (badge::state(alert.state.name())) " "
                    span.quiet { (who(&alert.caller)) " " (ago(alert.last)) }
                } } }
            }
            @if related.is_empty() { p.quiet { "Nobody is known who could have others." } }
        }
    }
}

/// Remedies of the incidents it is evidence of.
async fn remedies(visit: &Visit, incidents: &[String]) -> Result<Vec<Remedy>, Trouble> {
    let mut all = Vec::new();
    for incident in incidents.iter().take(5) {
        let query = Query::default().with("incident", incident).with("limit", "20");
        let found: Listed<Remedy> = visit.get(&query.on("/api/v1/remedies")).await?;
        all.extend(found.items);
    }
    Ok(all)
}

fn belongs(alert: &Alert, incidents: &[String], remedies: &[Remedy]) -> Markup {
    html! {
        section.panel { h2 { "Incidents and remedies" }
            @if incidents.is_empty() { p.quiet { "It is no evidence of an incident." } }
            ul.plain { @for incident in incidents { li { (thing(incident)) @if alert.incident.as_deref() == Some(incident) { " (its own)" } } } }
            @if !remedies.is_empty() { (super::remedies::short(remedies)) }
        }
    }
}

/// For those who work with the API.
fn machine(path: &str, ocsf: Option<&Value>, sent: Option<&Value>) -> Markup {
    html! {
        section.panel { h2 { "For machines" }
            (curl(path))
            @if let Some(sent) = sent { (fold("What the other system sent", &json(sent))) }
            @if let Some(ocsf) = ocsf { (fold("OCSF Detection Finding", &json(ocsf))) }
        }
    }
}

/// The call of the API that a page is made of.
pub(super) fn curl(path: &str) -> Markup {
    html! {
        p.row {
            code data-curl="" { "curl -H \"Authorization: Bearer $PORTCULLIS_TOKEN\" \"$PORTCULLIS_URL" (path) "\"" }
            button type="button" data-copy="" hidden { "Copy" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::tests::hostile;
    use super::*;

    #[test]
    fn hostile_words_of_an_alert_are_shown_as_text() {
        let alert = hostile();
        let related = [("user", "/console/alerts?user=x".to_owned(), vec![hostile()])];
        let raw = serde_json::json!({ "</code><script>": "\u{202e}</pre><script>" });
        let all = [
            head(&alert),
            said(&alert),
            evidence(&alert),
            made_of(&alert),
            others(&related),
            belongs(&alert, &["inc_1".to_owned()], &[]),
            machine("/api/v1/alerts/alt_1", Some(&raw), Some(&raw)),
        ];
        let shown: String = all.into_iter().map(maud::PreEscaped::into_string).collect();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("most likely an attack") && shown.contains("stop it"), "{shown}");
        assert!(shown.contains(">2–9<") && !shown.contains("style="), "{shown}");
    }
}
