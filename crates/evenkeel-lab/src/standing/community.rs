//! A community of members and cheaters, five minutes at a time.
//!
//! Transfers are fluid: a torrent's uploaders share its leechers' downlinks, what one sends others receive, and a part of it is
//! waste. Everything is announced to the real core, and what it says of each announce goes to its analyst.

use evenkeel_core::analyst::{Analyst, View};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{Identity, Rules, Tier, Time};
use evenkeel_wire::{Announce, Event, InfoHash, PeerId};
use fastrand::Rng;

use super::member::Kind;
use crate::door::{Door, update};

const STEP_SECS: u32 = 300;
const DAY_SECS: u32 = 86_400;
const MIB: f64 = 1_048_576.0;
/// Part of what is received that is received twice, or is no data.
const WASTE: f64 = 0.02;
/// Torrents for each honest member, and their sizes in bytes.
const TORRENTS_PER_MEMBER: f64 = 0.3;
const SIZES: (f64, f64) = (0.3e9, 8e9);
/// Uplinks and downlinks in bytes a second: from DSL to fibre.
const LINES: [(f64, f64); 4] = [(0.3e6, 3e6), (1.25e6, 10e6), (3e6, 20e6), (8e6, 40e6)];
const PUBLISHERS_UP: f64 = 2e6;
/// Mean seconds between two downloads.
const PAUSE_SECS: f64 = 4.0 * 3600.0;

/// Members, torrents, and the tracker.
pub(super) struct Community {
    members: Vec<Member>,
    torrents: Vec<f64>,
    sessions: Vec<Session>,
    door: Door,
    analyst: Analyst,
    rng: Rng,
    now: u32,
}

struct Member {
    kind: Kind,
    up: f64,
    down: f64,
    next_download: u32,
    /// MiB that it has sent, fading as trading does.
    sent: f64,
    tier: Tier,
    highest: u8,
    /// Seconds after which it was of tier 2 first.
    rose: Option<u32>,
    /// Hours after its third day, and those of them in which its word alone kept it out of tiers 2 and 3.
    hours: u32,
    hours_doubted: u32,
    /// It was in a swarm with an inflator that claimed something.
    met_inflators: bool,
    was_exaggerating: bool,
}

struct Session {
    member: usize,
    torrent: usize,
    /// Bytes that it has.
    have: f64,
    /// Counters of the client.
    sent: f64,
    got: f64,
    made_up: f64,
    /// Tells this client from the one before.
    run: u8,
    announces: u32,
    next_announce: u32,
    announced: u32,
    seeds_until: u32,
    is_over: bool,
}

/// What became of a member; amounts in MiB, fading.
pub(super) struct Fate {
    pub kind: Kind,
    pub claimed: f64,
    pub sent: f64,
    pub credited: f64,
    pub score: f64,
    pub tier: u8,
    /// The highest tier that it ever had, its first day aside.
    pub highest: u8,
    /// Hours after which it was of tier 2 first.
    pub rose: Option<f64>,
    /// Share of its time, the first three days aside, in which its word alone kept it out of tiers 2 and 3.
    pub doubted: f64,
    /// It was in a swarm together with an inflator.
    pub met_inflators: bool,
    /// It was ever kept out of the higher tiers, as one who exaggerates.
    pub was_exaggerating: bool,
}

impl Community {
    pub(super) fn new(honest: usize, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let torrents = whole(honest as f64 * TORRENTS_PER_MEMBER).max(4);
        let sizes = (0..torrents).map(|_| SIZES.0 + (SIZES.1 - SIZES.0) * rng.f64().powi(2)).collect();
        let mut kinds = Vec::new();
        // Of a hundred honest members; and beside them, cheaters, two of each kind and more.
        for (kind, share) in [
            (Kind::Good, 25),
            (Kind::Average, 25),
            (Kind::Selfish, 25),
            (Kind::Unlucky, 10),
            (Kind::FreeRider, 15),
            (Kind::Stealthy, 1),
            (Kind::Silent, 1),
            (Kind::Ghost, 1),
            (Kind::Claimant, 1),
            (Kind::Inflator, 1),
            (Kind::Replayer, 1),
            (Kind::Poisoner, 1),
            (Kind::Jumper, 1),
        ] {
            kinds.extend(std::iter::repeat_n(kind, (honest * share / 100).max(2)));
        }
        kinds.extend(std::iter::repeat_n(Kind::Publisher, torrents));
        let members =
            (0..).zip(kinds).map(|(number, kind)| Member::new(kind, number, &mut rng)).collect::<Vec<_>>();
        let slots = u32::try_from(members.len()).unwrap_or(u32::MAX);
        let mut community = Self {
            torrents: sizes,
            sessions: Vec::new(),
            door: Door::new(seed, Rules { keep_reports: true, ..Rules::default() }),
            analyst: Analyst::new(&StandingRules::default(), slots, Time(0)),
            rng,
            now: STEP_SECS,
            members,
        };
        community.settle_in();
        community
    }

