//! What the pages of alerts, incidents and requests share: links, names, bars, timelines.

use maud::{Markup, html};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::console::parts::form::select;
use crate::console::parts::time::{RANGES, Range, ago, at};
use crate::console::parts::{badge, lines, name, name_or_dash};
use crate::console::query::{Query, part};
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::control::api::soc::words::LogShown;
use crate::types::soc::RemedyAction;
use crate::types::{Caller, Decision, Family, Subject};

/// What something is closed with: the word, and what people read.
pub(super) const REASONS: [(&str, &str); 4] = [
    ("resolved", "resolved: it was real, and it is over"),
    ("false_positive", "false alarm"),
    ("duplicate", "duplicate: it is told elsewhere"),
    ("accepted", "accepted: it is known and stays"),
];

/// States of alerts and incidents, with what people read.
pub(super) const STATES: [(&str, &str); 4] =
    [("open", "Open"), ("acknowledged", "Acknowledged"), ("in_progress", "In progress"), ("closed", "Closed")];

/// Severities, worst first.
pub(super) const SEVERITIES: [&str; 5] = ["critical", "high", "medium", "low", "informational"];

/// A thing as the API has it, read as its type.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, Trouble> {
    serde_json::from_value(value).map_err(|error| Trouble::unreadable(&error))
}

/// An address of the console with one filter.
pub(super) fn filtered(path: &str, filter: &str, value: &str) -> String {
    let query = Query::default().with(filter, value);
    // Alerts are shown whatever their state where one looks for somebody.
    if path == "/console/alerts" { query.with("state", "any").on(path) } else { query.on(path) }
}

/// Where an id leads: what it is about stands in its first letters.
pub(super) fn place(id: &str) -> Option<String> {
    let known = [
        ("alt_", "/console/alerts/"),
        ("inc_", "/console/incidents/"),
        ("pln_", "/console/plans/"),
        ("req_", "/console/requests/"),
    ];
    if let Some(rest) = id.strip_prefix("playbook/") {
        let (book, section) = rest.split_once('#').unwrap_or((rest, ""));
        let anchor = if section.is_empty() { String::new() } else { format!("#s{section}") };
        return Some(format!("/console/playbooks/{}{anchor}", part(book)));
    }
    if id.starts_with("rem_") {
        return Some(format!("/console/remedies?id={}", part(id)));
    }
    known.iter().find(|(prefix, _)| id.starts_with(prefix)).map(|(_, path)| format!("{path}{}", part(id)))
}

/// An id, as a link where it leads somewhere.
pub(super) fn thing(id: &str) -> Markup {
    html! { @match place(id) {
        Some(place) => a href=(place) { code { (name(id)) } },
        None => code { (name(id)) },
    } }
}

/// A rule's id, which leads to the rule.
pub(super) fn rule(id: &str) -> Markup {
    html! { a href={ "/console/rules/" (part(id)) } { code { (name(id)) } } }
}

/// What was decided, as a record has it.
pub(super) fn decided(word: &str) -> Markup {
    match Decision::ALL.iter().find(|known| known.name() == word) {
        Some(known) => badge::state(known.name()),
        None => name(word),
    }
}

/// A family of threats in words.
pub(super) fn family(family: Option<Family>) -> String {
    family.map_or_else(|| "–".to_owned(), |family| family.name().replace('_', " "))
}

/// Who caused something, each with the way to what else they did.
pub(super) fn caller(caller: &Caller) -> Vec<(&'static str, Markup)> {
    let mut all: Vec<(&'static str, Markup)> = Vec::new();
    let both = |filter: &'static str, value: &str| {
        html! {
            (name(value)) " "
            span.ways-on {
                a href=(filtered("/console/alerts", filter, value)) { "alerts" } " "
                @if filter != "address" { a href=(filtered("/console/requests", filter, value)) { "requests" } }
            }
        }
    };
    if let Some(user) = &caller.user {
        let link = html! { " " a href=(filtered("/console/callers", "user", user)) { "caller" } };
        all.push(("User", html! { (both("user", user)) (link) }));
    }
    if let Some(key) = &caller.key {
        all.push(("Key", both("key", key)));
    }
    if let Some(session) = &caller.session {
        all.push(("Session", html! { (session_link(session)) " " (both_quiet(session)) }));
    }
    if let Some(address) = &caller.address {
        all.push(("Address", both("address", &address.to_canonical().to_string())));
    }
    if let Some(tenant) = &caller.tenant {
        all.push(("Tenant", both("tenant", tenant)));
    }
    if let Some(team) = &caller.team {
        all.push((
            "Team",
            html! { (name(team)) " " a href=(filtered("/console/requests", "team", team)) { "requests" } },
        ));
    }
    if let Some(agent) = &caller.agent {
        all.push(("Agent", name(agent)));
    }
    let kind = serde_json::to_value(caller.kind).unwrap_or_default();
    all.push(("Known by", html! { (kind.as_str().unwrap_or_default().replace('_', " ")) }));
    all
}

