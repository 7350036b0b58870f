//! Load over WebSockets: one thread, many sockets that stay open, offers and answers between them.
//!
//! A socket announces its torrents in turn, one at a time, and answers a share of the offers that reach it.
//! Before a load all sockets are open. A fill opens each at its first announce, so that what it costs the
//! server to hold one is part of what is measured; it measures memory, not speed.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use evenkeel_wire::{InfoHash, PeerId};
use socket2::Type;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::flight::{Asked, Kind};
use super::frames::{Frames, Room};
use super::guard::{Guard, Guarded};
use super::pace::Nanos;
use super::run::{self, Run, Walk};
use super::tally::Held;
use crate::population::Population;
use crate::sources::{Intent, Sources};
use crate::system::{Poller, Wake};
use crate::webtorrent::{self, Announcing, Heard, OfferNumber, Relay};

/// How long a server has for an upgrade.
const UPGRADE_PATIENCE: Duration = Duration::from_secs(10);

/// One socket, open or not.
struct Socket {
    source: usize,
    /// Its peers, as places in the list of its source.
    peers: Vec<usize>,
    peer_id: PeerId,
    walk: Walk,
    frames: Option<Frames>,
    asked: Option<(InfoHash, Asked)>,
    offers_made: u32,
}

/// The sockets, and what they share.
struct Load {
    from: Sources,
    guard: Guard,
    url: String,
    window: usize,
    poller: Poller,
    sockets: Vec<Socket>,
    idle: VecDeque<usize>,
    room: Room,
    /// What is said next.
    text: String,
}

/// Runs the load.
pub(crate) fn run(run: &mut Run<'_>, from: Sources) -> anyhow::Result<()> {
    let options = run.options;
    let sockets = sockets(run);
    let mut load = Load {
        from,
        guard: Guard::new(options.tls, sockets.len())?,
        url: format!("ws://{}{}", options.target, options.path),
        window: usize::from(options.window),
        poller: Poller::new()?,
        idle: (0..sockets.len()).collect(),
        room: Room::default(),
        text: String::new(),
        sockets,
    };
    if !options.fill {
        for token in 0..load.sockets.len() {
            load.open(token)?;
        }
    }
    run::drive(run, &mut load)
}

/// Deals out the peers of each source to sockets, no torrent twice on one.
fn sockets(run: &Run<'_>) -> Vec<Socket> {
    let room = usize::from(run.options.torrents_per_socket);
    let mut sockets = Vec::new();
    for source in 0..usize::from(run.options.shape.sources) {
        let all = run.population.of(source);
        let mut left: VecDeque<usize> = (0..all.len()).collect();
        while !left.is_empty() {
            let mut peers: Vec<usize> = Vec::with_capacity(room);
            // Those that find their torrent taken wait for the next socket.
            for _ in 0..left.len() {
                if peers.len() == room {
                    break;
                }
                let Some(peer) = left.pop_front() else { break };
                if peers.iter().any(|other| all[*other].torrent == all[peer].torrent) {
                    left.push_back(peer);
                } else {
                    peers.push(peer);
                }
            }
            sockets.push(Socket {
                source,
                peer_id: Population::peer_id(source, peers[0]),
                walk: Walk::new(peers.len(), run.options.fill),
                peers,
                frames: None,
                asked: None,
                offers_made: 0,
            });
        }
    }
    sockets
}

impl run::Load for Load {
    fn is_settled(&self) -> bool {
        self.idle.len() == self.sockets.len()
            && (self.sockets.iter()).all(|socket| !socket.walk.is_fill() || socket.walk.is_over())
    }

    /// Announces on the sockets that waited longest; answers on how many.
    fn ask(&mut self, run: &mut Run<'_>, now: Nanos) -> anyhow::Result<usize> {
        let mut asked = 0;
        // A socket that has nobody left to announce stays idle.
        for _ in 0..self.idle.len() {
            if run.pace.due(now) == 0 || self.sockets.len() - self.idle.len() >= self.window {
                break;
            }
            let Some(token) = self.idle.pop_front() else { break };
            let Some(turn) = self.sockets[token].walk.turn() else {
                self.idle.push_back(token);
                continue;
            };
            self.ask_one(run, token, turn)?;
            asked += 1;
        }
        Ok(asked)
    }

    fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }

    /// Reads what came to one socket, and writes what that brings, and what had no room.
    fn hear(&mut self, run: &mut Run<'_>, token: usize, now: Nanos) -> anyhow::Result<()> {
        let Self { sockets, idle, room, text: to_say, .. } = self;
        let socket = &mut sockets[token];
        let Some(mut frames) = socket.frames.take() else { return Ok(()) };
        let heard = frames.hear(room, |frames, text| {
            if socket.take(run, (&mut *frames, &mut *to_say), text, now) {
                idle.push_back(token);
            }
        });
        // All answers to what came together leave together.
        let done = heard.and_then(|()| Ok(frames.send()?));
        socket.frames = Some(frames);
        if let Err(error) = done {
            self.fail(run, token, &error.to_string());
        }
        Ok(())
    }

    /// Counts what was sent before `then` as lost.
    fn give_up(&mut self, run: &mut Run<'_>, then: Nanos) {
        for (token, socket) in self.sockets.iter_mut().enumerate() {
            let Some((_, asked)) = socket.asked.take_if(|(_, asked)| asked.sent < then) else { continue };
            self.idle.push_back(token);
            if socket.walk.repeat(asked.peer) {
                run.tally.repeated += 1;
            } else {
                run.tally.lost(asked.due);
            }
        }
    }
}

