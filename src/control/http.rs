//! HTTP to others, for the control side: bounded in time and size, no redirects, and only to addresses that may be called.
//!
//! A target that comes from outside the operator's own file may name anything: a service on this machine, another one of the
//! network it stands in, or a cloud's metadata service, which hands out credentials. So names are resolved here, every address is
//! judged, and the connection goes to an address that was judged: there is no second look-up in which it could have changed.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use rustls::ClientConfig;
use tower::Service;

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long connecting may take, TLS not included.
    pub connect: Duration,
    /// How long everything may take, from the look-up of the name to the last byte of the answer.
    pub total: Duration,
    /// Bytes of an answer's body.
    pub max_answer: usize,
    /// Unused connections kept for later.
    pub kept: usize,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// Which addresses may be called.
#[derive(Debug, Clone)]
pub enum Reach {
    /// All: the operator's own file names the target.
    Anywhere,
    /// Those of the public Internet, and these networks.
    Public {
        /// Networks of the site that may be called although they are not public.
        and: Arc<[IpNet]>,
    },
}

impl Reach {
    /// Whether this address may be called.
    pub fn allows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::Anywhere => true,
            Self::Public { and } => is_public(address) || and.iter().any(|net| net.contains(&address)),
        }
    }
}

/// Whether an address belongs to the public Internet: none of the special-purpose registries (RFC 6890), and no cloud's metadata.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    !matches!(
        (a, b, c, d),
        // This network, private, loopback, multicast, reserved.
        (0 | 10 | 127 | 224..=255, ..)
            // Shared by carriers.
            | (100, 64..=127, ..)
            // What virtual machines of Azure reach their host by.
            | (168, 63, 129, 16)
            // Link-local, with the metadata of most clouds.
            | (169, 254, ..)
            | (172, 16..=31, ..)
            // Protocol assignments, documentation, relays, private.
            | (192, 0, 0 | 2, _)
            | (192, 88, 99, _)
            | (192, 168, ..)
            // Benchmarks, documentation.
            | (198, 18 | 19, ..)
            | (198, 51, 100, _)
            | (203, 0, 113, _)
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // An IPv4 address behind a translator (RFC 6052) or a relay (RFC 3056).
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Protocol assignments (Teredo among them), documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        // Nothing else is global unicast.
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Certificate authorities that cannot be used.
    #[error("cannot trust anybody: {0}")]
    Trust(String),
    /// Not an http or https address, or one with a user in it.
    #[error("not an http or https address")]
    Address,
    /// The address must not be called.
    #[error("the address is none that may be called")]
    Forbidden,
    /// Nothing within the time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Connection(String),
    /// The body is too long or broke off; this was the status.
    #[error("the answer is too long or incomplete")]
    Body(u16),
}

impl HttpError {
    /// Whether it may be different next time.
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Connection(_) => true,
            Self::Trust(_) | Self::Address | Self::Forbidden | Self::Body(_) => false,
        }
    }
}

/// Asks others. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    options: Options,
}

impl Http {
    /// A client that trusts as `tls` says (`config::towards`: the platform's authorities and those of a PEM text).
    pub fn new(tls: ClientConfig, options: Options) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { reach: options.reach.clone() });
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(options.connect));
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.kept)
            .build(https);
        Self { client, options }
    }

    /// One request and its whole answer, whatever its status. Redirects are not followed.
    ///
    /// # Errors
    /// There is no whole answer in time, or the address must not be called.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError> {
        self.check(request.uri())?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(|error| failed(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, self.options.max_answer).collect().await;
            let body = body.map_err(|_| HttpError::Body(parts.status.as_u16()))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        let total = self.options.total;
        tokio::time::timeout(total, asking).await.map_err(|_| HttpError::Timeout(total))?
    }

    /// Posts JSON, with these headers besides.
    ///
    /// # Errors
    /// As `send`.
    pub async fn post(&self, url: &Uri, headers: HeaderMap, json: Bytes) -> Result<Response<Bytes>, HttpError> {
        let mut request = Request::post(url.clone()).body(Full::new(json)).map_err(|_| HttpError::Address)?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let agent = HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().entry(USER_AGENT).or_insert(agent);
        self.send(request).await
    }

    /// What can be told from the address alone. Addresses written as numbers are never looked up, so they are judged here.
    fn check(&self, url: &Uri) -> Result<(), HttpError> {
        let authority = url.authority().ok_or(HttpError::Address)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || authority.as_str().contains('@') {
            return Err(HttpError::Address);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) if !self.options.reach.allows(address) => Err(HttpError::Forbidden),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The addresses of a name, all of which may be called.
///
/// # Errors
/// The name has none, or one of them must not be called: a name with both kinds is a trap.
pub async fn resolve(host: &str, port: u16, reach: &Reach) -> Result<Vec<SocketAddr>, Unresolved> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map_err(Unresolved::Lookup)?.collect();
    if found.iter().all(|address| reach.allows(address.ip())) { Ok(found) } else { Err(Unresolved::Forbidden) }
}

