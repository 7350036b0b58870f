//! Standings between the core, where times are seconds ago and amounts fractions, and the database.

use evenkeel_core::analyst::Record;
use evenkeel_core::{Tier, UplinkRecord};

use crate::store::{AMOUNTS, Standing, Whose};

/// What is kept of an identity at a moment, in seconds since 1970.
pub(super) fn row(whose: Whose, (record, uplink): (&Record, UplinkRecord), at_secs: i64) -> Standing {
    let ago = |secs: u32| at_secs - i64::from(secs);
    let amounts: [f32; AMOUNTS.len()] = [
        record.seeded_gib_hours,
        record.seeding_secs,
        record.life_gib_hours,
        record.life_hours,
        record.credited_mib,
        record.claimed_mib,
        record.charged_mib,
        record.snatched,
        record.kept,
        record.owed_mib,
        record.given_mib,
        uplink.best,
        uplink.share,
        f32::from(uplink.bins),
    ];
    Standing {
        whose,
        at_secs,
        tier: record.tier.number(),
        is_falling: record.is_falling,
        faded_at: ago(record.faded_secs),
        seen_at: ago(record.seen_secs),
        proven_at: record.proven_secs.map(ago),
        barren_secs: record.barren_secs,
        amounts: amounts.map(thousandths),
    }
}

/// The same read back.
pub(super) fn record(row: &Standing) -> (Record, UplinkRecord) {
    let secs = |at: i64| u32::try_from((row.at_secs - at).max(0)).unwrap_or(u32::MAX);
    let [
        seeded_gib_hours,
        seeding_secs,
        life_gib_hours,
        life_hours,
        credited_mib,
        claimed_mib,
        charged_mib,
        snatched,
        kept,
        owed_mib,
        given_mib,
        best,
        share,
        bins,
    ] = row.amounts.map(fraction);
    let record = Record {
        tier: Tier::new(row.tier).unwrap_or_default(),
        is_falling: row.is_falling,
        faded_secs: secs(row.faded_at),
        seen_secs: secs(row.seen_at),
        proven_secs: row.proven_at.map(secs),
        barren_secs: row.barren_secs,
        seeded_gib_hours,
        seeding_secs,
        life_gib_hours,
        life_hours,
        credited_mib,
        claimed_mib,
        charged_mib,
        snatched,
        kept,
        owed_mib,
        given_mib,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was put in range")]
    let bins = bins.clamp(0.0, 255.0) as u8;
    (record, UplinkRecord { best, share, bins })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast stops at the ends of the range"
)]
fn thousandths(amount: f32) -> u64 {
    (f64::from(amount) * 1000.0).round() as u64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seven digits are enough")]
fn fraction(thousandths: u64) -> f32 {
    (thousandths as f64 / 1000.0) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UserId;

    #[test]
    fn what_is_kept_is_what_was_earned() {
        let record = Record {
            tier: Tier::TOP,
            is_falling: true,
            faded_secs: 3,
            seen_secs: 2,
            proven_secs: Some(1),
            barren_secs: 77,
            seeded_gib_hours: 1.5,
            seeding_secs: 86_400.0,
            life_gib_hours: 1e9,
            life_hours: 0.25,
            credited_mib: 12.125,
            claimed_mib: 13.0,
            charged_mib: 0.0,
            snatched: 3.5,
            kept: 2.0,
            owed_mib: 5.0,
            given_mib: 4.0,
        };
        let uplink = UplinkRecord { best: 1_250_000.0, share: 0.5, bins: 255 };
        let whose = Whose::User(UserId(7));
        let kept = row(whose, (&record, uplink), 1_700_000_000);
        assert_eq!((kept.seen_at, kept.proven_at), (1_699_999_998, Some(1_699_999_999)));
        assert_eq!(super::record(&kept), (record, uplink));
    }

    #[test]
    fn numbers_that_cannot_be_are_none() {
        assert_eq!([f32::NAN, -5.0].map(thousandths), [0, 0]);
        assert_eq!(thousandths(f32::INFINITY), u64::MAX);
    }
}
