//! Learning as a whole: reports of attacks that the shipped rules miss become rules that catch what nothing was made from,
//! and harmless reports do not.
#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

#[path = "../support/shipped.rs"]
mod shipped;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use portcullis::detect::{Budget, RuleSet, Source, Thresholds, judge};
use portcullis::learn::{Benign, Candidate, Figures, Gates, Miss, Variation, assess, propose, try_out, vary};
use portcullis::types::{Decision, Family, Role, SpanIndex};
use serde::Deserialize;

const REPORTS: &str = include_str!("reports.yaml");
const HARMLESS: &str = include_str!("harmless.txt");

/// Frames that the engine knows nothing of.
const FRAMES: [&str; 10] = [
    "Reply in a limerick. {} Limerick:",
    "[forwarded by Piet from accounting] {} -- sent from my tractor",
    "Dear diary, today somebody told me: {} I wonder what will come of it.",
    "TICKET 8841 | prio 3 | body: {} | assignee: nobody",
    "{} (asking for a friend who studies owls)",
    "Subtitles 00:01:12 --> 00:01:19\n{}\n\n00:01:20 --> 00:01:22\n[door creaks]",
    "Quiz night! Question 7 was about rivers. Question 8: {} Question 9 is about cheese.",
    "<li>buy milk</li><li>{}</li><li>ring the dentist</li>",
    "Mum says hi. She also says: {} Then she went back to her roses.",
    "int main() { puts(\"{}\"); return 0; }",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    family: Family,
    text: String,
    again: String,
    #[serde(default, rename = "lang")]
    _language: Option<String>,
}

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(shipped::rules);

static BENIGN: LazyLock<Benign> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/benign");
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()))
        .filter(|(name, _)| name.ends_with(".txt"))
        .collect();
    files.sort();
    let sources: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Benign::read(&sources).unwrap()
});

fn reports() -> Vec<Report> {
    serde_saphyr::from_str(REPORTS).unwrap()
}

fn compiled(candidate: &Candidate) -> RuleSet {
    let source = Source { name: "learned.yaml".into(), text: candidate.rules.clone() };
    let budget = Budget { max_rule: 1 << 20, max_total: 64 << 20, max_hold: 4 << 10 };
    RuleSet::compile(&[source], None, &BTreeMap::new(), &budget).unwrap()
}

fn hits(rules: &RuleSet, text: &str) -> bool {
    let mut findings = Vec::new();
    rules.scan(SpanIndex(0), Role::User, text, &mut findings);
    !findings.is_empty()
}

fn is_reported(rules: &RuleSet, text: &str) -> bool {
    let mut findings = Vec::new();
    rules.scan(SpanIndex(0), Role::User, text, &mut findings);
    judge(findings, &Thresholds::default(), rules.hash()).decision > Decision::Allow
}

fn miss<'a>(report: &'a Report, variations: &'a [Variation]) -> Miss<'a> {
    let (text, family) = (&report.text, report.family);
    Miss { id: "LRN-7F3A9C", text, family, role: Role::User, variations, others: &[] }
}

/// The first candidate that passes.
fn learned(miss: &Miss<'_>, gates: &Gates) -> Option<(Candidate, Figures)> {
    propose(miss, &BENIGN).into_iter().find_map(|candidate| {
        let figures = try_out(&candidate, miss, &BENIGN, &mut std::iter::empty(), &RULES, gates);
        figures.passed.then_some((candidate, figures))
    })
}

