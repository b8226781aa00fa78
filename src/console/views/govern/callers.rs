//! Callers: who asks, how much, and how unusual that is for them.

use axum::response::{IntoResponse as _, Redirect};
use maud::{Markup, html};
use serde_json::json;

use super::words::{caller_path, tabs};
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::badge;
use crate::console::parts::export::{self, Format};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::number::{count, dollars, share};
use crate::console::parts::table::List;
use crate::console::parts::time::{self, Range};
use crate::console::query::part;
use crate::console::trouble::Trouble;
use crate::console::views::open::Shown;
use crate::console::visit::Visit;
use crate::control::api::callers::{CallerView, CallersView, Usual};

/// What callers are told by: the API's word, and the word for people.
pub(super) const KINDS: [(&str, &str); 6] = [
    ("user", "Users"),
    ("team", "Teams"),
    ("tenant", "Tenants"),
    ("key", "Keys"),
    ("agent", "Agents"),
    ("address", "Addresses"),
];

const SORTS: [(&str, &str); 6] = [
    ("requests", "Requests"),
    ("blocked", "Blocked"),
    ("cost", "Spend"),
    ("risk", "Risk"),
    ("unusual", "Unusual for them"),
    ("last", "Last request"),
];

const HEADS: [&str; 9] = [
    "Caller",
    "Tenant",
    "#Requests",
    "#Blocked",
    "#Alerts",
    "#Spend",
    "#Highest risk",
    "Against what is usual",
    "Last request",
];

/// The pages about who may ask and who does.
pub(super) fn ways(visit: &Visit) -> Markup {
    let mut all = vec![("/console/callers", "Callers")];
    if visit.may_audit() {
        all.push(("/console/keys", "Gateway keys"));
    }
    all.push(("/console/orders", "Standing orders"));
    tabs(visit, "Callers and keys", &all)
}

/// The list.
pub(super) async fn page(visit: Visit) -> Result<Shown, Trouble> {
    // Other pages link to a caller by name alone.
    if visit.query().get("kind").is_none()
        && let Some((kind, name)) = KINDS.iter().find_map(|(kind, _)| Some((*kind, visit.query().get(kind)?)))
    {
        return Ok(Shown::Other(Redirect::to(&caller_path(kind, name)).into_response()));
    }
    let range = Range::of(visit.query(), "24h");
    let kind = chosen(visit.query().get("kind"), &KINDS);
    let sort = chosen(visit.query().get("sort"), &SORTS);
    let mut path = format!("/api/v1/callers?kind={kind}&sort={sort}&from={}&to={}&limit=100", range.from, range.to);
    for name in ["tenant", "name"] {
        if let Some(value) = visit.query().get(name) {
            path.push_str(&format!("&{name}={}", part(value)));
        }
    }
    let found: CallersView = visit.get(&path).await?;
    if let Some(format) = Format::asked(&visit) {
        let rows: Vec<Vec<String>> = found.items.iter().map(cells).collect();
        let heads =
            ["kind", "name", "tenant", "requests", "blocked", "alerts", "cost_nano_usd", "risk_most", "z", "last"];
        let text = export::table(format, &heads, &rows, &json!(found));
        return Ok(Shown::Other(export::attached(text, "callers", format)));
    }
    let body = html! {
        (ways(&visit))
        (filters(&visit, &[
            Filter::Choice("kind", "Told by", &KINDS),
            Filter::Choice("sort", "Sorted by", &SORTS),
            Filter::Text("tenant", "Tenant"),
            Filter::Text("name", "Name"),
            Filter::Range,
        ]))
        @if found.at_least {
            div.notice { p { "There were more requests than are looked at for this page: only the newest 200 000 count here." } }
        }
        (export::links(&visit))
        (List {
            part: "callers",
            caption: "Callers",
            heads: &HEADS,
            rows: found.items.iter().map(|one| row(kind, one)).collect(),
            next: None,
            none: ("Nobody asked in this period.", "Choose a longer period, or tell callers by something else: who sends no user has a key or an address."),
        }.show(&visit))
        p.quiet { "What is usual is each caller's own mean of the pieces of time before this period (at most 14 days back); the figure is how many standard deviations the period is away from it." }
    };
    Ok(Shown::Page(Page::new("/callers", "Callers", body).live(&["alert"])))
}

