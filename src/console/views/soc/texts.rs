//! The kept words of a request, with what was found in them marked.

use maud::{Markup, html};

use super::words::rule;
use crate::console::parts::evidence::{Mark, marked};
use crate::console::parts::{empty, name};
use crate::control::api::events::{Revealed, RevealedText};
use crate::types::{Finding, Verdict};

/// What stands in the place of words that were masked.
const MASK: &str = "[REDACTED";

/// One text of a request: its role, the text, the findings in it whose places hold.
pub(super) struct Piece<'a> {
    /// Whose it is, such as `user`.
    pub(super) role: &'a str,
    /// The words.
    pub(super) text: &'a str,
    /// What was found in it.
    pub(super) found: Vec<&'a Finding>,
    /// Whether places within it are those of the original.
    pub(super) is_exact: bool,
}

/// The texts of one direction. A text of which something was masked is not the one that findings point into.
pub(super) fn pieces<'a>(kept: &'a RevealedText, verdict: Option<&'a Verdict>) -> Vec<Piece<'a>> {
    let findings = verdict.map(|verdict| verdict.findings.as_slice()).unwrap_or_default();
    if kept.mode == "hash" {
        return Vec::new();
    }
    if kept.places.is_empty() {
        // An answer, or a prompt of before there were layouts: where its texts begin is not known.
        let role = if kept.direction == "output" { "answer" } else { "prompt" };
        return vec![Piece { role, text: &kept.text, found: findings.iter().collect(), is_exact: false }];
    }
    kept.places
        .iter()
        .filter_map(|place| {
            let text = kept.text.get(place.start..place.end)?;
            let found = findings.iter().filter(|finding| finding.evidence.span.0 == place.span).collect();
            Some(Piece { role: &place.role, text, found, is_exact: kept.mode == "full" || !text.contains(MASK) })
        })
        .collect()
}

/// One text.
pub(super) fn piece(piece: &Piece<'_>) -> Markup {
    let length = piece.text.len();
    let within = |finding: &&Finding| (finding.evidence.end as usize) <= length;
    let marks: Vec<Mark<'_>> = if piece.is_exact {
        let marks = piece.found.iter().copied().filter(within);
        marks
            .map(|finding| Mark {
                start: finding.evidence.start as usize,
                end: finding.evidence.end as usize,
                label: &finding.title,
            })
            .collect()
    } else {
        Vec::new()
    };
    html! {
        figure.text {
            figcaption { span.badge { (name(piece.role)) }
                @for finding in &piece.found { " " (rule(&finding.rule.0)) " " span.quiet { (name(&finding.title)) } }
            }
            (marked(piece.text, &marks))
            @if !piece.is_exact && !piece.found.is_empty() {
                p.quiet { "What was found cannot be marked: the text is not kept as it was sent." }
            }
        }
    }
}

/// Everything that is kept of a request.
pub(super) fn all(kept: &Revealed, input: Option<&Verdict>, output: Option<&Verdict>, policy: Option<&str>) -> Markup {
    if kept.contents.is_empty() {
        let policy = policy.map(|policy| format!(" “{policy}”")).unwrap_or_default();
        let what = format!(
            "Nothing is kept of the words of this request: the policy{policy} keeps none (privacy = \"none\"), or they are past their time."
        );
        return empty(
            &crate::types::visible(&what, 400),
            "Set `privacy` of the policy to masked or full to keep words from now on.",
        );
    }
    html! {
        @for one in &kept.contents {
            h3 { @if one.direction == "output" { "Answer" } @else { "Prompt" } " " span.quiet { "kept: " (one.mode) } }
            @if one.mode == "hash" {
                p { "The privacy mode hash_only keeps a hash and no words: " code { (name(&one.text)) } }
            }
            @for text in pieces(one, if one.direction == "output" { output } else { input }) { (piece(&text)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::api::events::TextPlace;
    use serde_json::json;

    fn verdict() -> Verdict {
        serde_json::from_value(json!({
            "decision": "block", "risk": 0.9, "steps": [], "rule_set": "x",
            "findings": [{ "rule": "PC-1", "title": "<b>Override", "family": "prompt_injection", "severity": "high", "score": 5.0,
                "action": "block", "threats": [], "evidence": { "span": 1, "start": 0, "end": 6 } }],
        }))
        .unwrap()
    }

    fn kept(mode: &str, text: &str) -> RevealedText {
        let page = format!("[system] be good\n[user] {text}");
        let at = page.len() - text.len();
        let places = vec![
            TextPlace { span: 0, role: "system".into(), start: 9, end: 16 },
            TextPlace { span: 1, role: "user".into(), start: at, end: page.len() },
        ];
        RevealedText { direction: "input".into(), mode: mode.into(), text: page, places }
    }

    #[test]
    fn what_was_found_is_marked_in_the_text_it_was_found_in() {
        let (verdict, kept) = (verdict(), kept("full", "Ignore <script>\u{202e}all"));
        let all: Vec<String> = pieces(&kept, Some(&verdict)).iter().map(|one| piece(one).into_string()).collect();
        assert!(!all[0].contains("<mark"), "{}", all[0]);
        assert!(all[1].contains("<mark title=\"&lt;b&gt;Override\">") && all[1].contains("Ignore"), "{}", all[1]);
        assert!(!all[1].contains("<script") && !all[1].contains("<b>") && !all[1].contains('\u{202e}'), "{}", all[1]);
    }

    #[test]
    fn nothing_is_marked_where_places_do_not_hold() {
        let verdict = verdict();
        let masked = kept("masked", "Ignore [REDACTED:email] all");
        let shown: String = pieces(&masked, Some(&verdict)).iter().map(|one| piece(one).into_string()).collect();
        assert!(!shown.contains("<mark") && shown.contains("cannot be marked"), "{shown}");
        let whole = kept("masked", "Ignore all");
        let shown: String = pieces(&whole, Some(&verdict)).iter().map(|one| piece(one).into_string()).collect();
        assert!(shown.contains("<mark"), "{shown}");
        let hash = RevealedText { places: Vec::new(), ..kept("hash", "abc") };
        assert!(pieces(&hash, Some(&verdict)).is_empty());
    }

    #[test]
    fn where_nothing_is_kept_the_policy_that_says_so_is_named() {
        let none = Revealed { id: "req_1".into(), contents: Vec::new() };
        let shown = all(&none, None, None, Some("production<b>")).into_string();
        assert!(shown.contains("production&lt;b&gt;") && shown.contains("privacy"), "{shown}");
    }
}
