//! The steps of an announce, in order, on one screen.

mod observe;

use evenkeel_wire::{Announce, Event, Failure, Reply, Stats, Warning};

use crate::account::{Account, Booking, Claim, Ledger, Settled};
use crate::addresses::AddressTable;
use crate::analyst::Observation;
use crate::equilibrium::handout::Handout;
use crate::equilibrium::random::Scratch;
use crate::equilibrium::{self, Asker, Chance, Policy};
use crate::experiment::Arm;
use crate::identity::Identity;
use crate::outcome::{Outcome, Reason};
use crate::rules::Rules;
use crate::scope::Scope;
use crate::shard::{Place, Shard};
use crate::swarm::report::{Moved, Report};
use crate::swarm::{Entry, Family, Kind, Known, Mark, PeerKey, Role, Spot};
use crate::time::{Stamp, Time};
use crate::uplink::{Sample, Uplinks, Wanted};

use self::observe::{end_observation, observe_booked};

/// Everything outside the swarm that an announce may depend on.
pub struct Cx<'a> {
    /// Now.
    pub now: Time,
    /// The only source of chance.
    pub rng: &'a mut fastrand::Rng,
    /// What the operator set.
    pub rules: &'a Rules,
    /// Peers of each address, over all shards.
    pub addresses: &'a AddressTable,
    /// How busy the uplinks of identities are, over all shards.
    pub uplinks: &'a Uplinks,
    /// The store holds as many peers or swarms as it may; renewed by the program several times a second.
    pub store_is_full: bool,
    /// Memory for drawing peers.
    pub scratch: &'a mut Scratch,
    /// Where it is written what an announce says of its caller, if anybody adds up what identities earn. Nothing is
    /// written of an announce that is refused, or for which there is no room in the books.
    pub observed: Option<&'a mut Option<Observation>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Where it is reached: at the address that the announce came from and the port that it names, or through the
    /// socket that the announce came over.
    pub key: PeerKey,
    /// Interned name and version of its client.
    pub client: u16,
    /// Where the swarm is that it asks for.
    pub place: Place,
    /// Who it is.
    pub identity: Identity,
}

/// What the books say of an announce.
struct Books {
    /// Why the caller is not to be listed.
    refused: Option<Reason>,
    /// It is its user's first completion of the torrent.
    completes: bool,
}

/// A caller as the swarm at `at` knows it.
#[derive(Clone, Copy)]
struct Met {
    at: usize,
    known: Known,
    mark: Mark,
    policy: Policy,
}

/// Who asks, and whose books it is in.
pub struct KeyedCaller<'a> {
    /// As any caller.
    pub caller: Caller,
    /// Whom its announce is booked to.
    pub account: Account,
    /// What is known of it.
    pub ledger: &'a Ledger,
}

impl Shard {
    /// Answers one announce.
    pub fn announce(
        &mut self,
        cx: &mut Cx<'_>,
        caller: &Caller,
        ask: &Announce,
        out: &mut Handout<'_>,
    ) -> Outcome {
        self.announce_with(cx, (caller, None), ask, out)
    }

    /// Answers one announce of somebody who has an account, and says what it adds to the books. Whatever the answer is: what
    /// was moved is booked.
    pub fn announce_keyed(
        &mut self,
        cx: &mut Cx<'_>,
        keyed: &KeyedCaller<'_>,
        ask: &Announce,
        out: &mut Handout<'_>,
    ) -> (Outcome, Option<Booking>) {
        let KeyedCaller { caller, account, ledger } = keyed;
        let claim = Claim { account, source: caller.key.source(), ask };
        let settled = ledger.settle(&claim, cx.now, cx.rules);
        let is_stop = ask.event == Event::Stopped;
        let refused = match settled {
            Settled { is_listed: false, .. } => Some(Reason::NotListedClientLimit),
            _ if is_stop || ledger.note_source(&claim, cx.now, cx.rules) => None,
            _ => Some(Reason::NotListedUserAddressLimit),
        };
        let books = Books { refused, completes: settled.booking.is_some_and(|booking| booking.snatched) };
        let mut outcome = self.announce_with(cx, (caller, Some(&books)), ask, out);
        if settled.is_unbooked && is_listed(outcome.reason) {
            outcome.reason = Reason::AnnouncedUnbooked;
        }
        if let Ok(reply) = &mut outcome.answer {
            let warning = match outcome.reason {
                Reason::AnnouncedUnbooked => Some(Warning::Unbooked),
                _ => settled.is_hasty.then_some(Warning::TooSoon),
            };
            reply.warning = reply.warning.or(warning);
        }
        if let (Some(booking), true) = (&settled.booking, cx.observed.is_some()) {
            observe_booked(cx, (caller, ask), (&settled, booking), &outcome);
        }
        (outcome, settled.booking)
    }

