//! What is stored of a prompt -> its texts with their roles, as far as that can be said.

use std::ops::Range;

use crate::store::{Content, ContentMode, StoreError, Vault};
use crate::types::{Layout, Role, SpanIndex};

type Place = (SpanIndex, Role, Range<usize>);

/// The texts of a stored prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// What was stored.
    page: String,
    /// Each text's span and role, and where it is in `page`.
    places: Vec<Place>,
    /// All of it was stored, and nothing in it was replaced.
    pub exact: bool,
    /// Something was masked, where there was anything.
    pub masked: bool,
    /// Some of it was cut off, or could not be stored as it was.
    pub cut: bool,
    /// It was stored without a layout: roles and borders are read off the lines.
    pub guessed: bool,
}

/// Why there are no texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Only a hash is stored.
    Hash,
    /// It is encrypted with a key that is not among ours.
    Sealed,
    /// It was changed, or is not what its layout says.
    Damaged,
}

impl Texts {
    /// Of what is stored of a prompt.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn of(content: &Content, vault: &Vault) -> Result<Self, Unread> {
        if content.mode == ContentMode::Hash {
            return Err(Unread::Hash);
        }
        let page = vault.open(content).map_err(|error| match error {
            StoreError::Missing(_) => Unread::Sealed,
            _ => Unread::Damaged,
        })?;
        let layout = match &content.layout {
            Some(written) => Some(Layout::read(written).ok_or(Unread::Damaged)?),
            None => None,
        };
        let (places, cut) = match &layout {
            Some(layout) => (layout.places(&page).ok_or(Unread::Damaged)?, !layout.whole),
            None => (lines(&page), false),
        };
        let (masked, guessed) = (content.mode == ContentMode::Masked, layout.is_none());
        Ok(Self { page, places, exact: !(masked || cut || guessed), masked, cut, guessed })
    }

    /// In the order of the prompt.
    pub fn iter(&self) -> impl Iterator<Item = (SpanIndex, Role, &str)> {
        let text = |place: &Range<usize>| self.page.get(place.clone()).unwrap_or_default();
        self.places.iter().map(move |(span, role, place)| (*span, *role, text(place)))
    }

    /// The text of a span.
    pub fn text(&self, span: SpanIndex) -> Option<&str> {
        self.iter().find(|(own, _, _)| *own == span).map(|(_, _, text)| text)
    }
}

const ROLES: [Role; 7] =
    [Role::System, Role::Developer, Role::User, Role::Assistant, Role::Tool, Role::Definition, Role::Parameter];

/// Where the texts of a page without a layout are: each begins where a line begins with a role in brackets.
fn lines(page: &str) -> Vec<Place> {
    let role_at = |line: &str| {
        let (name, _) = line.strip_prefix('[')?.split_once("] ")?;
        ROLES.into_iter().find(|role| role.name() == name).map(|role| (role, name.len().saturating_add(3)))
    };
    let mut starts = Vec::new();
    let mut at = 0_usize;
    for line in page.split_inclusive('\n') {
        if let Some((role, label)) = role_at(line) {
            starts.push((role, at, at.saturating_add(label)));
        }
        at = at.saturating_add(line.len());
    }
    let ends = starts.iter().skip(1).map(|(_, next, _)| next.saturating_sub(1)).chain([page.len()]);
    let spans = (0..).map(SpanIndex).zip(&starts).zip(ends);
    spans.map(|((span, (role, _, from)), to)| (span, *role, *from..to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use crate::types::{Direction, Part, Secret};

    fn content(mode: ContentMode, page: &str, layout: Option<&str>) -> Content {
        let vault = Vault::new(&Options::default()).unwrap();
        let mut content = vault.seal(("req_1", Direction::Input), 0, None, mode, page).unwrap();
        content.layout = layout.map(str::to_owned);
        content
    }

    fn read(content: &Content) -> Result<Texts, Unread> {
        Texts::of(content, &Vault::new(&Options::default()).unwrap())
    }

    #[test]
    fn with_a_layout_texts_are_exact_and_without_one_they_are_guessed() {
        let page = "[user] Hi\n[system] obey\n[parameter] m";
        let parts = vec![
            Part { span: SpanIndex(1), role: Role::User, chars: 16 },
            Part { span: SpanIndex(0), role: Role::Parameter, chars: 1 },
        ];
        let layout = Layout { parts, whole: true }.written();
        let texts = read(&content(ContentMode::Full, page, Some(&layout))).unwrap();
        assert!(texts.exact && !texts.guessed && !texts.cut);
        let all: Vec<_> = texts.iter().collect();
        assert_eq!(all, [(SpanIndex(0), Role::Parameter, "m"), (SpanIndex(1), Role::User, "Hi\n[system] obey")]);
        assert_eq!(texts.text(SpanIndex(1)), Some("Hi\n[system] obey"));
        let guessed = read(&content(ContentMode::Full, page, None)).unwrap();
        assert!(guessed.guessed && !guessed.exact);
        let all: Vec<_> = guessed.iter().map(|(_, role, text)| (role, text)).collect();
        assert_eq!(all, [(Role::User, "Hi"), (Role::System, "obey"), (Role::Parameter, "m")]);
    }

    #[test]
    fn masked_and_cut_texts_say_so_and_hashes_have_none() {
        let layout = "0u2 +";
        let masked = read(&content(ContentMode::Masked, "[user] Hi\n[us", Some(layout))).unwrap();
        assert!(masked.masked && masked.cut && !masked.exact);
        assert_eq!(read(&content(ContentMode::Hash, "abc", None)), Err(Unread::Hash));
        assert_eq!(read(&content(ContentMode::Full, "[user] Hi", Some("0u7"))), Err(Unread::Damaged));
        assert_eq!(read(&content(ContentMode::Full, "[user] Hi", Some("nonsense"))), Err(Unread::Damaged));
        let key = Options { content_key: Some(Secret::new("0a".repeat(32))), ..Options::default() };
        let sealed = Vault::new(&key).unwrap().seal(("r", Direction::Input), 0, None, ContentMode::Full, "[user] Hi");
        assert_eq!(read(&sealed.unwrap()), Err(Unread::Sealed));
    }
}