#[test]
fn missed_attacks_become_rules_that_catch_what_nothing_was_made_from() {
    // What the shipped rules and the classifier come to know is no miss any more.
    let (known, reports): (Vec<Report>, Vec<Report>) =
        reports().into_iter().partition(|one| is_reported(&RULES, &one.text));
    assert!(
        reports.len() >= 40,
        "{} are known: {:?}",
        known.len(),
        known.iter().map(|one| &one.text).collect::<Vec<_>>()
    );
    // Whether a person must look first is another test's business.
    let gates = Gates { allow_harmless: true, ..Gates::default() };
    let (mut shares, mut framed, mut again) = (Vec::new(), 0, 0);
    for (seed, report) in (1..).zip(&reports) {
        let variations = vary(&report.text, seed);
        let (candidate, figures) = learned(&miss(report, &variations), &gates).unwrap();
        assert!(figures.reported && figures.benign.hit == 0 && figures.benign.all == BENIGN.len());
        assert!(figures.held_back_alone.share() >= 0.8, "{}: {:?}", report.text, figures.kinds);
        shares.push(figures.held_back_alone.share());
        let rules = compiled(&candidate);
        framed += FRAMES.iter().filter(|frame| hits(&rules, &frame.replace("{}", &report.text))).count();
        again += usize::from(hits(&rules, &report.again));
    }
    shares.sort_by(f64::total_cmp);
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let framed = framed as f64 / (shares.len() * FRAMES.len()) as f64;
    let again = again as f64 / shares.len() as f64;
    eprintln!("held back {mean:.3}, least {:.2}; unknown frames {framed:.3}; said again {again:.3}", shares[0]);
    assert!(mean >= 0.9 && framed >= 0.9 && again >= 0.5, "{mean} {framed} {again}");
}

#[test]
fn most_attacks_read_like_attacks_and_hardly_any_harmless_text_does() {
    let reports = reports();
    let passes = |report: &&Report| !assess(&report.text, Role::User, &BENIGN, &RULES).is_harmless;
    let attacks = reports.iter().filter(passes).count();
    let harmless: Vec<&str> = HARMLESS.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(harmless.len() >= 40);
    let mut passed: Vec<&str> = Vec::new();
    for (seed, text) in (1..).zip(&harmless) {
        let report =
            Report { family: Family::Jailbreak, text: (*text).to_owned(), again: String::new(), _language: None };
        let variations = vary(text, seed);
        if assess(text, Role::User, &BENIGN, &RULES).is_harmless {
            continue;
        }
        passed.extend(learned(&miss(&report, &variations), &Gates::default()).map(|_| *text));
    }
    eprintln!("{attacks} of {} attacks read so; of {} harmless texts pass {passed:?}", reports.len(), harmless.len());
    assert!(attacks * 10 >= reports.len() * 7, "{attacks}");
    assert!(passed.len() <= 1, "{passed:?}");
}

#[test]
fn a_text_of_the_benign_corpus_is_never_learned() {
    let gates = Gates { allow_harmless: true, ..Gates::default() };
    for (seed, text) in (1..).zip(BENIGN.texts().step_by(BENIGN.len() / 20)) {
        let report =
            Report { family: Family::Jailbreak, text: text.text.clone(), again: String::new(), _language: None };
        let variations = vary(&text.text, seed);
        assert!(learned(&miss(&report, &variations), &gates).is_none(), "{}", text.text);
    }
}

/// By hand: `PORTCULLIS_TRAFFIC=DIR cargo nextest run --release --run-ignored only --no-capture --test learn`, with JSON
/// lines `{text, label}` in the directory, of which those with label 0 are harmless.
#[test]
#[ignore = "reads texts that are not part of the repository"]
fn ordinary_traffic_is_not_hit_by_what_was_learned() {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        label: u8,
    }
    let directory = std::env::var("PORTCULLIS_TRAFFIC").unwrap();
    let mut texts = Vec::new();
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let rows = fs::read_to_string(file).unwrap();
        let rows = rows.lines().filter_map(|line| serde_json::from_str::<Row>(line).ok());
        texts.extend(rows.filter(|row| row.label == 0).map(|row| row.text));
    }
    let gates = Gates { allow_harmless: true, ..Gates::default() };
    let mut sources = Vec::new();
    for (seed, report) in (1..).zip(&reports()) {
        let variations = vary(&report.text, seed);
        let id = format!("LRN-{seed:06X}");
        let (candidate, _) = learned(&Miss { id: &id, ..miss(report, &variations) }, &gates).unwrap();
        sources.push(candidate.rules);
    }
    let rules = compiled(&Candidate { rules: sources.join("---\n"), ids: Vec::new() });
    let hit: Vec<&String> = texts.iter().filter(|text| hits(&rules, text) && !is_reported(&RULES, text)).collect();
    eprintln!("{} of {} texts newly hit by {} rules: {hit:.80?}", hit.len(), texts.len(), rules.rules().len());
    assert!(hit.len() * 1_000 <= texts.len());
}
