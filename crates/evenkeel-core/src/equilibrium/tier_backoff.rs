//! The policies `tier-backoff` and `tier-backoff-symmetric`: who has earned little waits for those who have earned more.
//!
//! A caller of tier k is given peers of tiers up to k at its first announce, up to k + 1 at the second, and so on, whatever
//! those peers' uplinks have to spare. The idea is older than this program, and is here to be compared with.
//!
//! Known weakness: it makes waiting, not room. What a restricted leecher does not get nobody else gets either when the
//! seeders are idle, and taken literally it leaves first lists empty where all seeders are of higher tiers. Taken
//! literally it also tells announcing seeders of everybody, which undoes half of it; the symmetric form does not.

use std::cell::Cell;

use super::candidates::{Everybody, Judge, Verdict};
use super::{Asker, Chance, may_connect, random};
use crate::equilibrium::handout::Handout;
use crate::swarm::{Kind, List, Record, View};

/// How literally the idea is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Only the caller's list is looked at.
    Literal,
    /// A seeder is told of leechers only who would be told of it, and an empty list gets one seeder.
    Symmetric,
}

/// Writes the caller's peers; answers whether some were held back.
#[inline(never)]
pub(super) fn choose(
    swarm: View<'_>,
    asker: &Asker<'_>,
    form: Form,
    chance: &mut Chance<'_>,
    out: &mut Handout<'_>,
) -> bool {
    let rule = Rule { asker, form, held_back: Cell::new(false) };
    let everybody = Everybody::of(swarm, asker, None);
    random::take(&everybody.part(asker.part(), out), asker.want, &rule, chance, out);
    if out.len() == 0 && form == Form::Symmetric && asker.role.kind == Kind::Leecher {
        super::give_anybody(swarm, asker, chance, out);
    }
    rule.held_back.get()
}

struct Rule<'a> {
    asker: &'a Asker<'a>,
    form: Form,
    held_back: Cell<bool>,
}

impl Judge for Rule<'_> {
    #[inline]
    fn judge<R: Record>(&self, record: &R, place: (&List<'_, R>, usize)) -> Verdict {
        let state = record.state();
        let asker = self.asker;
        let is_seeders_turn = asker.role.kind == Kind::Seeder && self.form == Form::Symmetric;
        let (waiting, turn, sought) = if is_seeders_turn {
            let (list, at) = place;
            let turn = list.reports().map_or(0, |reports| reports[at].turn());
            (state.grade(), turn, asker.role.grade)
        } else {
            (asker.role.grade, asker.turn, state.grade())
        };
        if !may_connect(asker, state) {
            return Verdict::NEVER;
        }
        if u16::from(waiting).saturating_add(turn) >= u16::from(sought) {
            return Verdict::OPEN;
        }
        self.held_back.set(true);
        Verdict::NEVER
    }
}
