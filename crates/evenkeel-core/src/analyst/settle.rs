//! Who is believed to have sent what a swarm took in a bin.
//!
//! Nobody can have sent what nobody received. What a swarm took, with what was taken before and not claimed, is divided
//! among those who claim to have sent it: nobody gets more than they claim, nobody is credited what they received
//! themselves, and of two who claim the same the one whose claims have added up elsewhere comes first. What an identity
//! claims and does not get stays pending for a while: the other side may speak later.
//!
//! Known weakness: who receives and does not say so takes credit from those who served it; who says it received what it
//! did not gives some to those who did not send it, up to the size of a torrent for each identity.

use super::excess;
use super::identities::Identities;
use super::identity::{Identity, count, percent};
use super::swarms::{NONE, Swarms, Traffic};
use crate::rules::standing::StandingRules;
use crate::time::Time;

/// Memory for settling bins.
#[derive(Default)]
pub(super) struct Settlement {
    claims: Vec<Claim>,
    /// Share of its claims below which what somebody is credited is cut.
    pub(super) doubted_below: f32,
}

/// Somebody's in this bin.
#[derive(Clone, Copy)]
struct Claim {
    /// Position of the watch; `NONE` of those who are nobody in particular.
    at: u32,
    /// MiB claimed, or as much of it as anybody else can have received.
    claimed: f32,
    /// How much it counts beside others.
    weight: f32,
    credit: f32,
}

/// Reliability of those who are nobody in particular: those who are known for claims that add up come first.
const NOBODYS: f32 = 0.5;
/// How much whose claims add up comes first: who is believed twice as much counts 256 times as much.
const PRECEDENCE: i32 = 8;
/// Rounds in which a pool is divided. In each, whoever has all that it claims leaves the rest to the others; beyond these
/// there is next to nothing left.
const ROUNDS: u32 = 8;

impl Settlement {
    /// Settles the oldest bin of a torrent.
    pub(super) fn settle(
        &mut self,
        swarms: &mut Swarms,
        at: u32,
        now: Time,
        (identities, rules): (&mut Identities, &StandingRules),
    ) {
        let Some(swarm) = swarms.swarms.get(at) else { return };
        let (bin, sides) = (swarm.bin, count(swarm.seeders) + count(swarm.leechers) / 2.0);
        let taken = swarm.others.taken[0] + watched(swarms, at).map(|(_, taken)| taken).sum::<f32>();
        let banked = swarm.bank * percent(rules.bank_percent);
        let regular = banked + with_tolerance(taken, rules);
        let pool = regular + count(rules.slack_mib).min(taken / 4.0);
        self.gather(swarms, at, (pool, banked), (identities, rules));
        self.divide(pool);
        excess::learn(swarms, at, taken, (identities, rules));
        let credited: f32 = self.claims.iter().map(|claim| claim.credit).sum();
        self.carry_over(swarms, at, rules);
        if let Some(swarm) = swarms.swarms.get_mut(at) {
            swarm.bank = (regular - credited).max(0.0);
        }
        let share = taken / sides.max(1.0);
        self.tell(swarms, now, (identities, rules));
        note_demand(swarms, at, (bin, taken, share), (identities, rules));
    }

    /// Notes what stays pending.
    fn carry_over(&self, swarms: &mut Swarms, at: u32, rules: &StandingRules) {
        for claim in &self.claims {
            let traffic = match claim.at {
                NONE => swarms.swarms.get_mut(at).map(|swarm| &mut swarm.others),
                watch => swarms.watches.get_mut(watch).map(|watch| &mut watch.traffic),
            };
            if let Some(traffic) = traffic {
                let rest = traffic.claims[0] + traffic.pending - claim.credit;
                traffic.pending = rest.max(0.0) * percent(rules.pending_percent);
            }
        }
    }

