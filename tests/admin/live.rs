//! The live feed over real WebSockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use portcullis::control::api::soc::live::{Live, LiveOptions};
use portcullis::control::soc::hub::HubLimits;
use portcullis::control::{Health, Ops};
use portcullis::telemetry::Metrics;
use portcullis::types::soc::Alert;
use portcullis::types::{Generation, ReloadOutcome};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::{Error, http};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use crate::databases;
use crate::home::{Client, HUB, Home, settings};
use crate::soc::{alert, write};

type Socket = WebSocketStream<TcpStream>;

/// Opens a socket, or says with what status and code it was refused.
async fn open(home: &Home, who: &Client, query: &str) -> Result<Socket, (u16, String)> {
    open_at(home.address, who, query).await
}

async fn open_at(address: SocketAddr, who: &Client, query: &str) -> Result<Socket, (u16, String)> {
    let mut request = format!("ws://{address}/api/v1/live{query}").into_client_request().unwrap();
    for (name, value) in &who.headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    match client_async(request, stream).await {
        Ok((socket, answer)) => {
            assert_eq!(answer.status(), 101);
            Ok(socket)
        }
        Err(Error::Http(answer)) => {
            let body: Value = serde_json::from_slice(answer.body().as_deref().unwrap_or_default()).unwrap_or_default();
            Err((answer.status().as_u16(), body["error"]["code"].as_str().unwrap_or_default().to_owned()))
        }
        Err(error) => panic!("{error}"),
    }
}

/// The next entry, or the close code.
async fn next(socket: &mut Socket) -> Result<Value, u16> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn seqs(socket: &mut Socket, count: usize) -> Vec<i64> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        all.push(next(socket).await.unwrap()["seq"].as_i64().unwrap());
    }
    all
}

/// A page of ours with this session.
fn page(home: &Home, session: &Client) -> Client {
    session.clone().with("origin", &format!("http://{}", home.address))
}

async fn token(home: &Home, who: &Client, roles: &[&str]) -> Client {
    let made = home.ask(who, "POST", "/api/v1/tokens", Some(json!({ "name": "t", "roles": roles }))).await;
    Client::bearer(made.json()["token"].as_str().unwrap_or_else(|| panic!("{made:?}")))
}

fn quick() -> LiveOptions {
    LiveOptions { heartbeat: Duration::from_millis(50), unanswered: 1000, ..LiveOptions::default() }
}

async fn live(options: LiveOptions) -> Home {
    Home::tuned(HUB, |doors| doors.soc.as_mut().unwrap().live = Live::new(options)).await
}

async fn resumed(home: &Home) {
    let root = home.admin().await;
    let who = token(home, &root, &["analyst"]).await;
    write(home, (0..600).map(|number| alert(&format!("alt_0_{number:03}"), "ann"))).await;
    let writing = async {
        for number in 0..150 {
            write(home, [alert(&format!("alt_1_{number:03}"), "bob")]).await;
        }
    };
    let watching = async {
        let mut socket = open(home, &who, "?since=5").await.unwrap();
        // Broken off and resumed, as often as it takes.
        let mut all = seqs(&mut socket, 300).await;
        drop(socket);
        while all.len() < 745 {
            let mut socket = open(home, &who, &format!("?since={}", all.last().unwrap())).await.unwrap();
            let left = 745 - all.len();
            all.extend(seqs(&mut socket, left.min(120)).await);
        }
        all
    };
    let ((), all) = tokio::join!(writing, watching);
    assert_eq!(all, (6..=750).collect::<Vec<i64>>());
}

#[tokio::test]
async fn who_comes_back_goes_on_without_gap_or_double_while_others_write_on_sqlite() {
    resumed(&Home::start().await).await;
}

#[tokio::test]
async fn who_comes_back_goes_on_without_gap_or_double_while_others_write_on_postgres() {
    let url = databases::shared().new_database();
    // A hub that keeps next to nothing: whoever is slow reads the store.
    let hub = HubLimits { entries: 2, ..HUB };
    resumed(&Home::built(settings(), &url, (None, None), hub, |_| {}).await).await;
}

