//! How attacks are found: rules, a test bench, coverage, learning.

mod bench;
mod coverage;
mod learning;
mod rule;
mod rules;
mod verdict;

use axum::routing::MethodRouter;
use maud::{Markup, html};

use crate::console::views::open::{acting, handed};
use crate::console::visit::Visit;
use crate::console::{Console, parts, view};
use crate::types::{Family, Role};

/// The pages.
pub(super) fn pages() -> Vec<(&'static str, MethodRouter<Console>)> {
    vec![
        ("/console/rules", view(rules::page)),
        ("/console/rules/{id}", view(rule::page)),
        ("/console/bench", view(bench::page).post(bench::submit)),
        ("/console/coverage", view(coverage::page)),
        ("/console/learning", view(learning::page)),
        ("/console/learning/reports", view(learning::reports::list)),
        ("/console/learning/reports/{id}", acting(learning::reports::one)),
        ("/console/learning/harmless", view(learning::harmless::page)),
        ("/console/learning/rules.yaml", handed(learning::exchange::download)),
        ("/console/learning/exchange", view(learning::exchange::page)),
        ("/console/learning/{id}", acting(learning::proposal::page)),
    ]
}

/// Families as they are chosen from: the word, and the words for people.
fn families() -> Vec<(&'static str, String)> {
    Family::ALL.into_iter().map(|family| (family.name(), words(family.name()))).collect()
}

/// A word of the program, for people.
fn words(word: &str) -> String {
    word.replace('_', " ")
}

/// Whose text it is, as that is chosen.
const ROLES: [(&str, &str); 7] = [
    (Role::User.name(), "user"),
    (Role::Tool.name(), "tool result"),
    (Role::Assistant.name(), "assistant"),
    (Role::System.name(), "system"),
    (Role::Developer.name(), "developer"),
    (Role::Definition.name(), "tool definition"),
    (Role::Parameter.name(), "parameter"),
];

/// How bad, as that is chosen.
const SEVERITIES: [(&str, &str); 5] = [
    ("critical", "critical"),
    ("high", "high or worse"),
    ("medium", "medium or worse"),
    ("low", "low or worse"),
    ("informational", "informational or worse"),
];

/// A button that judges a text on the test bench.
fn try_out(visit: &Visit, text: &str, direction: &str, role: &str, label: &str) -> Markup {
    html! {
        form.inline method="post" action="/console/bench" {
            (parts::form::csrf(visit))
            input type="hidden" name="text:json" value=(serde_json::Value::from(text));
            input type="hidden" name="direction" value=(direction);
            input type="hidden" name="role" value=(role);
            button type="submit" { (label) }
        }
    }
}

/// Figures over time, small. Its words say what it shows.
fn spark(series: &[u64]) -> Markup {
    let most = series.iter().copied().max().unwrap_or(0);
    if most == 0 {
        return html! { span.quiet { "–" } };
    }
    let last = series.len().saturating_sub(1).max(1) as f64;
    let points: Vec<String> = series
        .iter()
        .enumerate()
        .map(|(at, value)| {
            format!("{:.1},{:.1}", at as f64 / last * 96.0 + 2.0, 22.0 - *value as f64 / most as f64 * 20.0)
        })
        .collect();
    html! {
        svg.spark viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label={ "at most " (most) " in a piece" } {
            polyline points=(points.join(" ")) {}
        }
    }
}

/// What does not reach back as far as it was asked to.
fn cut(since: Option<i64>) -> Markup {
    html! { @if let Some(since) = since {
        p.notice.unsure { "There was more than is looked at: nothing before " (parts::time::at(since)) " is counted." }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spark_stays_within_its_picture_and_nothing_is_a_dash() {
        let shown = spark(&[0, 5, 10]).into_string();
        assert!(shown.contains("points=\"2.0,22.0 50.0,12.0 98.0,2.0\""), "{shown}");
        assert!(!spark(&[0, 0]).into_string().contains("svg") && !spark(&[]).into_string().contains("svg"));
        assert!(spark(&[7]).into_string().contains("2.0,2.0"));
    }
}