    /// Publishers begin, and those who pretend to seed.
    fn settle_in(&mut self) {
        let torrents = self.torrents.len();
        let mut published = 0;
        for number in 0..self.members.len() {
            let kind = self.members[number].kind;
            if kind == Kind::Publisher {
                self.open(number, published, true);
                published += 1;
            }
            for _ in 0..kind.pretends().min(torrents) {
                let torrent = self.rng.usize(..torrents);
                self.open(number, torrent, true);
            }
        }
    }

    /// Lives for so many days.
    pub(super) fn live(mut self, days: u32) -> Vec<Fate> {
        for _ in 0..days * DAY_SECS / STEP_SECS {
            self.step();
        }
        let Self { members, analyst, .. } = &self;
        let fates =
            (0..).zip(members).filter_map(|(slot, member)| Some(Fate::of(member, &analyst.view(slot)?)));
        fates.collect()
    }

    fn step(&mut self) {
        self.start_downloads();
        self.transfer();
        self.now += STEP_SECS;
        for number in 0..self.sessions.len() {
            self.speak(number);
        }
        self.sessions.retain(|session| !session.is_over);
        for change in self.analyst.tick(Time(self.now)) {
            self.members[change.slot as usize].tier = change.tier;
        }
        for own in &mut self.members {
            if self.now > DAY_SECS {
                own.highest = own.highest.max(own.tier.number());
            }
            if own.tier.number() >= 2 {
                own.rose.get_or_insert(self.now);
            }
        }
        if self.now.is_multiple_of(3600) {
            self.look();
        }
        if self.now.is_multiple_of(1800) {
            self.door.now = Time(self.now);
            self.door.sweep();
        }
    }

    /// Who is together with whom, and who is known for what.
    fn look(&mut self) {
        let mut has_inflator = vec![false; self.torrents.len()];
        for session in
            self.sessions.iter().filter(|session| self.members[session.member].kind == Kind::Inflator)
        {
            has_inflator[session.torrent] |= session.sent > 0.0;
        }
        for session in self.sessions.iter().filter(|session| has_inflator[session.torrent]) {
            self.members[session.member].met_inflators = true;
        }
        for (slot, own) in (0..).zip(&mut self.members) {
            let Some(view) = self.analyst.view(slot) else { continue };
            own.was_exaggerating |= view.is_exaggerating;
            if self.now > 3 * DAY_SECS {
                own.hours += 1;
                let is_kept_out =
                    (view.is_doubted || view.is_exaggerating) && view.score >= view.thresholds[1];
                own.hours_doubted += u32::from(is_kept_out);
            }
        }
    }

    fn start_downloads(&mut self) {
        for number in 0..self.members.len() {
            if self.members[number].next_download <= self.now {
                self.members[number].next_download = u32::MAX;
                // Some torrents are wanted more than others.
                let torrent = whole(self.rng.f64().powi(2) * self.torrents.len() as f64);
                let has =
                    self.sessions.iter().any(|other| (other.member, other.torrent) == (number, torrent));
                if has {
                    self.members[number].next_download = self.now + 3600;
                } else {
                    self.open(number, torrent, false);
                }
            }
        }
    }

