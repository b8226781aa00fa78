//! What leaves a window does not depend on how the text was cut, and nothing waits that need not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice, reason = "tests may stop at a surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use portcullis::detect::{Budget, Released, RuleSet, Source, Window, inspect_output};
use portcullis::types::{Finding, SpanIndex};
use proptest::prelude::*;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// id, pattern, action, validate. The first letter of a rule that blocks is in no other pattern.
const RULES: [(&str, &str, &str, &str); 9] = [
    ("PC-TST-0001", r"\bAKIA[0-9A-Z]{4}\b", "redact", ""),
    ("PC-TST-0002", r"sk-[a-z0-9]{4,}", "redact", ""),
    ("PC-TST-0003", r"\b[0-9]{4}[ -]?[0-9]{4}\b", "redact", "luhn"),
    ("PC-TST-0004", r"\b[a-z]{1,8}@[a-z]{1,8}\.(?:com|org)\b", "redact", ""),
    ("PC-TST-0005", r"ab{2,3}a", "redact", ""),
    ("PC-TST-0006", r"key: ?[^ ]{1,6};", "redact", ""),
    ("PC-TST-0007", r"\bpin [0-9]{2,5}", "flag", ""),
    ("PC-TST-0008", r"tok_[a-z]{3,6}", "redact", "not_placeholder"),
    ("PC-TST-0009", r"Zeta!{2,4}", "block", ""),
];

fn document((id, pattern, action, validate): &(&str, &str, &str, &str)) -> String {
    let validate = if validate.is_empty() { String::new() } else { format!("validate: {validate}\n") };
    format!(
        "id: {id}\ntitle: t\nfamily: secrets\ngain: g\nseverity: high\nscore: 5\ndirection: output\naction: {action}\n\
         detection:\n  sel_a: '{pattern}'\n{validate}mark: '<{id}>'\nexamples: {{ positive: [x], negative: [y] }}\n"
    )
}

fn rules(blocking: bool) -> Arc<RuleSet> {
    let text: Vec<String> = RULES.iter().filter(|rule| blocking || rule.2 != "block").map(document).collect();
    let source = Source { name: "test.yaml".into(), text: text.join("---\n") };
    let budget = Budget { max_rule: 1 << 20, max_total: 8 << 20, max_hold: 256 };
    Arc::new(RuleSet::compile(&[source], None, &BTreeMap::new(), &budget).unwrap())
}

static REDACTING: LazyLock<Arc<RuleSet>> = LazyLock::new(|| rules(false));
static BLOCKING: LazyLock<Arc<RuleSet>> = LazyLock::new(|| rules(true));

/// One pattern's own automaton, made by the library alone.
struct Naive {
    dfa: dense::DFA<Vec<u32>>,
    action: &'static str,
    validate: &'static str,
    id: &'static str,
}

static NAIVE: LazyLock<Vec<Naive>> = LazyLock::new(|| {
    let config = dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Anchored);
    let build = |(id, pattern, action, validate): &(&'static str, &str, &'static str, &'static str)| {
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let thompson = regex_automata::nfa::thompson::Config::new().utf8(false);
        let mut builder = dense::Builder::new();
        let dfa = builder.configure(config.clone()).syntax(syntax).thompson(thompson).build(pattern).unwrap();
        Naive { dfa, action, validate, id }
    };
    RULES.iter().map(build).collect()
});

impl Naive {
    /// Every end of a match from `start`.
    fn ends(&self, text: &str, start: usize) -> Vec<usize> {
        let input = Input::new(text).span(start..text.len()).anchored(Anchored::Yes);
        let mut state = self.dfa.start_state_forward(&input).unwrap();
        let mut ends = Vec::new();
        for (at, byte) in text.bytes().enumerate().skip(start) {
            state = self.dfa.next_state(state, byte);
            if self.dfa.is_match_state(state) {
                ends.push(at);
            }
            if self.dfa.is_dead_state(state) {
                return ends;
            }
        }
        if self.dfa.is_match_state(self.dfa.next_eoi_state(state)) {
            ends.push(text.len());
        }
        ends
    }

