//! Leaks and mentions, whole and in pieces.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::Known;
use crate::detect::whole::inspect_output_knowing as inspect;
use crate::detect::window::Flow;
use crate::detect::{Budget, Released, RuleSet, Source};
use crate::types::SpanIndex;

const PROMPT: &str = "You are Maelis, the ferry woman of Emberfall, who has seen three wars. Speak in short sentences. \
    Never mention real brands or the developers. When a player asks for a refund, point them to the support page. \
    Greet with \"Mind the gap, traveller, and keep your coins ready for the crossing!\" \
    The discount code for partners is FERRY-7731. Do not tell anyone where the hidden shrine is. \
    The ferry crosses at dawn and at dusk, and costs two silver coins for each passenger.";

fn rules(action: &str) -> RuleSet {
    let rule = |id: &str, action: &str, detection: &str| {
        format!(
            "id: {id}\ntitle: t\nfamily: leakage\ngain: g\nseverity: high\nscore: 5\ndirection: output\naction: {action}\n\
             detection:\n  {detection}\nmark: '<>'\nexamples: {{ positive: [x], negative: [y] }}\n"
        )
    };
    let text = [
        rule("PC-TST-0001", action, "detector: system_prompt"),
        rule("PC-TST-0002", "redact", "sel_a: 'tok_[a-z]{3,6}'"),
        rule("PC-TST-0003", "flag", "sel_a: 'short|\\bthree [a-z]{2,9} '"),
        rule("PC-TST-0004", "block", "sel_a: 'stop_[0-9]{4}'"),
    ];
    let source = Source { name: "test.yaml".into(), text: text.join("---\n") };
    let budget = Budget { max_rule: 1 << 20, max_total: 8 << 20, max_hold: 256 };
    RuleSet::compile(&[source], None, &BTreeMap::new(), &budget).unwrap()
}

fn known() -> Arc<Known> {
    Arc::new(Known::of([PROMPT]).unwrap())
}

fn leaks(answer: &str) -> bool {
    let out = inspect(&rules("flag"), Some(&known()), SpanIndex(0), answer, false);
    out.findings.iter().any(|finding| &*finding.rule.0 == "PC-TST-0001")
}

/// What leaves of `text` fed in pieces, and the most that was held.
fn pieces(rules: &RuleSet, known: &Arc<Known>, text: &str, cuts: &[usize]) -> (Released, usize) {
    let mut flow = Flow::new(SpanIndex(0), true).knowing(rules, Some(known));
    let (mut out, mut all, mut from, mut held) = (Released::default(), Released::default(), 0, 0);
    for cut in cuts.iter().copied().chain([text.len()]) {
        let piece = text.get(from..cut).unwrap();
        flow.feed(rules, piece, &mut out);
        all.text.push_str(if out.unchanged { piece } else { &out.text });
        all.findings.append(&mut out.findings);
        all.blocked |= out.blocked;
        held = held.max(flow.held());
        from = cut;
    }
    flow.finish(rules, &mut out);
    all.text.push_str(&out.text);
    all.findings.append(&mut out.findings);
    all.blocked |= out.blocked;
    (all, held)
}

fn letters(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).skip(1).collect()
}

#[test]
fn a_prompt_is_recognised_however_it_is_written() {
    let base64 = "WW91IGFyZSBNYWVsaXMsIHRoZSBmZXJyeSB3b21hbiBvZiBFbWJlcmZhbGwsIHdobyBoYXMgc2VlbiB0aHJlZSB3YXJzLiBTcGVhayBp\
        biBzaG9ydCBzZW50ZW5jZXMuIE5ldmVyIG1lbnRpb24gcmVhbCBicmFuZHMgb3IgdGhlIGRldmVsb3BlcnMu";
    let sentences: Vec<&str> = PROMPT.split(". ").collect();
    let turned: String = PROMPT.chars().rev().collect();
    for answer in [
        PROMPT.to_owned(),
        PROMPT.to_uppercase(),
        PROMPT.replace(['.', ',', '"', '-'], " "),
        format!("Here they are:\n- **{}**", sentences.join("**\n- **")),
        format!("{{\"role\": \"x\", \"rules\": [\"{}\"]}}", sentences.join("\", \"")),
        sentences.iter().enumerate().map(|(at, text)| format!("{:03} | {text}\n", at + 1)).collect(),
        sentences.join("\\n"),
        PROMPT.replace("You are", "I am").replace("Never", "I do not").replace("point them to", "send them to"),
        sentences.iter().rev().copied().collect::<Vec<_>>().join(". "),
        sentences.iter().take(3).copied().collect::<Vec<_>>().join(". "),
        PROMPT.replace('e', "e\u{200b}"),
        turned,
        format!("As you wish: {base64}"),
    ] {
        assert!(leaks(&answer), "{answer}");
    }
}

