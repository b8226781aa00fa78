//! One worker: its accept loops, and the life of a connection up to its first request.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::bind::SocketFile;
use super::caps::{PerAddress, Place};
use super::framing::Framing;
use super::guard::Guard;
use super::http1::CUT_GRACE;
use super::preamble::{Preamble, read_proxy_header};
use super::stream::Stream;
use super::{
    ClientCertificate, Connection, Handler, Handshake, Limits, Observer, Peer, Refused, Shutdown, TlsInfo, TlsState,
    Tuning, http1, http2,
};
use crate::config::settings::Protocol;

/// After a failed accept (no file descriptor left, most of all).
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all workers share.
pub(super) struct Shared {
    pub(super) tuning: Tuning,
    pub(super) tls: Option<Arc<TlsState>>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) shutdown: Shutdown,
    pub(super) per_address: Arc<PerAddress>,
    pub(super) total: Arc<Semaphore>,
    pub(super) _files: Arc<Vec<SocketFile>>,
}

/// A worker's copy of one listening socket.
pub(super) enum Sockets {
    Tcp { socket: std::net::TcpListener, protocol: Protocol, proxy_protocol: bool },
    Unix(std::os::unix::net::UnixListener),
}

/// Serves until the shutdown is over.
pub(super) fn run_worker<H: Handler>(
    runtime: &Runtime,
    sockets: Vec<Sockets>,
    shared: &Arc<Shared>,
    make: impl FnOnce() -> Arc<H>,
) {
    runtime.block_on(async {
        let handler = make();
        let tasks = TaskTracker::new();
        for socket in sockets {
            let worker = Worker { handler: Arc::clone(&handler), shared: Arc::clone(shared), tasks: tasks.clone() };
            tasks.spawn(async move {
                if let Err(error) = worker.accept_from(socket).await {
                    tracing::error!(%error, "a listener failed");
                }
            });
        }
        shared.shutdown.draining().await;
        tasks.close();
        let drained = async {
            let deadline = shared.tuning.limits.load().drain_deadline;
            if timeout(deadline, tasks.wait()).await.is_err() {
                shared.shutdown.cut();
                // What is still there a moment after its grace will not end by itself.
                if timeout(CUT_GRACE * 2, tasks.wait()).await.is_err() {
                    tracing::warn!(connections = tasks.len(), "dropped at the end of the drain");
                }
            }
        };
        tokio::select! {
            () = drained => {}
            () = shared.shutdown.ended() => {}
        }
    });
}

