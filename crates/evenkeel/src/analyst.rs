//! What identities earn, in the running program: announces tell a thread what they saw, and read the tiers that it publishes.
//!
//! What is told goes into a ring for each thread that answers. A ring that is full takes no more, which is counted: what is
//! lost was earned by nobody, and nothing is counted twice. How it is added up is the core's matter.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};

use evenkeel_core::analyst::{Observation, View, Watched};
use evenkeel_core::experiment::{Arm, Comparison};
use evenkeel_core::standing::Standing;
use evenkeel_core::{Keyed, PeerKey, Tier, Uplinks};
use rtrb::{Consumer, Producer, RingBuffer};
use tokio::sync::oneshot;

use crate::node::lock;
use crate::store::Whose;

mod keeper;
mod row;
mod thread;

pub(crate) use thread::run;

/// What a thread may have told that was not taken up yet.
const WAITING_MAX: usize = 4 * WAITING_QUARTER as usize;
const WAITING_QUARTER: u32 = 2048;
/// Questions that may wait.
const QUESTIONS_MAX: usize = 64;
/// What a network earns at most: an address is easily had.
const NETWORK_TIER_MAX: u8 = 2;

/// Who earns something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Earning {
    /// So many users and announce keys.
    pub known_max: u32,
    /// And networks, too.
    pub of_networks: bool,
}

/// See the module.
pub(crate) struct Earned {
    earning: Earning,
    standing: Standing,
    /// The threads' rings, until the thread that adds up has them.
    rings: Mutex<Vec<Consumer<Noted>>>,
    ask: mpsc::SyncSender<Question>,
    questions: Mutex<mpsc::Receiver<Question>>,
    is_restored: AtomicBool,
    figures: Figures,
}

/// What an announce says, and of whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noted {
    /// What it says.
    pub observation: Observation,
    /// Who has the slot, if it outlives the program.
    pub whose: Option<Whose>,
    /// How large the catalogue says the torrent is; 0 if it does not.
    pub size_bytes: u64,
    /// How its swarm is treated, and the tier by which it was, if that is compared.
    pub arm: Option<(Arm, Tier)>,
}

/// A thread's end of its ring.
pub(crate) type Ring = Producer<Noted>;

/// Somebody wants to know the standing of a slot.
struct Question {
    slot: u32,
    answer: oneshot::Sender<Option<View>>,
}

/// What is held, as the thread last said.
#[derive(Default)]
struct Figures {
    watched: Mutex<Watched>,
    by_tier: [AtomicU32; Tier::COUNT],
    unkept: AtomicU32,
    comparison: Mutex<Comparison>,
}

/// The same for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Identities, torrents, snatches and bytes.
    pub watched: Watched,
    /// Identities of each tier.
    pub by_tier: [u32; Tier::COUNT],
    /// Identities whose standing the database has not taken yet.
    pub unkept: u32,
    /// Identities that there are slots for.
    pub slots: u32,
}

impl Earned {
    /// Nobody has earned anything yet.
    pub(crate) fn new(earning: Earning) -> Self {
        let networks = if earning.of_networks { Uplinks::NETWORKS } else { 0 };
        let (ask, questions) = mpsc::sync_channel(QUESTIONS_MAX);
        Self {
            standing: Standing::new(networks + earning.known_max),
            earning,
            rings: Mutex::default(),
            ask,
            questions: Mutex::new(questions),
            is_restored: AtomicBool::new(false),
            figures: Figures::default(),
        }
    }

    /// A way for one more thread to tell what it saw.
    pub(crate) fn ring(&self) -> Ring {
        let (ring, end) = RingBuffer::new(WAITING_MAX);
        lock(&self.rings).push(end);
        ring
    }

    /// Whether what was earned before the start is known.
    pub(crate) fn is_restored(&self) -> bool {
        self.is_restored.load(Ordering::Acquire)
    }

    /// The tier of somebody who is known by a number of its own.
    pub(crate) fn tier_of_known(&self, number: u32) -> Tier {
        self.slot(Uplinks::known_slot(number)).map_or(Tier::NEWEST, |slot| self.standing.tier(slot))
    }

    /// The tier of whoever shows nothing, if networks earn one.
    pub(crate) fn tier_of_network(&self, keyed: &Keyed, key: &PeerKey) -> Option<Tier> {
        let slot = self.earning.of_networks.then(|| Uplinks::slot(keyed, key))?;
        Some(self.standing.tier(slot).min(Tier::new(NETWORK_TIER_MAX).unwrap_or_default()))
    }

    /// Tells what an announce said, if there is room. Answers whether there was.
    pub(crate) fn tell(&self, ring: &mut Ring, noted: Noted) -> bool {
        let Noted { observation, .. } = noted;
        let slot = self.slot(observation.slot).unwrap_or(Observation::NOBODY);
        ring.push(Noted { observation: Observation { slot, ..observation }, ..noted }).is_ok()
    }

