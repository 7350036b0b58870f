//! What the policies promise, over random swarms whose seeders have been busy, or have had room, for hours.

use std::collections::BTreeSet;

use evenkeel_core::{Identity, PeerKey, Policy, Preset, Tier, Time};
use evenkeel_wire::{Announce, Endpoint, Event};

use crate::rig::{Families, Rig, Told, ask};

const RBS: [Policy; 3] =
    [Policy::Rbs(Preset::Default), Policy::Rbs(Preset::Aggressive), Policy::Rbs(Preset::Mild)];

/// Seeders that each preset leaves to everybody.
fn floor(policy: Policy) -> usize {
    match policy {
        Policy::Rbs(Preset::Default | Preset::Mild) => 3,
        Policy::Rbs(Preset::Aggressive) => 1,
        _ => 0,
    }
}

/// Somebody in a village; its number is its address.
#[derive(Clone, Copy)]
struct Villager {
    number: u16,
    tier: u8,
    is_seeder: bool,
    is_unconnectable: bool,
}

/// A swarm of which some seeders are busy.
struct Village {
    rig: Rig,
    busy: BTreeSet<u16>,
    roomy: BTreeSet<u16>,
    leechers: Vec<Villager>,
}

fn endpoint(number: u16) -> Endpoint {
    let [high, low] = number.to_be_bytes();
    Endpoint::V4([44, 0, high, low, 26, 225])
}

fn number(told: Told) -> u16 {
    match told {
        Told::Dial(Endpoint::V4([_, _, high, low, ..])) => u16::from_be_bytes([high, low]),
        other => panic!("{other:?} is not of the village"),
    }
}

fn update(number: u16) -> Announce {
    let mut ask = ask(b'v', [0; 20]);
    ask.peer_id.0[..2].copy_from_slice(&number.to_be_bytes());
    ask.event = Event::Update;
    ask
}

impl Village {
    /// Ten intervals in the life of a swarm: all seeders are busy at first, and `roomy` of them have room in the end.
    fn new(seed: u64, policy: Policy, [busy, roomy]: [u16; 2], leechers: &[u8]) -> Self {
        let mut rig = Rig::new(seed);
        rig.rules.policy = policy;
        rig.rules.keep_reports = true;
        rig.now = Time(10_000);
        let of_tier = |(number, tier): (u16, &u8)| Villager {
            number,
            tier: *tier,
            is_seeder: false,
            is_unconnectable: false,
        };
        let leechers: Vec<_> = (1000..).zip(leechers).map(of_tier).collect();
        let mut village =
            Self { rig, busy: (0..busy).collect(), roomy: (busy..busy + roomy).collect(), leechers };
        let mut sent = vec![0; usize::from(busy + roomy)];
        for round in 0..10 {
            for leecher in village.leechers.clone() {
                village.announce(leecher, 0, 200);
            }
            for (number, sent) in (0..).zip(&mut sent) {
                let is_at_best = number < busy || round < 5;
                *sent += if is_at_best { 1 << 30 } else { 1 << 26 };
                let seeder = Villager { number, tier: 1, is_seeder: true, is_unconnectable: false };
                village.announce(seeder, *sent, 0);
            }
            village.pass(1800);
        }
        village
    }

    fn pass(&mut self, secs: u32) {
        self.rig.now.0 += secs;
    }

    fn announce(&mut self, villager: Villager, uploaded: u64, want: u32) -> Vec<u16> {
        let Villager { number: own, tier, is_seeder, is_unconnectable } = villager;
        self.rig.identity = Identity {
            slot: Some(u32::from(own)),
            tier: Tier::new(tier).unwrap(),
            is_unconnectable,
            ..Identity::default()
        };
        let ask =
            Announce { uploaded, left: Some(u64::from(!is_seeder)), numwant: Some(want), ..update(own) };
        let (outcome, peers) = self.rig.announce(endpoint(own), 0, &ask, Families::V4);
        assert!(outcome.answer.is_ok());
        let peers: Vec<_> = peers.into_iter().map(number).collect();
        let distinct: BTreeSet<_> = peers.iter().collect();
        assert!(distinct.len() == peers.len() && !peers.contains(&own), "each once, and not the caller");
        assert!(!is_seeder || peers.iter().all(|peer| *peer >= 1000), "no seeder for a seeder");
        peers
    }

