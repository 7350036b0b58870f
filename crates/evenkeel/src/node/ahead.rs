//! Fetching from memory what announces will touch, before they do. All of a batch wait together instead of one after the
//! other; and what one announce alone will touch in several places is waited for at once.

use evenkeel_core::{PeerKey, Place, Shard};
use evenkeel_wire::{Announce, Endpoint, InfoHash};

use super::{Announcer, Node, Slot, lock};
use crate::access::{Access, Found};
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
            self.slot(ahead).hint().prefetch(ahead.place);
            if let Some(access) = access {
                access.prefetch_slots(ahead.secret.as_ref(), ahead.place);
            }
        }
        let mut swarms = batch.each_ref().map(|ahead| {
            let ahead = ahead.as_ref()?;
            if let Some(access) = access {
                access.prefetch_rows(ahead.secret.as_ref(), ahead.place);
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

    /// What is known of an announce that came alone.
    pub(super) fn find_alone(
        &self,
        access: &Access,
        (caller, ask): (&Announcer<'_>, &Announce),
        now_secs: i64,
    ) -> Found {
        let Announcer { key, place, secret, .. } = *caller;
        let info_hash = ask.info_hash;
        let mut batch = [None];
        if let PeerKey::Dialled(endpoint) = key {
            batch = [Some(Ahead { endpoint, info_hash, place, secret, found: None })];
            self.prefetch(&mut batch);
        }
        let found = batch[0].and_then(|ahead| ahead.found);
        found.unwrap_or_else(|| access.find(secret.as_ref(), (&info_hash, place), now_secs))
    }

    fn slot(&self, ahead: &Ahead) -> &Slot {
        &self.slots[ahead.place.shard()]
    }
}