impl Load {
    /// Connects and upgrades, and waits for both.
    fn open(&mut self, token: usize) -> anyhow::Result<()> {
        let socket = &mut self.sockets[token];
        let tcp = self.from.socket(Type::STREAM, Intent::Good, u16::try_from(socket.source)?)?;
        let target = self.from.target();
        tcp.connect_timeout(&target.into(), UPGRADE_PATIENCE)
            .with_context(|| format!("cannot reach {target}"))?;
        let tcp: TcpStream = tcp.into();
        tcp.set_read_timeout(Some(UPGRADE_PATIENCE))?;
        let wire = self.guard.wrap(token, tcp)?;
        let Blocking(wire) = webtorrent::upgrade_now(&self.url, Blocking(wire))?.into_inner();
        wire.tcp().set_nonblocking(true)?;
        self.poller.watch(&wire, token, Wake::Changes)?;
        socket.frames = Some(Frames::new(wire));
        Ok(())
    }

    /// Asks whose turn it is on one socket.
    fn ask_one(&mut self, run: &mut Run<'_>, token: usize, turn: usize) -> anyhow::Result<()> {
        let now = run.now();
        let due = run.pace.take(now);
        if self.sockets[token].frames.is_none() {
            self.open(token)?;
            run.tally.connections += u64::from(run.tally.holds(now));
        }
        let socket = &mut self.sockets[token];
        let said = run.said(socket.source, socket.peers[turn]);
        let is_scrape = run.draws_scrape();
        self.text.clear();
        if is_scrape {
            self.text.push_str(&webtorrent::scrape(&[said.info_hash]));
        } else {
            let offers = u32::from(run.options.offers);
            let first = OfferNumber { maker: u32::try_from(token)?, count: socket.offers_made };
            socket.offers_made = socket.offers_made.wrapping_add(offers);
            run.tally.relay(now, |relayed| relayed.offers_sent += u64::from(offers));
            let event = if said.is_start { "started" } else { "" };
            let (info_hash, left) = (&said.info_hash, said.left());
            let said = Announcing { info_hash, peer_id: &socket.peer_id, left, event };
            webtorrent::write_announce(&mut self.text, &said, first, offers);
        }
        let kind = if is_scrape { Kind::Scrape } else { Kind::Announce };
        socket.asked = Some((said.info_hash, Asked { kind, peer: turn, due, sent: now }));
        let sent = socket.frames.as_mut().map_or(Ok(()), |frames| {
            frames.say(&self.text, &mut run.rng);
            frames.send()
        });
        if let Err(error) = sent {
            self.fail(run, token, &error.to_string());
        }
        Ok(())
    }

    /// The socket broke; its next turn opens it anew.
    fn fail(&mut self, run: &mut Run<'_>, token: usize, text: &str) {
        let socket = &mut self.sockets[token];
        socket.frames = None;
        let now = run.now();
        run.tally.error(now, || text.to_owned());
        if let Some((_, asked)) = socket.asked.take() {
            run.tally.repeated += u64::from(socket.walk.repeat(asked.peer));
            self.idle.push_back(token);
        }
    }
}

impl Socket {
    /// Takes one message, and answers some; says whether it was the reply that the socket waited for.
    fn take(&mut self, run: &mut Run<'_>, to: (&mut Frames, &mut String), text: &str, now: Nanos) -> bool {
        let (kind, hash) = match webtorrent::read(text) {
            Ok(Heard::Counts { info_hash, .. }) => (Kind::Announce, Some(info_hash)),
            Ok(Heard::Scraped(files)) => (Kind::Scrape, files.first().map(|(info_hash, _)| *info_hash)),
            Ok(Heard::Offer(offer)) => {
                run.tally.relay(now, |relayed| relayed.offers_received += 1);
                self.answer(run, to, &offer, now);
                return false;
            }
            Ok(Heard::Answer(_)) => {
                run.tally.relay(now, |relayed| relayed.answers_received += 1);
                return false;
            }
            refusal => {
                run.tally.error(now, || match refusal {
                    Ok(Heard::Failure(reason)) => reason.into_owned(),
                    other => format!("{other:?}"),
                });
                return self.asked.take().is_some();
            }
        };
        let is_awaited = |(awaited, asked): &mut (InfoHash, Asked)| {
            asked.kind == kind && hash.is_none_or(|hash| hash == *awaited)
        };
        let Some((_, asked)) = self.asked.take_if(is_awaited) else {
            run.tally.unexpected += 1;
            return false;
        };
        let held = if kind == Kind::Announce { Held::Peers(0) } else { Held::Counts };
        run.tally.reply(asked.due, now, held, text.len());
        true
    }

    fn answer(
        &self,
        run: &mut Run<'_>,
        (frames, text): (&mut Frames, &mut String),
        offer: &Relay<'_>,
        now: Nanos,
    ) {
        if run.rng.f64() >= run.options.answers {
            return;
        }
        let number = OfferNumber::of(&offer.offer_id).unwrap_or(OfferNumber { maker: 0, count: 0 });
        run.tally.relay(now, |relayed| relayed.answers_sent += 1);
        text.clear();
        webtorrent::write_answer(text, offer, &self.peer_id, number);
        frames.say(text, &mut run.rng);
    }
}

/// A stream that waits until it has what is asked of it: for an upgrade, before there is a poller.
#[derive(Debug)]
struct Blocking(Guarded);

impl AsyncRead for Blocking {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.read(buf.initialize_unfilled()).map(|read| buf.advance(read)))
    }
}

impl AsyncWrite for Blocking {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.shut())
    }
}
