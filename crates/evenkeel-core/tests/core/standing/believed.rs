//! What of that which identities say is believed.

use super::*;

/// Credited of claimed.
fn credited(bench: &Bench, slot: u32) -> f32 {
    let raw = bench.view(slot).raw;
    raw.credited_mib / raw.claimed_mib
}

#[test]
fn what_one_sends_and_another_receives_is_credited_in_full() {
    let mut bench = Bench::new(&StandingRules::default());
    for round in 0..48_u64 {
        // Bursts: what is not claimed at once is claimed later.
        let mib = 100 + 400 * (round % 3);
        bench.seed(1, 7, mib * MIB);
        bench.leech(2, 7, mib * MIB, 0);
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    assert!(credited(&bench, 1) > 0.97, "{}", credited(&bench, 1));
    assert_eq!(bench.view(1).trust, 1.0);
    assert_eq!(bench.view(2).raw.credited_mib, 0.0);
}

#[test]
fn announces_of_both_sides_need_not_come_together() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..48 {
        bench.seed(1, 7, 500 * MIB);
        bench.wait(INTERVAL / 2);
        bench.leech(2, 7, 500 * MIB, 0);
        bench.wait(INTERVAL / 2);
    }
    bench.wait(3 * HOUR);
    assert!(credited(&bench, 1) > 0.95, "{}", credited(&bench, 1));
}

#[test]
fn nobody_is_credited_what_nobody_received() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..96 {
        bench.seed(1, 7, GIB);
        bench.leech(2, 8, GIB, GIB);
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    for (slot, whose) in [(1, "of a swarm without leechers"), (2, "of what it received itself")] {
        let view = bench.view(slot);
        assert!(view.raw.claimed_mib > 80_000.0, "{whose}: {}", view.raw.claimed_mib);
        assert!(view.raw.credited_mib < 24.0 * 96.0, "{whose}: {}", view.raw.credited_mib);
        assert_eq!((view.trust, view.score, bench.tier(slot)), (0.0, 0.0, 0), "{whose}");
    }
}

#[test]
fn whose_claims_add_up_elsewhere_comes_before_whose_do_not() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..96 {
        // An honest seeder of two swarms; in one of them, and in three others, somebody claims what it does not send.
        for torrent in [1, 2] {
            bench.seed(1, torrent, 300 * MIB);
            bench.leech(10 + torrent as u32, torrent, 300 * MIB, 0);
        }
        for torrent in 2..6 {
            bench.seed(2, torrent, 300 * MIB);
        }
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    assert!(credited(&bench, 1) > 0.9, "{}", credited(&bench, 1));
    assert!(credited(&bench, 2) < 0.1, "{}", credited(&bench, 2));
    assert_eq!((bench.view(1).trust, bench.view(2).trust), (1.0, 0.0));
}

#[test]
fn who_seeds_and_sends_nothing_earns_nothing() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(300, 5 * GIB);
    for _ in 0..14 * 48 {
        // One in a hundred swarms where others are served, one in two hundred where nobody wants anything.
        (0..100).for_each(|torrent| bench.seed(1, torrent, 0));
        (100..300).for_each(|torrent| bench.seed(2, torrent, 0));
        (0..100_u64).for_each(|torrent| bench.leech(500 + torrent as u32, torrent, 200 * MIB, 0));
        bench.wait(INTERVAL);
    }
    for slot in [1, 2] {
        let view = bench.view(slot);
        assert_eq!((view.score, view.proof, bench.tier(slot)), (0.0, 0.0, 0));
        assert_eq!(view.advice, Some(evenkeel_core::analyst::Advice::Prove));
        assert!(view.raw.seeded_gib_hours > 1000.0, "it is known, and does not count");
    }
}

#[test]
fn what_was_seeded_counts_in_full_as_soon_as_some_of_it_was_wanted() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(10, 5 * GIB);
    for _ in 0..96 {
        (0..10).for_each(|torrent| bench.seed(1, torrent, 0));
        bench.wait(INTERVAL);
    }
    assert_eq!(bench.view(1).score, 0.0);
    bench.seed(1, 3, 100 * MIB);
    bench.leech(2, 3, 100 * MIB, 0);
    bench.wait(2 * HOUR);
    let view = bench.view(1);
    assert!(view.proof == 1.0 && view.score > 0.4, "{view:?}");
    assert!(bench.tier(1) >= 2, "{view:?}");
}

#[test]
fn a_proof_is_lost_where_others_are_served_and_not_where_nobody_wants_anything() {
    let mut bench = Bench::new(&StandingRules::default());
    let prove = |bench: &mut Bench, slot: u32, torrent: u64| {
        bench.seed(slot, torrent, 100 * MIB);
        bench.leech(9, torrent, 100 * MIB, 0);
    };
    prove(&mut bench, 1, 1);
    prove(&mut bench, 2, 2);
    bench.wait(2 * HOUR);
    for half_hours in 0..5 * 48 {
        bench.seed(1, 1, 0);
        bench.seed(2, 2, 0);
        bench.leech(9, 1, GIB, 0);
        bench.wait(INTERVAL);
        if half_hours == 24 {
            assert_eq!(bench.view(1).proof, 1.0, "a bad day is no proof of anything");
        }
    }
    assert_eq!((bench.view(1).proof, bench.view(2).proof), (0.0, 1.0));
}

