//! TLS: the development certificate, ALPN, replacing certificates, client certificates, clients that speak no TLS.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use portcullis::config::settings::{ClientAuth, Protocol, Settings, Tls};
use portcullis::proxy::listen::{DevCertificate, Handshake, TlsMaterial, TlsState, dev_certificate};
use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::life::until;
use super::support::{Server, answers, connect, exchange, listener, read_to_end, settings, start};

const GET_AND_CLOSE: &[u8] = b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn dev(directory: &Path) -> (Tls, DevCertificate) {
    let tls = Tls { dev_directory: directory.to_owned(), ..Tls::default() };
    let made = dev_certificate(&tls).unwrap();
    (tls, made)
}

fn material(dev: &DevCertificate) -> TlsMaterial {
    TlsMaterial::read(&dev.certificate, &dev.key, None, ClientAuth::None).unwrap()
}

fn https() -> Settings {
    let mut settings = settings();
    settings.listeners = vec![listener(Protocol::Https)];
    settings
}

fn serve(dev: &DevCertificate) -> (Server, Arc<TlsState>) {
    let state = Arc::new(TlsState::new(material(dev)).unwrap());
    (start(&https(), Some(Arc::clone(&state))), state)
}

fn client(
    ca: &Path,
    identity: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn get(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<u16, String> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream: StreamOwned<ClientConnection, TcpStream> = StreamOwned::new(session, connect(address));
    stream.write_all(GET_AND_CLOSE).map_err(|error| error.to_string())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(|error| error.to_string())?;
    answers(&answer).first().map(|answer| answer.status).ok_or_else(|| "no answer".to_owned())
}

#[test]
fn a_first_start_makes_a_certificate_that_later_starts_use_again() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("certs");
    let (mut tls, made) = dev(&place);
    assert!(made.made);
    for (file, mode) in [("ca.pem", 0o644), ("ca.key", 0o600), ("server.pem", 0o644), ("server.key", 0o600)] {
        assert_eq!(fs::metadata(place.join(file)).unwrap().permissions().mode() & 0o777, mode, "{file}");
    }
    assert_eq!(fs::read_dir(&place).unwrap().count(), 4);
    assert!(made.how_to_trust().contains("SSL_CERT_FILE=") && made.how_to_trust().contains("NODE_EXTRA_CA_CERTS="));
    let ca = fs::read(&made.ca).unwrap();
    let leaf = fs::read(&made.certificate).unwrap();
    assert!(!dev_certificate(&tls).unwrap().made);
    assert_eq!(fs::read(&made.certificate).unwrap(), leaf);
    // Another name: a new leaf of the same CA.
    tls.dev_names.push("gateway.internal".into());
    assert!(dev_certificate(&tls).unwrap().made);
    assert_ne!(fs::read(&made.certificate).unwrap(), leaf);
    assert_eq!(fs::read(&made.ca).unwrap(), ca);
    // A leaf whose key is another's would not serve: found out when it is used.
    let (server, _) = serve(&made);
    assert_eq!(get(server.address(), &client(&made.ca, None, &[])), Ok(200));
}

#[test]
fn a_leaf_that_ends_this_week_and_a_spoilt_ca_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let (tls, made) = dev(directory.path());
    let issuer = Issuer::from_ca_cert_pem(
        &fs::read_to_string(&made.ca).unwrap(),
        KeyPair::from_pem(&fs::read_to_string(directory.path().join("ca.key")).unwrap()).unwrap(),
    )
    .unwrap();
    let mut soon = CertificateParams::new(tls.dev_names.clone()).unwrap();
    soon.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(6);
    let key = KeyPair::generate().unwrap();
    fs::write(&made.certificate, soon.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    assert!(dev_certificate(&tls).unwrap().made);
    assert!(!dev_certificate(&tls).unwrap().made);
    fs::write(&made.ca, "no certificate").unwrap();
    assert!(dev_certificate(&tls).unwrap().made);
    let (server, _) = serve(&made);
    assert_eq!(get(server.address(), &client(&made.ca, None, &["http/1.1"])), Ok(200));
}

#[test]
fn certificates_are_replaced_without_a_restart_and_bad_ones_are_not_taken() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((_, first), (_, second)) = (dev(one.path()), dev(two.path()));
    let (server, state) = serve(&first);
    let (trusts_first, trusts_second) = (client(&first.ca, None, &[]), client(&second.ca, None, &[]));
    assert_eq!(get(server.address(), &trusts_first), Ok(200));
    assert!(get(server.address(), &trusts_second).is_err());
    let mut open = StreamOwned::new(
        ClientConnection::new(Arc::clone(&trusts_first), ServerName::try_from("localhost").unwrap()).unwrap(),
        connect(server.address()),
    );
    open.flush().unwrap();

    state.replace(material(&second)).unwrap();
    assert_eq!(get(server.address(), &trusts_second), Ok(200));
    assert!(get(server.address(), &trusts_first).is_err());

    let mismatched = TlsMaterial::read(&first.certificate, &second.key, None, ClientAuth::None).unwrap();
    assert!(state.replace(mismatched).is_err());
    let no_ca = TlsMaterial::read(&first.certificate, &first.key, None, ClientAuth::Required).unwrap();
    assert!(state.replace(no_ca).is_err());
    assert!(TlsMaterial::read(&first.key, &first.key, None, ClientAuth::None).is_err());
    assert!(TlsMaterial::read(&one.path().join("none"), &first.key, None, ClientAuth::None).is_err());
    for (from, to, word) in [(-20, -10, "expired"), (10, 20, "not valid yet")] {
        let (mut params, key) =
            (CertificateParams::new(vec!["localhost".into()]).unwrap(), KeyPair::generate().unwrap());
        let now = time::OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now + time::Duration::days(from), now + time::Duration::days(to));
        let (certificate, key_file) = (one.path().join("x.pem"), one.path().join("x.key"));
        fs::write(&certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&key_file, key.serialize_pem()).unwrap();
        let bad = TlsMaterial::read(&certificate, &key_file, None, ClientAuth::None).unwrap();
        assert!(state.replace(bad).unwrap_err().to_string().contains(word));
    }
    assert_eq!(get(server.address(), &trusts_second), Ok(200));
    // A connection keeps what it began with.
    open.write_all(GET_AND_CLOSE).unwrap();
    let mut answer = Vec::new();
    open.read_to_end(&mut answer).unwrap();
    assert_eq!(answers(&answer)[0].status, 200);
}