    /// This function is the table of contents of the tracker: a rule that can touch an announce is called here, in this
    /// order, and nowhere else.
    fn announce_with(
        &mut self,
        cx: &mut Cx<'_>,
        (caller, books): (&Caller, Option<&Books>),
        ask: &Announce,
        out: &mut Handout<'_>,
    ) -> Outcome {
        let now = Stamp::at(cx.now);
        let at = match self.find(caller.place, &ask.info_hash) {
            Some(at) => at,
            None if ask.event == Event::Stopped => return stopped(Stats::default(), caller, cx),
            None if cx.store_is_full => return Outcome::failed(Failure::Full),
            // Before anything is created: who is not listed must not fill the store with empty swarms.
            None if let Some(reason) = refused(caller, books, cx) => {
                return answer(Stats::default(), reason, caller, cx);
            }
            None => self.create(caller.place, ask.info_hash, now),
        };
        let mark = self.mark(caller, ask);
        let mut known = self.swarm(at).recognise(&caller.key, mark);
        if ask.event == Event::Stopped {
            leave(caller, cx);
            self.begin_observation((at, known, mark), (caller, ask), (books, cx));
            let moved = self.forget(at, known, (ask, mark), cx);
            let outcome = Outcome { moved, ..stopped(self.swarm(at).swarm.stats, caller, cx) };
            end_observation(cx, (books, false), &outcome);
            return outcome;
        }

        let mut reason = books.and_then(|books| books.refused).unwrap_or(Reason::Announced);
        if known.own.is_none() && is_listed(reason) {
            reason = self.admit_peer(at, caller, cx, now);
            if reason == Reason::AnnouncedAfterEviction {
                // Records have moved.
                known = self.swarm(at).recognise(&caller.key, mark);
            }
        }
        self.begin_observation((at, known, mark), (caller, ask), (books, cx));
        let mut policy = cx.rules.policy_for(&ask.info_hash, &caller.identity);
        if cx.rules.held_out_percent > 0 && self.is_held_out(caller, ask, cx) {
            policy = Policy::Random;
        }
        let met = Met { at, known, mark, policy };
        let report = self.report(&met, ask, cx);
        let role = self.role(&met, report, (caller, ask), cx);
        let asker = self.asker(&met, (role, report), (caller, ask), cx);
        // Before the caller is recorded, and without its old record: nobody is handed themselves.
        let mut chance = Chance { rng: &mut *cx.rng, scratch: &mut *cx.scratch };
        let again = equilibrium::choose(self.swarm(at), &asker, cx.rules, &mut chance, out);
        if again.is_some() && reason == Reason::Announced {
            reason = Reason::AnnouncedRationed;
        }

        let completes = match books {
            Some(books) => books.completes,
            None => self.completes(at, ask, &asker),
        };
        let id = cx.rules.keep_peer_ids.then_some(ask.peer_id);
        let entry = Entry { key: caller.key, role, mark, id, report };
        let mut moved = Moved::default();
        match known.own {
            _ if !is_listed(reason) => {}
            Some(own) => moved = self.refresh(at, own, &entry, now),
            None => {
                self.change(at, |edit| edit.insert(&entry, now));
                cx.addresses.add(caller.key.source());
                self.recorded = self.recorded.wrapping_add(1);
            }
        }
        if completes && is_listed(reason) {
            self.change(at, |edit| {
                let downloaded = &mut edit.swarm.stats.downloaded;
                *downloaded = downloaded.saturating_add(1);
            });
        }
        let outcome =
            Outcome { moved, ..answer_within(again, self.swarm(at).swarm.stats, reason, caller, cx) };
        end_observation(cx, (books, completes), &outcome);
        outcome
    }

    /// Whether the caller's swarm is one of those that show what is without the policy of everybody.
    #[inline(never)]
    fn is_held_out(&self, caller: &Caller, ask: &Announce, cx: &Cx<'_>) -> bool {
        caller.identity.policy.is_none()
            && cx.rules.arm_of(&ask.info_hash, &self.keys.lottery) == Some(Arm::HeldOut)
    }

    /// The same for both addresses of one client, and hardly for anybody else.
    fn mark(&self, caller: &Caller, ask: &Announce) -> Mark {
        let mut bytes = [0; 20 + evenkeel_wire::limits::KEY_BYTES_MAX];
        let key = ask.key.as_bytes();
        bytes[..20].copy_from_slice(&ask.peer_id.0);
        bytes[20..20 + key.len()].copy_from_slice(key);
        let hash = self.keys.twin.hash(&bytes[..20 + key.len()]);
        Mark { client: caller.client, twin: (hash & 0xFFFF) as u16 }
    }

