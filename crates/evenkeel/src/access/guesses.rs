//! Addresses that show one unknown secret after the other. What is random in a secret, 128 bits, keeps it from being
//! guessed; this keeps guessers from costing anything.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use evenkeel_core::{Keyed, Scope};
use evenkeel_wire::Endpoint;

use crate::node::lock;
use crate::store::Hash32;

/// Different unknown secrets in a window that shut an address out. A client with an old passkey shows one, for each of
/// its torrents, and is not.
const GUESSES_MAX: u32 = 10;
const WINDOW_SECS: i64 = 60;
const SHUT_OUT_SECS: i64 = 3600;
/// Addresses that are told apart; a newcomer takes over the place of another one, whose count is forgotten.
const PLACES: usize = 4096;

/// See the module.
pub(super) struct Guesses {
    keyed: Keyed,
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    /// Whose address is shut out: 32 bits of its hash, and until when. Read without the lock.
    shut_out: AtomicU64,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    source: u64,
    since_secs: i64,
    last: u64,
    guesses: u32,
}

impl Guesses {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { keyed, places: std::iter::repeat_with(Place::default).take(PLACES).collect() }
    }

    fn place(&self, source: IpAddr) -> (u64, &Place) {
        let hash = match source {
            IpAddr::V4(ip) => self.keyed.hash(&ip.octets()),
            // What one party owns is a /64.
            IpAddr::V6(ip) => self.keyed.hash(&ip.octets()[..8]),
        };
        (hash, &self.places[usize::try_from(hash % PLACES as u64).unwrap_or(0)])
    }

    pub(super) fn is_shut_out(&self, source: IpAddr, now_secs: i64) -> bool {
        let (hash, place) = self.place(source);
        let shut_out = place.shut_out.load(Ordering::Relaxed);
        shut_out >> 32 == hash >> 32 && now_secs.unsigned_abs() & 0xFFFF_FFFF < shut_out & 0xFFFF_FFFF
    }

    /// Notes that a secret of this hash was unknown.
    pub(super) fn note(&self, source: IpAddr, secret: &Hash32, now_secs: i64) {
        // Behind an address of our own may be everybody: a proxy that does not say for whom it speaks.
        if Scope::of(&Endpoint::new(source, 0)) != Scope::Global {
            return;
        }
        let (hash, place) = self.place(source);
        let secret = self.keyed.hash(&secret.0);
        let mut count = lock(&place.count);
        let is_over = !(0..WINDOW_SECS).contains(&(now_secs - count.since_secs));
        if count.source != hash || is_over {
            *count = Count { source: hash, since_secs: now_secs, last: secret, guesses: 0 };
        } else if count.last == secret {
            return;
        }
        count.last = secret;
        count.guesses += 1;
        if count.guesses > GUESSES_MAX {
            let until = (now_secs + SHUT_OUT_SECS).unsigned_abs() & 0xFFFF_FFFF;
            place.shut_out.store(hash >> 32 << 32 | until, Ordering::Relaxed);
        }
    }
}
