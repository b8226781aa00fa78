//! What happens, at a glance.

use maud::{Markup, html};
use serde_json::Value;

use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::chart::{self, Bar, OverTime, Series};
use crate::console::parts::filter::{Filter, filters};
use crate::console::parts::time::{Range, lasting};
use crate::console::parts::{name, number, tile};
use crate::console::query::Query;
use crate::console::visit::Visit;
use crate::control::api::overview::{NamedView, OverviewView, TotalsView};
use crate::control::api::soc::alerts::AlertCounts;

/// What requests are told apart by in the drawing, in this order.
const KINDS: [&str; 6] = ["passed", "blocked", "flagged", "redacted", "failed", "refused"];

/// Which of them a request of this outcome and decision is.
fn kind(outcome: &str, decision: &str) -> &'static str {
    match (outcome, decision) {
        (_, "block") | ("prompt_blocked" | "answer_blocked", _) => "blocked",
        ("refused", _) => "refused",
        ("upstream_failed" | "internal", _) => "failed",
        (_, "flag") => "flagged",
        (_, "redact") => "redacted",
        _ => "passed",
    }
}

/// Pieces a period is drawn in.
const PIECES: u32 = 60;

/// The page.
pub(super) async fn page(visit: Visit) -> Answer {
    let range = Range::of(visit.query(), "24h");
    let path = format!("/api/v1/overview?from={}&to={}&pieces={PIECES}", range.from, range.to);
    let status: Value = visit.get("/api/v1/status").await?;
    let overview: Option<OverviewView> = visit.maybe(&path).await?;
    let alerts: Option<AlertCounts> = visit.maybe("/api/v1/alerts/counts").await?;
    let doubt = false_alarms(&visit, &range).await?;
    let body = html! {
        (filters(&visit, &[Filter::Range]))
        @if range.word == "custom" { p.notice { "A period marked in a chart. " a href=(visit.query().with("from", "").with("to", "").on("/console")) { "Show the whole again" } } }
        div data-part="overview" {
            @if let Some(overview) = &overview {
                (tiles(&visit, overview, alerts.as_ref(), doubt, &range))
                (traffic(overview))
                div.columns { (names(&visit, overview)) }
            } @else {
                p.notice { "What happened cannot be shown: your role does not read events, or the store does not answer in time." }
            }
            (health(&status))
        }
    };
    Ok(Page::new("", "Overview", body).live(&["alert", "incident", "remedy"]).script("brush.js"))
}

/// Of alerts that were closed in the period: how many as false alarms, and how many.
async fn false_alarms(visit: &Visit, range: &Range) -> Result<Option<(u64, u64)>, crate::console::trouble::Trouble> {
    let path = format!("/api/v1/alerts?state=closed&from={}&to={}&limit=200", range.from, range.to);
    let Some(page) = visit.maybe::<Value>(&path).await? else { return Ok(None) };
    let closed = page.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let reasons = closed.iter().filter_map(|alert| alert.pointer("/closed/reason").and_then(Value::as_str));
    let (mut harmless, mut all) = (0, 0);
    // Duplicates say nothing either way.
    for reason in reasons.filter(|reason| *reason != "duplicate") {
        all += 1;
        harmless += u64::from(reason == "false_positive");
    }
    Ok(Some((harmless, all)))
}

fn tiles(
    visit: &Visit,
    overview: &OverviewView,
    alerts: Option<&AlertCounts>,
    doubt: Option<(u64, u64)>,
    range: &Range,
) -> Markup {
    let (now, before) = (&overview.totals, &overview.before);
    let requests = |filters: &[(&str, &str)]| {
        let mut query = Query::default().with("from", &range.from.to_string()).with("to", &range.to.to_string());
        for (name, value) in filters {
            query = query.with(name, value);
        }
        query.on("/console/requests")
    };
    let waiting = alerts.and_then(|counts| counts.states.get("open")).map_or(0, |open| open.values().sum());
    let worst = alerts.and_then(|counts| counts.states.get("open")?.get("critical")).copied().unwrap_or(0);
    html! {
        div.tiles {
            (tile("Requests", &number::count(now.requests), &change(now.requests, before.requests), Some(&requests(&[]))))
            (tile("Blocked", &number::count(now.blocked), &format!("{} of all; {}", number::share(now.blocked, now.requests), change(now.blocked, before.blocked)), Some(&requests(&[("decision", "block")]))))
            (tile("Flagged", &number::count(now.flagged), &change(now.flagged, before.flagged), Some(&requests(&[("decision", "flag")]))))
            (tile("Redacted", &number::count(now.redacted), &change(now.redacted, before.redacted), Some(&requests(&[("decision", "redact")]))))
            (tile("Failed or refused", &number::count(now.failed + now.refused), &change(now.failed + now.refused, before.failed + before.refused), Some(&requests(&[("outcome", "refused")]))))
            (tile("Open alerts", &number::count(waiting), &format!("{worst} critical"), Some("/console/alerts?state=open")))
            @if let Some((harmless, all)) = doubt {
                (tile("False alarms", &number::share(harmless, all), &format!("of {all} alerts closed"), Some("/console/alerts?state=closed")))
            }
            (tile("Latency added", &number::micros(overview.overhead.p50), &format!("95 %: {}, 99 %: {}", number::micros(overview.overhead.p95), number::micros(overview.overhead.p99)), None))
            (spent(visit, now, before))
        }
    }
}

