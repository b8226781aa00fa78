//! One incident: its timeline, evidence, what the analyst makes of it, plans, remedies, and the work on it.

use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::incident_work;
use super::plan::{self, Shown, claim_list};
use super::words::{bars, caller, comment_fields, family, thing, timeline, who};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::export::{Format, attached};
use crate::console::parts::form::Act;
use crate::console::parts::number::count;
use crate::console::parts::table::table;
use crate::console::parts::time::{ago, at, lasting, now, until};
use crate::console::parts::{badge, facts, fold, json, lines, name, name_or_dash};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::soc::words::LogShown;
use crate::types::soc::{Alert, Analysis, Claim, Incident, IncidentState, LogKind, Phase, Remedy};

/// An incident as the API shows it.
#[derive(Debug, Deserialize)]
struct Detail {
    incident: Incident,
    timeline: Vec<LogShown>,
    alerts: Vec<Alert>,
    analysis: Option<Analysis>,
    plans: Vec<Shown>,
    remedies: Vec<Remedy>,
}

/// All of it as a file.
pub(super) async fn file(visit: Visit, _: Format) -> Result<Response, Trouble> {
    let all: Value = visit.get(&format!("/api/v1/incidents/{}", visit.name("id"))).await?;
    let text = serde_json::to_string_pretty(&all).unwrap_or_default();
    Ok(attached(text, visit.raw("id"), Format::Json))
}

/// The page.
pub(super) async fn one(visit: Visit) -> Answer {
    let path = format!("/api/v1/incidents/{}", visit.name("id"));
    let detail: Detail = visit.get(&path).await?;
    let ocsf: Option<Value> = visit.maybe(&format!("{path}?format=ocsf")).await?;
    let incident = &detail.incident;
    let body = html! {
        div data-part="incident" { (head(incident, &detail.timeline)) }
        div.columns {
            div {
                div data-part="analysis" { (analysis(&visit, incident, detail.analysis.as_ref())) }
                div data-part="plans" { (plans(&visit, &detail.plans)) }
                div data-part="evidence" { (evidence(incident, &detail.alerts)) }
            }
            div {
                @if visit.may_work() { (incident_work::panel(&visit, incident)) }
                section.panel { h2 { "Who" } p.quiet { "Of the newest alert." } (facts(&caller(&incident.caller))) }
                div data-part="remedies" { section.panel { h2 { "Remedies" }
                    @if detail.remedies.is_empty() { p.quiet { "Nothing was done to anybody." } } @else { (super::remedies::short(&detail.remedies)) } } }
                section.panel { h2 { "Timeline" }
                    div data-part="timeline" { (timeline(&detail.timeline)) }
                    @if visit.may_work() { (Act::post(&format!("{path}/comments")).form(&visit, "stack", &comment_fields())) }
                }
                section.panel { h2 { "For machines" }
                    p { a href=(visit.query().with("format", "json").on(visit.path())) download="" { "Export as JSON" } }
                    (super::alert::curl(&path))
                    @if let Some(ocsf) = &ocsf { (fold("OCSF Incident Finding", &json(ocsf))) }
                }
            }
        }
    };
    let title = crate::types::visible(&incident.title, 200);
    Ok(Page::new("/incidents", title, body).live(&["incident", "plan", "remedy"]).script("copy.js"))
}

/// When somebody first acknowledged it or took it up: what people change stands in the timeline.
fn acknowledged(incident: &Incident, log: &[LogShown]) -> Option<i64> {
    if incident.state == IncidentState::Open {
        return None;
    }
    log.iter().find(|line| line.kind == LogKind::Changed).map(|line| line.time)
}

fn head(incident: &Incident, log: &[LogShown]) -> Markup {
    let since = |time: i64| lasting(time.saturating_sub(incident.opened));
    html! {
        p.row { (badge::severity(incident.severity)) (badge::state(incident.state.name())) (badge::likelihood(incident.false_positive)) }
        @if let Some(closed) = &incident.closed {
            div.notice.good { p { "Closed as " b { (closed.reason.replace('_', " ")) } " by " (name(&closed.by)) " " (ago(closed.at)) } (lines(&closed.note)) }
        }
        @if let Some(into) = &incident.merged_into { div.notice { p { "Merged into " (thing(into)) } } }
        div.tiles {
            (clock("Age", &since(now()), "since it was raised"))
            @match acknowledged(incident, log) {
                Some(time) => (clock("Time to acknowledge", &since(time), "from raised to the first change by somebody")),
                None => (clock("Not acknowledged for", &since(now()), "nobody has looked")),
            }
            @match &incident.closed {
                Some(closed) => (clock("Time to resolve", &since(closed.at), "from raised to closed")),
                None => (clock("Not resolved for", &since(now()), "it is not closed")),
            }
            (clock("Alerts", &count(incident.alerts), &format!("highest risk {:.0} %", incident.risk * 100.0)))
        }
        (facts(&[
            ("About", name(&incident.about)),
            ("Raised", html! { (at(incident.opened)) }),
            ("Last addition", html! { (at(incident.updated)) " " span.quiet { (ago(incident.updated)) } }),
            ("Rule", name(&incident.rule)),
            ("Families", html! { @for one in &incident.families { (family(Some(*one))) " " } }),
            ("Threats", html! { @for one in &incident.threats { code { (name(one)) } " " } }),
            ("Assignee", name_or_dash(incident.assignee.as_deref())),
        ]))
    }
}

