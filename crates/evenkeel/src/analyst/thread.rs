//! The thread that adds up: takes what announces tell, publishes tiers, answers questions, has standings kept.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use evenkeel_core::analyst::{Analyst, Change, Observation};
use evenkeel_core::experiment::{self, Experiment};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{Tier, Time};
use rtrb::Consumer;

use super::keeper::Keeper;
use super::{Earned, Noted, Question, WAITING_QUARTER};
use crate::database::Database;
use crate::node::{Node, lock};

/// How long it rests after a look at the rings, if little is in them.
const REST: Duration = Duration::from_millis(100);
const REST_MIN: Duration = Duration::from_millis(1);
/// Announces that are taken up at once, so that they wait for memory together.
const BATCH: usize = 32;
/// From one tick to the next.
const TICK: Duration = Duration::from_secs(1);

/// How often the threshold of busy uplinks may move.
const STEER: Duration = Duration::from_secs(86_400);

/// Adds up until `stop`, then has everything kept.
pub(crate) fn run(node: &Node, database: Option<&Database>, stop: &AtomicBool) -> io::Result<()> {
    let Some(earned) = node.earned() else { return Ok(()) };
    let rules = node.orders().standing.clone();
    let mut thread = Thread {
        node,
        earned,
        analyst: Analyst::new(&rules, earned.standing.slots(), node.now()),
        rules,
        rings: Vec::new(),
        experiment: Experiment::new(node.now()),
        keeper: database.map(|database| Keeper::new(node, earned, database)),
    };
    if !thread.restore(stop)? {
        return Ok(());
    }
    let [mut looked, mut ticked, mut kept, mut steered] = [Instant::now(); 4];
    while !stop.load(Ordering::Relaxed) {
        let since = looked.elapsed();
        looked += since;
        let rest = rest_after(since, thread.take());
        thread.answer();
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            thread.tick();
        }
        let keep = Duration::from_secs(node.orders().keep_standing_secs.into());
        if kept.elapsed() >= keep {
            kept = Instant::now();
            thread.keep()?;
        }
        if steered.elapsed() >= STEER {
            steered = Instant::now();
            thread.steer()?;
        }
        std::thread::park_timeout(rest);
    }
    thread.take();
    thread.keep()
}

/// How long it rests when so much has come to the fullest ring in such a time: until a quarter of a ring has come again.
/// Announces do not come evenly.
fn rest_after(since: Duration, most: usize) -> Duration {
    let most = u32::try_from(most).unwrap_or(u32::MAX).max(1);
    (since * WAITING_QUARTER / most).clamp(REST_MIN, REST)
}

struct Thread<'a> {
    node: &'a Node,
    earned: &'a Earned,
    analyst: Analyst,
    rules: StandingRules,
    rings: Vec<Consumer<Noted>>,
    experiment: Experiment,
    /// Where nothing outlives the program there is none.
    keeper: Option<Keeper<'a>>,
}

