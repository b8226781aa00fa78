//! Standing orders: seen, given, lifted.

use maud::{Markup, html};

use super::callers::{force, ways};
use super::words::{LIVES, caller_path};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts;
use crate::console::parts::form::{Act, select};
use crate::console::parts::table::List;
use crate::console::parts::time;
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::orders::{MeasureView, OrderView, SubjectView};
use crate::control::api::words;

/// The list.
pub(super) async fn page(visit: Visit) -> Answer {
    let before = visit.query().get("before").map(|before| format!("&before={}", part(before))).unwrap_or_default();
    let found: words::Page<OrderView> = visit.get(&format!("/api/v1/orders?limit=50{before}")).await?;
    let body = html! {
        (ways(&visit))
        p { "An order holds for a caller whatever the policies say: effective at once, live streams included." }
        (list(&visit, &found.items, found.next.map(|next| ("before", next))))
        @if visit.may_decide() {
            section.panel { h2 { "Give an order" } (give(&visit, None)) }
        }
    };
    Ok(Page::new("/callers", "Standing orders", body))
}

/// Orders in a list.
pub(super) fn list(visit: &Visit, orders: &[OrderView], next: Option<(&str, String)>) -> Markup {
    List {
        part: "orders",
        caption: "Standing orders",
        heads: &["About", "Measure", "State", "Why", "Given", "Until", ""],
        rows: orders.iter().map(|order| row(visit.may_decide().then_some(visit), order)).collect(),
        next,
        none: ("There are no standing orders.", "An order blocks, quarantines, limits or tightens one caller."),
    }
    .show(visit)
}

/// Whom an order is about: kind and name, as callers are told.
pub(super) fn about(subject: &SubjectView) -> (&'static str, &str) {
    match subject {
        SubjectView::Network { network } => ("address", network.text()),
        SubjectView::Tenant { name } => ("tenant", name.text()),
        SubjectView::Team { name } => ("team", name.text()),
        SubjectView::User { name } => ("user", name.text()),
        SubjectView::Key { name } => ("key", name.text()),
        SubjectView::Session { name } => ("session", name.text()),
        SubjectView::Agent { name } => ("agent", name.text()),
    }
}

fn measure(measure: MeasureView) -> String {
    match measure {
        MeasureView::Block {} => "block".to_owned(),
        MeasureView::Quarantine {} => "quarantine".to_owned(),
        MeasureView::Tighten {} => "tighten".to_owned(),
        MeasureView::Limit { requests, seconds } => {
            format!("at most {} requests in {} s", requests.get(), seconds.get())
        }
    }
}

/// A row; `who` may lift it.
fn row(who: Option<&Visit>, order: &OrderView) -> Markup {
    let (kind, name) = about(&order.subject);
    let whole = name.strip_suffix("/32").or_else(|| name.strip_suffix("/128")).unwrap_or(name);
    html! { tr data-id=(order.id) {
        td {
            (kind) " "
            @if kind == "session" { a href={ "/console/sessions/" (part(name)) } { (parts::name(name)) } }
            @else if whole.contains('/') && kind == "address" { (parts::name(name)) }
            @else { a href=(caller_path(kind, whole)) { (parts::name(name)) } }
        }
        td { (measure(order.measure)) }
        td { (force(order.in_force, order.lifted.is_some())) @if let Some(by) = &order.lifted_by { " by " (parts::name(by)) } }
        td { (parts::name(&order.reason)) }
        td { (time::ago(order.made)) " by " (parts::name(&order.made_by)) }
        td { @match order.expires { Some(at) => (time::at(at)), None => "it is lifted" } }
        td { @if let Some(visit) = who && order.in_force {
            (Act::delete(&format!("/api/v1/orders/{}", part(&order.id))).sure("Lift this order? It ends at once.").button(visit, "Lift", &[]))
        } }
    } }
}

/// Forms that give an order: about somebody, or about whom the form says.
pub(super) fn give(visit: &Visit, about: Option<(&str, &str)>) -> Markup {
    let lives: Vec<(&str, &str)> = LIVES.iter().copied().chain([("", "until it is lifted")]).collect();
    let whom = html! {
        @match about {
            Some(("address", name)) => {
                input type="hidden" name="subject.kind" value="network";
                input type="hidden" name="subject.network" value=(name);
            },
            Some((kind, name)) => {
                input type="hidden" name="subject.kind" value=(kind);
                input type="hidden" name="subject.name" value=(name);
            },
            None => {
                (select("subject.kind", "About a", &[("user", "user"), ("team", "team"), ("tenant", "tenant"), ("key", "key (its id)"),
                    ("agent", "agent"), ("session", "session"), ("network", "address or network")], "user"))
                label { "Name" input name="subject.name" maxlength="256"; }
                label { "Address or network, instead of a name" input name="subject.network" maxlength="50" placeholder="192.0.2.0/24"; }
            },
        }
    };
    let rest = html! {
        (select("expires_in:number", "For", &lives, "86400"))
        label { "Why (it stands in the audit trail)" input name="reason" required maxlength="1000" size="40"; }
    };
    let act =
        Act::post("/api/v1/orders").sure("Give this order? It holds at once and cuts streams that are under way.");
    html! {
        (act.form(visit, "filters", &html! {
            (whom)
            (select("measure.kind", "Measure", &[("block", "block: refuse at once"), ("quarantine", "quarantine: judge as evidence, refuse"), ("tighten", "tighten: strict thresholds")], "block"))
            (rest)
            button.danger type="submit" { "Give order" }
        }))
        (act.form(visit, "filters", &html! {
            (whom)
            input type="hidden" name="measure.kind" value="limit";
            label { "At most requests" input type="number" name="measure.requests:number" min="1" max="1000000" value="60" required; }
            label { "in seconds" input type="number" name="measure.seconds:number" min="1" max="86400" value="60" required; }
            (rest)
            button.danger type="submit" { "Limit" }
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_shows_whom_it_is_about_without_being_one() {
        let order: OrderView = serde_json::from_value(json!({
            "id": "ord_1", "subject": { "kind": "user", "name": "</td><script>x</script>" },
            "measure": { "kind": "limit", "requests": 5, "seconds": 60 },
            "reason": "<b>\u{2066}", "made_by": "rea", "made": 1, "in_force": true,
        }))
        .unwrap();
        let shown = row(None, &order).into_string();
        assert!(!shown.contains("<script") && !shown.contains("<b>") && !shown.contains('\u{2066}'), "{shown}");
        assert!(shown.contains("at most 5 requests in 60 s") && shown.contains("it is lifted"), "{shown}");
    }
}
