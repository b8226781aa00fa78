//! What can be done with an alert: the forms.

use maud::{Markup, html};

use super::work::Work;
use crate::console::parts::form::{Act, select};
use crate::console::visit::Visit;
use crate::types::soc::Alert;

/// The panel.
pub(super) fn panel(visit: &Visit, alert: &Alert) -> Markup {
    let path = format!("/api/v1/alerts/{}", crate::console::query::part(&alert.id));
    let work = Work { path: &path, state: alert.state.name(), assignee: alert.assignee.as_deref() };
    let more = html! {
        (work.merge(visit, "Merge other alerts into this one", "The other alert is closed as a duplicate of this one.", "alt_"))
        details.fold {
            summary { "Put into an incident" }
            (Act::patch(&path).form(visit, "stack", &html! {
                label { "The incident’s id" input name="incident" maxlength="64" required pattern="inc_.*" autocomplete="off" placeholder="inc_…"; }
                button type="submit" { "Put there" }
            }))
        }
    };
    let always = html! {
        details.fold {
            summary { "Judged wrongly? Report it to learning" }
            (learning(visit, alert))
        }
    };
    work.panel(visit, &more, &always)
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
