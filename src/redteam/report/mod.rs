//! A run as text, JSON, JUnit XML or one HTML page. Attack texts are shown, never interpreted.

mod html;
mod json;
mod junit;
mod text;

use std::fmt;

pub use html::html;
pub use json::json;
pub use junit::junit;
pub use text::{summary, text};

use super::score::Tally;

/// Characters of an attack that are shown.
pub(super) const SHOWN: usize = 240;

/// Adds to a report.
fn put(out: &mut String, text: fmt::Arguments<'_>) {
    out.push_str(&text.to_string());
}

/// Adds a line to a report.
fn line(out: &mut String, text: fmt::Arguments<'_>) {
    put(out, text);
    out.push('\n');
}

/// A share as a percentage with one decimal, cut off and not rounded up: 94.96 % is not 95 %.
fn percent(tally: &Tally) -> String {
    tally.share().map_or_else(|| "-".to_owned(), |share| format!("{:.1}", (share * 1000.0).floor() / 10.0))
}

#[cfg(test)]
mod tests {
    use super::super::score::tests::run;
    use super::*;
    use crate::types::visible;

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        assert_eq!(
            visible("a\u{200b}b\u{1b}[2J\r\n\u{202e}\u{e0041}é", 40),
            "a\\u{200b}b\\u{1b}[2J\\r\\n\\u{202e}\\u{e0041}é"
        );
        assert_eq!(visible("abcdef", 3), "abc…");
    }

    #[test]
    fn no_report_carries_an_attack_that_could_act() {
        let attack = "</td><script>alert('x')</script>\u{1b}[2J\u{202e}]]>";
        let run = run("+-?!", "-", attack);
        let (html, junit, text) = (html(&run), junit(&run), text(&run));
        for (what, report) in [("html", &html), ("junit", &junit)] {
            assert!(!report.contains("<script") && !report.contains("because <b>"), "{what}: {report}");
            assert!(report.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{what}: {report}");
        }
        for (what, report) in [("html", &html), ("junit", &junit), ("text", &text)] {
            assert!(!report.contains('\u{1b}') && !report.contains('\u{202e}'), "{what}: {report}");
        }
        assert!(json(&run).to_string().contains("\\\\u{1b}[2J"));
    }

    #[test]
    fn every_report_has_the_same_figures() {
        let run = run("+++-?", "+-", "x");
        let json = json(&run);
        assert_eq!(json["totals"]["passed"], 4);
        assert_eq!(json["totals"]["failed"], 2);
        assert_eq!(json["harmless"]["failed"], 1);
        assert_eq!(json["verdict"], "below_minimum");
        assert_eq!(json["cases"].as_array().unwrap().len(), 7);
        let junit = junit(&run);
        assert!(junit.contains("tests=\"7\" failures=\"2\" errors=\"0\" skipped=\"1\""), "{junit}");
        assert_eq!(junit.matches("<failure").count(), 2);
        assert!(text(&run).contains("own"), "{}", text(&run));
        assert!(html(&run).contains("66.6"), "{}", html(&run));
    }
}
