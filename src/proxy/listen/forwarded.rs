//! The client's address behind proxies we trust.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::FORWARDED;
use ipnet::IpNet;

use super::Peer;

/// Hops read from the right before the rest is ignored.
const MAX_HOPS: usize = 32;

/// The client's address: that of the peer, unless the peer is trusted and names another in `X-Forwarded-For` or
/// `Forwarded` (RFC 7239). Read from the right, the first hop that is not itself trusted counts. If both headers are
/// there, or what is found is not an address, the peer's address stands. `None` on a Unix socket that names nobody.
pub fn client_address(peer: &Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let direct = peer.address.map(|address| address.ip().to_canonical());
    let believed = match direct {
        Some(address) => is_trusted(address, trusted),
        None => peer.local,
    };
    if !believed {
        return direct;
    }
    let x_forwarded_for = headers.contains_key("x-forwarded-for");
    let forwarded = headers.contains_key(FORWARDED);
    let hops: Vec<Option<IpAddr>> = match (x_forwarded_for, forwarded) {
        (true, false) => right_to_left(headers, "x-forwarded-for").map(parse_address).take(MAX_HOPS).collect(),
        (false, true) => right_to_left(headers, FORWARDED.as_str()).map(parse_element).take(MAX_HOPS).collect(),
        (true, true) | (false, false) => return direct,
    };
    let mut nearest = direct;
    for hop in hops {
        match hop {
            Some(hop) if is_trusted(hop, trusted) => nearest = Some(hop),
            Some(hop) => return Some(hop),
            None => return direct,
        }
    }
    nearest
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// The comma-separated elements of all fields of that name, last first. A value that is no text is one bad element.
fn right_to_left<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let mut values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("")).collect();
    values.reverse();
    values.into_iter().flat_map(|value| value.rsplit(',').map(str::trim))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// The `for` parameter of one element of `Forwarded`.
fn parse_element(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for parameter in element.split(';') {
        let (name, value) = parameter.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") {
            if found.is_some() {
                return None;
            }
            let value = value.trim();
            found = Some(value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value));
        }
    }
    parse_address(found?)
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::settings::Protocol;

    fn peer(address: Option<&str>) -> Peer {
        let address = address.map(|address| address.parse().unwrap());
        Peer {
            address,
            socket: address,
            local: address.is_none(),
            tls: None,
            protocol: Protocol::Http,
            cut: CancellationToken::new(),
        }
    }

    fn found(from: Option<&str>, headers: &[(&str, &str)]) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8:ffff::/48".parse().unwrap()];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        client_address(&peer(from), &map, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
            assert_eq!(found(Some("198.51.100.9:1"), &[(name, "for=203.0.113.7")]).as_deref(), Some("198.51.100.9"));
            assert_eq!(found(Some("198.51.100.9:1"), &[(name, "203.0.113.7")]).as_deref(), Some("198.51.100.9"));
        }
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        for (headers, client) in [
            (&[("x-forwarded-for", "203.0.113.7")][..], "203.0.113.7"),
            (&[("x-forwarded-for", "1.1.1.1, 203.0.113.7")], "203.0.113.7"),
            (&[("x-forwarded-for", "1.1.1.1, 203.0.113.7, 10.2.3.4")], "203.0.113.7"),
            (&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
            (&[("x-forwarded-for", "203.0.113.7:4711")], "203.0.113.7"),
            (&[("x-forwarded-for", "::ffff:203.0.113.7")], "203.0.113.7"),
            (&[("x-forwarded-for", "2001:db8::1")], "2001:db8::1"),
            (&[("x-forwarded-for", "[2001:db8::1]:99, 2001:db8:ffff::2")], "2001:db8::1"),
            (&[("forwarded", "for=203.0.113.7;proto=https;by=10.0.0.1")], "203.0.113.7"),
            (&[("forwarded", "for=1.1.1.1, For=\"203.0.113.7:80\", for=10.1.1.1")], "203.0.113.7"),
            (&[("forwarded", "proto=http; for=\"[2001:db8::1]:80\"")], "2001:db8::1"),
        ] {
            assert_eq!(found(Some("10.0.0.1:5"), headers).as_deref(), Some(client), "{headers:?}");
        }
    }

    #[test]
    fn all_trusted_is_the_farthest_of_them() {
        assert_eq!(
            found(Some("10.0.0.1:5"), &[("x-forwarded-for", "10.9.9.9, 10.2.2.2")]).as_deref(),
            Some("10.9.9.9")
        );
    }

    #[test]
    fn garbage_leaves_the_peer() {
        for headers in [
            &[][..],
            &[("x-forwarded-for", "")],
            &[("x-forwarded-for", "203.0.113.7,")],
            &[("x-forwarded-for", "unknown")],
            &[("x-forwarded-for", "203.0.113.7, localhost")],
            &[("x-forwarded-for", "203.0.113.7\u{e9}")],
            &[("x-forwarded-for", "999.1.1.1")],
            &[("forwarded", "203.0.113.7")],
            &[("forwarded", "for=_hidden")],
            &[("forwarded", "for=203.0.113.7;for=1.1.1.1")],
            &[("forwarded", "for=203.0.113.7"), ("x-forwarded-for", "1.1.1.1")],
        ] {
            assert_eq!(found(Some("10.0.0.1:5"), headers).as_deref(), Some("10.0.0.1"), "{headers:?}");
        }
    }

    #[test]
    fn a_unix_peer_may_name_its_client() {
        assert_eq!(found(None, &[]), None);
        assert_eq!(found(None, &[("x-forwarded-for", "203.0.113.7")]).as_deref(), Some("203.0.113.7"));
        assert_eq!(found(None, &[("x-forwarded-for", "junk")]), None);
    }
}
