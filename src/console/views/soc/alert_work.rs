//! What can be done with an alert: the forms.

use maud::{Markup, html};

use super::words::closing;
use crate::console::parts::form::{Act, select};
use crate::console::visit::Visit;
use crate::types::soc::{Alert, AlertState};

/// The panel.
pub(super) fn work(visit: &Visit, alert: &Alert) -> Markup {
    let path = format!("/api/v1/alerts/{}", crate::console::query::part(&alert.id));
    let is_closed = alert.state == AlertState::Closed;
    html! {
        section.panel.work { h2 { "Work on it" }
            @if is_closed {
                (Act::patch(&path).button(visit, "Open again", &[("state", "open"), ("expected", "closed")]))
            } @else {
                div.row {
                    @for (state, label, key) in [("acknowledged", "Acknowledge", "a"), ("in_progress", "Work on it", "w")] {
                        @if alert.state.name() != state {
                            (Act::patch(&path).form(visit, "inline", &html! {
                                input type="hidden" name="state" value=(state);
                                input type="hidden" name="expected" value=(alert.state.name());
                                button type="submit" data-key=(key) title={ (label) " (" (key) ")" } { (label) }
                            }))
                        }
                    }
                    @if alert.assignee.as_deref() != Some(&visit.me().name) {
                        (Act::patch(&path).form(visit, "inline", &html! {
                            input type="hidden" name="assignee" value=(visit.me().name);
                            button type="submit" data-key="m" title="Assign to me (m)" { "Assign to me" }
                        }))
                    }
                    @if alert.assignee.is_some() { (Act::patch(&path).button(visit, "Give back", &[("assignee:json", "null")])) }
                }
                (Act::patch(&path).form(visit, "inline", &html! {
                    label { "Assign to" input name="assignee" maxlength="64" required pattern="[A-Za-z0-9._@\\-]{1,64}" autocomplete="off"; }
                    button type="submit" { "Assign" }
                }))
                details.fold {
                    summary data-key="e" title="Close (e)" { "Close with a reason" }
                    (Act::patch(&path).form(visit, "stack", &closing(alert.state.name())))
                }
                details.fold {
                    summary { "Merge other alerts into this one" }
                    (Act::post(&format!("{path}/merge")).sure("The other alert is closed as a duplicate of this one.").form(visit, "stack", &html! {
                        label { "Its id" input name="ids[]" maxlength="64" required pattern="alt_.*" autocomplete="off" placeholder="alt_…"; }
                        label { "Why" input name="note" maxlength="1000"; }
                        button type="submit" { "Merge" }
                    }))
                }
                details.fold {
                    summary { "Put into an incident" }
                    (Act::patch(&path).form(visit, "stack", &html! {
                        label { "The incident’s id" input name="incident" maxlength="64" required pattern="inc_.*" autocomplete="off" placeholder="inc_…"; }
                        button type="submit" { "Put there" }
                    }))
                }
            }
            details.fold {
                summary { "Judged wrongly? Report it to learning" }
                (learning(visit, alert))
            }
        }
    }
}

/// A report for learning: it needs the words, which the reader has to have.
fn learning(visit: &Visit, alert: &Alert) -> Markup {
    let request = alert.requests.last().map(|id| &**id).unwrap_or_default();
    let family = alert.family.map(crate::types::Family::name).unwrap_or_default();
    html! {
        p.quiet { "Reveal the words of a request above to report them with one click, or put them in here." }
        (report(visit, "", "false_alarm", (request, family), ("", "user")))
    }
}

/// The form of a report, with what is known of it: where to afterwards, the kind, request and family, the text and its role.
pub(super) fn report(
    visit: &Visit,
    back: &str,
    kind: &str,
    (request, family): (&str, &str),
    (text, role): (&str, &str),
) -> Markup {
    let kinds = [("false_alarm", "a false alarm: the text is harmless"), ("missed", "a missed attack")];
    Act::post("/api/v1/learn/reports").back(back).form(
        visit,
        "stack",
        &html! {
            (select("kind", "What is wrong", &kinds, kind))
            label { "The text as it was written" textarea name="text" required maxlength="60000" { (text) } }
            input type="hidden" name="request" value=(request);
            input type="hidden" name="family" value=(family);
            input type="hidden" name="role" value=(role);
            label { "Note" input name="note" maxlength="1000"; }
            button type="submit" { "Report" }
        },
    )
}
