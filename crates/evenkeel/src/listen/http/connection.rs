//! One HTTP connection: heads in, answers out, with a deadline for everything.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use evenkeel_core::{Handout, Reason};
use evenkeel_wire::http::{self, Framing, HeadError, Peers, Request, decode_head};
use evenkeel_wire::query::{self, PeerForm};
use evenkeel_wire::{Announce, Failure, Stats};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, timeout, timeout_at};

use super::{Local, Shared, pages};

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
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let source = peer.ip().to_canonical();
    let mut requests_left = shared.limits.load().requests_per_connection_max;
    let mut read = Vec::new();
    let mut out = Vec::new();
    let mut head_began = Some(Deadline::now());
    loop {
        let turn = answer_all(shared, local, source, &mut read, &mut out, &mut requests_left).await;
        if !out.is_empty() {
            timeout(WRITE_TIMEOUT, stream.write_all(&out)).await??;
        }
        match turn {
            Turn::Close => return close(stream).await,
            Turn::More => {
                out.clear();
                tokio::task::yield_now().await;
                continue;
            }
            Turn::Read => {}
        }
        if read.is_empty() {
            out = Vec::new();
            read.shrink_to(IDLE_BYTES);
            // The first request of a connection is expected at once, later ones when the peer likes.
            head_began = head_began.filter(|_| requests_left == shared.limits.load().requests_per_connection_max);
        } else {
            out.clear();
            head_began = head_began.or_else(|| Some(Deadline::now()));
        }
        let limits = shared.limits.load_full();
        let deadline = head_began
            .map_or_else(|| Deadline::now() + limits.idle_timeout, |began| began + limits.head_timeout);
        tokio::select! {
            ready = timeout_at(deadline, stream.readable()) => match ready {
                Ok(ready) => ready?,
                Err(_) if read.is_empty() => return close(stream).await,
                Err(_) => {
                    refuse(local, &mut out, HeadError::Timeout);
                    timeout(WRITE_TIMEOUT, stream.write_all(&out)).await??;
                    return close(stream).await;
                }
            },
            _ = stopping.wait_for(|stopping| *stopping) => return close(stream).await,
        }
        read.reserve(READ_BYTES);
        match stream.try_read_buf(&mut read) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// What to do after answering what was read.
enum Turn {
    /// Wait for more bytes.
    Read,
    /// There may be another request in what was read already.
    More,
    /// Send the answers and close.
    Close,
}

/// Answers the requests at the start of `read`, as many as a turn allows, and takes them out.
async fn answer_all(
    shared: &Shared,
    local: &RefCell<Local>,
    source: IpAddr,
    read: &mut Vec<u8>,
    out: &mut Vec<u8>,
    requests_left: &mut u32,
) -> Turn {
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
                *requests_left = requests_left.saturating_sub(1);
                let keep_alive = request.keep_alive && *requests_left > 0 && !*shared.stopping.borrow();
                answer(shared, local, source, Request { keep_alive, ..request }, out).await;
                local.borrow().worker.counters.count_latency(began.elapsed(), 1);
                used += len;
                if !keep_alive {
                    turn = Turn::Close;
                    break;
                }
            }
            Err(error) => {
                refuse(local, out, error);
                turn = Turn::Close;
                break;
            }
        }
    }
    read.drain(..used);
    turn
}

/// Appends the answer to one request.
async fn answer(
    shared: &Shared,
    local: &RefCell<Local>,
    source: IpAddr,
    request: Request<'_>,
    out: &mut Vec<u8>,
) {
    let framing = Framing { keep_alive: request.keep_alive, head_only: request.head_only };
    match request.path {
        b"/announce" => {
            let local = &mut *local.borrow_mut();
            local.body.clear();
            match query::announce(request.query) {
                Ok((ask, form)) => answer_announce(shared, local, source, &ask, form),
                Err(failure) => fail(local, failure),
            }
            http::write_answer(out, "200 OK", "text/plain", &local.body, framing);
        }
        b"/scrape" => {
            let local = &mut *local.borrow_mut();
            local.body.clear();
            answer_scrape(shared, local, request.query);
            http::write_answer(out, "200 OK", "text/plain", &local.body, framing);
        }
        path => {
            // A page may wait for its figures: nothing of the thread's is borrowed meanwhile.
            let page = pages::find(shared, path, request.wants_json).await;
            let local = &mut *local.borrow_mut();
            if let Some(page) = page {
                local.worker.counters.count(Reason::Page);
                http::write_answer(out, page.status, page.content_type, &page.body, framing);
            } else {
                local.body.clear();
                fail(local, Failure::Path);
                http::write_answer(out, "404 Not Found", "text/plain", &local.body, framing);
            }
        }
    }
}

fn answer_announce(shared: &Shared, local: &mut Local, source: IpAddr, ask: &Announce, form: PeerForm) {
    let Local { worker, v4, v6, ids, body } = local;
    let mut handout = Handout::new(v4, v6);
    if form == PeerForm::Dictionary {
        handout = handout.with_ids(ids);
    }
    let answered = shared.node.announce(worker, source, ask, &mut handout);
    let (v4_bytes, v6_bytes) = (handout.v4_bytes(), handout.v6_bytes());
    let (v4_ids, v6_ids) =
        if form == PeerForm::Dictionary { (&ids.v4[..], &ids.v6[..]) } else { Default::default() };
    match answered.answer {
        Ok(reply) => {
            let peers = Peers { v4: &v4[..v4_bytes], v6: &v6[..v6_bytes], v4_ids, v6_ids };
            http::write_announce(body, &reply, answered.endpoint, peers, form);
        }
        // The node has counted it.
        Err(failure) => http::write_failure(body, failure),
    }
}

fn answer_scrape(shared: &Shared, local: &mut Local, query: &[u8]) {
    match query::scrape(query) {
        Ok(mut scrape) => {
            scrape.sort_and_merge();
            let files = scrape.hashes().iter().map(|info_hash| -> (_, Stats) {
                (*info_hash, shared.node.scrape(info_hash))
            });
            http::write_scrape(&mut local.body, files, shared.node.rules().min_interval_secs);
            local.worker.counters.count(Reason::Scraped);
        }
        Err(failure) => fail(local, failure),
    }
}

fn fail(local: &mut Local, failure: Failure) {
    http::write_failure(&mut local.body, failure);
    local.worker.counters.count(Reason::Failed(failure));
}

/// Appends the answer to something that is no request.
fn refuse(local: &RefCell<Local>, out: &mut Vec<u8>, error: HeadError) {
    local.borrow().worker.counters.count(Reason::Head(error));
    let framing = Framing { keep_alive: false, head_only: false };
    http::write_answer(out, error.status(), "text/plain", error.status().as_bytes(), framing);
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
