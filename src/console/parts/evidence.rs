//! Words of others with what was found in them marked; what would not be seen is made visible.

use maud::{Markup, html};

use crate::types::visible;

/// A place in a text, in bytes, and what was found there.
pub(in crate::console) struct Mark<'a> {
    pub(in crate::console) start: usize,
    pub(in crate::console) end: usize,
    pub(in crate::console) label: &'a str,
}

/// The text with its marks, which may overlap: where they do, all their labels stand at the piece.
pub(in crate::console) fn marked(text: &str, marks: &[Mark<'_>]) -> Markup {
    let mut edges: Vec<usize> = marks.iter().flat_map(|mark| [mark.start, mark.end]).chain([0, text.len()]).collect();
    edges.iter_mut().for_each(|edge| *edge = floor(text, *edge));
    edges.sort_unstable();
    edges.dedup();
    let pieces =
        edges.iter().zip(edges.iter().skip(1)).filter_map(|(from, to)| Some((*from, *to, text.get(*from..*to)?)));
    html! {
        pre.evidence tabindex="0" {
            @for (from, to, piece) in pieces {
                @let labels: Vec<&str> = marks.iter().filter(|mark| mark.start < to && mark.end > from).map(|mark| mark.label).collect();
                @if labels.is_empty() { (shown(piece)) } @else { mark title=(labels.join(", ")) { (shown(piece)) } }
            }
        }
    }
}

/// The nearest boundary of a character at or before that byte.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn shown(piece: &str) -> Markup {
    let mut lines = piece.split('\n').peekable();
    html! {
        @while let Some(line) = lines.next() {
            bdi { (visible(line, usize::MAX)) } @if lines.peek().is_some() { "\n" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_may_overlap_end_within_a_letter_and_hide_nothing() {
        let mark = |start, end, label| Mark { start, end, label };
        let shown = marked("a<b>\u{202e}é\nz", &[mark(1, 3, "x"), mark(2, 8, "y\""), mark(50, 90, "z")]).into_string();
        assert!(shown.contains(r#"<mark title="x">"#) && shown.contains(r#"<mark title="x, y&quot;">"#), "{shown}");
        assert!(shown.contains("&lt;") && shown.contains("\\u{202e}") && !shown.contains('\u{202e}'), "{shown}");
        let plain: String = shown.split('<').filter_map(|tag| tag.split_once('>')).map(|(_, text)| text).collect();
        assert_eq!(plain, "a&lt;b&gt;\\u{202e}é\nz");
    }
}
