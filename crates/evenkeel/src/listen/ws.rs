//! The WebTorrent listener: what becomes of an HTTP connection that asked to be a WebSocket.
//!
//! A socket is served by the thread that accepted it. A peer lives as long as its socket: when that ends, however it
//! ends, each of its peers leaves as if it had said `stopped`.

mod line;
mod post;
mod strangers;

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use evenkeel_core::{Handout, PeerKey, Reason, Scope, SocketId, WebKey};
use evenkeel_wire::ws::{self, Answer, Message as Request, Offers, Refused, Subject};
use evenkeel_wire::{Announce, Endpoint, Event, Failure, InfoHash, Key, PeerId, Scrape};
use sha1::{Digest, Sha1};
use tokio::time::{Instant as Deadline, sleep_until, timeout};
use tokio_websockets::{CloseCode, Error, Message};

use self::line::Line;
use self::post::Queue;
pub(crate) use self::post::{Letter, Mailbox, Mailboxes, Sockets};
pub(crate) use self::strangers::Strangers;
use super::http::{Limits, Seat, Shared, stopped};
use super::stream::Stream;
use crate::access::Asker;
use crate::counters::add;
use crate::log;
use crate::node::{Announcer, Worker};

/// A peer that does not take what it is sent for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer has to take a farewell.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages that are handled before other sockets get their turn.
const MESSAGES_PER_TURN: u32 = 16;
/// Pings that a peer may send between two looks at the clock, a minute apart by default: none that we know sends any.
const PINGS_MAX: u32 = 60;
/// Peers that one socket may speak for. Clients share a socket between all their torrents.
const PEERS_PER_SOCKET_MAX: usize = 1000;

/// What one thread owns for its WebSockets.
pub(crate) struct Local {
    pub(crate) worker: Worker,
    pub(crate) sockets: Sockets,
    receivers: Vec<SocketId>,
}

impl Local {
    /// Of a thread that holds no sockets yet.
    pub(crate) fn new(worker: Worker, sockets: Sockets) -> Self {
        Self { worker, sockets, receivers: Vec::new() }
    }
}

/// The `Sec-WebSocket-Accept` for a key (RFC 6455, 4.2.2).
pub(super) fn accept(key: &[u8]) -> String {
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    BASE64.encode(&digest)
}

/// Passes on what other threads send to sockets of this one, until the program stops.
pub(super) async fn deliver_mail(shared: &Shared, local: &RefCell<Local>, mut mailbox: Mailbox) {
    let mut stopping = shared.stopping.clone();
    loop {
        let letters = tokio::select! {
            Some(letters) = mailbox.recv() => letters,
            () = stopped(&mut stopping) => return,
        };
        let Local { worker, sockets, .. } = &*local.borrow();
        add(&worker.counters.relays_lost, sockets.deliver(letters, shared.node.now()) as u64);
    }
}

/// Who is at the other end of a WebSocket.
pub(crate) struct Guest {
    /// On whose behalf it was opened.
    pub source: IpAddr,
    /// What its URL carries.
    pub secret: Option<Box<[u8]>>,
}

/// Serves an upgraded connection until it ends.
pub(super) async fn serve(
    shared: &Shared,
    local: &RefCell<Local>,
    stream: Stream,
    (guest, seat): (Guest, Seat),
) -> io::Result<()> {
    let Guest { source, secret } = guest;
    let mut line = Line::new(stream);
    let (id, queue) = local.borrow_mut().sockets.open();
    shared.websockets.fetch_add(1, Ordering::Relaxed);
    let mut socket = Socket {
        shared,
        local,
        source: Endpoint::new(source, 0),
        id,
        queue,
        secret,
        peers: HashSet::new(),
        seat: &seat,
        pings_left: PINGS_MAX,
        pace: Pace::of(source),
    };
    let ended = socket.run(&mut line).await;
    // From here on nobody is introduced to its peers any more, however long the farewell takes.
    drop(socket);
    if let End::Close(code, reason) = ended {
        log::peer_caused(format_args!("a WebSocket of {source} is closed: {reason}"));
        let farewell = async {
            line.feed(Message::close(Some(code), reason)).await?;
            line.flush().await
        };
        timeout(FAREWELL_TIMEOUT, farewell).await.ok();
    }
    timeout(FAREWELL_TIMEOUT, line.close()).await.ok();
    Ok(())
}