    /// What the caller says, as it follows on what it said before, if that is kept.
    fn report(&self, met: &Met, ask: &Announce, cx: &Cx<'_>) -> Option<Report> {
        let Met { at, known, mark, .. } = *met;
        if !cx.rules.keep_reports {
            return None;
        }
        let before = known.own.or(known.twin).and_then(|spot| self.swarm(at).report_of(spot, mark));
        Some(match before {
            Some(before) => Report::next(before, ask, cx.now, cx.rules.min_interval_secs),
            None => Report::first(ask, cx.now),
        })
    }

    /// What the caller is recorded as.
    fn role(
        &self,
        met: &Met,
        report: Option<Report>,
        (caller, ask): (&Caller, &Announce),
        cx: &Cx<'_>,
    ) -> Role {
        let (kind, identity) = (Kind::of(ask), &caller.identity);
        let busy_below = match (identity.slot, report) {
            (Some(slot), Some(report)) => self.busy_below(met, (slot, &report), (caller, kind), cx),
            _ => 0,
        };
        let grade = equilibrium::grade(met.policy, kind, identity.tier, busy_below);
        Role { kind, grade, is_unconnectable: identity.is_unconnectable }
    }

    /// Whom the caller's uplink has no room for: tiers below this one. Whoever seeds in a swarm that is held out does so with
    /// the same uplink.
    fn busy_below(
        &self,
        met: &Met,
        (slot, report): (u32, &Report),
        (caller, kind): (&Caller, Kind),
        cx: &Cx<'_>,
    ) -> u8 {
        let is_held_out = cx.rules.held_out_percent > 0 && met.policy == Policy::Random;
        let policy = if is_held_out { cx.rules.policy } else { met.policy };
        let Policy::Rbs(preset) = policy else { return 0 };
        let sample = self.sample(met, report, (caller, kind), cx);
        cx.uplinks.judge(slot, &sample, preset.ration(), cx.rules)
    }

    /// What an announce says of the caller's uplink.
    fn sample(&self, met: &Met, report: &Report, (caller, kind): (&Caller, Kind), cx: &Cx<'_>) -> Sample {
        let Met { at, known, mark, .. } = *met;
        let swarm = self.swarm(at);
        // A client with two addresses says everything twice.
        let before = [known.own, known.twin].into_iter().flatten();
        let before = before.filter_map(|spot| swarm.report_of(spot, mark)).max_by_key(|before| before.last());
        Sample {
            place: caller.place,
            sent: before.map(|before| (before.last(), report.uploaded_since(before))),
            now: cx.now,
            wanted: if kind == Kind::Seeder { swarm.wanted() } else { Wanted::default() },
        }
    }

    /// The caller, as far as it matters for what it is given.
    fn asker<'a>(
        &'a self,
        met: &Met,
        (role, report): (Role, Option<Report>),
        (caller, ask): (&'a Caller, &Announce),
        cx: &Cx<'_>,
    ) -> Asker<'a> {
        let rules = cx.rules;
        Asker {
            key: caller.key,
            policy: met.policy,
            lottery: &self.keys.lottery,
            known: met.known,
            role,
            identity: &caller.identity,
            want: ask.numwant.unwrap_or(rules.numwant_default).min(rules.numwant_max) as usize,
            now: cx.now,
            stay_secs: report.map_or(0, |report| report.stay_secs(cx.now)),
            turn: report.map_or(0, |report| report.turn()),
        }
    }

    /// `stopped`: removes the caller's record, if there is one. Answers what the caller has moved since the last time.
    fn forget(&mut self, at: usize, known: Known, (ask, mark): (&Announce, Mark), cx: &Cx<'_>) -> Moved {
        let Some(own) = known.own else { return Moved::default() };
        let report = cx.rules.keep_reports.then(|| Report::first(ask, cx.now));
        let (gone, moved) = self.change(at, |edit| {
            edit.swarm.empty_since = Stamp::at(cx.now);
            edit.stop(own, mark, report.as_ref())
        });
        cx.addresses.remove(&gone);
        moved
    }

    /// Whether a new peer is recorded: not if its address has as many as it may. When there is no room for another
    /// one, the least recently announced peer makes some, before the newcomer is answered: what it is told holds.
    fn admit_peer(&mut self, at: usize, caller: &Caller, cx: &mut Cx<'_>, now: Stamp) -> Reason {
        if is_address_full(caller, cx) {
            return Reason::NotListedAddressLimit;
        }
        if is_limited(caller, cx) {
            let max = cx.rules.peers_per_address_and_swarm_max as usize;
            if self.swarm(at).count_source(&caller.key, max) >= max {
                return Reason::NotListedSwarmLimit;
            }
        }
        let max = if cx.store_is_full { 0 } else { cx.rules.peers_per_swarm_max as usize };
        let len = self.swarm(at).swarm.len();
        if len < max || len == 0 {
            return Reason::Announced;
        }
        let gone = self.change(at, |edit| edit.evict(now, cx.rng));
        cx.addresses.remove(&gone);
        Reason::AnnouncedAfterEviction
    }

    /// A completion counts once for each client: `completed` of a peer that was no seeder under either of its
    /// addresses. A peer that is not known may have been lost by a restart; but a browser that seeds what it has always
    /// had begins with `completed`, so that a WebTorrent peer must be known.
    fn completes(&self, at: usize, ask: &Announce, asker: &Asker<'_>) -> bool {
        let swarm = self.swarm(at);
        let was_seeder =
            |record: Option<Spot>| record.is_some_and(|record| swarm.state(record).kind() == Kind::Seeder);
        let Known { own, twin } = asker.known;
        let may_be_new = asker.key.family() != Family::Web || own.or(twin).is_some();
        let is_done = ask.event == Event::Completed && asker.role.kind == Kind::Seeder;
        is_done && may_be_new && !was_seeder(own) && !was_seeder(twin)
    }
}

