//! What loads of every protocol share: clock, phases, counts, and whose turn it is.

use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use evenkeel_wire::InfoHash;
use indicatif::{ProgressBar, ProgressStyle};

use super::Options;
use super::pace::{Nanos, Pace, SECOND};
use super::packets::Said;
use super::process::{Usage, Used};
use super::tally::Tally;
use crate::community;
use crate::population::Population;
use crate::system::Poller;

/// Time between two looks at what is late.
const TICK: Nanos = SECOND / 20;

/// How long a fill bears that nothing comes back, beyond the timeout of one request.
const FILL_PATIENCE: Nanos = 10 * SECOND;

/// Where a load stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Requests are sent.
    Asking,
    /// Replies are waited for.
    Settling,
    /// All is counted.
    Over,
}

/// One load under way.
pub(crate) struct Run<'a> {
    pub options: &'a Options,
    pub population: &'a Population,
    pub tally: Tally,
    pub pace: Pace,
    pub rng: fastrand::Rng,
    began: Instant,
    phase: Phase,
    /// When the measured time shall begin and end.
    planned: Range<Nanos>,
    next_tick: Nanos,
    /// The most memory that the server had, beside hostile clients, and when it is looked at again.
    peak: (u64, Nanos),
    /// Replies at the last tick that saw new ones, and when that was.
    progress: (u64, Nanos),
    idle: Nanos,
    meter: Meter,
    bar: ProgressBar,
}

/// Use of both sides at the start and at the end of the measured time.
#[derive(Default)]
struct Meter {
    start: Option<Reading>,
    end: Option<Reading>,
}

struct Reading {
    server: Option<Usage>,
    generator: Usage,
    at: Nanos,
    /// Time that the generator had nothing to do.
    idle: Nanos,
}

/// What was metered.
pub(crate) struct Metered {
    /// Seconds that were measured.
    pub secs: f64,
    /// Share of them in which the generator had something to do.
    pub generator_busy: f64,
    /// CPU time of the generator, looking for work included.
    pub generator_cpu: Nanos,
    pub server: Option<ServerUse>,
}

