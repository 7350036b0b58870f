//! The thread that forgets silent peers: one shard after the other, around once a minute. It also has free memory given
//! back to the system.

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
    let mut change = Change::default();
    let pause = ROUND / u32::try_from(SHARDS).unwrap_or(u32::MAX);
    for shard in (0..SHARDS).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        node.sweep_shard(shard);
        node.renew_fullness();
        if change.note(&node.totals()) {
            system::return_free_memory();
        }
        std::thread::park_timeout(pause);
    }
}

/// Sees whether the store has changed so much that there is memory to give back, and does so no longer. What shrinks leaves
/// room, and so does what grows: lists that have become longer are elsewhere now, and others rarely fit where they were. But to
/// give it back takes a millisecond, in which an announce that needs memory waits, with its shard.
#[derive(Default)]
struct Change {
    /// When memory was given back.
    since: u64,
    /// The last time.
    last: u64,
}

impl Change {
    /// In units of a dialled peer; the buffers of a WebSocket take as much as some hundred of them.
    const WEB_PEER: u64 = 300;
    /// About a megabyte.
    const WORTH_IT: u64 = 50_000;

    /// Whether it is larger or smaller than the last time that it was, by a thirty-second at least, and has hardly changed
    /// meanwhile.
    fn note(&mut self, totals: &Totals) -> bool {
        let web = u64::from(totals.web_peers);
        let now = totals.peers() - web + Self::WEB_PEER * web;
        let is_calm = now.abs_diff(self.last) <= (now / 512).max(Self::WORTH_IT / 512);
        self.last = now;
        let has_changed = is_calm && now.abs_diff(self.since) >= Self::WORTH_IT.max(self.since / 32);
        if has_changed {
            self.since = now;
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_when_the_store_has_changed_and_does_so_no_longer() {
        let mut change = Change::default();
        let mut note =
            |v4_peers, web_peers| change.note(&Totals { v4_peers, web_peers, ..Totals::default() });
        let mut after = |v4_peers, web_peers| {
            let at_once = note(v4_peers, web_peers);
            assert!(!at_once, "it changes");
            note(v4_peers, web_peers)
        };
        assert!(!after(40_000, 0), "so little is nothing");
        assert!(after(800_000, 0));
        assert!(!after(849_000, 0) && !after(751_000, 0), "little more or less is nothing, too");
        assert!(after(8_000_000, 0));
        assert!(!after(7_800_000, 0) && !after(8_200_000, 0), "among many, many are few");
        assert!(after(8_250_000, 0));
        assert!(after(10, 0));
        assert!(!after(0, 100) && after(0, 2_000) && after(0, 0), "sockets are large");
    }
}