    /// What somebody known by a number of its own is shown of its standing; nothing before its first announce. `None` when too
    /// many ask.
    pub(crate) async fn view(&self, number: u32) -> Option<Option<View>> {
        let Some(slot) = self.slot(Uplinks::known_slot(number)) else { return Some(None) };
        let (answer, answered) = oneshot::channel();
        self.ask.try_send(Question { slot, answer }).ok()?;
        answered.await.ok()
    }

    /// See [`Held`].
    pub(crate) fn held(&self) -> Held {
        Held {
            watched: *lock(&self.figures.watched),
            by_tier: self.figures.by_tier.each_ref().map(|count| count.load(Ordering::Relaxed)),
            unkept: self.figures.unkept.load(Ordering::Relaxed),
            slots: self.standing.slots(),
        }
    }

    /// What rationing does, as far as it was measured.
    pub(crate) fn comparison(&self) -> Comparison {
        *lock(&self.figures.comparison)
    }

    /// The slot of its uplink.
    fn of_uplink(&self, slot: u32) -> u32 {
        if self.earning.of_networks { slot } else { slot + Uplinks::NETWORKS }
    }

    /// Where tiers stand: as slots of uplinks do, without networks where they earn nothing.
    fn slot(&self, of_uplink: u32) -> Option<u32> {
        let slot =
            if self.earning.of_networks { Some(of_uplink) } else { of_uplink.checked_sub(Uplinks::NETWORKS) };
        slot.filter(|slot| *slot < self.standing.slots())
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_core::Time;
    use evenkeel_core::analyst::Change;
    use evenkeel_wire::Endpoint;

    use super::*;

    fn earned(known_max: u32, of_networks: bool) -> Earned {
        Earned::new(Earning { known_max, of_networks })
    }

    fn noted(slot: u32) -> Noted {
        let observation = Observation {
            torrent: 1,
            left: 0,
            lacked: 0,
            uploaded: 5,
            downloaded: 0,
            slot,
            now: Time(1),
            seeders: 1,
            leechers: 0,
            secs: 0,
            has_seeded: false,
            seeds: true,
            completed: false,
            stopped: false,
            begins: false,
        };
        Noted { observation, whose: None, size_bytes: 0, arm: None }
    }

    #[test]
    fn what_a_full_ring_loses_is_counted_and_waits_for_nobody() {
        let earned = earned(10, false);
        let mut ring = earned.ring();
        let told = (0..WAITING_MAX + 5).filter(|_| earned.tell(&mut ring, noted(Uplinks::known_slot(3))));
        assert_eq!(told.count(), WAITING_MAX);
        let taken = lock(&earned.rings)[0].pop().unwrap();
        assert_eq!(taken.observation.slot, 3, "by its own number, where networks earn nothing");
        assert!(earned.tell(&mut ring, noted(7)), "there is room again");
    }

    #[test]
    fn whoever_has_no_slot_is_nobody_and_of_the_newest_tier() {
        let earned = earned(2, false);
        let mut ring = earned.ring();
        for slot in [0, Uplinks::NETWORKS - 1, Uplinks::known_slot(2), Observation::NOBODY] {
            earned.tell(&mut ring, noted(slot));
            let taken = lock(&earned.rings)[0].pop().unwrap();
            assert_eq!(taken.observation.slot, Observation::NOBODY, "{slot}");
        }
        earned.publish(Change { slot: 1, tier: Tier::TOP });
        assert_eq!([0, 1, 2].map(|number| earned.tier_of_known(number).number()), [0, 3, 0]);
        assert_eq!(earned.held().by_tier, [0, 0, 0, 1]);
    }

    #[test]
    fn a_network_earns_less_than_whoever_is_known() {
        let (earned, keyed) = (earned(2, true), Keyed::new([1, 2]));
        let key = |ip: &str| PeerKey::from(Endpoint::new(ip.parse().unwrap(), 1));
        let slot = Uplinks::slot(&keyed, &key("2001:db8::1"));
        earned.publish(Change { slot, tier: Tier::TOP });
        earned.publish(Change { slot: Uplinks::known_slot(1), tier: Tier::TOP });
        assert_eq!(earned.tier_of_known(1), Tier::TOP);
        let tier = |ip| earned.tier_of_network(&keyed, &key(ip)).map(Tier::number);
        assert_eq!(tier("2001:db8::1"), Some(2));
        assert_eq!(tier("2001:db8:0:ff::5"), Some(2), "the same /56");
        assert_eq!(tier("2001:db8:0:100::5"), Some(0));
        assert_eq!(
            Earned::new(Earning { known_max: 2, of_networks: false }).tier_of_network(&keyed, &key("::1")),
            None
        );
    }
}
