//! Which offer an answer belongs to.
//!
//! An offer that a socket was handed is remembered there, and only there: with it an answer finds the socket that
//! offered, whatever peer ids anybody claims. Nobody can send answers to strangers, and none is passed on twice.

use std::collections::VecDeque;

use evenkeel_wire::{InfoHash, OfferId, PeerId};

use crate::keyed::Keyed;
use crate::prefetch;
use crate::swarm::SocketId;
use crate::time::Time;

/// An offer that is older is not answered any more: clients give up after 50 s.
pub const OFFER_TTL_SECS: u32 = 120;

/// Offers that one socket is remembered to have been handed; the oldest one is forgotten for the next.
pub const OFFERS_MAX: usize = 256;

/// What an offer is found by: a keyed hash of torrent, offerer and offer id. Nobody who does not know the key can make
/// two offers look alike; by chance two of a socket's do in one of 10^14 cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfferKey(u64);

impl OfferKey {
    /// Of an offer that `peer_id` makes.
    pub fn new(keyed: &Keyed, info_hash: &InfoHash, peer_id: &PeerId, offer_id: &OfferId) -> Self {
        let mut bytes = [0; 60];
        bytes[..20].copy_from_slice(&info_hash.0);
        bytes[20..40].copy_from_slice(&peer_id.0);
        bytes[40..].copy_from_slice(&offer_id.0);
        Self(keyed.hash(&bytes))
    }
}

/// The offers that one socket was handed and has not answered, oldest first.
#[derive(Debug, Default)]
pub struct Offers {
    handed: VecDeque<Handed>,
}

#[derive(Clone, Copy, Debug)]
struct Handed {
    key: OfferKey,
    from: SocketId,
    since: Time,
}

impl Offers {
    /// Remembers an offer of the socket `from`.
    pub fn remember(&mut self, key: OfferKey, from: SocketId, now: Time) {
        while self.handed.front().is_some_and(|oldest| is_stale(oldest, now)) {
            self.handed.pop_front();
        }
        if self.handed.len() == OFFERS_MAX {
            self.handed.pop_front();
        }
        self.handed.push_back(Handed { key, from, since: now });
    }

    /// One will be remembered.
    pub fn prefetch(&self) {
        if let (Some(oldest), Some(newest)) = (self.handed.front(), self.handed.back()) {
            prefetch::value(oldest);
            prefetch::value((&raw const *newest).wrapping_add(1));
        }
    }

    /// Takes the offer that is answered; tells whose it is, if it was handed to this socket, lately, and not yet
    /// answered.
    pub fn take(&mut self, key: OfferKey, now: Time) -> Option<SocketId> {
        // Most are answered at once: the newest is looked at first.
        let at = self.handed.iter().rposition(|handed| handed.key == key && !is_stale(handed, now))?;
        self.handed.remove(at).map(|handed| handed.from)
    }
}

fn is_stale(handed: &Handed, now: Time) -> bool {
    now.0.saturating_sub(handed.since.0) > OFFER_TTL_SECS
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYED: [u64; 2] = [1, 2];

    fn key(offer: u8) -> OfferKey {
        let keyed = Keyed::new(KEYED);
        OfferKey::new(&keyed, &InfoHash([1; 20]), &PeerId([2; 20]), &OfferId([offer; 20]))
    }

    #[test]
    fn an_offer_is_answered_once() {
        let mut offers = Offers::default();
        let [first, second] = [1, 2].map(|serial| SocketId::new(3, serial));
        offers.remember(key(1), first, Time(0));
        offers.remember(key(2), second, Time(0));
        assert_eq!(offers.take(key(2), Time(5)), Some(second));
        assert_eq!(offers.take(key(2), Time(5)), None);
        assert_eq!(offers.take(key(3), Time(5)), None, "it was never handed out");
        assert_eq!(offers.take(key(1), Time(5)), Some(first));
    }

    #[test]
    fn every_part_of_an_offer_tells_it_from_others() {
        let keyed = Keyed::new(KEYED);
        let of = |torrent, peer, offer| {
            OfferKey::new(&keyed, &InfoHash([torrent; 20]), &PeerId([peer; 20]), &OfferId([offer; 20]))
        };
        let keys = [of(1, 1, 1), of(2, 1, 1), of(1, 2, 1), of(1, 1, 2)];
        for (at, key) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != key));
        }
    }

    #[test]
    fn an_offer_goes_stale_after_two_minutes() {
        let mut offers = Offers::default();
        let from = SocketId::new(0, 1);
        offers.remember(key(1), from, Time(100));
        offers.remember(key(2), from, Time(100));
        assert_eq!(offers.take(key(1), Time(100 + OFFER_TTL_SECS)), Some(from));
        assert_eq!(offers.take(key(2), Time(101 + OFFER_TTL_SECS)), None);
    }

    #[test]
    fn a_socket_that_is_flooded_with_offers_keeps_the_newest() {
        let mut offers = Offers::default();
        for number in 0..=OFFERS_MAX as u64 {
            offers.remember(OfferKey(number), SocketId::new(0, number), Time(0));
        }
        assert_eq!(offers.handed.len(), OFFERS_MAX);
        assert_eq!(offers.take(OfferKey(0), Time(1)), None);
        assert_eq!(offers.take(OfferKey(1), Time(1)), Some(SocketId::new(0, 1)));
        offers.remember(key(1), SocketId::new(0, 1), Time(2 * OFFER_TTL_SECS));
        assert_eq!(offers.handed.len(), 1, "stale ones take no room");
    }
}
