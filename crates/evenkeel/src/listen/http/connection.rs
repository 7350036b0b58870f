//! One HTTP connection: heads in, answers out, with a deadline for everything.
//!
//! Bytes are read into the stack and answers are made in a buffer of the thread: a connection has memory of its own
//! for half a request and for an answer that the peer does not take at once, and for nothing else. What was read is
//! answered together with what other connections have read in the same turn of the thread ([`super::together`]).

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use evenkeel_core::Reason;
use evenkeel_wire::http::{self, Framing, HeadError, Request, decode_head};
use evenkeel_wire::secret;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant as Deadline, Sleep, sleep_until, timeout, timeout_at};

use super::answer::{self, Asked, Later};
use super::arrival::Origin;
use super::idle::Seat;
use super::pages::Page;
use super::{Limits, Local, Shared, stopped};
use crate::control::hash;
use crate::counters::add;
use crate::listen::stream::Stream;
use crate::listen::ws;
use crate::log;
use crate::store::Hash32;

/// A peer that does not take its answer for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers to pipelined requests are sent, and other connections get their turn, after so many.
const REQUESTS_PER_TURN: u32 = 16;
/// Most that is read at once: several announces of any client.
const READ_BYTES: usize = 4096;

/// Answers requests until the connection, the peer or the program ends. The first request, and whatever has to come
/// before it, must be there `began` and the time for a head later.
pub(super) async fn serve(
    desk: (&Shared, &RefCell<Local>),
    stream: Stream,
    origin: Origin,
    began: Deadline,
    seat: Seat,
) -> io::Result<()> {
    let (shared, local) = desk;
    let connection = Rc::new(RefCell::new(Connection {
        stream,
        seat,
        origin,
        source: origin.ip,
        requests_left: shared.limits.load().requests_per_connection_max,
        read: Vec::new(),
        out: Vec::new(),
        is_flushed: true,
        head_began: Some(began),
        used: began,
        secret: None,
        lent: Lent::No,
        waker: None,
    }));
    let mut stopping = shared.stopping.clone();
    let mut stopped = pin!(stopped(&mut stopping));
    let mut timer = pin!(sleep_until(connection.borrow_mut().deadline(shared)));
    let mut are_set = false;
    let mut turn = Turn::Read;
    loop {
        turn = match turn {
            Turn::Read => {
                let turn = poll_fn(|cx| {
                    let this = &mut *connection.borrow_mut();
                    if let Poll::Ready(turn) = this.poll_turn(desk, &connection, cx) {
                        return Poll::Ready(turn);
                    }
                    // Both know the task since they were first asked: most often they have nothing to say to it.
                    let may_be_late = timer.is_elapsed() || !this.read.is_empty();
                    if are_set && !may_be_late && !shared.is_stopping() {
                        return Poll::Pending;
                    }
                    if let Lent::Out { comes_back } = &mut this.lent {
                        *comes_back = true;
                        return Poll::Pending;
                    }
                    let deadline = this.deadline(shared);
                    if poll_timer(timer.as_mut(), deadline, cx).is_ready() {
                        return Poll::Ready(Ok(this.give_up(local)));
                    }
                    let stopped = stopped.as_mut().poll(cx);
                    // With its turn used up a task is asked again, and nobody has looked.
                    are_set = has_budget_remaining();
                    stopped.map(|()| Ok(Turn::Close))
                });
                turn.await?
            }
            Turn::More => {
                tokio::task::yield_now().await;
                connection.borrow_mut().answer_more(desk)?
            }
            Turn::Wait(asked) => {
                let page = asked.page(shared).await;
                connection.borrow_mut().answer_later(local, &asked, &page)
            }
            Turn::Gone => return Ok(()),
            ended => {
                // Nobody else has it: it is lent out while something is awaited, and comes back at once.
                let Some(connection) = Rc::into_inner(connection) else { return Ok(()) };
                return connection.into_inner().end(&ended, desk).await;
            }
        };
        send_rest(&connection).await?;
    }
}

/// A connection and what is known of it.
pub(super) struct Connection {
    stream: Stream,
    seat: Seat,
    origin: Origin,
    /// On whose behalf the last request came.
    source: IpAddr,
    requests_left: u32,
    /// Bytes that are not answered yet.
    read: Vec<u8>,
    /// Answers that the peer did not take at once.
    out: Vec<u8>,
    /// Nothing that was written waits below.
    is_flushed: bool,
    /// When the head that is awaited began; `None` between requests.
    head_began: Option<Deadline>,
    /// When the last request came, or its answer was taken if that took long.
    used: Deadline,
    /// The hash of what the URL of a WebSocket carries.
    secret: Option<Hash32>,
    lent: Lent,
    /// Wakes its task.
    waker: Option<Waker>,
}

