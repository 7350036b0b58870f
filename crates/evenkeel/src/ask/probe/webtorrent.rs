//! Peers of WebTorrent, which nobody can dial: the tracker hands the offers of each to others, and brings the
//! answers back.
//!
//! No BEP describes this; what is asked for is what the reference implementation does and browsers rely on. A
//! tracker may keep the offers of seeders from seeders: there is one seeder here, so that both kinds pass.

use std::time::Duration;

use evenkeel_client::ws::{Answer, Offer, OfferId, Relay, Relays, Session};
use evenkeel_client::{Announce, AnnounceResponse, Error, Event, PeerId};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};

use super::Probe;

/// The peers, in the order in which they join.
const SEEDER: usize = 0;
const FIRST: usize = 1;
const SECOND: usize = 2;

/// More offers and answers are not listened to; a tracker that works sends fewer than ten.
const HEARD_MAX: usize = 256;

/// The steps, in order; an error ends them.
pub(super) async fn look(probe: &mut Probe<'_>) -> Result<(), Error> {
    let mut trio = Trio::connect(probe).await?;
    trio.announce(SEEDER, Event::Started, &[]).await?;
    probe.note(true, "a seeder announces and is answered");

    let answer = trio.offer(FIRST, Event::Started).await?;
    probe.check_counts(&answer, (1, 1));
    trio.listen(Trio::everybody_is_heard).await?;
    let meets = trio.everybody_is_heard();
    probe.judge(
        meets,
        "a leecher's offer reaches the seeder",
        "a leecher's offer does not reach the seeder: peers do not find each other",
    );

    trio.offer(SECOND, Event::Started).await?;
    trio.offer(SEEDER, Event::Update).await?;
    if meets {
        trio.listen(Trio::everybody_is_heard).await?;
        judge(probe, trio.check_offers(), "each offer reaches one other peer, as it was made");
        trio.answer().await?;
        trio.listen(|trio| trio.answers().count() >= trio.made.len()).await?;
        judge(probe, trio.check_answers(), "each answer goes back to the peer that made the offer, once");
    }
    if trio.hears_itself() {
        probe.note(false, "a caller is handed its own offer");
    }

    probe.check_scrape((1, 2), "with three peers", Duration::ZERO).await?;
    trio.announce(SECOND, Event::Stopped, &[]).await?;
    probe.check_scrape((1, 1), "after one has said that it stopped", Duration::ZERO).await?;
    // The others leave as browsers do. The tracker hears of it when it hears of it.
    drop(trio);
    probe.check_scrape((0, 0), "after the others have closed their sockets", probe.patience).await
}

fn judge(probe: &mut Probe<'_>, checked: Result<(), String>, well: &str) {
    match checked {
        Ok(()) => probe.note(true, well),
        Err(unwell) => probe.note(false, &unwell),
    }
}

/// A peer with a socket of its own.
struct Peer {
    announce: Announce,
    session: Session,
    relays: Relays,
}

/// An offer, and the place of the peer that made it.
struct Made {
    by: usize,
    offer: Offer,
}

/// Three peers, what they offered, and what each of them heard.
struct Trio {
    peers: [Peer; 3],
    joined: usize,
    made: Vec<Made>,
    heard: Vec<(usize, Relay)>,
    patience: Duration,
}

impl Trio {
    async fn connect(probe: &Probe<'_>) -> Result<Self, Error> {
        let connect = async |left| {
            let (session, relays) = Session::connect(&probe.client, probe.url).await?;
            // A peer that nobody dials has no port; none is sent.
            Ok::<_, Error>(Peer { announce: probe.peer(0, left), session, relays })
        };
        let peers = [connect(0).await?, connect(1).await?, connect(1).await?];
        Ok(Self { peers, joined: 0, made: Vec::new(), heard: Vec::new(), patience: probe.patience })
    }

    async fn announce(
        &mut self,
        by: usize,
        event: Event,
        offers: &[Offer],
    ) -> Result<AnnounceResponse, Error> {
        self.joined = self.joined.max(by + 1);
        let Peer { announce, session, .. } = &self.peers[by];
        session.announce(&Announce { event, ..announce.clone() }, offers).await
    }

    /// Announces with one offer.
    async fn offer(&mut self, by: usize, event: Event) -> Result<AnnounceResponse, Error> {
        let offer = Offer::new(description("offer", self.made.len()))?;
        self.made.push(Made { by, offer: offer.clone() });
        self.announce(by, event, &[offer]).await
    }

