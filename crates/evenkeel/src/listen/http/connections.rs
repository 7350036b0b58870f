//! How many connections are open, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_core::Scope;
use evenkeel_wire::Endpoint;

use crate::node::lock;

/// Open connections. The table of addresses is no larger than the number of connections.
pub(crate) struct Connections {
    open: AtomicU32,
    open_max: u32,
    by_source: Mutex<HashMap<[u8; 8], u32>>,
}

/// A connection's place; to be released when it ends.
pub(super) struct Place(Option<[u8; 8]>);

impl Connections {
    /// Room for `open_max`.
    pub(crate) fn new(open_max: u32) -> Self {
        Self { open: AtomicU32::new(0), open_max, by_source: Mutex::default() }
    }

    /// Open now.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Open at most.
    pub(crate) fn open_max(&self) -> u32 {
        self.open_max
    }

    /// Takes a place, unless all are taken, or all that the address (IPv4 address, IPv6 /64) may have. Only
    /// global addresses are counted.
    pub(super) fn admit(&self, ip: IpAddr, per_address_max: u32) -> Option<Place> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.open_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        if Scope::of(&Endpoint::new(ip, 0)) != Scope::Global {
            return Some(Place(None));
        }
        let source = source(ip);
        let mut by_source = lock(&self.by_source);
        let count = by_source.entry(source).or_insert(0);
        if *count >= per_address_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        Some(Place(Some(source)))
    }

    #[expect(clippy::needless_pass_by_value, reason = "a place is released once")]
    pub(super) fn release(&self, place: Place) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(source) = place.0 {
            let mut by_source = lock(&self.by_source);
            if let Some(count) = by_source.get_mut(&source) {
                *count -= 1;
                if *count == 0 {
                    by_source.remove(&source);
                }
            }
        }
    }
}

fn source(ip: IpAddr) -> [u8; 8] {
    let mut source = [0; 8];
    match ip {
        IpAddr::V4(ip) => source[4..].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => source.copy_from_slice(&ip.octets()[..8]),
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_share_and_leaves_no_trace() {
        let connections = Connections::new(100);
        let ip = "8.8.8.8".parse().unwrap();
        let places: Vec<_> = (0..3).filter_map(|_| connections.admit(ip, 2)).collect();
        assert_eq!((places.len(), connections.open()), (2, 2));
        assert!(connections.admit("8.8.4.4".parse().unwrap(), 2).is_some());
        places.into_iter().for_each(|place| connections.release(place));
        assert_eq!(connections.open(), 1);
        assert_eq!(lock(&connections.by_source).len(), 1);
    }

    #[test]
    fn local_addresses_are_limited_in_all_only() {
        let connections = Connections::new(3);
        let ip = "127.0.0.1".parse().unwrap();
        let places = (0..5).filter_map(|_| connections.admit(ip, 1)).count();
        assert_eq!((places, connections.open()), (3, 3));
    }

    #[test]
    fn a_64_is_one_address() {
        let connections = Connections::new(100);
        assert!(connections.admit("2a00::1".parse().unwrap(), 1).is_some());
        assert!(connections.admit("2a00::2".parse().unwrap(), 1).is_none());
        assert!(connections.admit("2a00:0:0:1::2".parse().unwrap(), 1).is_some());
    }
}
