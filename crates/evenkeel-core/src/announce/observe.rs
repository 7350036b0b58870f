//! What an announce says to those who add up what identities earn. It is written down in two parts, before and after the
//! caller is recorded, so that an announce of which nobody wants to know carries nothing about.

use evenkeel_wire::{Announce, Event};

use super::{Books, Caller, Cx, is_listed};
use crate::account::{Booking, Settled};
use crate::analyst::{Before, Observation};
use crate::outcome::Outcome;
use crate::shard::Shard;
use crate::swarm::report::{Moved, Report};
use crate::swarm::{Kind, Known, Mark};

impl Shard {
    /// The first part, of whom is not in the books.
    #[inline]
    pub(super) fn begin_observation(
        &self,
        met: (usize, Known, Mark),
        said: (&Caller, &Announce),
        (books, cx): (Option<&Books>, &mut Cx<'_>),
    ) {
        if cx.observed.is_some() && books.is_none() {
            self.observe(met, said, cx);
        }
    }

    /// What an announce says, from what the same client reported before. One with two addresses says everything twice: it
    /// follows on what it said last.
    #[cold]
    fn observe(
        &self,
        (at, known, mark): (usize, Known, Mark),
        (caller, ask): (&Caller, &Announce),
        cx: &mut Cx<'_>,
    ) {
        let swarm = self.swarm(at);
        let told = [known.own, known.twin].into_iter().flatten();
        let told = told.filter_map(|spot| Some((spot, swarm.report_of(spot, mark)?)));
        let past = told.max_by_key(|(_, report)| report.last()).map(|(spot, report)| {
            let before = Before {
                secs: report.last().age(cx.now),
                kind: Some(swarm.state(spot).kind()),
                left: report.told().left.unwrap_or(Observation::NOT_SAID),
            };
            (before, report.moved_until(&Report::first(ask, cx.now)))
        });
        let (before, moved) = past.unzip();
        write(cx, (caller, ask), before, moved.unwrap_or_default());
    }
}

/// The second part.
#[inline]
pub(super) fn end_observation(
    cx: &mut Cx<'_>,
    (books, completed): (Option<&Books>, bool),
    outcome: &Outcome,
) {
    if cx.observed.is_some() && books.is_none() {
        complete(cx, completed, outcome);
    }
}

/// What an announce says, from the books. Nothing of one that is not booked.
#[cold]
pub(super) fn observe_booked(
    cx: &mut Cx<'_>,
    said: (&Caller, &Announce),
    (settled, booking): (&Settled, &Booking),
    outcome: &Outcome,
) {
    let Booking { uploaded, downloaded, snatched, .. } = *booking;
    write(cx, said, settled.before, Moved { uploaded, downloaded });
    complete(cx, snatched, outcome);
}

/// Adds what is known after the announce.
#[cold]
fn complete(cx: &mut Cx<'_>, completed: bool, outcome: &Outcome) {
    let Some(observed) = &mut cx.observed else { return };
    let (Some(said), Ok(reply)) = (observed.as_mut(), &outcome.answer) else { return };
    let is_listed = is_listed(outcome.reason);
    said.completed = completed;
    (said.seeders, said.leechers) = (reply.stats.seeders, reply.stats.leechers);
    (said.seeds, said.has_seeded) = (said.seeds && is_listed, said.has_seeded && is_listed);
}

fn write(cx: &mut Cx<'_>, (caller, ask): (&Caller, &Announce), before: Option<Before>, moved: Moved) {
    let Some(observed) = &mut cx.observed else { return };
    let seeds = |kind: Kind| kind != Kind::Leecher;
    let stopped = ask.event == Event::Stopped;
    let Before { secs, kind, left } = before.unwrap_or(Before::NOTHING);
    let is_seed = seeds(Kind::of(ask));
    **observed = Some(Observation {
        torrent: caller.place.number(),
        left: ask.left.unwrap_or(Observation::NOT_SAID),
        lacked: left,
        uploaded: moved.uploaded,
        downloaded: moved.downloaded,
        slot: caller.identity.slot.unwrap_or(Observation::NOBODY),
        now: cx.now,
        seeders: 0,
        leechers: 0,
        secs: u16::try_from(secs).unwrap_or(u16::MAX),
        has_seeded: is_seed && kind.is_some_and(seeds),
        seeds: is_seed && !stopped,
        completed: false,
        stopped,
        begins: before.is_none() && ask.downloaded == 0 && ask.uploaded == 0 && !stopped,
    });
}
