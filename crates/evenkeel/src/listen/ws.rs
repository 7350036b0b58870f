//! The WebTorrent listener: what becomes of an HTTP connection that asked to be a WebSocket.
//!
//! A socket is served by the thread that accepted it. A peer lives as long as its socket: when that ends, however it
//! ends, each of its peers leaves as if it had said `stopped`.

mod line;
mod post;
mod strangers;

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use evenkeel_core::{Handout, PeerKey, Reason, Scope, SocketId, WebKey};
use evenkeel_wire::ws::{self, Answer, Message as Request, Offers, Refused, Subject, frame};
use evenkeel_wire::{Announce, Endpoint, Event, Failure, InfoHash, Key, PeerId, Scrape};
use sha1::{Digest, Sha1};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant as Deadline, sleep_until, timeout};
use tokio_websockets::{CloseCode, Error, Message};

use self::line::{Heard, Line, Turn};
pub(crate) use self::post::{Mailbox, Mailboxes, Sockets};
use self::post::{Post, Queue};
pub(crate) use self::strangers::Strangers;
use super::http::{Limits, Seat, Shared, stopped};
use super::stream::Stream;
use crate::access::Asker;
use crate::counters::add;
use crate::log;
use crate::node::{Announcer, Worker};
use crate::store::Hash32;

/// A peer that does not take what it is sent for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer has to take a farewell.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Messages that are handled before other sockets get their turn.
const MESSAGES_PER_TURN: u32 = 16;
/// The same, of bytes that are to be sent then.
const BYTES_PER_TURN: usize = 64 * 1024;
/// Buffers of a thread are kept up to this size, which holds any message that is passed on.
const BUFFER_BYTES: usize = 64 * 1024;
/// Pings that a peer may send between two looks at the clock, a minute apart by default: none that we know sends any.
const PINGS_MAX: u32 = 60;
/// Peers that one socket may speak for. Clients share a socket between all their torrents.
const PEERS_PER_SOCKET_MAX: usize = 1000;

/// What one thread owns for its WebSockets.
pub(crate) struct Local {
    pub(crate) worker: Worker,
    pub(crate) sockets: Sockets,
    receivers: Vec<SocketId>,
    /// What all offers of an announce begin with.
    head: Vec<u8>,
    /// A message on its way out.
    frame: Vec<u8>,
}

impl Local {
    /// Of a thread that holds no sockets yet.
    pub(crate) fn new(worker: Worker, sockets: Sockets) -> Self {
        Self { worker, sockets, receivers: Vec::new(), head: Vec::new(), frame: Vec::new() }
    }

    /// Puts a message into its frame.
    fn frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        frame_in(&mut self.frame, write)
    }
}

/// Puts a message into its frame, in a buffer that is used again.
fn frame_in(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
    buffer.clear();
    buffer.shrink_to(BUFFER_BYTES);
    frame::write_text(buffer, write);
    buffer
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

/// Has all sockets of the thread sent what others say to them, until the program stops.
pub(super) async fn send_mail(shared: &Shared, local: &RefCell<Local>) {
    let mut stopping = shared.stopping.clone();
    let outgoing = local.borrow().sockets.outgoing();
    let counters = Arc::clone(&local.borrow().worker.counters);
    tokio::select! {
        () = outgoing.send_all(&counters.buffers_kept) => {}
        () = stopped(&mut stopping) => {}
    }
}

/// Who is at the other end of a WebSocket.
pub(crate) struct Guest {
    /// On whose behalf it was opened.
    pub source: IpAddr,
    /// The hash of what its URL carries.
    pub secret: Option<Hash32>,
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
        last: None,
        seat: &seat,
        pings_left: PINGS_MAX,
        pace: Pace::of(source),
        heard: Instant::now(),
        heard_in_turn: 0,
    };
    let ended = socket.run(&mut line).await;
    // From here on nobody is introduced to its peers any more, however long the farewell takes.
    drop(socket);
    if let End::Close(code, reason) = ended {
        log::peer_caused(format_args!("a WebSocket of {source} is closed: {reason}"));
        timeout(FAREWELL_TIMEOUT, line.say(Message::close(Some(code), reason))).await.ok();
    }
    timeout(FAREWELL_TIMEOUT, line.close()).await.ok();
    Ok(())
}

