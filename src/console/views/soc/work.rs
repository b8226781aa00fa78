//! What can be done with an alert and with an incident alike: take it up, assign it, merge, close it, open it again.

use maud::{Markup, html};

use super::words::closing;
use crate::console::parts::form::Act;
use crate::console::visit::Visit;

/// What is worked on.
pub(super) struct Work<'a> {
    /// Its path in the API.
    pub(super) path: &'a str,
    /// The word of its state.
    pub(super) state: &'a str,
    pub(super) assignee: Option<&'a str>,
}

impl Work<'_> {
    /// The panel; `more` is what else can be done with one that is not closed, `always` with any.
    pub(super) fn panel(&self, visit: &Visit, more: &Markup, always: &Markup) -> Markup {
        html! {
            section.panel.work { h2 { "Work on it" }
                @if self.state == "closed" {
                    (Act::patch(self.path).button(visit, "Open again", &[("state", "open"), ("expected", "closed")]))
                } @else {
                    (self.open(visit)) (more)
                }
                (always)
            }
        }
    }

    fn open(&self, visit: &Visit) -> Markup {
        html! {
            div.row {
                @for (state, label, key) in [("acknowledged", "Acknowledge", "a"), ("in_progress", "Work on it", "w")] {
                    @if self.state != state {
                        (Act::patch(self.path).form(visit, "inline", &html! {
                            input type="hidden" name="state" value=(state);
                            input type="hidden" name="expected" value=(self.state);
                            button type="submit" data-key=(key) title={ (label) " (" (key) ")" } { (label) }
                        }))
                    }
                }
                @if self.assignee != Some(&visit.me().name) {
                    (Act::patch(self.path).form(visit, "inline", &html! {
                        input type="hidden" name="assignee" value=(visit.me().name);
                        button type="submit" data-key="m" title="Assign to me (m)" { "Assign to me" }
                    }))
                }
                @if self.assignee.is_some() { (Act::patch(self.path).button(visit, "Give back", &[("assignee:json", "null")])) }
            }
            (Act::patch(self.path).form(visit, "inline", &html! {
                label { "Assign to" input name="assignee" maxlength="64" required pattern="[A-Za-z0-9._@\\-]{1,64}" autocomplete="off"; }
                button type="submit" { "Assign" }
            }))
            details.fold {
                summary data-key="e" title="Close (e)" { "Close with a reason" }
                (Act::patch(self.path).form(visit, "stack", &closing(self.state)))
            }
        }
    }

    /// Others are merged into it: what the fold is called, what is asked before, how their ids begin.
    pub(super) fn merge(&self, visit: &Visit, title: &str, sure: &str, prefix: &str) -> Markup {
        html! {
            details.fold {
                summary { (title) }
                (Act::post(&format!("{}/merge", self.path)).sure(sure).form(visit, "stack", &html! {
                    label { "Its id" input name="ids[]" maxlength="64" required pattern={ (prefix) ".*" } autocomplete="off" placeholder={ (prefix) "…" }; }
                    label { "Why" input name="note" maxlength="1000"; }
                    button type="submit" { "Merge" }
                }))
            }
        }
    }
}
