//! CEF in syslog (RFC 5424) over TLS (RFC 5425), TCP with octet counting (RFC 6587), or UDP (RFC 5426).
//!
//! Syslog has no receipt. A batch travels on a connection of its own, which is closed on our side when everything is written; a
//! receiver closes its side once it has read all of it, and resets the connection when it goes with something unread. So that is
//! waited for, unless the settings say that this receiver does not do so. One that had closed before our bytes reached it resets
//! the connection a moment after its close, so there is a moment for that.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

use super::{Fate, Trouble, all};
use crate::config::export_settings::SyslogProtocol;
use crate::control::export::cef;
use crate::control::export::item::Item;
use crate::telemetry::ExportFailure;
use crate::types::Severity;

/// Bytes of a host name (RFC 5424, 6).
const MOST_HOST: usize = 255;

/// How long a reset may be on its way behind the receiver's close.
const SETTLE: Duration = Duration::from_millis(100);

/// How a syslog server is spoken to.
#[derive(Clone)]
pub struct SyslogOptions {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is carried.
    pub protocol: SyslogProtocol,
    /// 0 to 23.
    pub facility: u8,
    /// Wait until the receiver has closed its side.
    pub confirm: bool,
    /// What this machine calls itself.
    pub hostname: String,
    /// Whom to trust.
    pub tls: ClientConfig,
    /// One try.
    pub timeout: Duration,
}

/// One syslog server.
pub struct Syslog {
    options: SyslogOptions,
    hostname: String,
    tls: TlsConnector,
    name: ServerName<'static>,
}

impl std::fmt::Debug for Syslog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Syslog").field("protocol", &self.options.protocol).finish_non_exhaustive()
    }
}

impl Syslog {
    /// This server.
    ///
    /// # Errors
    /// A host that is none.
    pub fn new(options: SyslogOptions) -> Result<Self, &'static str> {
        let bare = options.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| "not a host")?;
        let hostname: String = options.hostname.chars().filter(char::is_ascii_graphic).take(MOST_HOST).collect();
        let hostname = if hostname.is_empty() { "-".to_owned() } else { hostname };
        let tls = TlsConnector::from(Arc::new(options.tls.clone()));
        Ok(Self { options, hostname, tls, name })
    }

    pub(super) async fn send(&self, items: &[Item]) -> Result<Vec<Fate>, Trouble> {
        let limit = self.options.timeout;
        let late = || Trouble::new(ExportFailure::Timeout, format!("not taken, or not confirmed, within {limit:?}"));
        let sent = tokio::time::timeout(limit, Box::pin(self.carry(items))).await.map_err(|_| late())?;
        // What lies below may name the address.
        sent.map_err(|error| {
            let what = match error.kind() {
                io::ErrorKind::InvalidData => "no TLS with the receiver",
                _ => "no connection, or it broke",
            };
            Trouble::new(ExportFailure::Unreachable, what)
        })?;
        Ok(all(items))
    }

    async fn carry(&self, items: &[Item]) -> io::Result<()> {
        let messages = items.iter().map(|item| message(item, self.options.facility, &self.hostname));
        let place = (self.options.host.trim_start_matches('[').trim_end_matches(']'), self.options.port);
        if self.options.protocol == SyslogProtocol::Udp {
            let target = tokio::net::lookup_host(place).await?.next().ok_or(io::ErrorKind::NotFound)?;
            let any = if target.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(target).await?;
            for message in messages {
                socket.send(message.as_bytes()).await?;
            }
            return Ok(());
        }
        let frames: String = messages.map(|message| framed(&message)).collect();
        let tcp = TcpStream::connect(place).await?;
        tcp.set_nodelay(true)?;
        match self.options.protocol {
            SyslogProtocol::Tls => {
                let stream = self.tls.connect(self.name.clone(), tcp).await?;
                self.write(stream, &frames, |stream| stream.get_ref().0.take_error()).await
            }
            SyslogProtocol::Tcp | SyslogProtocol::Udp => self.write(tcp, &frames, TcpStream::take_error).await,
        }
    }

    async fn write<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        frames: &str,
        broken: impl Fn(&S) -> io::Result<Option<io::Error>>,
    ) -> io::Result<()> {
        stream.write_all(frames.as_bytes()).await?;
        stream.flush().await?;
        stream.shutdown().await?;
        if !self.options.confirm {
            return Ok(());
        }
        let mut rest = [0_u8; 512];
        loop {
            match stream.read(&mut rest).await {
                Ok(0) => break,
                Ok(_) => {}
                // Closed without TLS saying so.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        tokio::time::sleep(SETTLE).await;
        broken(&stream)?.map_or(Ok(()), Err)
    }
}

/// A message with its length before it.
fn framed(message: &str) -> String {
    format!("{} {message}", message.len())
}

/// The whole message. CEF has no line break in it.
fn message(item: &Item, facility: u8, hostname: &str) -> String {
    let level = match item.severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Informational => 6,
    };
    let priority = u32::from(facility.min(23)).saturating_mul(8).saturating_add(level);
    let time = jiff::Timestamp::from_microsecond(item.time).unwrap_or_default();
    format!("<{priority}>1 {time:.6} {hostname} portcullis - {} - {}", item.kind.name(), cef::line(item))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_counted_in_bytes_and_says_how_bad_it_is() {
        let mut item = Item::test("siem", "1", 1_763_772_000_000_123);
        item.severity = Severity::Critical;
        item.title = "größer".to_owned();
        let message = message(&item, 13, "gw-1");
        assert!(message.starts_with("<106>1 2025-11-22T00:40:00.000123Z gw-1 portcullis - test - CEF:0|"), "{message}");
        let framed = framed(&message);
        let (length, rest) = framed.split_once(' ').unwrap();
        assert_eq!((length.parse(), rest), (Ok(message.len()), message.as_str()));
    }
}
