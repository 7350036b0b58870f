//! The experiment that a tracker makes with itself, and the threshold that it moves by it: as in the program, but with a
//! larger share of its few swarms held out.

use evenkeel_core::analyst::Observation;
use evenkeel_core::experiment::{Arm, Experiment, steer};
use evenkeel_core::{Tier, Time};
use serde::Serialize;

/// How often the threshold may move, in seconds; a day, as in the program.
const DECIDES_EVERY_SECS: u32 = 86_400;

/// What is held out, and what follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Trial {
    /// Torrents in 100 that run `random`. Where everybody does, those that are compared with the others.
    pub held_out_percent: u32,
    /// Whether the threshold is moved.
    pub steers: bool,
}

/// A trial under way.
pub(super) struct Steering {
    experiment: Experiment,
    steers: bool,
    moved: i8,
    pub decided: Decided,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decided {
    pub decisions: u32,
    /// Decisions that moved the threshold, and those of them that moved it up.
    pub moves: u32,
    pub moves_up: u32,
    /// How far it was moved in the end, in percent.
    pub moved: i8,
    /// What rationing seems to cost in the end, in percent, and how far that may be off.
    pub cost: Option<(f64, f64)>,
}

impl Steering {
    pub(super) fn new(trial: Trial) -> Option<Self> {
        (trial.held_out_percent > 0).then(|| Self {
            experiment: Experiment::new(Time(0)),
            steers: trial.steers,
            moved: 0,
            decided: Decided::default(),
        })
    }

    pub(super) fn note(&mut self, arm: Arm, tier: Tier, said: &Observation) {
        self.experiment.note(arm, tier, said);
    }

    /// Decides, if a day is over. Answers how far the threshold is moved from now on.
    pub(super) fn decide(&mut self, now: u32) -> Option<i8> {
        if !now.is_multiple_of(DECIDES_EVERY_SECS) {
            return None;
        }
        let comparison = self.experiment.compare();
        let next = steer(self.moved, &comparison);
        let Decided { decisions, moves, moves_up, moved, cost } = &mut self.decided;
        *decisions += 1;
        *moves += u32::from(next != self.moved);
        *moves_up += u32::from(next > self.moved);
        (*moved, *cost) = (next, comparison.cost_percent);
        self.moved = next;
        self.steers.then_some(next)
    }
}