/// What the server used.
pub(crate) struct ServerUse {
    pub used: Used,
    pub rss_before: u64,
    pub rss_after: u64,
    /// The most of it, looked at every second beside hostile clients.
    pub rss_peak: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(options: &'a Options, population: &'a Population) -> Self {
        let from = nanos(options.warmup);
        let planned =
            if options.fill { 0..Nanos::MAX } else { from..from.saturating_add(nanos(options.duration)) };
        let steps = if options.fill { u64::from(options.shape.peers) } else { planned.end / 1_000_000 };
        let bar = ProgressBar::new(steps);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} % {msg}") {
            bar.set_style(style);
        }
        Self {
            options,
            population,
            tally: Tally::new(),
            pace: Pace::new(options.rate),
            rng: fastrand::Rng::with_seed(options.shape.seed ^ 0x10AD),
            began: Instant::now(),
            phase: Phase::Asking,
            planned,
            next_tick: 0,
            peak: (0, 0),
            progress: (0, 0),
            idle: 0,
            meter: Meter::default(),
            bar,
        }
    }

    /// Starts the clock: what came before was preparation.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// Time since the load began.
    pub(crate) fn now(&self) -> Nanos {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(Nanos::MAX)
    }

    /// The generator had nothing to do since `then`.
    pub(crate) fn idled(&mut self, then: Nanos) {
        self.idle += self.now() - then;
    }

    /// Moves on in time. `is_settled`: no reply is waited for, and nobody is left to fill in.
    pub(crate) fn step(&mut self, now: Nanos, is_settled: bool) -> anyhow::Result<Phase> {
        if self.meter.start.is_none() && now >= self.planned.start {
            // Late or not, as long as was asked for.
            self.planned.end = self.planned.end.saturating_add(now - self.planned.start);
            self.tally.open(now);
            self.meter.start = Some(self.read(now)?);
        }
        if self.phase == Phase::Asking && (now >= self.planned.end || (self.options.fill && is_settled)) {
            self.tally.close(now);
            self.meter.end = Some(self.read(now)?);
            if self.pace.is_open() && !self.options.fill {
                self.tally.backlog = self.pace.due(now);
            }
            self.planned.end = now;
            self.phase = Phase::Settling;
        }
        let last = self.planned.end.saturating_add(self.patience());
        let held_until = self.planned.end.saturating_add(nanos(self.options.hold));
        let is_held = self.options.fill && now < held_until;
        if self.phase == Phase::Settling && !is_held && (is_settled || now >= last) {
            self.phase = Phase::Over;
            if self.options.fill && self.options.hold > 0.0 {
                self.weigh_again()?;
            }
            self.bar.finish_and_clear();
        }
        Ok(self.phase)
    }

    /// Whether it is time to look at what is late; answers before when that was sent.
    pub(crate) fn tick(&mut self, now: Nanos) -> anyhow::Result<Option<Nanos>> {
        if now < self.next_tick {
            return Ok(None);
        }
        self.next_tick = now + TICK;
        self.weigh(now)?;
        let done = self.tally.replies();
        if done > self.progress.0 {
            self.progress = (done, now);
        }
        // A fill goes on until all is done: with a tracker that is gone, forever.
        let silent = now - self.progress.1;
        ensure!(
            !self.options.fill
                || self.phase != Phase::Asking
                || silent <= FILL_PATIENCE.saturating_add(self.patience()),
            "no reply for {} s: {done} peers of {} are in",
            silent / SECOND,
            self.options.shape.peers
        );
        self.bar.set_position(if self.options.fill { done } else { now / 1_000_000 });
        self.bar.set_message(format!("{done} replies"));
        Ok(Some(now.saturating_sub(self.patience())))
    }

    /// How long to wait for sockets. While replies come in the loop does not sleep: the kernel wakes a sleeper
    /// in the time of the server that sends, which made a reply of the echo server 16 to 37 % dearer.
    pub(crate) fn wait_millis(&self, now: Nanos, idle_since: Nanos) -> i32 {
        let until_due = if self.pace.is_open() && self.phase == Phase::Asking {
            self.pace.next_at(now).saturating_sub(now)
        } else if now.saturating_sub(idle_since) < SECOND / 5_000 {
            0
        } else {
            TICK
        };
        i32::try_from(until_due.min(TICK) / 1_000_000).unwrap_or_default()
    }

    /// What a peer announces.
    pub(crate) fn said(&self, source: usize, at: usize) -> Said {
        let peer = self.population.of(source)[at];
        Said {
            info_hash: self.population.info_hash(peer.torrent),
            peer_id: Population::peer_id(source, at),
            port: peer.port,
            is_seeder: peer.is_seeder,
            is_start: self.options.fill,
            numwant: self.options.numwant,
            moved: self.moved(),
            passkey: self.options.users.map(|users| {
                let user = community::user_of(users, self.options.shape.sources, source, at);
                community::passkey(self.options.shape.seed, user)
            }),
        }
    }

    /// What a peer has moved. By the wall clock: a load goes on where the fill before it was.
    fn moved(&self) -> u64 {
        let since = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        if self.options.moving { u64::try_from(since()).unwrap_or(0) } else { 0 }
    }

    /// An announce of nobody in the population, for packets that must not be believed.
    pub(crate) fn said_by_anybody(&mut self) -> Said {
        let mut info_hash = InfoHash([0; 20]);
        self.rng.fill(&mut info_hash.0);
        Said {
            info_hash,
            peer_id: Population::peer_id(0xFFFF, 0),
            port: self.rng.u16(1..),
            is_seeder: false,
            is_start: true,
            numwant: self.options.numwant,
            moved: 0,
            passkey: None,
        }
    }

    /// Whether the next request is a scrape. A fill has none.
    pub(crate) fn draws_scrape(&mut self) -> bool {
        !self.options.fill && self.options.scrapes > 0.0 && self.rng.f64() < self.options.scrapes
    }

    /// What both sides used in the measured time.
    pub(crate) fn metered(&self) -> Option<Metered> {
        let (start, end) = (self.meter.start.as_ref()?, self.meter.end.as_ref()?);
        let secs = (end.at - start.at).max(1) as f64 / SECOND as f64;
        let server = start.server.as_ref().zip(end.server.as_ref()).map(|(before, after)| ServerUse {
            used: after.since(before),
            rss_before: before.rss_bytes,
            rss_after: after.rss_bytes,
            rss_peak: self.peak.0.max(after.rss_bytes),
        });
        let idle = (end.idle - start.idle) as f64 / SECOND as f64;
        Some(Metered {
            secs,
            generator_busy: (1.0 - idle / secs).clamp(0.0, 1.0),
            generator_cpu: end.generator.since(&start.generator).cpu,
            server,
        })
    }

    fn patience(&self) -> Nanos {
        nanos(self.options.timeout)
    }

    /// Looks now and then at the memory of a server that hostile clients speak to.
    fn weigh(&mut self, now: Nanos) -> anyhow::Result<()> {
        if self.options.hostile == 0.0 || now < self.peak.1 || !self.tally.holds(now) {
            return Ok(());
        }
        let server = self.read(now)?.server.map_or(0, |server| server.rss_bytes);
        self.peak = (self.peak.0.max(server), now + SECOND);
        Ok(())
    }

    /// Memory after a hold, in place of that when the last reply came.
    fn weigh_again(&mut self) -> anyhow::Result<()> {
        let now = self.read(self.now())?;
        if let (Some(end), Some(server)) = (&mut self.meter.end, now.server)
            && let Some(at_end) = &mut end.server
        {
            at_end.rss_bytes = server.rss_bytes;
        }
        Ok(())
    }

    fn read(&self, at: Nanos) -> anyhow::Result<Reading> {
        let read = |pid: &str| Usage::of(pid).with_context(|| format!("cannot read what process {pid} uses"));
        let server = self.options.server_pid.map(|pid| read(&pid.to_string())).transpose()?;
        Ok(Reading { server, generator: read("self")?, at, idle: self.idle })
    }
}