fn clock(label: &str, value: &str, hint: &str) -> Markup {
    crate::console::parts::tile(label, value, hint, None)
}

fn analysis(visit: &Visit, incident: &Incident, analysis: Option<&Analysis>) -> Markup {
    let path = format!("/api/v1/incidents/{}/analyse", part(&incident.id));
    html! {
        section.panel { h2 { "What the analyst makes of it" }
            @match analysis {
                None => p.quiet { "It has not been analysed." },
                Some(analysis) => {
                    p.row { (phases(analysis.phase)) span.quiet { "began " (ago(analysis.began)) ", last step " (ago(analysis.updated)) } }
                    @if let Some(problem) = &analysis.problem { div.notice.bad { p { "The last try failed (" (analysis.failures) "): " (name(problem)) } } }
                    (found(analysis))
                },
            }
            @if visit.may_work() && incident.state != IncidentState::Closed {
                (Act::post(&path).button(visit, if analysis.is_some_and(|one| one.phase.ended()) { "Analyse again" } else { "Analyse now" }, &[]))
            }
        }
    }
}

fn phases(now: Phase) -> Markup {
    let steps = [Phase::Retrieve, Phase::Analyse, Phase::Plan, Phase::Verify, Phase::Done];
    html! {
        @if now == Phase::Failed { (badge::state("failed")) } @else { ol.phases { @for step in steps {
            li aria-current=[(step == now).then_some("step")] { (step.name()) @if step < now || now == Phase::Done { span aria-hidden="true" { " ✓" } span.hidden { " (done)" } } }
        } } }
    }
}

/// What the steps found: a reading of the analyst's own shapes that does without any of them.
fn found(analysis: &Analysis) -> Markup {
    let at = |pointer: &str| {
        let (first, rest) = pointer.split_once('/').unwrap_or((pointer, ""));
        let whole = analysis.found.get(first);
        if rest.is_empty() { whole } else { whole.and_then(|value| value.pointer(&format!("/{rest}"))) }
    };
    let findings = at("analyse/findings");
    let text = |value: Option<&Value>, name: &str| {
        value.and_then(|value| value.get(name)).and_then(Value::as_str).map(str::to_owned)
    };
    let claims: Vec<Claim> = findings
        .and_then(|all| all.get("claims"))
        .and_then(|all| serde_json::from_value(all.clone()).ok())
        .unwrap_or_default();
    let factors =
        findings.and_then(|all| all.get("factors")).and_then(Value::as_array).map_or_else(Vec::new, |all| factors(all));
    let risk = findings.and_then(|all| all.get("true_risk")).and_then(Value::as_f64);
    let grounded = at("plan/groundedness").and_then(Value::as_f64);
    let opinion = at("analyse/opinion");
    let unsupported = claims.iter().filter(|claim| claim.support.is_empty()).count();
    html! {
        @if let Some(words) = text(findings, "what_happened") { p { (name_long(&words)) } }
        @if risk.is_some() || grounded.is_some() { p.row {
            @if let Some(risk) = risk { span { "Likely an attack that matters: " b { (format!("{:.0} %", risk * 100.0)) } } }
            @if let Some(grounded) = grounded { span { "Groundedness " b { (format!("{:.0} %", grounded * 100.0)) } } }
            @if !claims.is_empty() { span.quiet { (claims.len()) " claims, " (unsupported) " unsupported" } }
        } }
        @if !factors.is_empty() { h3 { "What the risk is made of" } (bars(&factors)) }
        @if !claims.is_empty() { (fold("Claims and their evidence", &claim_list(&claims))) }
        @if let Some(summary) = text(opinion, "summary").filter(|words| !words.is_empty()) { h3 { "What a model says (it is not believed)" } p { (name_long(&summary)) } }
        @if let Some(problem) = text(opinion, "problem") { p.quiet { "The model: " (name(&problem)) } }
        @if !analysis.found.is_empty() { (fold("What each step found", &json(&Value::Object(analysis.found.clone())))) }
    }
}