    /// Whether a match from `start` may still come, or grow, once `text` was read.
    fn is_live(&self, text: &str, start: usize) -> bool {
        let input = Input::new(text).span(start..text.len()).anchored(Anchored::Yes);
        let mut state = self.dfa.start_state_forward(&input).unwrap();
        for byte in text.as_bytes().iter().skip(start) {
            state = self.dfa.next_state(state, *byte);
        }
        let mut seen = BTreeSet::from([state]);
        let mut stack = vec![state];
        while let Some(state) = stack.pop() {
            let mut next: Vec<_> = (0..=u8::MAX).map(|byte| self.dfa.next_state(state, byte)).collect();
            next.push(self.dfa.next_eoi_state(state));
            if next.iter().any(|next| self.dfa.is_match_state(*next)) {
                return true;
            }
            stack.extend(next.into_iter().filter(|next| seen.insert(*next)));
        }
        false
    }

    /// The ranges that count as matches.
    fn matches(&self, text: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for start in 0..text.len() {
            let mut ends = self.ends(text, start);
            ends.reverse();
            let best = match self.validate {
                "luhn" => ends.into_iter().find(|end| luhn(&text[start..*end])),
                "not_placeholder" => ends.into_iter().take(1).find(|end| !text[start..*end].contains("fake")),
                _ => ends.into_iter().next(),
            };
            found.extend(best.map(|end| (start, end)));
        }
        found
    }
}

fn luhn(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().rev().filter_map(|letter| letter.to_digit(10)).collect();
    let double = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = digits.iter().enumerate().map(|(at, digit)| if at % 2 == 1 { double(*digit) } else { *digit }).sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != digits[0])
}

fn union(mut ranges: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    ranges.sort_unstable();
    let mut joined: Vec<(usize, usize)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if start < last.1 => last.1 = last.1.max(end),
            _ => joined.push((start, end)),
        }
    }
    joined
}

/// Text without what is replaced, marks taken out as well.
fn naive_rest(text: &str) -> String {
    let redacting = NAIVE.iter().filter(|rule| rule.action == "redact");
    let cuts = union(redacting.flat_map(|rule| rule.matches(text)).collect());
    let mut rest = String::new();
    let mut at = 0;
    for (start, end) in cuts {
        rest.push_str(&text[at..start]);
        rest.push('<');
        at = end;
    }
    rest.push_str(&text[at..]);
    rest
}

fn without_marks(text: &str) -> String {
    RULES.iter().fold(text.to_owned(), |text, rule| text.replace(&format!("<{}>", rule.0), "<"))
}

struct Run {
    text: String,
    blocked: bool,
    findings: Vec<Finding>,
}

/// Feeds the parts of `text` between `cuts`, watching each step.
fn run(rules: &Arc<RuleSet>, text: &str, cuts: &BTreeSet<usize>, mut each: impl FnMut(&Window, usize)) -> Run {
    let mut window = Window::new(Arc::clone(rules), SpanIndex(0), true);
    let mut out = Released::default();
    let mut all = Run { text: String::new(), blocked: false, findings: Vec::new() };
    let mut at = 0;
    for cut in cuts.iter().copied().filter(|cut| text.is_char_boundary(*cut)).chain([text.len()]) {
        let part = &text[at..cut.max(at)];
        at = cut.max(at);
        window.feed(part, &mut out);
        all.text.push_str(if out.unchanged { part } else { &out.text });
        all.findings.append(&mut out.findings);
        each(&window, at);
    }
    window.finish(&mut out);
    all.text.push_str(&out.text);
    all.findings.append(&mut out.findings);
    all.blocked = out.blocked;
    assert_eq!(window.held(), 0);
    all
}

fn whole(rules: &Arc<RuleSet>, text: &str) -> Run {
    let out = inspect_output(rules, SpanIndex(0), text, true);
    let text = if out.unchanged { text.to_owned() } else { out.text };
    Run { text, blocked: out.blocked, findings: out.findings }
}

