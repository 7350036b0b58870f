//! How many connections are open, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use evenkeel_core::Scope;
use evenkeel_wire::Endpoint;

use crate::node::lock;

/// Share of the connections from which on the longest idle one ends for each that comes.
const PRESSED_PERCENT: u64 = 95;

/// Open connections. The table of addresses is no larger than the number of connections.
pub(crate) struct Connections {
    open: AtomicU32,
    open_max: u32,
    /// From so many on the longest idle make room.
    pressed_from: u32,
    by_source: Mutex<HashMap<[u8; 8], u32>>,
}

/// A connection's place, given back when it is dropped: however the connection ends.
pub(crate) struct Place {
    connections: Arc<Connections>,
    source: Option<[u8; 8]>,
}

impl Connections {
    /// Room for `open_max`, as long as there are `descriptors_max` for them.
    pub(crate) fn new(open_max: u32, descriptors_max: u32) -> Self {
        let most = u64::from(open_max.min(descriptors_max));
        let pressed_from = u32::try_from((most * PRESSED_PERCENT).div_ceil(100)).unwrap_or(u32::MAX);
        Self { open: AtomicU32::new(0), open_max, pressed_from, by_source: Mutex::default() }
    }

    /// Whether so many are open that somebody has to make room.
    pub(super) fn is_pressed(&self) -> bool {
        self.open() > self.pressed_from
    }

    /// Open now.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Open at most.
    pub(crate) fn open_max(&self) -> u32 {
        self.open_max
    }

    /// Takes a place, unless all are taken, or all that the address may have, if it is one to be counted.
    pub(super) fn admit(self: &Arc<Self>, ip: Option<IpAddr>, per_address_max: u32) -> Option<Place> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.open_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut place = Place { connections: Arc::clone(self), source: None };
        ip.is_none_or(|ip| place.count(ip, per_address_max)).then_some(place)
    }
}

impl Connections {
    fn leave(&self, source: [u8; 8]) {
        let mut by_source = lock(&self.by_source);
        if let Some(count) = by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                by_source.remove(&source);
            }
        }
    }
}

impl Place {
    /// Counts the place as one of an address (IPv4 address, IPv6 /64) from now on, unless that has all that it may have.
    /// Only global addresses are counted.
    pub(super) fn count(&mut self, ip: IpAddr, per_address_max: u32) -> bool {
        if Scope::of(&Endpoint::new(ip, 0)) != Scope::Global {
            return true;
        }
        let source = source(ip);
        let mut by_source = lock(&self.connections.by_source);
        let count = by_source.entry(source).or_insert(0);
        if *count >= per_address_max {
            return false;
        }
        *count += 1;
        drop(by_source);
        if let Some(before) = self.source.replace(source) {
            self.connections.leave(before);
        }
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(source) = self.source {
            self.connections.leave(source);
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
        let connections = Arc::new(Connections::new(100, 100));
        let ip = "8.8.8.8".parse().unwrap();
        let places: Vec<_> = (0..3).filter_map(|_| connections.admit(Some(ip), 2)).collect();
        assert_eq!((places.len(), connections.open()), (2, 2));
        let _other = connections.admit("8.8.4.4".parse().ok(), 2).unwrap();
        drop(places);
        assert_eq!(connections.open(), 1);
        assert_eq!(lock(&connections.by_source).len(), 1);
    }

    #[test]
    fn local_addresses_are_limited_in_all_only() {
        let connections = Arc::new(Connections::new(3, 3));
        let ip = "127.0.0.1".parse().unwrap();
        let places: Vec<_> = (0..5).filter_map(|_| connections.admit(Some(ip), 1)).collect();
        assert_eq!((places.len(), connections.open()), (3, 3));
    }

    #[test]
    fn a_64_is_one_address() {
        let connections = Arc::new(Connections::new(100, 100));
        let _first = connections.admit("2a00::1".parse().ok(), 1).unwrap();
        assert!(connections.admit("2a00::2".parse().ok(), 1).is_none());
        assert!(connections.admit("2a00:0:0:1::2".parse().ok(), 1).is_some());
    }

    #[test]
    fn a_place_is_counted_for_whom_a_proxy_names_and_leaves_the_one_before() {
        let connections = Arc::new(Connections::new(100, 100));
        let [first, second] = ["8.8.8.8", "8.8.4.4"].map(|ip| ip.parse().unwrap());
        let mut proxied: Vec<_> = (0..3).filter_map(|_| connections.admit(None, 1)).collect();
        assert_eq!(proxied.len(), 3, "a proxy is nobody's address");
        assert!(proxied[0].count(first, 1) && proxied[1].count(second, 1) && !proxied[2].count(first, 1));
        proxied.remove(0);
        assert!(proxied[1].count(first, 1));
        drop(proxied);
        assert_eq!((connections.open(), lock(&connections.by_source).len()), (0, 0));
    }

    #[test]
    fn it_is_pressed_above_95_percent_of_what_there_is() {
        for (open_max, descriptors_max) in [(100, 1000), (1000, 100)] {
            let connections = Arc::new(Connections::new(open_max, descriptors_max));
            let mut places: Vec<_> = (0..95).filter_map(|_| connections.admit(None, 1)).collect();
            assert!(!connections.is_pressed());
            places.extend(connections.admit(None, 1));
            assert!(connections.is_pressed());
        }
    }
}
