//! The thread that forgets silent peers: one shard after the other, around once a minute. After each round it gives back
//! what has become free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evenkeel_core::{SHARDS, Totals};

use crate::node::Node;
use crate::system;

/// One round over all shards. A peer is forgotten so much later than its time to live, at most.
const ROUND: Duration = Duration::from_secs(60);

/// Sweeps until `stop`.
pub(crate) fn run(node: &Arc<Node>, stop: &AtomicBool) {
    let mut shrunk = Shrunk::default();
    let pause = ROUND / u32::try_from(SHARDS).unwrap_or(u32::MAX);
    for shard in (0..SHARDS).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        node.sweep_shard(shard);
        if shard == SHARDS - 1 && shrunk.note(&node.totals()) {
            system::return_free_memory();
        }
        if shard % 4 == 0 {
            // About four times a second.
            node.renew_fullness();
        }
        std::thread::park_timeout(pause);
    }
}

/// Sees whether so much has left that memory is worth giving back.
#[derive(Default)]
struct Shrunk {
    most: u64,
}

impl Shrunk {
    /// In units of a dialled peer; the buffers of a WebSocket take as much as some hundred of them.
    const WEB_PEER: u64 = 300;
    /// About a megabyte.
    const WORTH_IT: u64 = 50_000;

    /// Whether a quarter of what was there at most has gone since the last time that it had.
    fn note(&mut self, totals: &Totals) -> bool {
        let web = u64::from(totals.web_peers);
        let now = totals.peers() - web + Self::WEB_PEER * web;
        self.most = self.most.max(now);
        let is_less = self.most - now >= Self::WORTH_IT.max(self.most / 4);
        if is_less {
            self.most = now;
        }
        is_less
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_for_each_quarter_that_leaves() {
        let mut shrunk = Shrunk::default();
        let mut after =
            |v4_peers, web_peers| shrunk.note(&Totals { v4_peers, web_peers, ..Totals::default() });
        assert!(!after(1_000_000, 0) && !after(800_000, 0), "a fifth is nothing");
        assert!(after(700_000, 0));
        assert!(!after(690_000, 0) && !after(700_000, 0), "that has been given back");
        assert!(after(10, 0));
        assert!(!after(40_000, 0) && !after(0, 0), "so little is nothing");
        assert!(!after(0, 2_000) && after(0, 0), "sockets are large");
    }
}
