//! The targets: what must hold whatever the bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::shipped;
use portcullis::detect::classify::Classifier;
use portcullis::detect::{
    self, Budget, Released, RuleSet, Source, Thresholds, Window, anatomies, definitions, inspect_output, normalize,
};
use portcullis::types::{Finding, Role, SpanIndex};

/// A budget that keeps hostile rules small enough to try many.
const SMALL: Budget = Budget { max_rule: 256 << 10, max_total: 4 << 20, max_hold: 1 << 10 };

static CLASSIFIER: LazyLock<Arc<Classifier>> = LazyLock::new(shipped::classifier);

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(shipped::rules);

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// Evidence stands in the text, at whole characters.
fn in_place(text: &str, findings: &[Finding]) {
    for finding in findings {
        let (start, end) = (finding.evidence.start as usize, finding.evidence.end as usize);
        assert!(text.get(start..end).is_some(), "{}: {start}..{end} of {}", finding.rule, text.len());
        assert!(finding.score.is_finite() && finding.score >= 0.0, "{}: {} points", finding.rule, finding.score);
    }
}

/// Other readings of a text: every place in one leads back into the original.
pub(crate) fn normalize(bytes: &[u8]) {
    let text = text(bytes);
    let (folded, views) = normalize::readings(&text, &normalize::Budget::default());
    if let Some(hidden) = &views.hidden {
        assert!(text.get(hidden.clone()).is_some(), "hidden text at {hidden:?}");
    }
    for view in folded.iter().chain(&views.views) {
        let places = (0..=view.text.len()).filter(|at| view.text.is_char_boundary(*at)).step_by(7);
        for (start, end) in places.clone().zip(places.skip(1)) {
            let (from, to) = view.original(start, end);
            assert!(text.get(from..to).is_some(), "{start}..{end} of a reading is {from}..{to} of {}", text.len());
        }
    }
}

/// A prompt against all rules: the same twice, with evidence in place and a risk between 0 and 1.
pub(crate) fn scan(bytes: &[u8]) {
    let text = text(bytes);
    let role = match bytes.first().copied().unwrap_or(0) & 3 {
        0 => Role::User,
        1 => Role::Tool,
        2 => Role::System,
        _ => Role::Parameter,
    };
    let found = || {
        let mut findings = Vec::new();
        RULES.scan(SpanIndex(0), role, &text, &mut findings);
        findings
    };
    let findings = found();
    in_place(&text, &findings);
    assert!(findings == found(), "the same text is found guilty of something else");
    let verdict = detect::judge(findings, &Thresholds::default(), RULES.hash());
    assert!((0.0..=1.0).contains(&verdict.risk) && (0.0..=1.0).contains(&verdict.false_positive));
    drop(detect::explain(&verdict, &[("text", &text)]));
    let turns: Vec<_> = text.lines().take(9).map(|line| (SpanIndex(0), Role::User, line)).collect();
    RULES.scan_conversation(&turns, &mut Vec::new());
}

/// An answer whole and in pieces: the same text leaves.
pub(crate) fn window(bytes: &[u8]) {
    let text = text(bytes);
    let whole = inspect_output(&RULES, SpanIndex(0), &text, true);
    in_place(&text, &whole.findings);
    let left = if whole.unchanged { &*text } else { &whole.text };
    let mut window = Window::new(Arc::clone(&RULES), SpanIndex(0), true);
    let (mut out, mut streamed) = (Released::default(), String::new());
    let step = 1 + usize::from(bytes.last().copied().unwrap_or(0) % 13);
    let letters: Vec<char> = text.chars().collect();
    for piece in letters.chunks(step) {
        let piece: String = piece.iter().collect();
        window.feed(&piece, &mut out);
        streamed.push_str(if out.unchanged { &piece } else { &out.text });
    }
    window.finish(&mut out);
    streamed.push_str(&out.text);
    assert_eq!(window.held(), 0);
    assert_eq!(out.blocked, whole.blocked);
    assert_eq!(streamed, left);
}

/// The classifier: finite points, a place in the text; any bytes are a model or are refused.
pub(crate) fn classify(bytes: &[u8]) {
    let text = text(bytes);
    let (views, place) = CLASSIFIER.views(&text);
    assert!(views.whole.is_finite() && views.window.is_finite());
    assert!(place.start <= place.end && place.end <= text.len(), "{place:?} of {}", text.len());
    if let Some(opinion) = CLASSIFIER.judge(&text) {
        assert!(opinion.points.is_finite() && text.get(opinion.place.clone()).is_some(), "{:?}", opinion.place);
    }
    if let Ok(model) = Classifier::new(bytes) {
        let _opinion = model.judge(&text);
    }
}

/// A rule file: refused with a place for every problem, or a rule set whose cases can be tried.
pub(crate) fn rules(bytes: &[u8]) {
    let source = Source { name: "fuzz.yaml".into(), text: text(bytes).into_owned() };
    let lines = u32::try_from(source.text.lines().count()).unwrap_or(u32::MAX);
    let sources = [source];
    drop(definitions(&sources));
    let whole = anatomies(&sources).is_ok();
    match RuleSet::compile(&sources, None, &BTreeMap::new(), &SMALL) {
        Ok(rules) => {
            assert!(whole);
            drop(rules.self_test());
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                assert!(problem.line.is_none_or(|line| line <= lines.max(1) + 1), "{problem}: of {lines} lines");
            }
        }
    }
}
