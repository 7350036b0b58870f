//! What identities have done, and what it is worth.

use evenkeel_core::analyst::{Advice, Part};

use super::*;

/// Somebody who seeds ten torrents, of which one is wanted, for so long.
fn seed_for(bench: &mut Bench, slot: u32, secs: u32) {
    bench.sizes(10, 5 * GIB);
    for _ in 0..secs / INTERVAL {
        (0..10).for_each(|torrent| bench.seed(slot, torrent, if torrent == 0 { 100 * MIB } else { 0 }));
        bench.leech(1999, 0, 100 * MIB, 0);
        bench.wait(INTERVAL);
    }
}

fn mark(view: &View, part: Part) -> f32 {
    view.marks.iter().find(|mark| mark.part == part).unwrap().value
}

#[test]
fn an_hour_counts_once_in_however_many_swarms() {
    let mut bench = Bench::new(&StandingRules::default());
    seed_for(&mut bench, 1, 10 * HOUR);
    let secs = bench.view(1).raw.seeding_secs;
    assert!((9.3 * 3600.0..=9.5 * 3600.0).contains(&secs), "{secs}");
    let gib_hours = bench.view(1).raw.seeded_gib_hours;
    assert!(gib_hours > 450.0, "and its size in each of them: {gib_hours}");
}

#[test]
fn what_was_is_halved_in_its_time_and_the_average_size_stays() {
    let mut bench = Bench::new(&StandingRules::default());
    seed_for(&mut bench, 1, DAY);
    bench.wait(3 * HOUR);
    let before = bench.view(1).raw;
    bench.now += 14 * DAY;
    bench.tick();
    let after = bench.view(1).raw;
    for (before, after) in
        [(before.seeding_secs, after.seeding_secs), (before.seeded_gib_hours, after.seeded_gib_hours)]
    {
        assert!((after * 2.0 / before - 1.0).abs() < 0.02, "{before} {after}");
    }
    assert!((after.credited_mib / before.credited_mib - 0.72).abs() < 0.03, "30 days");
    assert!((after.average_gib - 5.0).abs() < 0.01 && (before.average_gib - 5.0).abs() < 0.01);
}

#[test]
fn a_tier_is_won_at_once_and_lost_when_two_evaluations_say_so() {
    let mut bench = Bench::new(&StandingRules::default());
    seed_for(&mut bench, 1, 2 * DAY);
    assert_eq!(bench.tier(1), 3, "{:?}", bench.view(1));
    // It leaves everything that it said it would keep, and years go by.
    bench.now += 400 * DAY;
    bench.tick();
    assert_eq!(bench.tier(1), 3, "once may be chance");
    bench.now += INTERVAL;
    bench.tick();
    assert_eq!(bench.tier(1), 0);
}

#[test]
fn being_good_is_enough_however_good_the_others_are() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(100, 400 * GIB);
    for _ in 0..4 * 48 {
        for slot in 0..40_u32 {
            let torrent = u64::from(slot);
            bench.seed(slot, torrent, GIB);
            bench.leech(1000 + slot, torrent, GIB, 0);
        }
        bench.wait(INTERVAL);
    }
    for slot in 0..40 {
        assert_eq!(bench.tier(slot), 3);
        assert_eq!(bench.tier(1000 + slot), 0, "who only takes");
    }
}

#[test]
fn a_ratio_of_two_is_as_good_as_any() {
    let mut bench = Bench::new(&StandingRules::default());
    for _ in 0..48 {
        bench.seed(1, 7, 200 * MIB);
        bench.seed(2, 8, 2 * GIB);
        bench.leech(3, 7, 200 * MIB, 0);
        bench.leech(4, 8, 2 * GIB, 0);
        bench.wait(INTERVAL);
    }
    bench.wait(2 * HOUR);
    for slot in [1, 2] {
        assert_eq!(mark(&bench.view(slot), Part::Ratio), 1.0);
    }
}

