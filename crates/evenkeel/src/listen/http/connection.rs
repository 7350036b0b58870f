//! One HTTP connection: heads in, answers out, with a deadline for everything.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use evenkeel_core::{Handout, Reason};
use evenkeel_wire::http::{self, Framing, HeadError, Peers, Request, decode_head};
use evenkeel_wire::query::{self, PeerForm};
use evenkeel_wire::{Announce, Endpoint, Failure, InfoHash, Stats};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::{Local, Shared, pages, stopped};
use crate::listen::ws;
use crate::log;

/// A peer that does not take its answer for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Answers to pipelined requests are sent, and other connections get their turn, after so many.
const REQUESTS_PER_TURN: u32 = 16;
/// Least room for each read.
const READ_BYTES: usize = 2048;
/// Buffers of an idle connection are kept up to this size.
const IDLE_BYTES: usize = 4096;

/// Answers requests until the connection, the peer or the program ends.
pub(super) async fn serve(
    shared: &Shared,
    local: &RefCell<Local>,
    mut stream: TcpStream,
    peer: SocketAddr,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = Connection {
        shared,
        local,
        source: peer.ip().to_canonical(),
        requests_left: shared.limits.load().requests_per_connection_max,
        read: Vec::new(),
        out: Vec::new(),
        // The first request of a connection is expected at once, later ones when the peer likes.
        head_began: Some(Deadline::now()),
    };
    let mut stopping = shared.stopping.clone();
    loop {
        let turn = connection.answer_all().await;
        if !connection.out.is_empty() {
            timeout(WRITE_TIMEOUT, stream.write_all(&connection.out)).await??;
            connection.out.clear();
        }
        match turn {
            Turn::Close => return close(stream).await,
            Turn::Upgrade => {
                let web = Rc::clone(&local.borrow().web);
                let (read, source) = (connection.read, connection.source);
                return ws::serve(shared, &web, (stream, read), source).await;
            }
            Turn::More => {
                tokio::task::yield_now().await;
                continue;
            }
            Turn::Read => {}
        }
        let deadline = connection.deadline();
        tokio::select! {
            ready = timeout_at(deadline, stream.readable()) => match ready {
                // Somebody who always has another byte ready does not outrun the clock either.
                Ok(ready) if Deadline::now() < deadline => ready?,
                _ if connection.read.is_empty() => return close(stream).await,
                _ => {
                    connection.refuse(HeadError::Timeout);
                    timeout(WRITE_TIMEOUT, stream.write_all(&connection.out)).await??;
                    return close(stream).await;
                }
            },
            () = stopped(&mut stopping) => return close(stream).await,
        }
        connection.read.reserve(READ_BYTES);
        match stream.try_read_buf(&mut connection.read) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// A connection without its socket.
struct Connection<'a> {
    shared: &'a Shared,
    local: &'a RefCell<Local>,
    source: IpAddr,
    requests_left: u32,
    /// Bytes that are not answered yet.
    read: Vec<u8>,
    /// Answers that are not sent yet.
    out: Vec<u8>,
    /// When the head that is awaited began; `None` between requests.
    head_began: Option<Deadline>,
}

/// What to do after answering what was read.
enum Turn {
    /// Wait for more bytes.
    Read,
    /// There may be another request in what was read already.
    More,
    /// Send the answers and close.
    Close,
    /// Send the answers and go on as a WebSocket; what is read is not HTTP any more.
    Upgrade,
}

impl Connection<'_> {
    /// Answers the requests at the start of `read`, as many as a turn allows, and takes them out.
    async fn answer_all(&mut self) -> Turn {
        let read = std::mem::take(&mut self.read);
        let mut used = 0;
        let mut turn = Turn::More;
        for _ in 0..REQUESTS_PER_TURN {
            match decode_head(&read[used..]) {
                Ok(None) => {
                    turn = Turn::Read;
                    break;
                }
                Ok(Some((request, len))) => {
                    let began = Instant::now();
                    self.head_began = None;
                    self.requests_left = self.requests_left.saturating_sub(1);
                    let stays_open = self.requests_left > 0 && !*self.shared.stopping.borrow();
                    if let Some(key) = request.websocket_key.filter(|_| self.shared.webtorrent) {
                        http::write_upgrade(&mut self.out, &ws::accept(key));
                        used += len;
                        turn = Turn::Upgrade;
                        break;
                    }
                    let keep_alive = request.keep_alive && stays_open;
                    answer(
                        self.shared,
                        self.local,
                        self.source,
                        Request { keep_alive, ..request },
                        &mut self.out,
                    )
                    .await;
                    self.local.borrow().worker.counters.count_latency(began.elapsed(), 1);
                    used += len;
                    if !keep_alive {
                        turn = Turn::Close;
                        break;
                    }
                }
                Err(error) => {
                    self.refuse(error);
                    turn = Turn::Close;
                    break;
                }
            }
        }
        self.read = read;
        self.read.drain(..used);
        turn
    }

    /// When to give up waiting for more bytes. The clock of a head runs from its first byte to its last: sending
    /// one now and then buys no time.
    fn deadline(&mut self) -> Deadline {
        let limits = self.shared.limits.load();
        if self.read.is_empty() {
            self.read.shrink_to(IDLE_BYTES);
            self.out.shrink_to(IDLE_BYTES);
        } else {
            self.head_began.get_or_insert_with(Deadline::now);
        }
        match self.head_began {
            Some(began) => began + limits.head_timeout,
            None => Deadline::now() + limits.idle_timeout,
        }
    }

    /// Appends the answer to something that is no request.
    fn refuse(&mut self, error: HeadError) {
        self.local.borrow().worker.counters.count(Reason::Head(error));
        log::peer_caused(format_args!(
            "an HTTP request of {} cannot be read: {}",
            self.source,
            error.status()
        ));
        http::write_refusal(&mut self.out, error);
    }
}

