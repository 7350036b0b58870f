//! UDP connection ids (BEP 15): proof that a sender receives what is sent to its address.
//!
//! An id is 16 bits of epoch and 48 bits of SipHash-2-4 over epoch and address, under a secret of 128 bits.
//! Nothing is stored for a client. To announce for an address that it does not own, an attacker must hit 48
//! bits: 2^47 packets on average, that is four years at a million packets per second, for one announce, and
//! an epoch ends every minute. SipHash is a keyed MAC for short input; a third of what BLAKE3 costs here.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Length of an epoch.
pub const EPOCH_SECS: u64 = 60;

/// An id is good in its own epoch and the four after it: four to five minutes, since some clients keep one
/// for longer than the two minutes of BEP 15.
const EPOCHS_GOOD: u16 = 4;

/// Issues and checks connection ids.
#[derive(Clone)]
pub struct ConnectionIds {
    mac: SipHasher24,
}

/// The minute an id was issued in, counted from any fixed moment that restarts do not move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u16);

impl Epoch {
    /// The epoch that `secs` since a fixed moment lie in.
    pub fn at(secs: u64) -> Self {
        Self(((secs / EPOCH_SECS) & 0xFFFF) as u16)
    }
}

impl ConnectionIds {
    /// Ids under a secret. Whoever knows it can forge ids; nodes behind one address share it.
    pub fn new(secret: &[u8; 16]) -> Self {
        Self { mac: SipHasher24::new_with_key(secret) }
    }

    /// The id for an address.
    pub fn issue(&self, now: Epoch, address: IpAddr) -> u64 {
        u64::from(now.0) << 48 | self.tag(now, address)
    }

    /// Whether `id` was issued to `address` not long ago. One comparison of whole words: no early exit that
    /// would tell how much of a guess was right.
    pub fn verify(&self, id: u64, now: Epoch, address: IpAddr) -> bool {
        let epoch = Epoch((id >> 48) as u16);
        now.0.wrapping_sub(epoch.0) <= EPOCHS_GOOD && self.issue(epoch, address) == id
    }

    fn tag(&self, epoch: Epoch, address: IpAddr) -> u64 {
        let mut message = [0; 18];
        message[..2].copy_from_slice(&epoch.0.to_be_bytes());
        let len = match address.to_canonical() {
            IpAddr::V4(ip) => {
                message[2..6].copy_from_slice(&ip.octets());
                6
            }
            IpAddr::V6(ip) => {
                message[2..].copy_from_slice(&ip.octets());
                18
            }
        };
        self.mac.hash(&message[..len]) & 0xFFFF_FFFF_FFFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    fn ids() -> ConnectionIds {
        ConnectionIds::new(&[7; 16])
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_is_good_for_its_address_for_four_minutes_and_dead_after_five() {
        for address in [ip("192.0.2.1"), ip("2001:db8::1")] {
            for start in [0, 59, HOUR, 65_536 * 60 - 1] {
                let id = ids().issue(Epoch::at(start), address);
                for later in [0, 60, 240] {
                    assert!(ids().verify(id, Epoch::at(start + later), address), "{start} {later}");
                }
                for later in [300, HOUR, 24 * HOUR] {
                    assert!(!ids().verify(id, Epoch::at(start + later), address), "{start} {later}");
                }
            }
        }
    }

    #[test]
    fn an_id_of_the_future_is_refused() {
        let id = ids().issue(Epoch::at(120), ip("192.0.2.1"));
        assert!(!ids().verify(id, Epoch::at(0), ip("192.0.2.1")));
    }

    #[test]
    fn every_flipped_bit_breaks_an_id() {
        let now = Epoch::at(HOUR);
        let id = ids().issue(now, ip("192.0.2.1"));
        for bit in 0..64 {
            assert!(!ids().verify(id ^ 1 << bit, now, ip("192.0.2.1")), "{bit}");
        }
    }

    #[test]
    fn another_address_or_secret_breaks_an_id() {
        let now = Epoch::at(HOUR);
        let id = ids().issue(now, ip("192.0.2.1"));
        assert!(!ids().verify(id, now, ip("192.0.2.2")));
        assert!(!ConnectionIds::new(&[8; 16]).verify(id, now, ip("192.0.2.1")));
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let now = Epoch::at(HOUR);
        let id = ids().issue(now, ip("192.0.2.1"));
        assert!(ids().verify(id, now, ip("::ffff:192.0.2.1")));
    }
}
