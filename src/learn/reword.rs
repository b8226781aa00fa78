//! The same in other words: synonyms, slips, fillers, another order.

use super::frames::Language;
use crate::detect::learned::fold::{stem, synonyms};
use crate::train::rng::Rng;

/// Everything in capitals, capitals at every beginning, or anywhere.
pub(super) fn case(text: &str, draw: usize, rng: &mut Rng) -> String {
    match draw {
        0 => text.to_uppercase(),
        _ => text
            .chars()
            .flat_map(|letter| {
                let upper = rng.below(2) == 0;
                let folded: Vec<char> =
                    if upper { letter.to_uppercase().collect() } else { letter.to_lowercase().collect() };
                folded
            })
            .collect(),
    }
}

/// Other white space between words.
pub(super) fn spacing(text: &str, rng: &mut Rng) -> String {
    let mut out = String::new();
    for (nth, word) in text.split_whitespace().enumerate() {
        if nth > 0 {
            out.push_str(rng.pick(&[" ", "  ", "\n", "   ", "\t", " \n "]).copied().unwrap_or(" "));
        }
        out.push_str(word);
    }
    out
}

/// Stars around words, dashes between them.
pub(super) fn markup(text: &str, rng: &mut Rng) -> String {
    let word = |word: &str| match rng.below(6) {
        0 => format!("**{word}**"),
        1 => format!("_{word}_"),
        2 => format!("`{word}`"),
        _ => word.to_owned(),
    };
    format!("## Note\n- {}", text.split_whitespace().map(word).collect::<Vec<_>>().join(" "))
}

/// Parts of a text: words and what is between them.
fn parts(text: &str) -> Vec<(bool, &str)> {
    let is_word = |letter: char| letter.is_alphabetic() || matches!(letter, '\'' | '’');
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = is_word(first);
        let end = rest.find(|letter: char| is_word(letter) != word).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        found.push((word, part));
        rest = behind;
    }
    found
}

/// Slips of the finger in a few of the longer words: letters swapped, doubled, left out.
pub(super) fn typos(text: &str, rng: &mut Rng) -> Option<String> {
    let mut parts: Vec<(bool, String)> = parts(text).into_iter().map(|(word, part)| (word, part.to_owned())).collect();
    let mut long: Vec<usize> = (0..parts.len())
        .filter(|at| parts.get(*at).is_some_and(|(word, part)| *word && part.chars().count() > 4))
        .collect();
    rng.shuffle(&mut long);
    let slips = (long.len() / 5).clamp(1, 6);
    for at in long.into_iter().take(slips) {
        if let Some((_, part)) = parts.get_mut(at) {
            *part = slip(part, rng);
        }
    }
    let varied: String = parts.into_iter().map(|(_, part)| part).collect();
    (varied != text).then_some(varied)
}

fn slip(word: &str, rng: &mut Rng) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let at = 1 + rng.below(letters.len() - 2);
    match rng.below(3) {
        0 => letters.swap(at, at + 1),
        1 => {
            let letter = letters.get(at).copied().unwrap_or('e');
            letters.insert(at, letter);
        }
        _ => {
            letters.remove(at);
        }
    }
    letters.into_iter().collect()
}

/// Other words that mean the same, for two thirds of those that have such.
pub(super) fn synonyms_for(word: &str) -> Vec<String> {
    let lower = word.to_lowercase();
    let Some(group) = synonyms().group(&lower) else { return Vec::new() };
    let own = stem(&lower);
    let ending = group.iter().find(|known| stem(known) == own).and_then(|known| ending(known, &lower));
    let others = group.iter().filter(|known| stem(known) != own);
    others.map(|known| inflected(known, ending.unwrap_or_default())).collect()
}

/// What `word` has behind its base form.
fn ending(base: &str, word: &str) -> Option<&'static str> {
    const ENDINGS: [&str; 3] = ["ing", "ed", "s"];
    if base == word {
        return None;
    }
    ENDINGS.into_iter().find(|ending| word.ends_with(ending) && !base.ends_with(ending))
}

fn inflected(base: &str, ending: &str) -> String {
    match (ending, base.as_bytes().last()) {
        ("ing" | "ed", Some(b'e')) => format!("{}{ending}", base.trim_end_matches('e')),
        ("s", Some(b's' | b'h' | b'x')) => format!("{base}es"),
        _ => format!("{base}{ending}"),
    }
}

pub(super) fn other_words(text: &str, rng: &mut Rng) -> Option<String> {
    let mut out = String::with_capacity(text.len() * 2);
    for (is_word, part) in parts(text) {
        let others = if is_word { synonyms_for(part) } else { Vec::new() };
        match rng.pick(&others).filter(|_| !others.is_empty()) {
            Some(other) if rng.below(3) < 2 => {
                let capital = part.chars().next().is_some_and(char::is_uppercase);
                let mut letters = other.chars();
                match letters.next().filter(|_| capital) {
                    Some(first) => {
                        out.extend(first.to_uppercase());
                        out.push_str(letters.as_str());
                    }
                    None => out.push_str(other),
                }
            }
            Some(_) | None => out.push_str(part),
        }
    }
    (out != text).then_some(out)
}

/// A word that says nothing after every few.
pub(super) fn filler(text: &str, language: Language, rng: &mut Rng) -> String {
    let mut out = String::new();
    for (nth, word) in text.split_whitespace().enumerate() {
        if nth > 0 {
            out.push(' ');
            if rng.below(5) == 0 {
                out.push_str(rng.pick(language.fillers()).copied().unwrap_or_default());
                out.push(' ');
            }
        }
        out.push_str(word);
    }
    out
}

/// Without the words that every sentence has.
pub(super) fn terse(text: &str, language: Language) -> Option<String> {
    let says = |word: &&str| {
        let plain: String = word.chars().filter(|letter| letter.is_alphabetic()).flat_map(char::to_lowercase).collect();
        !language.little().contains(&plain.as_str())
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    let kept: Vec<&str> = words.iter().copied().filter(says).collect();
    (kept.len() >= 3 && kept.len() < words.len()).then(|| kept.join(" "))
}

/// Sentences in another order; of one sentence its clauses.
pub(super) fn order(text: &str, rng: &mut Rng) -> Option<String> {
    for ends in [&['.', '!', '?', '\n'][..], &[',', ';', ':', '.', '!', '?', '\n'][..]] {
        let mut parts: Vec<&str> =
            text.split_inclusive(ends).map(str::trim).filter(|part| part.chars().any(char::is_alphabetic)).collect();
        if parts.len() > 1 {
            let before = parts.clone();
            rng.shuffle(&mut parts);
            if parts == before {
                parts.rotate_left(1);
            }
            return Some(parts.join(" "));
        }
    }
    None
}
