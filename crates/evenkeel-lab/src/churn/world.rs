//! What must be true of all sockets together, and what was not.
//!
//! Counts are compared with bounds, since announces are under way while others come and go: at least those
//! that had their reply before this was asked and did not begin to leave since; at most those that began to
//! come and of whom it is not certain that the server knows of their end.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use evenkeel_wire::InfoHash;

use super::plan::{End, Plan, number_of};
use crate::population;
use crate::webtorrent::{OfferNumber, Relay};

/// How long a tracker has to answer, or to bring an answer to who offered. Long, for machines that are busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Mistakes whose text is kept.
const TEXTS_MAX: usize = 10;

/// What a tracker can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wrong {
    NotOpened,
    Broken,
    CloseUnanswered,
    Unanswered,
    Refused,
    Malformed,
    Counts,
    OfferToMaker,
    OfferAstray,
    OfferTwice,
    OfferChanged,
    AnswerAstray,
    AnswerTwice,
    AnswerChanged,
    AnswerLost,
}

impl Wrong {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotOpened => "sockets that could not be opened",
            Self::Broken => "sockets that behaved and broke",
            Self::CloseUnanswered => "closes without an answer",
            Self::Unanswered => "announces without a reply",
            Self::Refused => "announces that were refused",
            Self::Malformed => "messages that make no sense",
            Self::Counts => "counts that cannot be",
            Self::OfferToMaker => "offers that came back to their maker",
            Self::OfferAstray => "offers to who never joined the torrent",
            Self::OfferTwice => "offers handed to two peers",
            Self::OfferChanged => "offers changed on the way",
            Self::AnswerAstray => "answers to who did not offer",
            Self::AnswerTwice => "second answers to one offer",
            Self::AnswerChanged => "answers changed on the way",
            Self::AnswerLost => "answers that never came",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Counts {
    pub opened: u64,
    /// In the order of `End::ALL`.
    pub ends: [u64; End::ALL.len()],
    /// Those that never read, and how many of them the server closed.
    pub slow: u64,
    pub slow_closed: u64,
    /// Those that fell silent, were left open to the end of their time, and had been closed by the server.
    pub silent_closed: u64,
    pub announces: u64,
    pub replies: u64,
    pub offers_sent: u64,
    pub offers_received: u64,
    pub answers_sent: u64,
    pub answers_received: u64,
}

/// Peers of one torrent.
#[derive(Clone, Copy, Default)]
struct Presence {
    /// Certainly known to the server.
    sure: u64,
    /// Possibly known to it.
    possible: u64,
    /// How many ever ceased to be the one and the other.
    left: u64,
    gone: u64,
}

/// How things stood when an announce was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub at: Instant,
    least: u64,
    left: u64,
    gone: u64,
}

/// An open socket.
struct Maker {
    offers: Vec<Offer>,
    /// Reads, and has not begun to leave: an answer must reach it.
    is_reached: bool,
    awaited: HashMap<u32, (Instant, u32)>,
}

struct Offer {
    torrent: usize,
    is_handed: bool,
    is_answered: bool,
}

/// All sockets.
pub(super) struct World {
    hashes: Vec<InfoHash>,
    by_hash: HashMap<InfoHash, usize>,
    torrents: Vec<Presence>,
    makers: HashMap<u32, Maker>,
    pub counts: Counts,
    pub wrong: BTreeMap<Wrong, u64>,
    /// What the first mistakes were.
    pub texts: Vec<String>,
}

impl World {
    pub(super) fn new(seed: u64, torrents: u32) -> Self {
        let hashes: Vec<_> = (0..torrents).map(|torrent| population::info_hash(seed, torrent)).collect();
        Self {
            by_hash: hashes.iter().copied().zip(0..).collect(),
            torrents: vec![Presence::default(); hashes.len()],
            hashes,
            makers: HashMap::new(),
            counts: Counts::default(),
            wrong: BTreeMap::new(),
            texts: Vec::new(),
        }
    }

    /// A mistake of the tracker.
    pub(super) fn wrong(&mut self, what: Wrong, text: impl FnOnce() -> String) {
        *self.wrong.entry(what).or_default() += 1;
        if self.texts.len() < TEXTS_MAX {
            self.texts.push(format!("{}: {}", what.name(), text()));
        }
    }

    pub(super) fn hashes(&self) -> &[InfoHash] {
        &self.hashes
    }

    pub(super) fn torrent(&self, info_hash: &InfoHash) -> Option<usize> {
        self.by_hash.get(info_hash).copied()
    }

    /// Sockets that are open.
    pub(super) fn open_now(&self) -> usize {
        self.makers.len()
    }

    /// A socket opened.
    pub(super) fn open(&mut self, plan: &Plan) {
        self.counts.opened += 1;
        self.counts.slow += u64::from(!plan.reads);
        let maker = Maker { offers: Vec::new(), is_reached: plan.reads, awaited: HashMap::new() };
        self.makers.insert(plan.number, maker);
        for torrent in &plan.torrents {
            self.torrents[*torrent].possible += 1;
        }
    }

    /// A peer of this socket had its first reply.
    pub(super) fn settle(&mut self, torrent: usize) {
        self.torrents[torrent].sure += 1;
    }

    /// A socket begins to leave; `settled` are the torrents for which it had a reply.
    pub(super) fn leave(&mut self, number: u32, settled: impl Iterator<Item = usize>) {
        for torrent in settled {
            self.torrents[torrent].sure -= 1;
            self.torrents[torrent].left += 1;
        }
        if let Some(maker) = self.makers.get_mut(&number) {
            maker.is_reached = false;
            maker.awaited.clear();
        }
    }

