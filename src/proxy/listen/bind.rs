//! The listening sockets, and the threads that serve them.

use std::fs::{Permissions, remove_file, set_permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};
use tokio::sync::Semaphore;

use super::accept::{Shared, Sockets, run_worker};
use super::caps::PerAddress;
use super::{Handler, Observer, Shutdown, TlsState, Tuning};
use crate::config::settings::{Listener, Protocol, Settings};

/// Connections the kernel holds for us while we are busy.
const BACKLOG: i32 = 4096;

/// Why the listeners could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address or path cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A listener has no `address` (or `path`, for `unix`).
    #[error("listener {0} has no {1}")]
    Incomplete(usize, &'static str),
    /// An `https` listener without certificates.
    #[error("an https listener needs certificates")]
    NoTls,
    /// A worker thread could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

/// Open sockets, not yet accepting.
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<Listening>,
    workers: usize,
    max_connections: usize,
    tuning: Tuning,
    files: Arc<Vec<SocketFile>>,
}

#[derive(Debug)]
struct Listening {
    socket: AnySocket,
    address: Option<SocketAddr>,
    protocol: Protocol,
    proxy_protocol: bool,
}

#[derive(Debug)]
enum AnySocket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

/// The file of a Unix socket; removed when the last worker ends.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = remove_file(&self.0) {
            tracing::debug!(%error, "the socket file could not be removed");
        }
    }
}

/// Opens every listener. A port of 0 is one the system chooses: see [`Bound::addresses`].
///
/// # Errors
/// An address is taken or not ours, or a listener is incomplete.
pub fn bind(settings: &Settings) -> Result<Bound, ListenError> {
    let mut listeners = Vec::with_capacity(settings.listeners.len());
    let mut files = Vec::new();
    for (index, listener) in settings.listeners.iter().enumerate() {
        let opened = match listener.protocol {
            Protocol::Https | Protocol::Http => open_tcp(index, listener)?,
            Protocol::Unix => {
                let path = listener.path.as_deref().ok_or(ListenError::Incomplete(index, "path"))?;
                let socket = open_unix(path)
                    .map_err(|source| ListenError::Bind { address: path.display().to_string(), source })?;
                files.push(SocketFile(path.to_owned()));
                (AnySocket::Unix(socket), None)
            }
        };
        listeners.push(Listening {
            socket: opened.0,
            address: opened.1,
            protocol: listener.protocol,
            proxy_protocol: listener.proxy_protocol,
        });
    }
    let workers = match settings.server.workers {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        workers => workers,
    };
    Ok(Bound {
        listeners,
        workers,
        max_connections: settings.server.max_connections.min(Semaphore::MAX_PERMITS),
        tuning: Tuning::new(settings),
        files: Arc::new(files),
    })
}

fn open_tcp(index: usize, listener: &Listener) -> Result<(AnySocket, Option<SocketAddr>), ListenError> {
    let address = listener.address.ok_or(ListenError::Incomplete(index, "address"))?;
    let open = || -> io::Result<(std::net::TcpListener, SocketAddr)> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(SocketProtocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = std::net::TcpListener::from(socket);
        let local = socket.local_addr()?;
        Ok((socket, local))
    };
    let (socket, local) = open().map_err(|source| ListenError::Bind { address: address.to_string(), source })?;
    Ok((AnySocket::Tcp(socket), Some(local)))
}

/// A socket file that nobody answers on is left over from a process that died, and is replaced.
fn open_unix(path: &Path) -> io::Result<UnixListener> {
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket is in the way"));
        }
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => remove_file(path)?,
            Err(error) => return Err(error),
        }
    }
    let listener = UnixListener::bind(path)?;
    set_permissions(path, Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Bound {
    /// The address of each TCP listener, in the order of the settings.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.address).collect()
    }

    /// The switch that replaces the limits and deadlines on a reload.
    pub fn tuning(&self) -> Tuning {
        self.tuning.clone()
    }

    /// How many workers will run.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Starts the workers: threads that accept and serve until `shutdown`. `make` is called on each of them, inside its
    /// runtime, with its index. They end when every connection is over, or dropped.
    ///
    /// # Errors
    /// There is an `https` listener but no `tls`, or a thread cannot be started.
    pub fn spawn_workers<H, F>(
        self,
        make: F,
        tls: Option<Arc<TlsState>>,
        observer: Arc<dyn Observer>,
        shutdown: &Shutdown,
    ) -> Result<Vec<JoinHandle<()>>, ListenError>
    where
        H: Handler,
        F: Fn(usize) -> Arc<H> + Send + Sync + 'static,
    {
        if tls.is_none() && self.listeners.iter().any(|listener| listener.protocol == Protocol::Https) {
            return Err(ListenError::NoTls);
        }
        let shared = Arc::new(Shared {
            tuning: self.tuning,
            tls,
            observer,
            shutdown: shutdown.clone(),
            per_address: Arc::new(PerAddress::default()),
            total: Arc::new(Semaphore::new(self.max_connections)),
            _files: self.files,
        });
        let make = Arc::new(make);
        let mut handles = Vec::with_capacity(self.workers);
        for index in 0..self.workers {
            let sockets: Vec<Sockets> =
                self.listeners.iter().map(Listening::copy).collect::<io::Result<_>>().map_err(ListenError::Worker)?;
            let (shared, make) = (Arc::clone(&shared), Arc::clone(&make));
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ListenError::Worker)?;
            let handle = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || run_worker(&runtime, sockets, &shared, || make(index)))
                .map_err(ListenError::Worker)?;
            handles.push(handle);
        }
        Ok(handles)
    }
}

impl Listening {
    /// The same socket for another worker.
    fn copy(&self) -> io::Result<Sockets> {
        Ok(match &self.socket {
            AnySocket::Tcp(socket) => Sockets::Tcp {
                socket: socket.try_clone()?,
                protocol: self.protocol,
                proxy_protocol: self.proxy_protocol,
            },
            AnySocket::Unix(socket) => Sockets::Unix(socket.try_clone()?),
        })
    }
}
