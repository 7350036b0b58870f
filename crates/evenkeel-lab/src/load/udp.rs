//! Load over UDP: one thread, many sockets, batches both ways.
//!
//! Each source has a connection id of its own, got as a client gets it and renewed before it is a minute old.
//! Hostile packets go out from sockets that never asked for an id, at addresses of their own: each byte that
//! comes back to one of them is an answer to somebody who has proven nothing.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::Type;

use super::flight::{Asked, Flight, Kind};
use super::pace::{Nanos, SECOND};
use super::packets::{self, Hostile};
use super::run::{self, Run, Walk};
use super::tally::Held;
use crate::population::Apart;
use crate::sources::{Intent, Sources};
use crate::system::{BATCH_MAX, HEAD_BYTES, Handing, Inbox, Outbox, Poller, Wake};

/// A client may use a connection id for a minute (BEP 15).
const ID_LASTS: Nanos = 50 * SECOND;

/// Requests that are sent in one go, when there is room for as many.
const BATCH: usize = 32;

/// Sockets that hostile packets come from.
const HOSTILE_SOCKETS: u16 = 2;

/// How often and how long an answer to a connect is waited for.
const CONNECT_TRIES: usize = 3;
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// One source of good requests.
struct Source {
    socket: UdpSocket,
    id: u64,
    id_since: Nanos,
    is_renewing: bool,
    flight: Flight,
    walk: Walk,
}

/// The sources, and what they share.
struct Load {
    poller: Poller,
    sources: Vec<Source>,
    hostile: Vec<UdpSocket>,
    /// Hostile packets that the share of good ones calls for.
    hostile_owed: f64,
    /// Kinds that can be told from good ones here.
    hostile_kinds: &'static [Hostile],
    handing: Handing,
    batch: usize,
    peer_bytes: usize,
    /// Source that is next in an open loop.
    next: usize,
    inbox: Inbox,
    outbox: Outbox,
    transactions: Vec<(u32, Nanos)>,
    /// An announce with a passkey, before it is sent.
    keyed: Vec<u8>,
}

/// Runs the load. Answers whether the server checks connection ids.
pub(crate) fn run(run: &mut Run<'_>, from: Sources) -> anyhow::Result<bool> {
    let mut load = Load::open(run, from)?;
    let checks_ids = checks_connection_ids(&load.sources[0], run)?;
    for (token, socket) in load.sources.iter().map(|source| &source.socket).chain(&load.hostile).enumerate() {
        socket.set_nonblocking(true)?;
        load.poller.watch(socket, token, Wake::Readable)?;
    }
    run::drive(run, &mut load)?;
    Ok(checks_ids)
}

impl run::Load for Load {
    fn is_settled(&self) -> bool {
        let is_done =
            |source: &Source| source.flight.is_empty() && (!source.walk.is_fill() || source.walk.is_over());
        self.sources.iter().all(is_done)
    }

    /// Sends what is due and finds room; answers how many packets.
    fn ask(&mut self, run: &mut Run<'_>, now: Nanos) -> anyhow::Result<usize> {
        let mut asked = 0;
        if run.pace.is_open() {
            let mut full = 0;
            while full < self.sources.len() {
                let due = usize::try_from(run.pace.due(now)).unwrap_or(usize::MAX);
                if due == 0 {
                    break;
                }
                let count = due.min(self.batch).min(self.sources[self.next].flight.room());
                let sent = if count > 0 { self.send(run, self.next, count, now)? } else { 0 };
                full = if sent > 0 { 0 } else { full + 1 };
                asked += sent;
                self.next = (self.next + 1) % self.sources.len();
            }
        } else {
            for at in 0..self.sources.len() {
                while self.sources[at].flight.room() >= self.batch {
                    let sent = self.send(run, at, self.batch, now)?;
                    if sent == 0 {
                        break;
                    }
                    asked += sent;
                }
            }
        }
        if run.options.hostile > 0.0 {
            self.hostile_owed += asked as f64 * run.options.hostile / (1.0 - run.options.hostile);
            self.attack(run)?;
        }
        Ok(asked)
    }