fn nanos(secs: f64) -> Nanos {
    u64::try_from(Duration::from_secs_f64(secs).as_nanos()).unwrap_or(Nanos::MAX)
}

/// What a protocol does in a load; `drive` says when.
pub(crate) trait Load {
    /// No reply is waited for, and nobody is left to fill in.
    fn is_settled(&self) -> bool;
    /// Sends what is due; answers how many requests.
    fn ask(&mut self, run: &mut Run<'_>, now: Nanos) -> anyhow::Result<usize>;
    /// Where its sockets are waited for.
    fn poller(&mut self) -> &mut Poller;
    /// Reads what came for the socket behind `token`.
    fn hear(&mut self, run: &mut Run<'_>, token: usize, now: Nanos) -> anyhow::Result<()>;
    /// Gives up requests that were sent before `then`.
    fn give_up(&mut self, run: &mut Run<'_>, then: Nanos);
}

/// Asks and hears until the load is over.
pub(crate) fn drive(run: &mut Run<'_>, load: &mut impl Load) -> anyhow::Result<()> {
    run.begin();
    let mut idle_since = 0;
    loop {
        let now = run.now();
        let phase = run.step(now, load.is_settled())?;
        if phase == Phase::Over {
            break;
        }
        let sent = if phase == Phase::Asking { load.ask(run, now)? } else { 0 };
        let ready = load.poller().wait(run.wait_millis(now, idle_since))?;
        let heard = run.now();
        for at in 0..ready {
            let token = load.poller().token(at);
            load.hear(run, token, heard)?;
        }
        if sent + ready == 0 {
            run.idled(now);
        } else {
            idle_since = heard;
        }
        if let Some(then) = run.tick(heard)? {
            load.give_up(run, then);
        }
    }
    load.give_up(run, Nanos::MAX);
    Ok(())
}

/// The peers of one source in turn: round and round, or once each when the tracker is filled.
pub(crate) struct Walk {
    peers: usize,
    next: usize,
    is_fill: bool,
    again: Vec<usize>,
}

impl Walk {
    pub(crate) fn new(peers: usize, is_fill: bool) -> Self {
        Self { peers, next: 0, is_fill, again: Vec::new() }
    }

    /// Whether nobody is left to announce.
    pub(crate) fn is_over(&self) -> bool {
        self.again.is_empty() && (self.peers == 0 || (self.is_fill && self.next == self.peers))
    }

    /// Whether each peer has one turn.
    pub(crate) fn is_fill(&self) -> bool {
        self.is_fill
    }

    /// Whose turn it is.
    pub(crate) fn turn(&mut self) -> Option<usize> {
        if self.is_over() {
            return None;
        }
        if let Some(lost) = self.again.pop() {
            return Some(lost);
        }
        if self.next == self.peers {
            self.next = 0;
        }
        self.next += 1;
        Some(self.next - 1)
    }

    /// The announce of this peer was lost: a fill makes it again. Answers whether it will.
    pub(crate) fn repeat(&mut self, peer: usize) -> bool {
        if self.is_fill {
            self.again.push(peer);
        }
        self.is_fill
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_names_each_peer_once_and_the_lost_ones_again() {
        let mut walk = Walk::new(3, true);
        let turns: Vec<_> = std::iter::from_fn(|| walk.turn()).collect();
        assert_eq!(turns, [0, 1, 2]);
        assert!(walk.is_over() && walk.repeat(1) && !walk.is_over());
        assert_eq!((walk.turn(), walk.turn()), (Some(1), None));
    }

    #[test]
    fn a_load_goes_round_and_round() {
        let mut walk = Walk::new(2, false);
        let turns: Vec<_> = (0..5).map_while(|_| walk.turn()).collect();
        assert_eq!(turns, [0, 1, 0, 1, 0]);
        assert!(!walk.repeat(1));
        assert_eq!(Walk::new(0, false).turn(), None, "a source without peers");
    }
}