#[tokio::test]
async fn two_hundred_watch_and_all_see_everything_in_order() {
    let home = live(LiveOptions { per_account: 200, ..LiveOptions::default() }).await;
    let root = home.admin().await;
    let who = token(&home, &root, &["analyst"]).await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(open(&home, &who, "").await.unwrap());
    }
    let status = home.ask(&root, "GET", "/api/v1/soc/status", None).await.json();
    assert_eq!(status["feed"]["sockets"], 200);
    let watching = sockets.into_iter().map(|mut socket| {
        tokio::spawn(async move {
            let first = next(&mut socket).await.unwrap();
            assert_eq!(
                (&first["kind"], &first["body"]["id"], &first["id"]),
                (&json!("alert"), &json!("alt_000"), &json!("alt_000"))
            );
            assert!(first["time"].is_i64() && first["body"].get("raw").is_none());
            (first["seq"].as_i64().unwrap(), seqs(&mut socket, 99).await)
        })
    });
    let watching: Vec<_> = watching.collect();
    for number in 0..100 {
        write(&home, [alert(&format!("alt_{number:03}"), "ann")]).await;
    }
    for one in watching {
        assert_eq!(one.await.unwrap(), (1, (2..=100).collect::<Vec<i64>>()));
    }
}

#[tokio::test]
async fn a_cookie_opens_a_socket_for_pages_of_this_host_only() {
    let home = Home::start().await;
    let root = home.admin().await;
    home.account(&root, "vera", &["viewer"]).await;
    let vera = home.signed_in("vera").await;
    let refused = (403, "cross_origin".to_owned());
    let foreign = |origin: &str| root.clone().with("origin", origin);
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1"] {
        assert_eq!(open(&home, &foreign(origin), "").await.unwrap_err(), refused, "{origin}");
    }
    assert_eq!(open(&home, &root, "").await.unwrap_err(), refused, "without an origin it is no page of ours");
    let twice = page(&home, &root).with("origin", "https://evil.example");
    assert_eq!(open(&home, &twice, "").await.unwrap_err(), refused);
    let framed = page(&home, &root).with("sec-fetch-site", "cross-site");
    assert_eq!(open(&home, &framed, "").await.unwrap_err(), refused);
    assert!(open(&home, &page(&home, &root), "").await.is_ok());
    assert!(open(&home, &token(&home, &root, &["analyst"]).await, "").await.is_ok(), "programs have no origin");
    assert_eq!(open(&home, &page(&home, &vera), "").await.unwrap_err(), (403, "missing_role".to_owned()));
    assert_eq!(open(&home, &Client::default(), "").await.unwrap_err(), (401, "not_signed_in".to_owned()));
    let plain = home.ask(&page(&home, &root), "GET", "/api/v1/live", None).await;
    assert_eq!((plain.status, plain.code().as_str()), (426, "upgrade_required"));
    for query in ["?since=-1", "?since=x", "?kinds=", "?kinds=alert,secrets", "?until=5"] {
        assert_eq!(open(&home, &page(&home, &root), query).await.unwrap_err().0, 400, "{query}");
    }
}

#[tokio::test]
async fn who_loses_the_role_or_the_session_is_sent_away() {
    let home = live(quick()).await;
    let root = home.admin().await;
    let id = home.account(&root, "ana", &["analyst"]).await;
    let ana = home.signed_in("ana").await;
    let mut by_token = open(&home, &token(&home, &ana, &["analyst"]).await, "").await.unwrap();
    let mut by_session = open(&home, &page(&home, &ana), "").await.unwrap();
    write(&home, [alert("alt_1", "ann")]).await;
    assert_eq!((seqs(&mut by_token, 1).await, seqs(&mut by_session, 1).await), (vec![1], vec![1]));
    assert_eq!(home.ask(&ana, "POST", "/api/v1/logout", None).await.status, 204);
    assert_eq!(next(&mut by_session).await, Err(4401));
    let viewer = json!({ "roles": ["viewer"] });
    assert_eq!(home.ask(&root, "PATCH", &format!("/api/v1/accounts/{id}"), Some(viewer)).await.status, 200);
    assert_eq!(next(&mut by_token).await, Err(4403));
}

