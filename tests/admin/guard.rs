//! CSRF, hosts, path spellings, credentials that are none.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::home::{Client, Home, PASSWORD, settings};

#[tokio::test]
async fn a_change_with_a_cookie_needs_the_csrf_token_and_the_own_origin() {
    let home = Home::start().await;
    let admin = home.admin().await;
    let cookie = || Client { headers: vec![admin.headers[0].clone()] };
    let csrf = admin.headers[1].1.clone();
    let reload = async |who: &Client| {
        let answer = home.ask(who, "POST", "/api/v1/reload", None).await;
        if answer.status == 200 { "done".to_owned() } else { answer.code() }
    };
    assert_eq!(reload(&admin).await, "done");
    assert_eq!(reload(&cookie()).await, "csrf");
    assert_eq!(reload(&cookie().with("x-portcullis-csrf", "")).await, "csrf");
    assert_eq!(reload(&cookie().with("x-portcullis-csrf", &csrf[1..])).await, "csrf");
    let origin = format!("http://{}", home.address);
    assert_eq!(reload(&admin.clone().with("origin", &origin)).await, "done");
    assert_eq!(reload(&admin.clone().with("sec-fetch-site", "same-origin")).await, "done");
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert_eq!(reload(&admin.clone().with(name, value)).await, "cross_origin", "{name}: {value}");
    }
    assert_eq!(home.ask(&cookie(), "GET", "/api/v1/me", None).await.status, 200, "reading needs none");
    let body = json!({ "name": "root", "password": PASSWORD });
    let evil = Client::default().with("origin", "https://evil.example");
    assert_eq!(home.ask(&evil, "POST", "/api/v1/login", Some(body)).await.code(), "cross_origin");
}

#[tokio::test]
async fn tokens_need_no_csrf_token_and_do_not_mix_with_cookies() {
    let home = Home::start().await;
    let admin = home.admin().await;
    let made = home.ask(&admin, "POST", "/api/v1/tokens", Some(json!({ "name": "ci", "roles": ["viewer"] }))).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let who = Client::bearer(&token);
    assert_eq!(home.ask(&who, "GET", "/api/v1/status", None).await.status, 200);
    assert_eq!(home.ask(&who, "POST", "/api/v1/reload", None).await.code(), "missing_role");
    // The cookie of an administrator beside it adds nothing.
    let both = who.with("cookie", &admin.headers[0].1).with("x-portcullis-csrf", &admin.headers[1].1);
    assert_eq!(home.ask(&both, "POST", "/api/v1/reload", None).await.code(), "missing_role");
    let two = both.with("authorization", &format!("Bearer {token}"));
    assert_eq!(home.ask(&two, "GET", "/api/v1/me", None).await.code(), "two_credentials");
    let cookie = &admin.headers[0].1;
    let planted = Client::default().with("cookie", &format!("{cookie}; __Host-portcullis=x"));
    assert_eq!(home.ask(&planted, "GET", "/api/v1/me", None).await.status, 401, "two cookies of one name");
}

#[tokio::test]
async fn what_is_no_token_is_refused_without_an_error_of_the_store() {
    let home = Home::start().await;
    let admin = home.admin().await;
    let made = home.ask(&admin, "POST", "/api/v1/tokens", Some(json!({ "name": "ci", "roles": ["viewer"] }))).await;
    let token = made.json()["token"].as_str().unwrap().to_owned();
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290Iiwicm9sZXMiOlsiYWRtaW4iXX0.";
    let mut wrong = vec![
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        format!("Bearer {none}"),
        "Bearer pct_' OR '1'='1".into(),
        "Bearer pct_\"; DROP TABLE tokens; --".into(),
        format!("Bearer {token}{token}"),
        format!("Bearer  {token}"),
        format!("Basic {token}"),
        format!("Bearer {}", &token[..52]),
        format!("Bearer {}x", &token[..52]),
        format!("Bearer {}", "A".repeat(4000)),
        "Bearer pct_%00".into(),
    ];
    wrong.push(format!("Bearer {}", token.to_lowercase()));
    for value in wrong {
        let answer = home.ask(&Client::default().with("authorization", &value), "GET", "/api/v1/me", None).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_token"), "{value}");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    for value in ["", "x", "' OR 1=1 --", &"f".repeat(64), &"ff%00".repeat(20)] {
        let who = Client::default().with("cookie", &format!("__Host-portcullis={value}"));
        assert_eq!(home.ask(&who, "GET", "/api/v1/me", None).await.status, 401, "{value}");
    }
}

