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
    /// What is known of that and of the torrent, once it was looked up.
    pub found: Option<Found>,
}

impl Node {
    /// Has fetched what announces of these peers will touch, in steps that each need what the one before has brought. On
    /// the way their secrets and torrents are looked up, where anybody asks for these.
    pub(crate) fn prefetch<const N: usize>(&self, batch: &mut [Option<Ahead>; N]) {
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
        let mut step = |batch: &[Option<Ahead>; N], step: fn(&Shard, _, &Endpoint) -> bool| {
            for (ahead, swarm) in batch.iter().zip(&mut swarms) {
                if let (Some(ahead), Some(at)) = (ahead, *swarm)
                    && !step(&lock(&self.slot(ahead).shard), at, &ahead.endpoint)
                {
                    *swarm = None;
                }
            }
        };
        step(batch, Shard::prefetch_peers);
        if let Some(access) = access {
            let now_secs = self.wall_secs();
            for ahead in batch.iter_mut().flatten() {
                let found = access.find(ahead.secret.as_ref(), (&ahead.info_hash, ahead.place), now_secs);
                if let Some(whose) = found.whose() {
                    access.books().ledger.prefetch_slots(whose);
                }
                ahead.found = Some(found);
            }
        }
        step(batch, Shard::prefetch_slot);
        if let Some(access) = access {
            let whose = batch.iter().flatten().filter_map(|ahead| ahead.found.as_ref()?.whose());
            whose.for_each(|whose| access.books().ledger.prefetch_rows(whose));
        }
        step(batch, Shard::prefetch_record);
    }

    fn slot(&self, ahead: &Ahead) -> &Slot {
        &self.slots[ahead.place.shard()]
    }
}
