//! Lists of strings, looked for all at once, and sets of names.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;

/// Which of several strings occur in a text.
#[derive(Debug)]
pub(super) struct List(Option<AhoCorasick>);

impl List {
    /// Over strings in lower case.
    pub(super) fn new(texts: &[&str]) -> Self {
        // Building fails only beyond sizes no list here comes near.
        Self(AhoCorasick::new(texts).ok())
    }

    /// Whether any occurs.
    pub(super) fn any(&self, text: &str) -> bool {
        self.0.as_ref().is_some_and(|automaton| automaton.is_match(text))
    }

    /// The positions in the list of those that occur, also inside each other.
    pub(super) fn each<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.0
            .iter()
            .flat_map(move |automaton| automaton.find_overlapping_iter(text))
            .map(|found| found.pattern().as_usize())
    }
}

/// A set of names.
#[derive(Debug)]
pub(super) struct Names(HashSet<&'static str>);

impl Names {
    /// Of names in lower case with spaces between.
    pub(super) fn new(names: &'static str) -> Self {
        Self(names.split_ascii_whitespace().collect())
    }

    /// Whether `name` is one.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// A list made when it is first used.
macro_rules! list {
    ($vis:vis $name:ident, $texts:expr) => {
        $vis static $name: std::sync::LazyLock<crate::detect::web::list::List> =
            std::sync::LazyLock::new(|| crate::detect::web::list::List::new($texts));
    };
}
pub(super) use list;

/// A set of names made when it is first used.
macro_rules! names {
    ($vis:vis $name:ident, $names:expr) => {
        $vis static $name: std::sync::LazyLock<crate::detect::web::list::Names> =
            std::sync::LazyLock::new(|| crate::detect::web::list::Names::new($names));
    };
}
pub(super) use names;