#[tokio::test]
async fn nothing_is_told_after_the_role_is_lost_even_between_heartbeats() {
    let options = LiveOptions { recheck: Duration::ZERO, ..LiveOptions::default() };
    let home = live(options).await;
    let root = home.admin().await;
    let id = home.account(&root, "ana", &["analyst"]).await;
    let ana = home.signed_in("ana").await;
    let mut socket = open(&home, &token(&home, &ana, &["analyst"]).await, "").await.unwrap();
    let disabled = json!({ "disabled": true });
    assert_eq!(home.ask(&root, "PATCH", &format!("/api/v1/accounts/{id}"), Some(disabled)).await.status, 200);
    write(&home, [alert("alt_1", "ann")]).await;
    assert_eq!(next(&mut socket).await, Err(4401));
}

#[tokio::test]
async fn the_ops_listener_lets_sockets_through() {
    let home = Home::start().await;
    let root = home.admin().await;
    let who = token(&home, &root, &["analyst"]).await;
    let generation = Generation(1);
    let ops = Ops {
        metrics: Metrics::new("portcullis").unwrap(),
        health: Arc::new(Health::default()),
        reload: Arc::new(move || {
            let outcome = ReloadOutcome { trigger: "api".into(), generation, problems: vec![], warnings: vec![] };
            Box::pin(async { outcome })
        }),
        header_timeout: Duration::from_secs(5),
        store: None,
        admin: Some(home.api.router()),
        console: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    // One connection at a time: a socket does not take the place of probes and requests.
    tokio::spawn(ops.serve(listener, 1, stop.clone()));
    let mut socket = open_at(address, &who, "").await.unwrap();
    write(&home, [alert("alt_1", "ann")]).await;
    assert_eq!(seqs(&mut socket, 1).await, [1]);
    assert!(open_at(address, &who, "?since=0").await.is_ok());
    stop.cancel();
}

#[tokio::test]
async fn only_the_kinds_that_were_asked_for_are_told() {
    let home = Home::start().await;
    let root = home.admin().await;
    let mut socket = open(&home, &page(&home, &root), "?since=0&kinds=monitoring,plan").await.unwrap();
    write(&home, [alert("alt_1", "ann")]).await;
    home.ask(&root, "POST", "/api/v1/monitoring/off", Some(json!({ "reason": "drill" }))).await;
    let told = next(&mut socket).await.unwrap();
    assert_eq!((&told["seq"], &told["kind"]), (&json!(2), &json!("monitoring")));
}

#[tokio::test]
async fn who_asks_for_what_is_not_kept_is_told_to_begin_anew() {
    let home = Home::start().await;
    let root = home.admin().await;
    write(&home, (0..10).map(|number| alert(&format!("alt_{number}"), "ann"))).await;
    let mut ahead = open(&home, &page(&home, &root), "?since=11").await.unwrap();
    assert_eq!(next(&mut ahead).await, Err(4410));
    let mut tx = home.database.begin().await.unwrap();
    tx.execute("DELETE FROM feed WHERE seq < 5", portcullis::values![]).await.unwrap();
    tx.commit().await.unwrap();
    let mut old = open(&home, &page(&home, &root), "?since=3").await.unwrap();
    assert_eq!(next(&mut old).await, Err(4410));
    let mut kept = open(&home, &page(&home, &root), "?since=4").await.unwrap();
    assert_eq!(seqs(&mut kept, 6).await, (5..=10).collect::<Vec<i64>>());
}

/// Waits until so many sockets are open.
async fn until_open(home: &Home, count: usize) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..3000 {
        if home.soc.live.open() == count {
            return;
        }
        ticks.tick().await;
    }
    panic!("{} sockets are open", home.soc.live.open());
}

