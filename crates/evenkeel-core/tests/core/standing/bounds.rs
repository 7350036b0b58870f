//! What no identity and no clock can do.

use evenkeel_core::analyst::Record;

use super::*;

#[test]
fn records_bring_back_what_was_and_what_faded_meanwhile() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(10, 5 * GIB);
    for _ in 0..96 {
        bench.seed(1, 0, 40 * MIB);
        bench.leech(2, 0, 40 * MIB, 0);
        bench.wait(INTERVAL);
    }
    bench.wait(3 * HOUR);
    let (record, before) = (bench.analyst.record(1).unwrap(), bench.view(1));
    let mut again = Bench::new(&StandingRules::default());
    let change = again.analyst.restore(5, &record, 0).unwrap();
    assert_eq!((change.slot, change.tier), (5, before.tier));
    let same = again.view(5);
    assert_eq!((same.tier, same.proof, same.trust), (before.tier, 1.0, 1.0));
    let near = |one: f32, other: f32| (one - other).abs() <= other * 0.01;
    assert!(near(same.raw.seeding_secs, before.raw.seeding_secs));
    assert!(near(same.raw.credited_mib, before.raw.credited_mib));
    again.analyst.restore(6, &record, 14 * DAY).unwrap();
    assert!(near(again.view(6).raw.seeding_secs * 2.0, before.raw.seeding_secs));
    assert_eq!(again.analyst.restore(1_000_000, &record, 0), None);
}

#[test]
fn what_is_not_settled_and_what_is_not_seeded_yet_is_not_recorded() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.seed(1, 7, GIB);
    bench.leech(2, 7, GIB, 0);
    let said = Observation { completed: true, ..bench.said(2, 8) };
    bench.analyst.observe(&said);
    assert_eq!(bench.analyst.record(1).unwrap().credited_mib, 0.0);
    let record = bench.analyst.record(2).unwrap();
    assert_eq!((record.snatched, record.kept), (1.0, 0.0));
}

#[test]
fn records_that_cannot_be_are_those_of_somebody_new() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.leech(1, 7, 0, 0);
    let blank = bench.analyst.record(1).unwrap();
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        let record = Record {
            seeded_gib_hours: bad,
            seeding_secs: bad,
            life_gib_hours: bad,
            life_hours: bad,
            credited_mib: bad,
            claimed_mib: bad,
            charged_mib: bad,
            snatched: bad,
            kept: bad,
            owed_mib: bad,
            given_mib: bad,
            faded_secs: u32::MAX,
            seen_secs: u32::MAX,
            ..blank
        };
        bench.analyst.restore(1, &record, u32::MAX).unwrap();
        let view = bench.view(1);
        assert_eq!((view.score, view.raw.credited_mib, view.raw.average_gib), (0.0, 0.0, 0.0));
    }
}

#[test]
fn a_slot_that_was_somebody_elses_brings_nothing_of_it() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..96 {
        bench.seed(1, 7, GIB);
        bench.leech(2, 7, GIB, 0);
        bench.wait(INTERVAL);
    }
    let said = Observation { completed: true, ..bench.said(1, 8) };
    bench.analyst.observe(&said);
    assert!(bench.tier(1) > 0);
    let change = bench.analyst.forget(1);
    assert_eq!((change.slot, change.tier), (1, Tier::NEWEST));
    assert!(bench.analyst.view(1).is_none());
    // Somebody new on the same torrents, before anything is settled.
    bench.leech(1, 7, 0, 0);
    bench.wait(4 * HOUR);
    let view = bench.view(1);
    assert_eq!((view.raw.credited_mib, view.raw.claimed_mib, view.raw.snatched), (0.0, 0.0, 0.0));
    assert_eq!(bench.analyst.watched().snatches, 0);
    // Forgotten while it seeds, and never seen again.
    bench.seed(1, 7, GIB);
    bench.analyst.forget(1);
    bench.wait(6 * HOUR);
    assert_eq!(bench.analyst.watched().watches, 0);
    assert!(bench.analyst.record(1).is_none());
}

#[test]
fn a_clock_that_stands_still_earns_nothing_and_one_that_goes_back_is_waited_for() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(10, 5 * GIB);
    for _ in 0..1000 {
        bench.seed(1, 0, 0);
        bench.tick();
    }
    let still = bench.view(1).raw.seeding_secs;
    assert_eq!(still, 0.0, "it was first seen now");
    bench.now -= 500_000;
    for _ in 0..1000 {
        bench.seed(1, 0, 0);
        bench.now += 60;
        bench.tick();
    }
    assert_eq!(bench.view(1).raw.seeding_secs, 0.0);
}

#[test]
fn what_is_too_much_to_remember_earns_nothing_and_takes_no_memory() {
    let rules = StandingRules {
        watched_max: 10,
        watched_swarms_max: 10,
        snatches_max: 10,
        ..StandingRules::default()
    };
    let mut bench = Bench::new(&rules);
    for slot in 0..100 {
        for torrent in 0..100 {
            bench.seed(slot, torrent, GIB);
            let said = Observation { completed: true, ..bench.said(slot, torrent) };
            bench.analyst.observe(&said);
        }
    }
    let watched = bench.analyst.watched();
    assert_eq!((watched.watches, watched.swarms, watched.snatches, watched.identities), (10, 10, 10, 100));
    let beyond = bench.said(u32::MAX - 1, 0);
    bench.analyst.observe(&beyond);
    assert_eq!(bench.analyst.watched().identities, 100, "there is no slot for it");
    bench.wait(30 * HOUR);
    let watched = bench.analyst.watched();
    assert_eq!((watched.watches, watched.swarms), (0, 0), "whoever is silent is forgotten");
}

#[test]
fn one_identity_cannot_fill_what_all_share() {
    let mut bench = Bench::new(&StandingRules::default());
    for torrent in 0..20_000 {
        let said = Observation { completed: true, uploaded: MIB, ..bench.said(1, torrent) };
        bench.analyst.observe(&said);
    }
    let watched = bench.analyst.watched();
    assert_eq!((watched.watches, watched.snatches), (16_384, 4096));
}
