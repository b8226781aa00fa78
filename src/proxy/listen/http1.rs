//! One HTTP/1 connection: wait for a whole head, let hyper serve while requests come, take the socket back when idle.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

use super::guard::{Guard, Waited};
use super::refuse::Refuse;
use super::service::{Exchange, Service};
use super::{Connection, Handler};
use crate::proxy::bell::Quiet;

/// After `Peer::cut`: how long a relay has to end its stream properly.
pub(super) const CUT_GRACE: Duration = Duration::from_secs(1);
/// How long, and for how many bytes, a client that is still sending is read after its last answer, so that a reset
/// does not destroy the answer on its way.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 << 20;

const HEADER_TIMEOUT: Refuse = Refuse::new(408, "request_timeout", "the request head did not arrive in time");

/// How a connection left hyper.
enum Served {
    /// It may serve further requests.
    Parked,
    /// It is over; the socket is usable for a last answer.
    Over,
    /// The socket is dead, or nobody reads it.
    Broken,
}

/// Serves one connection until it ends. `Some`: it turned out to be HTTP/2, nothing of it is consumed.
pub(super) async fn serve<H: Handler>(mut guard: Box<Guard>, connection: &Connection<H>) -> Option<Box<Guard>> {
    let limits = &connection.limits;
    let mut silent_until = Instant::now() + limits.header_timeout;
    loop {
        match wait(&mut guard, connection, silent_until).await {
            Waited::Head => {}
            Waited::Preface => return Some(guard),
            Waited::Closed => return None,
            Waited::Refused => {
                Box::pin(end(guard, connection)).await;
                return None;
            }
        }
        // hyper's state and buffers are 16 KiB: on the heap, and only while requests come.
        let (back, served) = Box::pin(with_hyper(guard, connection)).await;
        guard = back;
        match served {
            Served::Parked if !guard.is_refused() => silent_until = guard.idle_since() + limits.idle_timeout,
            Served::Parked | Served::Over => {
                Box::pin(end(guard, connection)).await;
                return None;
            }
            Served::Broken => return None,
        }
    }
}

/// Waits for a whole head, without hyper.
async fn wait<H: Handler>(guard: &mut Guard, connection: &Connection<H>, silent_until: Instant) -> Waited {
    let mut deadline = silent_until;
    let mut started = false;
    loop {
        if !started && guard.has_partial_head() {
            started = true;
            deadline = Instant::now() + connection.limits.header_timeout;
        }
        tokio::select! {
            biased;
            waited = poll_fn(|cx| guard.poll_wait(cx, started)) => match waited {
                Some(waited) => return waited,
                None => continue,
            },
            () = connection.shutdown.draining(), if !started => return Waited::Closed,
            () = connection.peer.cut.cancelled() => return Waited::Closed,
            () = sleep_until(deadline) => {
                if !started {
                    return Waited::Closed;
                }
                guard.refuse(HEADER_TIMEOUT);
                return Waited::Refused;
            }
        }
    }
}

async fn with_hyper<H: Handler>(mut guard: Box<Guard>, connection: &Connection<H>) -> (Box<Guard>, Served) {
    let exchange = Exchange::new(false);
    guard.enter(Arc::clone(&exchange));
    let service = Service { handler: Arc::clone(&connection.handler), peer: Arc::clone(&connection.peer), exchange };
    let limits = &connection.limits;
    let mut builder = http1::Builder::new();
    builder.half_close(false).keep_alive(true).max_buf_size(limits.h1_buffer);
    if limits.head.max_headers > 100 {
        builder.max_headers(limits.head.max_headers);
    }
    let mut conn = builder.serve_connection(TokioIo::new(guard), service);
    let mut draining = false;
    let mut cut_at: Option<Instant> = None;
    // Polled with every step of the connection, and hardly ever ready.
    let mut drain = Quiet::new(Box::pin(connection.shutdown.draining()));
    let mut cut = Quiet::new(Box::pin(connection.peer.cut.cancelled()));
    let outcome = loop {
        tokio::select! {
            biased;
            // To its end, not `poll_without_shutdown`: that forgets what is not yet written. The guard keeps the socket open.
            outcome = &mut conn => break Some(outcome),
            () = &mut drain, if !draining => {
                draining = true;
                Pin::new(&mut conn).graceful_shutdown();
            }
            () = &mut cut, if cut_at.is_none() => cut_at = Some(Instant::now() + CUT_GRACE),
            () = sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() => break None,
        }
    };
    let parts = conn.into_parts();
    let mut guard = parts.io.into_inner();
    guard.leave();
    let served = match outcome {
        None => Served::Broken,
        Some(Ok(())) if guard.is_parked() && parts.read_buf.is_empty() && !draining => Served::Parked,
        Some(Ok(())) => Served::Over,
        Some(Err(_)) if guard.is_refused() => Served::Over,
        Some(Err(error)) => {
            tracing::debug!(%error, "connection ended with an error");
            Served::Broken
        }
    };
    (guard, served)
}

/// The last words, if there are any, and an end that lets them arrive.
async fn end<H: Handler>(guard: Box<Guard>, connection: &Connection<H>) {
    let clean = guard.is_between_requests();
    let (mut io, refused) = guard.into_parts();
    if let Some(refuse) = &refused {
        connection.observer.request_refused(&connection.peer, refuse);
        let written = timeout(connection.limits.write_timeout, async {
            io.write_all(refuse.response().as_bytes()).await?;
            io.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
    }
    let finished = timeout(LINGER, async {
        if io.shutdown().await.is_err() || (clean && refused.is_none()) {
            return;
        }
        let mut space = vec![0u8; 8 << 10];
        let mut left = LINGER_BYTES;
        while let Ok(count) = io.read(&mut space).await
            && count > 0
            && left > count
        {
            left -= count;
        }
    });
    if finished.await.is_err() {
        tracing::trace!("a client went on sending after its last answer");
    }
}
