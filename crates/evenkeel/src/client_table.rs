//! Software names of peers, as 16-bit numbers: a record has no room for a peer id.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use evenkeel_wire::PeerId;
use evenkeel_wire::client_name::{ClientName, client_name};

/// The first 8 bytes of peer ids, each with a number; 0 is "any other".
///
/// Strangers choose peer ids, so the table is of fixed size: when it is half full, new prefixes are "any
/// other" until the next start. Only statistics suffer.
pub(crate) struct ClientTable {
    slots: Box<[AtomicU64]>,
    used: AtomicU32,
}

const SLOTS: usize = 8192;
/// Names that are told apart at most.
pub(crate) const USED_MAX: u32 = 4096;

impl Default for ClientTable {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), used: AtomicU32::new(0) }
    }
}

impl ClientTable {
    /// The number of a peer id's software. No lock: a slot is written once, by whoever comes first.
    pub(crate) fn intern(&self, peer_id: &PeerId) -> u16 {
        let prefix = prefix(peer_id);
        if prefix == 0 {
            return 0;
        }
        let spread = prefix.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(13);
        let mut at = usize::try_from(spread % SLOTS as u64).unwrap_or_default();
        loop {
            match self.slots[at].load(Ordering::Relaxed) {
                found if found == prefix => return number(at),
                0 if self.used.load(Ordering::Relaxed) >= USED_MAX => return 0,
                0 => match self.slots[at].compare_exchange(0, prefix, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        self.used.fetch_add(1, Ordering::Relaxed);
                        return number(at);
                    }
                    Err(found) if found == prefix => return number(at),
                    Err(_) => {}
                },
                _ => {}
            }
            at = (at + 1) % SLOTS;
        }
    }

    /// The software behind a number.
    pub(crate) fn name(&self, number: u16) -> ClientName {
        let prefix = usize::from(number)
            .checked_sub(1)
            .and_then(|at| self.slots.get(at))
            .map_or(0, |slot| slot.load(Ordering::Relaxed));
        if prefix == 0 {
            return ClientName { name: "other", version: String::new() };
        }
        let mut peer_id = PeerId([b'-'; 20]);
        peer_id.0[..8].copy_from_slice(&prefix.to_be_bytes());
        client_name(&peer_id)
    }

    /// Numbers given out.
    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

fn prefix(peer_id: &PeerId) -> u64 {
    peer_id.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn number(at: usize) -> u16 {
    u16::try_from(at + 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_the_name() {
        let table = ClientTable::default();
        let number = table.intern(&PeerId(*b"-qB4620-abcdefghijkl"));
        assert_eq!(number, table.intern(&PeerId(*b"-qB4620-lkjihgfedcba")));
        assert_ne!(number, table.intern(&PeerId(*b"-TR3000-abcdefghijkl")));
        assert_eq!(table.name(number).name, "qBittorrent");
        assert_eq!(table.name(table.intern(&PeerId(*b"M7-10-5--abcdefghijk"))).version, "7.10.5");
    }

    #[test]
    fn a_flood_of_names_fills_half_the_table_and_no_more() {
        let table = ClientTable::default();
        for number in 1..=20_000_u64 {
            let mut peer_id = PeerId([0; 20]);
            peer_id.0[..8].copy_from_slice(&number.to_be_bytes());
            table.intern(&peer_id);
        }
        assert_eq!(table.used(), USED_MAX);
        assert_eq!(table.intern(&PeerId(*b"-qB4620-abcdefghijkl")), 0);
        assert_eq!(table.name(0).name, "other");
    }
}
