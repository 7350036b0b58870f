//! The thread that forgets silent peers: one shard after the other, around once a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use evenkeel_core::SHARDS;

use crate::node::Node;

/// One round over all shards. A peer is forgotten so much later than its time to live, at most.
const ROUND: Duration = Duration::from_secs(60);

/// Sweeps until `stop`.
pub(crate) fn run(node: &Arc<Node>, stop: &AtomicBool) {
    let pause = ROUND / u32::try_from(SHARDS).unwrap_or(u32::MAX);
    for shard in (0..SHARDS).cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        node.sweep_shard(shard);
        if shard % 4 == 0 {
            // About four times a second.
            node.renew_fullness();
        }
        std::thread::park_timeout(pause);
    }
}