    /// Reads what came to one socket.
    fn hear(&mut self, run: &mut Run<'_>, token: usize, now: Nanos) -> anyhow::Result<()> {
        loop {
            let socket = match token.checked_sub(self.sources.len()) {
                None => &self.sources[token].socket,
                Some(hostile) => &self.hostile[hostile],
            };
            let received = match self.inbox.receive(socket) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => 0,
                Err(error) => return Err(error).context("cannot receive"),
            };
            for at in 0..received {
                let (head, len) = self.inbox.datagram(at);
                match self.sources.get_mut(token) {
                    Some(source) => source.take(run, (head, len), self.peer_bytes, now),
                    None => run.tally.hostile_bytes_back += len as u64,
                }
            }
            if received < BATCH_MAX {
                return Ok(());
            }
        }
    }

    /// Counts what was sent before `then` as lost.
    fn give_up(&mut self, run: &mut Run<'_>, then: Nanos) {
        for source in &mut self.sources {
            for asked in source.flight.expire(then) {
                if asked.kind == Kind::Connect {
                    source.is_renewing = false;
                    continue;
                }
                if source.walk.repeat(asked.peer) {
                    run.tally.repeated += 1;
                } else {
                    run.tally.lost(asked.due);
                }
            }
        }
    }

    fn poller(&mut self) -> &mut Poller {
        &mut self.poller
    }
}

impl Load {
    fn open(run: &Run<'_>, from: Sources) -> anyhow::Result<Self> {
        let options = run.options;
        let hostile_sockets = if options.hostile > 0.0 { HOSTILE_SOCKETS } else { 0 };
        Ok(Self {
            poller: Poller::new()?,
            sources: (0..options.shape.sources)
                .map(|at| {
                    let socket = open(from, Intent::Good, at)?;
                    Ok(Source {
                        id: shake_hands(&socket)
                            .with_context(|| format!("no connection id from {}", options.target))?,
                        socket,
                        id_since: 0,
                        is_renewing: false,
                        flight: Flight::new(options.window),
                        walk: Walk::new(run.population.of(at.into()).len(), options.fill),
                    })
                })
                .collect::<anyhow::Result<_>>()?,
            hostile: (0..hostile_sockets)
                .map(|at| open(from, Intent::Hostile, at))
                .collect::<anyhow::Result<_>>()?,
            hostile_owed: 0.0,
            // An id is good for its address: with one address for all there is nowhere to replay it from.
            hostile_kinds: if from.apart() == Apart::ByAddress { &Hostile::ALL } else { &Hostile::ALL[..3] },
            handing: if options.no_gso { Handing::One } else { Handing::Segmented },
            batch: BATCH.min(usize::from(options.window).div_ceil(2)),
            peer_bytes: if options.target.is_ipv4() { 6 } else { 18 },
            next: 0,
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            transactions: Vec::with_capacity(BATCH_MAX),
            keyed: Vec::new(),
        })
    }

    /// Sends up to `count` requests of one source; answers how many were sent.
    fn send(&mut self, run: &mut Run<'_>, at: usize, count: usize, now: Nanos) -> anyhow::Result<usize> {
        let source = &mut self.sources[at];
        self.outbox.clear();
        self.transactions.clear();
        while self.transactions.len() < count {
            let is_renewal = !source.is_renewing && now.saturating_sub(source.id_since) > ID_LASTS;
            let (kind, peer) = if is_renewal {
                source.is_renewing = true;
                (Kind::Connect, 0)
            } else {
                let Some(peer) = source.walk.turn() else { break };
                (if run.draws_scrape() { Kind::Scrape } else { Kind::Announce }, peer)
            };
            let due = if is_renewal { now } else { run.pace.take(now) };
            let asked = Asked { kind, peer, due, sent: now };
            let transaction = source.flight.depart(asked).context("no room was left for a request")?;
            self.transactions.push((transaction, due));
            match kind {
                Kind::Connect => self.outbox.push(&packets::connect(transaction)),
                Kind::Announce => {
                    let said = run.said(at, peer);
                    let packet = packets::announce(source.id, transaction, &said);
                    match &said.passkey {
                        None => self.outbox.push(&packet),
                        Some(passkey) => {
                            packets::announce_keyed(&mut self.keyed, &packet, passkey, &run.options.path);
                            self.outbox.push(&self.keyed);
                        }
                    }
                }
                Kind::Scrape => {
                    let torrent = run.population.of(at)[peer].torrent;
                    let info_hash = run.population.info_hash(torrent);
                    self.outbox.push(&packets::scrape(source.id, transaction, &info_hash));
                }
            }
        }
        let sent = match self.outbox.send(&source.socket, self.handing) {
            Ok(sent) => sent,
            // Answers of the system to earlier packets: the tracker is not there (any more).
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => 0,
            Err(error) => return Err(error).context("cannot send (does --no-gso help?)"),
        };
        for (transaction, due) in &self.transactions[sent..] {
            if let Some(asked) = source.flight.land(*transaction) {
                source.is_renewing &= asked.kind != Kind::Connect;
                source.walk.repeat(asked.peer);
                run.tally.unsent(*due);
            }
        }
        Ok(sent)
    }

