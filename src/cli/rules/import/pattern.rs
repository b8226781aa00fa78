//! Patterns of other tools: what can be taken over, which literals they need, and texts that they match.

use std::collections::BTreeSet;

use regex_syntax::ast::{self, Ast, RepetitionKind, RepetitionRange};
use regex_syntax::hir::{Class, Hir, HirKind};

/// Most literals taken from a pattern.
const MOST: usize = 48;
/// Shortest literal worth having.
const SHORTEST: usize = 3;
/// Repetitions an example makes of what has no smaller bound.
const REPEATS: u32 = 2;

/// Reads a pattern as rules do: bytes, without Unicode classes.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new().unicode(false).utf8(false).nest_limit(64).build();
    parser.parse(pattern).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        other => other.to_string(),
    })
}

/// `pattern` with every repetition that has no upper bound ended at `most`; `None` if there is none.
pub(super) fn bounded(pattern: &str, most: u32) -> Result<Option<String>, String> {
    let ast = ast::parse::Parser::new().parse(pattern).map_err(|error| error.kind().to_string())?;
    let mut edits = match ast::visit(&ast, Unbounded { edits: Vec::new(), most }) {
        Ok(edits) => edits,
        Err(never) => match never {},
    };
    let mut out = pattern.to_owned();
    edits.sort_unstable_by_key(|(start, ..)| std::cmp::Reverse(*start));
    for (start, end, bound) in &edits {
        out.replace_range(*start..*end, bound);
    }
    Ok((!edits.is_empty()).then_some(out))
}

/// Collects what to write in place of `*`, `+` and `{n,}`.
struct Unbounded {
    edits: Vec<(usize, usize, String)>,
    most: u32,
}

impl ast::Visitor for Unbounded {
    type Output = Vec<(usize, usize, String)>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.edits)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        if let Ast::Repetition(own) = ast {
            let least = match own.op.kind {
                RepetitionKind::ZeroOrMore => Some(0),
                RepetitionKind::OneOrMore => Some(1),
                RepetitionKind::Range(RepetitionRange::AtLeast(least)) => Some(least),
                RepetitionKind::ZeroOrOne | RepetitionKind::Range(_) => None,
            };
            if let Some(least) = least {
                let lazy = if own.greedy { "" } else { "?" };
                let bound = format!("{{{least},{}}}{lazy}", self.most.max(least));
                self.edits.push((own.op.span.start.offset, own.op.span.end.offset, bound));
            }
        }
        Ok(())
    }
}

/// Lower-case literals of which every match contains one; empty where none can be read off.
pub(super) fn literals(hir: &Hir) -> Vec<String> {
    needed(hir).map(|set| set.into_iter().collect()).unwrap_or_default()
}

fn needed(hir: &Hir) -> Option<BTreeSet<String>> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => None,
        HirKind::Literal(_) | HirKind::Class(_) => one(letter_run(hir)?),
        HirKind::Capture(own) => needed(&own.sub),
        HirKind::Repetition(own) => (own.min > 0).then(|| needed(&own.sub)).flatten(),
        HirKind::Alternation(parts) => {
            let mut all = BTreeSet::new();
            for part in parts {
                all.extend(needed(part)?);
            }
            (all.len() <= MOST).then_some(all)
        }
        HirKind::Concat(parts) => {
            let mut sets: Vec<BTreeSet<String>> = Vec::new();
            let mut run = String::new();
            for part in parts {
                match letter_run(part) {
                    Some(text) => run.push_str(&text),
                    None => {
                        // What shows no width does not end a run of letters that matters.
                        sets.extend(one(std::mem::take(&mut run)));
                        sets.extend(needed(part));
                    }
                }
            }
            sets.extend(one(run));
            let telling = |set: &BTreeSet<String>| set.iter().map(String::len).min().unwrap_or(0);
            sets.into_iter().max_by_key(|set| (telling(set), std::cmp::Reverse(set.len())))
        }
    }
}

fn one(text: String) -> Option<BTreeSet<String>> {
    let text = text.trim().to_owned();
    (text.len() >= SHORTEST && text.is_ascii()).then(|| BTreeSet::from([text]))
}

/// The one text this matches but for case, in lower case.
fn letter_run(hir: &Hir) -> Option<String> {
    match hir.kind() {
        HirKind::Literal(own) => String::from_utf8(own.0.to_vec()).ok().map(|text| text.to_ascii_lowercase()),
        HirKind::Class(class) => {
            let mut letters: Vec<u8> = bytes(class).into_iter().map(|byte| byte.to_ascii_lowercase()).collect();
            letters.dedup();
            letters.sort_unstable();
            letters.dedup();
            match letters.as_slice() {
                [only] if only.is_ascii() => Some(char::from(*only).to_string()),
                _ => None,
            }
        }
        HirKind::Capture(own) => letter_run(&own.sub),
        HirKind::Concat(parts) => parts.iter().map(letter_run).collect(),
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) | HirKind::Alternation(_) => None,
    }
}

/// The ASCII bytes of a class.
fn bytes(class: &Class) -> Vec<u8> {
    match class {
        Class::Bytes(class) => {
            class.iter().flat_map(|range| range.start()..=range.end()).filter(u8::is_ascii).collect()
        }
        Class::Unicode(class) => class
            .iter()
            .flat_map(|range| range.start()..=range.end().min('\u{7f}'))
            .filter_map(|letter| u8::try_from(letter).ok())
            .collect(),
    }
}

/// A text that the pattern probably matches; another for each `seed`. Whether it does is for the caller to try.
pub(super) fn sample(hir: &Hir, seed: u64) -> String {
    let mut bytes = Vec::new();
    fill(hir, &mut Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Xorshift: examples are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, many: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0).checked_rem(many).unwrap_or(0)
    }
}

fn fill(hir: &Hir, random: &mut Random, out: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(own) => out.extend_from_slice(&own.0),
        HirKind::Class(class) => {
            let all = bytes(class);
            let plain: Vec<u8> = all.iter().copied().filter(u8::is_ascii_alphanumeric).collect();
            let usual: Vec<u8> = all.iter().copied().filter(|byte| matches!(byte, b' '..=b'~')).collect();
            let from = [plain, usual, all].into_iter().find(|some| !some.is_empty()).unwrap_or_default();
            out.extend(from.get(random.below(from.len())));
        }
        HirKind::Capture(own) => fill(&own.sub, random, out),
        HirKind::Repetition(own) => {
            let most = own.max.unwrap_or(u32::MAX).min(own.min.saturating_add(REPEATS));
            let times = if own.min == 0 && most > 0 { random.below(2) } else { own.min as usize };
            (0..times).for_each(|_| fill(&own.sub, random, out));
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| fill(part, random, out)),
        HirKind::Alternation(parts) => {
            // The first branch most often: the last ones tend to be the end of the text.
            let at = if random.below(3) > 0 { 0 } else { random.below(parts.len()) };
            if let Some(part) = parts.get(at) {
                fill(part, random, out);
            }
        }
    }
}