/// Why a name gives no address.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// There is none.
    #[error("the name cannot be looked up")]
    Lookup(#[source] io::Error),
    /// It must not be called.
    #[error("the address is none that may be called")]
    Forbidden,
}

/// Looks names up and refuses those that lead where nobody should go.
#[derive(Debug, Clone)]
struct Resolver {
    reach: Reach,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.reach.clone();
        Box::pin(async move { Ok(resolve(name.as_str(), 0, &reach).await?.into_iter()) })
    }
}

/// An error with those below it, of which the last says why.
fn failed(error: &(dyn Error + 'static)) -> HttpError {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(source) = below {
        if matches!(source.downcast_ref(), Some(Unresolved::Forbidden)) {
            return HttpError::Forbidden;
        }
        text.push_str(": ");
        text.push_str(&source.to_string());
        below = source.source();
    }
    HttpError::Connection(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(and: &[&str]) -> Reach {
        Reach::Public { and: and.iter().map(|net| net.parse().unwrap()).collect() }
    }

    fn client(reach: Reach) -> Http {
        let second = Duration::from_secs(5);
        let options = Options { connect: second, total: second, max_answer: 16, kept: 0, reach };
        Http::new(crate::config::towards(None).unwrap(), options)
    }

    /// A server that gives every connection this answer; where it listens.
    async fn server(answer: &'static str) -> SocketAddr {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut seen = [0; 4096];
                assert_ne!(socket.read(&mut seen).await.unwrap(), 0);
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        address
    }

    async fn post(http: &Http, url: &str) -> Result<Response<Bytes>, HttpError> {
        http.post(&url.parse().unwrap(), HeaderMap::new(), Bytes::from_static(b"{}")).await
    }

    #[test]
    fn addresses_that_are_not_of_the_public_internet_are_known() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "100::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "168.63.129.17",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::",
            "2606:4700::1111",
            "2a00::1",
        ] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_network_that_is_named_may_be_called_and_its_neighbours_not() {
        let reach = public(&["10.1.0.0/16", "fd00:1::/32"]);
        for (address, allowed) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd00:1::5", true),
            ("10.2.0.1", false),
            ("169.254.169.254", false),
        ] {
            assert_eq!(reach.allows(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(Reach::Anywhere.allows("127.0.0.1".parse().unwrap()));
    }

    #[tokio::test]
    async fn numbers_and_names_that_lead_inside_are_refused_before_anything_is_sent() {
        let address = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        let http = client(public(&[]));
        let port = address.port();
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0"] {
            let outcome = post(&http, &format!("http://{host}:{port}/")).await;
            assert!(matches!(outcome, Err(HttpError::Forbidden)), "{host}: {outcome:?}");
        }
        let allowed = client(public(&["127.0.0.0/8", "::1/128"]));
        for host in ["127.0.0.1", "localhost"] {
            assert_eq!(post(&allowed, &format!("http://{host}:{port}/")).await.unwrap().status(), 204, "{host}");
        }
    }

    #[tokio::test]
    async fn what_is_no_address_is_told() {
        let http = client(Reach::Anywhere);
        for url in ["ftp://example.com/", "/path", "http://user@example.com/"] {
            assert!(matches!(post(&http, url).await, Err(HttpError::Address)), "{url}");
        }
    }

    #[tokio::test]
    async fn redirects_are_not_followed_and_long_answers_are_cut_off() {
        let address =
            server("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n").await;
        let answer = post(&client(Reach::Anywhere), &format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.status(), 302);
        let address = server("HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n12345678901234567").await;
        let outcome = post(&client(Reach::Anywhere), &format!("http://{address}/")).await;
        assert!(matches!(outcome, Err(HttpError::Body(200))), "{outcome:?}");
    }

    #[tokio::test]
    async fn nobody_there_may_pass() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = post(&client(Reach::Anywhere), &format!("http://{address}/")).await.unwrap_err();
        assert!(matches!(error, HttpError::Connection(_)) && error.is_passing(), "{error}");
        assert!(!HttpError::Forbidden.is_passing());
    }
}
