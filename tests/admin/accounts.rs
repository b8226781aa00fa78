//! Accounts and tokens: nobody grants more than they have, the last administrator stays, revoked is revoked.

use portcullis::store::accounts::{Account, AccountKind, Accounts};
use serde_json::json;

use crate::home::{Client, Home, PASSWORD, settings};

#[tokio::test]
async fn nobody_grants_or_manages_more_than_they_have() {
    let home = Home::start().await;
    let root = home.admin().await;
    let auditor = home.account(&root, "audrey", &["auditor"]).await;
    let viewer = home.account(&root, "vera", &["viewer"]).await;
    home.account(&root, "adam", &["admin"]).await;
    let adam = home.signed_in("adam").await;
    let code = async |method: &str, path: &str, body| {
        let answer = home.ask(&adam, method, path, Some(body)).await;
        if answer.status < 300 { "done".to_owned() } else { answer.code() }
    };
    let accounts = "/api/v1/accounts";
    assert_eq!(code("POST", accounts, json!({ "name": "x1", "roles": ["auditor"] })).await, "more_than_own");
    assert_eq!(code("POST", accounts, json!({ "name": "x2", "roles": ["admin", "auditor"] })).await, "more_than_own");
    assert_eq!(code("POST", accounts, json!({ "name": "x3", "roles": ["responder", "viewer"] })).await, "done");
    let of = |id: &str| format!("/api/v1/accounts/{id}");
    assert_eq!(code("PATCH", &of(&viewer), json!({ "roles": ["auditor"] })).await, "more_than_own");
    assert_eq!(code("PATCH", &of(&auditor), json!({ "disabled": true })).await, "more_than_own");
    assert_eq!(code("PATCH", &of(&viewer), json!({ "roles": ["analyst"] })).await, "done");
    let password = json!({ "password": "taking over audrey" });
    assert_eq!(code("POST", &format!("{}/password", of(&auditor)), password).await, "more_than_own");
    assert_eq!(home.ask(&adam, "DELETE", &of(&auditor), None).await.code(), "more_than_own");
    assert_eq!(code("POST", "/api/v1/tokens", json!({ "name": "t", "roles": ["auditor"] })).await, "more_than_own");
    let vera = home.signed_in("vera").await;
    let token = home.ask(&vera, "POST", "/api/v1/tokens", Some(json!({ "name": "t", "roles": ["admin"] }))).await;
    assert_eq!(token.code(), "more_than_own");
}

