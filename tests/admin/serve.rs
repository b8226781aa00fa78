//! Serves one API for tools from outside, such as schemathesis.

use serde_json::json;

use crate::home::{Client, Home, settings};

/// Serves on `PORTCULLIS_SERVE` (address:port), writes a token with every role to `PORTCULLIS_TOKEN_FILE`, and stays
/// until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "serves until it is killed"]
async fn serve() {
    let address = std::env::var("PORTCULLIS_SERVE").unwrap_or_else(|_| "127.0.0.1:9191".into());
    let folder = tempfile::tempdir().unwrap();
    let url = std::env::var("PORTCULLIS_STORE");
    let url = url.unwrap_or_else(|_| format!("sqlite://{}", folder.path().join("db").display()));
    let mut settings = settings();
    settings.max_accounts = 1_000_000;
    settings.max_tokens = 1_000_000;
    let home = Home::on(settings, &url, Some(folder), Some(&address)).await;
    let root = home.admin().await;
    let body = json!({ "name": "tool", "roles": ["admin", "auditor"] });
    let made = home.ask(&root, "POST", "/api/v1/accounts", Some(body)).await.json();
    let body = json!({ "name": "tool", "roles": ["admin", "auditor"], "account": made["id"] });
    let token = home.ask(&root, "POST", "/api/v1/tokens", Some(body)).await.json()["token"].clone();
    let who = Client::bearer(token.as_str().unwrap());
    assert_eq!(home.ask(&who, "GET", "/api/v1/me", None).await.status, 200);
    std::fs::write(std::env::var("PORTCULLIS_TOKEN_FILE").unwrap(), token.as_str().unwrap()).unwrap();
    for number in 1..=20 {
        crate::nouns::record(&home, number, "ann", "block").await;
    }
    loop {
        // The clock of the tests stands still; tools expect it to go.
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
        ticks.tick().await;
        ticks.tick().await;
        home.clock.store(portcullis::store::now(), std::sync::atomic::Ordering::Relaxed);
    }
}
