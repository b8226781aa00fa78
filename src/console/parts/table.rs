//! Tables: real ones, with a caption, and the way to the next page.

use maud::{Markup, html};

use super::empty;
use crate::console::visit::Visit;

/// A table whose rows are ready (`tr` elements); `heads` name the columns, a leading `#` means figures.
pub(in crate::console) fn table(caption: &str, heads: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table role="table" {
                caption.hidden { (caption) }
                thead role="rowgroup" { tr role="row" { @for head in heads { (column(head)) } } }
                tbody role="rowgroup" { @for row in rows { (row) } }
            }
        }
    }
}

fn column(head: &str) -> Markup {
    html! { @match head.strip_prefix('#') { Some(head) => th.n role="columnheader" scope="col" { (head) }, None => th role="columnheader" scope="col" { (head) } } }
}

/// A list: its rows, the way to what is older, and words where there is nothing. `part` names it for live updates.
pub(in crate::console) struct List<'a> {
    /// What is listed, such as `alerts`.
    pub(in crate::console) part: &'a str,
    /// For whom the table is read aloud.
    pub(in crate::console) caption: &'a str,
    /// The columns.
    pub(in crate::console) heads: &'a [&'a str],
    /// `tr` elements.
    pub(in crate::console) rows: Vec<Markup>,
    /// What the API said comes next, and the name of the parameter it goes into.
    pub(in crate::console) next: Option<(&'a str, String)>,
    /// Where there is nothing.
    pub(in crate::console) none: (&'a str, &'a str),
}

impl List<'_> {
    /// The list on this page.
    pub(in crate::console) fn show(&self, visit: &Visit) -> Markup {
        html! {
            div.list id={ "part-" (self.part) } data-part=(self.part) {
                @if self.rows.is_empty() { (empty(self.none.0, self.none.1)) } @else { (table(self.caption, self.heads, &self.rows)) }
                @if let Some((name, next)) = &self.next {
                    p.more { a.button data-more="" rel="next" href=(visit.query().with(name, next).on(visit.path())) { "Older" } }
                }
            }
        }
    }
}
