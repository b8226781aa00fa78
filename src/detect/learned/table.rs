//! All learned rules together: a text is read once, whatever their number.

use std::sync::Arc;

use super::fold::{self, Hashed, Token, pair, tokens};
use super::{MOST_TERMS, Reader, Recent, Weights, bit};
use crate::detect::rule::Roles;
use crate::types::Role;

/// A term of a rule: which rule, and which of its terms as a bit.
type Posting = (u16, u8);

/// Every learned rule of a rule set.
#[derive(Debug, Clone, Default)]
pub(in crate::detect) struct Table {
    rules: Vec<Learned>,
    words: Hashed<Word>,
    pairs: Hashed<Box<[Posting]>>,
}

#[derive(Debug, Clone)]
struct Learned {
    /// Its position among all rules.
    rule: usize,
    roles: Roles,
    reader: Arc<Reader>,
    threshold: f32,
    telling: u32,
}

/// What a word is to the rules.
#[derive(Debug, Clone, Default)]
struct Word {
    alone: Box<[Posting]>,
    begins: bool,
    ends: bool,
}

impl Table {
    /// Of rules by their position among all.
    pub(in crate::detect) fn new(rules: &[(usize, Roles, Weights)]) -> Result<Self, String> {
        if rules.len() > super::MOST_RULES {
            return Err(format!("{} learned rules, at most {}", rules.len(), super::MOST_RULES));
        }
        let mut words: Hashed<(Vec<Posting>, bool, bool)> = Hashed::default();
        let mut pairs: Hashed<Vec<Posting>> = Hashed::default();
        for (at, (_, _, weights)) in (0_u16..).zip(rules) {
            for (bit, term) in (0_u8..).zip(&weights.terms).take(MOST_TERMS) {
                let first = words.entry(fold::class(&term.first)).or_default();
                match &term.second {
                    None => first.0.push((at, bit)),
                    Some(second) => {
                        first.1 = true;
                        words.entry(fold::class(second)).or_default().2 = true;
                        pairs.entry(term.number()).or_default().push((at, bit));
                    }
                }
            }
        }
        let word = |(alone, begins, ends): (Vec<Posting>, bool, bool)| Word { alone: alone.into(), begins, ends };
        let learned = rules.iter().map(|(rule, roles, weights)| Learned {
            rule: *rule,
            roles: *roles,
            reader: Arc::new(weights.reader()),
            threshold: weights.threshold,
            telling: weights.telling,
        });
        Ok(Self {
            rules: learned.collect(),
            words: words.into_iter().map(|(class, own)| (class, word(own))).collect(),
            pairs: pairs.into_iter().map(|(number, own)| (number, own.into())).collect(),
        })
    }

    /// Bytes in memory, nearly.
    pub(in crate::detect) fn memory(&self) -> usize {
        let postings = self.words.values().map(|word| word.alone.len()).sum::<usize>()
            + self.pairs.values().map(|own| own.len()).sum::<usize>();
        let readers = self.rules.iter().map(|rule| size_of::<Reader>() + rule.reader.bits.len() * 48);
        readers.sum::<usize>() + postings * size_of::<Posting>() + (self.words.len() + self.pairs.len()) * 48
    }

    /// Appends where rules for `role` match: the rule's position among all, and the bytes.
    pub(in crate::detect) fn scan(&self, text: &[u8], role: Role, found: &mut Vec<(usize, usize, usize)>) {
        if self.rules.is_empty() {
            return;
        }
        let Ok(text) = str::from_utf8(text) else { return };
        let mut seen = vec![0_u64; self.rules.len()];
        let mut known: Vec<Token> = Vec::new();
        let mut recent = Recent::default();
        let mut note = |postings: &[Posting]| {
            for (rule, nth) in postings {
                seen.get_mut(usize::from(*rule)).into_iter().for_each(|bits| *bits |= bit(usize::from(*nth)));
            }
        };
        tokens(text, |token| {
            let Some(word) = self.words.get(&token.class) else { return };
            known.push(token);
            note(&word.alone);
            if word.ends {
                for first in recent.before(token.nth) {
                    self.pairs.get(&pair(first.class, token.class)).into_iter().for_each(|own| note(own));
                }
            }
            if word.begins {
                recent.push(token);
            }
        });
        for (rule, bits) in self.rules.iter().zip(seen).filter(|(_, bits)| *bits != 0) {
            let reader = &rule.reader;
            let possible = rule.roles.contains(role)
                && (bits & reader.singles).count_ones() >= rule.telling
                && reader.sum(bits) >= rule.threshold;
            if !possible {
                continue;
            }
            let best = reader.best(&known);
            if best.score >= rule.threshold && best.telling >= rule.telling {
                found.push((rule.rule, best.start as usize, best.end as usize));
            }
        }
    }
}