#[test]
fn a_snatch_is_kept_as_long_as_it_is_seeded_and_then_as_far_as_it_was() {
    let mut bench = Bench::new(&StandingRules::default());
    for slot in [1, 2, 3] {
        let said = Observation { completed: true, ..bench.said(slot, 7) };
        bench.analyst.observe(&said);
        assert_eq!(bench.view(slot).raw.kept, 1.0);
    }
    let kept = |bench: &Bench, slot: u32| bench.view(slot).raw.kept / bench.view(slot).raw.snatched;
    let stop = |bench: &mut Bench, slot: u32| {
        let said = Observation { stopped: true, left: 0, ..bench.said(slot, 7) };
        bench.analyst.observe(&said);
    };
    // The first leaves at once; the second after a day and a half; the third stays.
    stop(&mut bench, 1);
    assert_eq!(bench.view(1).raw.kept, 0.0);
    for half_hours in 1..=5 * 48 {
        bench.wait(INTERVAL);
        bench.seed(3, 7, 0);
        if half_hours <= 72 {
            bench.seed(2, 7, 0);
        }
        if half_hours == 72 {
            stop(&mut bench, 2);
            assert!((kept(&bench, 2) - 0.5).abs() < 0.03, "{}", kept(&bench, 2));
        }
    }
    assert!((kept(&bench, 3) - 1.0).abs() < 0.01);
    stop(&mut bench, 3);
    assert!((kept(&bench, 3) - 1.0).abs() < 0.01, "three days are enough");
    // The second comes back, and seeds the rest.
    for _ in 0..73 {
        bench.wait(INTERVAL);
        bench.seed(2, 7, 0);
    }
    stop(&mut bench, 2);
    assert!(kept(&bench, 2) > 0.97, "{}", kept(&bench, 2));
    assert_eq!(bench.analyst.watched().snatches, 1, "what is kept need not be remembered");
}

#[test]
fn who_falls_silent_keeps_no_more() {
    let mut bench = Bench::new(&StandingRules::default());
    let said = Observation { completed: true, ..bench.said(1, 7) };
    bench.analyst.observe(&said);
    bench.wait(2 * HOUR);
    assert_eq!(bench.view(1).raw.kept, 0.0);
}

#[test]
fn fewer_seeders_make_each_count_more() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(2, GIB);
    for (slot, seeders) in [(1, 1), (2, 31)] {
        let said = Observation { left: 0, has_seeded: true, seeders, ..bench.said(slot, 0) };
        bench.analyst.observe(&said);
    }
    let [rare, common] = [1, 2].map(|slot| bench.view(slot).raw.seeded_gib_hours);
    assert!((rare / common - 4.0).abs() < 0.01, "{rare} {common}");
}

#[test]
fn a_partial_seed_counts_as_far_as_it_has_the_torrent() {
    let mut bench = Bench::new(&StandingRules::default());
    bench.sizes(1, 4 * GIB);
    let said = Observation { left: 3 * GIB, has_seeded: true, ..bench.said(1, 0) };
    bench.analyst.observe(&said);
    assert!((bench.view(1).raw.average_gib - 1.0).abs() < 0.01);
}

#[test]
fn a_member_is_told_what_would_raise_its_standing() {
    let mut bench = Bench::new(&StandingRules { tier_step: 25, ..StandingRules::default() });
    bench.leech(1, 5, GIB, 0);
    bench.wait(HOUR);
    let view = bench.view(1);
    assert_eq!((view.advice, view.next.map(|(tier, _)| tier.number())), (Some(Advice::Seed), Some(1)));
    seed_for(&mut bench, 1, 4 * HOUR);
    let view = bench.view(1);
    assert!(matches!(view.advice, Some(Advice::Raise(_))), "{view:?}");
    let sum: f32 = view.marks.iter().map(|mark| mark.weight).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    let score: f32 = view.marks.iter().map(|mark| mark.weight * mark.value).sum();
    assert!((score - view.score).abs() < 1e-6, "proven and trusted: the sum of its parts");
}

#[test]
fn an_operators_word_stands_above_the_score() {
    let mut bench = Bench::new(&StandingRules::default());
    let change = bench.analyst.pin(1, Some(Tier::TOP)).unwrap();
    assert_eq!((change.slot, change.tier), (1, Tier::TOP));
    bench.leech(1, 5, GIB, 0);
    bench.wait(DAY);
    let view = bench.view(1);
    assert_eq!((view.tier, view.is_pinned, view.next), (Tier::TOP, true, None));
    assert_eq!(bench.tier(1), 0, "nothing is published by ticks of who is pinned");
    assert_eq!(bench.analyst.pin(1, None).unwrap().tier, Tier::NEWEST);
    assert_eq!(bench.analyst.pin(1_000_000, None), None);
}
