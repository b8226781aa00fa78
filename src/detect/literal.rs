//! Literals that a pattern's matches cannot do without, read off the pattern.

use std::collections::BTreeSet;

use regex_syntax::hir::{Hir, HirKind};

/// Shortest literal worth looking for.
const SHORTEST: usize = 3;
/// Longest one: more tells little more.
const LONGEST: usize = 8;
/// Most literals of one set.
const MOST: usize = 256;
/// Most sets of one pattern.
const MOST_SETS: usize = 4;

/// Texts, ASCII lower case.
type Texts = BTreeSet<Vec<u8>>;

/// Sets of lower-case literals (ASCII case folded), rarest first: every match contains one literal of each set.
pub(super) fn required(hir: &Hir) -> Vec<Vec<String>> {
    let mut sets = sets(hir);
    sets.sort_by(|a, b| frequency(a).total_cmp(&frequency(b)));
    sets.truncate(MOST_SETS);
    let text = |text: Vec<u8>| String::from_utf8(text).ok();
    sets.into_iter().filter_map(|set| set.into_iter().map(text).collect()).collect()
}

/// Every set that can be read off.
fn sets(hir: &Hir) -> Vec<Texts> {
    if let Some(texts) = exact(hir) {
        return usable(texts).into_iter().collect();
    }
    match hir.kind() {
        HirKind::Capture(capture) => sets(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => sets(&repetition.sub),
        HirKind::Concat(parts) => in_sequence(parts),
        HirKind::Alternation(_) => best(hir).into_iter().collect(),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Repetition(_) => {
            Vec::new()
        }
    }
}

/// The rarest set.
fn best(hir: &Hir) -> Option<Texts> {
    match hir.kind() {
        HirKind::Alternation(branches) if exact(hir).is_none() => {
            let mut all = Texts::new();
            for branch in branches {
                all.extend(best(branch)?);
            }
            usable(all)
        }
        _ => sets(hir).into_iter().min_by(|a, b| frequency(a).total_cmp(&frequency(b))),
    }
}

/// Runs of parts whose texts can be listed, and what single parts require.
fn in_sequence(parts: &[Hir]) -> Vec<Texts> {
    let mut found: Vec<Texts> = Vec::new();
    let mut run = Texts::from([Vec::new()]);
    for part in parts {
        let joined = exact(part).and_then(|texts| product(&run, &texts));
        match joined {
            Some(joined) => run = joined,
            None => {
                found.extend(usable(std::mem::take(&mut run)));
                found.extend(if exact(part).is_some() { Vec::new() } else { sets(part) });
                // What can be listed alone opens the next run.
                run = exact(part).unwrap_or_else(|| Texts::from([Vec::new()]));
            }
        }
    }
    found.extend(usable(run));
    found
}

/// Every text a pattern can match, where they are few.
fn exact(hir: &Hir) -> Option<Texts> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Texts::from([Vec::new()])),
        HirKind::Literal(literal) => Some(Texts::from([literal.0.to_ascii_lowercase()])),
        HirKind::Class(_) => {
            let mut texts = Texts::new();
            let ranges = match hir.kind() {
                HirKind::Class(regex_syntax::hir::Class::Bytes(class)) => class.ranges().to_vec(),
                _ => return None,
            };
            for range in ranges {
                for byte in range.start()..=range.end() {
                    texts.insert(vec![byte.to_ascii_lowercase()]);
                    if texts.len() > 10 {
                        return None;
                    }
                }
            }
            Some(texts)
        }
        HirKind::Capture(capture) => exact(&capture.sub),
        HirKind::Alternation(branches) => {
            let mut all = Texts::new();
            for branch in branches {
                all.extend(exact(branch)?);
            }
            (all.len() <= MOST).then_some(all)
        }
        HirKind::Concat(parts) => {
            parts.iter().try_fold(Texts::from([Vec::new()]), |run, part| product(&run, &exact(part)?))
        }
        HirKind::Repetition(repetition) => {
            let (least, most) = (repetition.min, repetition.max.filter(|most| *most <= 4)?);
            let one = exact(&repetition.sub)?;
            let mut all = Texts::new();
            let mut run = Texts::from([Vec::new()]);
            for count in 0..=most {
                if count >= least {
                    all.extend(run.iter().cloned());
                }
                if count < most {
                    run = product(&run, &one)?;
                }
            }
            (all.len() <= MOST).then_some(all)
        }
    }
}

/// Every text of `left` followed by every one of `right`, where they are few.
fn product(left: &Texts, right: &Texts) -> Option<Texts> {
    if left.len().saturating_mul(right.len()) > MOST {
        return None;
    }
    Some(left.iter().flat_map(|left| right.iter().map(|right| [left.as_slice(), right].concat())).collect())
}