#[test]
fn alpn_chooses_http2() {
    let directory = tempfile::tempdir().unwrap();
    let (_, made) = dev(directory.path());
    let (server, _) = serve(&made);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = tokio_rustls::TlsConnector::from(client(&made.ca, None, &["h2", "http/1.1"]));
        let socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let request = Request::get("https://localhost/h2").body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "GET https://localhost/h2 ");
        server.shutdown.drain();
        driver.await.unwrap().ok();
    });
}

#[test]
fn tls_1_2_is_served_and_older_is_not_offered() {
    let directory = tempfile::tempdir().unwrap();
    let (_, made) = dev(directory.path());
    let (server, _) = serve(&made);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&made.ca).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert_eq!(get(server.address(), &Arc::new(config)), Ok(200));
}

/// A CA, and a client's certificate of it for `name`.
fn client_ca(directory: &Path, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let (mut params, key) = (CertificateParams::new(Vec::<String>::new()).unwrap(), KeyPair::generate().unwrap());
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    fs::write(directory.join("clients.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let (mut leaf, leaf_key) = (CertificateParams::new(Vec::<String>::new()).unwrap(), KeyPair::generate().unwrap());
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, name);
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = leaf.signed_by(&leaf_key, &issuer).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap())
}

#[test]
fn client_certificates_are_verified_and_named() {
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, made) = dev(directory.path());
    let (certificate, key) = client_ca(directory.path(), "alice");
    let known = client(&made.ca, Some((certificate, key)), &[]);
    let (certificate, key) = client_ca(other.path(), "mallory");
    let stranger = client(&made.ca, Some((certificate, key)), &[]);
    let nobody = client(&made.ca, None, &[]);
    let clients = directory.path().join("clients.pem");
    for (auth, nobody_may) in [(ClientAuth::Required, false), (ClientAuth::Optional, true)] {
        let material = TlsMaterial::read(&made.certificate, &made.key, Some(&clients), auth).unwrap();
        let server = start(&https(), Some(Arc::new(TlsState::new(material).unwrap())));
        assert_eq!(get(server.address(), &known), Ok(200));
        assert_eq!(server.log.subjects.lock().unwrap()[0].as_deref(), Some("CN=alice"));
        assert!(get(server.address(), &stranger).is_err());
        assert_eq!(get(server.address(), &nobody).is_ok(), nobody_may);
    }
}

#[test]
fn half_a_handshake_is_cut_in_time_and_http_is_no_handshake() {
    let directory = tempfile::tempdir().unwrap();
    let (_, made) = dev(directory.path());
    let (server, _) = serve(&made);
    let began = Instant::now();
    let mut half = connect(server.address());
    half.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0]).unwrap();
    assert_eq!(get(server.address(), &client(&made.ca, None, &[])), Ok(200));
    assert!(read_to_end(&mut half).is_empty());
    assert!(began.elapsed() < Duration::from_secs(2));
    let plain = exchange(server.address(), GET_AND_CLOSE);
    assert!(!plain.starts_with(b"HTTP"), "{plain:?}");
    assert!(read_to_end(&mut connect(server.address())).is_empty());
    until("two handshakes timed out", || {
        let outcomes = server.log.handshakes.lock().unwrap();
        outcomes.contains(&Handshake::Done)
            && outcomes.contains(&Handshake::Failed)
            && outcomes.iter().filter(|outcome| **outcome == Handshake::TimedOut).count() == 2
    });
}

#[test]
fn bad_requests_over_tls_are_answered_too() {
    let directory = tempfile::tempdir().unwrap();
    let (_, made) = dev(directory.path());
    let (server, _) = serve(&made);
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(client(&made.ca, None, &[]), name).unwrap();
    let mut stream = StreamOwned::new(session, connect(server.address()));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nX : y\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answers = answers(&answer);
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 400]);
    assert_eq!(answers[1].error_code(), "invalid_http");
}

#[test]
#[ignore = "measures the memory of the whole process: run alone, with --ignored --nocapture"]
fn an_idle_tls_connection_costs_little() {
    let directory = tempfile::tempdir().unwrap();
    let (_, made) = dev(directory.path());
    let mut settings = https();
    settings.http.header_timeout = portcullis::config::units::Time::from_secs(60);
    settings.http.handshake_timeout = portcullis::config::units::Time::from_secs(60);
    let server = start(&settings, Some(Arc::new(TlsState::new(material(&made)).unwrap())));
    let config = client(&made.ca, None, &["http/1.1"]);
    let open = || {
        let session = ClientConnection::new(Arc::clone(&config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut stream = StreamOwned::new(session, connect(server.address()));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream.sock
    };
    let mut sockets: Vec<TcpStream> = (0..50).map(|_| open()).collect();
    let before = super::life::resident();
    let count = 1000;
    sockets.extend((0..count).map(|_| open()));
    let cost = (super::life::resident() - before) / count;
    eprintln!("bytes per idle TLS connection: {cost}");
    assert!(cost < 40 << 10, "{cost}");
}
