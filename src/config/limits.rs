//! `[limits]`, `[[budgets]]` and `[prices]`, checked and made ready.

use super::check::Check;
use super::problem::KeyPath;
use super::settings::{PriceFile, Settings};
use crate::quota::{Plan, Prices};

/// What requests are charged to, whatever their policy.
pub(super) fn charges(check: &mut Check<'_>, settings: &Settings) -> Plan {
    let spec = settings.limits.spec(settings.fleet.is_on());
    Plan::new("", &spec, &settings.budgets).unwrap_or_else(|problems| {
        for problem in problems {
            let table = if problem.place.starts_with("budget") { "budgets" } else { "limits" };
            check.problem(&KeyPath::of(&[table]), problem.to_string());
        }
        Plan::default()
    })
}

/// The price table.
pub(super) fn prices(check: &mut Check<'_>, file: &PriceFile) -> Prices {
    let at = KeyPath::of(&["prices", "path"]);
    let read = match &file.path {
        None => Prices::shipped().map_err(|error| error.brief()),
        Some(path) => {
            let text = check.reader.text(path);
            let parsed = text.and_then(|text| Prices::parse(&text).map_err(|error| error.brief()));
            parsed.map_err(|message| format!("{}: {message}", path.display()))
        }
    };
    read.unwrap_or_else(|message| {
        check.problem(&at, message);
        Prices { version: String::new(), as_of: String::new(), prices: Vec::new() }
    })
}
