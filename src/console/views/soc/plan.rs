//! One plan: what it would do and to whom, what it rests on, and the ruling on exactly this.

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::words::{action, read, subject, thing};
use crate::console::Answer;
use crate::console::layout::Page;
use crate::console::parts::form::Act;
use crate::console::parts::number::count;
use crate::console::parts::table::table;
use crate::console::parts::time::{ago, at, lasting, until};
use crate::console::parts::{badge, facts, fold, json, lines, name};
use crate::console::query::{Query, part};
use crate::console::visit::Visit;
use crate::control::api::soc::plans::PlanDetail;
use crate::control::api::words::Page as Listed;
use crate::types::soc::{Approval, PlanBody, PlanState, Remedy, Ruling, Step};

/// A plan as the API shows it: its body is the thing itself.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) incident: Option<String>,
    pub(super) body: Value,
    pub(super) hash: String,
    pub(super) proposer: String,
    pub(super) made: i64,
    pub(super) expires: i64,
    pub(super) needed: u8,
    pub(super) state: PlanState,
    #[serde(default)]
    pub(super) reasons: Vec<String>,
}

impl Shown {
    /// What it says, where that can be read.
    pub(super) fn says(&self) -> Option<PlanBody> {
        serde_json::from_value(self.body.clone()).ok()
    }

    /// Whether somebody can still rule on it.
    pub(super) fn waits(&self) -> bool {
        self.state == PlanState::Waiting && self.expires > crate::console::parts::time::now()
    }
}

/// The page.
pub(super) async fn one(visit: Visit) -> Answer {
    let detail: PlanDetail = visit.get(&format!("/api/v1/plans/{}", visit.name("id"))).await?;
    let plan: Shown = read(detail.plan.0)?;
    let approvals: Vec<Approval> = detail.approvals.into_iter().map(|one| read(one.0)).collect::<Result<_, _>>()?;
    let query = Query::default().with("plan", &plan.id).with("limit", "50");
    let remedies: Listed<Remedy> = visit.get(&query.on("/api/v1/remedies")).await?;
    let said = plan.says();
    let title = said.as_ref().map_or_else(|| "Plan".to_owned(), |body| crate::types::visible(&body.summary, 200));
    let body = html! {
        div data-part="plan" { (head(&plan, said.as_ref())) (rule(&visit, &plan)) }
        @match &said {
            Some(body) => { (steps(&body.steps)) (claims(body)) },
            None => { div.notice.unsure { p { "This plan was written by another version: below is what it says." } } (json(&plan.body)) },
        }
        div data-part="rulings" {
            section.panel { h2 { "What people said" } (rulings(&approvals)) }
            @if !remedies.items.is_empty() { section.panel { h2 { "What became of it" } (super::remedies::short(&remedies.items)) } }
        }
        (fold("The text that is approved, byte for byte", &html! { (json(&plan.body)) p { "SHA-256 " code { (plan.hash) } } }))
    };
    Ok(Page::new("/approvals", title, body).live(&["plan", "remedy"]))
}

fn head(plan: &Shown, said: Option<&PlanBody>) -> Markup {
    html! {
        p.row { (badge::state(plan.state.name()))
            @if let Some(body) = said { (badge::severity(body.severity)) (badge::likelihood(body.false_positive)) } }
        (facts(&[
            ("Incident", html! { @match &plan.incident { Some(incident) => (thing(incident)), None => "none: somebody proposed it" } }),
            ("Proposed by", html! { (name(&plan.proposer)) " " (ago(plan.made)) }),
            ("Approvals needed", html! { @if plan.needed == 0 { "none: it may run by itself" } @else { (plan.needed) } }),
            ("Can be approved", html! { @if plan.waits() { "for " (until(plan.expires)) " more" } @else { "no more (until " (at(plan.expires)) ")" } }),
            ("Hash", html! { code { (plan.hash.get(..16).unwrap_or_default()) "…" } }),
        ]))
        @if !plan.reasons.is_empty() {
            div.notice.unsure { p { "Why it was refused, or is not run by itself:" } ul { @for reason in &plan.reasons { li { (name(reason)) } } } }
        }
    }
}

/// The steps, with whom each would have hit.
pub(super) fn steps(all: &[Step]) -> Markup {
    let rows: Vec<Markup> = all.iter().enumerate().map(|(at, step)| html! { tr {
        td.n { (at.saturating_add(1)) }
        td { b { (action(&step.action)) } br; (name(&step.reason)) }
        td { (subject(step.target.as_ref())) }
        td { @match step.lasts { Some(seconds) => (lasting(i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000))), None => "until it is undone" } }
        td { (blast(step)) }
        td { @if step.reversible { "yes" } @else { span.badge.bad { "no" } } }
    } }).collect();
    html! { section.panel { h2 { "Steps" } (table("Steps", &["#Step", "What and why", "To whom", "For", "Blast radius", "Can be undone"], &rows)) } }
}

fn blast(step: &Step) -> Markup {
    let blast = &step.blast;
    if step.target.is_none() {
        return html! { span.quiet { "hits nobody" } };
    }
    html! {
        "would have hit " b { (count(blast.requests)) } " requests of " b { (count(blast.callers)) } " callers in " (blast.hours) " h"
        @if blast.clean > 0 { br; span.badge.unsure { (count(blast.clean)) " of them nothing was found in" } }
    }
}

