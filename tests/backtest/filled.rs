//! A store with many requests in it, put there without a gateway.

use std::fs;
use std::path::Path;

use portcullis::store::{ContentMode, Database, Item, Options, RequestRow, Vault, Writer};
use portcullis::types::{Direction, Layout, Part, Role, Secret, SpanIndex};
use tempfile::TempDir;

/// 2026-03-02.
pub const MONDAY: i64 = 1_772_409_600_000_000;

/// A folder with `gateway.toml` and so many requests, a second apart, every fifth with a word that a rule to try blocks.
pub async fn filled(count: u32) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("gateway.toml"), toml(path)).unwrap();
    let options = Options { spool: Some(path.join("spool")), ..Options::default() };
    let database = Database::open(&url(path), &options).await.unwrap();
    let writer = Writer::start(database.clone(), &options, Vec::new()).unwrap();
    let vault = Vault::new(&options).unwrap();
    for number in 0..count {
        let word = if number % 5 == 0 { "zeppelin" } else { "letter" };
        let text = format!("Where is the {word} number {number} that was sent to us on a quiet morning in spring?");
        let (id, time) = (format!("req_{number:08}"), MONDAY + i64::from(number) * 1_000_000);
        let part = Part { span: SpanIndex(0), role: Role::User, chars: u32::try_from(text.len()).unwrap() };
        let layout = Layout { parts: vec![part], whole: true };
        let content = vault.seal((&id, Direction::Input), time, None, ContentMode::Full, &format!("[user] {text}"));
        let row = RequestRow {
            id,
            time,
            user: Some(format!("user_{}", number % 7).into()),
            method: "POST".into(),
            path: "/chat/completions".into(),
            dialect: Some("chat".into()),
            outcome: "served".into(),
            decision: "allow".into(),
            status: 200,
            record: "{}".into(),
            ..RequestRow::default()
        };
        assert!(writer.offer(Item::Request(Box::new(row))));
        assert!(writer.offer(Item::Content(Box::new(content.unwrap().laid_out(Some(&layout))))));
        if number % 5_000 == 0 {
            writer.flush().await.unwrap();
        }
    }
    writer.flush().await.unwrap();
    writer.close(std::time::Duration::from_secs(10)).await.unwrap();
    database.close().await;
    folder
}

/// Where its store is.
pub fn url(path: &Path) -> Secret {
    Secret::new(format!("sqlite://{}", path.join("store.db").display()))
}

fn toml(path: &Path) -> String {
    format!(
        "listeners = [{{ protocol = \"http\", address = \"127.0.0.1:0\" }}]\n[store]\nurl = \"{}\"\n",
        url(path).expose()
    )
}