fn spent(visit: &Visit, now: &TotalsView, before: &TotalsView) -> Markup {
    let tokens = now.input_tokens.saturating_add(now.output_tokens);
    let hint = format!("{} tokens; before: {}", number::count(tokens), number::dollars(before.cost_nano_usd));
    tile("Spent", &number::dollars(now.cost_nano_usd), &hint, visit.may_audit().then_some("/console/spend"))
}

/// How a count changed against the period before.
fn change(now: u64, before: u64) -> String {
    if before == 0 {
        return "none in the period before".to_owned();
    }
    let (sign, away) = if now >= before { ("+", now - before) } else { ("−", before - now) };
    format!("{sign}{} against the period before", number::share(away, before))
}

fn traffic(overview: &OverviewView) -> Markup {
    let pieces = overview.series.iter().map(|one| one.counts.len()).max().unwrap_or(0);
    let series: Vec<Series> = KINDS
        .iter()
        .map(|name| {
            let mut values = vec![0.0; pieces];
            for one in overview.series.iter().filter(|one| kind(&one.outcome, &one.decision) == *name) {
                values.iter_mut().zip(&one.counts).for_each(|(sum, count)| *sum += *count as f64);
            }
            Series { name: (*name).to_owned(), values }
        })
        .collect();
    let title = format!("Requests, in pieces of {}", lasting(overview.step));
    let chart = OverTime {
        title: &title,
        from: overview.from,
        step: overview.step,
        series: &series,
        shown: chart::counts,
        brush: true,
    };
    chart.show()
}

fn names(visit: &Visit, overview: &OverviewView) -> Markup {
    let top = &overview.top;
    let bars = |all: &[NamedView], link: &dyn Fn(&str) -> String| -> Vec<Bar> {
        all.iter()
            .map(|one| Bar {
                name: html! { a href=(link(&one.name)) { (name(&one.name)) } },
                value: one.count as f64,
                shown: if one.blocked > 0 {
                    format!("{} ({} blocked)", number::count(one.count), number::count(one.blocked))
                } else {
                    number::count(one.count)
                },
            })
            .collect()
    };
    let requests = |what: &'static str| {
        move |name: &str| visit.query().only(&["range", "from", "to"]).with(what, name).on("/console/requests")
    };
    html! {
        (chart::bars("Threats", "Family", &bars(&top.families, &|family| Query::default().with("family", family).on("/console/alerts"))))
        (chart::bars("Rules", "Rule", &bars(&top.rules, &|rule| format!("/console/rules/{}", crate::console::query::part(rule)))))
        (chart::bars("Callers", "User", &bars(&top.users, &requests("user"))))
        (chart::bars("Models", "Model", &bars(&top.models, &requests("model"))))
    }
}

/// How the parts of the gateway do.
fn health(status: &Value) -> Markup {
    let said = |pointer: &str| match status.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "–".to_owned(),
        Some(other) => other.to_string(),
    };
    let uptime = status.pointer("/uptime_seconds").and_then(Value::as_i64).unwrap_or(0);
    html! {
        section.panel { h2 { "The gateway" }
            dl.facts {
                @for (label, value) in [
                    ("Version", said("/version")),
                    ("Up for", lasting(uptime.saturating_mul(1_000_000))),
                    ("Rules in force", said("/rules")),
                    ("Generation", said("/generation")),
                    ("Store", said("/store/state")),
                    ("Waiting to be written", said("/store/queued")),
                    ("Spooled bytes", said("/store/spool_bytes")),
                    ("Audit trail", said("/audit/state")),
                    ("Audit entries", said("/audit/seq")),
                    ("Standing orders", said("/orders")),
                ] { div { dt { (label) } dd { (value) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, kind};
    use crate::types::Outcome;

    #[test]
    fn every_request_is_drawn_as_something() {
        for outcome in Outcome::ALL {
            let outcome = serde_json::to_value(outcome).unwrap();
            for decision in ["allow", "flag", "redact", "block"] {
                let outcome = outcome.as_str().unwrap();
                assert!(KINDS.contains(&kind(outcome, decision)), "{outcome} {decision}");
            }
        }
        assert_eq!(kind("prompt_blocked", "flag"), "blocked");
        assert_eq!(kind("served", "allow"), "passed");
    }
}