/// Why a socket ends.
enum End {
    /// The peer is gone, or has broken the protocol and been told by the library.
    Gone,
    /// We close it.
    Close(CloseCode, &'static str),
}

/// One WebSocket without its stream.
struct Socket<'a> {
    shared: &'a Shared,
    local: &'a RefCell<Local>,
    source: Endpoint,
    id: SocketId,
    queue: Rc<Queue>,
    secret: Option<Box<[u8]>>,
    /// Who announced here and has not left.
    peers: HashSet<(InfoHash, PeerId)>,
    seat: &'a Seat,
    pings_left: u32,
    pace: Pace,
}

/// How many messages came within the minute.
struct Pace {
    is_global: bool,
    began: Instant,
    messages: u32,
}

impl Pace {
    fn of(source: IpAddr) -> Self {
        let is_global = Scope::of(&Endpoint::new(source, 0)) == Scope::Global;
        Self { is_global, began: Instant::now(), messages: 0 }
    }

    /// Whether one more may come.
    fn allows(&mut self, now: Instant, limits: &Limits) -> bool {
        const MINUTE: Duration = Duration::from_secs(60);
        if now.duration_since(self.began) >= MINUTE {
            (self.began, self.messages) = (now, 0);
        }
        self.messages = self.messages.saturating_add(1);
        self.messages <= limits.websocket_messages_max || !(self.is_global || limits.limit_local_addresses)
    }
}