    /// Sends the hostile packets that are owed, batch by batch.
    fn attack(&mut self, run: &mut Run<'_>) -> anyhow::Result<()> {
        while self.hostile_owed >= self.batch as f64 {
            self.hostile_owed -= self.batch as f64;
            let kind = self.hostile_kinds[run.rng.usize(..self.hostile_kinds.len())];
            let mut packet = [0; 256];
            let len = kind.len(&mut run.rng);
            self.outbox.clear();
            for _ in 0..self.batch {
                let said = run.said_by_anybody();
                let stolen = self.sources[run.rng.usize(..self.sources.len())].id;
                let good = packets::announce(stolen, run.rng.u32(..), &said);
                kind.write(&good, &mut packet[..len], &mut run.rng);
                self.outbox.push(&packet[..len]);
            }
            let socket = &self.hostile[run.rng.usize(..self.hostile.len())];
            match self.outbox.send(socket, self.handing) {
                Ok(sent) => run.tally.hostile_sent += sent as u64,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Err(error).context("cannot send hostile packets"),
            }
        }
        Ok(())
    }
}

impl Source {
    /// Takes one reply: its start, and how long it was.
    fn take(&mut self, run: &mut Run<'_>, (head, len): (&[u8], usize), peer_bytes: usize, now: Nanos) {
        let asked = word(head, 4).and_then(|transaction| self.flight.land(transaction));
        let (Some(action), Some(asked)) = (word(head, 0), asked) else {
            run.tally.unexpected += 1;
            return;
        };
        match (action, asked.kind) {
            (0, Kind::Connect) if len >= 16 => {
                self.id = connection_id(head);
                self.id_since = now;
                self.is_renewing = false;
            }
            (1, Kind::Announce) if len >= 20 && (len - 20).is_multiple_of(peer_bytes) => {
                run.tally.reply(asked.due, now, Held::Peers((len - 20) / peer_bytes), len);
            }
            (2, Kind::Scrape) if len >= 20 => run.tally.reply(asked.due, now, Held::Counts, len),
            (3, _) => run.tally.error(now, || {
                let cut = if len > HEAD_BYTES { "..." } else { "" };
                format!("{}{cut}", String::from_utf8_lossy(&head[8..]))
            }),
            (action, kind) => {
                run.tally.error(now, || format!("{len} bytes with action {action} in answer to {kind:?}"));
            }
        }
    }
}

fn open(from: Sources, intent: Intent, at: u16) -> anyhow::Result<UdpSocket> {
    let socket = from
        .socket(Type::DGRAM, intent, at)
        .with_context(|| format!("cannot send from {}", from.ip(intent, at)))?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.connect(&from.target().into()).with_context(|| format!("cannot reach {}", from.target()))?;
    Ok(socket.into())
}

/// Gets a connection id as a client does.
fn shake_hands(socket: &UdpSocket) -> anyhow::Result<u64> {
    socket.set_read_timeout(Some(CONNECT_PATIENCE))?;
    let mut reply = [0; 2048];
    for transaction in 0x00C0_FFEE.. {
        if transaction - 0x00C0_FFEE >= u32::try_from(CONNECT_TRIES)? {
            break;
        }
        socket.send(&packets::connect(transaction))?;
        match socket.recv(&mut reply) {
            Ok(len) if len >= 16 && reply[..4] == [0; 4] && word(&reply, 4) == Some(transaction) => {
                return Ok(connection_id(&reply));
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("{CONNECT_TRIES} connects were not answered")
}

/// Whether an announce with a wrong id gets silence or an error: a connect behind it is answered first.
fn checks_connection_ids(source: &Source, run: &mut Run<'_>) -> anyhow::Result<bool> {
    const ERROR: Option<u32> = Some(3);
    let (wrong, behind) = (0x0BAD_0BAD, 0x00C0_FFEE);
    source.socket.send(&packets::announce(!source.id, wrong, &run.said_by_anybody()))?;
    source.socket.send(&packets::connect(behind))?;
    let mut reply = [0; 2048];
    let mut answered_wrong = false;
    loop {
        let len = source.socket.recv(&mut reply).context("a second connect was not answered")?;
        match word(&reply[..len], 4) {
            Some(transaction) if transaction == behind => return Ok(!answered_wrong),
            Some(transaction) => answered_wrong |= transaction == wrong && word(&reply[..len], 0) != ERROR,
            None => {}
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn connection_id(reply: &[u8]) -> u64 {
    reply.get(8..16).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes)
}
