//! What can be done with an incident: the forms.

use maud::{Markup, html};

use super::words::{SEVERITIES, closing};
use crate::console::parts::form::{Act, select};
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::types::soc::{Incident, IncidentState};

/// The panel.
pub(super) fn work(visit: &Visit, incident: &Incident) -> Markup {
    let path = format!("/api/v1/incidents/{}", part(&incident.id));
    html! {
        section.panel.work { h2 { "Work on it" }
            @if incident.state == IncidentState::Closed {
                (Act::patch(&path).button(visit, "Open again", &[("state", "open"), ("expected", "closed")]))
            } @else {
                div.row {
                    @for (state, label, key) in [("acknowledged", "Acknowledge", "a"), ("in_progress", "Work on it", "w")] {
                        @if incident.state.name() != state {
                            (Act::patch(&path).form(visit, "inline", &html! {
                                input type="hidden" name="state" value=(state);
                                input type="hidden" name="expected" value=(incident.state.name());
                                button type="submit" data-key=(key) title={ (label) " (" (key) ")" } { (label) }
                            }))
                        }
                    }
                    @if incident.assignee.as_deref() != Some(&visit.me().name) {
                        (Act::patch(&path).form(visit, "inline", &html! {
                            input type="hidden" name="assignee" value=(visit.me().name);
                            button type="submit" data-key="m" title="Assign to me (m)" { "Assign to me" }
                        }))
                    }
                    @if incident.assignee.is_some() { (Act::patch(&path).button(visit, "Give back", &[("assignee:json", "null")])) }
                }
                (Act::patch(&path).form(visit, "inline", &html! {
                    label { "Assign to" input name="assignee" maxlength="64" required pattern="[A-Za-z0-9._@\\-]{1,64}" autocomplete="off"; }
                    button type="submit" { "Assign" }
                }))
                details.fold {
                    summary data-key="e" title="Close (e)" { "Close with a reason" }
                    (Act::patch(&path).form(visit, "stack", &closing(incident.state.name())))
                }
                details.fold {
                    summary { "Severity and title" }
                    (change(visit, &path, incident))
                }
                details.fold {
                    summary { "Merge another incident into this one" }
                    (Act::post(&format!("{path}/merge")).sure("The other incident is closed as a duplicate, and its evidence comes here.").form(visit, "stack", &html! {
                        label { "Its id" input name="ids[]" maxlength="64" required pattern="inc_.*" autocomplete="off" placeholder="inc_…"; }
                        label { "Why" input name="note" maxlength="1000"; }
                        button type="submit" { "Merge" }
                    }))
                }
            }
        }
    }
}

fn change(visit: &Visit, path: &str, incident: &Incident) -> Markup {
    let severities = SEVERITIES.map(|severity| (severity, severity));
    html! {
        (Act::patch(path).form(visit, "inline", &html! {
            (select("severity", "Severity", &severities, incident.severity.name()))
            button type="submit" { "Set" }
        }))
        (Act::patch(path).form(visit, "stack", &html! {
            label { "Title" input name="title" required maxlength="128" value=(incident.title); }
            button type="submit" { "Rename" }
        }))
    }
}
