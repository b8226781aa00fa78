//! Setup, passwords, lockout, sessions.

use serde_json::json;

use crate::home::{Client, Home, PASSWORD, settings};

#[tokio::test]
async fn the_setup_token_makes_one_administrator_and_no_second() {
    let home = Home::start().await;
    let nobody = Client::default();
    assert_eq!(home.ask(&nobody, "GET", "/api/v1/setup", None).await.json()["needed"], true);
    let first = home.api.setup_token().await.unwrap().unwrap();
    let second = home.api.setup_token().await.unwrap().unwrap();
    let body = |token: &str, name: &str| Some(json!({ "token": token, "name": name, "password": PASSWORD }));
    for wrong in ["pcs_wrong", " ", "' OR 1=1 --", &first.expose().replace("pcs_", "pct_")] {
        let answer = home.ask(&nobody, "POST", "/api/v1/setup", body(wrong, "eve")).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "wrong_setup_token"));
    }
    let weak = json!({ "token": first.expose(), "name": "root", "password": "rootrootroot" });
    assert_eq!(home.ask(&nobody, "POST", "/api/v1/setup", Some(weak)).await.code(), "weak_password");
    let (one, two) = tokio::join!(
        home.ask(&nobody, "POST", "/api/v1/setup", body(first.expose(), "root")),
        home.ask(&nobody, "POST", "/api/v1/setup", body(second.expose(), "other")),
    );
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 401], "{one:?} {two:?}");
    let made = if one.status == 201 { one } else { two };
    assert_eq!(made.json()["roles"], json!(["admin", "auditor"]));
    let me = home.ask(&Client::session(&made), "GET", "/api/v1/me", None).await;
    assert_eq!(me.json()["via"], "session");
    assert!(home.api.setup_token().await.unwrap().is_none());
    assert_eq!(home.ask(&nobody, "GET", "/api/v1/setup", None).await.json()["needed"], false);
}

#[tokio::test]
async fn a_setup_token_expires() {
    let home = Home::start().await;
    let token = home.api.setup_token().await.unwrap().unwrap();
    home.later(24 * 3600 + 1);
    let body = json!({ "token": token.expose(), "name": "root", "password": PASSWORD });
    assert_eq!(home.ask(&Client::default(), "POST", "/api/v1/setup", Some(body)).await.status, 401);
    assert!(home.api.setup_token().await.unwrap().is_some());
}

#[tokio::test]
async fn forty_wrong_logins_end_in_429_for_known_and_unknown_names_alike() {
    let home = Home::start().await;
    let admin = home.admin().await;
    home.account(&admin, "ann", &["viewer"]).await;
    for name in ["ann", "nobody-has-this"] {
        let tries = (0..40).map(|at| home.login(name, if at % 2 == 0 { "wrong password" } else { "x" }));
        let mut told = Vec::new();
        for answer in futures_of(tries).await {
            told.push(answer.status);
        }
        assert_eq!(told.iter().filter(|status| **status == 401).count(), 5, "{name}: {told:?}");
        assert_eq!(told.iter().filter(|status| **status == 429).count(), 35, "{name}: {told:?}");
    }
    let answer = home.login("ann", PASSWORD).await;
    assert_eq!(answer.code(), "too_many_attempts");
    let wait: i64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    home.later(wait);
    assert_eq!(home.login("ann", PASSWORD).await.status, 200, "after the wait the right password works");
    assert_eq!(home.ask(&admin, "GET", "/api/v1/me", None).await.status, 200, "who is signed in stays so");
    let refused = home.notes("login.password");
    assert_eq!(refused.len(), 10, "only tries that were made are recorded");
    assert!(refused.iter().all(|note| note.outcome == "refused" && note.actor.name != "nobody-has-this"));
}

/// All at once.
async fn futures_of<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *slot = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test]
async fn an_address_that_tries_many_names_has_to_wait() {
    let mut settings = settings();
    settings.lockout.per_address = 10;
    let home = Home::with(settings).await;
    let mut told = Vec::new();
    for at in 0..12 {
        told.push(home.login(&format!("name{at}"), "wrong password").await.status);
    }
    assert_eq!(told, [vec![401; 10], vec![429; 2]].concat());
}

#[tokio::test]
async fn a_session_cookie_has_every_attribute_and_is_new_at_each_login() {
    let home = Home::start().await;
    let admin = home.admin().await;
    home.account(&admin, "ann", &["viewer"]).await;
    let first = home.login("ann", PASSWORD).await;
    let cookie = first.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-portcullis="), "{cookie}");
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    // Fixation: a session known before the login is of no use after it.
    let old = Client::session(&first);
    let body = json!({ "name": "ann", "password": PASSWORD });
    let planted = Client { headers: vec![old.headers[0].clone()] };
    let second = home.ask(&planted, "POST", "/api/v1/login", Some(body)).await;
    assert_ne!(first.cookies(), second.cookies());
    assert_eq!(home.ask(&old, "GET", "/api/v1/me", None).await.code(), "session_ended");
    let chosen = Client::default().with("cookie", &format!("__Host-portcullis={}", "a".repeat(64)));
    assert_eq!(home.ask(&chosen, "GET", "/api/v1/me", None).await.status, 401);
}