impl Thread<'_> {
    /// Takes up what was earned before the start, which nobody is answered without. Answers whether it has; not when the
    /// program stops.
    fn restore(&mut self, stop: &AtomicBool) -> io::Result<bool> {
        while let Some(keeper) = &mut self.keeper
            && !keeper.restore(&mut self.analyst).map_err(io::Error::other)?
        {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            std::thread::park_timeout(REST);
        }
        self.show();
        self.earned.is_restored.store(true, Ordering::Release);
        Ok(true)
    }

    /// Takes up what was told. Answers how much was in the fullest ring.
    fn take(&mut self) -> usize {
        self.rings.append(&mut lock(&self.earned.rings));
        let now = self.node.now();
        let Self { analyst, keeper, rules, rings, experiment, .. } = self;
        let mut most = 0;
        for ring in rings {
            let waiting = ring.slots();
            most = most.max(waiting);
            let mut left = waiting;
            while let Ok(batch) = ring.read_chunk(left.min(BATCH))
                && !batch.is_empty()
            {
                left -= batch.len();
                let (first, rest) = batch.as_slices();
                let all = first.iter().chain(rest);
                analyst.prefetch(all.clone().map(|noted| &noted.observation));
                for noted in all {
                    take_up(noted, now, (analyst, keeper.as_mut(), rules, experiment));
                }
                batch.commit_all();
            }
        }
        most
    }

    fn answer(&self) {
        let questions: &mpsc::Receiver<Question> = &lock(&self.earned.questions);
        while let Ok(Question { slot, answer }) = questions.try_recv() {
            // Whoever has hung up meanwhile wants no answer.
            answer.send(self.analyst.view(slot)).ok();
        }
    }

    fn tick(&mut self) {
        let orders = self.node.orders();
        if orders.standing != self.rules {
            self.rules = orders.standing.clone();
            self.analyst.renew_rules(&self.rules);
        }
        for change in self.analyst.tick(self.node.now()) {
            self.earned.publish(change);
        }
        if let Some(keeper) = &self.keeper {
            self.node.uplinks().shift(keeper.busy_shift());
        }
        *lock(&self.earned.figures.comparison) = self.experiment.compare();
        self.show();
    }

    fn keep(&mut self) -> io::Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        keeper.keep(&self.analyst).map_err(io::Error::other)
    }

    /// Moves the threshold of busy uplinks, if what was measured says so.
    fn steer(&mut self) -> io::Result<()> {
        let moved = self.node.uplinks().shifted();
        let next = experiment::steer(moved, &self.experiment.compare());
        if next == moved || !self.node.orders().protects_mean {
            return Ok(());
        }
        tracing::info!(percent = next, "the threshold of busy uplinks is moved");
        match &mut self.keeper {
            Some(keeper) => keeper.keep_busy_shift(next).map_err(io::Error::other),
            None => {
                self.node.uplinks().shift(next);
                Ok(())
            }
        }
    }

    fn show(&self) {
        let watched = self.analyst.watched();
        let by_tier = &self.earned.figures.by_tier;
        let above: u32 = by_tier[1..].iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let all = u32::try_from(watched.identities).unwrap_or(u32::MAX);
        by_tier[0].store(all.saturating_sub(above), Ordering::Relaxed);
        *lock(&self.earned.figures.watched) = watched;
    }
}

impl Earned {
    /// Puts a tier where announces read it.
    pub(super) fn publish(&self, change: Change) {
        let count = |tier: Tier| &self.figures.by_tier[usize::from(tier.number())];
        let before = self.standing.tier(change.slot);
        // Those of the newest tier are those who are left.
        if before > Tier::NEWEST {
            count(before).fetch_sub(1, Ordering::Relaxed);
        }
        if change.tier > Tier::NEWEST {
            count(change.tier).fetch_add(1, Ordering::Relaxed);
        }
        self.standing.publish(change.slot, change.tier);
    }
}

/// Takes up what an announce says.
fn take_up(
    noted: &Noted,
    now: Time,
    (analyst, keeper, rules, experiment): (
        &mut Analyst,
        Option<&mut Keeper<'_>>,
        &StandingRules,
        &mut Experiment,
    ),
) {
    let Noted { observation, whose, size_bytes, arm } = noted;
    if let Some((arm, tier)) = *arm {
        experiment.note(arm, tier, observation);
    }
    // Once for each client is enough.
    if observation.secs == 0 && *size_bytes > 0 {
        analyst.tell_size(observation.torrent, *size_bytes);
    }
    analyst.observe(observation);
    if let (Some(keeper), Some(whose)) = (keeper, *whose)
        && observation.slot != Observation::NOBODY
    {
        keeper.note(observation.slot, whose, (now, rules.bin_secs));
    }
}

#[cfg(test)]
mod tests {
    use super::super::WAITING_MAX;
    use super::*;

    #[test]
    fn a_ring_is_looked_at_before_it_is_full() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(ms(100), 0), REST);
        assert_eq!(rest_after(ms(100), 500), REST);
        assert_eq!(rest_after(ms(100), WAITING_MAX), ms(25), "as soon as a quarter has come again");
        assert_eq!(rest_after(ms(10), 2048), ms(10));
        assert_eq!(rest_after(ms(1), WAITING_MAX), REST_MIN);
    }
}