fn both_quiet(session: &str) -> Markup {
    html! { span.ways-on { a href=(filtered("/console/alerts", "session", session)) { "alerts" } } }
}

/// A session, which leads to its page.
pub(super) fn session_link(session: &str) -> Markup {
    html! { a href={ "/console/sessions/" (part(session)) } { (name(session)) } }
}

/// Who, in one line.
pub(super) fn who(caller: &Caller) -> Markup {
    let address = caller.address.map(|address| address.to_string());
    let known = [caller.user.as_deref(), caller.key.as_deref(), address.as_deref()];
    name_or_dash(known.into_iter().flatten().next())
}

/// Whom something is done to.
pub(super) fn subject(subject: Option<&Subject>) -> Markup {
    let (kind, who) = match subject {
        None => return html! { span.quiet { "nobody" } },
        Some(Subject::Network { address, prefix }) => ("address", format!("{address}/{prefix}")),
        Some(Subject::Tenant { name }) => ("tenant", name.to_string()),
        Some(Subject::Team { name }) => ("team", name.to_string()),
        Some(Subject::User { name }) => ("user", name.to_string()),
        Some(Subject::Key { name }) => ("key", name.to_string()),
        Some(Subject::Session { name }) => ("session", name.to_string()),
        Some(Subject::Agent { name }) => ("agent", name.to_string()),
    };
    html! { span.quiet { (kind) " " } @if kind == "session" { (session_link(&who)) } @else { (name(&who)) } }
}

/// What is done, in words.
pub(super) fn action(action: &RemedyAction) -> Markup {
    match action {
        RemedyAction::Monitor => html! { "Watch" },
        RemedyAction::RateLimit { requests, seconds } => {
            html! { "Limit to " (requests) " requests in " (seconds) " s" }
        }
        RemedyAction::BlockAddress => html! { "Refuse the address" },
        RemedyAction::TerminateSession => html! { "End the session" },
        RemedyAction::SuspendUser => html! { "Suspend the user" },
        RemedyAction::RevokeKey => html! { "Revoke the key" },
        RemedyAction::IsolateAgent => html! { "Isolate the agent" },
        RemedyAction::TightenPolicy => html! { "Judge strictly" },
        RemedyAction::Notify { channel } => html! { "Tell " (name(channel)) },
    }
}

/// Shares of 1 with a bar each: name, value, words.
pub(super) fn bars(all: &[(String, f32, String)]) -> Markup {
    html! {
        table.bars { caption.hidden { "What it is made of" }
            thead.hidden { tr { th scope="col" { "What" } th scope="col" { "Bar" } th.n scope="col" { "Value" } th scope="col" { "Why" } } }
            tbody { @for (what, value, why) in all { tr {
                td { (name(what)) }
                td.bar { progress max="1" value=(value) aria-hidden="true" {} }
                td.n { (format!("{value:.2}")) }
                td.quiet { (name(why)) }
            } } }
        }
    }
}

/// A timeline, newest last.
pub(super) fn timeline(log: &[LogShown]) -> Markup {
    html! {
        @if log.is_empty() { p.quiet { "Nothing was written down yet." } }
        ol.timeline { @for line in log { li {
            p.quiet { (at(line.time)) " " (ago(line.time)) " · " b { (name(&line.actor)) } " · " (log_kind(line))
                @if let Some(about) = &line.about { " · " (thing(about)) } }
            (lines(&line.text))
        } } }
    }
}