/// Appends the answer to one request.
async fn answer(
    shared: &Shared,
    local: &RefCell<Local>,
    source: IpAddr,
    request: Request<'_>,
    out: &mut Vec<u8>,
) {
    let framing = Framing::of(&request);
    match request.path {
        b"/announce" if shared.http => {
            let local = &mut *local.borrow_mut();
            local.body.clear();
            match query::announce(request.query) {
                Ok((ask, form)) => answer_announce(shared, local, source, &ask, form),
                Err(failure) => fail(local, failure),
            }
            http::write_answer(out, "200 OK", "text/plain", &local.body, framing);
        }
        b"/scrape" if shared.http => {
            let local = &mut *local.borrow_mut();
            local.body.clear();
            answer_scrape(shared, local, request.query);
            http::write_answer(out, "200 OK", "text/plain", &local.body, framing);
        }
        path => {
            // A page may wait for its figures: nothing of the thread's is borrowed meanwhile.
            let page = pages::find(shared, path, source, request.wants_json).await;
            let local = &mut *local.borrow_mut();
            if let Some(page) = page {
                local.worker.counters.count(Reason::Page);
                http::write_answer(out, page.status, page.content_type, &page.body, framing);
            } else {
                local.body.clear();
                fail(local, Failure::Path);
                // A client shows the text only with status 200; a browser or a monitor wants the truth.
                let is_client = memchr::memmem::find(request.query, b"info_hash=").is_some();
                let status = if is_client { "200 OK" } else { "404 Not Found" };
                http::write_answer(out, status, "text/plain", &local.body, framing);
            }
        }
    }
}

fn answer_announce(shared: &Shared, local: &mut Local, source: IpAddr, ask: &Announce, form: PeerForm) {
    let Local { worker, v4, v6, ids, body, .. } = local;
    let mut handout = Handout::new(v4, v6);
    if form == PeerForm::Dictionary {
        handout = handout.with_ids(ids);
    }
    let caller = Endpoint::new(source, ask.port);
    let place = shared.node.place(&ask.info_hash);
    let answered = shared.node.announce(worker, (caller.into(), place), ask, &mut handout);
    let (v4_bytes, v6_bytes) = (handout.v4_bytes(), handout.v6_bytes());
    let (v4_ids, v6_ids) =
        if form == PeerForm::Dictionary { (&ids.v4[..], &ids.v6[..]) } else { Default::default() };
    match answered {
        Ok(reply) => {
            let peers = Peers { v4: &v4[..v4_bytes], v6: &v6[..v6_bytes], v4_ids, v6_ids };
            http::write_announce(body, &reply, caller, peers, form);
        }
        // The node has counted it.
        Err(failure) => http::write_failure(body, failure),
    }
}

fn answer_scrape(shared: &Shared, local: &mut Local, query: &[u8]) {
    let files: Vec<(InfoHash, Stats)> = match query::scrape(query) {
        Ok(mut scrape) => {
            scrape.sort_and_merge();
            scrape.hashes().iter().map(|info_hash| (*info_hash, shared.node.scrape(info_hash))).collect()
        }
        Err(failure) => match shared.scrape_all() {
            Some(files) if failure == Failure::NoHashes => files,
            _ => return fail(local, failure),
        },
    };
    http::write_scrape(&mut local.body, files.into_iter(), shared.node.rules().min_interval_secs);
    local.worker.counters.count(Reason::Scraped);
}

fn fail(local: &mut Local, failure: Failure) {
    http::write_failure(&mut local.body, failure);
    local.worker.counters.count(Reason::Failed(failure));
}

/// Says goodbye, and reads what the peer was still sending for a moment: closing a socket with unread bytes
/// resets it, and the peer might never see the answer.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    const LINGER: Duration = Duration::from_millis(500);
    const LINGER_BYTES: usize = 64 * 1024;
    stream.shutdown().await?;
    let deadline = Deadline::now() + LINGER;
    let (mut rest, mut dropped) = ([0; 4096], 0);
    while dropped < LINGER_BYTES {
        match timeout_at(deadline, stream.readable()).await {
            Err(_) => break,
            Ok(ready) => ready?,
        }
        match stream.try_read(&mut rest) {
            Ok(0) => break,
            Ok(len) => dropped += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
