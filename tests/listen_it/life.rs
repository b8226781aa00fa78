//! Deadlines, caps, PROXY headers, HTTP/2 in clear, draining, and what an idle connection costs.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::config::settings::{Listener, Protocol};
use portcullis::config::units::Time;
use portcullis::proxy::listen::{self, Refused};

use super::support::{PATIENCE, answers, connect, exchange, listener, read_one, read_to_end, settings, start};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// Waits, on a socket that says nothing meanwhile.
fn pause(socket: &mut TcpStream, time: Duration) {
    socket.set_read_timeout(Some(time)).unwrap();
    let error = socket.read(&mut [0]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_slow_head_gets_408_while_others_are_served() {
    let server = start(&settings(), None);
    let mut slow = connect(server.address());
    slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").unwrap();
    assert_eq!(answers(&exchange(server.address(), GET_AND_CLOSE))[0].status, 200);
    let began = Instant::now();
    let answer = read_to_end(&mut slow);
    assert_eq!(answers(&answer)[0].error_code(), "request_timeout");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn silence_is_closed_without_a_word() {
    let server = start(&settings(), None);
    assert!(read_to_end(&mut connect(server.address())).is_empty());
    let mut idle = connect(server.address());
    idle.write_all(GET).unwrap();
    assert_eq!(read_one(&mut idle).status, 200);
    assert!(read_to_end(&mut idle).is_empty());
    assert!(server.log.refuses.lock().unwrap().is_empty());
}

#[test]
fn a_connection_serves_again_after_its_memory_was_given_back() {
    let mut settings = settings();
    settings.http.idle_timeout = Time::from_secs(5);
    let server = start(&settings, None);
    let mut socket = connect(server.address());
    for (number, idle) in [(1, 1), (2, 400), (3, 1), (4, 400)] {
        pause(&mut socket, Duration::from_millis(idle));
        let request = format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        let (first, second) = request.split_at(30);
        socket.write_all(first.as_bytes()).unwrap();
        pause(&mut socket, Duration::from_millis(30));
        socket.write_all(second.as_bytes()).unwrap();
        assert_eq!(read_one(&mut socket).body, format!("POST /{number} hi"));
    }
}

#[test]
fn a_client_that_leaves_ends_its_request() {
    let server = start(&settings(), None);
    let mut socket = connect(server.address());
    socket.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("served", || server.served().len() == 1);
    drop(socket);
    until("dropped", || server.log.dropped.load(std::sync::atomic::Ordering::SeqCst) == 1);
}

#[test]
fn a_client_that_reads_nothing_is_cut() {
    let server = start(&settings(), None);
    let mut socket = connect(server.address());
    socket.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("open", || server.log.open.load(std::sync::atomic::Ordering::SeqCst) == 1);
    until("cut", || server.log.open.load(std::sync::atomic::Ordering::SeqCst) == 0);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
}

#[test]
fn a_slow_reader_gets_every_byte_of_a_last_answer() {
    let mut settings = settings();
    settings.http.write_timeout = Time::from_secs(10);
    let server = start(&settings, None);
    let mut socket = connect(server.address());
    socket.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut first = [0; 1000];
    let count = socket.read(&mut first).unwrap();
    // Long enough for the handler to be done and for every buffer between here and there to be full.
    std::thread::park_timeout(Duration::from_millis(300));
    let rest = read_to_end(&mut socket).len();
    assert!(count + rest > 64 << 20, "{}", count + rest);
}

#[test]
fn a_request_read_ahead_is_served_when_a_slow_reader_has_the_answer_before_it() {
    let mut settings = settings();
    settings.http.write_timeout = Time::from_secs(10);
    settings.http.idle_timeout = Time::from_secs(10);
    let server = start(&settings, None);
    let mut socket = connect(server.address());
    socket.write_all(&[&b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"[..], GET_AND_CLOSE].concat()).unwrap();
    std::thread::park_timeout(Duration::from_millis(300));
    let answer = read_to_end(&mut socket);
    assert!(answer.ends_with(b"GET /x "), "{}", answer.len());
}

#[test]
fn one_address_has_a_cap_and_gets_its_places_back() {
    let mut settings = settings();
    settings.server.max_connections_per_address = 2;
    let server = start(&settings, None);
    let mut first = connect(server.address());
    first.write_all(GET).unwrap();
    assert_eq!(read_one(&mut first).status, 200);
    let mut second = connect(server.address());
    second.write_all(GET).unwrap();
    assert_eq!(read_one(&mut second).status, 200);
    assert!(read_to_end(&mut connect(server.address())).is_empty());
    assert_eq!(*server.log.refused.lock().unwrap(), [Refused::AddressCap]);
    drop(first);
    until("a place", || {
        let mut again = connect(server.address());
        again.write_all(GET_AND_CLOSE).ok();
        answers(&read_to_end(&mut again)).first().is_some_and(|answer| answer.status == 200)
    });
}

#[test]
fn beyond_the_total_connections_wait_for_their_turn() {
    let mut settings = settings();
    settings.server.max_connections = 2;
    settings.http.idle_timeout = Time::from_millis(200);
    let server = start(&settings, None);
    let mut sockets: Vec<_> = (0..6).map(|_| connect(server.address())).collect();
    for socket in &mut sockets {
        socket.write_all(GET_AND_CLOSE).unwrap();
    }
    for socket in &mut sockets {
        assert_eq!(answers(&read_to_end(socket))[0].status, 200);
    }
}

#[test]
fn a_proxy_header_is_believed_from_trusted_peers_only() {
    let mut settings = settings();
    settings.listeners[0].proxy_protocol = true;
    settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let server = start(&settings, None);
    let request = "GET /address HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let v1 = format!("PROXY TCP4 203.0.113.7 127.0.0.1 4711 80\r\n{request}");
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([203, 0, 113, 8, 127, 0, 0, 1, 0x12, 0x67, 0, 80]);
    v2.extend(request.as_bytes());
    let body = |bytes: &[u8]| answers(&exchange(server.address(), bytes))[0].body.clone();
    assert_eq!(body(v1.as_bytes()), "Some(203.0.113.7)");
    assert_eq!(body(&v2), "Some(203.0.113.8)");
    assert!(exchange(server.address(), request.as_bytes()).is_empty());
    assert!(exchange(server.address(), b"PROXY TCP4 nonsense\r\n").is_empty());
    let mut late = connect(server.address());
    late.write_all(b"PROXY TC").unwrap();
    assert!(read_to_end(&mut late).is_empty());
    assert_eq!(*server.log.refused.lock().unwrap(), [Refused::ProxyHeader; 3]);
    settings.server.trusted_proxies = Vec::new();
    let strict = start(&settings, None);
    assert!(exchange(strict.address(), v1.as_bytes()).is_empty());
    assert_eq!(*strict.log.refused.lock().unwrap(), [Refused::UntrustedProxy]);
}

#[test]
fn forwarded_headers_count_behind_a_trusted_peer() {
    let mut settings = settings();
    let request = b"GET /address HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.7\r\nConnection: close\r\n\r\n";
    let server = start(&settings, None);
    assert_eq!(answers(&exchange(server.address(), request))[0].body, "Some(127.0.0.1)");
    settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let trusting = start(&settings, None);
    assert_eq!(answers(&exchange(trusting.address(), request))[0].body, "Some(203.0.113.7)");
}

#[test]
fn a_unix_socket_serves_replaces_a_stale_file_and_respects_a_live_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let mut settings = settings();
    settings.listeners =
        vec![Listener { protocol: Protocol::Unix, address: None, path: Some(path.clone()), proxy_protocol: false }];
    {
        let _server = start(&settings, None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.write_all(GET_AND_CLOSE).unwrap();
        assert_eq!(answers(&read_to_end(&mut socket))[0].status, 200);
        assert!(listen::bind(&settings).is_err());
    }
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert!(listen::bind(&settings).is_err());
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn http2_in_clear_is_recognised_and_closed_when_idle() {
    let server = start(&settings(), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = |authority: &str| {
            let uri = format!("http://{authority}/h2");
            Request::get(uri).body(Empty::<Bytes>::new()).unwrap()
        };
        let response = sender.send_request(request("gateway")).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "GET http://gateway/h2 ");
        let mut other = request("gateway");
        other.headers_mut().insert("host", "other".parse().unwrap());
        assert_eq!(sender.send_request(other).await.unwrap().status(), 421);
        tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap().ok();
    });
}

#[test]
fn an_http2_client_that_takes_nothing_is_cut() {
    let mut settings = settings();
    settings.http.idle_timeout = Time::from_secs(60);
    let server = start(&settings, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = Request::get("http://gateway/flood").body(Empty::<Bytes>::new()).unwrap();
        let unread = sender.send_request(request).await.unwrap();
        assert_eq!(unread.status(), 200);
        tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap().ok();
    });
}

#[test]
fn an_http2_request_outlives_the_idle_timeout_and_is_dropped_at_the_end_of_a_drain() {
    let mut server = start(&settings(), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = Request::get("http://gateway/stream").body(Empty::<Bytes>::new()).unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let began = Instant::now();
        let mut all = Vec::new();
        while let Some(frame) = body.frame().await {
            all.extend(frame.unwrap().into_data().unwrap());
            if began.elapsed() > Duration::from_millis(900) && !server.shutdown.is_draining() {
                server.shutdown.drain();
            }
        }
        assert!(all.ends_with(b"end"));
        assert!(began.elapsed() > Duration::from_millis(1100));
        tokio::time::timeout(PATIENCE, driver).await.unwrap().unwrap().ok();
    });
    server.join();
}

#[test]
fn an_http2_preface_and_then_silence_is_closed() {
    let server = start(&settings(), None);
    let mut socket = connect(server.address());
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let began = Instant::now();
    read_to_end(&mut socket);
    assert!(began.elapsed() < Duration::from_secs(3));
    let mut half = connect(server.address());
    half.write_all(b"PRI * HTTP/2.0\r\n\r\n").unwrap();
    assert_eq!(answers(&read_to_end(&mut half))[0].status, 408);
}

#[test]
fn draining_closes_idle_connections_ends_streams_and_the_workers() {
    let mut settings = settings();
    settings.http.idle_timeout = Time::from_secs(60);
    settings.http.header_timeout = Time::from_secs(60);
    let mut server = start(&settings, None);
    let mut fresh = connect(server.address());
    let mut idle = connect(server.address());
    idle.write_all(GET).unwrap();
    assert_eq!(read_one(&mut idle).status, 200);
    let mut streaming = connect(server.address());
    streaming.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut start_of_stream = [0; 200];
    let count = streaming.read(&mut start_of_stream).unwrap();
    assert!(String::from_utf8_lossy(&start_of_stream[..count]).starts_with("HTTP/1.1 200"));
    let began = Instant::now();
    server.shutdown.drain();
    assert!(read_to_end(&mut fresh).is_empty());
    assert!(read_to_end(&mut idle).is_empty());
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
    // The stream goes on until the deadline, then ends as its protocol says.
    let rest = String::from_utf8(read_to_end(&mut streaming)).unwrap();
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
    assert!(rest.ends_with("3\r\nend\r\n0\r\n\r\n"), "{rest:?}");
    server.join();
    assert!(TcpStream::connect(server.address()).is_err());
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_second_signal_ends_now() {
    let mut settings = settings();
    settings.server.drain_deadline = Time::from_secs(60);
    let mut server = start(&settings, None);
    let mut socket = connect(server.address());
    socket.write_all(b"GET /never HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    until("served", || server.served().len() == 1);
    server.shutdown.drain();
    server.shutdown.now();
    server.join();
    assert!(read_to_end(&mut socket).is_empty());
}

/// Resident bytes of this process.
pub(crate) fn resident() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[test]
#[ignore = "measures the memory of the whole process: run alone, with --ignored --nocapture"]
fn an_idle_connection_costs_little() {
    let mut settings = settings();
    settings.http.header_timeout = Time::from_secs(60);
    settings.http.idle_timeout = Time::from_secs(60);
    settings.http.write_timeout = Time::from_secs(60);
    settings.listeners = vec![listener(Protocol::Http)];
    let server = start(&settings, None);
    assert_eq!(answers(&exchange(server.address(), GET_AND_CLOSE))[0].status, 200);
    let count: usize = 8000;
    let open = |expected: u32| until("open", || server.log.open.load(std::sync::atomic::Ordering::SeqCst) == expected);
    open(0);
    let before = resident();
    let mut sockets: Vec<_> = (0..count).map(|_| connect(server.address())).collect();
    open(u32::try_from(count).unwrap());
    let fresh = (resident() - before) / count;
    for socket in &mut sockets {
        socket.write_all(GET).unwrap();
    }
    for socket in &mut sockets {
        assert_eq!(read_one(socket).status, 200);
    }
    let busy = (resident() - before) / count;
    pause(&mut sockets[0], Duration::from_secs(2));
    // Allocators give memory back when they are next used.
    for _ in 0..200 {
        exchange(server.address(), GET_AND_CLOSE);
    }
    let idle = (resident() - before) / count;
    eprintln!(
        "bytes per connection: {fresh} before its first request, {busy} just after, {idle} idle between requests"
    );
    assert!(fresh < 4 << 10 && idle < 8 << 10, "{fresh} {idle}");
}
