//! The console's pages about what is answered for, on a real API: who sees them, and what their forms do.

use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use portcullis::console::Console;
use serde_json::json;
use tower::ServiceExt as _;

use crate::home::{Client, Home};

const PAGES: [&str; 16] = [
    "/console/callers",
    "/console/callers?kind=team&sort=unusual&range=7d",
    "/console/callers/user/eve%2F%3Cscript%3E",
    "/console/keys",
    "/console/orders",
    "/console/spend",
    "/console/spend?by=team&per=day&range=24h",
    "/console/compliance?framework=soc2",
    "/console/reports",
    "/console/audit?kind=login",
    "/console/audit/1",
    "/console/audit/verify",
    "/console/settings",
    "/console/settings/configuration",
    "/console/settings/policies?user=eve",
    "/console/account",
];

fn console(home: &Home, files_at_once: usize) -> axum::Router {
    Console::new(home.api.router(), files_at_once).router()
}

/// A page, or what a form leads to: status, body, where it leads, and its type.
pub async fn visit(home: &Home, who: &Client, path: &str, form: Option<&[(&str, &str)]>) -> (u16, String, String) {
    let mut request = Request::builder().uri(path).header("host", home.address.to_string());
    for (name, value) in who.headers.iter().filter(|(name, _)| name == "cookie") {
        request = request.header(name, value);
    }
    let request = match form {
        None => request.body(Body::empty()),
        Some(fields) => {
            let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
            let request = request.method("POST").header("content-type", "application/x-www-form-urlencoded");
            request.body(Body::from(text))
        }
    };
    let mut request = request.unwrap();
    request.extensions_mut().insert(ConnectInfo::<SocketAddr>("127.0.0.1:5".parse().unwrap()));
    let answer = console(home, 2).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let body = to_bytes(answer.into_body(), 8 << 20).await.unwrap();
    (status, String::from_utf8_lossy(&body).into_owned(), kind.unwrap_or_default())
}

pub fn csrf(who: &Client) -> &str {
    who.headers.iter().find(|(name, _)| name == "x-portcullis-csrf").map(|(_, value)| value.as_str()).unwrap()
}