impl Socket<'_> {
    /// Answers messages, passes on what waits in the queue, and sees whether the peer is still there.
    async fn run(&mut self, line: &mut Line) -> End {
        let mut stopping = self.shared.stopping.clone();
        let mut heard = Deadline::now();
        let mut was_pinged = false;
        let look = sleep_until(heard + self.close_after() / 2);
        tokio::pin!(look);
        let mut turn = 0;
        loop {
            let mut answer = None;
            tokio::select! {
                message = line.next() => {
                    heard = Deadline::now();
                    self.seat.use_now();
                    was_pinged = false;
                    match self.take(message) {
                        Ok(Some(text)) => answer = Some(Message::text(text)),
                        Ok(None) => {}
                        Err(end) => return end,
                    }
                }
                () = self.queue.filled() => {}
                () = &mut look => {
                    let (silent, close_after) = (heard.elapsed(), self.close_after());
                    if silent >= close_after {
                        return End::Close(CloseCode::POLICY_VIOLATION, "silent for too long");
                    }
                    if silent >= close_after / 2 && !was_pinged {
                        was_pinged = true;
                        answer = Some(Message::ping(""));
                    }
                    self.pings_left = PINGS_MAX;
                    look.as_mut().reset(heard + if was_pinged { close_after } else { close_after / 2 });
                }
                () = stopped(&mut stopping) => {
                    return End::Close(CloseCode::GOING_AWAY, "the tracker stops");
                }
            }
            // A reply goes out before what came for the socket meanwhile.
            let sent = timeout(WRITE_TIMEOUT, self.send(line, answer)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return End::Gone;
            }
            turn += 1;
            if turn % MESSAGES_PER_TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn close_after(&self) -> Duration {
        self.shared.limits.load().websocket_idle_timeout
    }

    async fn send(&self, line: &mut Line, answer: Option<Message>) -> Result<(), Error> {
        if let Some(answer) = answer {
            line.feed(answer).await?;
        }
        while let Some(text) = self.queue.pop() {
            line.feed(Message::text(text)).await?;
        }
        line.flush().await
    }

    /// Looks what a message is; answers the reply, if it has one.
    fn take(&mut self, message: Option<Result<Message, Error>>) -> Result<Option<Vec<u8>>, End> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(Error::Io(_))) | None => return Err(End::Gone),
            Some(Err(error)) => {
                self.count(Reason::Garbage);
                log::peer_caused(format_args!("a WebSocket of {} is broken: {error}", self.source.ip()));
                return Err(End::Gone);
            }
        };
        if message.is_text() {
            let began = Instant::now();
            if !self.pace.allows(began, &self.shared.limits.load()) {
                add(&self.local.borrow().worker.counters.websockets_too_busy, 1);
                self.count(Reason::Garbage);
                return Err(End::Close(CloseCode::POLICY_VIOLATION, "too many messages"));
            }
            let answered = self.shared.node.catch(|| self.answer(message.as_payload()));
            self.local.borrow().worker.counters.count_latency(began.elapsed(), 1);
            return answered.ok_or(End::Close(CloseCode::INTERNAL_SERVER_ERROR, Failure::Internal.text()));
        }
        if message.is_binary() {
            self.count(Reason::Garbage);
            return Err(End::Close(CloseCode::UNSUPPORTED_DATA, "messages are text"));
        }
        if message.is_ping() {
            // The library has queued the pong already.
            self.pings_left = self.pings_left.saturating_sub(1);
            if self.pings_left == 0 {
                self.count(Reason::Garbage);
                return Err(End::Close(CloseCode::POLICY_VIOLATION, "too many pings"));
            }
        }
        Ok(None)
    }

    /// Answers a message; nothing is the answer to some.
    fn answer(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        let request = ws::decode(text);
        if matches!(request, Ok(Request::Scrape(_) | Request::ScrapeAll))
            && let Err(failure) = self.admit_scrape()
        {
            // The node has counted it.
            return Some(refusal(&Refused { failure, subject: Subject::Scrape }));
        }
        let refused = match request {
            Ok(Request::Announce(ask, offers)) => return Some(self.announce(&ask, &offers)),
            Ok(Request::Answer(answer)) => {
                self.pass_on(&answer);
                return None;
            }
            Ok(Request::Scrape(scrape)) => return Some(self.scrape(scrape)),
            Ok(Request::ScrapeAll) => match self.shared.scrape_all() {
                Some(files) => {
                    self.count(Reason::Scraped);
                    return Some(self.write_scrape(files.into_iter()));
                }
                None => Refused { failure: Failure::NoHashes, subject: Subject::Scrape },
            },
            Err(refused) => refused,
        };
        self.count(Reason::Failed(refused.failure));
        Some(refusal(&refused))
    }

    fn announce(&mut self, ask: &Announce, offers: &Offers<'_>) -> Vec<u8> {
        let peer = (ask.info_hash, ask.peer_id);
        let subject = Subject::Announce(ask.info_hash);
        let is_leaving = ask.event == Event::Stopped;
        if !is_leaving && self.peers.len() >= PEERS_PER_SOCKET_MAX && !self.peers.contains(&peer) {
            self.count(Reason::Failed(Failure::SocketFull));
            return refusal(&Refused { failure: Failure::SocketFull, subject });
        }
        let Local { worker, sockets, receivers } = &mut *self.local.borrow_mut();
        let key = PeerKey::Web(WebKey { source: self.source, socket: self.id, peer_id: ask.peer_id });
        let node = &self.shared.node;
        let place = node.place(&ask.info_hash);
        let caller = Announcer { key, place, secret: self.secret.as_deref() };
        let reply = match node.announce(worker, caller, ask, &mut Handout::to_sockets(receivers)) {
            Ok(reply) => reply,
            // The node has counted it.
            Err(failure) => return refusal(&Refused { failure, subject }),
        };
        if is_leaving {
            self.peers.remove(&peer);
        } else {
            self.peers.insert(peer);
        }
        if let Some(strangers) = &self.shared.strangers {
            if is_leaving { strangers.forget(peer, self.id) } else { strangers.learn(peer, self.id) }
        }
        let mut text = Vec::with_capacity(256);
        ws::write_announce(&mut text, &ask.info_hash, &reply);

        let letters: Vec<Letter> = receivers
            .iter()
            .zip(&offers.list)
            .map(|(to, offer)| {
                let mut text = Vec::with_capacity(256 + offer.sdp.map_or(0, str::len));
                ws::write_offer(&mut text, &ask.info_hash, &ask.peer_id, offer);
                let key = offer.id.map(|id| (node.offer_key(&ask.info_hash, &ask.peer_id, &id), self.id));
                Letter { to: *to, text, offer: key }
            })
            .collect();
        add(&worker.counters.offers_dropped, offers.dropped as u64);
        add(&worker.counters.offers_relayed, letters.len() as u64);
        let lost = sockets.post(letters, &self.shared.mailboxes, node.now());
        add(&worker.counters.relays_lost, lost as u64);
        text
    }

    /// Brings an answer to the socket whose offer it answers. There is no reply: clients expect none.
    fn pass_on(&self, answer: &Answer<'_>) {
        let node = &self.shared.node;
        let offer = answer.offer_id.and_then(|id| {
            let key = node.offer_key(&answer.info_hash, &answer.to_peer_id, &id);
            self.queue.take_offer(key, node.now())
        });
        let offer = offer.or_else(|| {
            let strangers = self.shared.strangers.as_ref()?;
            strangers.find((answer.info_hash, answer.to_peer_id))
        });
        let Some(to) = offer else { return self.count(Reason::AnsweredStranger) };
        let mut text = Vec::with_capacity(256 + answer.sdp.len());
        ws::write_answer(&mut text, answer);
        let Local { worker, sockets, .. } = &*self.local.borrow();
        let lost = sockets.post(vec![Letter { to, text, offer: None }], &self.shared.mailboxes, node.now());
        add(&worker.counters.relays_lost, lost as u64);
        worker.counters.count(Reason::Answered);
    }

    fn admit_scrape(&self) -> Result<(), Failure> {
        let asker = Asker { source: self.source.ip(), secret: self.secret.as_deref() };
        self.shared.node.admit_scrape(&self.local.borrow().worker, &asker)
    }

    fn scrape(&self, mut scrape: Scrape) -> Vec<u8> {
        scrape.sort_and_merge();
        let node = &self.shared.node;
        self.count(Reason::Scraped);
        self.write_scrape(scrape.hashes().iter().map(|info_hash| (*info_hash, node.scrape(info_hash))))
    }

    fn write_scrape(&self, files: impl Iterator<Item = (InfoHash, evenkeel_wire::Stats)>) -> Vec<u8> {
        let mut text = Vec::new();
        ws::write_scrape(&mut text, files, self.shared.node.orders().rules.min_interval_secs);
        text
    }

    fn count(&self, reason: Reason) {
        self.local.borrow().worker.counters.count(reason);
    }
}

/// Whatever ends a socket, a panic included: its peers leave.
impl Drop for Socket<'_> {
    fn drop(&mut self) {
        self.shared.websockets.fetch_sub(1, Ordering::Relaxed);
        let Local { worker, sockets, .. } = &mut *self.local.borrow_mut();
        sockets.close(self.id);
        for (info_hash, peer_id) in self.peers.drain() {
            if let Some(strangers) = &self.shared.strangers {
                strangers.forget((info_hash, peer_id), self.id);
            }
            let key = PeerKey::Web(WebKey { source: self.source, socket: self.id, peer_id });
            let leaving = Announce {
                info_hash,
                peer_id,
                port: 0,
                uploaded: 0,
                downloaded: 0,
                left: None,
                event: Event::Stopped,
                numwant: None,
                key: Key::NONE,
            };
            self.shared.node.leave(worker, key, &leaving);
        }
    }
}

fn refusal(refused: &Refused) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    ws::write_failure(&mut text, refused);
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_of_rfc_6455_is_accepted_with_its_answer() {
        assert_eq!(super::accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