#[tokio::test]
async fn sessions_end_when_idle_when_old_and_when_told() {
    let home = Home::start().await;
    let admin = home.admin().await;
    let ann = home.account(&admin, "ann", &["viewer"]).await;
    let status = async |who: &Client| home.ask(who, "GET", "/api/v1/me", None).await.status;

    let idle = home.signed_in("ann").await;
    home.later(30 * 60 - 1);
    assert_eq!(status(&idle).await, 200);
    home.later(30 * 60);
    assert_eq!(status(&idle).await, 401);
    // A page that is open and looks again by itself is no use of the session.
    let open = home.signed_in("ann").await;
    for (after, expected) in [(29 * 60, 200), (2 * 60, 401)] {
        home.later(after);
        let watching = open.clone().with("x-portcullis-watching", "1");
        assert_eq!(status(&watching).await, expected);
    }
    let old = home.signed_in("ann").await;
    for _ in 0..25 {
        home.later(29 * 60);
        status(&old).await;
    }
    assert_eq!(status(&old).await, 401, "after twelve hours, however busy");

    let (one, two, three) = (home.signed_in("ann").await, home.signed_in("ann").await, home.signed_in("ann").await);
    let page = home.ask(&one, "GET", "/api/v1/sessions", None).await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let second = page["items"][1]["id"].as_str().unwrap();
    assert_eq!(home.ask(&one, "DELETE", &format!("/api/v1/sessions/{second}"), None).await.status, 204);
    assert_eq!((status(&one).await, status(&two).await, status(&three).await), (200, 401, 200));
    let out = home.ask(&one, "POST", "/api/v1/logout", None).await;
    assert_eq!(out.status, 204);
    assert!(out.headers["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
    assert_eq!((status(&one).await, status(&three).await), (401, 200));
    let four = home.signed_in("ann").await;
    assert_eq!(home.ask(&four, "POST", "/api/v1/logout/all", None).await.status, 204);
    assert_eq!((status(&three).await, status(&four).await), (401, 401));

    let five = home.signed_in("ann").await;
    let admin = home.signed_in("root").await;
    assert_eq!(home.ask(&admin, "POST", &format!("/api/v1/accounts/{ann}/logout"), None).await.status, 204);
    assert_eq!(status(&five).await, 401);
}

#[tokio::test]
async fn a_new_password_ends_other_sessions_and_the_old_password() {
    let home = Home::start().await;
    let admin = home.admin().await;
    home.account(&admin, "ann", &["viewer"]).await;
    let (one, two) = (home.signed_in("ann").await, home.signed_in("ann").await);
    let body = |current: &str, new: &str| Some(json!({ "current": current, "new": new }));
    let change = async |current: &str, new: &str| {
        let answer = home.ask(&one, "POST", "/api/v1/me/password", body(current, new)).await;
        if answer.status == 204 { "done".to_owned() } else { answer.code() }
    };
    assert_eq!(change("wrong password", "another good one 1").await, "wrong_credentials");
    assert_eq!(change(PASSWORD, "short").await, "invalid_body");
    assert_eq!(change(PASSWORD, "i am ann and this is it").await, "weak_password");
    assert_eq!(change(PASSWORD, "another good one 1").await, "done");
    assert_eq!(home.ask(&one, "GET", "/api/v1/me", None).await.status, 200);
    assert_eq!(home.ask(&two, "GET", "/api/v1/me", None).await.status, 401);
    assert_eq!(home.login("ann", PASSWORD).await.status, 401);
    assert_eq!(home.login("ANN", "another good one 1").await.status, 200);
}

#[tokio::test]
async fn passwords_and_secrets_are_in_no_audit_note_and_in_no_row() {
    let home = Home::start().await;
    let admin = home.admin().await;
    home.account(&admin, "ann", &["viewer"]).await;
    let token = json!({ "name": "t", "roles": ["viewer"] });
    let token = home.ask(&admin, "POST", "/api/v1/tokens", Some(token)).await.json();
    let key = home.ask(&admin, "POST", "/api/v1/keys", Some(json!({ "name": "k" }))).await.json();
    home.ask(&Client::default(), "POST", "/api/v1/login", Some(json!({ "name": PASSWORD, "password": "x" }))).await;
    let cookie = admin.headers[0].1.split_once('=').unwrap().1.to_owned();
    let secrets = [PASSWORD, token["token"].as_str().unwrap(), key["key"].as_str().unwrap(), &cookie];
    let notes = format!("{:?}", home.rest.notes.lock().unwrap());
    let mut rows = String::new();
    for sql in [
        "SELECT hash FROM sessions",
        "SELECT hash FROM tokens",
        "SELECT hash FROM keys",
        "SELECT password FROM accounts",
    ] {
        for row in home.database.read().await.unwrap().rows(sql, Vec::new()).await.unwrap() {
            rows.push_str(&row.text(0).unwrap());
        }
    }
    for secret in secrets {
        assert!(!notes.contains(secret) && !rows.contains(secret));
    }
}