/// Why a socket ends.
enum End {
    /// The peer is gone.
    Gone,
    /// It has broken the protocol, and been told by the library.
    Broken(Error),
    /// We close it.
    Close(CloseCode, &'static str),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(_) | Error::AlreadyClosed => Self::Gone,
            error => Self::Broken(error),
        }
    }
}

/// What a socket is woken for.
enum Wake {
    /// Something is to be sent.
    Due,
    /// Messages have come, and were taken; or it ends.
    Took(Result<(), End>),
    /// It is time to see whether the peer is still there.
    Look,
    /// The program stops.
    Stopping,
}

/// One WebSocket without its stream.
struct Socket<'a> {
    shared: &'a Shared,
    local: &'a RefCell<Local>,
    source: Endpoint,
    id: SocketId,
    queue: Rc<Queue>,
    secret: Option<Hash32>,
    /// Who announced here and has not left.
    peers: HashSet<(InfoHash, PeerId)>,
    /// Which of them did so last: most often it is the only one.
    last: Option<(InfoHash, PeerId)>,
    seat: &'a Seat,
    pings_left: u32,
    pace: Pace,
    /// When it last said something.
    heard: Instant,
    heard_in_turn: u32,
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
        let mut stopping = pin!(stopped(&mut stopping));
        let mut look = pin!(sleep_until(Deadline::now() + self.close_after() / 2));
        let mut was_pinged = false;
        let mut are_set = false;
        loop {
            let wake = poll_fn(|cx| {
                // What is to be sent goes first: nothing is heard while something waits.
                if self.queue.poll_due(cx).is_ready() {
                    return Poll::Ready(Wake::Due);
                }
                self.heard_in_turn = 0;
                if let Poll::Ready(took) = line.poll_take(cx, &mut |heard| self.take(heard)) {
                    return Poll::Ready(Wake::Took(took));
                }
                // Both know the task since they were first asked: most often they have nothing to say to it.
                if are_set && !look.is_elapsed() && !self.shared.is_stopping() {
                    return Poll::Pending;
                }
                if look.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Wake::Look);
                }
                let stopped = stopping.as_mut().poll(cx);
                // With its turn used up a task is asked again, and nobody has looked.
                are_set = has_budget_remaining();
                stopped.map(|()| Wake::Stopping)
            });
            match wake.await {
                Wake::Due => {}
                Wake::Took(Ok(())) => {
                    was_pinged = false;
                    // Others hear their messages first: all that these bring goes out together.
                    tokio::task::yield_now().await;
                    // What waits for the socket, and is nothing that it asked for, may wait for more.
                    if !self.queue.is_due() && line.is_plain() {
                        continue;
                    }
                }
                Wake::Took(Err(End::Gone)) => return End::Gone,
                Wake::Took(Err(end)) => {
                    // What was answered before comes before the farewell.
                    let sent = poll_fn(|cx| line.poll_send(cx, &self.queue));
                    timeout(FAREWELL_TIMEOUT, sent).await.ok();
                    return self.end(end);
                }
                Wake::Look => {
                    let (silent, close_after) = (self.heard.elapsed(), self.close_after());
                    if silent >= close_after {
                        return End::Close(CloseCode::POLICY_VIOLATION, "silent for too long");
                    }
                    if silent >= close_after / 2 && !was_pinged {
                        was_pinged = true;
                        self.queue.say(&frame::PING);
                    }
                    self.pings_left = PINGS_MAX;
                    let after = if was_pinged { close_after } else { close_after / 2 };
                    look.as_mut().reset((self.heard + after).into());
                    are_set = false;
                }
                Wake::Stopping => return End::Close(CloseCode::GOING_AWAY, "the tracker stops"),
            }
            let sent = poll_fn(|cx| line.poll_send(cx, &self.queue));
            if !matches!(timeout(WRITE_TIMEOUT, sent).await, Ok(Ok(()))) {
                return End::Gone;
            }
        }
    }

    fn close_after(&self) -> Duration {
        self.shared.limits.load().websocket_idle_timeout
    }

    /// Counts what was wrong, if the peer is to blame.
    fn end(&self, end: End) -> End {
        if let End::Broken(error) = &end {
            self.count(Reason::Garbage);
            log::peer_caused(format_args!("a WebSocket of {} is broken: {error}", self.source.ip()));
        }
        end
    }

    /// Looks what a message is, and answers it.
    fn take(&mut self, heard: Heard<'_>) -> Result<Turn, End> {
        let now = Instant::now();
        self.heard = now;
        if self.heard_in_turn == 0 {
            self.seat.use_now();
        }
        match heard {
            Heard::Text(text) => self.take_text(text, now),
            Heard::Other(message) => match message.as_text() {
                Some(text) => self.take_text(text, now),
                None => self.take_other(&message).map(|()| Turn::IsOver),
            },
        }
    }

    fn take_text(&mut self, text: &str, began: Instant) -> Result<Turn, End> {
        if !self.pace.allows(began, &self.shared.limits.load()) {
            add(&self.local.borrow().worker.counters.websockets_too_busy, 1);
            self.count(Reason::Garbage);
            return Err(End::Close(CloseCode::POLICY_VIOLATION, "too many messages"));
        }
        let answered = self.shared.node.catch(|| self.answer(text));
        self.local.borrow().worker.counters.count_latency(began.elapsed(), 1);
        let waiting =
            answered.ok_or(End::Close(CloseCode::INTERNAL_SERVER_ERROR, Failure::Internal.text()))?;
        self.heard_in_turn += 1;
        let is_over = self.heard_in_turn >= MESSAGES_PER_TURN || waiting >= BYTES_PER_TURN;
        Ok(if is_over { Turn::IsOver } else { Turn::Goes })
    }

    fn take_other(&mut self, message: &Message) -> Result<(), End> {
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
        Ok(())
    }

    /// Says something to the peer, when its turn is over; answers how many bytes wait for that.
    fn say(&self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.queue.say(self.local.borrow_mut().frame(write))
    }

    fn refuse(&self, refused: &Refused) -> usize {
        self.say(|out| ws::write_failure(out, refused))
    }

    /// Answers a message, if there is anything to answer; says how many bytes of answers wait to be sent.
    fn answer(&mut self, text: &str) -> usize {
        let request = ws::decode_text(text);
        if matches!(request, Ok(Request::Scrape(_) | Request::ScrapeAll))
            && let Err(failure) = self.admit_scrape()
        {
            // The node has counted it.
            return self.refuse(&Refused { failure, subject: Subject::Scrape });
        }
        let refused = match request {
            Ok(Request::Announce(ask, offers)) => return self.announce(&ask, &offers),
            Ok(Request::Answer(answer)) => return self.pass_on(&answer),
            Ok(Request::Scrape(scrape)) => return self.scrape(scrape),
            Ok(Request::ScrapeAll) => match self.shared.scrape_all() {
                Some(files) => {
                    self.count(Reason::Scraped);
                    return self.say_scrape(files.into_iter());
                }
                None => Refused { failure: Failure::NoHashes, subject: Subject::Scrape },
            },
            Err(refused) => refused,
        };
        self.count(Reason::Failed(refused.failure));
        self.refuse(&refused)
    }

    fn announce(&mut self, ask: &Announce, offers: &Offers<'_>) -> usize {
        let peer = (ask.info_hash, ask.peer_id);
        let subject = Subject::Announce(ask.info_hash);
        let is_leaving = ask.event == Event::Stopped;
        let is_known = self.last == Some(peer) || self.peers.contains(&peer);
        if !is_leaving && !is_known && self.peers.len() >= PEERS_PER_SOCKET_MAX {
            self.count(Reason::Failed(Failure::SocketFull));
            return self.refuse(&Refused { failure: Failure::SocketFull, subject });
        }
        let local = &mut *self.local.borrow_mut();
        let key = PeerKey::Web(WebKey { source: self.source, socket: self.id, peer_id: ask.peer_id });
        let node = &self.shared.node;
        let place = node.place(&ask.info_hash);
        let caller = Announcer { key, place, secret: self.secret, found: None };
        let out = &mut Handout::to_sockets(&mut local.receivers);
        let reply = match node.announce(&mut local.worker, caller, ask, out) {
            Ok(reply) => reply,
            // The node has counted it.
            Err(failure) => {
                let refused = Refused { failure, subject };
                return self.queue.say(local.frame(|out| ws::write_failure(out, &refused)));
            }
        };
        self.last = (!is_leaving).then_some(peer);
        if is_leaving {
            self.peers.remove(&peer);
        } else if !is_known {
            self.peers.insert(peer);
        }
        if let Some(strangers) = &self.shared.strangers {
            if is_leaving { strangers.forget(peer, self.id) } else { strangers.learn(peer, self.id) }
        }
        let waiting = self.queue.say(local.frame(|out| ws::write_announce(out, &ask.info_hash, &reply)));
        self.pass_offers_on(local, ask, offers);
        waiting
    }

    /// Brings offers to the sockets that were chosen.
    fn pass_offers_on(&self, local: &mut Local, ask: &Announce, offers: &Offers<'_>) {
        let node = &self.shared.node;
        let Local { worker, sockets, receivers, head, frame } = local;
        let count = receivers.len().min(offers.list.len());
        sockets.prefetch(&receivers[..count]);
        head.clear();
        ws::write_relay_head(head, &ask.info_hash, &ask.peer_id);
        let mut post = Post::new(sockets, &self.shared.mailboxes, node.time_at(self.heard));
        for (to, offer) in receivers.iter().zip(&offers.list) {
            let note = offer.id.map(|id| (node.offer_key(&ask.info_hash, &ask.peer_id, &id), self.id));
            post.put(*to, frame_in(frame, |out| ws::write_offer(out, head, offer)), note);
        }
        add(&worker.counters.offers_dropped, offers.dropped as u64);
        add(&worker.counters.offers_relayed, count as u64);
        add(&worker.counters.relays_lost, post.send() as u64);
    }

    /// Brings an answer to the socket whose offer it answers. There is no reply: clients expect none.
    fn pass_on(&self, answer: &Answer<'_>) -> usize {
        let node = &self.shared.node;
        let now = node.time_at(self.heard);
        let offer = answer.offer_id.and_then(|id| {
            let key = node.offer_key(&answer.info_hash, &answer.to_peer_id, &id);
            self.queue.take_offer(key, now)
        });
        let offer = offer.or_else(|| {
            let strangers = self.shared.strangers.as_ref()?;
            strangers.find((answer.info_hash, answer.to_peer_id))
        });
        let Some(to) = offer else {
            self.count(Reason::AnsweredStranger);
            return 0;
        };
        let Local { worker, sockets, frame, .. } = &mut *self.local.borrow_mut();
        let mut post = Post::new(sockets, &self.shared.mailboxes, now);
        post.put(to, frame_in(frame, |out| ws::write_answer(out, answer)), None);
        add(&worker.counters.relays_lost, post.send() as u64);
        worker.counters.count(Reason::Answered);
        0
    }

    fn admit_scrape(&self) -> Result<(), Failure> {
        let asker = Asker { source: self.source.ip(), secret: self.secret };
        self.shared.node.admit_scrape(&self.local.borrow().worker, &asker)
    }

    fn scrape(&self, mut scrape: Scrape) -> usize {
        scrape.sort_and_merge();
        let node = &self.shared.node;
        self.count(Reason::Scraped);
        self.say_scrape(scrape.hashes().iter().map(|info_hash| (*info_hash, node.scrape(info_hash))))
    }

    fn say_scrape(&self, files: impl Iterator<Item = (InfoHash, evenkeel_wire::Stats)>) -> usize {
        self.say(|out| ws::write_scrape(out, files, self.shared.node.orders().rules.min_interval_secs))
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_key_of_rfc_6455_is_accepted_with_its_answer() {
        assert_eq!(super::accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