fn log_kind(line: &LogShown) -> String {
    serde_json::to_value(line.kind)
        .ok()
        .and_then(|kind| kind.as_str().map(|kind| kind.replace('_', " ")))
        .unwrap_or_default()
}

/// The fields that close something, with the button.
pub(super) fn closing(expected: &str) -> Markup {
    html! {
        input type="hidden" name="state" value="closed";
        input type="hidden" name="expected" value=(expected);
        (select("reason", "Reason", &REASONS, "resolved"))
        label { "Note" input name="note" maxlength="1000"; }
        button type="submit" { "Close" }
    }
}

/// A text that people write under something.
pub(super) fn comment_fields() -> Markup {
    html! {
        label { "Comment" textarea name="text" maxlength="4000" required {} }
        button type="submit" { "Write" }
    }
}

/// The periods a list can be filtered by; nothing chosen is any time.
pub(super) fn periods() -> Vec<(&'static str, &'static str)> {
    RANGES.iter().map(|(word, name, _)| (*word, *name)).collect()
}

/// The filters of a list for the API: those of `names`, and the period where one is chosen, else since `otherwise`.
pub(super) fn asked(visit: &Visit, names: &[&str], otherwise: Option<&str>) -> Query {
    let query = visit.query();
    let mut asked = query.only(names);
    if query.get("range").is_some() || query.get("from").is_some() || otherwise.is_some() {
        let range = Range::of(query, otherwise.unwrap_or("24h"));
        asked = asked.with("from", &range.from.to_string());
        if range.word == "custom" {
            asked = asked.with("to", &range.to.to_string());
        }
    }
    if let Some(before) = query.get("before") {
        asked = asked.with("before", before);
    }
    asked
}

/// Another filter, on the same page of the list.
pub(super) fn keeping(query: &Query, name: &str, value: &str) -> Query {
    let changed = query.with(name, value);
    query.get("before").map_or_else(|| changed.clone(), |before| changed.with("before", before))
}

/// The filters in force as chips, each with the way to take it away.
pub(super) fn chips(visit: &Visit, names: &[&str]) -> Markup {
    let query = visit.query();
    let mut all: Vec<(String, Markup, Query)> = query
        .pairs()
        .filter(|(key, _)| names.contains(key))
        .map(|(key, value)| (key.replace('_', " "), name(value), query.with(key, "")))
        .collect();
    if query.get("from").is_some() {
        let range = Range::of(query, "24h");
        let words = html! { (at(range.from)) " to " (at(range.to)) };
        all.push(("period".to_owned(), words, query.with("from", "").with("to", "")));
    }
    html! { @if !all.is_empty() { p.chips { @for (key, value, without) in all {
        a.button.chip href=(without.on(visit.path())) title="Take this filter away" {
            (key) ": " (value) span aria-hidden="true" { " ×" } span.hidden { " (take away)" }
        } " "
    } } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_where_they_belong_and_hostile_ones_stay_one_part() {
        assert_eq!(place("alt_1").as_deref(), Some("/console/alerts/alt_1"));
        assert_eq!(place("playbook/injection#3").as_deref(), Some("/console/playbooks/injection#s3"));
        assert_eq!(place("inc_../../x?y").as_deref(), Some("/console/incidents/inc_..%2F..%2Fx%3Fy"));
        assert_eq!(place("javascript:1"), None);
        let shown = thing("<b>\u{202e}").into_string();
        assert!(!shown.contains("<b>") && shown.contains("\\u{202e}"), "{shown}");
    }

    #[test]
    fn callers_with_hostile_names_are_shown_as_text() {
        let nasty: std::sync::Arc<str> = "\"><script>alert(1)</script>&x=1".into();
        let who = Caller {
            user: Some(nasty.clone()),
            session: Some(nasty.clone()),
            tenant: Some(nasty),
            ..Caller::default()
        };
        let shown: String = caller(&who).into_iter().map(|(_, markup)| markup.into_string()).collect();
        assert!(!shown.contains("<script"), "{shown}");
        assert!(!shown.contains("&x=1") && shown.contains("%26x%3D1"), "{shown}");
    }
}