#[test]
fn what_answers_are_made_of_is_no_leak() {
    for answer in [
        "Mind the gap, traveller, and keep your coins ready for the crossing! Where to?",
        "The ferry crosses at dawn and at dusk, and costs two silver coins for each passenger.",
        "I am Maelis, the ferry woman of Emberfall, who has seen three wars. What do you want?",
        "Mind the gap, traveller, and keep your coins ready for the crossing! The ferry crosses at dawn and at dusk, and \
         costs two silver coins for each passenger.",
        "I never mention real brands. Ask about the river.",
        "When a player asks for a refund, point them to the support page: that is what the manual says.",
        "Short sentences? I speak as I please. Three wars, traveller. Three.",
        "",
    ] {
        assert!(!leaks(answer), "{answer}");
    }
}

#[test]
fn prompts_that_say_little_are_not_known() {
    for prompt in ["", "You are a helpful assistant.", "Be kind. Be kind. Be kind. Be kind. Be kind. Be kind. Be kind."]
    {
        assert!(Known::of([prompt]).is_none(), "{prompt}");
    }
    let long = PROMPT.repeat(400);
    assert!(Known::of([long.as_str()]).unwrap().memory() < 2 << 20);
}

#[test]
fn scripts_without_spaces_are_compared_too() {
    let prompt = "你是云杉旅行社的客服助手。请始终用礼貌的语气回答。不要透露内部价格和合作酒店名单。如果用户要求退款，请让他们填写退款表格。";
    let known = Arc::new(Known::of([prompt]).unwrap());
    let hit = |text: &str| !inspect(&rules("flag"), Some(&known), SpanIndex(0), text, false).findings.is_empty();
    assert!(hit(&format!("好的：{prompt}")));
    assert!(!hit("您好，我是云杉旅行社的客服助手。请问有什么可以帮您？"));
}

#[test]
fn an_ordinary_answer_never_waits() {
    let (rules, known) = (rules("block"), known());
    for answer in [
        "Good day. Mind the gap, traveller! The ferry crosses at dawn, two silver coins. Real brands? I know none.",
        "The shrine is no concern of mine. Ask at the support page, or ask the developers of bridges, ha.",
    ] {
        let (out, held) = pieces(&rules, &known, answer, &letters(answer));
        assert_eq!((out.text.as_str(), out.blocked), (answer, false));
        // `t` may be the beginning of a token.
        assert!(held <= 4, "{held}");
    }
}

#[test]
fn what_is_held_is_let_go_when_it_comes_to_nothing() {
    let (rules, known) = (rules("block"), known());
    let answer =
        "I never mention real brands or the developers and then there was a long evening by the old river bank.";
    let (out, held) = pieces(&rules, &known, answer, &letters(answer));
    assert_eq!((out.text.as_str(), out.blocked), (answer, false));
    assert!(held > 0 && held < 80, "{held}");
    let silent = format!("{} {}", answer.get(..46).unwrap(), " 1".repeat(4000));
    let (out, held) = pieces(&rules, &known, &silent, &letters(&silent));
    assert_eq!((out.text, out.blocked), (silent, false));
    assert!(held < 400, "{held}");
}

#[test]
fn without_a_rule_or_a_prompt_nothing_is_compared() {
    assert!(
        inspect(&rules("block"), None, SpanIndex(0), PROMPT, true)
            .findings
            .iter()
            .all(|own| &*own.rule.0 != "PC-TST-0001")
    );
}

proptest! {
    #[test]
    fn pieces_are_treated_as_the_whole(
        parts in prop::collection::vec(prop::sample::select(vec![
            "You are Maelis, the ferry woman of Emberfall, who has seen three wars. ", "Speak in short sentences. ",
            "Never mention real brands or the developers. ", "When a player asks for a refund, point them to ",
            "the support page. ", "The discount code for partners is FERRY-7731. ", "tok_abcd ", "short ", "é中😀 ",
            "Do not tell anyone where the hidden shrine is. ", "A quiet evening by the old river bank, with bread and cheese. ",
            "stop_12", "34 ", "1. ", "WW91IGFyZSBNYWVsaXMsIHRoZSBmZXJyeSB3b21hbiBvZiBFbWJlcmZhbGwsIHdobyBoYXMg",
        ]), 0..12),
        cuts in prop::collection::btree_set(0..600_usize, 0..8),
        action in prop::sample::select(vec!["block", "redact", "flag"]),
    ) {
        let (text, rules, known) = (parts.concat(), rules(action), known());
        let whole = inspect(&rules, Some(&known), SpanIndex(0), &text, true);
        let left = if whole.unchanged { &text } else { &whole.text };
        let cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut) && *cut <= text.len()).collect();
        for cuts in [&cuts, &letters(&text)] {
            let (out, _) = pieces(&rules, &known, &text, cuts);
            prop_assert_eq!(&out.text, left);
            prop_assert_eq!(out.blocked, whole.blocked);
            prop_assert_eq!(&out.findings, &whole.findings);
        }
        for finding in whole.findings.iter().filter(|own| &*own.rule.0 == "PC-TST-0001" && action != "flag") {
            let (start, end) = (finding.evidence.start as usize, finding.evidence.end as usize);
            let told = text.get(start..end).unwrap();
            prop_assert!(start < end && (!left.contains(told) || text.matches(told).count() > 1), "{}", told);
        }
    }
}
