//! Literals that a pattern's matches cannot do without, read off the pattern.

use std::collections::BTreeSet;

use regex_syntax::hir::{Hir, HirKind};

/// Shortest literal worth looking for.
const SHORTEST: usize = 3;
/// Longest one: more tells little more.
const LONGEST: usize = 12;
/// Most literals of one set.
const MOST: usize = 96;

/// Texts, ASCII lower case.
type Texts = BTreeSet<Vec<u8>>;

/// Lower-case literals of which every match contains one (ASCII case folded), the rarest such set found; `None` when
/// there is none.
pub(super) fn required(hir: &Hir) -> Option<Vec<String>> {
    let best = best(hir)?;
    best.into_iter().map(|text| String::from_utf8(text).ok()).collect()
}

/// The sets a match must draw from: the least frequent.
fn best(hir: &Hir) -> Option<Texts> {
    if let Some(texts) = exact(hir) {
        return usable(texts);
    }
    match hir.kind() {
        HirKind::Capture(capture) => best(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => best(&repetition.sub),
        HirKind::Alternation(branches) => {
            let mut all = Texts::new();
            for branch in branches {
                all.extend(best(branch)?);
            }
            usable(all)
        }
        HirKind::Concat(parts) => in_sequence(parts),
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Repetition(_) => None,
    }
}

/// Runs of parts whose texts can be listed, and what single parts require.
fn in_sequence(parts: &[Hir]) -> Option<Texts> {
    let mut found: Vec<Texts> = Vec::new();
    let mut run = Texts::from([Vec::new()]);
    for part in parts {
        let joined = exact(part).and_then(|texts| product(&run, &texts));
        match joined {
            Some(joined) => run = joined,
            None => {
                found.extend(usable(std::mem::take(&mut run)));
                found.extend(best(part));
                // What can be listed alone opens the next run.
                run = exact(part).unwrap_or_else(|| Texts::from([Vec::new()]));
            }
        }
    }
    found.extend(usable(run));
    found.into_iter().min_by(|a, b| frequency(a).total_cmp(&frequency(b)))
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

/// A set as literals: each long enough and ASCII, shortened to what tells.
fn usable(texts: Texts) -> Option<Texts> {
    let fits = |text: &Vec<u8>| text.len() >= SHORTEST && text.is_ascii();
    if texts.is_empty() || texts.len() > MOST * 2 || !texts.iter().all(fits) {
        return None;
    }
    Some(texts.into_iter().map(|text| text.into_iter().take(LONGEST).collect()).collect())
}

/// How often one of a set is met, roughly: each further byte is one in twelve; white space tells nothing.
fn frequency(texts: &Texts) -> f64 {
    let telling = |text: &Vec<u8>| text.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
    texts.iter().map(|text| 12_f64.powi(-i32::try_from(telling(text)).unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{Coverage, Literals, parse};
    use super::*;

    fn literals(pattern: &str) -> Option<Vec<String>> {
        let hir = parse(pattern).unwrap();
        let found = required(&hir)?;
        let coverage = Literals::new(&found).unwrap().covers(&hir).unwrap();
        assert!(!matches!(coverage, Coverage::No(_)), "{found:?}");
        Some(found)
    }

    #[test]
    fn the_rarest_part_is_taken() {
        assert_eq!(literals(r"(?i)\b(?:it|hr)\s{1,3}department\b"), Some(vec!["department".into()]));
        assert_eq!(literals(r"(?i)(?:say|print)\s{1,9}(?:secret|password)"), Some(vec!["password".into(), "secret".into()]));
        assert_eq!(literals(r"(?i)ignor(?:e|ing)"), Some(vec!["ignore".into(), "ignoring".into()]));
        assert_eq!(literals("(?:word ){1,9}x"), Some(vec!["word ".into()]));
    }

    #[test]
    fn nothing_is_made_up() {
        assert_eq!(literals(r"\d{16}"), None);
        assert_eq!(literals("(?:password)?ab"), None);
        assert_eq!(literals("cc|password"), None);
    }
}
