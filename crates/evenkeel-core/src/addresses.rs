//! How many peers an address has in all swarms together.

use std::sync::atomic::{AtomicU32, Ordering};

use evenkeel_wire::Endpoint;

use crate::keyed::Keyed;

/// A table of fixed size: strangers cannot make it grow.
///
/// Each address has a counter in either half, chosen by a keyed hash; the smaller one is at least its number
/// of peers. Others only make it larger when they share *both* counters: while k addresses are at their limit,
/// an innocent one is refused with a probability of about (k / 2^19)^2, that is 4 in a million for k = 1,000.
///
/// The counters are shared by all shards. An announce that runs at the same moment may be missed by one:
/// limits are exact but for the number of threads.
pub struct AddressTable {
    counters: Box<[AtomicU32]>,
    keyed: Keyed,
}

const HALF: usize = 1 << 19;

impl AddressTable {
    /// An empty table: 4 MiB, of which the system gives what is touched.
    pub fn new(keyed: Keyed) -> Self {
        Self { counters: (0..2 * HALF).map(|_| AtomicU32::new(0)).collect(), keyed }
    }

    /// Peers of the address at most.
    pub fn peers(&self, endpoint: &Endpoint) -> u32 {
        let [first, second] = self.counters(endpoint);
        first.load(Ordering::Relaxed).min(second.load(Ordering::Relaxed))
    }

    pub(crate) fn add(&self, endpoint: &Endpoint) {
        for counter in self.counters(endpoint) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self, endpoint: &Endpoint) {
        for counter in self.counters(endpoint) {
            // Never below zero: after a panic a peer may be taken out that was not yet counted.
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |peers| peers.checked_sub(1)).ok();
        }
    }

    fn counters(&self, endpoint: &Endpoint) -> [&AtomicU32; 2] {
        let hash = self.keyed.hash(source(endpoint));
        let half = |bits: u64| usize::try_from(bits % HALF as u64).unwrap_or_default();
        [&self.counters[half(hash)], &self.counters[HALF + half(hash >> 32)]]
    }
}

/// What one party owns: an IPv4 address, or the first 64 bits of an IPv6 address.
pub(crate) fn source(endpoint: &Endpoint) -> &[u8] {
    match endpoint {
        Endpoint::V4(bytes) => &bytes[..4],
        Endpoint::V6(bytes) => &bytes[..8],
    }
}
