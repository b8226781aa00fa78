//! The gateway's own data listener, as a client of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::config::Handle;
use crate::config::issued::{IssuedKey, KeyHash, Lent, generate_key};
use crate::config::settings::{ClientAuth, Protocol, Settings};
use crate::control::Follower;
use crate::proxy::listen::{self, Bound};
use crate::store;

/// How long a key is good that was lent and not taken back, in microseconds.
const LENT_FOR: i64 = 3_600_000_000;

/// How it is reached.
#[derive(Debug, Clone)]
enum Way {
    Tcp(SocketAddr),
    Tls(SocketAddr),
    Unix(PathBuf),
}

/// The gateway's own data listener.
#[derive(Clone)]
pub(in crate::app) struct Own {
    way: Option<Way>,
    config: Arc<Handle>,
}

/// A key that was lent: the header that presents it, and the id to take it back by.
pub(in crate::app) struct Loan {
    pub(in crate::app) bearer: HeaderValue,
    pub(in crate::app) id: Arc<str>,
}

impl Own {
    /// The listener that asks the least of a client on this machine: plain HTTP, a Unix socket, TLS.
    pub(in crate::app) fn of(settings: &Settings, bound: &Bound, config: Arc<Handle>) -> Self {
        let tcp = settings.listeners.iter().filter(|listener| listener.protocol != Protocol::Unix);
        let takes_anybody = settings.tls.client_auth != ClientAuth::Required;
        let tcp = tcp.zip(bound.addresses()).filter(|(listener, _)| !listener.proxy_protocol);
        let tcp = tcp.filter(|(listener, _)| listener.protocol == Protocol::Http || takes_anybody);
        let tcp = tcp.map(|(listener, address)| match listener.protocol {
            Protocol::Http => Way::Tcp(reachable(address)),
            Protocol::Https | Protocol::Unix => Way::Tls(reachable(address)),
        });
        let unix = settings.listeners.iter().filter(|listener| !listener.proxy_protocol);
        let unix = unix.filter_map(|listener| Some(Way::Unix(listener.path.clone()?)));
        let way = tcp.chain(unix).min_by_key(|way| match way {
            Way::Tcp(_) => 0,
            Way::Unix(_) => 1,
            Way::Tls(_) => 2,
        });
        Self { way, config }
    }

    pub(in crate::app) const fn is_reachable(&self) -> bool {
        self.way.is_some()
    }

    /// Its base address, for people; none where it is a Unix socket.
    pub(in crate::app) fn address(&self) -> Option<String> {
        match self.way.as_ref()? {
            Way::Tcp(address) => Some(format!("http://{address}")),
            Way::Tls(address) => Some(format!("https://{address}")),
            Way::Unix(_) => None,
        }
    }

    /// Sends a request on a connection of its own. Dropping the answer's body closes it.
    pub(in crate::app) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        bearer: HeaderValue,
    ) -> Result<Response<Incoming>, String> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        *request.uri_mut() = path.parse().map_err(|_| "this path cannot be asked".to_owned())?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        headers.insert(AUTHORIZATION, bearer);
        match &self.way {
            Some(Way::Tcp(address)) => {
                exchange(TcpStream::connect(*address).await.map_err(|error| error.to_string())?, request).await
            }
            Some(Way::Unix(path)) => {
                exchange(UnixStream::connect(path).await.map_err(|error| error.to_string())?, request).await
            }
            Some(Way::Tls(address)) => {
                let tls = TlsConnector::from(Arc::new(self.tls()?));
                let tcp = TcpStream::connect(*address).await.map_err(|error| error.to_string())?;
                let name = ServerName::IpAddress(address.ip().into());
                exchange(tls.connect(name, tcp).await.map_err(|error| error.to_string())?, request).await
            }
            None => Err("no listener can be reached from here".to_owned()),
        }
    }

    /// Takes the one certificate that this gateway shows, whatever names are in it.
    fn tls(&self) -> Result<ClientConfig, String> {
        let snapshot = self.config.load_full();
        let pem = match &snapshot.tls.pair {
            Some(pair) => pair.certs_pem.as_bytes().to_vec(),
            None => {
                let dev = listen::dev_certificate(&snapshot.settings.tls).map_err(|error| error.to_string())?;
                std::fs::read(&dev.certificate).map_err(|error| error.to_string())?
            }
        };
        let shown = CertificateDer::from_pem_slice(&pem).map_err(|error| error.to_string())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Same { shown, provider: Arc::clone(&provider) });
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| error.to_string())?.dangerous();
        Ok(config.with_custom_certificate_verifier(verifier).with_no_client_auth())
    }
}

/// Puts a key in force that is in no store: its text is known to nobody but the caller of this.
pub(in crate::app) fn lend(follower: &Follower, of: IssuedKey, lent: Lent) -> Result<Loan, String> {
    let fresh = generate_key().map_err(|error| error.to_string())?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", fresh.secret.expose()))
        .map_err(|_| "a key cannot be sent in a header".to_owned())?;
    bearer.set_sensitive(true);
    let id: Arc<str> = format!("{}.{}", of.family, uuid::Uuid::now_v7().simple()).into();
    let expires = Some(store::now().saturating_add(LENT_FOR));
    let hash: KeyHash = fresh.hash;
    follower.lend(vec![(hash, IssuedKey { id: Arc::clone(&id), expires, lent: Some(lent), ..of })]);
    Ok(Loan { bearer, id })
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    drop(tokio::spawn(connection));
    sender.send_request(request).await.map_err(|error| error.to_string())
}

/// A listener on every address is reached on the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Trusts one certificate and nobody else.
#[derive(Debug)]
struct Same {
    shown: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Same {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.shown {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("this is not the gateway's own certificate".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
