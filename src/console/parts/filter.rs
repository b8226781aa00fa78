//! Filters of a list: a form whose fields stand in the address.

use maud::{Markup, html};

use super::form::select;
use super::time::RANGES;
use crate::console::visit::Visit;

/// One filter.
pub(in crate::console) enum Filter<'a> {
    /// Words: name, label.
    Text(&'a str, &'a str),
    /// One of these: name, label, values with their names.
    One(&'a str, &'a str, &'a [(&'a str, &'a str)]),
    /// One of these, the first unless said otherwise: name, label, values with their names.
    Choice(&'a str, &'a str, &'a [(&'a str, &'a str)]),
    /// The period.
    Range,
    /// The period, this one unless said otherwise.
    RangeOr(&'a str),
}

/// The form with these filters; other parameters of the page stay.
pub(in crate::console) fn filters(visit: &Visit, all: &[Filter<'_>]) -> Markup {
    let query = visit.query();
    let own: Vec<&str> = all
        .iter()
        .map(|one| match one {
            Filter::Text(name, _) | Filter::One(name, _, _) | Filter::Choice(name, _, _) => *name,
            Filter::Range | Filter::RangeOr(_) => "range",
        })
        .collect();
    let others = query.pairs().filter(|(name, _)| !own.contains(name) && !matches!(*name, "before" | "after"));
    html! {
        form.filters method="get" action=(visit.path()) data-filters="" role="search" {
            @for (name, value) in others {
                @if !(own.contains(&"range") && matches!(name, "from" | "to")) { input type="hidden" name=(name) value=(value); }
            }
            @for one in all {
                @match one {
                    Filter::Text(name, label) => {
                        label { (label) input type="search" name=(name) value=(query.get(name).unwrap_or_default()) maxlength="256"; }
                    }
                    Filter::One(name, label, values) => {
                        @let values: Vec<(&str, &str)> = std::iter::once(("", "any")).chain(values.iter().copied()).collect();
                        (select(name, label, &values, query.get(name).unwrap_or_default()))
                    }
                    Filter::Choice(name, label, values) => {
                        @let first = values.first().map(|(value, _)| *value).unwrap_or_default();
                        (select(name, label, values, query.get(name).unwrap_or(first)))
                    }
                    Filter::Range => (period(query.get("range").unwrap_or("24h"))),
                    Filter::RangeOr(otherwise) => (period(query.get("range").unwrap_or(otherwise))),
                }
            }
            button type="submit" { "Filter" }
            @if query.pairs().next().is_some() { a.button.plain href=(visit.path()) { "Clear" } }
        }
    }
}

fn period(chosen: &str) -> Markup {
    let values: Vec<(&str, &str)> = RANGES.iter().map(|(word, name, _)| (*word, *name)).collect();
    select("range", "Period", &values, chosen)
}