    /// A leecher who is not there yet.
    fn newcomer(&self, number: u16, tier: u8) -> Villager {
        Villager { number: 5000 + number, tier, is_seeder: false, is_unconnectable: false }
    }

    fn seeders_in<'a>(&'a self, peers: &'a [u16]) -> (BTreeSet<u16>, BTreeSet<u16>) {
        let of =
            |seeders: &BTreeSet<u16>| peers.iter().copied().filter(|peer| seeders.contains(peer)).collect();
        (of(&self.busy), of(&self.roomy))
    }
}

/// Villages of every size, with leechers of every tier.
fn villages(policy: Policy) -> impl Iterator<Item = Village> {
    let mut rng = fastrand::Rng::with_seed(5);
    (0..12).map(move |seed| {
        let most = [3, 12, 60, 300][seed % 4];
        let seeders = [rng.u16(0..=most), rng.u16(0..=most)];
        let leechers: Vec<u8> = (0..rng.u16(0..=most)).map(|_| rng.u8(0..=3)).collect();
        Village::new(seed as u64, policy, seeders, &leechers)
    })
}

#[test]
fn whoever_needs_data_is_given_somebody_and_seeders_up_to_the_floor() {
    for policy in RBS {
        for mut village in villages(policy) {
            let seeders = village.busy.len() + village.roomy.len();
            let peers = seeders + village.leechers.len();
            for want in [1, 2, 50, 200] {
                for tier in 0..4 {
                    let newcomer = village.newcomer(want as u16 * 4 + u16::from(tier), tier);
                    let told = village.announce(newcomer, 0, want);
                    let (busy, roomy) = village.seeders_in(&told);
                    // With no more seeders than the floor the list is one of `random`.
                    let is_drawn = seeders <= floor(policy) && want as usize <= peers;
                    let expected = if is_drawn { 0 } else { floor(policy).min(seeders).min(want as usize) };
                    assert!(busy.len() + roomy.len() >= expected, "{policy}, tier {tier}, want {want}");
                    assert!(!told.is_empty() || peers == 0);
                    village.rig.announce(
                        endpoint(newcomer.number),
                        0,
                        &Announce { event: Event::Stopped, ..update(newcomer.number) },
                        Families::V4,
                    );
                }
            }
        }
    }
}

#[test]
fn busy_seeders_are_rationed_by_tier_while_somebody_of_the_top_leeches() {
    let mut village = Village::new(1, RBS[0], [100, 0], &[3; 50]);
    let mut known = Vec::new();
    for tier in 0..4 {
        // Two hundred newcomers: the law of large numbers.
        let told: usize = (0..200)
            .map(|who| {
                let newcomer = village.newcomer(u16::from(tier) * 200 + who, tier);
                let peers = village.announce(newcomer, 0, 200);
                village.seeders_in(&peers).0.len()
            })
            .sum();
        known.push(told as f64 / 200.0);
    }
    // Of one on average, no less than the floor.
    for (known, expected) in known.iter().zip([3.0, 12.0, 90.0, 100.0]) {
        assert!((known - expected).abs() < 1.5, "{known} of 100 busy seeders instead of {expected}");
    }
    let mut nobody_above = Village::new(1, RBS[0], [100, 0], &[0; 10]);
    let newcomer = nobody_above.newcomer(0, 0);
    assert_eq!(nobody_above.announce(newcomer, 0, 200).len(), 110, "nothing is rationed for nobody");
}

#[test]
fn a_census_sees_which_seeders_are_busy() {
    let village = Village::new(1, RBS[0], [20, 10], &[3; 50]);
    let graded = village.rig.records().into_iter().filter(|seen| seen.is_seeder && seen.grade > 0);
    let who = |key| match key {
        PeerKey::Dialled(endpoint) => number(Told::Dial(endpoint)),
        PeerKey::Web(_) => panic!("{key:?} is not of the village"),
    };
    assert_eq!(graded.map(|seen| who(seen.key)).collect::<BTreeSet<_>>(), village.busy);
}

