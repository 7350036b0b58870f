//! What connections have read in one turn of their thread, answered in one go.
//!
//! A busy thread finds dozens of requests at a time. Were each read, answered and sent before the next one is looked at,
//! each would begin with the processor's caches full of the system's code and wait for its own memory alone. So all are
//! read first, then answered as a batch, as over UDP, and then sent.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Instant;

use super::answer;
use super::connection::{Announce, Connection};
use super::{Local, Shared};

/// Requests that are answered in one go.
const BATCH: usize = 32;
/// Connections that wait at most. What more come in the same turn answer by themselves.
const WAITING_MAX: usize = 128;

/// What was read and is not answered yet.
pub(super) struct Together {
    waiting: Vec<Waiting>,
    /// The bytes of all, one behind the other.
    bytes: Vec<u8>,
    /// Wakes whoever answers. It then comes behind all connections that can be read in this turn.
    waker: Waker,
}

struct Waiting {
    connection: Rc<RefCell<Connection>>,
    /// Where its bytes are.
    read: Range<usize>,
}

impl Default for Together {
    fn default() -> Self {
        Self { waiting: Vec::new(), bytes: Vec::new(), waker: Waker::noop().clone() }
    }
}

impl Together {
    /// Takes in what a connection has read, if there is room.
    pub(super) fn take_in(&mut self, connection: &Rc<RefCell<Connection>>, read: &[u8]) -> bool {
        if self.waiting.len() == WAITING_MAX {
            return false;
        }
        if self.waiting.is_empty() {
            self.waker.wake_by_ref();
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(read);
        self.waiting.push(Waiting { connection: Rc::clone(connection), read: start..self.bytes.len() });
        true
    }
}

/// Answers what was taken in, turn by turn, for as long as the thread runs.
pub(super) async fn answer(shared: &Shared, local: &RefCell<Local>) {
    poll_fn(|cx| {
        let local = &mut *local.borrow_mut();
        local.together.waker.clone_from(cx.waker());
        let mut waiting = std::mem::take(&mut local.together.waiting);
        let mut bytes = std::mem::take(&mut local.together.bytes);
        for batch in waiting.chunks(BATCH) {
            answer_batch(shared, local, batch, &bytes);
        }
        waiting.clear();
        answer::empty(&mut bytes);
        (local.together.waiting, local.together.bytes) = (waiting, bytes);
        Poll::<()>::Pending
    })
    .await;
}

fn answer_batch(shared: &Shared, local: &mut Local, batch: &[Waiting], bytes: &[u8]) {
    let node = &shared.node;
    let began = Instant::now();
    let mut announces: [Option<Announce<'_>>; BATCH] = [const { None }; BATCH];
    let mut ahead = [const { None }; BATCH];
    let mut found = [const { None }; BATCH];
    let limits = shared.limits.load();
    for ((Waiting { connection, read }, announce), ahead) in batch.iter().zip(&mut announces).zip(&mut ahead)
    {
        let read = &bytes[read.clone()];
        node.catch(|| {
            *announce = connection.borrow_mut().announce((shared, &limits), local, (read, began));
            *ahead = announce.as_ref().map(|announce| announce.asked.ahead(announce.source));
        });
    }
    if batch.len() > 1 {
        // What a panic leaves undone is looked up by each announce alone.
        node.catch(|| node.prefetch(&ahead, &mut found));
    }
    // A panic may have left half an answer to somebody else.
    local.out.clear();
    let mut ends = [0; BATCH];
    for ((announce, found), end) in announces.iter().zip(&found).zip(&mut ends).take(batch.len()) {
        let start = local.out.len();
        let answered = node.catch(|| {
            let Some(Announce { request, source, asked, .. }) = announce else { return };
            answer::announce(shared, local, *source, (request, asked, found.as_ref()));
        });
        if answered.is_none() {
            local.out.truncate(start);
        }
        *end = local.out.len();
    }
    let count = announces.iter().flatten().count() as u64;
    let took = began.elapsed();
    let out = std::mem::take(&mut local.out);
    let mut start = 0;
    for ((waiting, announce), end) in batch.iter().zip(&announces).zip(ends) {
        let connection = &mut *waiting.connection.borrow_mut();
        let turn = match announce {
            Some(_) if start == end => None,
            Some(announce) => Some(connection.send(&out[start..end]).map(|()| announce.turn())),
            None => node.catch(|| connection.answer_fresh(shared, local, &bytes[waiting.read.clone()])),
        };
        // A panic has left it without an answer.
        connection.give_back(turn.unwrap_or_else(|| Err(io::ErrorKind::Other.into())));
        start = end;
    }
    local.out = out;
    answer::empty(&mut local.out);
    if count > 0 {
        local.worker.counters.count_latency(took, count);
    }
}