    /// A client begins, with everything or nothing.
    fn open(&mut self, member: usize, torrent: usize, is_seed: bool) {
        if self.sessions.iter().any(|other| (other.member, other.torrent) == (member, torrent)) {
            return;
        }
        self.sessions.push(Session {
            member,
            torrent,
            have: if is_seed { self.torrents[torrent] } else { 0.0 },
            sent: 0.0,
            got: 0.0,
            made_up: 0.0,
            run: 0,
            announces: 1,
            // Not all at once.
            next_announce: self.now + self.rng.u32(10..1800),
            announced: self.now,
            seeds_until: u32::MAX,
            is_over: false,
        });
        // Before anything is sent: whoever sends it was told of.
        self.announce(self.sessions.len() - 1, Event::Started);
    }

    /// Everybody sends what they can to whoever lacks something.
    fn transfer(&mut self) {
        let secs = f64::from(STEP_SECS);
        let mut wanted = vec![0.0; self.torrents.len()];
        let mut leechers = vec![0_u32; self.torrents.len()];
        for session in &self.sessions {
            let lacks = self.torrents[session.torrent] - session.have;
            if lacks > 0.0 {
                wanted[session.torrent] += lacks.min(self.members[session.member].down * secs);
                leechers[session.torrent] += 1;
            }
        }
        // An uplink is shared by the torrents in which somebody else wants something.
        let is_asked = |session: &Session, lacks: bool| leechers[session.torrent] > u32::from(lacks);
        let lacks = |session: &Session| session.have < self.torrents[session.torrent];
        let mut asked = vec![0_u32; self.members.len()];
        for session in self.sessions.iter().filter(|session| is_asked(session, lacks(session))) {
            asked[session.member] += 1;
        }
        let offers: Vec<f64> = self
            .sessions
            .iter()
            .map(|session| {
                let has = session.have >= self.torrents[session.torrent] || session.have > 1e7;
                let is_asked = has && is_asked(session, lacks(session));
                let share = self.members[session.member].up * secs / f64::from(asked[session.member].max(1));
                if is_asked { share } else { 0.0 }
            })
            .collect();
        let mut offered = vec![0.0; self.torrents.len()];
        self.sessions.iter().zip(&offers).for_each(|(session, offer)| offered[session.torrent] += offer);
        for (session, offer) in self.sessions.iter_mut().zip(offers) {
            let torrent = session.torrent;
            let moved = f64::min(wanted[torrent], offered[torrent]);
            if moved <= 0.0 {
                continue;
            }
            let sent = offer * moved / offered[torrent];
            session.sent += sent;
            self.members[session.member].sent += sent / MIB;
            let lacks = self.torrents[torrent] - session.have;
            if lacks > 0.0 {
                let got = lacks.min(self.members[session.member].down * secs) * moved / wanted[torrent];
                session.got += got;
                session.have = (session.have + got * (1.0 - WASTE)).min(self.torrents[torrent]);
                // The last bytes are not worth a step.
                if self.torrents[torrent] - session.have < 1e5 {
                    session.have = self.torrents[torrent];
                }
            }
        }
        let left = (-secs / 2_592_000.0_f64).exp2();
        self.members.iter_mut().for_each(|member| member.sent *= left);
    }

    /// A client says what is due.
    fn speak(&mut self, number: usize) {
        let session = &mut self.sessions[number];
        let member = &mut self.members[session.member];
        let kind = member.kind;
        if kind.downloads()
            && session.have >= self.torrents[session.torrent]
            && session.seeds_until == u32::MAX
        {
            session.seeds_until = self.now + kind.seeds_secs();
            let pause = -PAUSE_SECS * (1.0 - self.rng.f64()).ln();
            member.next_download = self.now + u32::try_from(whole(pause)).unwrap_or(u32::MAX / 2);
            self.announce(number, Event::Completed);
        }
        let session = &self.sessions[number];
        if session.seeds_until <= self.now {
            self.announce(number, Event::Stopped);
            self.sessions[number].is_over = true;
            return;
        }
        while self.sessions[number].next_announce <= self.now {
            self.announce_regularly(number, kind);
        }
    }

