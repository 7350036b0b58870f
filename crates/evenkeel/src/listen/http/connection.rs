//! One HTTP connection: heads in, answers out, with a deadline for everything.
//!
//! Bytes are read into the stack and answers are made in a buffer of the thread: a connection has memory of its own
//! for half a request and for an answer that the peer does not take at once, and for nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use evenkeel_core::Reason;
use evenkeel_wire::http::{self, Framing, HeadError, Request, decode_head};
use evenkeel_wire::secret;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant as Deadline, Sleep, sleep_until, timeout, timeout_at};

use super::answer::{self, Later};
use super::arrival::Origin;
use super::idle::Seat;
use super::{Local, Shared, stopped};
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
    (shared, local): (&Shared, &RefCell<Local>),
    mut stream: Stream,
    origin: Origin,
    began: Deadline,
    seat: Seat,
) -> io::Result<()> {
    let mut connection = Connection {
        shared,
        local,
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
    };
    let mut stopping = shared.stopping.clone();
    let mut stopped = pin!(stopped(&mut stopping));
    let mut timer = pin!(sleep_until(connection.deadline()));
    let mut are_set = false;
    let mut turn = Turn::Read;
    loop {
        turn = match turn {
            Turn::Read => {
                let deadline = connection.deadline();
                let turn = poll_fn(|cx| {
                    if let Poll::Ready(turn) = connection.poll_turn(&mut stream, cx) {
                        return Poll::Ready(turn);
                    }
                    // Both know the task since they were first asked: most often they have nothing to say to it.
                    let is_late = timer.is_elapsed() || timer.deadline() > deadline;
                    if are_set && !is_late && !shared.is_stopping() {
                        return Poll::Pending;
                    }
                    if poll_timer(timer.as_mut(), deadline, cx).is_ready() {
                        return Poll::Ready(Ok(connection.give_up()));
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
                poll_fn(|cx| Poll::Ready(connection.answer_more(&mut stream, cx))).await?
            }
            Turn::Wait(asked) => connection.answer_later(asked).await,
            Turn::Close => return close(stream).await,
            // The system says goodbye when the socket is dropped.
            Turn::End if stream.is_bare() => return Ok(()),
            Turn::End => return close(stream).await,
            Turn::Gone => return Ok(()),
            Turn::Upgrade => {
                let (web, source) = (Rc::clone(&local.borrow().web), connection.source);
                stream.put_back(std::mem::take(&mut connection.read));
                // In a box of its own: every connection would be as large as a WebSocket otherwise.
                connection.seat.become_websocket();
                let guest = ws::Guest { source, secret: connection.secret };
                return Box::pin(ws::serve(shared, &web, stream, (guest, connection.seat))).await;
            }
        };
        connection.send_rest(&mut stream).await?;
    }
}

/// A connection without its socket.
struct Connection<'a> {
    shared: &'a Shared,
    local: &'a RefCell<Local>,
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
}

/// What to do after answering what was read.
enum Turn {
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

impl Connection<'_> {
    /// Waits for bytes, answers them, and sends the answers as far as the peer takes them.
    fn poll_turn(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<Turn>> {
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut fresh = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut fresh))?;
        if fresh.filled().is_empty() {
            return Poll::Ready(Ok(Turn::Gone));
        }
        if self.read.is_empty() {
            let (used, turn) = self.answer_all(fresh.filled(), stream, cx)?;
            self.read.extend_from_slice(&fresh.filled()[used..]);
            return Poll::Ready(Ok(self.within_time(turn)));
        }
        self.read.extend_from_slice(fresh.filled());
        let turn = self.answer_more(stream, cx)?;
        Poll::Ready(Ok(self.within_time(turn)))
    }

    /// Answers what was read already.
    fn answer_more(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<Turn> {
        let mut read = std::mem::take(&mut self.read);
        let (used, turn) = self.answer_all(&read, stream, cx)?;
        if used < read.len() {
            read.drain(..used);
            self.read = read;
        }
        Ok(turn)
    }

    /// Somebody who always has another byte ready does not outrun the clock.
    fn within_time(&mut self, turn: Turn) -> Turn {
        if matches!(turn, Turn::Read) && !self.read.is_empty() && self.deadline() <= Deadline::now() {
            return self.give_up();
        }
        turn
    }

    /// Answers the requests at the start of `read`, as many as a turn allows, and sends the answers; says how many
    /// bytes they were.
    fn answer_all(
        &mut self,
        read: &[u8],
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> io::Result<(usize, Turn)> {
        let local = &mut *self.local.borrow_mut();
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
                    self.answer(local, request)
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
        self.send(&mut local.out, stream, cx)?;
        Ok((used, turn))
    }

    fn answer(&mut self, local: &mut Local, request: Request<'_>) -> Turn {
        let began = Instant::now();
        (self.head_began, self.used) = (None, began.into());
        self.seat.use_now();
        self.source = self.source_of(local, &request);
        self.requests_left = self.requests_left.saturating_sub(1);
        if let Some(key) = request.websocket_key.filter(|_| self.shared.webtorrent) {
            return self.upgrade(local, &request, key);
        }
        let is_last = !request.keep_alive;
        let stays_open = self.requests_left > 0 && !self.shared.is_stopping();
        let request = Request { keep_alive: request.keep_alive && stays_open, ..request };
        if let Some(later) = answer::answer(self.shared, local, self.source, &request) {
            return Turn::Wait(later);
        }
        local.worker.counters.count_latency(began.elapsed(), 1);
        match request.keep_alive {
            true => Turn::More,
            false if is_last => Turn::End,
            false => Turn::Close,
        }
    }

    /// Lets the connection be a WebSocket. Behind a proxy, it is only now known whose it is.
    fn upgrade(&mut self, local: &mut Local, request: &Request<'_>, key: &[u8]) -> Turn {
        if self.origin.is_trusted && !self.seat.count(self.source, self.shared.per_address_max()) {
            add(&local.worker.counters.refused_connections, 1);
            let framing = Framing::of(&Request { keep_alive: false, ..*request });
            let told = b"too many WebSockets of your address\n";
            http::write_answer(&mut local.out, "503 Service Unavailable", "text/plain", told, framing);
            return Turn::Close;
        }
        if self.shared.node.asks_for_secrets() {
            let in_path = secret::of_url(request.path);
            self.secret = secret::of_query(request.query).or(in_path).map(hash);
        }
        http::write_upgrade(&mut local.out, &ws::accept(key));
        Turn::Upgrade
    }

    /// On whose behalf a request comes. Headers of strangers say nothing; a proxy that names nobody speaks for itself.
    fn source_of(&self, local: &Local, request: &Request<'_>) -> IpAddr {
        let counters = &local.worker.counters;
        if !self.origin.is_trusted {
            add(&counters.forwarding_ignored, request.is_forwarded.into());
            return self.origin.ip;
        }
        let proxies = self.shared.proxies.load();
        let named = proxies.client(request.headers);
        add(&counters.forwarding_missing, (named.is_none() && proxies.header.is_some()).into());
        named.unwrap_or(self.origin.ip)
    }

    /// A page may wait for somebody: nothing of the thread's is borrowed meanwhile.
    async fn answer_later(&mut self, asked: Later) -> Turn {
        let page = asked.page(self.shared).await;
        let counters = &self.local.borrow().worker.counters;
        counters.count(Reason::Page);
        counters.count_latency(asked.began.elapsed(), 1);
        asked.write(&mut self.out, &page);
        self.used = Deadline::now();
        if asked.keep_alive { Turn::More } else { Turn::Close }
    }

    /// Sends answers as far as the peer takes them at once, and keeps the rest.
    fn send(&mut self, out: &mut Vec<u8>, stream: &mut Stream, cx: &mut Context<'_>) -> io::Result<()> {
        let mut sent = 0;
        while sent < out.len() {
            match Pin::new(&mut *stream).poll_write(cx, &out[sent..])? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(len) => sent += len,
                Poll::Pending => break,
            }
        }
        self.is_flushed = sent == 0 || Pin::new(stream).poll_flush(cx)?.is_ready();
        self.out.extend_from_slice(&out[sent..]);
        answer::empty(out);
        Ok(())
    }

    /// Waits until the peer has taken what was left.
    async fn send_rest(&mut self, stream: &mut Stream) -> io::Result<()> {
        if self.out.is_empty() && self.is_flushed {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        timeout(WRITE_TIMEOUT, async {
            stream.write_all(&out).await?;
            stream.flush().await
        })
        .await??;
        (self.is_flushed, self.used) = (true, Deadline::now());
        Ok(())
    }

    /// When to give up waiting for more bytes. The clock of a head runs from its first byte to its last: sending
    /// one now and then buys no time.
    fn deadline(&mut self) -> Deadline {
        let limits = self.shared.limits.load();
        if !self.read.is_empty() {
            self.head_began.get_or_insert_with(Deadline::now);
        }
        match self.head_began {
            Some(began) => began + limits.head_timeout,
            None => self.used + limits.idle_timeout,
        }
    }

    /// Closes what was silent for too long; half a head gets an answer.
    fn give_up(&mut self) -> Turn {
        if !self.read.is_empty() {
            let local = &mut *self.local.borrow_mut();
            local.out.clear();
            refuse(local, self.source, HeadError::Timeout);
            self.out.append(&mut local.out);
        }
        Turn::Close
    }
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
