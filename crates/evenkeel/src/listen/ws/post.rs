//! How a message gets from one WebSocket to another: through a queue of the receiver's, and before that through the
//! mailbox of its thread, if that is another one.
//!
//! Queues and mailboxes are bounded. What does not fit is dropped and counted: an offer or answer that is lost costs
//! its peer one of several tries, and clients try again at the next announce.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use evenkeel_core::relay::{OfferKey, Offers};
use evenkeel_core::{SocketId, Time};
use tokio::sync::{Notify, mpsc};

/// Messages that wait for one socket at most.
const QUEUE_MESSAGES_MAX: usize = 64;
/// Bytes that wait for one socket at most.
const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Batches that wait for one thread at most; one holds the offers of one announce.
const MAILBOX_BATCHES_MAX: usize = 1024;

/// A message on its way to another socket.
pub(crate) struct Letter {
    /// Which socket.
    pub to: SocketId,
    /// The message.
    pub text: Vec<u8>,
    /// For an offer that can be answered: what the receiver must know of it, and whose it is.
    pub offer: Option<(OfferKey, SocketId)>,
}

/// The way to every thread's sockets.
pub(crate) struct Mailboxes(Vec<mpsc::Sender<Vec<Letter>>>);

/// Letters for the sockets of one thread.
pub(crate) type Mailbox = mpsc::Receiver<Vec<Letter>>;

impl Mailboxes {
    /// One for each thread, with its other end.
    pub(crate) fn new(threads: usize) -> (Self, Vec<Mailbox>) {
        let (senders, receivers) = (0..threads).map(|_| mpsc::channel(MAILBOX_BATCHES_MAX)).unzip();
        (Self(senders), receivers)
    }

    /// Sends letters to one other thread; answers how many were lost.
    fn send(&self, worker: u16, letters: Vec<Letter>) -> usize {
        let count = letters.len();
        let sent = self.0.get(usize::from(worker)).is_some_and(|mailbox| mailbox.try_send(letters).is_ok());
        if sent { 0 } else { count }
    }
}

/// The open sockets of one thread.
pub(crate) struct Sockets {
    worker: u16,
    opened: u64,
    open: HashMap<SocketId, Rc<Queue>>,
}

impl Sockets {
    /// None yet.
    pub(crate) fn new(worker: u16) -> Self {
        Self { worker, opened: 0, open: HashMap::new() }
    }

    /// A new socket.
    pub(super) fn open(&mut self) -> (SocketId, Rc<Queue>) {
        self.opened += 1;
        let id = SocketId::new(self.worker, self.opened);
        let queue = Rc::<Queue>::default();
        self.open.insert(id, Rc::clone(&queue));
        (id, queue)
    }

    /// A socket is gone.
    pub(super) fn close(&mut self, id: SocketId) {
        self.open.remove(&id);
        if self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to(self.open.len() * 2);
        }
    }

    /// Passes letters on, those of other threads through their mailboxes; answers how many were lost.
    pub(super) fn post(&self, letters: Vec<Letter>, mailboxes: &Mailboxes, now: Time) -> usize {
        let mut away: Vec<(u16, Vec<Letter>)> = Vec::new();
        let mut home = Vec::new();
        for letter in letters {
            let worker = letter.to.worker();
            if worker == self.worker {
                home.push(letter);
            } else {
                match away.iter_mut().find(|(other, _)| *other == worker) {
                    Some((_, batch)) => batch.push(letter),
                    None => away.push((worker, vec![letter])),
                }
            }
        }
        let lost: usize = away.into_iter().map(|(worker, batch)| mailboxes.send(worker, batch)).sum();
        lost + self.deliver(home, now)
    }

    /// Puts letters into the queues of this thread's sockets; answers how many were lost.
    pub(crate) fn deliver(&self, letters: Vec<Letter>, now: Time) -> usize {
        // A socket that was closed meanwhile is no longer there: what was for it is of no use to anybody.
        let lost = |letter: Letter| self.open.get(&letter.to).is_none_or(|queue| !queue.push(letter, now));
        letters.into_iter().map(lost).filter(|lost| *lost).count()
    }
}

