//! What outlives the program of an identity's standing.

use crate::identity::Tier;

/// An identity as it is stored. Times are seconds before the moment at which the record was made, amounts as they had
/// faded `faded_secs` before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// Its tier by its score.
    pub tier: Tier,
    /// A lower tier was due at the last evaluation.
    pub is_falling: bool,
    /// Seconds since amounts have faded.
    pub faded_secs: u32,
    /// Seconds since it was seen.
    pub seen_secs: u32,
    /// Seconds since it was proven that it seeds, if it ever was.
    pub proven_secs: Option<u32>,
    /// Seconds of seeding since then where others were served.
    pub barren_secs: u32,
    /// Recent seeding: GiB times hours times scarcity.
    pub seeded_gib_hours: f32,
    /// Recent time in which anything was seeded.
    pub seeding_secs: f32,
    /// GiB times hours of all torrents, ever.
    pub life_gib_hours: f32,
    /// Hours of all torrents, ever.
    pub life_hours: f32,
    /// MiB sent that are believed.
    pub credited_mib: f32,
    /// MiB that it says it sent.
    pub claimed_mib: f32,
    /// MiB received.
    pub charged_mib: f32,
    /// Torrents completed.
    pub snatched: f32,
    /// Those of them that were seeded for as long as they should.
    pub kept: f32,
    /// MiB that it would have sent since the last proof if all seeders sent as much.
    pub owed_mib: f32,
    /// MiB credited since then.
    pub given_mib: f32,
}

const _: () = assert!(size_of::<Record>() <= 128);
