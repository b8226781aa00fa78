//! The PROXY protocol header, versions 1 and 2, that a load balancer puts before everything else.

use std::io;
use std::net::SocketAddr;

use ppp::v1;
use ppp::v2;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of version 2, and as many as every header of version 1 has at least.
const SIGNATURE: usize = 12;
/// Bytes of a header of version 2, its address block and extensions included; the protocol itself allows 64 KiB.
const MAX_V2: usize = 4 << 10;
/// Bytes of a line of version 1; from the specification.
const MAX_V1: usize = 107;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preamble {
    /// The client behind the proxy.
    Client(SocketAddr),
    /// The proxy itself (a health check), or a client of unknown address.
    Local,
}

/// Reads exactly the header.
///
/// # Errors
/// It is malformed, too long, for another kind of socket, or the peer left.
pub(super) async fn read_proxy_header(socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Preamble> {
    let mut header = vec![0; SIGNATURE];
    socket.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        read_v2(socket, header).await
    } else if header.starts_with(b"PROXY ") {
        read_v1(socket, header).await
    } else {
        Err(malformed())
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "malformed PROXY header")
}

async fn read_v1(socket: &mut (impl AsyncRead + Unpin), mut line: Vec<u8>) -> io::Result<Preamble> {
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_V1 {
            return Err(malformed());
        }
        line.push(socket.read_u8().await?);
    }
    let header = v1::Header::try_from(line.as_slice()).map_err(|_| malformed())?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(from) => Preamble::Client(SocketAddr::from((from.source_address, from.source_port))),
        v1::Addresses::Tcp6(from) => Preamble::Client(SocketAddr::from((from.source_address, from.source_port))),
        v1::Addresses::Unknown => Preamble::Local,
    })
}

async fn read_v2(socket: &mut (impl AsyncRead + Unpin), mut header: Vec<u8>) -> io::Result<Preamble> {
    let mut rest = [0; 4];
    socket.read_exact(&mut rest).await?;
    let [_, _, high, low] = rest;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_V2 {
        return Err(malformed());
    }
    header.extend_from_slice(&rest);
    let mut block = vec![0; length];
    socket.read_exact(&mut block).await?;
    header.extend_from_slice(&block);
    let header = v2::Header::try_from(header.as_slice()).map_err(|_| malformed())?;
    match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, ..) => Ok(Preamble::Local),
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(from)) => {
            Ok(Preamble::Client(SocketAddr::from((from.source_address, from.source_port))))
        }
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(from)) => {
            Ok(Preamble::Client(SocketAddr::from((from.source_address, from.source_port))))
        }
        (v2::Command::Proxy, v2::Protocol::Unspecified, v2::Addresses::Unspecified) => Ok(Preamble::Local),
        (v2::Command::Proxy, ..) => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Option<Preamble>, usize) {
        let mut rest = bytes;
        let read = read_proxy_header(&mut rest).await.ok();
        (read, rest.len())
    }

    #[tokio::test]
    async fn version_1_is_read_to_its_last_byte_and_no_further() {
        let client = |text: &str| Some(Preamble::Client(text.parse().unwrap()));
        assert_eq!(read(b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\nGET").await, (client("203.0.113.7:4711"), 3));
        assert_eq!(read(b"PROXY TCP6 2001:db8::7 ::1 4711 443\r\nGET").await, (client("[2001:db8::7]:4711"), 3));
        assert_eq!(read(b"PROXY UNKNOWN\r\nGET").await, (Some(Preamble::Local), 3));
    }

    #[tokio::test]
    async fn version_2_is_read_to_its_last_byte_and_no_further() {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x21, 0x11, 0, 12, 203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187]);
        header.extend(b"GET");
        assert_eq!(read(&header).await, (Some(Preamble::Client("203.0.113.7:4711".parse().unwrap())), 3));
        let mut local = v2::PROTOCOL_PREFIX.to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(read(&local).await, (Some(Preamble::Local), 0));
    }

    #[tokio::test]
    async fn anything_else_is_refused() {
        let mut long = v2::PROTOCOL_PREFIX.to_vec();
        long.extend([0x21, 0x11, 0xff, 0xff]);
        let mut datagram = v2::PROTOCOL_PREFIX.to_vec();
        datagram.extend([0x21, 0x12, 0, 12, 203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 187]);
        let endless = format!("PROXY TCP4 {}", "1".repeat(200));
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 203.0.113.7 10.0.0.1 4711\r\n",
            b"PROXY TCP4 203.0.113.999 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4",
            endless.as_bytes(),
            &long,
            &datagram,
        ] {
            assert_eq!(read(bytes).await.0, None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
