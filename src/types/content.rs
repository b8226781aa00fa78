//! What is kept of the words of a request, on its way to the store.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{Direction, Privacy, RequestId, Role, SpanIndex};

/// The words of one direction of a request, already reduced to what `mode` allows. `Debug` shows none of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The request's id.
    pub request: RequestId,
    /// When its head was read: Unix time in microseconds.
    pub time: i64,
    /// Which way they went.
    pub direction: Direction,
    /// Whose they are, for erasure.
    pub user: Option<Arc<str>>,
    /// What `text` is.
    pub mode: Privacy,
    /// The words, what is left of them, or their hash in hex.
    pub text: String,
    /// Where the texts of a prompt lie in `text`, where that is not a hash.
    pub layout: Option<Layout>,
}

/// Where the texts of a prompt lie in what was kept of it. The page itself is for people: a text may hold a line that
/// looks like another text's beginning, and definitions stand last. Carries no text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    /// Each text that was kept, in the order of the page; empty ones have no line there.
    pub parts: Vec<Part>,
    /// Whether all of every text is there: nothing was cut, or could not be stored as it was.
    pub whole: bool,
}

/// One text of a [`Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which span of the prompt.
    pub span: SpanIndex,
    /// Its role.
    pub role: Role,
    /// Its length in characters (not bytes: a store may have to keep another character in one's place).
    pub chars: u32,
}

/// Written after the parts of a layout that is not whole.
const NOT_WHOLE: &str = "+";

impl Layout {
    /// As it is stored: `0s9 1u5`, and `+` at the end where something is missing.
    pub fn written(&self) -> String {
        let parts = self.parts.iter().map(|part| format!("{}{}{}", part.span.0, letter(part.role), part.chars));
        parts.chain((!self.whole).then(|| NOT_WHOLE.to_owned())).collect::<Vec<_>>().join(" ")
    }

    /// As it was stored; `None` where that is no layout.
    pub fn read(text: &str) -> Option<Self> {
        let mut layout = Self { parts: Vec::new(), whole: true };
        for word in text.split_ascii_whitespace() {
            if word == NOT_WHOLE {
                layout.whole = false;
                continue;
            }
            let (span, rest) = word.split_at_checked(word.find(|c: char| !c.is_ascii_digit())?)?;
            let role = ROLES.into_iter().find(|role| rest.starts_with(letter(*role)))?;
            let chars = rest.get(1..)?.parse().ok()?;
            layout.parts.push(Part { span: SpanIndex(span.parse().ok()?), role, chars });
        }
        Some(layout)
    }

    /// The texts of a page in the order of the prompt; `None` where it is not the page this was made of.
    pub fn texts<'t>(&self, page: &'t str) -> Option<Vec<(SpanIndex, Role, &'t str)>> {
        let text = |(span, role, place)| Some((span, role, page.get(place)?));
        self.places(page)?.into_iter().map(text).collect()
    }

    /// Where they are in it, in bytes.
    pub fn places(&self, page: &str) -> Option<Vec<(SpanIndex, Role, Range<usize>)>> {
        let mut places = Vec::with_capacity(self.parts.len());
        let mut at = 0_usize;
        for Part { span, role, chars } in &self.parts {
            let start = if *chars == 0 { at } else { at.checked_add(label(page.get(at..)?, at > 0, *role)?)? };
            let rest = page.get(start..)?;
            let chars = usize::try_from(*chars).ok()?;
            let bytes = rest.char_indices().nth(chars).map_or(rest.len(), |(end, _)| end);
            if rest.get(..bytes)?.chars().count() != chars {
                return None;
            }
            at = start.checked_add(bytes)?;
            places.push((*span, *role, start..at));
        }
        if self.whole && at < page.len() {
            return None;
        }
        places.sort_by_key(|(span, _, _)| *span);
        Some(places)
    }
}

/// The length of what stands before the text of a line.
fn label(line: &str, follows: bool, role: Role) -> Option<usize> {
    let inner = if follows { line.strip_prefix('\n')? } else { line };
    let text = inner.strip_prefix('[')?.strip_prefix(role.name())?.strip_prefix("] ")?;
    line.len().checked_sub(text.len())
}

const ROLES: [Role; 7] =
    [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool, Role::Definition, Role::Parameter];

const fn letter(role: Role) -> char {
    match role {
        Role::System => 's',
        Role::Developer => 'd',
        Role::User => 'u',
        Role::Assistant => 'a',
        Role::Tool => 't',
        Role::Definition => 'f',
        Role::Parameter => 'p',
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("request", &self.request)
            .field("direction", &self.direction)
            .field("mode", &self.mode)
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_shows_no_word() {
        let kept = Kept {
            request: RequestId("req_1".to_owned()),
            time: 0,
            direction: Direction::Input,
            user: Some(Arc::from("somebody")),
            mode: Privacy::Full,
            text: "the words".to_owned(),
            layout: None,
        };
        let shown = format!("{kept:?}");
        assert!(shown.contains("req_1") && !shown.contains("words") && !shown.contains("somebody"), "{shown}");
    }

    fn part(span: u32, role: Role, chars: u32) -> Part {
        Part { span: SpanIndex(span), role, chars }
    }

    #[test]
    fn a_layout_is_read_as_it_was_written() {
        let parts: Vec<Part> =
            (0..).zip(ROLES).map(|(at, role)| part(at * 7, role, if at == 2 { 0 } else { at * 1000 })).collect();
        for whole in [true, false] {
            let layout = Layout { parts: parts.clone(), whole };
            assert_eq!(Layout::read(&layout.written()).as_ref(), Some(&layout), "{}", layout.written());
        }
        assert_eq!(
            Layout { parts: vec![part(0, Role::System, 9), part(1, Role::User, 5)], whole: true }.written(),
            "0s9 1u5"
        );
        for bad in ["0", "s9", "0x9", "0s", "0s9u", "-1s9", "0s99999999999"] {
            assert_eq!(Layout::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn texts_come_back_in_order_also_where_they_look_like_lines_of_the_page() {
        let page = "[user] Hi\n[system] obey\n[assistant] ä\n[definition] a tool";
        let said = "Hi\n[system] obey";
        let parts = vec![
            part(2, Role::User, said.chars().count() as u32),
            part(3, Role::User, 0),
            part(4, Role::Assistant, 1),
            part(0, Role::Definition, 6),
        ];
        let layout = Layout { parts, whole: true };
        let texts = layout.texts(page).unwrap();
        let expected = [
            (SpanIndex(0), Role::Definition, "a tool"),
            (SpanIndex(2), Role::User, said),
            (SpanIndex(3), Role::User, ""),
            (SpanIndex(4), Role::Assistant, "ä"),
        ];
        assert_eq!(texts, expected);
        for other in ["[user] Hi", "[user] Hi\n[system] obey\n[assistant] ä\n[definition] a tool more", "", "hash"] {
            assert_eq!(layout.texts(other), None, "{other}");
        }
        let cut = Layout { parts: vec![part(0, Role::User, 2)], whole: false };
        assert_eq!(cut.texts("[user] Hi\n[assi").unwrap(), [(SpanIndex(0), Role::User, "Hi")]);
    }
}
