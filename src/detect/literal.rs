//! Literals that a pattern's matches cannot do without, read off the pattern.

use std::collections::BTreeSet;

use regex_syntax::hir::{Hir, HirKind};

use super::fold::{FOREIGN, fold};
use super::frequency::{expected, share};

/// Shortest literal worth looking for.
const SHORTEST: usize = 3;
/// Shortest literal worth looking for beside others.
const TELLING: usize = 4;
/// Longest one: more tells little more.
pub(super) const LONGEST: usize = 16;
/// Most literals of one set.
const MOST: usize = 256;
/// Most sets of one branch.
const MOST_SETS: usize = 4;
/// A set met more often than so many times in a thousand bytes is not worth looking for beside another.
const TOO_OFTEN: f64 = 1.0;
/// So many places where a match could start are tried one by one.
const FEW_STARTS: usize = 16;
/// Bytes are rare when they are together no larger a share of ordinary text: all digits are, and some signs beside them.
const RARE: f64 = 0.032;
/// Most branches of one pattern.
const MOST_BRANCHES: usize = 12;

/// Texts, ASCII lower case.
type Texts = BTreeSet<Vec<u8>>;

/// Literals of which a match contains one, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Set {
    /// Lower-case ASCII; ASCII case is folded.
    pub(super) texts: Vec<String>,
    /// Fewest bytes from the start of the match to the literal.
    pub(super) least: usize,
    /// Most bytes.
    pub(super) most: usize,
}

impl Set {
    /// How often one of it is met in a thousand bytes of ordinary text, roughly.
    pub(super) fn frequency(&self) -> f64 {
        self.texts.iter().map(|text| expected(text.as_bytes())).sum()
    }
}

/// A set while it is read off.
#[derive(Debug, Clone)]
struct Found {
    texts: Texts,
    least: usize,
    most: usize,
    /// The most bytes that one of the texts can stand for: a space stands for any run of white space.
    span: usize,
}

/// Ways to match: each match is of one branch and contains a literal of each of its sets. The first set is the one to
/// start from: rare, or at a known distance from the start of the match. Empty where nothing is known.
pub(super) fn required(hir: &Hir) -> Vec<Vec<Set>> {
    let mut branches = branches(hir);
    if branches.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let finished = |found: Found| {
        let texts = found.texts.into_iter().filter_map(|text| String::from_utf8(text).ok()).collect();
        Set { texts, least: found.least, most: found.most }
    };
    for branch in &mut branches {
        // Short literals are met too often to be worth looking for beside longer ones.
        let telling = |found: &Found| found.texts.iter().all(|text| text.len() >= TELLING);
        if branch.iter().any(telling) {
            branch.retain(telling);
        }
        branch.sort_by(|a, b| frequency(&a.texts).total_cmp(&frequency(&b.texts)));
        let longest = hir.properties().maximum_len().unwrap_or(usize::MAX);
        let cheapest =
            (0..branch.len()).zip(branch.iter()).min_by(|a, b| cost(a.1, longest).total_cmp(&cost(b.1, longest)));
        if let Some((at, _)) = cheapest {
            let first = branch.remove(at);
            branch.insert(0, first);
        }
        // What occurs nearly everywhere rules nothing out; the first is needed all the same. One that tells where a
        // match begins may be met more often: it spares a search.
        let mut nth = 0;
        branch.retain(|own| {
            nth += 1;
            let often = frequency(&own.texts);
            let tells = nth <= MOST_SETS && often <= TOO_OFTEN || own.least == own.most && often <= TOO_OFTEN * 3.0;
            nth == 1 || tells
        });
    }
    branches.into_iter().map(|branch| branch.into_iter().map(finished).collect()).collect()
}

/// A literal as written in a rule, as texts are read: folded, each run of white space one space, none first; its
/// beginning, where it is long.
pub(super) fn read(literal: &str) -> String {
    let spaced: Vec<&str> = literal.split_ascii_whitespace().collect();
    let end = if literal.ends_with(|last: char| last.is_ascii_whitespace()) { " " } else { "" };
    let all = spaced.join(" ") + end;
    all.bytes().take(LONGEST).map(|byte| char::from(fold(byte))).collect()
}

