//! How far the counters of one client have come, and what of that is new.
//!
//! A client that begins anew counts from zero again. Announces also come late: two families, two URLs of one tracker and
//! packets that are sent twice make them overtake each other. Both show as lower counters, and to take one for the other
//! books bytes twice. What tells them apart is that either family of a client says `started` first, and that nothing is
//! late by more than an interval. While it is not clear nothing is booked; what turns out to be new is booked then.

use evenkeel_wire::{Announce, Event};

use super::Run;
use crate::time::Time;

impl Run {
    /// There was a run before; what a family says that has not joined this one may be of that one.
    const ANEW: u8 = 1 << 2;
    /// The client has said that it completed.
    const COMPLETED: u8 = 1 << 3;
    /// What is booked was said over IPv6.
    const LED_BY_V6: u8 = 1 << 4;
    /// What is booked was said by a client that stops.
    const STOPPED: u8 = 1 << 6;
    /// The user has completed the torrent, with this client or another.
    pub(super) const SNATCHED: u8 = 1 << 5;

    /// Whether a family, 0 or 1, has announced in this run.
    fn has_joined(self, family: usize) -> bool {
        self.has(1 << family)
    }

    pub(super) fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    pub(super) fn with(self, bits: u8) -> Self {
        Self(self.0 | bits)
    }

    fn without(self, bits: u8) -> Self {
        Self(self.0 & !bits)
    }

    fn leader(self) -> usize {
        usize::from(self.has(Self::LED_BY_V6))
    }
}

/// What a session has said of its traffic.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    /// What all before has been booked up to.
    pub(super) booked: Counters,
    /// The lowest that was said since, while it is not clear whether the client has begun anew.
    dip: Counters,
    /// When it last said what is booked, or more.
    led: Time,
    /// When the present run of the client began, as far as that was told.
    began: Time,
    /// When it announced last.
    pub(super) last: Time,
    /// What else it has told of this run.
    pub(super) run: Run,
}

const _: () = assert!(size_of::<Progress>() == 48);

/// Counters of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) uploaded: u64,
    pub(super) downloaded: u64,
}

impl Counters {
    pub(super) const ZERO: Self = Self { uploaded: 0, downloaded: 0 };
    /// No dip. A client that does say so much is never below anything.
    const NO_DIP: Self = Self { uploaded: u64::MAX, downloaded: u64::MAX };

    fn reach(&self, other: &Self) -> bool {
        self.uploaded >= other.uploaded && self.downloaded >= other.downloaded
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            uploaded: self.uploaded.saturating_sub(before.uploaded),
            downloaded: self.downloaded.saturating_sub(before.downloaded),
        }
    }
}

impl From<&Announce> for Counters {
    fn from(ask: &Announce) -> Self {
        Self { uploaded: ask.uploaded, downloaded: ask.downloaded }
    }
}

/// An announce, as far as it matters here.
#[derive(Clone, Copy)]
pub(super) struct Said {
    pub(super) counters: Counters,
    pub(super) event: Event,
    /// 0 for IPv4, 1 for IPv6.
    pub(super) family: usize,
    /// The torrent is complete, and was not before.
    pub(super) completes: bool,
    pub(super) now: Time,
}

/// What an announce tells of the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The client has moved so much.
    On(Counters),
    /// It was overtaken, and tells how things were.
    Late,
    /// It was overtaken, or the client has begun anew.
    Unclear,
}

impl Progress {
    /// Of a client that is not known: whatever it says is where the next difference begins.
    pub(super) fn begin(said: &Said) -> Self {
        let completed = if said.completes { Run::COMPLETED } else { 0 };
        let run = Run(1 << said.family | completed);
        let mut progress = Self::resume(said.counters, run, (said.now, said.now));
        progress.move_to(said.counters, said.counters, said);
        progress
    }

    /// From a stored baseline whose session announced at `last`. What it said just before the program ended may be lost,
    /// so that its run counts as one that begins now.
    pub(super) fn resume(booked: Counters, run: Run, (last, now): (Time, Time)) -> Self {
        Self { booked, dip: Counters::NO_DIP, led: last, began: now, last, run }
    }

    pub(super) fn has_completed(&self) -> bool {
        self.run.has(Run::COMPLETED)
    }

    pub(super) fn complete(&mut self) {
        self.run = self.run.with(Run::COMPLETED);
    }

    /// Takes up another announce.
    pub(super) fn advance(&mut self, said: &Said, interval_secs: u32) -> Step {
        let counters = self.without_artefact(said);
        let had_joined = self.run.has_joined(said.family);
        let is_young = self.began.age(said.now) <= interval_secs;
        let is_start = said.event == Event::Started;
        if !had_joined && self.run.has(Run::ANEW) && is_young && !is_start {
            return Step::Late;
        }
        let begins_anew = is_start && had_joined;
        if begins_anew {
            // This family had begun before.
            self.run = self.run.with(Run::ANEW).without(1 | 2);
        }
        self.run = self.run.with(1 << said.family);
        if counters.reach(&self.booked) {
            self.began = if begins_anew { said.now } else { self.began };
            return self.move_to(counters, self.booked, said);
        }
        let may_be_late = self.led.age(said.now) <= interval_secs;
        // The other family of a client that starts may have been faster.
        let is_ahead = self.run.leader() == said.family && (self.run.has(Run::STOPPED) || !is_young);
        match said.event {
            Event::Started if !may_be_late || is_ahead => {
                self.run_anew(said);
                self.move_to(counters, counters, said)
            }
            _ if may_be_late => {
                if !counters.reach(&self.dip) {
                    self.dip = counters;
                }
                if is_start && !had_joined { Step::Late } else { Step::Unclear }
            }
            // This is not late: it has begun anew, and what it said since is of this run.
            _ => {
                let from = if counters.reach(&self.dip) { self.dip } else { counters };
                self.run_anew(said);
                self.move_to(counters, from, said)
            }
        }
    }

    fn run_anew(&mut self, said: &Said) {
        (self.began, self.run) = (said.now, Run(1 << said.family | Run::ANEW | self.run.0 & Run::SNATCHED));
    }

    fn move_to(&mut self, counters: Counters, from: Counters, said: &Said) -> Step {
        (self.booked, self.dip, self.led) = (counters, Counters::NO_DIP, said.now);
        let led_by_v6 = if said.family == 1 { Run::LED_BY_V6 } else { 0 };
        let stopped = if said.event == Event::Stopped { Run::STOPPED } else { 0 };
        self.run = self.run.without(Run::LED_BY_V6 | Run::STOPPED).with(led_by_v6 | stopped);
        Step::On(counters.since(&from))
    }

    /// libtorrent takes back up to a hundredth of what it has received, once it has everything (arvidn/libtorrent#3008).
    fn without_artefact(&self, said: &Said) -> Counters {
        let (before, now) = (self.booked.downloaded, said.counters.downloaded);
        let is_artefact =
            (self.has_completed() || said.completes) && now < before && before - now <= before / 100;
        Counters { downloaded: if is_artefact { before } else { now }, ..said.counters }
    }
}