#[tokio::test]
async fn sql_and_zero_bytes_in_parameters_find_nothing_and_break_nothing() {
    let home = Home::start().await;
    let admin = home.admin().await;
    let strings = [
        "'",
        "' OR 1=1 --",
        "%25",
        "_",
        "1;DROP TABLE accounts",
        "%27%20UNION%20SELECT%20password%20FROM%20accounts",
        "..%2f..",
        "%ff",
        "%00",
        "\u{1f}",
    ];
    for text in strings {
        let text = text.replace(' ', "%20").replace('\u{1f}', "%1f");
        for noun in ["accounts", "keys", "orders", "events", "policies"] {
            let answer = home.ask(&admin, "GET", &format!("/api/v1/{noun}/{text}"), None).await;
            assert!(matches!(answer.status, 400 | 404), "{noun} {text}: {answer:?}");
        }
        for query in ["tenant", "user", "after", "before", "limit", "model", "decision", "nonsense"] {
            for noun in ["keys", "events", "orders", "accounts", "spend", "audit"] {
                let answer = home.ask(&admin, "GET", &format!("/api/v1/{noun}?{query}={text}"), None).await;
                assert!(matches!(answer.status, 200 | 400), "{noun} {query}={text}: {answer:?}");
                if answer.status == 200 && matches!(noun, "keys" | "events" | "orders") {
                    assert_eq!(answer.json()["items"], json!([]), "{noun} {query}={text}");
                }
            }
        }
        let answer = home.login(&text, &text).await;
        assert!(matches!(answer.status, 400 | 401 | 429), "{answer:?}");
    }
    let body = br#"{"name":"a\u0000b","roles":[]}"#.to_vec();
    let who = admin.clone().with("content-type", "application/json");
    assert_eq!(home.send(&who, "POST", "/api/v1/accounts", body).await.code(), "zero_byte");
    assert_eq!(home.ask(&admin, "GET", "/api/v1/accounts", None).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn only_known_hosts_are_answered() {
    let home = Home::start().await;
    let port = home.address.port();
    let status =
        async |host: &str| home.ask(&Client::default().with("host", host), "GET", "/api/v1/setup", None).await.status;
    for host in ["localhost", "LOCALHOST", &format!("localhost:{port}"), "127.0.0.1", "[::1]:1", "localhost."] {
        assert_eq!(status(host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "evil.example:80",
        "localhost@evil.example",
        "0.0.0.0",
        "[::1",
        "",
    ] {
        assert!(matches!(status(host).await, 400 | 421), "{host}");
    }
    let forwarded = Client::default().with("host", "evil.example").with("x-forwarded-host", "localhost");
    assert_eq!(home.ask(&forwarded, "GET", "/api/v1/setup", None).await.status, 421);
    for head in [
        "GET /api/v1/setup HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /api/v1/setup HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        "GET http://evil.example/api/v1/setup HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(home.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_and_no_method_gets_around_the_guard() {
    let home = Home::start().await;
    let nobody = Client::default();
    for path in [
        "/api/v1/accounts",
        "/api/v1/accounts/",
        "/api/v1//accounts",
        "/api/v1/./accounts",
        "/api/v1/login/../accounts",
        "/API/V1/ACCOUNTS",
        "/api/v1/%61ccounts",
        "/api/v1/accounts%2f",
        "/api/v1/accounts;x=1",
        "/api/v1/accounts?x=/api/v1/login",
        "/api/v1/accounts/..;/login",
        "/api/v1/openapi.json/../accounts",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "GETX"] {
            let answer = home.ask(&nobody, method, path, None).await;
            assert!(matches!(answer.status, 401 | 403 | 404 | 405), "{method} {path}: {answer:?}");
        }
    }
    let tricks =
        [("x-original-url", "/api/v1/setup"), ("x-rewrite-url", "/api/v1/setup"), ("x-http-method-override", "GET")];
    for (name, value) in tricks {
        let who = Client::default().with(name, value);
        assert_eq!(home.ask(&who, "GET", "/api/v1/accounts", None).await.status, 401, "{name}");
    }
}

#[tokio::test]
async fn every_answer_is_dressed_and_none_opens_to_other_origins() {
    let home = Home::start().await;
    let admin = home.admin().await;
    for (who, path) in [(&admin, "/api/v1/me"), (&Client::default(), "/api/v1/me"), (&admin, "/nothing")] {
        let answer = home.ask(&who.clone().with("origin", "https://evil.example"), "GET", path, None).await;
        let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
        assert!(header("content-security-policy").contains("default-src 'self'"));
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!((header("x-content-type-options"), header("cache-control")), ("nosniff", "no-store"));
        assert!(header("x-request-id").starts_with("adm_"));
        assert_eq!((header("access-control-allow-origin"), header("strict-transport-security")), ("", ""));
    }
    let preflight =
        Client::default().with("origin", "https://evil.example").with("access-control-request-method", "POST");
    let answer = home.ask(&preflight, "OPTIONS", "/api/v1/login", None).await;
    assert_eq!(answer.status, 405);
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn bodies_are_bounded_typed_and_have_no_unknown_fields() {
    let home = Home::start().await;
    let admin = home.admin().await;
    let post = async |kind: &str, body: &[u8]| {
        let who = admin.clone().with("content-type", kind);
        let answer = home.send(&who, "POST", "/api/v1/accounts", body.to_vec()).await;
        (answer.status, answer.code())
    };
    let json = "application/json";
    assert_eq!(post("text/plain", b"{}").await, (415, "unsupported_media_type".into()));
    assert_eq!(post(json, b"{").await, (400, "invalid_json".into()));
    assert_eq!(post(json, br#"{"name":"x","roles":[]} {}"#).await, (400, "invalid_json".into()));
    assert_eq!(post(json, br#"{"name":"x","roles":[],"root":true}"#).await, (400, "invalid_body".into()));
    assert_eq!(post(json, br#"{"name":"x","name":"y","roles":[]}"#).await, (400, "invalid_body".into()));
    assert_eq!(post(json, br#"{"name":"x","roles":["root"]}"#).await, (400, "invalid_body".into()));
    let big = format!(r#"{{"name":"x","roles":[],"password":"{}"}}"#, "a".repeat(600_000));
    assert_eq!(post(json, big.as_bytes()).await, (413, "body_too_large".into()));
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    assert_eq!(post(json, &deep).await.0 / 100, 4);
}

#[tokio::test]
async fn the_cookie_without_secure_exists_on_this_machine_and_by_setting_only() {
    let mut settings = settings();
    settings.insecure_loopback_cookie = true;
    settings.allowed_hosts.push("soc.example".into());
    let home = Home::with(settings).await;
    home.admin().await;
    let cookie = async |host: &str| {
        let body = json!({ "name": "root", "password": PASSWORD });
        let answer = home.ask(&Client::default().with("host", host), "POST", "/api/v1/login", Some(body)).await;
        answer.headers["set-cookie"].to_str().unwrap().to_owned()
    };
    let local = cookie("localhost:1").await;
    assert!(local.starts_with("portcullis-dev=") && !local.contains("Secure"), "{local}");
    let other = cookie("soc.example").await;
    assert!(other.starts_with("__Host-portcullis=") && other.contains("Secure"), "{other}");
}
