//! Forms: each is a call of the admin API (see `forms`).

use maud::{Markup, html};

use crate::console::visit::Visit;

/// The proof that a page of ours made a form.
pub(in crate::console) fn csrf(visit: &Visit) -> Markup {
    html! { input type="hidden" name="_csrf" value=(visit.csrf()); }
}

/// A form that calls the API, and comes back to this page.
pub(in crate::console) struct Act<'a> {
    /// `POST`, `PATCH`, `PUT`, `DELETE`.
    pub(in crate::console) method: &'a str,
    /// A path of the API.
    pub(in crate::console) path: &'a str,
    /// Where to afterwards; this page where it is empty.
    pub(in crate::console) back: &'a str,
    /// What is asked before it is done; nothing where it is empty.
    pub(in crate::console) sure: &'a str,
    /// The title of a page that shows the answer, once; nothing where it is empty.
    pub(in crate::console) once: &'a str,
}

impl<'a> Act<'a> {
    /// `POST` to that path.
    pub(in crate::console) fn post(path: &'a str) -> Self {
        Self { method: "POST", path, back: "", sure: "", once: "" }
    }

    /// `PATCH` of that path.
    pub(in crate::console) fn patch(path: &'a str) -> Self {
        Self { method: "PATCH", ..Self::post(path) }
    }

    /// `DELETE` of that path.
    pub(in crate::console) fn delete(path: &'a str) -> Self {
        Self { method: "DELETE", ..Self::post(path) }
    }

    /// Asks before it is done.
    pub(in crate::console) fn sure(self, question: &'a str) -> Self {
        Self { sure: question, ..self }
    }

    /// Goes to that page afterwards.
    pub(in crate::console) fn back(self, path: &'a str) -> Self {
        Self { back: path, ..self }
    }

    /// Shows the answer once, under that title.
    pub(in crate::console) fn once(self, title: &'a str) -> Self {
        Self { once: title, ..self }
    }

    /// The form around these fields (buttons included).
    pub(in crate::console) fn form(&self, visit: &Visit, class: &str, fields: &Markup) -> Markup {
        html! {
            form class=(class) method="post" action="/console/do" data-sure=[(!self.sure.is_empty()).then_some(self.sure)] {
                (self.hidden(visit)) (fields)
            }
        }
    }

    /// The hidden fields alone, for a form around a table.
    pub(in crate::console) fn hidden(&self, visit: &Visit) -> Markup {
        let back = if self.back.is_empty() { visit.here() } else { self.back.to_owned() };
        html! {
            (csrf(visit))
            input type="hidden" name="_method" value=(self.method);
            input type="hidden" name="_path" value=(self.path);
            input type="hidden" name="_back" value=(back);
            input type="hidden" name="_body" value="1";
            @if !self.once.is_empty() { input type="hidden" name="_once" value=(self.once); }
        }
    }

    /// A button that does it, with these fields beside it.
    pub(in crate::console) fn button(&self, visit: &Visit, label: &str, fields: &[(&str, &str)]) -> Markup {
        let fields = html! {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button type="submit" { (label) }
        };
        self.form(visit, "inline", &fields)
    }
}

/// A choice: name, label, what there is (value, name), what is chosen.
pub(in crate::console) fn select(name: &str, label: &str, all: &[(&str, &str)], chosen: &str) -> Markup {
    html! {
        label { (label) select name=(name) {
            @for (value, shown) in all { option value=(value) selected[*value == chosen] { (shown) } }
        } }
    }
}