#[tokio::test]
async fn each_page_is_made_for_whoever_may_see_it_and_nobody_else() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.audited(2).await;
    home.account(&root, "vera", &["viewer"]).await;
    home.account(&root, "ana", &["analyst"]).await;
    let (vera, ana) = (home.signed_in("vera").await, home.signed_in("ana").await);
    let hostile = json!({ "name": "k", "user": "<script>x</script>\u{202e}", "note": "=cmd" });
    assert_eq!(home.ask(&root, "POST", "/api/v1/keys", Some(hostile)).await.status, 201);
    for path in PAGES {
        let (status, page, _) = visit(&home, &root, path, None).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert!(
            !page.contains("<script>x") && !page.contains('\u{202e}') && !page.contains("style=\""),
            "{path}: {page}"
        );
        assert_eq!(page.matches("<h1").count(), 1, "{path}");
    }
    assert_eq!(visit(&home, &root, "/console/accounts", None).await.0, 200);
    for path in [
        "/console/keys",
        "/console/spend",
        "/console/audit",
        "/console/settings/configuration",
        "/console/accounts",
        "/console/tokens",
    ] {
        assert_eq!(visit(&home, &ana, path, None).await.0, 403, "{path}");
    }
    assert_eq!(visit(&home, &ana, "/console/callers", None).await.0, 200);
    for path in ["/console/settings", "/console/settings/policies", "/console/account", "/console/orders"] {
        let (status, page, _) = visit(&home, &vera, path, None).await;
        assert_eq!(status, 200, "{path}: {page}");
        assert!(!page.contains("Switch monitoring off") && !page.contains("Give order"), "{path}: {page}");
    }
    for path in ["/console/callers/planet/x", "/console/audit/999999", "/console/audit/x"] {
        assert_eq!(visit(&home, &root, path, None).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_name_alone_leads_to_its_page_and_a_list_is_a_file_too() {
    let home = Home::start().await;
    let root = home.admin().await;
    assert_eq!(visit(&home, &root, "/console/callers?user=a%2Fb", None).await.0, 303);
    for (path, kind) in [("callers", "csv"), ("spend", "csv"), ("audit", "csv"), ("callers", "json"), ("spend", "json")]
    {
        let (status, _, found) = visit(&home, &root, &format!("/console/{path}?format={kind}"), None).await;
        assert!(status == 200 && found.contains(kind), "{path}: {status} {found}");
    }
    let console = console(&home, 1);
    let file = async || {
        let mut request = Request::builder().uri("/console/audit?format=csv").header("host", home.address.to_string());
        for (name, value) in root.headers.iter().filter(|(name, _)| name == "cookie") {
            request = request.header(name, value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>("127.0.0.1:5".parse().unwrap()));
        console.clone().oneshot(request).await.unwrap()
    };
    let first = file().await;
    assert_eq!(file().await.status(), 429, "the first is not sent yet");
    let text = to_bytes(first.into_body(), 8 << 20).await.unwrap();
    assert!(text.starts_with(b"number,time,kind"));
    assert_eq!(file().await.status(), 429, "its bytes are not all gone");
    drop(text);
    assert_eq!(file().await.status(), 200);
}

#[tokio::test]
async fn a_person_is_erased_only_by_who_typed_the_name_twice_on_a_page_of_this_session() {
    let home = Home::start().await;
    let root = home.admin().await;
    let token = csrf(&root).to_owned();
    let form = |csrf: &str, user: &str, again: &str| {
        [("_csrf", csrf), ("user", user), ("again", again), ("sure", "on")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let send = async |csrf: &str, user: &str, again: &str| {
        let fields = form(csrf, user, again);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        visit(&home, &root, "/console/compliance", Some(&fields)).await
    };
    assert_eq!(send("wrong", "eve", "eve").await.0, 403);
    assert!(send(&token, "eve", "eva").await.1.contains("not the same"));
    assert_eq!(home.notes("person.erase").len(), 0);
    assert!(send(&token, "eve", "eve").await.1.contains("The person was erased"));
    assert_eq!(home.notes("person.erase").len(), 1);
}

#[tokio::test]
async fn a_configuration_is_checked_a_reload_says_why_it_failed_and_the_trail_is_verified() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.audited(1).await;
    let token = csrf(&root).to_owned();
    let path = "/console/settings/configuration";
    let check = [("_csrf", token.as_str()), ("what", "validate"), ("text", "a = <b>")];
    let (status, page, _) = visit(&home, &root, path, Some(&check)).await;
    assert!(status == 200 && page.contains("1 problems") && !page.contains("<b>\n"), "{page}");
    home.rest.reload_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let reload = [("_csrf", token.as_str()), ("what", "reload")];
    assert!(visit(&home, &root, path, Some(&reload)).await.1.contains("gateway.toml:3: no"));
    let verify = [("_csrf", token.as_str()), ("from", ""), ("to", "")];
    let (_, page, _) = visit(&home, &root, "/console/audit/verify", Some(&verify)).await;
    assert!(page.contains("It is intact"), "{page}");
}

#[tokio::test]
async fn every_page_says_at_once_that_monitoring_is_off() {
    let home = Home::start().await;
    let root = home.admin().await;
    assert!(!visit(&home, &root, "/console/account", None).await.1.contains("Monitoring is off"));
    let off = json!({ "minutes": 5, "reason": "test" });
    assert_eq!(home.ask(&root, "POST", "/api/v1/monitoring/off", Some(off)).await.status, 200);
    assert!(visit(&home, &root, "/console/account", None).await.1.contains("Monitoring is off"));
}

#[tokio::test]
async fn tokens_of_service_accounts_are_listed_and_revoked() {
    let home = Home::start().await;
    let root = home.admin().await;
    let made = home.ask(&root, "POST", "/api/v1/accounts", Some(json!({ "name": "robot", "roles": ["viewer"] }))).await;
    let account = made.json()["id"].as_str().unwrap().to_owned();
    let asked = json!({ "name": "nightly run", "roles": ["viewer"], "account": account });
    let token = home.ask(&root, "POST", "/api/v1/tokens", Some(asked)).await.json();
    let id = token["details"]["id"].as_str().unwrap();
    for path in ["/console/tokens".to_owned(), format!("/console/tokens?account={account}")] {
        let (status, page, _) = visit(&home, &root, &path, None).await;
        assert!(status == 200 && page.contains("nightly run") && page.contains("robot"), "{path}: {page}");
        assert!(page.contains(&format!("/api/v1/tokens/{id}")), "it can be revoked: {page}");
    }
    let path = format!("/api/v1/tokens/{id}");
    let fields =
        [("_csrf", csrf(&root)), ("_method", "DELETE"), ("_path", path.as_str()), ("_back", "/console/tokens")];
    assert_eq!(visit(&home, &root, "/console/do", Some(&fields)).await.0, 303);
    assert!(visit(&home, &root, "/console/tokens", None).await.1.contains("revoked"));
}