#[tokio::test]
async fn the_last_administrator_can_neither_leave_nor_be_disabled() {
    let home = Home::start().await;
    let root = home.admin().await;
    let me = home.ask(&root, "GET", "/api/v1/me", None).await.json()["account"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/accounts/{me}");
    home.ask(&root, "POST", "/api/v1/accounts", Some(json!({ "name": "robot", "roles": ["admin"] }))).await;
    assert_eq!(home.ask(&root, "DELETE", &path, None).await.code(), "last_admin");
    assert_eq!(home.ask(&root, "PATCH", &path, Some(json!({ "disabled": true }))).await.code(), "last_admin");
    assert_eq!(home.ask(&root, "PATCH", &path, Some(json!({ "roles": ["auditor"] }))).await.code(), "last_admin");
    assert!(home.notes("account.remove").iter().any(|note| note.outcome == "failed"), "the entry is taken back");
    home.account(&root, "second", &["admin"]).await;
    assert_eq!(home.ask(&root, "DELETE", &path, None).await.status, 204);
    assert_eq!(home.ask(&root, "GET", "/api/v1/me", None).await.status, 401);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_and_so_are_its_tokens() {
    let home = Home::start().await;
    let root = home.admin().await;
    let ann = home.account(&root, "ann", &["viewer"]).await;
    let session = home.signed_in("ann").await;
    let made = home.ask(&session, "POST", "/api/v1/tokens", Some(json!({ "name": "t", "roles": ["viewer"] }))).await;
    let token = Client::bearer(made.json()["token"].as_str().unwrap());
    let path = format!("/api/v1/accounts/{ann}");
    assert_eq!(home.ask(&root, "PATCH", &path, Some(json!({ "disabled": true }))).await.json()["disabled"], true);
    assert_eq!(home.ask(&session, "GET", "/api/v1/me", None).await.status, 401);
    assert_eq!(home.ask(&token, "GET", "/api/v1/me", None).await.status, 401);
    assert_eq!(home.login("ann", PASSWORD).await.code(), "wrong_credentials");
    home.ask(&root, "PATCH", &path, Some(json!({ "disabled": false }))).await;
    assert_eq!(home.login("ann", PASSWORD).await.status, 200);
    let note = home.notes("account.change").remove(0);
    assert_eq!((&note.before.unwrap()["disabled"], &note.after.unwrap()["disabled"]), (&json!(false), &json!(true)));
    assert_eq!((note.actor.name.as_str(), note.actor.via), ("root", "session"));
}

#[tokio::test]
async fn a_token_ends_when_revoked_or_expired_and_shrinks_with_its_account() {
    let home = Home::start().await;
    let root = home.admin().await;
    let ann = home.account(&root, "ann", &["admin"]).await;
    let session = home.signed_in("ann").await;
    let make = async |body| home.ask(&session, "POST", "/api/v1/tokens", Some(body)).await.json();
    let short = make(json!({ "name": "short", "roles": ["viewer"], "expires_in": 60 })).await;
    let long = make(json!({ "name": "long", "roles": ["admin"], "expires_in": 31_622_400 })).await;
    let longest = long["details"]["expires"].as_i64().unwrap() - long["details"]["created"].as_i64().unwrap();
    assert_eq!(longest, 90 * 86_400 * 1_000_000, "never longer than the settings say");
    let (short, long) =
        (Client::bearer(short["token"].as_str().unwrap()), Client::bearer(long["token"].as_str().unwrap()));
    // What a token makes does not outlive it.
    let child = home.ask(&long, "POST", "/api/v1/tokens", Some(json!({ "name": "child", "roles": ["viewer"] }))).await;
    assert!(
        child.json()["details"]["expires"].as_i64().unwrap()
            <= home.clock.load(std::sync::atomic::Ordering::Relaxed) + longest
    );
    home.later(60);
    assert_eq!(home.ask(&short, "GET", "/api/v1/me", None).await.code(), "expired_token");
    assert_eq!(home.ask(&long, "GET", "/api/v1/accounts", None).await.status, 200);
    home.ask(&root, "PATCH", &format!("/api/v1/accounts/{ann}"), Some(json!({ "roles": ["viewer"] }))).await;
    assert_eq!(home.ask(&long, "GET", "/api/v1/accounts", None).await.code(), "missing_role");
    let all = home.ask(&root, "GET", &format!("/api/v1/tokens?account={ann}"), None).await.json();
    let id = all["items"][1]["id"].as_str().unwrap();
    assert!(all["items"][1]["last_used"].is_i64());
    assert_eq!(home.ask(&root, "DELETE", &format!("/api/v1/tokens/{id}"), None).await.status, 204);
    assert_eq!(home.ask(&long, "GET", "/api/v1/me", None).await.code(), "revoked_token");
}

#[tokio::test]
async fn services_have_tokens_and_no_password_and_people_see_their_own_only() {
    let home = Home::start().await;
    let root = home.admin().await;
    let made = home.ask(&root, "POST", "/api/v1/accounts", Some(json!({ "name": "ci", "roles": ["responder"] }))).await;
    let (service, kind) = (made.json()["id"].as_str().unwrap().to_owned(), made.json()["kind"].clone());
    assert_eq!(kind, "service");
    for password in [" ", "null", PASSWORD] {
        assert_eq!(home.login("ci", password).await.status, 401);
    }
    let given = json!({ "password": PASSWORD });
    let answer = home.ask(&root, "POST", &format!("/api/v1/accounts/{service}/password"), Some(given)).await;
    assert_eq!(answer.code(), "no_password");
    let body = |roles: &[&str]| Some(json!({ "name": "t", "roles": roles, "account": service }));
    assert_eq!(home.ask(&root, "POST", "/api/v1/tokens", body(&["admin"])).await.code(), "more_than_own");
    let token = home.ask(&root, "POST", "/api/v1/tokens", body(&["responder"])).await.json();
    let who = Client::bearer(token["token"].as_str().unwrap());
    assert_eq!(home.ask(&who, "GET", "/api/v1/me", None).await.json()["name"], "ci");
    home.account(&root, "ann", &["viewer"]).await;
    let ann = home.signed_in("ann").await;
    assert_eq!(home.ask(&ann, "POST", "/api/v1/tokens", body(&["viewer"])).await.code(), "missing_role");
    assert_eq!(home.ask(&ann, "GET", "/api/v1/tokens?account=*", None).await.code(), "missing_role");
    assert_eq!(home.ask(&ann, "GET", "/api/v1/sessions?account=*", None).await.code(), "missing_role");
    let id = token["details"]["id"].as_str().unwrap();
    assert_eq!(home.ask(&ann, "DELETE", &format!("/api/v1/tokens/{id}"), None).await.status, 404);
    let sessions = home.ask(&root, "GET", "/api/v1/sessions?account=*", None).await.json();
    let id = sessions["items"][0]["id"].as_str().unwrap();
    assert_eq!(home.ask(&ann, "DELETE", &format!("/api/v1/sessions/{id}"), None).await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_audited_is_not_done() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.account(&root, "ann", &["viewer"]).await;
    home.rest.audit_fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let answers = [
        home.ask(&root, "POST", "/api/v1/keys", Some(json!({ "name": "k" }))).await,
        home.ask(&root, "POST", "/api/v1/accounts", Some(json!({ "name": "b", "roles": [] }))).await,
        home.ask(&root, "POST", "/api/v1/reload", None).await,
        home.login("ann", PASSWORD).await,
        home.login("ann", "wrong password").await,
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.code().as_str()), (503, "audit_unavailable"), "{answer:?}");
    }
    home.rest.audit_fails.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(home.ask(&root, "GET", "/api/v1/keys", None).await.json()["items"], json!([]));
    assert_eq!(home.ask(&root, "GET", "/api/v1/accounts", None).await.json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        home.ask(&root, "GET", "/api/v1/sessions?account=*", None).await.json()["items"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn names_are_unique_in_any_case_and_lists_go_page_by_page() {
    let home = Home::start().await;
    let root = home.admin().await;
    for at in 0..5 {
        home.account(&root, &format!("User{at}"), &["viewer"]).await;
    }
    let taken = home.ask(&root, "POST", "/api/v1/accounts", Some(json!({ "name": "USER1", "roles": [] }))).await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "name_taken"));
    let (mut path, mut names) = ("/api/v1/accounts?limit=2".to_owned(), Vec::new());
    loop {
        let page = home.ask(&root, "GET", &path, None).await.json();
        names.extend(page["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/accounts?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(names, ["root", "user0", "user1", "user2", "user3", "user4"]);
}

#[tokio::test]
async fn there_are_as_many_accounts_tokens_and_sessions_as_the_settings_say() {
    let mut settings = settings();
    (settings.max_accounts, settings.max_tokens, settings.max_sessions) = (2, 2, 2);
    let home = Home::with(settings).await;
    let root = home.admin().await;
    home.account(&root, "ann", &["viewer"]).await;
    let third = home.ask(&root, "POST", "/api/v1/accounts", Some(json!({ "name": "x", "roles": [] }))).await;
    assert_eq!(third.code(), "too_many");
    let ann = home.signed_in("ann").await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let body = json!({ "name": "t", "roles": ["viewer"], "expires_in": 60 });
        told.push(home.ask(&ann, "POST", "/api/v1/tokens", Some(body)).await.status);
    }
    assert_eq!(told, [201, 201, 409]);
    home.later(1);
    let second = home.signed_in("ann").await;
    home.later(1);
    let third = home.signed_in("ann").await;
    let status = async |who: &Client| home.ask(who, "GET", "/api/v1/me", None).await.status;
    assert_eq!((status(&ann).await, status(&second).await, status(&third).await), (401, 200, 200));
}

#[tokio::test]
async fn accounts_of_the_store_are_the_same_on_both_databases() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}", folder.path().join("db").display());
    for url in [sqlite, crate::databases::shared().new_database()] {
        let home = Home::on(settings(), &url, None, None).await;
        let accounts = Accounts::new(home.database.clone());
        let account = Account {
            id: "acc_1".into(),
            name: "Zoë/oidc".into(),
            kind: AccountKind::Oidc,
            subject: Some("https://id.example#1".into()),
            roles: "viewer auditor".into(),
            disabled: false,
            created: 1_700_000_000_000_001,
            created_by: "oidc".into(),
            last_login: None,
        };
        accounts.add(&account, None, 10).await.unwrap();
        let found = accounts.by_subject("https://id.example#1").await.unwrap().unwrap();
        assert_eq!(found, Account { name: "zoë/oidc".into(), ..account });
        accounts.signed_in("acc_1", Some("viewer"), 5).await.unwrap();
        let found = accounts.get("acc_1").await.unwrap().unwrap();
        assert_eq!((found.roles.as_str(), found.last_login), ("viewer", Some(5)));
        let root = home.admin().await;
        let made = home.ask(&root, "POST", "/api/v1/tokens", Some(json!({ "name": "t", "roles": ["viewer"] }))).await;
        assert_eq!(made.status, 201);
        home.account(&root, "ann", &["viewer"]).await;
        let ann = home.signed_in("ann").await;
        let body = json!({ "current": PASSWORD, "new": "another good one 1" });
        assert_eq!(home.ask(&ann, "POST", "/api/v1/me/password", Some(body)).await.status, 204);
    }
}