    /// Writes down who claims what.
    fn gather(
        &mut self,
        swarms: &Swarms,
        at: u32,
        (pool, banked): (f32, f32),
        (identities, rules): (&Identities, &StandingRules),
    ) {
        self.claims.clear();
        let doubted_below = self.doubted_below.max(0.01);
        let mut note = |at: u32, traffic: &Traffic, own_bank: f32, reliability: f32| {
            let claimed = traffic.claims[0] + traffic.pending;
            if claimed > 0.0 {
                // What one has received others have sent.
                let own = with_tolerance(traffic.taken[0], rules) + own_bank.min(banked);
                // Whose claims do not add up gets less than what is left over: else whoever claims most takes it all.
                let most = (pool - own).min(claimed * (reliability / doubted_below).min(1.0));
                let weight = reliability.powi(PRECEDENCE);
                self.claims.push(Claim { at, claimed: claimed.min(most.max(0.0)), weight, credit: 0.0 });
            }
        };
        let Some(swarm) = swarms.swarms.get(at) else { return };
        note(NONE, &swarm.others, 0.0, NOBODYS);
        let mut from = swarm.head;
        while let Some(watch) = swarms.watches.get(from) {
            let own = identities.get(watch.slot).filter(|own| own.generation == watch.generation);
            note(from, &watch.traffic, watch.own_bank, own.map_or(0.0, Identity::reliability));
            from = watch.next;
        }
    }

    /// Divides the pool: in proportion to claims and weights, to nobody more than it claims.
    fn divide(&mut self, pool: f32) {
        let mut left = pool;
        for _ in 0..ROUNDS {
            let open = self.claims.iter().filter(|claim| claim.credit < claim.claimed);
            let weights: f32 = open.map(|claim| claim.claimed * claim.weight).sum();
            if left <= 0.0 || weights <= 0.0 {
                return;
            }
            let each = left / weights;
            for claim in self.claims.iter_mut().filter(|claim| claim.credit < claim.claimed) {
                let more = (claim.claimed * claim.weight * each).min(claim.claimed - claim.credit);
                claim.credit += more;
                left -= more;
            }
        }
    }

    /// Tells identities what they have claimed and what of it is believed.
    fn tell(&self, swarms: &Swarms, now: Time, (identities, rules): (&mut Identities, &StandingRules)) {
        for claim in &self.claims {
            let Some(watch) = swarms.watches.get(claim.at) else { continue };
            let own = identities.get_mut(watch.slot).filter(|own| own.generation == watch.generation);
            let Some(own) = own else { continue };
            own.fade(now, rules);
            if watch.traffic.claims[0] > 0.0 {
                own.claimed += watch.traffic.claims[0];
                own.word.note_claim(now.0 / rules.bin_secs);
            }
            if claim.credit > 0.0 {
                own.credit(claim.credit, now, rules);
            }
        }
    }
}

/// Those who seeded have been wanted, or not.
fn note_demand(
    swarms: &Swarms,
    at: u32,
    (bin, taken, share): (u32, f32, f32),
    (identities, rules): (&mut Identities, &StandingRules),
) {
    let is_wanted = taken >= count(rules.demand_mib);
    for (watch, _) in watched(swarms, at) {
        let Some(watch) = swarms.watches.get(watch).filter(|watch| watch.seeding & 1 == 1) else { continue };
        let own = identities.get_mut(watch.slot).filter(|own| own.generation == watch.generation);
        let Some(own) = own else { continue };
        own.owe(share);
        if is_wanted {
            own.note_barren(bin, rules);
        }
    }
}

/// Those who are watched on a torrent, and what each has taken in the oldest bin.
fn watched(swarms: &Swarms, at: u32) -> impl Iterator<Item = (u32, f32)> {
    let head = swarms.swarms.get(at).map_or(NONE, |swarm| swarm.head);
    let mut from = head;
    std::iter::from_fn(move || {
        let watch = swarms.watches.get(from)?;
        let at = std::mem::replace(&mut from, watch.next);
        Some((at, watch.traffic.taken[0]))
    })
}

/// As much may have been sent for so much to be received.
pub(super) fn with_tolerance(taken: f32, rules: &StandingRules) -> f32 {
    taken * (1.0 + percent(rules.tolerance_percent))
}