/// What the plan rests on.
pub(super) fn claims(body: &PlanBody) -> Markup {
    html! {
        section.panel { h2 { "What it rests on" }
            p.row { "Groundedness " b { (format!("{:.0} %", body.groundedness * 100.0)) }
                progress.short max="1" value=(body.groundedness) aria-hidden="true" {}
                span.quiet { "of the claims are supported by evidence" } }
            (claim_list(&body.claims))
            @if !body.playbooks.is_empty() { p { "It follows " @for book in &body.playbooks { (thing(&playbook(book))) " " } } }
        }
    }
}

fn playbook(id: &str) -> String {
    if id.starts_with("playbook/") { id.to_owned() } else { format!("playbook/{id}") }
}

/// Claims with their evidence; those without are pointed out.
pub(super) fn claim_list(claims: &[crate::types::soc::Claim]) -> Markup {
    html! { ul.claims { @for claim in claims { li {
        @if claim.support.is_empty() { span.badge.bad { span aria-hidden="true" { "▲ " } "unsupported" } " " }
        (name(&claim.text))
        @if !claim.support.is_empty() { " " span.quiet { @for id in claim.support.iter().take(6) { (thing(id)) " " }
            @if claim.support.len() > 6 { "and " (claim.support.len().saturating_sub(6)) " more" } } }
    } } } }
}

fn rulings(all: &[Approval]) -> Markup {
    html! {
        @if all.is_empty() { p.quiet { "Nobody has said anything yet." } }
        ol.timeline { @for one in all { li {
            p.quiet { (at(one.at)) " · " b { (name(&one.name)) } " · "
                @match one.ruling { Ruling::Approve => span.badge.good { "approved" }, Ruling::Deny => span.badge.bad { "denied" } }
                @if one.used.is_some() { " · used" } }
            (lines(&one.reason))
            p.quiet { "signed, for the hash " code { (one.hash.get(..16).unwrap_or_default()) "…" } }
        } } }
    }
}

/// The forms to rule on it, bound to its hash, or why there are none.
pub(super) fn rule(visit: &Visit, plan: &Shown) -> Markup {
    if !plan.waits() {
        return html! {};
    }
    if plan.proposer == visit.me().account {
        return html! { div.notice { p { "You proposed this: somebody else has to approve it." } } };
    }
    if !visit.may_decide() {
        return html! { div.notice { p { "It waits for somebody who may decide." } } };
    }
    let form = |what: &str, label: &str, class: &str| {
        let path = format!("/api/v1/plans/{}/{what}", part(&plan.id));
        Act::post(&path).form(
            visit,
            "inline",
            &html! {
                input type="hidden" name="hash" value=(plan.hash);
                label { "Why" input name="reason" required maxlength="1000" autocomplete="off"; }
                button class=(class) type="submit" { (label) }
            },
        )
    };
    html! { div.row.ruling { (form("approve", "Approve", "main")) (form("deny", "Deny", "danger")) } }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A plan whose every text is hostile.
    pub(in crate::console::views::soc) fn hostile() -> Shown {
        let nasty = "</li><script>alert(1)</script>\u{202e}";
        serde_json::from_value(json!({
            "id": "pln_1", "incident": "inc_1", "hash": "a".repeat(64), "proposer": nasty, "made": 1, "expires": i64::MAX / 2,
            "needed": 2, "state": "waiting", "reasons": [nasty],
            "body": { "plan": "pln_1", "incident": "inc_1", "summary": nasty, "severity": "high", "false_positive": 20,
                "groundedness": 0.5, "playbooks": ["injection"],
                "claims": [{ "text": nasty, "support": [] }, { "text": "so", "support": ["alt_1", "playbook/injection#3", nasty] }],
                "steps": [
                    { "action": { "kind": "rate_limit", "requests": 5, "seconds": 60 }, "target": { "kind": "user", "name": nasty },
                      "lasts": 3600, "reason": nasty, "reversible": true, "blast": { "requests": 1200, "callers": 3, "clean": 7, "hours": 24 } },
                    { "action": { "kind": "notify", "channel": nasty }, "target": null, "lasts": null, "reason": "x", "reversible": false,
                      "blast": { "requests": 0, "callers": 0, "clean": 0, "hours": 24 } }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_plan_says_whom_it_hits_and_what_is_unsupported_and_hostile_words_are_text() {
        let plan = hostile();
        let said = plan.says().unwrap();
        let approval: Approval = serde_json::from_value(json!({
            "id": "apr_1", "plan": "pln_1", "hash": "ä".repeat(20), "account": "acc_1", "name": "<b>", "ruling": "deny",
            "reason": "<i>no\u{200b}</i>", "at": 1, "expires": 2, "key": "", "signature": "" }))
        .unwrap();
        let shown = html! { (head(&plan, Some(&said))) (steps(&said.steps)) (claims(&said)) (rulings(&[approval])) }
            .into_string();
        assert!(!shown.contains("<script") && shown.contains("&lt;b&gt;") && !shown.contains("<i>"), "{shown}");
        assert!(!shown.contains('\u{202e}') && !shown.contains('\u{200b}'), "{shown}");
        assert!(
            shown.contains("1\u{202f}200") && shown.contains("in 24 h") && shown.contains("hits nobody"),
            "{shown}"
        );
        assert_eq!(shown.matches("unsupported").count(), 1);
        assert!(shown.contains("/console/playbooks/injection#s3") && shown.contains("50 %"), "{shown}");
        assert!(plan.waits());
        assert!(!Shown { state: PlanState::Refused, ..plan }.waits());
    }
}
