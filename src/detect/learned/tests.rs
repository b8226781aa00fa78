//! Learned rules in a rule set: what they find, where, and what they cost in texts that have nothing to do with them.

use std::collections::BTreeMap;

use crate::detect::{Budget, RuleSet, Source};
use crate::types::{Role, SpanIndex};

fn rule(id: &str, more: &str) -> String {
    format!(
        "id: {id}\ntitle: t\nfamily: secret_extraction\ngain: g\nseverity: high\nscore: 8\ndirection: input\n\
         action: block\ndetection:\n  detector: learned\n{more}examples: {{ positive: [x], negative: [y] }}\n"
    )
}

const VAULT: &str = "  weights: ['whisper 2', 'vault 2', 'lighthouse 2', 'whisper~vault 1.5', 'vault~lighthouse 1.5']\n  \
                     threshold: '6'\n  telling: '3'\n  window: '20'\n";

fn compiled(text: String) -> Result<RuleSet, Vec<String>> {
    let source = Source { name: "learned.yaml".into(), text };
    let budget = Budget { max_rule: 1 << 20, max_total: 32 << 20, max_hold: 256 };
    let compiled = RuleSet::compile(&[source], None, &BTreeMap::new(), &budget);
    compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

fn found(rules: &RuleSet, text: &str) -> Vec<(String, String)> {
    let mut findings = Vec::new();
    rules.scan(SpanIndex(0), Role::User, text, &mut findings);
    let shown = |start: u32, end: u32| text.get(start as usize..end as usize).unwrap().to_owned();
    findings.iter().map(|own| (own.rule.0.to_string(), shown(own.evidence.start, own.evidence.end))).collect()
}

#[test]
fn telling_words_near_each_other_are_found_where_they_stand() {
    let rules = compiled(rule("LRN-00AF12-1", VAULT)).unwrap();
    let text = "Well: Whispering of vaults, at the old LIGHTHOUSES tonight.";
    let hits = found(&rules, text);
    assert_eq!(hits, [("LRN-00AF12-1".to_owned(), "Whispering of vaults, at the old LIGHTHOUSES".to_owned())]);
    assert!(found(&rules, "A whisper near the vault.").is_empty());
    // Enough weight, but too few different words.
    assert!(found(&rules, "whisper vault whisper vault whisper vault whisper vault").is_empty());
}

#[test]
fn words_far_apart_make_no_match_and_a_long_text_hides_none() {
    let rules = compiled(rule("LRN-00AF12-1", VAULT)).unwrap();
    let filler = "and then the committee talked about budgets for a while ".repeat(200);
    assert!(found(&rules, &format!("whisper {filler} vault {filler} lighthouse")).is_empty());
    let planted = format!("{filler} whisper the vault of this lighthouse {filler}");
    assert_eq!(found(&rules, &planted)[0].1, "whisper the vault of this lighthouse");
}

#[test]
fn a_disguise_is_read_through() {
    let rules = compiled(rule("LRN-00AF12-1", VAULT)).unwrap();
    let encoded = crate::types::base64::base64(b"please whisper the vault of the lighthouse to me");
    for text in ["w\u{200b}hisper the vau\u{ad}lt of the lighthouse", "whіsper the vаult of the lighthоuse", &encoded]
    {
        assert_eq!(found(&rules, text).len(), 1, "{text}");
    }
}

#[test]
fn many_rules_share_one_look_at_a_text() {
    let words: Vec<String> = (0..600).map(|nth| format!("w{nth}q")).collect();
    let one = |nth: usize| {
        let [a, b, c] = [0, 1, 2].map(|step| &words[(nth + step) % words.len()]);
        let terms =
            format!("  weights: [{a} 1, {b} 1, {c} 1, {a}~{b} 1]\n  threshold: '3.5'\n  telling: '3'\n  window: '9'\n");
        rule(&format!("LRN-{nth:06X}-1"), &terms)
    };
    let rules = compiled((0..500).map(one).collect::<Vec<_>>().join("---\n")).unwrap();
    assert_eq!(rules.stats().input_rules, 500);
    let hits = found(&rules, "first w7q then w8q and w9q at last");
    assert_eq!(hits.iter().map(|hit| hit.0.as_str()).collect::<Vec<_>>(), ["LRN-000007-1"]);
}

#[test]
fn what_is_wrong_with_weights_is_told_where_it_stands() {
    for (more, said) in [
        ("  weights: [a 1]\n", "2 to 64 terms"),
        ("  weights: [aaa 1, bbb]\n", "has no weight"),
        ("  weights: [aaa 1, bbb -1]\n", "above 0"),
        ("  weights: [aaa 1, bbb NaN]\n", "above 0"),
        (
            "  weights: [walks 1, walking 1]\n  threshold: '1'\n  telling: '2'\n  window: '9'\n",
            "two terms are the same",
        ),
        ("  weights: [aaa 1, bbb 1]\n  threshold: '3'\n  telling: '2'\n  window: '9'\n", "the sum of all weights"),
        ("  weights: [aaa 1, bbb 1]\n  threshold: '2'\n  telling: '9'\n  window: '9'\n", "detection.telling"),
        ("  weights: [aaa 1, bbb 1]\n  threshold: '2'\n  telling: '2'\n", "detection.window"),
        ("  weights: [a!b 1, bbb 1]\n", "not one word"),
    ] {
        let told = compiled(rule("LRN-00AF12-1", more)).unwrap_err();
        assert!(told.iter().any(|told| told.contains(said)), "{more}: {told:?}");
    }
    let other = rule("LRN-00AF12-1", VAULT).replace("detector: learned", "detector: hidden");
    assert!(compiled(other).unwrap_err()[0].contains("`learned` only"));
    assert!(compiled(rule("LRN-XYZ123-1", VAULT)).unwrap_err()[0].contains("LRN-7F3A9C-1"));
}
