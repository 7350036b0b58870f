//! Fetching from memory what announces will touch, before they do. All of a batch wait together instead of one after the
//! other.

use evenkeel_core::{Place, Shard};
use evenkeel_wire::{Endpoint, InfoHash};

use super::{Node, Slot, lock};
use crate::access::Found;
use crate::store::Hash32;

/// An announce that will come, as far as memory matters.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// The peer.
    pub endpoint: Endpoint,
    /// The torrent.
    pub info_hash: InfoHash,
    /// Where its swarm is.
    pub place: Place,
    /// The hash of what its URL carries.
    pub secret: Option<Hash32>,
}

impl Node {
    /// Has fetched what announces of these peers will touch, in steps that each need what the one before has brought. On
    /// the way their secrets and torrents are looked up, where anybody asks for these: what was found is noted.
    pub(crate) fn prefetch<const N: usize>(
        &self,
        batch: &[Option<Ahead>; N],
        all_found: &mut [Option<Found>; N],
    ) {
        let access = self.access.as_ref();
        for ahead in batch.iter().flatten() {
            self.slot(ahead).hint.prefetch(ahead.place.number());
            if let Some(access) = access {
                access.control().prefetch_slots(ahead.secret.as_ref(), ahead.place);
            }
        }
        let mut swarms = batch.each_ref().map(|ahead| {
            let ahead = ahead.as_ref()?;
            if let Some(access) = access {
                access.control().prefetch_rows(ahead.secret.as_ref(), ahead.place);
            }
            lock(&self.slot(ahead).shard).prefetch_swarm(ahead.place)
        });
        let mut step = |step: fn(&Shard, _, &Endpoint) -> bool| {
            for (ahead, swarm) in batch.iter().zip(&mut swarms) {
                if let (Some(ahead), Some(at)) = (ahead, *swarm)
                    && !step(&lock(&self.slot(ahead).shard), at, &ahead.endpoint)
                {
                    *swarm = None;
                }
            }
        };
        step(Shard::prefetch_peers);
        if let Some(access) = access {
            let now_secs = self.wall_secs();
            for (ahead, noted) in batch.iter().zip(&mut *all_found) {
                let Some(ahead) = ahead else { continue };
                let found = access.find(ahead.secret.as_ref(), (&ahead.info_hash, ahead.place), now_secs);
                if let Some(whose) = found.whose() {
                    access.books().ledger.prefetch_slots(whose);
                }
                *noted = Some(found);
            }
        }
        step(Shard::prefetch_slot);
        if let Some(access) = access {
            let whose = all_found.iter().flatten().filter_map(Found::whose);
            whose.for_each(|whose| access.books().ledger.prefetch_rows(whose));
        }
        step(Shard::prefetch_record);
    }

    fn slot(&self, ahead: &Ahead) -> &Slot {
        &self.slots[ahead.place.shard()]
    }
}
