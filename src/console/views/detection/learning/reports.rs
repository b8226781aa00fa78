//! Reports of missed attacks and false alarms.

use maud::{Markup, html};

use super::super::{ROLES, families, try_out, words};
use super::{Reported, WithWords, reason, reveal, timeline, ways};
use crate::console::Answer;
use crate::console::forms::Form;
use crate::console::layout::Page;
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::form::{Act, select};
use crate::console::parts::table::List;
use crate::console::parts::{self, badge};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::learn::words::ReportShown;
use crate::control::api::words::Page as Listed;
use crate::types::learn::{ReportKind, ReportState};
use crate::types::visible;

const KINDS: [(&str, &str); 2] = [("missed", "missed attack"), ("false_alarm", "false alarm")];
const STATES: [(&str, &str); 4] =
    [("open", "open"), ("learning", "being learned"), ("learned", "learned"), ("dismissed", "dismissed")];

/// The queue.
pub(in crate::console::views::detection) async fn list(visit: Visit) -> Answer {
    let asked = visit.query().only(&["kind", "state", "before"]).with_limit();
    let list: Listed<Reported> = visit.get(&asked.on("/api/v1/learn/reports")).await?;
    let body = html! {
        (ways("reports"))
        (filters(&visit, &[Filter::One("kind", "Kind", &KINDS), Filter::One("state", "State", &STATES)]))
        (List {
            part: "reports",
            caption: "Reports",
            heads: &["Report", "Kind", "Family", "State", "Rules that found something", "By", "Proposal", "Made"],
            rows: list.items.iter().map(row).collect(),
            next: list.next.clone().map(|next| ("before", next)),
            none: ("Nothing was reported.", "Whoever works on events reports what was judged wrongly, below or from the test bench."),
        }
        .show(&visit))
        (form(&visit))
    };
    Ok(Page::new("/learning", "Reports", body).live(&["report"]))
}

fn row(one: &Reported) -> Markup {
    html! {
        tr data-id=(one.id) {
            td { a href={ "/console/learning/reports/" (part(&one.id)) } { (parts::name(&one.id)) } }
            td { (words(one.kind.name())) }
            td { (one.family.map_or_else(|| "–".to_owned(), |family| words(family.name()))) }
            td { (badge::state(one.state.name())) }
            td { @for id in &one.rules { a href={ "/console/rules/" (part(id)) } { (parts::name(id)) } " " } @if one.rules.is_empty() { span.quiet { "–" } } }
            td { @for (at, who) in one.reporters.iter().enumerate() { @if at > 0 { ", " } (parts::name(&who.name)) } }
            td { @match &one.proposal { Some(id) => a href={ "/console/learning/" (part(id)) } { "proposal" }, None => span.quiet { "–" } }
                @if let Some(id) = &one.request { " " a href={ "/console/requests/" (part(id)) } { "request" } } }
            td { (parts::time::ago(one.made)) }
        }
    }
}

/// One report, with its words where somebody asked for them: who reads them stands in the audit trail.
pub(in crate::console::views::detection) async fn one(visit: Visit, asked: Option<Form>) -> Answer {
    if asked.is_none() {
        let body = html! {
            (ways(""))
            section.panel {
                p { "A report holds words that somebody wrote: who reads them stands in the audit trail." }
                (reveal(&visit, "Read the report"))
            }
        };
        return Ok(Page::new("/learning", "A report", body));
    }
    let path = format!("/api/v1/learn/reports/{}", visit.name("id"));
    let shown: ReportShown = visit.get(&path).await?;
    let mut value = shown.0;
    if let Some(fields) = value.as_object_mut() {
        // What stands for the text is not shown.
        fields.entry("print").or_insert_with(|| "".into());
    }
    let report: WithWords = serde_json::from_value(value).map_err(|error| Trouble::unreadable(&error))?;
    let body = html! {
        (ways(""))
        (parts::facts(&[
            ("Kind", html! { (words(report.kind.name())) }),
            ("State", badge::state(report.state.name())),
            ("Family", html! { (report.family.map_or_else(|| "not said".to_owned(), |family| words(family.name()))) }),
            ("Written by", html! { (report.role.name()) }),
            ("Made", parts::time::at(report.made)),
            ("By", html! { @for (at, who) in report.reporters.iter().enumerate() { @if at > 0 { ", " } (parts::name(&who.name)) } }),
            ("Proposal", html! { @match &report.proposal { Some(id) => a href={ "/console/learning/" (part(id)) } { "the rules made of it" }, None => "none" } }),
            ("Request", html! { @match &report.request { Some(id) => a href={ "/console/requests/" (part(id)) } { (parts::name(id)) }, None => "not known" } }),
        ]))
        section.panel {
            h2 { "The text" }
            pre.evidence tabindex="0" { @for line in report.text.split('\n') { bdi { (visible(line, usize::MAX)) } "\n" } }
            @if visit.may_work() { (try_out(&visit, &report.text, "input", report.role.name(), "Judge it on the bench")) }
            p.quiet { "That you read it stands in the audit trail." }
        }
        @if !report.note.is_empty() { section.panel { h2 { "What the reporter says" } (parts::lines(&report.note)) } }
        @if !report.rules.is_empty() {
            section.panel { h2 { "Rules that found something in it then" }
                ul { @for id in &report.rules { li { a href={ "/console/rules/" (part(&id.0)) } { (parts::name(&id.0)) } } } } }
        }
        (judge(&visit, &report, &path))
        @if let Some(ruling) = &report.ruling { section.panel { h2 { "What was decided" } (timeline(std::slice::from_ref(ruling))) } }
    };
    Ok(Page::new("/learning", format!("Report of a {}", title(report.kind)), body))
}

