//! `portcullis report`.

use std::path::Path;
use std::process::{Command, Output};

use portcullis::store::Backend;

use crate::filled::fill;
use crate::home::Home;

fn run(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).arg("report").args(args).current_dir(folder).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_writes_reports_of_the_store_and_says_what_is_wrong() {
    let home = Home::new(Backend::Sqlite);
    fill(&home).await.close().await;
    let path = home.folder.path();
    let told = |done: &Output| String::from_utf8_lossy(&done.stderr).into_owned();
    std::fs::write(path.join("gateway.toml"), format!("[store]\nurl = \"{}\"\n", home.url.expose())).unwrap();
    let period = ["--since", "2026-03-02", "--until", "2026-03-23"];

    let done = run(path, &[&["security", "--output", "out.pdf"][..], &period].concat());
    assert!(done.status.success(), "{}", told(&done));
    assert!(std::fs::read(path.join("out.pdf")).unwrap().starts_with(b"%PDF-"));
    let done = run(path, &[&["spend", "--format", "csv", "--table", "models"][..], &period].concat());
    assert!(done.status.success() && done.stdout.starts_with(b"Model,Cost,"), "{}", told(&done));

    for (args, why) in [
        (&["compliance"][..], "--framework"),
        (&["compliance", "--framework", "nist"], "there is no framework `nist`; there are: ccpa, gdpr"),
        (&["security", "--framework", "gdpr"], "only a compliance report has a --framework"),
        (&["security", "--since", "yesterday"], "`yesterday` is no time"),
        (&["security", "--since", "2026-03-02", "--until", "2026-03-01"], "--since is not before --until"),
    ] {
        let done = run(path, args);
        assert_eq!(done.status.code(), Some(2), "{args:?} {}", told(&done));
        assert!(told(&done).contains(why), "{args:?} {}", told(&done));
    }
    let done = run(path, &[&["spend", "--format", "csv", "--table", "nothing"][..], &period].concat());
    assert_eq!(done.status.code(), Some(1));
    assert!(told(&done).contains("there is no table `nothing`"), "{}", told(&done));
    std::fs::write(path.join("gateway.toml"), "[store]\nurl = \"\"\n").unwrap();
    let done = run(path, &["security"]);
    assert_eq!((done.status.code(), told(&done).contains("there is no store")), (Some(1), true), "{}", told(&done));
}
