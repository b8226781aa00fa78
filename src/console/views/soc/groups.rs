//! Alerts put together by what they have in common, counted from the newest 500 that the filters find.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::words::rule;
use crate::console::parts::number::count;
use crate::console::parts::table::List;
use crate::console::parts::time::ago;
use crate::console::parts::{badge, name};
use crate::console::query::part;
use crate::console::visit::Visit;
use crate::control::api::words::Page as Listed;
use crate::types::Severity;
use crate::types::soc::Alert;

/// What alerts are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Rule,
    User,
    Session,
}

impl By {
    /// By its word.
    pub(super) fn of(word: &str) -> Option<Self> {
        [Self::Rule, Self::User, Self::Session].into_iter().find(|by| by.word() == word)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::User => "user",
            Self::Session => "session",
        }
    }

    fn value(self, alert: &Alert) -> Option<&str> {
        match self {
            Self::Rule => Some(&alert.rule),
            Self::User => alert.caller.user.as_deref(),
            Self::Session => alert.caller.session.as_deref(),
        }
    }
}

struct Group {
    alerts: u64,
    events: u64,
    worst: Severity,
    last: i64,
    title: String,
}

fn grouped(by: By, alerts: &[Alert]) -> Vec<(Option<String>, Group)> {
    let mut groups: BTreeMap<Option<&str>, Group> = BTreeMap::new();
    for alert in alerts {
        let fresh =
            || Group { alerts: 0, events: 0, worst: alert.severity, last: alert.last, title: alert.title.clone() };
        let group = groups.entry(by.value(alert)).or_insert_with(fresh);
        group.alerts = group.alerts.saturating_add(1);
        group.events = group.events.saturating_add(alert.count);
        group.worst = group.worst.max(alert.severity);
        group.last = group.last.max(alert.last);
    }
    let mut all: Vec<_> = groups.into_iter().map(|(value, group)| (value.map(str::to_owned), group)).collect();
    all.sort_by_key(|(_, group)| std::cmp::Reverse((group.worst, group.events)));
    all
}

/// The groups.
pub(super) fn table(visit: &Visit, by: By, found: &Listed<Alert>) -> Markup {
    let query = visit.query().with("group", "");
    let rows = grouped(by, &found.items).into_iter().map(|(value, group)| {
        html! { tr data-id=(part(value.as_deref().unwrap_or_default())) {
            td { @match &value {
                Some(value) => a href=(query.with(by.word(), value).on(visit.path())) { (name(value)) },
                None => span.quiet { "without a " (by.word()) },
            } @if by == By::Rule { " " @if let Some(value) = &value { span.quiet { (name(&group.title)) } " " (rule(value)) } } }
            td { (badge::severity(group.worst)) }
            td.n { (count(group.alerts)) }
            td.n { (count(group.events)) }
            td { (ago(group.last)) }
        } }
    });
    let list = List {
        part: "alert-groups",
        caption: "Alerts in groups",
        heads: &[by.word(), "Worst", "#Alerts", "#Events", "Last"],
        rows: rows.collect(),
        next: None,
        none: ("There is no such alert.", "Take a filter away, or look at another state."),
    };
    html! {
        @if found.next.is_some() { p.quiet { "Counted are the newest " (count(found.items.len() as u64)) " alerts that the filters find." } }
        (list.show(visit))
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::tests::hostile;
    use super::*;

    #[test]
    fn groups_count_alerts_and_events_and_the_worst_comes_first() {
        let mut others = [hostile(), hostile(), hostile()];
        others[0].caller.user = None;
        others[1].caller.user = Some("ann".into());
        others[1].severity = Severity::Critical;
        others[1].count = 2;
        others[2].caller.user = None;
        let groups = grouped(By::User, &others);
        let told: Vec<_> = groups.iter().map(|(value, group)| (value.as_deref(), group.alerts, group.events)).collect();
        assert_eq!(told, [(Some("ann"), 1, 2), (None, 2, 74)]);
        assert_eq!(By::of("session"), Some(By::Session));
        assert_eq!(By::of("x"), None);
    }
}
