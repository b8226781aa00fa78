//! Publishing and reloading, on real files.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::{Environment, Handle, ReloadTask, Reloader, Source, prepare};
use super::{Folder, RULE, folder_with_rules, settings};
use crate::telemetry::{EventQueues, Events, Metrics};
use crate::types::{Event, Generation, ReloadOutcome};

/// Long enough for a busy machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway without its data path.
struct Running {
    folder: Folder,
    handle: Arc<Handle>,
    reloader: Reloader,
    events: EventQueues,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// `config` and `rules` are paths in the folder.
    fn start(folder: Folder, config: &str) -> Self {
        let source = Source::new(Some(&folder.path(config)), Environment::default());
        let loaded = source.load().unwrap();
        let handle = Arc::new(Handle::new(prepare(&loaded, None).unwrap()));
        let (sender, events) = Events::new(64, 1, Metrics::new("test").unwrap());
        let (reloader, task): (Reloader, ReloadTask) = Reloader::new(Arc::clone(&handle), &loaded, sender);
        let stop = CancellationToken::new();
        let task = tokio::spawn(task.run(stop.clone()));
        Self { folder, handle, reloader, events, stop, task }
    }

    async fn outcome(&mut self) -> ReloadOutcome {
        match tokio::time::timeout(PATIENCE, self.events.ordinary.recv()).await.expect("a reload happens").unwrap() {
            Event::Reload(outcome) => outcome,
            Event::Request(_) | Event::Alarm(_) | Event::Content(_) | Event::ToolHeld(_) => {
                panic!("no request was made")
            }
        }
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_reload_publishes_and_shares_what_did_not_change() {
    let mut running = Running::start(folder_with_rules("watch = false\n"), "gateway.toml");
    let before = running.handle.load_full();
    assert_eq!(before.generation, Generation(1));
    let rules = running.folder.path("rules");
    running
        .folder
        .write("gateway.toml", &settings(&rules, "watch = false\n[inspect]\nflag_at = 3\n[server]\nworkers = 7\n"));
    let outcome = running.reloader.request().await;
    assert_eq!((outcome.problems.len(), outcome.generation, &*outcome.trigger), (0, Generation(2), "api"));
    assert_eq!(outcome.warnings.len(), 1, "{outcome:?}");
    assert!(outcome.warnings[0].contains("server.workers: changed, but is not reloaded"), "{outcome:?}");
    assert_eq!(running.outcome().await, outcome);
    let after = running.handle.load_full();
    assert_eq!((after.generation, after.settings.inspect.flag_at), (Generation(2), 3));
    assert_eq!(before.settings.inspect.flag_at, 4, "who holds the old Snapshot keeps it");
    assert!(Arc::ptr_eq(&before.rules, &after.rules));
    assert!(Arc::ptr_eq(&before.upstreams, &after.upstreams));
    assert!(Arc::ptr_eq(&before.keys, &after.keys));
    running.end().await;
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_where() {
    let mut running = Running::start(folder_with_rules("watch = false\n"), "gateway.toml");
    let rules = running.folder.path("rules");
    let good = settings(&rules, "watch = false\n");
    for bad in
        [String::new(), "[server".to_owned(), "\0".to_owned(), "x".repeat(4 << 20), format!("{good}unknown = 1\n")]
    {
        running.folder.write("gateway.toml", &bad);
        let outcome = running.reloader.request().await;
        assert!(!outcome.problems.is_empty());
        assert!(outcome.problems[0].contains("gateway.toml"), "{outcome:?}");
        assert_eq!((outcome.generation, running.handle.load().generation), (Generation(1), Generation(1)));
        assert_eq!(running.outcome().await, outcome);
    }
    fs::remove_file(running.folder.path("gateway.toml")).unwrap();
    assert!(running.reloader.request().await.problems[0].contains("cannot be read"));
    running.folder.write("gateway.toml", &good);
    running.folder.write("rules/a.yaml", &RULE.replace("negative: [\"say nothing\"]", "negative: [\"xyzzy\"]"));
    let outcome = running.reloader.request().await;
    assert!(outcome.problems[0].contains("rules/a.yaml:"), "a rule's own case fails: {outcome:?}");
    running.folder.write("rules/a.yaml", RULE);
    assert_eq!(running.reloader.request().await.generation, Generation(2));
    running.end().await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_and_an_unchanged_one_is_not() {
    let mut running = Running::start(folder_with_rules("watch = true\n"), "gateway.toml");
    let rules = running.folder.path("rules");
    let text = settings(&rules, "watch = true\n");
    running.folder.write("gateway.toml", &text);
    running.folder.write("rules/ignored.txt", "not a rule");
    running.folder.write("gateway.toml", &format!("{text}[inspect]\nflag_at = 2\n"));
    let outcome = running.outcome().await;
    assert_eq!((outcome.generation, &*outcome.trigger, outcome.problems.len()), (Generation(2), "watch", 0));
    running.folder.write("gateway.toml", "[broken");
    let outcome = running.outcome().await;
    assert_eq!((outcome.generation, outcome.problems.is_empty()), (Generation(2), false));
    running.folder.write("gateway.toml", "[broken");
    running.folder.write("gateway.toml", &format!("{text}[inspect]\nflag_at = 2\n"));
    let outcome = running.outcome().await;
    assert_eq!((outcome.generation, outcome.problems.len()), (Generation(3), 0), "the second broken write is not news");
    running.folder.write("rules/deep/b.yaml", &RULE.replace("0001", "0002"));
    assert_eq!(running.outcome().await.generation, Generation(4));
    assert_eq!(running.handle.load().rules.rules().len(), 2);
    running.end().await;
}

#[tokio::test]
async fn a_config_map_that_swaps_its_symlink_is_noticed() {
    let folder = Folder::new();
    let rules = folder.path("map");
    folder.write("map/..one/rule.yaml", RULE);
    folder.write("map/..one/gateway.toml", &settings(&rules, "watch = true\n"));
    symlink("..one", folder.path("map/..data")).unwrap();
    symlink("..data/rule.yaml", folder.path("map/rule.yaml")).unwrap();
    symlink("..data/gateway.toml", folder.path("map/gateway.toml")).unwrap();
    let mut running = Running::start(folder, "map/gateway.toml");
    assert_eq!(running.handle.load().rules.rules().len(), 1, "the rule is read once, through its visible name");
    for (round, points) in (2_u64..).zip([2, 3]) {
        let folder = &running.folder;
        let name = format!("..round{round}");
        folder.write(&format!("map/{name}/rule.yaml"), RULE);
        folder.write(
            &format!("map/{name}/gateway.toml"),
            &settings(&rules, &format!("watch = true\n[inspect]\nflag_at = {points}\n")),
        );
        symlink(&name, folder.path("map/..data_tmp")).unwrap();
        fs::rename(folder.path("map/..data_tmp"), folder.path("map/..data")).unwrap();
        let outcome = running.outcome().await;
        assert_eq!((outcome.generation, outcome.problems.len()), (Generation(round), 0));
        assert_eq!(running.handle.load().settings.inspect.flag_at, points);
    }
    running.end().await;
}

#[tokio::test]
async fn a_rotated_key_file_is_noticed() {
    let folder = folder_with_rules("");
    let key = folder.write("secrets/key", "one");
    let text = settings(
        &folder.path("rules"),
        &format!("watch = true\n[upstreams.o]\nkind = \"openai\"\napi_key_file = {key:?}\n"),
    );
    folder.write("gateway.toml", &text);
    let mut running = Running::start(folder, "gateway.toml");
    running.folder.write("secrets/key", "two");
    running.outcome().await;
    let snapshot = running.handle.load_full();
    assert_eq!(snapshot.upstreams.named("o").unwrap().api_key.as_ref().unwrap().expose(), "two");
    running.end().await;
}

#[tokio::test]
async fn requests_that_come_together_share_reloads() {
    let running = Running::start(folder_with_rules("watch = false\n"), "gateway.toml");
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let reloader = running.reloader.clone();
            tokio::spawn(async move { reloader.request().await })
        })
        .collect();
    for outcome in asked {
        assert!(outcome.await.unwrap().problems.is_empty());
    }
    let generation = running.handle.load().generation;
    assert!((Generation(2)..Generation(51)).contains(&generation), "{generation:?}");
    let reloader = running.reloader.clone();
    running.end().await;
    assert!(reloader.request().await.problems[0].contains("shutting down"));
}
