//! Cost of inspection, classifier and other readings included: prompts of prose, chats and code, and an answer in chunks.
//! `cargo bench --bench detect`; `PORTCULLIS_BENCH_RULES=dir` measures the rule files of a directory instead,
//! `PORTCULLIS_BENCH_TEXT=file` another text.

#![expect(clippy::unwrap_used, reason = "a bench may stop at its first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use divan::counter::BytesCount;
use portcullis::detect::classify::Classifier;
use portcullis::detect::history::{Asked, Caller, Moment, Print, judge_request};
use portcullis::detect::{Budget, Released, RuleSet, Source, Thresholds, Window};
use portcullis::types::{Evidence, Role, SpanIndex};

const WORDS: &str = "The committee met on Tuesday to review the budget for the coming year, and most of the afternoon \
    went to the question of how the library should spend what it had been given. Several members felt that new shelves \
    mattered less than longer opening hours; others wanted both. In the end they asked the treasurer to prepare two \
    plans with figures, one for each view, and agreed to meet again before the month was out. Nobody was entirely happy \
    with this, but everyone had been heard, and the chair thanked them for their patience. ";

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let mut sources = Vec::new();
    match std::env::var("PORTCULLIS_BENCH_RULES") {
        Ok(directory) => read(Path::new(&directory), &mut sources),
        Err(_) => read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/rules")), &mut sources),
    }
    let budget = Budget { max_rule: 4 << 20, max_total: 64 << 20, max_hold: 4096 };
    let model = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/rules/model/classifier.bin")).unwrap();
    let classifier = Arc::new(Classifier::new(&model).unwrap());
    let rules = RuleSet::compile(&sources, Some(classifier), &BTreeMap::new(), &budget).unwrap();
    Arc::new(rules)
});

/// What stands in files of the rules' directory that hold no rules.
const OTHERS: [&str; 3] = ["compliance", "redteam", "soc"];

fn read(directory: &Path, sources: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            if !OTHERS.iter().any(|other| path.ends_with(other)) {
                read(&path, sources);
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            sources.push(Source { name: path.display().to_string(), text: std::fs::read_to_string(&path).unwrap() });
        }
    }
}

/// Plain prose, or the text of a file.
static TEXT: LazyLock<String> = LazyLock::new(|| match std::env::var("PORTCULLIS_BENCH_TEXT") {
    Ok(file) => std::fs::read_to_string(file).unwrap(),
    Err(_) => WORDS.to_owned(),
});

fn prose(bytes: usize) -> String {
    TEXT.chars().cycle().take(bytes).collect()
}

fn main() {
    let start = std::time::Instant::now();
    let stats = RULES.stats();
    #[expect(clippy::print_stdout, reason = "a bench prints")]
    {
        println!("compiled in {:?}: {stats:?}", start.elapsed());
    }
    divan::main();
}

#[divan::bench(args = [300, 8 * 1024, 128 * 1024])]
fn prompt(bencher: Bencher<'_, '_>, bytes: usize) {
    scan(bencher, &prose(bytes));
}

/// What people ask for, every day and at work.
#[divan::bench(args = [8 * 1024, 128 * 1024])]
fn chats(bencher: Bencher<'_, '_>, bytes: usize) {
    let texts =
        concat!(include_str!("../rules/benign/chat_everyday.txt"), include_str!("../rules/benign/chat_work.txt"));
    scan(bencher, &texts.chars().cycle().take(bytes).collect::<String>());
}

/// Source code: ours.
#[divan::bench(args = [8 * 1024, 128 * 1024])]
fn code(bencher: Bencher<'_, '_>, bytes: usize) {
    let texts = concat!(include_str!("../src/detect/words.rs"), include_str!("../src/detect/place.rs"));
    scan(bencher, &texts.chars().cycle().take(bytes).collect::<String>());
}

fn scan(bencher: Bencher<'_, '_>, text: &str) {
    let mut found = Vec::new();
    bencher.counter(BytesCount::new(text.len())).bench_local(|| {
        found.clear();
        RULES.scan(SpanIndex(0), Role::User, divan::black_box(text), &mut found);
        found.len()
    });
}

#[divan::bench(args = [8 * 1024, 128 * 1024])]
fn prompt_with_curly_quotes(bencher: Bencher<'_, '_>, bytes: usize) {
    scan(bencher, &prose(bytes).replace("was", "“was”"));
}

#[divan::bench(args = [30, 300])]
fn answer_in_chunks_of(bencher: Bencher<'_, '_>, bytes: usize) {
    let text = prose(8 * 1024);
    let chunks: Vec<&str> = text.as_bytes().chunks(bytes).map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
    let mut window = Window::new(Arc::clone(&RULES), SpanIndex(0), true);
    let mut released = Released::default();
    let mut next = chunks.iter().cycle();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        window.feed(next.next().unwrap(), &mut released);
        released.text.len()
    });
}

/// What a caller's history adds to a prompt in which nothing is found.
#[divan::bench(args = [300, 8 * 1024])]
fn history(bencher: Bencher<'_, '_>, bytes: usize) {
    let text = prose(bytes);
    let (mut caller, mut now) = (Caller::default(), 1_000);
    let spoken = Evidence { span: SpanIndex(0), start: 0, end: 1 };
    let thresholds = Thresholds::DEFAULT;
    let span = |_: SpanIndex| (Role::User, true);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        now += 700;
        let print = Print::of(divan::black_box(&text));
        let asked = Asked { now: Moment(now), print, spoken, is_retry: false, span: &span };
        judge_request(&RULES, Some(&mut caller), None, &asked, Vec::new(), &thresholds)
    });
}