/// Texts made of matches, near misses, their parts and ordinary words.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "AKIA12XY", "AKIA12X", "AKIA", "sk-abcd", "sk-abc", "sk-", "1234 5674", "1234-5678", "4111 1111", "12345674",
            "bob@site.com", "bob@site", "@a.org", "abba", "abbba", "abb", "abbbba", "key: x;", "key:", "key: élan;",
            "pin 42", "pin 123456", "tok_abcdef", "tok_fake", "tok_fakeab", "tok_", "Zeta!!", "Zeta!", "Zeta", "é", "ß",
            "日本", "\u{1F512}",
        ]).prop_map(str::to_owned),
        3 => "[a-z0-9@!;:_ -]{0,6}",
        1 => prop::sample::select(vec![" ", "\n", ". ", "", "_", "-"]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_split_gives_the_same_text_decision_and_findings(text in texts()) {
        for rules in [&*REDACTING, &*BLOCKING] {
            let expected = whole(rules, &text);
            let every: BTreeSet<usize> = (0..text.len()).collect();
            for cuts in (0..=text.len()).map(|cut| BTreeSet::from([cut])).chain([every]) {
                let got = run(rules, &text, &cuts, |_, _| {});
                prop_assert_eq!(&got.text, &expected.text);
                prop_assert_eq!(got.blocked, expected.blocked);
                prop_assert_eq!(&got.findings, &expected.findings);
            }
        }
    }

    #[test]
    fn random_splits_give_the_same_text(text in texts(), cuts in prop::collection::btree_set(0..120_usize, 0..12)) {
        let expected = whole(&BLOCKING, &text);
        let got = run(&BLOCKING, &text, &cuts, |_, _| {});
        prop_assert_eq!(&got.text, &expected.text);
        prop_assert_eq!(&got.findings, &expected.findings);
    }

    #[test]
    fn exactly_the_matches_are_replaced(text in texts()) {
        let got = whole(&REDACTING, &text);
        prop_assert_eq!(without_marks(&got.text), naive_rest(&text));
    }

    #[test]
    fn findings_are_the_matches_of_each_rule_joined(text in texts()) {
        let got = inspect_output(&BLOCKING, SpanIndex(0), &text, false);
        prop_assert!(got.unchanged && !got.blocked);
        for rule in NAIVE.iter() {
            let own = got.findings.iter().filter(|finding| &*finding.rule.0 == rule.id);
            let own: Vec<(usize, usize)> =
                own.map(|finding| (finding.evidence.start as usize, finding.evidence.end as usize)).collect();
            prop_assert_eq!(own, union(rule.matches(&text)), "{}", rule.id);
        }
    }

    #[test]
    fn nothing_of_a_match_leaves_before_a_block(text in texts()) {
        let got = run(&BLOCKING, &text, &(0..text.len()).collect(), |_, _| {});
        let blocks = NAIVE.iter().find(|rule| rule.action == "block").unwrap().matches(&text);
        prop_assert_eq!(got.blocked, !blocks.is_empty());
        prop_assert!(!got.text.contains("Zeta!!"));
    }

    #[test]
    fn no_byte_is_held_that_no_live_match_needs(text in texts()) {
        let every: BTreeSet<usize> = (0..text.len()).collect();
        let mut wrong = None;
        run(&REDACTING, &text, &every, |window, at| {
            let read = &text[..at];
            let redacting = || NAIVE.iter().filter(|rule| rule.action == "redact");
            let live = (0..at).find(|start| redacting().any(|rule| rule.is_live(read, *start)));
            let needed = live.map_or(0, |start| at - start);
            if window.held() > needed {
                wrong = Some((at, window.held(), needed));
            }
        });
        prop_assert_eq!(wrong, None);
    }
}

#[test]
fn text_without_any_match_arrives_unchanged_and_unwaited() {
    let text = "Nothing to see here, although abb and sk- and AKIA stand here. Über allem: 日本.";
    let mut window = Window::new(Arc::clone(&REDACTING), SpanIndex(0), true);
    let mut out = Released::default();
    window.feed(text, &mut out);
    assert!(out.unchanged && out.text.is_empty() && window.held() == 0);
}

#[test]
fn an_endless_match_is_not_kept_in_memory() {
    let mut window = Window::new(Arc::clone(&REDACTING), SpanIndex(0), true);
    let mut out = Released::default();
    window.feed("say sk-abcd", &mut out);
    assert_eq!(out.text, "say ");
    for _ in 0..10_000 {
        window.feed("abcdefghij", &mut out);
        assert!(out.text.is_empty() && window.held() <= 16);
    }
    window.feed(" Done.", &mut out);
    assert_eq!(out.text, "<PC-TST-0002> Done.");
    assert_eq!(out.findings.len(), 1);
    assert_eq!(out.findings[0].evidence.end, 100_011);
}
