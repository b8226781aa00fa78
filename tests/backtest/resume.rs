//! A backtest that is ended, in whatever way, goes on where it was and comes to the very same figures.

use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use portcullis::backtest::{Against, Asked, Checkpoint, Ended, Job, Judge, Runner, Terms};
use portcullis::config::{Environment, Source, read_rules};
use portcullis::detect::RuleSet;
use portcullis::store::{Database, Options, Vault};
use serde_json::Value;

use crate::filled::{MONDAY, filled, url};
use crate::support::until;
use crate::{backtest, command, report, tried};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_after_every_page_it_comes_to_the_same_figures() {
    let folder = filled(100).await;
    let path = folder.path();
    let loaded = Source::new(Some(&path.join("gateway.toml")), Environment::new(std::iter::empty())).load().unwrap();
    let rules = loaded.rules();
    let compile = |sources: &[_]| {
        Arc::new(RuleSet::compile(sources, rules.classifier(), &rules.overrides(), &rules.budget()).unwrap())
    };
    let more = read_rules(&tried(path)).unwrap();
    let (before, after) = (compile(rules.sources()), compile(&[rules.sources(), &more].concat()));
    let asked = Asked {
        version: "test".to_owned(),
        rules_before: before.hash().to_string(),
        rules_after: after.hash().to_string(),
        terms: String::new(),
        store: String::new(),
        since: "7d".to_owned(),
        until: None,
        against: Against::Configured,
        samples: 7,
        limit: None,
    };
    let options = Options::default();
    let database = Database::open(&url(path), &options).await.unwrap();
    let runner = || {
        let judge = |rules: &Arc<RuleSet>| Judge::new(Arc::clone(rules), 100);
        let vault = Vault::new(&options).unwrap();
        Arc::new(Runner::new(Some(judge(&before)), judge(&after), Terms::of(&loaded), vault, 100))
    };
    let file = path.join("checkpoint");
    // As much may be kept of a prompt as there is memory for: pages are as small as they get.
    let job = |start: Checkpoint| Job {
        start,
        file: Some(file.clone()),
        every: Duration::ZERO,
        threads: 3,
        max_content: 1 << 30,
    };
    let start = || Checkpoint::new(asked.clone(), MONDAY, MONDAY + 1_000_000_000);
    let (go_on, stop) = (AtomicBool::new(false), AtomicBool::new(true));
    let (ended, whole) = runner().run(&database, job(start()), &go_on, |_| {}).await.unwrap();
    assert_eq!((ended, whole.figures.read, whole.figures.all.compared), (Ended::Done, 100, 100));
    assert_eq!(whole.figures.all.newly_blocked, 20);

    let mut runs = 1;
    let mut last = runner().run(&database, job(start()), &stop, |_| {}).await.unwrap();
    while last.0 == Ended::Stopped {
        let saved = Checkpoint::load(&file, &asked).unwrap();
        assert_eq!(saved, last.1);
        last = runner().run(&database, job(saved), &stop, |_| {}).await.unwrap();
        runs += 1;
    }
    assert_eq!((last.1, runs), (whole.clone(), 8), "six pages and a bit, and one look at the end");
    // Nor does it matter how many threads there are, and whether anything is remembered.
    let vault = Vault::new(&options).unwrap();
    let alone = Runner::new(Some(Judge::new(before, 0)), Judge::new(after, 0), Terms::of(&loaded), vault, 0);
    let one = Job { threads: 1, max_content: 1, ..job(start()) };
    assert_eq!(Arc::new(alone).run(&database, one, &go_on, |_| {}).await.unwrap().1, whole);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_it_is_resumed_and_other_rules_are_refused() {
    let folder = filled(3_000).await;
    let path = folder.path();
    let rules = tried(path);
    let rules = rules.to_str().unwrap();
    let asked = ["--rules", rules, "--since", "2026-03-01", "--until", "2026-03-09"];
    let whole = report(path, &asked);
    assert_eq!(whole["newly_blocked"], 600);
    let file = path.join("store.db.backtest.json");
    assert!(!file.exists(), "what is done leaves no checkpoint");

    let slowly = ["--threads", "1", "--remember", "0", "--checkpoint-every", "1ms", "--format", "json"];
    let mut child =
        command(path, &[&asked[..], &slowly].concat()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let read = || {
        let text = fs::read_to_string(&file).ok()?;
        let checkpoint: Value = serde_json::from_str(&text).expect("it is never half a file");
        checkpoint["figures"]["read"].as_u64().filter(|read| *read > 0)
    };
    let at = until(60, "a checkpoint", read).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(at < 3_000, "it was to be killed in the middle");

    for (other, why) in [
        (["--rules", rules, "--since", "2026-03-01", "--until", "2026-03-08", "--resume"], "--until"),
        (
            [
                "--rules",
                path.join("other.yaml").to_str().unwrap(),
                "--since",
                "2026-03-01",
                "--until",
                "2026-03-09",
                "--resume",
            ],
            "rules",
        ),
    ] {
        let text = crate::TRIED.split("---").next().unwrap();
        fs::write(path.join("other.yaml"), text).unwrap();
        let done = backtest(path, &other);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(3) && said.contains(why), "{said}");
        fs::remove_file(path.join("other.yaml")).unwrap();
    }
    let resumed = report(path, &[&asked[..], &["--resume"]].concat());
    assert_eq!(resumed, whole);
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_says_how_to_go_on() {
    let folder = filled(2_000).await;
    let path = folder.path();
    let rules = tried(path);
    let asked = ["--rules", rules.to_str().unwrap(), "--since", "2026-03-01", "--threads", "1", "--remember", "0"];
    let slowly = [&asked[..], &["--checkpoint-every", "1ms", "--checkpoint", "here.json"]].concat();
    let child = command(path, &slowly).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until(60, "a checkpoint", || path.join("here.json").exists().then_some(())).await;
    let status = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.code() == Some(3) && said.contains("--resume"), "{said}");
    let told = report(path, &[&asked[..], &["--checkpoint", "here.json", "--resume"]].concat());
    assert_eq!((told["requests"]["read"].as_u64(), told["newly_blocked"].as_u64()), (Some(2_000), Some(400)));
}