fn chosen(asked: Option<&str>, all: &[(&'static str, &'static str)]) -> &'static str {
    let found = all.iter().find(|(word, _)| asked == Some(*word)).or_else(|| all.first());
    found.map(|(word, _)| *word).unwrap_or_default()
}

fn row(kind: &str, one: &CallerView) -> Markup {
    html! { tr data-id=(one.name) {
        td { a href=(caller_path(kind, &one.name)) { (parts::name(&one.name)) } }
        td { (parts::name_or_dash(one.tenant.as_deref())) }
        td.n { (count(one.requests)) }
        td.n { (count(one.blocked)) " " span.quiet { "(" (share(one.blocked, one.requests)) ")" } }
        td.n { @match one.alerts { Some(alerts) => (count(alerts)), None => span.quiet { "–" } } }
        td.n { (dollars(i64::try_from(one.cost_nano_usd).unwrap_or(i64::MAX))) }
        td.n { (format!("{:.2}", one.risk_most)) }
        td { (against(one.usual.as_ref())) }
        td { (time::ago(one.last)) }
    } }
}

/// How a period compares with what is usual.
pub(super) fn against(usual: Option<&Usual>) -> Markup {
    let Some(usual) = usual else { return html! { span.quiet { "too little to say" } } };
    let (class, sign, words) = match usual.z {
        z if z >= 6.0 => ("bad", "▲", "far above usual"),
        z if z >= 3.0 => ("unsure", "▲", "above usual"),
        z if z <= -3.0 => ("unsure", "▼", "below usual"),
        _ => ("good", "✓", "as usual"),
    };
    let hint = format!(
        "{:.1} requests in {}, usually {:.1} ± {:.1}",
        usual.now,
        time::lasting(i64::try_from(usual.unit_seconds).unwrap_or(0).saturating_mul(1_000_000)),
        usual.mean,
        usual.deviation
    );
    html! { span class={ "badge " (class) } title=(hint) { span aria-hidden="true" { (sign) " " } (words) " (" (format!("{:+.1}", usual.z)) ")" } }
}

fn cells(one: &CallerView) -> Vec<String> {
    let kind = serde_json::to_value(one.kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
    vec![
        kind.unwrap_or_default(),
        one.name.clone(),
        one.tenant.clone().unwrap_or_default(),
        one.requests.to_string(),
        one.blocked.to_string(),
        one.alerts.map(|alerts| alerts.to_string()).unwrap_or_default(),
        one.cost_nano_usd.to_string(),
        format!("{:.3}", one.risk_most),
        one.usual.as_ref().map(|usual| format!("{:.2}", usual.z)).unwrap_or_default(),
        one.last.to_string(),
    ]
}

/// How bad a state is, for people.
pub(super) fn force(in_force: bool, lifted: bool) -> Markup {
    badge::state(if in_force {
        "in_force"
    } else if lifted {
        "lifted"
    } else {
        "over"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::callers::CallerWord;

    #[test]
    fn a_hostile_name_is_shown_and_does_nothing() {
        let one = CallerView {
            kind: CallerWord::User,
            name: "<img src=x onerror=alert(1)>\u{202e}/../x".to_owned(),
            tenant: Some("=cmd()".to_owned()),
            requests: 10,
            blocked: 1,
            alerts: None,
            cost_nano_usd: 5,
            risk_most: 0.5,
            risk_mean: 0.1,
            first: 0,
            last: 0,
            usual: Some(Usual { unit_seconds: 3600, pieces: 5, mean: 1.0, deviation: 1.0, now: 10.0, z: 9.0 }),
        };
        let shown = row("user", &one).into_string();
        assert!(!shown.contains("<img") && !shown.contains("alert(1)>\u{202e}"), "{shown}");
        assert!(shown.contains("far above usual (+9.0)") && shown.contains("10.0 %"), "{shown}");
        assert!(shown.contains("/console/callers/user/%3Cimg"), "{shown}");
        assert!(cells(&one).iter().any(|text| export::cell(text) == "'=cmd()"));
        assert_eq!(chosen(Some("nonsense"), &KINDS), "user");
    }
}
