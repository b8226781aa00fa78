//! How many connections may be open: in all, and from one address.

use std::net::IpAddr;
use std::sync::Arc;

use dashmap::DashMap;

/// Connections per address, over all workers.
#[derive(Debug, Default)]
pub(super) struct PerAddress {
    open: DashMap<IpAddr, usize>,
}

impl PerAddress {
    /// Takes a place for `address`, given back on drop. `None`: it has `cap` already.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, cap: usize) -> Option<Place> {
        let address = address.to_canonical();
        let mut count = self.open.entry(address).or_insert(0);
        if *count >= cap {
            return None;
        }
        *count += 1;
        drop(count);
        Some(Place { counts: Arc::clone(self), address })
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<PerAddress>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.open.remove_if_mut(&self.address, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_place_is_free_again_after_its_connection_and_nothing_stays_in_the_map() {
        let counts = Arc::new(PerAddress::default());
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let first = counts.take(address, 2).unwrap();
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        let second = counts.take(mapped, 2).unwrap();
        assert!(counts.take(address, 2).is_none());
        drop(first);
        assert!(counts.take(address, 2).is_some());
        drop(second);
        assert!(counts.open.is_empty());
    }
}
