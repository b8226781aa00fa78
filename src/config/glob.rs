//! Patterns of names, where `*` stands for anything.

/// Patterns of which one must fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Globs(Vec<Box<str>>);

impl Globs {
    /// These patterns.
    pub fn new(patterns: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self(patterns.into_iter().map(|pattern| pattern.as_ref().into()).collect())
    }

    /// Whether one of them fits.
    pub fn fit(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| fits(pattern, name))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| &**pattern)
    }
}

/// Whether a pattern fits a whole name. Linear in the name for each star.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut pieces = rest.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return left.ends_with(piece);
        }
        let Some(at) = left.find(piece) else { return false };
        left = left.get(at.saturating_add(piece.len())..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_anything_and_everything_else_for_itself() {
        for (pattern, name) in [
            ("*", ""),
            ("gpt-4o*", "gpt-4o-mini"),
            ("*-mini", "gpt-4o-mini"),
            ("a*c*e", "abcde"),
            ("a**b", "ab"),
            ("a", "a"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("gpt-4o", "gpt-4o-mini"), ("a*b", "abc"), ("a*a", "a"), ("*b*", "ac"), ("A*", "ab")]
        {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
