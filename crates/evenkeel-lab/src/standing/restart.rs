//! After a restart: how soon all identities have their tiers back, and what they take.

use std::time::Instant;

use evenkeel_core::analyst::{Analyst, Observation};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::standing::Standing;
use evenkeel_core::{Tier, Time};

/// What was measured.
pub(super) struct Restart {
    identities: u32,
    pub secs: f64,
    /// Seconds until all have been evaluated again.
    evaluated_secs: f64,
    /// Identities of a tier above the newest.
    pub published: usize,
    pub bytes: usize,
}

/// Restores so many, publishes the tier of each, evaluates all of them.
pub(super) fn measure(identities: u32) -> anyhow::Result<Restart> {
    let mut analyst = Analyst::new(&StandingRules::default(), identities, Time(0));
    let standing = Standing::new(identities);
    analyst.observe(&seen());
    let blank = analyst.record(0).ok_or_else(|| anyhow::anyhow!("there is no slot"))?;
    let began = Instant::now();
    let mut published = 0;
    for slot in 0..identities {
        let tier = Tier::new(u8::try_from(slot % 4)?).unwrap_or_default();
        let record = evenkeel_core::analyst::Record { tier, seeding_secs: 3600.0, snatched: 1.0, ..blank };
        if let Some(change) = analyst.restore(slot, &record, 3600) {
            standing.publish(change.slot, change.tier);
            published += usize::from(standing.tier(change.slot) > Tier::NEWEST);
        }
    }
    let secs = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let due = StandingRules::default().evaluation_secs;
    for tick in 0..=identities / 65_536 {
        analyst.tick(Time(due + tick)).for_each(|change| standing.publish(change.slot, change.tier));
    }
    let bytes = analyst.watched().bytes + identities as usize;
    Ok(Restart { identities, secs, evaluated_secs: began.elapsed().as_secs_f64(), published, bytes })
}

/// Somebody who is seen for the first time.
fn seen() -> Observation {
    Observation {
        torrent: 1,
        left: 1,
        lacked: Observation::NOT_SAID,
        uploaded: 0,
        downloaded: 0,
        slot: 0,
        now: Time(1),
        seeders: 0,
        leechers: 1,
        secs: 0,
        has_seeded: false,
        seeds: false,
        completed: false,
        stopped: false,
        begins: false,
    }
}

impl Restart {
    pub(super) fn markdown(&self, bound_secs: f64) -> String {
        let holds = if self.secs <= bound_secs { "holds" } else { "**falls short**" };
        let each = self.bytes as f64 / f64::from(self.identities);
        format!(
            "\n## After a restart\n\n{} identities, {} of them above the newest tier: records taken up and tiers published in {:.1} s (bound {bound_secs:.0} s: {holds}), all \
             evaluated again in {:.1} s of one thread; {} MiB in memory, {each:.0} bytes each.\n",
            self.identities,
            self.published,
            self.secs,
            self.evaluated_secs,
            self.bytes >> 20,
        )
    }
}