#[test]
fn with_no_more_seeders_than_the_floor_lists_are_those_of_random() {
    for policy in RBS {
        for seeders in 0..=floor(policy) as u16 {
            let [mut rationed, mut random] =
                [policy, Policy::Random].map(|policy| Village::new(3, policy, [seeders, 0], &[3; 80]));
            for who in 0..50 {
                let newcomer = rationed.newcomer(who, 0);
                assert_eq!(rationed.announce(newcomer, 0, 30), random.announce(newcomer, 0, 30));
            }
        }
    }
}

#[test]
fn one_of_few_seeders_is_told_of_everybody_like_under_random() {
    // Where a seeder cannot be dialled, nobody reaches it whom it is not told of.
    let last_lists = |policy, seeders: u16| {
        let mut village = Village::new(3, policy, [seeders, 0], &[[0; 4].as_slice(), &[3; 26]].concat());
        let seeder = |number| Villager { number, tier: 1, is_seeder: true, is_unconnectable: true };
        (0..seeders).map(|number| village.announce(seeder(number), 10 << 30, 200)).collect::<Vec<_>>()
    };
    for policy in RBS {
        for seeders in 1..=floor(policy) as u16 {
            for mut told in last_lists(policy, seeders) {
                told.sort_unstable();
                assert_eq!(told, (1000..1030).collect::<Vec<_>>(), "{policy}, {seeders} seeders");
            }
        }
    }
    // Under `rbs-mild` everything is open to these leechers by now.
    for policy in [RBS[0], RBS[1]] {
        let is_rationed = last_lists(policy, 20).iter().any(|told| told.len() < 30);
        assert!(is_rationed, "{policy}: of more seeders each is told of some");
    }
}

#[test]
fn without_a_policy_everybody_is_a_stranger() {
    let mut known = Village::new(4, Policy::Random, [20, 20], &[0, 1, 2, 3]);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut strangers = Village::new(4, Policy::Random, [20, 20], &[0; 4]);
    for who in 0..200 {
        let (tier, want) = (rng.u8(0..4), rng.u32(..60));
        let villager = known.newcomer(who, tier);
        let stranger = Villager { tier: 0, ..villager };
        assert_eq!(known.announce(villager, 5, want), strangers.announce(stranger, 5, want));
    }
}

#[test]
fn everything_is_open_in_the_end() {
    for (policy, busy) in RBS.into_iter().flat_map(|policy| [(policy, 32), (policy, 60)]) {
        let mut village = Village::new(5, policy, [busy, 0], &[3; 50]);
        let newcomer = village.newcomer(0, 0);
        let seeders = |village: &mut Village| {
            let peers = village.announce(newcomer, 0, 200);
            village.seeders_in(&peers).0
        };
        let mut known = seeders(&mut village);
        assert!(known.len() < usize::from(busy), "{policy} rations");
        for _ in 0..63 {
            village.pass(600);
            // All stay as busy, and as eager, as they are.
            village.rig.announce(endpoint(1000), 0, &update(1000), Families::V4);
            let now_known = seeders(&mut village);
            // Of more, a floor is found among some, and those who are open among others.
            let closes_nobody = known.is_subset(&now_known);
            assert!(closes_nobody || busy > 32, "{policy}: a share that grew closes nobody");
            known = now_known;
        }
        assert_eq!(known.len(), usize::from(busy), "{policy}");
    }
}

#[test]
fn seeders_with_room_are_for_the_top_at_once_and_for_everybody_within_four_announces() {
    for policy in RBS {
        let mut village = Village::new(6, policy, [0, 60], &[3; 5]);
        let top = village.newcomer(0, 3);
        let peers = village.announce(top, 0, 200);
        assert_eq!(village.seeders_in(&peers).1.len(), 60, "{policy}");
        for tier in 0..3 {
            let newcomer = village.newcomer(1 + u16::from(tier), tier);
            let known: Vec<_> = (0..4)
                .map(|_| {
                    let peers = village.announce(newcomer, 0, 200);
                    village.pass(300);
                    village.seeders_in(&peers).1.len()
                })
                .collect();
            assert!(known.is_sorted() && known[3] == 60, "{policy}, tier {tier}: {known:?}");
            assert_eq!(known[0] < 40, policy == RBS[1], "{policy}, tier {tier}: {known:?}");
        }
    }
}