/// The uplink of whoever stops has one torrent less to serve.
fn leave(caller: &Caller, cx: &Cx<'_>) {
    if let Some(slot) = caller.identity.slot {
        cx.uplinks.leave(slot, caller.place);
    }
}

/// Whether the limits per address hold for the caller.
fn is_limited(caller: &Caller, cx: &Cx<'_>) -> bool {
    cx.rules.limit_local_addresses || Scope::of(caller.key.source()) == Scope::Global
}

/// Whether the caller's address has as many peers in all swarms as it may.
fn is_address_full(caller: &Caller, cx: &Cx<'_>) -> bool {
    is_limited(caller, cx) && cx.addresses.peers(caller.key.source()) >= cx.rules.peers_per_address_max
}

/// Why a caller is answered and not listed, if that is known before its swarm is looked at.
fn refused(caller: &Caller, books: Option<&Books>, cx: &Cx<'_>) -> Option<Reason> {
    let refused = books.and_then(|books| books.refused);
    refused.or_else(|| is_address_full(caller, cx).then_some(Reason::NotListedAddressLimit))
}

fn stopped(stats: Stats, caller: &Caller, cx: &mut Cx<'_>) -> Outcome {
    answer(stats, Reason::Stopped, caller, cx)
}

fn answer(stats: Stats, reason: Reason, caller: &Caller, cx: &mut Cx<'_>) -> Outcome {
    answer_within(None, stats, reason, caller, cx)
}

/// The same for a caller that is to ask again after `again` seconds, if that is sooner than others.
fn answer_within(
    again: Option<u32>,
    stats: Stats,
    reason: Reason,
    caller: &Caller,
    cx: &mut Cx<'_>,
) -> Outcome {
    let rules = cx.rules;
    let mean_secs = match caller.key.family() {
        Family::V4 | Family::V6 => rules.interval_secs,
        Family::Web => rules.webtorrent_interval_secs,
    };
    let mean_secs = again.map_or(mean_secs, |again| again.min(mean_secs));
    let spread = mean_secs * rules.interval_spread_percent / 100;
    let interval_secs = cx.rng.u32(mean_secs - spread..=mean_secs + spread);
    let reply = Reply {
        stats,
        // Who is not listed has less reason to ask often.
        interval_secs: if is_listed(reason) { interval_secs } else { interval_secs * 2 },
        min_interval_secs: rules.min_interval_secs.min(interval_secs),
        warning: warning(reason),
    };
    Outcome { answer: Ok(reply), reason, moved: Moved::default() }
}

fn is_listed(reason: Reason) -> bool {
    warning(reason).is_none()
}

/// What somebody is told who is answered and not listed.
fn warning(reason: Reason) -> Option<Warning> {
    match reason {
        Reason::NotListedSwarmLimit | Reason::NotListedAddressLimit => Some(Warning::AddressLimit),
        Reason::NotListedClientLimit => Some(Warning::ClientLimit),
        Reason::NotListedUserAddressLimit => Some(Warning::UserAddressLimit),
        _ => None,
    }
}
