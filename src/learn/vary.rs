//! An attack said in many other ways, some of which no rule is made from.

use super::encode;
use super::frames;
use super::kinds::Kind;
use super::reword;
use super::{Variation, frames::Language};
use crate::train::rng::Rng;

/// Groups of kinds that are alike.
const GROUPS: u8 = 4;

/// Of so many kinds of a group one is held back whole.
const ONE_IN: usize = 3;

/// Bytes of a text that is varied. Of a longer one the beginning is.
const LONGEST: usize = 8 << 10;

/// `text` in some fifty other ways, the same for the same seed. About a third of the kinds are held back whole; of the
/// other kinds with several texts half of them are, drawn from numbers of their own.
pub fn vary(text: &str, seed: u64) -> Vec<Variation> {
    let text = text.trim();
    let text = text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    let language = Language::of(text);
    let held = held_kinds(seed);
    let mut all: Vec<Variation> = Vec::new();
    for kind in Kind::ALL {
        let draws = kind.draws();
        for draw in 0..draws {
            let held_back = held.contains(&kind) || (draws > 1 && draw >= draws.div_ceil(2));
            let mut rng = Rng::named(&format!("{seed} {} {draw} {held_back}", kind.name()));
            let Some(varied) = one(kind, text, language, draw, &mut rng) else { continue };
            if varied != text && !all.iter().any(|known| known.text == varied) {
                all.push(Variation { kind, text: varied, held_back });
            }
        }
    }
    all
}

/// The kinds that no rule may be made from, by seed: a third of each group.
fn held_kinds(seed: u64) -> Vec<Kind> {
    let mut held = Vec::new();
    for group in 0..GROUPS {
        let mut kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.group() == group).collect();
        let most = kinds.len() / ONE_IN;
        Rng::named(&format!("held {seed} {group}")).shuffle(&mut kinds);
        held.extend(kinds.into_iter().take(most));
    }
    held
}

fn one(kind: Kind, text: &str, language: Language, draw: usize, rng: &mut Rng) -> Option<String> {
    match kind {
        Kind::Case => Some(reword::case(text, draw, rng)),
        Kind::Spacing => Some(reword::spacing(text, rng)),
        Kind::SpacedLetters => encode::spaced(text),
        Kind::Leet => encode::leet(text),
        Kind::Homoglyphs => encode::homoglyphs(text, rng),
        Kind::ZeroWidth => Some(encode::zero_width(text, rng)),
        Kind::FullWidth => encode::full_width(text),
        Kind::Markup => Some(reword::markup(text, rng)),
        Kind::Typos => reword::typos(text, rng),
        Kind::Synonyms => reword::other_words(text, rng),
        Kind::Filler => Some(reword::filler(text, language, rng)),
        Kind::Terse => reword::terse(text, language),
        Kind::Order => reword::order(text, rng),
        Kind::Base64 => Some(encode::base64(text)),
        Kind::Hex => Some(encode::hex(text)),
        Kind::Rot13 => encode::rot13(text),
        Kind::Reversed => Some(text.chars().rev().collect()),
        Kind::Url => Some(encode::url(text)),
        Kind::Concatenated => encode::concatenated(text, rng),
        Kind::Parts => encode::parts(text),
        Kind::Polite
        | Kind::Urgent
        | Kind::RolePlay
        | Kind::Hypothetical
        | Kind::Story
        | Kind::Document
        | Kind::Json
        | Kind::Comment
        | Kind::Appended
        | Kind::Prepended => frames::frame(kind, text, language, rng),
        Kind::Paraphrase => None,
    }
}