const fn title(kind: ReportKind) -> &'static str {
    match kind {
        ReportKind::Missed => "missed attack",
        ReportKind::FalseAlarm => "false alarm",
    }
}

fn judge(visit: &Visit, report: &WithWords, path: &str) -> Markup {
    if report.kind != ReportKind::FalseAlarm || report.state != ReportState::Open || !visit.may_decide() {
        return html! {};
    }
    let mine = report.reporters.iter().any(|one| *one.account == *visit.me().account);
    let act = |verb: &str, label: &str, class: &str| {
        let fields = html! { (reason("Why")) button class=(class) type="submit" { (label) } };
        Act::post(&format!("{path}/{verb}")).form(visit, "inline", &fields)
    };
    html! {
        section.panel {
            h2 { "Is it harmless?" }
            @if mine { p.notice.unsure { "You reported this: somebody else confirms it." } }
            @else { p { "Confirmed, the text is kept among the harmless ones that nothing learned may hit." } (act("confirm", "Confirm: it is harmless", "main")) }
            (act("dismiss", "Dismiss: it is no false alarm", "danger"))
        }
    }
}

/// Reports something.
pub(super) fn form(visit: &Visit) -> Markup {
    if !visit.may_work() {
        return html! {};
    }
    let families = families();
    let families: Vec<(&str, &str)> =
        std::iter::once(("", "not sure")).chain(families.iter().map(|(word, name)| (*word, name.as_str()))).collect();
    let request = visit.query().get("request").unwrap_or_default();
    let kind = visit.query().get("kind").unwrap_or("missed");
    let fields = html! {
        div.row {
            (select("kind", "What is wrong", &KINDS, kind))
            (select("family", "Kind of attack", &families, ""))
            (select("role", "Written by", &ROLES, "user"))
        }
        label { "The text, as it was written" textarea name="text" required maxlength="60000" rows="5" spellcheck="false" {} }
        label { "Id of the request it was in, where that is known" input name="request" maxlength="256" value=(request); }
        label { "Note" input name="note" maxlength="1000"; }
        button.main type="submit" { "Report" }
        p.quiet { "Of a missed attack rules are made and tried at once; they decide nothing before somebody else approved them. "
            "A false alarm waits for somebody else to confirm it." }
    };
    html! {
        details.fold open[!request.is_empty()] {
            summary { "Report a missed attack or a false alarm" }
            (Act::post("/api/v1/learn/reports").form(visit, "stack panel", &fields))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_hostile_names_is_listed_and_does_nothing() {
        let one: Reported = serde_json::from_value(serde_json::json!({
            "id": "rpt_1", "kind": "false_alarm", "family": null, "role": "user", "request": "req/../x", "state": "open",
            "reporters": [{ "account": "a", "name": "<b>ana</b>\u{200b}", "at": 0 }], "rules": ["PC-<i>"], "proposal": null,
            "ruling": null, "made": 0, "updated": 0,
        }))
        .unwrap();
        let shown = row(&one).into_string();
        assert!(!shown.contains("<b>") && !shown.contains("<i>") && !shown.contains('\u{200b}'), "{shown}");
        assert!(shown.contains("/console/requests/req%2F..%2Fx") && shown.contains("false alarm"), "{shown}");
    }
}
