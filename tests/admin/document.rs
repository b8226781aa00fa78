//! The OpenAPI document: committed, current, and complete.

use std::path::Path;

use portcullis::control::api::table;
use serde_json::Value;

use crate::home::{Client, Home};

/// The repository: the kit that builds this part alone names it.
fn committed() -> String {
    let root = option_env!("PORTCULLIS_ROOT").unwrap_or(env!("CARGO_MANIFEST_DIR"));
    Path::new(root).join("docs/openapi.json").display().to_string()
}

#[test]
fn the_committed_document_is_the_one_of_the_code() {
    let current = format!("{}\n", table::document().to_pretty_json().unwrap());
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(committed(), &current).unwrap();
    }
    let found = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(found == current, "docs/openapi.json is stale: run the tests with UPDATE_OPENAPI=1");
}

#[test]
fn every_operation_says_what_it_is_who_may_and_what_goes_wrong() {
    let document: Value = serde_json::to_value(table::document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for route in table::list() {
        let operation = &document["paths"][&route.path][route.method.to_lowercase()];
        let told = format!("{} {}", route.method, route.path);
        assert!(operation["summary"].is_string(), "{told}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2') || status == "302" || status == "101"), "{told}");
        assert!(responses.contains_key("503"), "{told}");
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with('4')) {
            assert!(response["content"]["application/json"]["schema"].is_object(), "{told} {status}");
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for part in text.split("#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[tokio::test]
async fn the_document_is_served_to_everybody() {
    let home = Home::start().await;
    let answer = home.ask(&Client::default(), "GET", "/api/v1/openapi.json", None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["info"]["title"], "Portcullis admin API");
}
