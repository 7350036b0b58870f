//! Who says to have sent what nobody received. Of one swarm nobody can tell: it takes who was with whom in many of them.
//!
//! Of late a swarm's members say to have sent `c` each, and it took `t`. If of what each says a part `x` is made up, the sum of
//! `(1 - x) * c` is `t`, but for noise. Each bin of each swarm is such an equation. What it says of the parts is taken up as by a
//! Kalman filter that knows each of them with a variance, and keeps no covariances: what does not add up is put down to
//! those who claim most of it and are known least. Who is blamed for somebody else here is cleared where that one is not.
//!
//! How sure a part is, is counted apart, since in one swarm the same chance repeats itself: each swarm tells only so much of an
//! identity, and less of one who claims little of what is moved there.
//!
//! Known weakness: two who are never seen without each other are not told apart, and whoever is in one swarm only is never
//! found out here. Who receives without saying so looks like a lie of those who served it: where these serve others, too, in
//! three swarms or more, that does not last.

use super::identities::Identities;
use super::identity::percent;
use super::swarms::Swarms;
use crate::rules::standing::StandingRules;

/// Part of its claims that somebody makes up, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Excess {
    part: f32,
    variance: f32,
    /// How much is known, as the inverse of a variance, each swarm counted up to a limit.
    known: f32,
}

/// Before anything is known: honest, give or take a half.
const UNKNOWN: Excess = Excess { part: 0.0, variance: 0.25, known: 4.0 };
/// It is never known better than this: people change.
const VARIANCE_LEAST: f32 = 0.000_4;
/// Standard deviations between what is believed and what is certain.
const CERTAIN: f32 = 2.5;
/// What one swarm tells of an identity at most: as much as was thought of it before.
const KNOWN_MOST: f32 = 4.0;
/// Part of what a swarm moves that may be missing in it for good, without anybody's lie.
const LEAK: f32 = 0.05;
/// What may be missing for a while: part of what was moved of late, part of what was moved in the bin, and MiB.
const NOISE: f32 = 0.1;
const NOISE_OF_BIN: f32 = 0.3;
const NOISE_MIB: f32 = 8.0;
/// Standard deviations beyond which an equation says no more: somebody's client has died.
const OUTLIER: f32 = 2.0;

impl Default for Excess {
    fn default() -> Self {
        UNKNOWN
    }
}

impl Excess {
    /// The part, as likely more as less.
    pub(super) fn part(&self) -> f32 {
        self.part
    }

    /// The part that is certain.
    pub(super) fn surely(&self) -> f32 {
        (self.part - CERTAIN / self.known.sqrt()).max(0.0)
    }

    /// What was learned, beside what was thought before: 1 is as much.
    pub(super) fn learned(&self) -> f32 {
        self.known / UNKNOWN.known - 1.0
    }

    /// What is known fades; what is believed does not.
    pub(super) fn fade(&mut self, left: f32) {
        self.known = UNKNOWN.known + (self.known - UNKNOWN.known) * left;
    }
}

/// What was said to be sent in a swarm, in MiB.
#[derive(Clone, Copy, Default)]
struct Said {
    lately: f32,
    in_bin: f32,
}

/// What a bin says of those in it.
#[derive(Clone, Copy, Default)]
struct Equation {
    /// MiB too much, after what is believed of each is taken off.
    over: f32,
    said: Said,
    /// Received in the bin.
    taken: f32,
    /// How far it may be off by what is not known of each, squared.
    variance: f32,
}

impl Equation {
    fn add(&mut self, said: Said, excess: &Excess) {
        self.over += (1.0 - excess.part) * said.lately;
        self.said.lately += said.lately;
        self.said.in_bin += said.in_bin;
        self.variance += excess.variance * said.lately * said.lately;
    }

    /// What follows of one of those in it. `told` is what the swarm has told of it so far.
    fn tell(&self, claimed: f32, excess: &mut Excess, told: &mut f32) {
        let noise = [NOISE * self.said.lately, NOISE_OF_BIN * self.said.in_bin.max(self.taken), NOISE_MIB];
        let whole = self.variance + noise.iter().map(|part| part * part).sum::<f32>();
        let outlier = OUTLIER * whole.sqrt();
        let gain = excess.variance * claimed / whole;
        let news = claimed * claimed / (whole - excess.variance * claimed * claimed).max(1.0);
        excess.part = (excess.part + gain * self.over.clamp(-outlier, outlier)).clamp(0.0, 1.0);
        excess.variance = (excess.variance * (1.0 - gain * claimed)).max(VARIANCE_LEAST);
        let most = (claimed / (LEAK * self.said.lately)).powi(2).min(KNOWN_MOST);
        let news = news.min(most - *told).max(0.0);
        *told += news;
        excess.known += news;
    }
}

/// Learns from the oldest bin of a torrent, in which so many MiB were taken.
pub(super) fn learn(
    swarms: &mut Swarms,
    at: u32,
    taken: f32,
    (identities, rules): (&mut Identities, &StandingRules),
) {
    let Some(swarm) = swarms.swarms.get_mut(at) else { return };
    let left = percent(rules.bank_percent);
    swarm.lately.fade(left);
    swarm.lately.taken += taken;
    swarm.lately.others += swarm.others.claims[0];
    let (lately, head) = (swarm.lately, swarm.head);
    let others = Said { lately: lately.others, in_bin: swarm.others.claims[0] };
    let mut equation = Equation { over: lately.gone - lately.taken, taken, ..Equation::default() };
    equation.add(others, &swarm.excess);
    let mut from = head;
    while let Some(watch) = swarms.watches.get_mut(from) {
        let said =
            Said { lately: watch.claimed * left + watch.traffic.claims[0], in_bin: watch.traffic.claims[0] };
        (watch.claimed, from) = (said.lately, watch.next);
        if said.lately > 0.0
            && let Some(own) = identities.of(watch)
        {
            equation.add(said, &own.excess);
        }
    }
    if equation.said.lately < NOISE_MIB {
        return;
    }
    if let Some(swarm) = swarms.swarms.get_mut(at) {
        equation.tell(others.lately, &mut swarm.excess, &mut 0.0);
    }
    from = head;
    while let Some(watch) = swarms.watches.get_mut(from) {
        from = watch.next;
        if watch.claimed > 0.0
            && let Some(own) = identities.of(watch)
        {
            equation.tell(watch.claimed, &mut own.excess, &mut watch.told);
        }
    }
}