/// Whether what was read is with that of other connections, to be answered.
enum Lent {
    No,
    /// It is; afterwards the task is woken, or only if there is something to do.
    Out {
        comes_back: bool,
    },
    /// It has been answered, and this is left to do.
    Back(io::Result<Turn>),
}

/// What to do after answering what was read.
pub(super) enum Turn {
    /// Wait for more bytes.
    Read,
    /// There may be another request in what was read already.
    More,
    /// Wait for what the answer is made of.
    Wait(Later),
    /// Send the answers and close.
    Close,
    /// The same after the last request: the peer has said that no more will come, and all that came was read.
    End,
    /// Send the answers and go on as a WebSocket; what is read is not HTTP any more.
    Upgrade,
    /// The peer has closed.
    Gone,
}

impl Connection {
    /// Waits for bytes, and has them answered: together with those of others if there is room.
    fn poll_turn(
        &mut self,
        desk: (&Shared, &RefCell<Local>),
        me: &Rc<RefCell<Self>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Turn>> {
        match std::mem::replace(&mut self.lent, Lent::No) {
            Lent::No => {}
            Lent::Back(turn) => return Poll::Ready(turn.map(|turn| self.within_time(desk, turn))),
            out @ Lent::Out { .. } => {
                self.lent = out;
                return Poll::Pending;
            }
        }
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut fresh = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut fresh))?;
        if fresh.filled().is_empty() {
            return Poll::Ready(Ok(Turn::Gone));
        }
        if !self.read.is_empty() {
            self.read.extend_from_slice(fresh.filled());
            let turn = self.answer_more(desk)?;
            return Poll::Ready(Ok(self.within_time(desk, turn)));
        }
        if desk.1.borrow_mut().together.take_in(me, fresh.filled()) {
            if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                self.waker = Some(cx.waker().clone());
            }
            self.lent = Lent::Out { comes_back: self.stream.has_more(cx) };
            return Poll::Pending;
        }
        let turn = self.answer_fresh(desk.0, &mut desk.1.borrow_mut(), fresh.filled())?;
        Poll::Ready(Ok(self.within_time(desk, turn)))
    }

    /// What was lent has been answered, and this is left to do.
    pub(super) fn give_back(&mut self, turn: io::Result<Turn>) {
        let comes_back = matches!(self.lent, Lent::Out { comes_back: true });
        let has_rest = !self.read.is_empty() || self.has_rest();
        if !comes_back && !has_rest && matches!(turn, Ok(Turn::Read)) {
            self.lent = Lent::No;
            return;
        }
        self.lent = Lent::Back(turn);
        self.waker.iter().for_each(Waker::wake_by_ref);
    }

    /// Answers what was read just now, with nothing before it.
    pub(super) fn answer_fresh(
        &mut self,
        shared: &Shared,
        local: &mut Local,
        fresh: &[u8],
    ) -> io::Result<Turn> {
        let (used, turn) = self.answer_all(shared, local, fresh)?;
        self.read.extend_from_slice(&fresh[used..]);
        Ok(turn)
    }

    /// Answers what was read before.
    fn answer_more(&mut self, (shared, local): (&Shared, &RefCell<Local>)) -> io::Result<Turn> {
        let mut read = std::mem::take(&mut self.read);
        let (used, turn) = self.answer_all(shared, &mut local.borrow_mut(), &read)?;
        if used < read.len() {
            read.drain(..used);
            self.read = read;
        }
        Ok(turn)
    }

    /// Somebody who always has another byte ready does not outrun the clock.
    fn within_time(&mut self, (shared, local): (&Shared, &RefCell<Local>), turn: Turn) -> Turn {
        let is_late = |this: &mut Self| this.deadline(shared) <= Deadline::now();
        if matches!(turn, Turn::Read) && !self.read.is_empty() && is_late(self) {
            return self.give_up(local);
        }
        turn
    }

    /// Answers the requests at the start of `read`, as many as a turn allows, and sends the answers; says how many
    /// bytes they were.
    fn answer_all(&mut self, shared: &Shared, local: &mut Local, read: &[u8]) -> io::Result<(usize, Turn)> {
        // A panic may have left half an answer to somebody else.
        local.out.clear();
        let mut used = 0;
        let mut turn = Turn::More;
        for _ in 0..REQUESTS_PER_TURN {
            let decoded = decode_head(&read[used..]);
            turn = match decoded {
                Ok(None) => Turn::Read,
                Ok(Some((request, len))) => {
                    used += len;
                    self.answer(shared, local, request)
                }
                Err(error) => {
                    refuse(local, self.source, error);
                    Turn::Close
                }
            };
            if !matches!(turn, Turn::More) {
                break;
            }
        }
        if matches!(turn, Turn::End) && used < read.len() {
            turn = Turn::Close;
        }
        let sent = self.send(&local.out);
        answer::empty(&mut local.out);
        sent.map(|()| (used, turn))
    }

    fn answer(&mut self, shared: &Shared, local: &mut Local, request: Request<'_>) -> Turn {
        let began = Instant::now();
        let (request, is_last) = self.note(shared, local, (request, began));
        if let Some(key) = request.websocket_key.filter(|_| shared.webtorrent) {
            return self.upgrade(shared, local, &request, key);
        }
        if let Some(later) = answer::answer(shared, local, self.source, &request) {
            return Turn::Wait(later);
        }
        local.worker.counters.count_latency(began.elapsed(), 1);
        match request.keep_alive {
            true => Turn::More,
            false if is_last => Turn::End,
            false => Turn::Close,
        }
    }

    /// A request has come. Says whether the connection may stay open behind it, and whether it is its peer that wants it to
    /// end.
    fn note<'a>(
        &mut self,
        shared: &Shared,
        local: &Local,
        (request, began): (Request<'a>, Instant),
    ) -> (Request<'a>, bool) {
        (self.head_began, self.used) = (None, began.into());
        self.seat.use_now();
        self.source = self.source_of(shared, local, &request);
        self.requests_left = self.requests_left.saturating_sub(1);
        let stays_open = self.requests_left > 0 && !shared.is_stopping();
        (Request { keep_alive: request.keep_alive && stays_open, ..request }, !request.keep_alive)
    }

    /// Looks whether what was read is one announce and nothing else: then it is noted, and answered like this.
    pub(super) fn announce<'a>(
        &mut self,
        (shared, limits): (&Shared, &Limits),
        local: &Local,
        (read, began): (&'a [u8], Instant),
    ) -> Option<Announce<'a>> {
        let (request, len) = decode_head(read).ok().flatten()?;
        let asked = Asked::of(shared, limits, &request).filter(|_| len == read.len())?;
        let (request, is_last) = self.note(shared, local, (request, began));
        Some(Announce { request, is_last, source: self.source, asked })
    }

    /// Lets the connection be a WebSocket. Behind a proxy, it is only now known whose it is.
    fn upgrade(&mut self, shared: &Shared, local: &mut Local, request: &Request<'_>, key: &[u8]) -> Turn {
        if self.origin.is_trusted && !self.seat.count(self.source, shared.per_address_max()) {
            add(&local.worker.counters.refused_connections, 1);
            let framing = Framing::of(&Request { keep_alive: false, ..*request });
            let told = b"too many WebSockets of your address\n";
            http::write_answer(&mut local.out, "503 Service Unavailable", "text/plain", told, framing);
            return Turn::Close;
        }
        if shared.node.asks_for_secrets() {
            let in_path = secret::of_url(request.path);
            self.secret = secret::of_query(request.query).or(in_path).map(hash);
        }
        http::write_upgrade(&mut local.out, &ws::accept(key));
        Turn::Upgrade
    }

    /// On whose behalf a request comes. Headers of strangers say nothing; a proxy that names nobody speaks for itself.
    fn source_of(&self, shared: &Shared, local: &Local, request: &Request<'_>) -> IpAddr {
        let counters = &local.worker.counters;
        if !self.origin.is_trusted {
            add(&counters.forwarding_ignored, request.is_forwarded.into());
            return self.origin.ip;
        }
        let proxies = shared.proxies.load();
        let named = proxies.client(request.headers);
        add(&counters.forwarding_missing, (named.is_none() && proxies.header.is_some()).into());
        named.unwrap_or(self.origin.ip)
    }

    /// The page that was waited for is there.
    fn answer_later(&mut self, local: &RefCell<Local>, asked: &Later, page: &Page) -> Turn {
        let counters = &local.borrow().worker.counters;
        counters.count(Reason::Page);
        counters.count_latency(asked.began.elapsed(), 1);
        asked.write(&mut self.out, page);
        self.used = Deadline::now();
        if asked.keep_alive { Turn::More } else { Turn::Close }
    }

    /// Sends answers as far as the peer takes them at once, and keeps the rest for [`send_rest`].
    pub(super) fn send(&mut self, out: &[u8]) -> io::Result<()> {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut sent = 0;
        while sent < out.len() {
            match Pin::new(&mut self.stream).poll_write(&mut nobody, &out[sent..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(len) => sent += len,
                Poll::Pending => break,
            }
        }
        self.is_flushed = sent == 0 || Pin::new(&mut self.stream).poll_flush(&mut nobody)?.is_ready();
        self.out.extend_from_slice(&out[sent..]);
        Ok(())
    }

    /// Something was not taken at once.
    fn has_rest(&self) -> bool {
        !self.out.is_empty() || !self.is_flushed
    }

    /// When to give up waiting for more bytes. The clock of a head runs from its first byte to its last: sending
    /// one now and then buys no time.
    fn deadline(&mut self, shared: &Shared) -> Deadline {
        let limits = shared.limits.load();
        if !self.read.is_empty() {
            self.head_began.get_or_insert_with(Deadline::now);
        }
        match self.head_began {
            Some(began) => began + limits.head_timeout,
            None => self.used + limits.idle_timeout,
        }
    }

    /// Closes what was silent for too long; half a head gets an answer.
    fn give_up(&mut self, local: &RefCell<Local>) -> Turn {
        if !self.read.is_empty() {
            let local = &mut *local.borrow_mut();
            local.out.clear();
            refuse(local, self.source, HeadError::Timeout);
            self.out.append(&mut local.out);
        }
        Turn::Close
    }

    /// Ends as HTTP, now that all answers are sent.
    async fn end(mut self, turn: &Turn, (shared, local): (&Shared, &RefCell<Local>)) -> io::Result<()> {
        match turn {
            // The system says goodbye when the socket is dropped.
            Turn::End if self.stream.is_bare() => Ok(()),
            Turn::Upgrade => {
                let web = Rc::clone(&local.borrow().web);
                self.stream.put_back(self.read);
                self.seat.become_websocket();
                let guest = ws::Guest { source: self.source, secret: self.secret };
                // In a box of its own: every connection would be as large as a WebSocket otherwise.
                Box::pin(ws::serve(shared, &web, self.stream, (guest, self.seat))).await
            }
            _ => close(self.stream).await,
        }
    }
}

