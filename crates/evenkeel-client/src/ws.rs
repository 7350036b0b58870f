//! WebTorrent: a conversation over one WebSocket, in which the tracker also passes on what peers say to
//! each other.
//!
//! Peers in browsers cannot be dialled. A peer therefore announces with *offers* (WebRTC session
//! descriptions); the tracker gives each of them to another peer, and brings that peer's *answer* back. This
//! module carries both as raw JSON and never looks inside.
//!
//! No BEP describes this dialect; the reference is the npm package `bittorrent-tracker`. Info hashes, peer ids
//! and offer ids are strings of 20 characters from U+0000 to U+00FF, one for each byte.
//!
//! ```no_run
//! use evenkeel_client::ws::{Answer, Offer, Relay, Session};
//! use evenkeel_client::{Announce, Client, Error};
//!
//! # async fn wait_for_peers(me: Announce) -> Result<(), Error> {
//! let (session, mut relays) = Session::connect(&Client::new(), "wss://tracker.example").await?;
//! let offer = Offer::new(r#"{"type":"offer","sdp":"..."}"#)?;
//! let response = session.announce(&me, &[offer]).await?;
//! println!("{:?} seeders", response.seeders);
//! while let Some(relay) = relays.recv().await {
//!     if let Relay::Offer { info_hash, peer_id: to_peer_id, offer_id, json: _ } = relay {
//!         let json = r#"{"type":"answer","sdp":"..."}"#.into(); // made from the offer by WebRTC
//!         session.answer(&Answer { info_hash, peer_id: me.peer_id, to_peer_id, offer_id, json }).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod driver;
mod message;

pub use evenkeel_wire::OfferId;
use evenkeel_wire::limits::SCRAPE_HASHES_MAX;
use evenkeel_wire::{Announce, InfoHash, PeerId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use url::Url;

use crate::tracker::{parse_ws, some};
use crate::{AnnounceResponse, Client, Error, ScrapeResponse};
use driver::{Command, Expect};
use message::Reply;

/// Relays that wait to be read; more are dropped, as offers go stale within a minute anyway.
const RELAYS_MAX: usize = 256;

/// An offer for some other peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Comes back with the answer.
    pub id: OfferId,
    /// JSON text, usually `{"type":"offer","sdp":"..."}`.
    pub json: String,
}

impl Offer {
    /// An offer with an id that nobody can guess.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the system has no random numbers.
    pub fn new(json: impl Into<String>) -> Result<Self, Error> {
        let mut id = OfferId([0; 20]);
        getrandom::fill(&mut id.0)
            .map_err(|error| Error::Io { doing: "draw a random number", source: error.into() })?;
        Ok(Self { id, json: json.into() })
    }
}

/// An answer to an offer that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The torrent of the offer.
    pub info_hash: InfoHash,
    /// The caller's own peer id.
    pub peer_id: PeerId,
    /// Whose offer it is: `peer_id` of the [`Relay::Offer`].
    pub to_peer_id: PeerId,
    /// Which offer it is.
    pub offer_id: OfferId,
    /// JSON text, usually `{"type":"answer","sdp":"..."}`.
    pub json: String,
}

/// What another peer said. All of it comes from a stranger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relay {
    /// Somebody wants to connect; reply with [`Session::answer`].
    Offer {
        /// The torrent.
        info_hash: InfoHash,
        /// Who offers.
        peer_id: PeerId,
        /// Which offer it is.
        offer_id: OfferId,
        /// The offer, as JSON text.
        json: String,
    },
    /// Somebody took one of the caller's offers.
    Answer {
        /// The torrent.
        info_hash: InfoHash,
        /// Who answers.
        peer_id: PeerId,
        /// Which offer is answered.
        offer_id: OfferId,
        /// The answer, as JSON text.
        json: String,
    },
}

/// Offers and answers of other peers, in the order in which they come.
#[derive(Debug)]
pub struct Relays {
    receiver: mpsc::Receiver<Relay>,
}

impl Relays {
    /// The next one, or `None` after the connection ended. Safe to cancel.
    ///
    /// At most 256 wait here; those that come while it is full are dropped.
    pub async fn recv(&mut self) -> Option<Relay> {
        self.receiver.recv().await
    }
}

/// A connection to a WebTorrent tracker. Cheap to clone; the connection closes when the last clone is dropped.
///
/// A task of its own reads the socket, so that the tracker's pings are answered even while nobody calls.
#[derive(Clone, Debug)]
pub struct Session {
    client: Client,
    commands: mpsc::Sender<Command>,
}