/// A set as literals: each long enough and ASCII, shortened to what tells, none that contains another.
fn usable(texts: Texts) -> Option<Texts> {
    let fits = |text: &Vec<u8>| text.len() >= SHORTEST && text.is_ascii();
    if texts.is_empty() || !texts.iter().all(fits) {
        return None;
    }
    let short: Texts = texts.into_iter().map(|text| text.into_iter().take(LONGEST).collect()).collect();
    let within = |small: &Vec<u8>, text: &Vec<u8>| small != text && text.windows(small.len()).any(|part| part == small);
    let needed: Texts = short.iter().filter(|text| !short.iter().any(|small| within(small, text))).cloned().collect();
    (needed.len() <= MOST).then_some(needed)
}

/// How often one of a set is met in a thousand bytes of ordinary English, roughly.
fn frequency(texts: &Texts) -> f64 {
    texts.iter().map(|text| expected(text)).sum()
}

/// The words of `COMMON` that contain the text, and one chance in twelve per byte for all others; white space tells
/// nothing.
fn expected(text: &[u8]) -> f64 {
    let bare = text.trim_ascii();
    let known = COMMON.iter().filter(|(word, _)| word.as_bytes().windows(bare.len().max(1)).any(|part| part == bare));
    let telling = text.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
    known.map(|(_, often)| f64::from(*often) / 10.0).sum::<f64>()
        + 1_000.0 * 12_f64.powi(-i32::try_from(telling).unwrap_or(0))
}

/// Words met often in prompts, with how often in ten thousand bytes: rounded counts over everyday English, requests to
/// models and technical prose.
const COMMON: [(&str, u8); 96] = [
    ("the", 100),
    ("and", 50),
    ("that", 20),
    ("this", 15),
    ("with", 14),
    ("for", 20),
    ("you", 20),
    ("your", 12),
    ("are", 12),
    ("was", 12),
    ("have", 10),
    ("not", 10),
    ("from", 10),
    ("what", 8),
    ("when", 7),
    ("which", 7),
    ("their", 7),
    ("there", 6),
    ("they", 8),
    ("them", 5),
    ("then", 5),
    ("these", 5),
    ("those", 3),
    ("all", 8),
    ("any", 5),
    ("each", 4),
    ("every", 4),
    ("one", 8),
    ("two", 4),
    ("can", 9),
    ("could", 5),
    ("would", 6),
    ("should", 5),
    ("will", 8),
    ("shall", 1),
    ("must", 3),
    ("may", 4),
    ("more", 5),
    ("most", 3),
    ("other", 5),
    ("another", 2),
    ("some", 5),
    ("such", 3),
    ("than", 4),
    ("into", 4),
    ("over", 3),
    ("under", 2),
    ("before", 3),
    ("after", 3),
    ("here", 4),
    ("how", 5),
    ("now", 3),
    ("new", 4),
    ("only", 4),
    ("also", 4),
    ("about", 5),
    ("where", 3),
    ("while", 3),
    ("because", 2),
    ("between", 2),
    ("use", 6),
    ("user", 5),
    ("used", 4),
    ("using", 4),
    ("make", 3),
    ("need", 3),
    ("want", 3),
    ("write", 3),
    ("give", 2),
    ("given", 2),
    ("tell", 2),
    ("show", 2),
    ("please", 2),
    ("just", 2),
    ("like", 4),
    ("list", 3),
    ("text", 3),
    ("data", 4),
    ("code", 4),
    ("file", 4),
    ("line", 3),
    ("name", 3),
    ("word", 3),
    ("time", 4),
    ("number", 2),
    ("people", 2),
    ("work", 3),
    ("system", 3),
    ("message", 2),
    ("information", 2),
    ("question", 2),
    ("answer", 3),
    ("following", 2),
    ("first", 3),
    ("http", 2),
    ("return", 3),
];

#[cfg(test)]
mod tests {
    use super::super::pattern::{Literals, parse};
    use super::*;

    fn literals(pattern: &str) -> Vec<String> {
        let hir = parse(pattern).unwrap();
        let found = required(&hir);
        for set in &found {
            assert_eq!(Literals::new(set).unwrap().uncovered(&hir).unwrap(), None, "{set:?}");
        }
        found.iter().map(|set| set.join("|")).collect()
    }

    #[test]
    fn every_part_that_must_occur_is_a_set_the_rarest_first() {
        assert_eq!(literals(r"(?i)\b(?:it|hr)\s{1,3}department\b"), ["departme"]);
        assert_eq!(literals(r"(?i)(?:say|print)\s{1,9}(?:secret|password)"), ["password|secret", "print|say"]);
        assert_eq!(literals(r"(?i)ignor(?:e|ing).{0,20}x"), ["ignore|ignoring"]);
        assert_eq!(literals("(?:word ){1,9}x"), ["word "]);
        assert_eq!(literals("say.{1,9}(?:(?:a|the) key|a .{1,9}word)"), ["a key|the key|word", "say"]);
    }

    #[test]
    fn nothing_is_made_up() {
        assert!(literals(r"\d{16}").is_empty());
        assert!(literals("(?:password)?ab").is_empty());
        assert!(literals("cc|password").is_empty());
    }
}
