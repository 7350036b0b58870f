//! What some announces are answered in one small swarm, in words: made by the real core, for those who want to see it.

use std::fmt::Write as _;

use evenkeel_core::{Identity, Policy, Preset, Tier};
use evenkeel_wire::Event;

use super::tracker::{Ask, Tracker};
use super::trial::Trial;

/// Seeders that send as much as they can, and those that could send five times as much. From user 0 on.
const BUSY: usize = 12;
const ROOMY: usize = 6;
const SEEDERS: usize = BUSY + ROOMY;
/// Leechers that are there when somebody asks: half of the highest tier, half of the lowest; the latter have just come.
const LEECHERS: usize = 12;
/// The first user that asks.
const ASKER: usize = SEEDERS + LEECHERS;
/// Seconds between the announces of those that are there.
const INTERVAL: u32 = 1800;
/// When the first one asks: the tracker has to see for some intervals who is busy.
const BEGIN: u32 = 9 * INTERVAL;
/// When the leechers of the lowest tier come.
const LOW_BEGIN: u32 = BEGIN - INTERVAL;
/// Bytes that the best uplink sends in a second.
const RATE: u64 = 1_000_000;
const SIZE: u64 = 5_000_000_000;

/// A swarm under way, as the policy `rbs` sees it.
struct Stage {
    tracker: Tracker,
    found: Vec<usize>,
}

/// The text.
pub(super) fn text() -> String {
    let mut stage =
        Stage { tracker: Tracker::new(Policy::Rbs(Preset::Default), Trial::default(), 7), found: Vec::new() };
    for now in (0..BEGIN).step_by(INTERVAL as usize) {
        stage.everybody(now);
    }
    let mut out = format!(
        "A swarm with {SEEDERS} seeders: {BUSY} are busy, they send all that their uplinks can; {ROOMY} have room, they send a \
         fifth of what they did at their best. {LEECHERS} leechers are there, half of them of tier 3, half of tier 0, who have just come. The \
         policy is rbs.\n\n"
    );
    for (at, tier) in [0, 1, 2, 3].into_iter().enumerate() {
        let asker = ASKER + at;
        out += &stage.asks(asker, tier, BEGIN, Event::Started);
    }
    out += "\nSeeders ask, too, and are told of those who would be told of them.\n\n";
    out += &stage.seeder_asks(0, "that is busy");
    out += &stage.seeder_asks(BUSY, "that has room");
    out += "\nThe leecher of tier 0 stays, and asks again.\n\n";
    for minutes in [10, 20, 30, 120, 300, 630] {
        out += &stage.asks(ASKER, 0, BEGIN + minutes * 60, Event::Update);
    }
    out
}

impl Stage {
    /// All that are there announce once.
    fn everybody(&mut self, now: u32) {
        for user in (0..ASKER).filter(|user| !is_low(*user) || now >= LOW_BEGIN) {
            self.announce(&present(user, now));
        }
    }

    fn announce(&mut self, ask: &Ask) -> u32 {
        let Self { tracker, found } = self;
        tracker.announce(ask, found).interval_secs
    }

    fn asks(&mut self, user: usize, tier: u8, now: u32, event: Event) -> String {
        // Those who are there have gone on announcing.
        for then in (BEGIN..=now).step_by(INTERVAL as usize).skip(1) {
            if now - then < INTERVAL && event == Event::Update {
                self.everybody(then);
            }
        }
        let interval = self.announce(&leecher(user, tier, now, event));
        let count =
            |from: usize, until: usize| self.found.iter().filter(|user| (from..until).contains(user)).count();
        let (busy, roomy) = (count(0, BUSY), count(BUSY, SEEDERS));
        let leechers = self.found.len() - busy - roomy;
        let when = match (now - BEGIN) / 60 {
            0 => "at first".to_owned(),
            minutes if minutes < 120 => format!("after {minutes} min"),
            minutes => format!("after {} h", minutes / 60),
        };
        let mut out = format!(
            "* tier {tier}, {when}: {busy} of {BUSY} busy seeders, {roomy} of {ROOMY} with room, {leechers} leechers; "
        );
        let reason = match (busy, roomy) {
            (BUSY, ROOMY) => "nothing is held back".to_owned(),
            (BUSY, _) => "seeders with room are released in steps, since others have earned more".to_owned(),
            (_, ROOMY) => "of the busy ones a share that grows with tier and time".to_owned(),
            _ => "of the busy ones a share, those with room in steps".to_owned(),
        };
        writeln!(out, "{reason}; asks again in {} min", interval.div_ceil(60)).ok();
        out
    }

    fn seeder_asks(&mut self, user: usize, what: &str) -> String {
        self.announce(&present(user, BEGIN));
        let low = self.found.iter().filter(|user| is_low(**user)).count();
        let (high, all_low) = (self.found.len() - low, LEECHERS / 2 + 1);
        format!("* a seeder {what}: {high} leechers of tiers above 0, {low} of {all_low} of tier 0\n")
    }
}

fn is_low(user: usize) -> bool {
    (SEEDERS..ASKER).contains(&user) && user.is_multiple_of(2) || user == ASKER
}

/// An announce of somebody that is there.
fn present(user: usize, now: u32) -> Ask {
    let event = if now == 0 || is_low(user) && now == LOW_BEGIN { Event::Started } else { Event::Update };
    if user >= SEEDERS {
        return leecher(user, if is_low(user) { 0 } else { 3 }, now, event);
    }
    // The roomy ones have shown what they can in the first four intervals.
    let (best, rest) = (u64::from(now.min(4 * INTERVAL)), u64::from(now.saturating_sub(4 * INTERVAL)));
    let uploaded = if user < BUSY { (best + rest) * RATE } else { best * RATE + rest * RATE / 5 };
    Ask { now, user, torrent: 0, uploaded, downloaded: 0, left: 0, event, identity: identity(user, 3) }
}

fn leecher(user: usize, tier: u8, now: u32, event: Event) -> Ask {
    Ask {
        now,
        user,
        torrent: 0,
        uploaded: 0,
        downloaded: 0,
        left: SIZE,
        event,
        identity: identity(user, tier),
    }
}

fn identity(user: usize, tier: u8) -> Identity {
    Identity {
        slot: u32::try_from(user).ok(),
        tier: Tier::new(tier).unwrap_or_default(),
        ..Identity::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_the_policy_promises() {
        let text = text();
        let all = format!("{BUSY} of {BUSY} busy seeders, {ROOMY} of {ROOMY} with room");
        let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        assert!(line("* tier 3, at first").contains(&all), "{text}");
        assert!(!line("* tier 0, at first").contains(&all), "{text}");
        assert!(
            !line("* tier 0, at first").contains(" 0 of 12 busy seeders, 0 of"),
            "nobody goes away empty-handed"
        );
        assert!(line("* tier 0, after 10 h").contains(&all), "in the end all is open: {text}");
        assert_eq!(text, super::text(), "it is the same each time");
    }
}