#[tokio::test]
async fn places_are_bounded_and_free_again_when_somebody_goes() {
    let home = live(LiveOptions { sockets: 2, ..LiveOptions::default() }).await;
    let root = home.admin().await;
    let who = page(&home, &root);
    let mut first = open(&home, &who, "").await.unwrap();
    let _second = open(&home, &who, "").await.unwrap();
    assert_eq!(open(&home, &who, "").await.unwrap_err(), (503, "too_many_sockets".to_owned()));
    first.close(None).await.unwrap();
    until_open(&home, 1).await;
    assert!(open(&home, &who, "").await.is_ok());
}

#[tokio::test]
async fn nobody_takes_all_places() {
    let home = live(LiveOptions { per_account: 1, ..LiveOptions::default() }).await;
    let root = home.admin().await;
    home.account(&root, "ana", &["analyst"]).await;
    let (who, ana) = (page(&home, &root), page(&home, &home.signed_in("ana").await));
    let mut first = open(&home, &who, "").await.unwrap();
    assert_eq!(open(&home, &who, "").await.unwrap_err(), (503, "too_many_sockets".to_owned()));
    let _other = open(&home, &ana, "").await.unwrap();
    first.close(None).await.unwrap();
    until_open(&home, 1).await;
    assert!(open(&home, &who, "").await.is_ok());
}

#[tokio::test]
async fn who_does_not_answer_pings_is_dropped() {
    let home = live(LiveOptions { unanswered: 2, ..quick() }).await;
    let root = home.admin().await;
    let mut socket = open(&home, &page(&home, &root), "").await.unwrap();
    // Read below the protocol, which would answer.
    let mut bytes = Vec::new();
    socket.get_mut().read_to_end(&mut bytes).await.unwrap();
    // Two pings, and a close frame with the code 4408.
    assert_eq!(bytes[..4], [0x89, 0, 0x89, 0]);
    assert_eq!((bytes[4], &bytes[6..8]), (0x88, 4408_u16.to_be_bytes().as_slice()));
    until_open(&home, 0).await;
}

#[tokio::test]
async fn who_reads_too_slowly_is_dropped_and_others_are_not_held_up() {
    let home = live(LiveOptions { send: Duration::from_secs(2), ..LiveOptions::default() }).await;
    let root = home.admin().await;
    let who = page(&home, &root);
    let _slow = open(&home, &who, "").await.unwrap();
    let mut quick = open(&home, &who, "").await.unwrap();
    let reading = tokio::spawn(async move { (seqs(&mut quick, 150).await, quick) });
    for number in 0..150 {
        let message = "x".repeat(200_000);
        write(&home, [Alert { message, ..alert(&format!("alt_{number:03}"), "ann") }]).await;
    }
    let (all, _quick) = reading.await.unwrap();
    assert_eq!(all, (1..=150).collect::<Vec<i64>>());
    until_open(&home, 1).await;
}

#[tokio::test]
async fn what_is_said_over_the_socket_is_ignored_and_bounded() {
    let home = Home::start().await;
    let root = home.admin().await;
    let mut socket = open(&home, &page(&home, &root), "").await.unwrap();
    socket.send(Message::text("{\"subscribe\":\"everything\"}")).await.unwrap();
    write(&home, [alert("alt_1", "ann")]).await;
    assert_eq!(seqs(&mut socket, 1).await, [1]);
    for _ in 0..65 {
        socket.send(Message::text("?")).await.unwrap();
    }
    assert_eq!(next(&mut socket).await, Err(1008));
    let mut socket = open(&home, &page(&home, &root), "").await.unwrap();
    socket.send(Message::text("x".repeat(5000))).await.unwrap();
    let ended = loop {
        match socket.next().await {
            Some(Ok(Message::Close(_)) | Err(_)) | None => break true,
            Some(Ok(Message::Text(_))) => break false,
            Some(Ok(_)) => {}
        }
    };
    assert!(ended);
}