#[test]
fn nobody_in_particular_takes_and_gives_and_comes_after_whoever_is_known() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..48 {
        bench.seed(1, 7, 500 * MIB);
        bench.seed(Observation::NOBODY, 7, 500 * MIB);
        bench.leech(Observation::NOBODY, 7, 500 * MIB, 0);
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    assert!(credited(&bench, 1) > 0.9, "{}", credited(&bench, 1));
}

#[test]
fn who_receives_a_torrent_again_and_again_vouches_for_it_once() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(8, GIB);
    for _ in 0..48 {
        bench.seed(1, 7, GIB);
        bench.leech(2, 7, GIB, 0);
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    let credited = bench.view(1).raw.credited_mib;
    assert!((1024.0..2048.0).contains(&credited), "{credited}");
}

#[test]
fn what_is_lacked_less_was_received_whatever_is_said() {
    let mut bench = Bench::new(&StandingRules::default());
    for round in 0..48_u64 {
        bench.seed(1, 7, 500 * MIB);
        let left = (100_000 - 500 * round) * MIB;
        let said = Observation { left, lacked: left + 500 * MIB, ..bench.said(2, 7) };
        bench.analyst.observe(&said);
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    assert!(credited(&bench, 1) > 0.95, "{}", credited(&bench, 1));
    assert!(bench.view(2).raw.charged_mib > 20_000.0);
}

/// Swarms in which somebody says four times as much as it sent, beside an honest seeder each; all others are seen without it,
/// too.
fn exaggerate(rules: &StandingRules, times: u64) -> Bench {
    let mut bench = Bench::new(rules);
    for bin in 0..96_u64 {
        for torrent in 1..=8 {
            // Of each swarm's two honest seeders one is with it, in turns, and the other one is not there.
            let honest = 10 + torrent as u32 * 2 + (bin % 2) as u32;
            let is_there = (bin / 2 + torrent) % 2 == 0;
            let sent = if is_there { 100 * MIB } else { 0 };
            bench.seed(honest, torrent, 200 * MIB);
            if is_there {
                bench.seed(1, torrent, sent * times);
            }
            bench.leech(500 + torrent as u32, torrent, 200 * MIB + sent, 0);
        }
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    bench
}

#[test]
fn who_says_more_than_it_sent_in_many_swarms_is_found_out_and_those_beside_it_are_not() {
    let bench = exaggerate(&StandingRules::default(), 4);
    let liar = bench.view(1);
    assert!(liar.is_exaggerating && (0.3..0.76).contains(&liar.exaggerated), "{liar:?}");
    assert!(bench.tier(1) <= 1, "{liar:?}");
    assert_eq!(liar.advice, Some(evenkeel_core::analyst::Advice::AddUp));
    for slot in 12..28 {
        let view = bench.view(slot);
        assert!(!view.is_exaggerating && view.exaggerated < 0.15, "{slot}: {view:?}");
    }
    let honest = exaggerate(&StandingRules::default(), 1).view(1);
    assert!(!honest.is_exaggerating && honest.exaggerated == 0.0, "{honest:?}");
}

#[test]
fn one_swarm_tells_of_nobody_that_it_exaggerates() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..300 {
        bench.seed(1, 1, 400 * MIB);
        bench.leech(2, 1, 100 * MIB, 0);
        bench.wait(INTERVAL);
    }
    assert!(!bench.view(1).is_exaggerating, "whoever received it may not say so");
}

#[test]
fn likely_is_enough_to_keep_somebody_new_out_of_high_tiers_and_what_was_found_good_outlives_a_restart() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(9, 20 * GIB);
    for _ in 0..48 {
        // One says twice as much as it sent, in one swarm, and another one what it sent, in three.
        bench.seed(1, 1, 200 * MIB);
        bench.leech(501, 1, 100 * MIB, 0);
        for torrent in 2..=4_u64 {
            bench.seed(2, torrent, 100 * MIB);
            bench.leech(500 + torrent as u32, torrent, 100 * MIB, 0);
        }
        bench.wait(INTERVAL);
    }
    let [liar, honest] = [1, 2].map(|slot| bench.view(slot));
    assert!(liar.is_doubted && !liar.is_exaggerating && bench.tier(1) <= 1, "{liar:?}");
    assert!(!honest.is_doubted && bench.tier(2) >= 2, "{honest:?}");
    let record = bench.analyst.record(2).unwrap();
    let mut after = Bench::new(&StandingRules::default());
    let change = after.analyst.restore(2, &record, 0).unwrap();
    after.tiers[2] = change.tier;
    after.wait(2 * HOUR);
    assert!(after.tier(2) >= 2 && !after.view(2).is_doubted, "{:?}", after.view(2));
}

#[test]
fn an_operator_may_let_exaggeration_pass() {
    let rules = StandingRules { exaggerated_most: 100, ..StandingRules::default() };
    let view = exaggerate(&rules, 4).view(1);
    assert!(!view.is_exaggerating && !view.is_doubted && view.exaggerated > 0.3, "{view:?}");
}
