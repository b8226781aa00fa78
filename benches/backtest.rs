//! How many stored requests a second a backtest inspects: a SQLite store is filled, and run over once with rules to try.
//!
//! `cargo bench --bench backtest` fills in 100,000 requests; `cargo bench --bench backtest -- 1000000` as many as that.
//! Three of four have words nobody else has, the fourth has words of a hundred that come again. Rules: the built-in ones,
//! and the same with one more.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints what it measured and ends when something fails"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use portcullis::backtest::{Against, Asked, Checkpoint, Job, Judge, Runner, Terms};
use portcullis::config::{Environment, Source};
use portcullis::detect::{self, RuleSet};
use portcullis::store::{ContentMode, Database, Item, Options, RequestRow, Vault, Writer};
use portcullis::types::{Direction, Layout, Part, Role, Secret, SpanIndex};

const MONDAY: i64 = 1_772_409_600_000_000;

const TRIED: &str = "id: SITE-BENCH-0001\ntitle: A word\nfamily: data_exfiltration\ngain: Nothing.\nseverity: high\n\
                     score: 8\ndirection: input\naction: block\ndetection:\n  prefilter: [zeppelin]\n  \
                     sel_word: '(?i)\\bzeppelin\\b'\nexamples: { positive: ['a zeppelin'], negative: ['a ship'] }\n";

const SYSTEM: &str = "You are the assistant of a shop that sells garden tools. Answer in the language of the customer, in at \
                      most five sentences, and never promise a delivery date that is not in the order. Where a question is \
                      about an invoice, ask for its number first; where it is about a complaint, say that a person will \
                      read it within a day. Prices are in euros and include tax.";

#[tokio::main]
async fn main() {
    let count = std::env::args().filter_map(|text| text.parse::<u32>().ok()).next().unwrap_or(100_000);
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        spool: Some(folder.path().join("spool")),
        queue: 50_000,
        timeout: Duration::from_secs(60),
        ..Options::default()
    };
    let url = Secret::new(format!("sqlite://{}", folder.path().join("store.db").display()));
    let database = Database::open(&url, &options).await.unwrap();
    fill(&database, &options, count).await;

    let loaded = Source::new(Some(&empty(folder.path())), Environment::new(std::iter::empty())).load().unwrap();
    let rules = loaded.rules();
    let compile = |sources: &[detect::Source]| {
        Arc::new(RuleSet::compile(sources, rules.classifier(), &rules.overrides(), &rules.budget()).unwrap())
    };
    let tried = detect::Source { name: "tried.yaml".into(), text: TRIED.to_owned() };
    let (before, after) = (compile(rules.sources()), compile(&[rules.sources(), &[tried]].concat()));
    let asked = Asked {
        version: String::new(),
        rules_before: before.hash().to_string(),
        rules_after: after.hash().to_string(),
        terms: String::new(),
        store: String::new(),
        since: String::new(),
        until: None,
        against: Against::Configured,
        samples: 10,
        limit: None,
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    let vault = Vault::new(&options).unwrap();
    let (before, after) = (Judge::new(before, 50_000), Judge::new(after, 50_000));
    let runner = Arc::new(Runner::new(Some(before), after, Terms::of(&loaded), vault, 50_000));
    let job = Job {
        start: Checkpoint::new(asked, MONDAY, i64::MAX),
        file: Some(folder.path().join("checkpoint")),
        every: Duration::from_secs(5),
        threads,
        max_content: 64 << 10,
    };
    let began = Instant::now();
    let (_, done) = runner.run(&database, job, &AtomicBool::new(false), |_| {}).await.unwrap();
    let took = began.elapsed();
    let rate = f64::from(count) / took.as_secs_f64();
    assert_eq!(done.figures.all.compared, u64::from(count));
    println!("backtest: {count} requests on {threads} threads in {took:.1?}: {rate:.0} a second");
    println!("newly blocked: {} of them", done.figures.all.newly_blocked);
    println!("resident at its most: {} MiB", peak());
}

/// A configuration that sets nothing.
fn empty(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, "# All defaults.\n").unwrap();
    file
}

async fn fill(database: &Database, options: &Options, count: u32) {
    let writer = Writer::start(database.clone(), options, Vec::new()).unwrap();
    let vault = Vault::new(options).unwrap();
    let began = Instant::now();
    for number in 0..count {
        let own = if number % 4 == 0 { number / 4 % 100 } else { number };
        let thing = if number % 1000 == 7 { "zeppelin" } else { "hedge trimmer" };
        let text = format!(
            "Good morning, I bought a {thing} from you in week {} and its order number is {own}. The left handle came \
             loose after {} hours in the garden. Could you tell me what a new one costs, and whether I can fit it myself?",
            own % 52,
            own % 31
        );
        let spans = [(Role::System, SYSTEM), (Role::User, &*text), (Role::Parameter, "gpt-4o")];
        let part = |(at, (role, text)): (u32, &(Role, &str))| Part {
            span: SpanIndex(at),
            role: *role,
            chars: u32::try_from(text.chars().count()).unwrap(),
        };
        let layout = Layout { parts: (0..).zip(&spans).map(part).collect(), whole: true };
        let page: Vec<String> = spans.iter().map(|(role, text)| format!("[{}] {text}", role.name())).collect();
        let (id, time) = (format!("req_{number:032}"), MONDAY + i64::from(number) * 1_000);
        let content = vault.seal((&id, Direction::Input), time, None, ContentMode::Full, &page.join("\n")).unwrap();
        let row = RequestRow {
            id,
            time,
            user: Some(format!("user_{}", number % 1_000).into()),
            method: "POST".into(),
            path: "/chat/completions".into(),
            dialect: Some("chat".into()),
            outcome: "served".into(),
            decision: "allow".into(),
            status: 200,
            record: "x".repeat(900).into(),
            ..RequestRow::default()
        };
        while writer.health().queued >= 49_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(writer.offer(Item::Request(Box::new(row))));
        assert!(writer.offer(Item::Content(Box::new(content.laid_out(Some(&layout))))));
    }
    writer.flush().await.unwrap();
    writer.close(Duration::from_secs(30)).await.unwrap();
    println!("filled: {count} requests in {:.1?}", began.elapsed());
}

/// The most memory this process had, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}
