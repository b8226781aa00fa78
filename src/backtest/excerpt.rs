//! Pieces of the words of sampled requests, read again at the end: they are nowhere in between.

use std::collections::BTreeMap;

use super::figures::{Figures, Samples};
use super::texts::Texts;
use crate::store::{Database, StoreError, Vault};
use crate::types::{Direction, Evidence, Privacy, is_unseen};

/// Bytes around a match that are shown, on either side, and of the match.
const AROUND: usize = 40;
const SHOWN: usize = 120;

/// A piece of the words of a request, by its id.
pub type Excerpts = BTreeMap<String, String>;

/// Pieces of the words of every sample whose words are stored.
///
/// # Errors
/// The store failed.
pub async fn excerpts(database: &Database, vault: &Vault, figures: &Figures) -> Result<Excerpts, StoreError> {
    let mut excerpts = Excerpts::new();
    for sample in
        [&figures.newly_blocked, &figures.newly_passed, &figures.changed].into_iter().flat_map(Samples::in_time)
    {
        let Some(place) = sample.place.filter(|_| matches!(sample.privacy, Privacy::Full | Privacy::Masked)) else {
            continue;
        };
        let contents = database.contents(&sample.id).await?;
        let prompt = contents.iter().find(|content| content.direction == Direction::Input.name());
        let texts = prompt.and_then(|prompt| Texts::of(prompt, vault).ok());
        let text = texts.as_ref().and_then(|texts| texts.text(place.span));
        if let Some(text) = text {
            excerpts.insert(sample.id.clone(), excerpt(text, place));
        }
    }
    Ok(excerpts)
}

/// A match and a little around it, on one line.
fn excerpt(text: &str, place: Evidence) -> String {
    let (start, end) = (place.start as usize, place.end as usize);
    let from = text.floor_char_boundary(start.saturating_sub(AROUND));
    let to = text.floor_char_boundary(end.min(start.saturating_add(SHOWN)).saturating_add(AROUND));
    let shown = text.get(from..to).unwrap_or_default();
    // Nothing that steers a terminal or turns the direction of writing.
    let mut line: String = shown.chars().map(|c| if is_unseen(c) { ' ' } else { c }).collect();
    if from > 0 {
        line.insert(0, '…');
    }
    if to < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::SpanIndex;

    #[test]
    fn an_excerpt_is_one_harmless_line_around_the_match() {
        let text = format!("{}ignore\n\u{1b}[2Jall{}", "ä".repeat(50), "ö".repeat(50));
        let place = Evidence { span: SpanIndex(0), start: 100, end: 114 };
        let shown = excerpt(&text, place);
        assert!(shown.contains("ignore  [2Jall") && shown.starts_with('…') && shown.ends_with('…'), "{shown}");
        assert!(shown.len() < 120 && !shown.contains(char::is_control));
        // An offset that is not in this text shows nothing of it that could not be shown.
        assert_eq!(excerpt("short", Evidence { span: SpanIndex(0), start: 900, end: 901 }), "…");
    }
}
