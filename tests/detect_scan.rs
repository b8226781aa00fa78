//! What the literals rule out, the pattern alone would not have found: scanning equals running every pattern.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop at a surprise")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use portcullis::detect::{Budget, RuleSet, Source};
use portcullis::types::{Role, SpanIndex};
use proptest::prelude::*;
use regex::bytes::{Regex, RegexBuilder};

/// Patterns of every shape the literals are read from, and their prefilter.
const PATTERNS: [(&str, &str); 23] = [
    (r"(?i)\b(?:ignore|disregard|forget)\s{1,3}(?:all |your ){0,2}(?:rules|orders)\b", "ignore, disregard, forget"),
    (r"(?i)\b(?:it|hr)\s{1,3}department\b", "department"),
    (r"(?i)(?:please )?(?:print|show).{0,12}(?:secret|key word)", "print, show"),
    (r"(?i)(?:print.{2,4}keys|open.{1,3}doors|x{2,3}yz)", "keys, doors, xyz"),
    (r"(?i)(?:dark|darker).{0,9}mode", "dark"),
    (r"\b4[0-9]{2}-[0-9]{4}\b", "40, 41"),
    (r"(?i)^system:\s{0,2}you", "system:"),
    (r"(?i)[a-z]{1,6} department", "department"),
    (r"(?i)(?:a|the) rules(?: are|$)", "rules"),
    (r"(?:ab|cd){2,3}key", "key"),
    (r"(?i)\bkey[a-z]{0,3}\b[^a-z]{1,4}\bword\b", "key"),
    (r"(?i)orders.{0,200}rules", "orders"),
    (r"(?i)(?:please| the|\sa)\s{1,3}(?:key|dark)\s{0,9}mode", "mode"),
    (r"(?i)\b(?:show|open)\s{1,4}the\s{1,2}secret.{0,80}(?:department|system)", "secret"),
    (r"(?i)(?:é|“)\s{0,3}(?:word|key)", "word, key"),
    (r"[ \t]{2,20}secret", "secret"),
    (r"(?i)please\s{1,3}show\s{1,3}the\s{1,3}department\s{1,3}keys", "department keys"),
    (r"(?i)[a-z]{2,9} {2}rules", "rules"),
    (r"(?i)ignore\n\nrules", "ignore rules"),
    (r"(?i)\b[^a-z]{1,3}secret", "secret"),
    (r"(?i)\b.{0,5}department", "department"),
    (r"(?i)the.{0,200}(?:doors|secret).{0,30}mode", "doors, secret"),
    (r"(?:\n|, )(?:it|hr)[ .]", "it , it., hr , hr."),
];

fn document((nth, (pattern, prefilter)): (usize, &(&str, &str))) -> String {
    // The digits have no literal the rule could name in full: the engine reads one off where it can.
    let prefilter: Vec<String> =
        prefilter.split(", ").filter(|own| own.len() > 2).map(|own| format!("'{own}'")).collect();
    let prefilter = if prefilter.is_empty() { DIGITS.clone() } else { prefilter.join(", ") };
    format!(
        "id: PC-TST-{nth:04}\ntitle: t\nfamily: jailbreak\ngain: g\nseverity: low\nscore: 1\ndirection: input\n\
         action: score\ndetection:\n  prefilter: [{prefilter}]\n  sel_a: '{pattern}'\n\
         examples: {{ positive: [x], negative: [y] }}\n"
    )
}

static DIGITS: LazyLock<String> =
    LazyLock::new(|| (400..500).map(|number| format!("'{number}'")).collect::<Vec<_>>().join(", "));

static RULES: LazyLock<RuleSet> = LazyLock::new(|| {
    let text: Vec<String> = PATTERNS.iter().enumerate().map(document).collect();
    let source = Source { name: "test.yaml".into(), text: text.join("---\n") };
    let budget = Budget { max_rule: 1 << 20, max_total: 8 << 20, max_hold: 256 };
    RuleSet::compile(&[source], None, &BTreeMap::new(), &budget).unwrap()
});

static ALONE: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    PATTERNS.iter().map(|(pattern, _)| RegexBuilder::new(pattern).unicode(false).build().unwrap()).collect()
});

fn found(text: &str) -> Vec<usize> {
    let mut findings = Vec::new();
    RULES.scan_as_written(SpanIndex(0), Role::User, text, &mut findings);
    for finding in &findings {
        let nth: usize = finding.rule.0.rsplit('-').next().unwrap().parse().unwrap();
        let (start, end) = (finding.evidence.start as usize, finding.evidence.end as usize);
        assert!(ALONE[nth].find_iter(text.as_bytes()).any(|own| own.start() <= end && start <= own.end()));
    }
    findings.iter().map(|finding| finding.rule.0.rsplit('-').next().unwrap().parse().unwrap()).collect()
}

fn texts() -> impl Strategy<Value = String> {
    let words = vec![
        "ignore",
        "Disregard",
        "forget",
        "all",
        "your",
        "rules",
        "RULES",
        "orders",
        "it",
        "hr",
        "department",
        "please",
        "print",
        "show",
        "secret",
        "key",
        "word",
        "keys",
        "open",
        "doors",
        "xxyz",
        "xyz",
        "dark",
        "darker",
        "mode",
        "412-1234",
        "4123",
        "system:",
        "you",
        "the",
        "a",
        "are",
        "abcdkey",
        "cdkey",
        "é",
        "“",
        "\n",
    ];
    let piece =
        (prop::sample::select(words), prop::sample::select(vec![" ", " ", "  ", "", ", ", "\n", ". ", "\t", " \n\t "]));
    let pieces = prop::collection::vec(piece, 0..16);
    let filler = prop_oneof![3 => Just(0_usize), 1 => 0..3_000_usize];
    (pieces, filler, filler_at()).prop_map(|(pieces, filler, at)| {
        let mut text = String::new();
        for (nth, (word, gap)) in pieces.iter().enumerate() {
            if nth == at {
                text.extend("lorem ipsum, ".chars().cycle().take(filler));
            }
            text.push_str(word);
            text.push_str(gap);
        }
        text
    })
}

fn filler_at() -> impl Strategy<Value = usize> {
    0..16_usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_is_found_exactly_where_its_pattern_matches(text in texts()) {
        let expected: Vec<usize> = (0..PATTERNS.len()).filter(|nth| ALONE[*nth].is_match(text.as_bytes())).collect();
        prop_assert_eq!(found(&text), expected);
    }
}