#[test]
fn who_asks_again_too_soon_gets_the_same_list() {
    for policy in RBS {
        let mut village = Village::new(7, policy, [150, 100], &[1, 2, 3, 3]);
        for tier in 0..4 {
            let newcomer = village.newcomer(u16::from(tier), tier);
            // It has joined: the swarm stays as it is from here on.
            village.announce(newcomer, 0, 30);
            village.pass(300);
            let first = village.announce(newcomer, 0, 30);
            for _ in 0..40 {
                village.pass(7);
                assert_eq!(village.announce(newcomer, 0, 30), first, "{policy}, tier {tier}");
            }
            // And what hammering reveals in a day is what is open, not more.
            village.pass(20);
            assert_ne!(village.announce(newcomer, 0, 30), first, "another turn, another draw");
        }
    }
}

#[test]
fn a_busy_seeder_is_told_of_those_leechers_who_would_be_told_of_it() {
    for policy in RBS {
        let tiers: Vec<u8> = (0..120).map(|number| number % 4).collect();
        let mut village = Village::new(8, policy, [32, 0], &tiers);
        village.pass(200);
        let busy: Vec<u16> = village.busy.iter().copied().collect();
        let mut told_of = BTreeSet::new();
        for leecher in village.leechers.clone() {
            let peers = village.announce(leecher, 0, 200);
            told_of.extend(village.seeders_in(&peers).0.into_iter().map(|seeder| (seeder, leecher.number)));
        }
        for seeder in busy {
            let villager = Villager { number: seeder, tier: 1, is_seeder: true, is_unconnectable: false };
            // As much as before: it is as busy.
            let told = village.announce(villager, 10 << 30, 200);
            for leecher in village.leechers.clone() {
                let (is_told, tells) =
                    (told.contains(&leecher.number), told_of.contains(&(seeder, leecher.number)));
                // The floor of a leecher is no matter of the seeder's.
                assert!(is_told <= tells, "{policy}: {seeder} is told of {}", leecher.number);
            }
        }
    }
}

#[test]
fn two_that_cannot_be_dialled_are_not_introduced_unless_there_is_nobody_else() {
    for (_, policy) in Policy::ALL {
        let mut village = Village::new(9, policy, [0, 0], &[]);
        let peer =
            |number, is_unconnectable| Villager { number, tier: 3, is_seeder: false, is_unconnectable };
        assert!(village.announce(peer(1, true), 0, 50).is_empty());
        let expected: &[u16] = if policy == "tier-backoff".parse().unwrap() { &[] } else { &[1] };
        assert_eq!(village.announce(peer(2, true), 0, 50), expected, "{policy}: rather one than nobody");
        assert!(village.announce(peer(3, false), 0, 50).len() <= 2);
        assert_eq!(village.announce(peer(2, true), 0, 50), [3], "{policy}");
    }
}

#[test]
fn no_clock_and_no_figure_breaks_a_promise() {
    let mut rng = fastrand::Rng::with_seed(11);
    for (_, policy) in Policy::ALL {
        let mut village = Village::new(10, policy, [30, 30], &[0, 1, 2, 3]);
        for _ in 0..2_000 {
            village.rig.now = match rng.u8(..5) {
                0 => Time(rng.u32(..)),
                1 => Time(village.rig.now.0.saturating_sub(rng.u32(..5_000))),
                2 => Time(village.rig.now.0.saturating_add(rng.u32(..5_000))),
                _ => village.rig.now,
            };
            let villager = Villager {
                number: rng.u16(..9_000),
                tier: rng.u8(0..4),
                is_seeder: rng.bool(),
                is_unconnectable: rng.u8(..8) == 0,
            };
            // An address that is told as a leecher's is not one of a seeder to the village's eyes.
            let villager = Villager { is_seeder: villager.number < 1000 && villager.is_seeder, ..villager };
            let own = villager.number;
            let asked = rng.u32(..300);
            if own >= 1000 {
                let peers = village.announce(villager, rng.u64(..), asked);
                if RBS.contains(&policy) && asked > 0 {
                    assert!(!peers.is_empty(), "{policy}");
                }
            }
        }
    }
}
