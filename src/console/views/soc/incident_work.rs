//! What can be done with an incident: the forms.

use maud::{Markup, html};

use super::words::SEVERITIES;
use super::work::Work;
use crate::console::parts::form::{Act, select};
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::types::soc::Incident;

/// The panel.
pub(super) fn panel(visit: &Visit, incident: &Incident) -> Markup {
    let path = format!("/api/v1/incidents/{}", part(&incident.id));
    let work = Work { path: &path, state: incident.state.name(), assignee: incident.assignee.as_deref() };
    let sure = "The other incident is closed as a duplicate, and its evidence comes here.";
    let more = html! {
        details.fold {
            summary { "Severity and title" }
            (change(visit, &path, incident))
        }
        (work.merge(visit, "Merge another incident into this one", sure, "inc_"))
    };
    work.panel(visit, &more, &html! {})
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