/// What waits for one socket, and which offers it was handed.
#[derive(Default)]
pub(super) struct Queue {
    waiting: RefCell<VecDeque<Vec<u8>>>,
    bytes: Cell<usize>,
    offers: RefCell<Offers>,
    filled: Notify,
}

impl Queue {
    fn push(&self, letter: Letter, now: Time) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let bytes = self.bytes.get() + letter.text.len();
        if waiting.len() >= QUEUE_MESSAGES_MAX || bytes > QUEUE_BYTES_MAX {
            return false;
        }
        waiting.push_back(letter.text);
        self.bytes.set(bytes);
        if let Some((key, from)) = letter.offer {
            self.offers.borrow_mut().remember(key, from, now);
        }
        self.filled.notify_one();
        true
    }

    /// Takes the oldest message.
    pub(super) fn pop(&self) -> Option<Vec<u8>> {
        let mut waiting = self.waiting.borrow_mut();
        let text = waiting.pop_front();
        self.bytes.set(self.bytes.get() - text.as_ref().map_or(0, Vec::len));
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        text
    }

    /// Ends when there is something to take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Whose offer is answered; see [`Offers::take`].
    pub(super) fn take_offer(&self, key: OfferKey, now: Time) -> Option<SocketId> {
        self.offers.borrow_mut().take(key, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(0);

    fn letter(to: SocketId, len: usize) -> Letter {
        Letter { to, text: vec![0; len], offer: None }
    }

    #[test]
    fn a_socket_that_never_reads_holds_so_many_messages_and_bytes_and_no_more() {
        let mut sockets = Sockets::new(0);
        let (id, queue) = sockets.open();
        let lost = sockets.deliver((0..100).map(|_| letter(id, 10)).collect(), NOW);
        assert_eq!(lost, 100 - QUEUE_MESSAGES_MAX);
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), QUEUE_MESSAGES_MAX);
        assert_eq!(queue.bytes.get(), 0);
        let lost = sockets.deliver((0..20).map(|_| letter(id, 30_000)).collect(), NOW);
        assert_eq!(20 - lost, QUEUE_BYTES_MAX / 30_000);
    }

    #[test]
    fn letters_find_their_thread_or_are_counted_as_lost() {
        let (mailboxes, mut receivers) = Mailboxes::new(2);
        let (mut here, mut there) = (Sockets::new(0), Sockets::new(1));
        let (near, near_queue) = here.open();
        let (far, far_queue) = there.open();
        let nowhere = SocketId::new(7, 1);
        let gone = SocketId::new(0, 99);
        let letters = [near, far, nowhere, gone, far].map(|to| letter(to, 1)).into();
        assert_eq!(here.post(letters, &mailboxes, NOW), 2);
        assert_eq!(near_queue.waiting.borrow().len(), 1);
        let batch = receivers[1].try_recv().unwrap();
        assert_eq!(there.deliver(batch, NOW), 0);
        assert_eq!(far_queue.waiting.borrow().len(), 2);
        assert!(receivers[0].try_recv().is_err());
        there.close(far);
        assert_eq!(there.deliver(vec![letter(far, 1)], NOW), 1);
    }

    #[test]
    fn a_thread_that_is_stuck_costs_a_bounded_mailbox() {
        let (mailboxes, receivers) = Mailboxes::new(2);
        let here = Sockets::new(0);
        let far = SocketId::new(1, 1);
        let lost: usize = (0..MAILBOX_BATCHES_MAX + 10)
            .map(|_| here.post(vec![letter(far, 1), letter(far, 1)], &mailboxes, NOW))
            .sum();
        assert_eq!(lost, 20);
        drop(receivers);
    }
}