    /// A socket is closed.
    pub(super) fn close(&mut self, number: u32) {
        self.makers.remove(&number);
    }

    /// The server must know that the peers of a socket have left.
    pub(super) fn gone(&mut self, torrents: &[usize]) {
        for torrent in torrents {
            self.torrents[*torrent].possible -= 1;
            self.torrents[*torrent].gone += 1;
        }
    }

    /// An announce is sent. `is_counted`: it makes a peer known that was not known yet.
    pub(super) fn ask(&mut self, torrent: usize, is_counted: bool) -> Asked {
        self.counts.announces += 1;
        let Presence { sure, left, gone, .. } = self.torrents[torrent];
        Asked { at: Instant::now(), least: sure + u64::from(is_counted), left, gone }
    }

    /// An announce was answered.
    pub(super) fn reply(&mut self, torrent: usize, asked: &Asked, peers: u64) {
        self.counts.replies += 1;
        let now = self.torrents[torrent];
        let least = asked.least.saturating_sub(now.left - asked.left);
        let most = now.possible + (now.gone - asked.gone);
        if !(least..=most).contains(&peers) {
            self.wrong(Wrong::Counts, || format!("{peers} peers where {least} to {most} can be"));
        }
    }

    /// A socket makes offers; answers the number of the first.
    pub(super) fn offer(&mut self, maker: u32, torrent: usize, offers: u32) -> OfferNumber {
        self.counts.offers_sent += u64::from(offers);
        let Some(known) = self.makers.get_mut(&maker) else { return OfferNumber { maker, count: 0 } };
        let count = u32::try_from(known.offers.len()).unwrap_or(u32::MAX);
        let new = || Offer { torrent, is_handed: false, is_answered: false };
        known.offers.extend((0..offers).map(|_| new()));
        OfferNumber { maker, count }
    }

    /// An offer reached a socket. Answers its number when it may be answered.
    pub(super) fn hear_offer(&mut self, plan: &Plan, relay: &Relay<'_>) -> Option<OfferNumber> {
        self.counts.offers_received += 1;
        let me = plan.number;
        let number = relay.number().filter(|number| number_of(&relay.peer_id) == Some(number.maker));
        let Some(number) = number else {
            self.wrong(Wrong::OfferChanged, || format!("socket {me} got {relay:?}"));
            return None;
        };
        if number.maker == me {
            self.wrong(Wrong::OfferToMaker, || format!("socket {me}, {number:?}"));
            return None;
        }
        let torrent = self.torrent(&relay.info_hash).filter(|torrent| plan.torrents.contains(torrent));
        if torrent.is_none() {
            self.wrong(Wrong::OfferAstray, || format!("socket {me}, {number:?}"));
            return None;
        }
        // One whose maker has closed meanwhile is not remembered.
        let known = self.makers.get_mut(&number.maker)?.offers.get_mut(number.count as usize);
        match known {
            Some(offer) if Some(offer.torrent) == torrent && !offer.is_handed => offer.is_handed = true,
            Some(offer) if offer.is_handed => {
                self.wrong(Wrong::OfferTwice, || format!("socket {me}, {number:?}"));
            }
            _ => self.wrong(Wrong::OfferChanged, || format!("{number:?} under another torrent")),
        }
        Some(number)
    }

    /// A socket answers an offer.
    pub(super) fn answer(&mut self, me: u32, offer: OfferNumber) {
        self.counts.answers_sent += 1;
        if let Some(maker) = self.makers.get_mut(&offer.maker).filter(|maker| maker.is_reached) {
            maker.awaited.insert(offer.count, (Instant::now(), me));
        }
    }

    /// An answer reached a socket.
    pub(super) fn hear_answer(&mut self, me: u32, relay: &Relay<'_>) {
        self.counts.answers_received += 1;
        let offer = OfferNumber::of(&relay.offer_id);
        let Some(offer) = offer.filter(|offer| relay.number() == Some(*offer)) else {
            self.wrong(Wrong::AnswerChanged, || format!("socket {me} got {relay:?}"));
            return;
        };
        let torrent = self.torrent(&relay.info_hash);
        let maker = self.makers.get_mut(&me).filter(|_| offer.maker == me);
        let Some((maker, at)) = maker.map(|maker| (maker, offer.count as usize)) else {
            self.wrong(Wrong::AnswerAstray, || format!("socket {me} got the answer to {offer:?}"));
            return;
        };
        maker.awaited.remove(&offer.count);
        match maker.offers.get_mut(at) {
            Some(known) if Some(known.torrent) == torrent && !known.is_answered => known.is_answered = true,
            Some(known) if known.is_answered => self.wrong(Wrong::AnswerTwice, || format!("{offer:?}")),
            _ => self.wrong(Wrong::AnswerChanged, || format!("{offer:?} under another torrent")),
        }
    }

    /// Looks for answers that should have come. One whose sender has left since may have left with it.
    pub(super) fn sweep(&mut self, patience: Duration) {
        let mut late = Vec::new();
        for (number, maker) in &mut self.makers {
            maker.awaited.retain(|count, (since, by)| {
                let is_late = since.elapsed() > patience;
                if is_late {
                    late.push((OfferNumber { maker: *number, count: *count }, *by));
                }
                !is_late
            });
        }
        late.retain(|(_, by)| self.makers.contains_key(by));
        for (offer, by) in late {
            self.wrong(Wrong::AnswerLost, || format!("the answer of socket {by} to {offer:?}"));
        }
    }
}

#[cfg(test)]
mod tests;