/// An announce that was read, and how its answer goes out.
pub(super) struct Announce<'a> {
    pub(super) request: Request<'a>,
    /// Its peer wants the connection to end.
    is_last: bool,
    /// On whose behalf it came.
    pub(super) source: IpAddr,
    pub(super) asked: Asked,
}

impl Announce<'_> {
    /// What to do when it has been answered.
    pub(super) fn turn(&self) -> Turn {
        match self.request.keep_alive {
            true => Turn::Read,
            false if self.is_last => Turn::End,
            false => Turn::Close,
        }
    }
}

/// Waits until the peer has taken what was left.
async fn send_rest(connection: &RefCell<Connection>) -> io::Result<()> {
    if !connection.borrow().has_rest() {
        return Ok(());
    }
    let out = std::mem::take(&mut connection.borrow_mut().out);
    let mut sent = 0;
    let sending = poll_fn(|cx| {
        let stream = &mut connection.borrow_mut().stream;
        while sent < out.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &out[sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => sent += len,
            }
        }
        Pin::new(stream).poll_flush(cx)
    });
    timeout(WRITE_TIMEOUT, sending).await??;
    let this = &mut *connection.borrow_mut();
    (this.is_flushed, this.used) = (true, Deadline::now());
    Ok(())
}

/// Whether a deadline is over. Most never are, since something comes before: so the timer stays where it was set for an
/// earlier one, and is set anew when it has rung.
fn poll_timer(mut timer: Pin<&mut Sleep>, deadline: Deadline, cx: &mut Context<'_>) -> Poll<()> {
    if timer.deadline() > deadline {
        timer.as_mut().reset(deadline);
    }
    loop {
        ready!(timer.as_mut().poll(cx));
        if timer.deadline() >= deadline {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

/// Appends the answer to something that is no request.
fn refuse(local: &mut Local, source: IpAddr, error: HeadError) {
    local.worker.counters.count(Reason::Head(error));
    log::peer_caused(format_args!("an HTTP request of {source} cannot be read: {}", error.status()));
    http::write_refusal(&mut local.out, error);
}

/// Says goodbye, and reads what the peer was still sending for a moment: closing a socket with unread bytes
/// resets it, and the peer might never see the answer.
async fn close(mut stream: Stream) -> io::Result<()> {
    const LINGER: Duration = Duration::from_millis(500);
    const LINGER_BYTES: usize = 64 * 1024;
    let deadline = Deadline::now() + LINGER;
    timeout_at(deadline, stream.shutdown()).await??;
    let mut dropped = 0;
    while dropped < LINGER_BYTES {
        match timeout_at(deadline, drop_some(&mut stream)).await {
            Err(_) | Ok(Ok(0)) => break,
            Ok(len) => dropped += len?,
        }
    }
    Ok(())
}

/// Reads into the stack: somebody who says goodbye needs no memory for it.
fn drop_some(stream: &mut Stream) -> impl Future<Output = io::Result<usize>> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut rest = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut rest))?;
        Poll::Ready(Ok(rest.filled().len()))
    })
}
