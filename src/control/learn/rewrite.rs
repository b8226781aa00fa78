//! Where learned rules come from, written into their file.

use std::fmt::Write as _;

/// Adds to each rule of a file where it comes from, unless it says so itself. Values are ids and times: they need no quotes.
pub(super) fn with_origin(rules: &str, origin: &[(&str, &str)]) -> String {
    if rules.lines().any(|line| line.starts_with("origin:")) {
        return rules.to_owned();
    }
    let mut said = String::new();
    for (nth, (name, value)) in origin.iter().enumerate() {
        let comma = if nth == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        write!(said, "{comma}{name}: '{value}'").unwrap_or_default();
    }
    let mut out = String::with_capacity(rules.len().saturating_add(256));
    for line in rules.lines() {
        out.push_str(line);
        out.push('\n');
        if line.starts_with("id: ") {
            writeln!(out, "origin: {{ {said} }}").unwrap_or_default();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_says_where_it_comes_from_once() {
        let rules = "id: LRN-AAAAAA-1\ntitle: A\n---\nid: LRN-AAAAAA-2\ntitle: B\n";
        let told = with_origin(rules, &[("report", "rpt_1"), ("proposal", "prp_1")]);
        assert_eq!(told.matches("origin: { report: 'rpt_1', proposal: 'prp_1' }\n").count(), 2);
        assert_eq!(with_origin(&told, &[("report", "rpt_2")]), told);
    }
}
