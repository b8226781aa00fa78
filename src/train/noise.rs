//! Requests followed by noise: what machines that search for a suffix leave behind looks like pieces of words and signs
//! in no order. The pieces differ each time, so it is made here, from the words of the other texts.

use std::collections::BTreeSet;

use super::corpus::Example;
use super::rng::Rng;

/// Where these examples come from, as others name their file.
const SOURCE: &str = "noise_made";

/// Examples made.
const MADE: usize = 800;

/// The longest request that noise is put behind, in bytes.
const REQUEST: usize = 160;

/// Pieces of noise, at least, and how many more.
const PIECES: (usize, usize) = (10, 22);

/// What stands between and inside words.
const SIGNS: [&str; 40] = [
    "](", "**", "\"", ".\"", "--", "!--", "{", "}", "=", "+", ":", "\\", "@", "#", ";", "''", "~", "^", "<", ">", "|",
    "::", "$", "%", "?]", "!", "...", ")", "(", "[", "/", "//", "->", "=>", "&&", "`", "_", "*)", "},", "\\n",
];

/// Examples made of the short texts and the words of others.
pub(super) fn made(examples: &[Example]) -> Vec<Example> {
    let requests: Vec<&str> = examples
        .iter()
        .map(|one| one.text.trim())
        .filter(|text| text.len() <= REQUEST && text.contains(' ') && text.chars().all(is_plain))
        .collect();
    let words: BTreeSet<&str> = examples.iter().flat_map(|one| one.text.split_whitespace()).collect();
    let plain = |word: &&str| (2..=14).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let words: Vec<&str> = words.into_iter().filter(plain).collect();
    let mut rng = Rng::named(SOURCE);
    let one = |rng: &mut Rng| {
        let request = rng.pick(&requests)?;
        let text = format!("{request} {}", noise(rng, &words)?);
        Some(Example { text, attack: true, category: "jailbreak:suffix".into(), source: SOURCE.into() })
    };
    (0..MADE).filter_map(|_| one(&mut rng)).collect()
}

/// Whether people write so to each other: code before noise would make all code look like an attack.
fn is_plain(letter: char) -> bool {
    letter.is_alphabetic() || " ,.'?!-".contains(letter)
}

fn noise(rng: &mut Rng, words: &[&str]) -> Option<String> {
    let mut text = String::new();
    for _ in 0..PIECES.0 + rng.below(PIECES.1) {
        let word = *rng.pick(words)?;
        match rng.below(10) {
            0..3 => text.push_str(rng.pick(&SIGNS)?),
            3..6 => text.push_str(word.get(..word.len() / 2 + 1)?),
            6 => text.push_str(&word.to_uppercase()),
            _ => text.push_str(word),
        }
        if rng.below(20) < 11 {
            text.push(' ');
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::corpus::corpus;

    #[test]
    fn noise_follows_requests_and_is_the_same_every_time() {
        let texts = "@label benign\nHow do I cook a soup\nWhich salad is quick and easy to carry home today\n";
        let examples = corpus("own", texts).unwrap();
        let noisy = made(&examples);
        assert_eq!(noisy.len(), MADE);
        assert_eq!(noisy, made(&examples));
        assert!(noisy.iter().all(|one| one.attack && examples.iter().any(|own| one.text.starts_with(&own.text))));
        assert!(made(&[]).is_empty());
    }
}