struct Worker<H> {
    handler: Arc<H>,
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl<H: Handler> Worker<H> {
    async fn accept_from(self, socket: Sockets) -> io::Result<()> {
        let worker = Arc::new(self);
        match socket {
            Sockets::Tcp { socket, protocol, proxy_protocol } => {
                let listener = TcpListener::from_std(socket)?;
                while let Some(accepted) = worker.next(listener.accept()).await {
                    if let Some((socket, address)) = accepted {
                        let job = Arc::clone(&worker).tcp(socket, address, protocol, proxy_protocol);
                        worker.spawn(protocol, job).await;
                    }
                }
            }
            Sockets::Unix(socket) => {
                let listener = UnixListener::from_std(socket)?;
                while let Some(accepted) = worker.next(listener.accept()).await {
                    if let Some((socket, _)) = accepted {
                        let job = Arc::clone(&worker).unix(Stream::Unix(socket));
                        worker.spawn(Protocol::Unix, job).await;
                    }
                }
            }
        }
        Ok(())
    }

    /// The next connection; `None` when draining, `Some(None)` after an error.
    async fn next<T>(&self, accept: impl Future<Output = io::Result<T>>) -> Option<Option<T>> {
        tokio::select! {
            biased;
            () = self.shared.shutdown.draining() => None,
            accepted = accept => match accepted {
                Ok(accepted) => Some(Some(accepted)),
                Err(error) => {
                    tracing::warn!(%error, "accepting failed");
                    sleep(ACCEPT_PAUSE).await;
                    Some(None)
                }
            }
        }
    }

    /// Serves an accepted connection once there is room for it; until then no other is accepted here, so that further
    /// ones wait in the kernel's queue.
    async fn spawn(self: &Arc<Self>, protocol: Protocol, job: impl Future<Output = ()> + Send + 'static) {
        let permit = tokio::select! {
            permit = Arc::clone(&self.shared.total).acquire_owned() => permit,
            () = self.shared.shutdown.draining() => return,
        };
        let Ok(permit) = permit else { return };
        let observer = Arc::clone(&self.shared.observer);
        observer.connection_opened(protocol);
        let open = Open { observer, protocol };
        self.tasks.spawn(async move {
            job.await;
            drop(open);
            drop(permit);
        });
    }

    async fn tcp(self: Arc<Self>, socket: TcpStream, address: SocketAddr, protocol: Protocol, proxied: bool) {
        // On the heap until the connection is set up: an idle connection should not carry the room this takes.
        let ready = Box::pin(self.set_up(socket, address, protocol, proxied)).await;
        if let Some((guard, connection, place)) = ready {
            serve(guard, connection).await;
            drop(place);
        }
    }

    async fn unix(self: Arc<Self>, stream: Stream) {
        let limits = self.shared.tuning.limits.load_full();
        let cut = self.shared.shutdown.connection();
        let peer = Peer { address: None, socket: None, local: true, tls: None, protocol: Protocol::Unix, cut };
        let (guard, connection) = self.connection(stream, peer, limits);
        serve(guard, connection).await;
    }

    /// The PROXY header, the caps and the TLS handshake.
    async fn set_up(
        &self,
        mut socket: TcpStream,
        address: SocketAddr,
        protocol: Protocol,
        proxied: bool,
    ) -> Option<(Box<Guard>, Connection<H>, Option<Place>)> {
        let limits = self.shared.tuning.limits.load_full();
        let observer = &self.shared.observer;
        let refuse = |reason| {
            observer.connection_refused(reason);
            None
        };
        let trusted = limits.trusted.iter().any(|net| net.contains(&address.ip().to_canonical()));
        let mut client = address;
        if proxied {
            if !trusted {
                return refuse(Refused::UntrustedProxy);
            }
            match timeout(limits.header_timeout, read_proxy_header(&mut socket)).await {
                Ok(Ok(Preamble::Client(announced))) => client = announced,
                Ok(Ok(Preamble::Local)) => {}
                Ok(Err(_)) | Err(_) => return refuse(Refused::ProxyHeader),
            }
        }
        // A trusted proxy stands for many clients: only those it names are counted.
        let place = if trusted && client == address {
            None
        } else {
            match self.shared.per_address.take(client.ip(), limits.per_address) {
                Some(place) => Some(place),
                None => return refuse(Refused::AddressCap),
            }
        };
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let (stream, tls) = match (&self.shared.tls, protocol) {
            (Some(state), Protocol::Https) => {
                let stream = self.shake_hands(state, socket, limits.handshake_timeout).await?;
                let info = tls_info(&stream);
                (Stream::Tls(Box::new(stream)), Some(info))
            }
            _ => (Stream::Tcp(socket), None),
        };
        let cut = self.shared.shutdown.connection();
        let peer = Peer { address: Some(client), socket: Some(address), local: false, tls, protocol, cut };
        let (guard, connection) = self.connection(stream, peer, limits);
        Some((guard, connection, place))
    }

    async fn shake_hands(&self, state: &TlsState, socket: TcpStream, limit: Duration) -> Option<TlsStream<TcpStream>> {
        let shaken = tokio::select! {
            biased;
            () = self.shared.shutdown.draining() => return None,
            shaken = timeout(limit, state.acceptor().accept(socket)) => shaken,
        };
        let (outcome, stream) = match shaken {
            Ok(Ok(stream)) => (Handshake::Done, Some(stream)),
            Ok(Err(_)) => (Handshake::Failed, None),
            Err(_) => (Handshake::TimedOut, None),
        };
        self.shared.observer.handshake(outcome);
        stream
    }

    fn connection(&self, stream: Stream, peer: Peer, limits: Arc<Limits>) -> (Box<Guard>, Connection<H>) {
        let guard = Guard::new(stream, Framing::new(limits.head), peer.tls.is_none(), limits.write_timeout);
        let connection = Connection {
            handler: Arc::clone(&self.handler),
            peer: Arc::new(peer),
            limits,
            observer: Arc::clone(&self.shared.observer),
            shutdown: self.shared.shutdown.clone(),
        };
        (Box::new(guard), connection)
    }
}

async fn serve<H: Handler>(guard: Box<Guard>, connection: Connection<H>) {
    let agreed = connection.peer.tls.as_ref().and_then(|tls| tls.alpn);
    let http2 = if agreed == Some("h2") { Some(guard) } else { http1::serve(guard, &connection).await };
    if let Some(mut guard) = http2 {
        guard.pass_through();
        Box::pin(http2::serve(guard, &connection)).await;
    }
}

/// A connection being served, for the observer.
struct Open {
    observer: Arc<dyn Observer>,
    protocol: Protocol,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.observer.connection_closed(self.protocol);
    }
}

fn tls_info(stream: &TlsStream<TcpStream>) -> TlsInfo {
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let client = leaf.and_then(|leaf| ClientCertificate::read(leaf)).map(Arc::new);
    TlsInfo {
        client_subject: client.as_ref().map(|client| Arc::clone(&client.subject)),
        client,
        sni: session.server_name().map(Arc::from),
        alpn: session.alpn_protocol().and_then(|protocol| match protocol {
            b"h2" => Some("h2"),
            b"http/1.1" => Some("http/1.1"),
            _ => None,
        }),
    }
}
