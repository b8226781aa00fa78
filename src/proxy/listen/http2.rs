//! One HTTP/2 connection: hyper's, with an end for clients that ask for nothing or take nothing.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::guard::Guard;
use super::http1::CUT_GRACE;
use super::service::{Exchange, Service};
use super::{Connection, Handler};

/// Bytes of answers hyper buffers per stream.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that were reset by the client before we looked at them.
const MAX_PENDING_RESETS: usize = 20;

/// Serves one connection until it ends.
pub(super) async fn serve<H: Handler>(guard: Box<Guard>, connection: &Connection<H>) {
    let exchange = Exchange::new(true);
    let service = Service {
        handler: Arc::clone(&connection.handler),
        peer: Arc::clone(&connection.peer),
        exchange: Arc::clone(&exchange),
    };
    let limits = &connection.limits;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_max_streams)
        .max_pending_accept_reset_streams(limits.h2_max_resets.min(MAX_PENDING_RESETS))
        .max_local_error_reset_streams(limits.h2_max_resets)
        .max_header_list_size(limits.h2_max_header_list)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(limits.h2_keep_alive)
        .keep_alive_timeout(limits.h2_keep_alive);
    let mut conn = Box::pin(builder.serve_connection(TokioIo::new(guard), service));
    let mut watch = Watch { exchange, seen: 0, active: false, quiet_since: Instant::now() };
    let mut leaving = false;
    let mut last_moment: Option<Instant> = None;
    loop {
        let look_at = watch.look_at(connection);
        tokio::select! {
            biased;
            outcome = conn.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "connection ended with an error");
                }
                return;
            }
            () = connection.shutdown.draining(), if !leaving => {
                leaving = true;
                Pin::as_mut(&mut conn).graceful_shutdown();
            }
            () = connection.peer.cut.cancelled(), if last_moment.is_none() => {
                last_moment = Some(Instant::now() + CUT_GRACE);
            }
            () = sleep_until(last_moment.unwrap_or(look_at)) => {
                if last_moment.is_some() || watch.exchange.stalled(limits.write_timeout) {
                    return;
                }
                if watch.is_over(connection) {
                    leaving = true;
                    // An answer may be over for us while hyper still holds its last bytes for a slow reader.
                    last_moment = Some(Instant::now() + limits.write_timeout.max(CUT_GRACE));
                    Pin::as_mut(&mut conn).graceful_shutdown();
                }
            }
        }
    }
}

/// Since when nothing has been asked for.
struct Watch {
    exchange: Arc<Exchange>,
    seen: u32,
    active: bool,
    quiet_since: Instant,
}

impl Watch {
    /// When to look next.
    fn look_at<H>(&mut self, connection: &Connection<H>) -> Instant {
        let (calls, done) = (self.exchange.calls(), self.exchange.done());
        let now = Instant::now();
        if self.active || calls != self.seen || calls != done {
            self.quiet_since = now;
        }
        self.seen = calls;
        self.active = calls != done;
        if self.active {
            now + connection.limits.write_timeout / 4
        } else {
            self.quiet_since + self.patience(connection)
        }
    }

    fn patience<H>(&self, connection: &Connection<H>) -> std::time::Duration {
        if self.seen == 0 { connection.limits.header_timeout } else { connection.limits.idle_timeout }
    }

    fn is_over<H>(&self, connection: &Connection<H>) -> bool {
        !self.active
            && self.exchange.calls() == self.seen
            && self.quiet_since + self.patience(connection) <= Instant::now()
    }
}