impl Session {
    /// Connects to a `ws` or `wss` URL. Redirects are not followed.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedScheme`] for other URLs, [`Error::Status`] when the server does not speak
    /// WebSocket there, and the errors of connecting.
    pub async fn connect(client: &Client, announce_url: &str) -> Result<(Self, Relays), Error> {
        Self::open(client, &parse_ws(announce_url)?).await
    }

    async fn open(client: &Client, url: &Url) -> Result<(Self, Relays), Error> {
        let limit = client.settings().request_timeout;
        let socket = timeout(limit, driver::connect(client, url)).await.unwrap_or(Err(Error::Timeout))?;
        let (commands, queue) = mpsc::channel(1);
        let (sender, receiver) = mpsc::channel(RELAYS_MAX);
        tokio::spawn(driver::drive(socket, queue, sender, limit));
        Ok((Self { client: client.clone(), commands }, Relays { receiver }))
    }

    /// Announces a peer, and hands the tracker offers for others. Trackers take 10 to 20 offers; the rest is
    /// lost. [`Announce::numwant`] and [`Announce::port`] are not sent: each offer asks for one peer.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] when an offer is not JSON, [`Error::Tracker`] for a refusal,
    /// [`Error::Timeout`] when no answer came within the request time-out, [`Error::Closed`].
    pub async fn announce(&self, announce: &Announce, offers: &[Offer]) -> Result<AnnounceResponse, Error> {
        let text = message::announce(announce, offers)?;
        match self.ask(text, Some(Expect::Announce(announce.info_hash))).await? {
            Reply::Announce(response) => Ok(response),
            _ => Err(Error::Malformed("the reply is to another action")),
        }
    }

    /// Sends an answer to an offer. Trackers do not confirm it: `Ok` says that it was sent.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] when the answer is not JSON, [`Error::Timeout`], [`Error::Closed`].
    pub async fn answer(&self, answer: &Answer) -> Result<(), Error> {
        self.ask(message::answer(answer)?, None).await.map(drop)
    }

    /// Asks for the counts of torrents; see [`Tracker::scrape`](crate::Tracker::scrape).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] when `info_hashes` is empty, [`Error::Tracker`], [`Error::Timeout`],
    /// [`Error::Closed`].
    pub async fn scrape(&self, info_hashes: &[InfoHash]) -> Result<ScrapeResponse, Error> {
        some(info_hashes)?;
        let mut response = ScrapeResponse::default();
        for chunk in info_hashes.chunks(SCRAPE_HASHES_MAX) {
            match self.ask(message::scrape(chunk)?, Some(Expect::Scrape)).await? {
                Reply::Scrape(mut part) => {
                    part.torrents.retain(|info_hash, _| chunk.contains(info_hash));
                    response.merge(part);
                }
                _ => return Err(Error::Malformed("the reply is to another action")),
            }
        }
        Ok(response)
    }

    async fn ask(&self, text: String, expect: Option<Expect>) -> Result<Reply, Error> {
        let exchange = async {
            let (done, reply) = oneshot::channel();
            self.commands.send(Command { text, expect, done }).await.map_err(|_| Error::Closed)?;
            reply.await.unwrap_or(Err(Error::Closed))
        };
        timeout(self.client.settings().request_timeout, exchange).await.unwrap_or(Err(Error::Timeout))
    }
}

/// Reads text of a stranger as a message. Whatever a relay holds can be answered.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_strange(text: &str) {
    match message::read(text) {
        Ok(message::Incoming::Relay(Relay::Offer { info_hash, peer_id, offer_id, json })) => {
            let answer = Answer { info_hash, peer_id, to_peer_id: peer_id, offer_id, json };
            let answer = message::answer(&answer).expect("what was read as JSON is JSON");
            let read = message::read(&answer);
            assert!(matches!(read, Ok(message::Incoming::Relay(Relay::Answer { .. }))), "{read:?}");
        }
        Ok(message::Incoming::Reply(_, Reply::Announce(response))) => response.check(),
        _ => {}
    }
}

pub(crate) async fn announce_once(
    client: &Client,
    url: &Url,
    announce: &Announce,
) -> Result<AnnounceResponse, Error> {
    let (session, _relays) = Session::open(client, url).await?;
    session.announce(announce, &[]).await
}

pub(crate) async fn scrape_once(
    client: &Client,
    url: &Url,
    info_hashes: &[InfoHash],
) -> Result<ScrapeResponse, Error> {
    let (session, _relays) = Session::open(client, url).await?;
    session.scrape(info_hashes).await
}