    fn announce_regularly(&mut self, number: usize, kind: Kind) {
        let session = &mut self.sessions[number];
        session.announces += 1;
        let spread = if kind == Kind::Jumper { 0 } else { self.rng.u32(..360) };
        session.next_announce += kind.interval_secs(session.announces) + spread.saturating_sub(180);
        if kind == Kind::Unlucky {
            if self.rng.f64() < 0.12 {
                return;
            }
            if self.rng.f64() < 0.02 {
                return self.restart(number);
            }
        }
        if kind == Kind::Replayer {
            // Its counters go on; only the session is new, each time.
            self.announce(number, Event::Stopped);
            self.announce(number, Event::Started);
            return;
        }
        self.announce(number, Event::Update);
    }

    /// A client dies, four times in ten without a word, and begins anew.
    fn restart(&mut self, number: usize) {
        if self.rng.f64() < 0.6 {
            self.announce(number, Event::Stopped);
        }
        let session = &mut self.sessions[number];
        (session.sent, session.got, session.made_up) = (0.0, 0.0, 0.0);
        session.run = session.run.wrapping_add(1);
        self.announce(number, Event::Started);
    }

    fn announce(&mut self, number: usize, event: Event) {
        let session = &mut self.sessions[number];
        let member = &self.members[session.member];
        // In the middle of a step, so far as that is known.
        let now = session.next_announce.min(self.now).max(session.announced);
        let (factor, each) = member.kind.claims();
        let is_seed = session.have >= self.torrents[session.torrent];
        if is_seed || member.kind == Kind::Replayer {
            session.made_up += each * f64::from(now - session.announced);
        }
        session.announced = now;
        let bytes = |amount: f64| whole(amount) as u64;
        let lacks = bytes(self.torrents[session.torrent] - session.have);
        let left = match (member.kind, event) {
            (Kind::Silent, _) => bytes(self.torrents[session.torrent]),
            (Kind::Poisoner, Event::Started) => 1 << 50,
            _ => lacks,
        };
        let mut info_hash = InfoHash([7; 20]);
        info_hash.0[..8].copy_from_slice(&(session.torrent as u64).to_be_bytes());
        let mut peer_id = PeerId(*b"-EK0001-000000000000");
        peer_id.0[8..16].copy_from_slice(&(session.member as u64).to_be_bytes());
        peer_id.0[16] = session.run;
        let ask = Announce {
            uploaded: bytes(session.sent * factor + session.made_up),
            downloaded: if member.kind == Kind::Silent { 0 } else { bytes(session.got) },
            event,
            ..update(info_hash, peer_id, left, 0)
        };
        let slot = u32::try_from(session.member).unwrap_or(u32::MAX);
        let [_, high, middle, low] = slot.to_be_bytes();
        let identity = Identity { slot: Some(slot), tier: member.tier, ..Identity::default() };
        self.door.now = Time(now);
        self.door.announce([20, high, middle, low, 0x1A, 0xE1], identity, &ask);
        if let Some(said) = &self.door.observation {
            self.analyst.observe(said);
        }
    }
}

impl Member {
    fn new(kind: Kind, number: usize, rng: &mut Rng) -> Self {
        let (up, down) =
            if kind == Kind::Publisher { (PUBLISHERS_UP, 1.0) } else { LINES[number % LINES.len()] };
        Self {
            kind,
            up: if kind.sends() { up } else { 0.0 },
            down,
            next_download: if kind.downloads() { rng.u32(..8 * 3600) } else { u32::MAX },
            sent: 0.0,
            tier: Tier::NEWEST,
            highest: 0,
            rose: None,
            hours: 0,
            hours_doubted: 0,
            met_inflators: false,
            was_exaggerating: false,
        }
    }
}

/// Rounded down, from 0 up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast that ends at the bounds is meant"
)]
fn whole(number: f64) -> usize {
    number as usize
}

impl Fate {
    fn of(member: &Member, view: &View) -> Self {
        Self {
            kind: member.kind,
            claimed: f64::from(view.raw.claimed_mib),
            sent: member.sent,
            credited: f64::from(view.raw.credited_mib),
            score: f64::from(view.score),
            tier: member.tier.number(),
            highest: member.highest,
            rose: member.rose.map(|secs| f64::from(secs) / 3600.0),
            doubted: f64::from(member.hours_doubted) / f64::from(member.hours.max(1)),
            met_inflators: member.met_inflators,
            was_exaggerating: member.was_exaggerating,
        }
    }
}