/// What starting from a set costs in a thousand bytes of ordinary text: single tries, or a search of everything within
/// reach, which costs as much as one try per sixteen bytes.
fn cost(set: &Found, longest: usize) -> f64 {
    let reach = set.most.saturating_sub(set.least);
    let tries = if reach <= FEW_STARTS { 1.0 } else { reach.saturating_add(longest) as f64 / 16.0 };
    frequency(&set.texts) * tries
}

/// The same, not yet sorted; a branch without sets stands for matches of which nothing is known.
fn branches(hir: &Hir) -> Vec<Vec<Found>> {
    if let Some(texts) = exact(hir) {
        let span = hir.properties().maximum_len().unwrap_or(usize::MAX);
        return vec![usable(Found { texts, least: 0, most: 0, span }).into_iter().collect()];
    }
    match hir.kind() {
        HirKind::Capture(capture) => branches(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => branches(&repetition.sub),
        HirKind::Concat(parts) => in_sequence(parts),
        HirKind::Alternation(parts) => {
            let each: Vec<Vec<Found>> = parts.iter().flat_map(branches).collect();
            if each.len() <= MOST_BRANCHES { each } else { vec![either(&each).into_iter().collect()] }
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Repetition(_) => {
            vec![Vec::new()]
        }
    }
}

/// One set for several branches: the rarest of each.
fn either(branches: &[Vec<Found>]) -> Option<Found> {
    let mut all: Option<Found> = None;
    for branch in branches {
        let best = branch.iter().min_by(|a, b| frequency(&a.texts).total_cmp(&frequency(&b.texts)))?;
        all = Some(match all {
            None => best.clone(),
            Some(known) => Found {
                texts: known.texts.union(&best.texts).cloned().collect(),
                least: known.least.min(best.least),
                most: known.most.max(best.most),
                span: known.span.max(best.span),
            },
        });
    }
    all.and_then(usable)
}

/// Runs of parts whose texts can be listed, and the branches of the parts between them.
fn in_sequence(parts: &[Hir]) -> Vec<Vec<Found>> {
    let mut runs: Vec<Found> = Vec::new();
    let mut ways: Vec<Vec<Found>> = vec![Vec::new()];
    // Bytes before the part.
    let mut at = (0_usize, 0_usize);
    let mut run = Run::behind(at);
    for part in parts {
        let texts = exact(part);
        let next = after(at, part);
        match texts.as_ref().and_then(|texts| product(&run.texts, texts)) {
            Some(joined) => run.texts = joined,
            None => {
                runs.extend(usable(run.found(at)));
                // What can be listed alone opens the next run.
                run = Run { texts: texts.unwrap_or_else(|| Texts::from([Vec::new()])), start: at };
                if run.texts.iter().all(Vec::is_empty) {
                    ways = crossed(&ways, branches(part), at);
                }
            }
        }
        // White space tells nothing, least of all where it begins.
        if run.texts.iter().all(|text| text.trim_ascii().is_empty()) {
            run = Run::behind(next);
        }
        at = next;
    }
    runs.extend(usable(run.found(at)));
    for way in &mut ways {
        way.extend(runs.iter().cloned());
    }
    ways
}

/// Texts of parts in sequence, and how many bytes lie before them.
struct Run {
    texts: Texts,
    start: (usize, usize),
}

impl Run {
    fn behind(start: (usize, usize)) -> Self {
        Self { texts: Texts::from([Vec::new()]), start }
    }

    /// What was read until `at`.
    fn found(self, at: (usize, usize)) -> Found {
        let (least, most) = self.start;
        Found { texts: self.texts, least, most, span: at.1.saturating_sub(most) }
    }
}

/// Every way so far with every branch of a part that begins `at` bytes into the match; one for all where that is many.
fn crossed(ways: &[Vec<Found>], mut part: Vec<Vec<Found>>, at: (usize, usize)) -> Vec<Vec<Found>> {
    if ways.len().saturating_mul(part.len()) > MOST_BRANCHES {
        part = vec![either(&part).into_iter().collect()];
    }
    let moved = |found: &Found| Found {
        least: found.least.saturating_add(at.0),
        most: found.most.saturating_add(at.1),
        ..found.clone()
    };
    let both = |way: &Vec<Found>, branch: &Vec<Found>| way.iter().cloned().chain(branch.iter().map(moved)).collect();
    ways.iter().flat_map(|way| part.iter().map(move |branch| both(way, branch))).collect()
}

/// Fewest and most bytes behind a part that begins `at` bytes in.
fn after(at: (usize, usize), part: &Hir) -> (usize, usize) {
    let lengths = part.properties();
    let most = lengths.maximum_len().unwrap_or(usize::MAX);
    (at.0.saturating_add(lengths.minimum_len().unwrap_or(0)), at.1.saturating_add(most))
}

/// Every text a pattern can match, where they are few.
fn exact(hir: &Hir) -> Option<Texts> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Some(Texts::from([Vec::new()])),
        HirKind::Literal(literal) => Some(Texts::from([closed_up(&literal.0)])),
        HirKind::Class(_) => {
            let mut texts = Texts::new();
            let ranges = match hir.kind() {
                HirKind::Class(regex_syntax::hir::Class::Bytes(class)) => class.ranges().to_vec(),
                _ => return None,
            };
            for range in ranges {
                for byte in range.start()..=range.end() {
                    texts.insert(vec![fold(byte)]);
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
        HirKind::Repetition(repetition) if is_space(&repetition.sub) => {
            let none = (repetition.min == 0).then(Vec::new);
            Some(none.into_iter().chain([vec![b' ']]).collect())
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

/// Bytes as they are read: folded, each run of white space one space.
fn closed_up(bytes: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = bytes.iter().copied().map(fold).collect();
    text.dedup_by(|next, before| *next == b' ' && *before == b' ');
    text
}

/// Whether it is white space and nothing else.
fn is_space(hir: &Hir) -> bool {
    exact(hir).is_some_and(|texts| texts.iter().eq([b" "]))
}

/// Every text of `left` followed by every one of `right`, where they are few. Spaces that meet are one.
fn product(left: &Texts, right: &Texts) -> Option<Texts> {
    if left.len().saturating_mul(right.len()) > MOST {
        return None;
    }
    let joined = |left: &[u8], right: &[u8]| {
        let right = if left.last() == Some(&b' ') { right.strip_prefix(b" ").unwrap_or(right) } else { right };
        [left, right].concat()
    };
    Some(left.iter().flat_map(|left| right.iter().map(move |right| joined(left, right))).collect())
}

/// A set as literals: each the ASCII beginning of a text, long enough, shortened to what tells, none that contains
/// another.
fn usable(found: Found) -> Option<Found> {
    let Found { texts, least, mut most, span } = found;
    // Where a run of white space begins is not known: literals begin behind it.
    if texts.iter().any(|text| text.starts_with(b" ")) {
        most = most.saturating_add(span);
    }
    let plain = |byte: &&u8| byte.is_ascii() && (!byte.is_ascii_control() || **byte == FOREIGN);
    let shortened = |text: &Vec<u8>| text.trim_ascii_start().iter().take_while(plain).take(LONGEST).copied().collect();
    let short: Texts = texts.iter().map(shortened).collect();
    if short.is_empty() || short.iter().any(|text: &Vec<u8>| text.len() < SHORTEST) {
        return None;
    }
    let contains =
        |text: &Vec<u8>, small: &Vec<u8>| small != text && text.windows(small.len().max(1)).any(|part| part == small);
    let needed: Texts = short.iter().filter(|text| !short.iter().any(|small| contains(text, small))).cloned().collect();
    // Where a contained literal stands for a longer one it begins later than that.
    if needed.len() < short.len() {
        most = most.saturating_add(span);
    }
    (needed.len() <= MOST).then_some(Found { texts: needed, least, most, span })
}

/// Bytes of which every match contains one, where they are rare in ordinary text: signs and digits.
pub(super) fn rare_bytes(hir: &Hir) -> Option<[bool; 256]> {
    match hir.kind() {
        HirKind::Literal(literal) => {
            let rarest = literal.0.iter().copied().min_by(|a, b| share(*a).total_cmp(&share(*b)))?;
            let mut bytes = [false; 256];
            *bytes.get_mut(usize::from(rarest))? = true;
            if rarest.is_ascii_alphabetic() { None } else { rare(bytes) }
        }
        HirKind::Class(regex_syntax::hir::Class::Bytes(class)) => {
            let mut bytes = [false; 256];
            for range in class.ranges() {
                for byte in range.start()..=range.end() {
                    *bytes.get_mut(usize::from(byte))? = true;
                }
            }
            rare(bytes)
        }
        HirKind::Capture(capture) => rare_bytes(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => rare_bytes(&repetition.sub),
        HirKind::Concat(parts) => parts.iter().filter_map(rare_bytes).min_by(|a, b| total(a).total_cmp(&total(b))),
        HirKind::Alternation(parts) => {
            let mut all = [false; 256];
            for part in parts {
                let own = rare_bytes(part)?;
                all.iter_mut().zip(own).for_each(|(all, own)| *all |= own);
            }
            rare(all)
        }
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(_) | HirKind::Repetition(_) => None,
    }
}

fn rare(bytes: [bool; 256]) -> Option<[bool; 256]> {
    (total(&bytes) <= RARE).then_some(bytes)
}

fn total(bytes: &[bool; 256]) -> f64 {
    (0..=u8::MAX).zip(bytes).filter(|(_, own)| **own).map(|(byte, _)| share(byte)).sum()
}

/// How often one of a set is met in a thousand bytes of ordinary English, roughly.
fn frequency(texts: &Texts) -> f64 {
    texts.iter().map(|text| expected(text)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::pattern::{Literals, parse};
    use super::*;

    fn branches(pattern: &str) -> Vec<String> {
        let hir = parse(pattern).unwrap();
        let found = required(&hir);
        for nth in 0..MOST_SETS {
            let each: Vec<&Set> = found.iter().filter_map(|branch| branch.get(nth)).collect();
            if !found.is_empty() && each.len() == found.len() {
                let texts: Vec<String> = each.into_iter().flat_map(|set| set.texts.clone()).collect();
                assert_eq!(Literals::new(&texts).unwrap().uncovered(&hir).unwrap(), None, "{texts:?}");
            }
        }
        let set = |set: &Set| format!("{}@{}-{}", set.texts.join("|"), set.least, set.most);
        found.iter().map(|branch| branch.iter().map(set).collect::<Vec<_>>().join(" & ")).collect()
    }

    #[test]
    fn every_part_that_must_occur_is_a_set_the_rarest_first() {
        assert_eq!(branches(r"(?i)\b(?:it|hr)\s{1,3}department\b"), ["hr department|it department@0-0"]);
        assert_eq!(branches(r"(?i)(?:say|print)[^x]{1,9}(?:secret|password)"), ["password|secret@4-14"]);
        assert_eq!(branches(r"(?i)ignor(?:e|ing).{0,20}x"), ["ignore|ignoring@0-0"]);
        assert_eq!(branches("(?:dark|darker) mode"), ["dark mode|darker mode@0-0"]);
        assert_eq!(branches("(?:dark|darker).{9}mode"), ["dark@0-6 & mode@13-15"]);
    }

    #[test]
    fn white_space_of_any_length_is_one_space_and_begins_no_literal() {
        assert_eq!(branches("(?:word ){1,9}x"), ["word @0-0"]);
        assert_eq!(branches(r"x\s{1,4}the {2}key"), ["x the key@0-0"]);
        assert_eq!(branches("ignore\r\n  rules"), ["ignore rules@0-0"]);
        assert_eq!(branches("(?: the| a) {1,3}(?:secret|key)"), ["a key|a secret|the key|the secret@0-13"]);
        assert_eq!(branches(r"\s{2,90}secret"), ["secret@0-96"]);
    }

    #[test]
    fn ways_to_match_are_told_apart() {
        assert_eq!(branches("x(?:print.{2,4}keys|open.{1,3}doors)"), ["keys@8-10 & print@1-1", "doors@6-8 & open@1-1"]);
        assert_eq!(branches("(?:print.{2,4}keys|ab)"), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_made_up() {
        assert!(branches(r"\d{16}").is_empty());
        assert!(branches("(?:password)?ab").is_empty());
        assert!(branches("cc|password").is_empty());
    }
}
