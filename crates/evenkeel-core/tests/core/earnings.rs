//! An analyst under made-up announces, clocks and records: what the fuzzer runs, and the ordinary tests with random bytes.

use evenkeel_core::analyst::{Analyst, Observation, Record};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{Tier, Time};

const SLOTS: u32 = 12;

/// Takes what bytes say as a history, and checks after each step that nothing is out of its bounds, and that nobody's tier
/// is another one than what was published.
pub(crate) fn analyst(data: &[u8]) {
    let rules = StandingRules {
        watched_max: 20,
        watched_swarms_max: 6,
        snatches_max: 9,
        evaluation_secs: 600,
        ..StandingRules::default()
    };
    let mut now = Time(u32::from_le_bytes(first(data)));
    let mut analyst = Analyst::new(&rules, SLOTS, now);
    let mut published = [Tier::NEWEST; SLOTS as usize];
    let mut kept: Option<Record> = None;
    for step in data.chunks_exact(8) {
        let [what, who, torrent, secs, amount, size, flags, jump] = *step.first_chunk().unwrap();
        let slot = u32::from(who) % (SLOTS + 2);
        let mut publish = |slot: u32, tier: Tier| published[slot as usize] = tier;
        match what % 16 {
            0 => {
                for change in analyst.tick(now) {
                    assert_ne!(published[change.slot as usize], change.tier, "that is no change");
                    published[change.slot as usize] = change.tier;
                }
            }
            1 => now = jumped(now, jump),
            2 => {
                let change = analyst.forget(slot);
                if slot < SLOTS {
                    publish(slot, change.tier);
                }
                assert!(analyst.view(slot).is_none());
            }
            3 => kept = analyst.record(slot).or(kept),
            4 => {
                if let Some(change) =
                    kept.and_then(|record| analyst.restore(slot, &record, u32::from(secs) << (jump % 25)))
                {
                    publish(change.slot, change.tier);
                }
            }
            5 => {
                if let Some(change) = analyst.pin(slot, Tier::new(flags % 8)) {
                    publish(change.slot, change.tier);
                }
            }
            6 => analyst.tell_size(u64::from(torrent % 9), bytes(size)),
            _ => {
                let slot = if slot > SLOTS { Observation::NOBODY } else { slot };
                analyst.observe(&observation((slot, torrent % 9, now), [secs, amount, size, flags]));
            }
        }
        check(&analyst, &published);
    }
}

fn observation((slot, torrent, now): (u32, u8, Time), [secs, amount, size, flags]: [u8; 4]) -> Observation {
    let is = |bit: u8| flags & 1 << bit != 0;
    Observation {
        torrent: torrent.into(),
        left: bytes(size),
        lacked: bytes(size.wrapping_add(amount)),
        uploaded: bytes(amount),
        downloaded: bytes(amount.rotate_left(3)),
        slot,
        now: if is(7) { Time(now.0.wrapping_sub(u32::from(secs) << 7)) } else { now },
        seeders: u32::from(size) << (secs % 25),
        leechers: u32::from(amount),
        secs: u16::from(secs) << 8,
        has_seeded: is(0),
        seeds: is(1),
        completed: is(2),
        stopped: is(3),
        begins: is(4),
    }
}

/// From nothing over placeholders to more than there is.
fn bytes(code: u8) -> u64 {
    match code {
        255 => u64::MAX,
        254 => 1 << 62,
        253 => 16_384,
        _ => u64::from(code % 16 + 1) << (code / 16 * 4) >> 1,
    }
}

/// On, back, or far away.
fn jumped(now: Time, jump: u8) -> Time {
    let secs = u32::from(jump % 64 + 1);
    Time(match jump / 64 {
        0 => now.0.wrapping_add(secs * 60),
        1 => now.0.wrapping_add(secs * 1800),
        2 => now.0.wrapping_sub(secs * 3600),
        _ => now.0.wrapping_add(secs << 26),
    })
}

fn check(analyst: &Analyst, published: &[Tier]) {
    let watched = analyst.watched();
    assert!(watched.watches <= 20 && watched.swarms <= 6 && watched.snatches <= 9);
    assert!(watched.identities <= SLOTS as usize);
    for (slot, published) in (0..).zip(published) {
        let Some(view) = analyst.view(slot) else { continue };
        assert!((0.0..=1.0).contains(&view.score), "{view:?}");
        assert!((0.0..=1.0).contains(&view.proof) && (0.0..=1.0).contains(&view.trust), "{view:?}");
        assert!(view.marks.iter().all(|mark| (0.0..=1.0).contains(&mark.value)), "{view:?}");
        let raw = view.raw;
        for amount in [raw.seeded_gib_hours, raw.seeding_secs, raw.credited_mib, raw.charged_mib, raw.kept] {
            assert!(amount >= 0.0 && amount.is_finite(), "{view:?}");
        }
        assert_eq!(view.tier, *published, "a tier has changed and nobody was told");
    }
}

fn first(data: &[u8]) -> [u8; 4] {
    data.first_chunk().copied().unwrap_or_default()
}

#[test]
fn no_history_breaks_a_bound_or_changes_a_tier_unsaid() {
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..300 {
        let bytes: Vec<u8> = (0..rng.usize(..4_000)).map(|_| rng.u8(..)).collect();
        analyst(&bytes);
    }
}