    /// Waits for what the peers are to hear, as long as for any answer, and then for what they must not hear.
    async fn listen(&mut self, enough: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let limit = Instant::now() + self.patience;
        while !enough(self) && self.heard.len() < HEARD_MAX {
            let Ok(heard) = timeout_at(limit, self.hear()).await else { break };
            heard?;
        }
        // A socket keeps the order: what comes by mistake comes before the answer to another question.
        for by in 0..self.joined {
            self.announce(by, Event::Update, &[]).await?;
        }
        while self.heard.len() < HEARD_MAX
            && let Ok(heard) = timeout(Duration::ZERO, self.hear()).await
        {
            heard?;
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), Error> {
        let [seeder, first, second] = &mut self.peers;
        let (by, relay) = tokio::select! {
            relay = seeder.relays.recv() => (SEEDER, relay),
            relay = first.relays.recv() => (FIRST, relay),
            relay = second.relays.recv() => (SECOND, relay),
        };
        self.heard.push((by, relay.ok_or(Error::Closed)?));
        Ok(())
    }

    /// Who heard this offer: the place, whose the offer is said to be, and its text.
    fn receivers(&self, id: OfferId) -> impl Iterator<Item = (usize, PeerId, &str)> {
        self.heard.iter().filter_map(move |(by, relay)| match relay {
            Relay::Offer { offer_id, peer_id, json, .. } if *offer_id == id => {
                Some((*by, *peer_id, json.as_str()))
            }
            _ => None,
        })
    }

    /// The same without the peer that made it.
    fn others(&self, made: &Made) -> impl Iterator<Item = (usize, PeerId, &str)> {
        self.receivers(made.offer.id).filter(|(by, ..)| *by != made.by)
    }

    fn everybody_is_heard(&self) -> bool {
        self.made.iter().all(|made| self.others(made).next().is_some())
    }

    fn hears_itself(&self) -> bool {
        self.made.iter().any(|made| self.receivers(made.offer.id).any(|(by, ..)| by == made.by))
    }

    fn check_offers(&self) -> Result<(), String> {
        for made in &self.made {
            match self.others(made).count() {
                0 => return Err("an offer reaches nobody, though two others are there".into()),
                1 => {}
                times => return Err(format!("an offer is handed on {times} times: each is for one peer")),
            }
            let sender = self.peers[made.by].announce.peer_id;
            for (_, peer_id, json) in self.others(made) {
                if peer_id != sender {
                    return Err("an offer is handed on in the name of another peer".into());
                }
                if !is_same(json, &made.offer.json) {
                    return Err("an offer is changed on its way".into());
                }
            }
        }
        Ok(())
    }

    /// Whoever heard an offer answers it; if several did, the first.
    async fn answer(&self) -> Result<(), Error> {
        for (number, made) in self.made.iter().enumerate() {
            let Some((by, ..)) = self.others(made).next() else { continue };
            let to_peer_id = self.peers[made.by].announce.peer_id;
            let Peer { announce, session, .. } = &self.peers[by];
            let Announce { info_hash, peer_id, .. } = *announce;
            let json = description("answer", number);
            session.answer(&Answer { info_hash, peer_id, to_peer_id, offer_id: made.offer.id, json }).await?;
        }
        Ok(())
    }

    /// Who heard which answer: the place, the offer's number, whose the answer is said to be, and its text.
    fn answers(&self) -> impl Iterator<Item = (usize, OfferId, PeerId, &str)> {
        self.heard.iter().filter_map(|(by, relay)| match relay {
            Relay::Answer { offer_id, peer_id, json, .. } => Some((*by, *offer_id, *peer_id, json.as_str())),
            _ => None,
        })
    }

    fn check_answers(&self) -> Result<(), String> {
        let is_for = |made: &Made, by, id| made.by == by && made.offer.id == id;
        if self.answers().any(|(by, id, ..)| !self.made.iter().any(|made| is_for(made, by, id))) {
            return Err("an answer goes to a peer that did not make the offer".into());
        }
        for (number, made) in self.made.iter().enumerate() {
            // An offer that nobody heard is a finding already.
            let Some((answerer, ..)) = self.others(made).next() else { continue };
            let back: Vec<_> = self.answers().filter(|(by, id, ..)| is_for(made, *by, *id)).collect();
            let [(.., peer_id, json)] = back[..] else {
                return Err(if back.is_empty() {
                    "an answer does not come back to the peer that made the offer".into()
                } else {
                    format!("an answer comes back {} times", back.len())
                });
            };
            if peer_id != self.peers[answerer].announce.peer_id
                || !is_same(json, &description("answer", number))
            {
                return Err("an answer is changed on its way".into());
            }
        }
        Ok(())
    }
}

/// What looks like a session description of WebRTC; no two are the same.
fn description(kind: &str, number: usize) -> String {
    let sdp =
        format!("v=0\r\no=- {number} 2 IN IP4 127.0.0.1\r\ns=evenkeel probe \u{2013} {kind}\r\nt=0 0\r\n");
    json!({ "type": kind, "sdp": sdp }).to_string()
}

/// A tracker may write JSON anew: what counts is what it says.
fn is_same(one: &str, other: &str) -> bool {
    let read = |text| serde_json::from_str::<Value>(text).ok();
    read(one) == read(other)
}