fn factors(all: &[Value]) -> Vec<(String, f32, String)> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    all.iter()
        .map(|one| {
            (text(one, "name"), one.get("value").and_then(Value::as_f64).unwrap_or(0.0) as f32, text(one, "why"))
        })
        .collect()
}

/// A text of some sentences.
fn name_long(text: &str) -> Markup {
    html! { bdi { (crate::types::visible(text, 4000)) } }
}

fn plans(visit: &Visit, plans: &[Shown]) -> Markup {
    html! {
        section.panel { h2 { "Plans" }
            @if plans.is_empty() { p.quiet { "None yet: the analyst makes one when it is done." } }
            @for one in plans {
                @let said = one.says();
                article.plan {
                    h3 { a href={ "/console/plans/" (part(&one.id)) } { @match &said { Some(body) => (name(&body.summary)), None => "A plan" } } }
                    p.row { (badge::state(one.state.name()))
                        span.quiet { "by " (name(&one.proposer)) " " (ago(one.made)) ", needs " (one.needed) " approvals" }
                        @if one.waits() { span { "expires in " (until(one.expires)) } }
                        span.quiet { "hash " code { (one.hash.get(..16).unwrap_or_default()) "…" } }
                    }
                    @if !one.reasons.is_empty() { ul { @for reason in &one.reasons { li.quiet { (name(reason)) } } } }
                    @if let Some(body) = &said {
                        @if one.waits() { (plan::steps(&body.steps)) } @else { (fold("Steps", &plan::steps(&body.steps))) }
                    }
                    (plan::rule(visit, one))
                }
            }
        }
    }
}

fn evidence(incident: &Incident, alerts: &[Alert]) -> Markup {
    let rows: Vec<Markup> = alerts
        .iter()
        .map(|alert| {
            html! { tr data-id=(alert.id) {
                td { (badge::severity(alert.severity)) }
                td { a href={ "/console/alerts/" (part(&alert.id)) } { (name(&alert.title)) } }
                td.n { "×" (alert.count) }
                td { (badge::state(alert.state.name())) }
                td { (who(&alert.caller)) }
                td { (ago(alert.last)) }
            } }
        })
        .collect();
    let all = super::words::filtered("/console/alerts", "incident", &incident.id);
    html! {
        section.panel { h2 { "Evidence" }
            @if rows.is_empty() { p.quiet { "No alerts." } } @else { (table("Evidence", &["Severity", "Alert", "#Count", "State", "Who", "Last"], &rows)) }
            @if incident.alerts > alerts.len() as u64 { p { a href=(all) { "All " (count(incident.alerts)) " alerts" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::tests::hostile as alert;
    use super::super::incidents::tests::hostile;
    use super::*;

    fn line(kind: LogKind, time: i64) -> LogShown {
        LogShown {
            seq: 1,
            time,
            kind,
            actor: "<b>ana".into(),
            text: "one\n<script>two\u{202e}".into(),
            about: Some("alt_1".into()),
        }
    }

    #[test]
    fn the_clocks_stop_when_somebody_looks_and_when_it_is_closed() {
        let log = [line(LogKind::Raised, 1_000_000), line(LogKind::Changed, 61_000_000)];
        assert_eq!(acknowledged(&hostile(false), &log), None);
        assert_eq!(acknowledged(&hostile(true), &log), Some(61_000_000));
        let shown = head(&hostile(true), &log).into_string();
        assert!(shown.contains(">1 min<") && shown.contains(">2 min<"), "{shown}");
        assert!(head(&hostile(false), &log).into_string().contains("Not acknowledged for"));
    }

    #[test]
    fn hostile_words_of_an_incident_are_text_and_unsupported_claims_are_counted() {
        let mut analysis = Analysis::of(&"inc_1".into(), 1);
        let nasty = "<script>\u{202e}";
        analysis.found.insert(
            "analyse".into(),
            serde_json::json!({
            "findings": { "what_happened": nasty, "true_risk": 0.87, "claims": [{ "text": nasty, "support": [] }],
                "factors": [{ "name": nasty, "value": 0.5, "why": nasty }] },
            "opinion": { "summary": nasty, "problem": nasty } }),
        );
        analysis.found.insert("plan".into(), serde_json::json!({ "groundedness": 0.5 }));
        let shown = html! { (found(&analysis)) (evidence(&hostile(false), &[alert()])) (timeline(&[line(LogKind::Comment, 1)])) };
        let shown = shown.into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{202e}') && !shown.contains("<b>ana"), "{shown}");
        assert!(
            shown.contains("1 claims, 1 unsupported") && shown.contains("87 %") && shown.contains("50 %"),
            "{shown}"
        );
        let empty = found(&Analysis::of(&"inc_1".into(), 1)).into_string();
        assert!(!empty.contains("Groundedness"), "{empty}");
    }
}
