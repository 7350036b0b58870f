//! How a message gets from one WebSocket to another: through a queue of the receiver's, and before that through the
//! mailbox of its thread, if that is another one.
//!
//! Queues and mailboxes are bounded. What does not fit is dropped and counted: an offer or answer that is lost costs
//! its peer one of several tries, and clients try again at the next announce.
//!
//! To send is what costs most, and costs the same for one message as for ten. Where many are passed on, what is for a
//! socket waits a moment for what else will be.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use evenkeel_core::relay::{OfferKey, Offers};
use evenkeel_core::{SocketId, Time, prefetch};
use evenkeel_wire::limits::OFFERS_MAX;
use foldhash::fast::RandomState;
use tokio::io::AsyncWrite;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

/// Messages that wait for one socket at most.
const QUEUE_MESSAGES_MAX: usize = 64;
/// Bytes that wait for one socket at most.
const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// Room that is made for the first of them.
const QUEUE_BYTES_MIN: usize = 4096;
/// Buffers of queues that a busy thread keeps to use again, and how large each may be.
const BUFFERS_KEPT_MAX: usize = 1024;
const BUFFER_KEPT_BYTES: usize = 32 * 1024;
/// Batches that wait for one thread at most; one holds the offers of one announce.
const MAILBOX_BATCHES_MAX: usize = 1024;
/// A thread is busy that has passed on so many messages since it last sent some, and one for so many of its sockets.
const BUSY_MESSAGES: usize = 64;
const BUSY_SOCKETS: usize = 16;
/// How long what a busy thread passes on waits for more.
const BUSY_PAUSE: Duration = Duration::from_millis(50);
/// A thread is flooded that has passed on so many messages for each of its sockets, and then waits for so long.
const FLOOD_MESSAGES_EACH: usize = 2;
const FLOOD_PAUSE: Duration = Duration::from_millis(100);

/// A message on its way to another socket.
pub(crate) struct Letter {
    /// Which socket.
    pub to: SocketId,
    /// The message, in its frame.
    pub frame: Box<[u8]>,
    /// For an offer that can be answered: what the receiver must know of it, and whose it is.
    pub offer: Option<Note>,
}

/// What is remembered of an offer, and the socket that made it.
pub(super) type Note = (OfferKey, SocketId);

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
    open: HashMap<SocketId, Rc<Queue>, RandomState>,
    outgoing: Rc<Outgoing>,
}

impl Sockets {
    /// None yet.
    pub(crate) fn new(worker: u16) -> Self {
        Self { worker, opened: 0, open: HashMap::default(), outgoing: Rc::default() }
    }

    /// What waits for any of them.
    pub(super) fn outgoing(&self) -> Rc<Outgoing> {
        Rc::clone(&self.outgoing)
    }

    /// A new socket.
    pub(super) fn open(&mut self) -> (SocketId, Rc<Queue>) {
        self.opened += 1;
        let id = SocketId::new(self.worker, self.opened);
        let queue = Rc::new(Queue { buffers: Rc::clone(&self.outgoing.buffers), ..Queue::default() });
        self.open.insert(id, Rc::clone(&queue));
        self.outgoing.open.set(self.open.len());
        (id, queue)
    }

    /// A socket is gone.
    pub(super) fn close(&mut self, id: SocketId) {
        self.open.remove(&id);
        self.outgoing.open.set(self.open.len());
        if self.open.len() < self.open.capacity() / 4 {
            self.open.shrink_to(self.open.len() * 2);
        }
    }

    /// Messages will be put into the queues of these: all of that is fetched from memory together.
    pub(super) fn prefetch(&self, receivers: &[SocketId]) {
        let mut queues = [None; OFFERS_MAX];
        for (queue, to) in queues.iter_mut().zip(receivers) {
            *queue = self.open.get(to);
            queue.iter().for_each(|queue| prefetch::value(Rc::as_ptr(queue)));
        }
        queues.iter().flatten().for_each(|queue| queue.prefetch());
    }

    /// Puts letters into the queues of this thread's sockets; answers how many were lost.
    pub(crate) fn deliver(&self, letters: Vec<Letter>, now: Time) -> usize {
        let lost = |letter: Letter| !self.put(letter.to, &letter.frame, letter.offer, now);
        letters.into_iter().map(lost).filter(|lost| *lost).count()
    }

    /// Puts a message into the queue of one of this thread's sockets, if there is room.
    fn put(&self, to: SocketId, frame: &[u8], offer: Option<Note>, now: Time) -> bool {
        // A socket that was closed meanwhile is no longer there: what was for it is of no use to anybody.
        self.open.get(&to).is_some_and(|queue| {
            let has_room = queue.push(frame, offer, now);
            if has_room {
                self.outgoing.add(queue);
            }
            has_room
        })
    }
}

/// Passes messages on: those for sockets of other threads go together, to their mailboxes.
pub(super) struct Post<'a> {
    sockets: &'a Sockets,
    mailboxes: &'a Mailboxes,
    now: Time,
    away: Vec<(u16, Vec<Letter>)>,
    lost: usize,
}

impl<'a> Post<'a> {
    /// From one of `sockets`.
    pub(super) fn new(sockets: &'a Sockets, mailboxes: &'a Mailboxes, now: Time) -> Self {
        Self { sockets, mailboxes, now, away: Vec::new(), lost: 0 }
    }

    /// Passes one message on.
    pub(super) fn put(&mut self, to: SocketId, frame: &[u8], offer: Option<Note>) {
        let worker = to.worker();
        if worker == self.sockets.worker {
            self.lost += usize::from(!self.sockets.put(to, frame, offer, self.now));
            return;
        }
        let letter = Letter { to, frame: frame.into(), offer };
        match self.away.iter_mut().find(|(other, _)| *other == worker) {
            Some((_, batch)) => batch.push(letter),
            None => self.away.push((worker, vec![letter])),
        }
    }

    /// Sends what is for other threads; answers how many messages were lost.
    pub(super) fn send(self) -> usize {
        let lost: usize =
            self.away.into_iter().map(|(worker, batch)| self.mailboxes.send(worker, batch)).sum();
        self.lost + lost
    }
}

/// Sockets of one thread for which something waits that was passed on, each once.
#[derive(Default)]
pub(super) struct Outgoing {
    queues: RefCell<Vec<Rc<Queue>>>,
    messages: Cell<usize>,
    /// Sockets of the thread.
    open: Cell<usize>,
    filled: Notify,
    buffers: Rc<Buffers>,
}

/// Buffers of queues for which nothing waits, as long as the thread is busy. To have the system's memory fetched and given
/// back for each takes longer than to fill them.
#[derive(Default)]
struct Buffers {
    kept: RefCell<Vec<Vec<u8>>>,
    is_busy: Cell<bool>,
}

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.kept.borrow_mut().pop().unwrap_or_default()
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        let kept = &mut *self.kept.borrow_mut();
        let has_room = self.is_busy.get() && kept.len() < BUFFERS_KEPT_MAX;
        if has_room && (1..=BUFFER_KEPT_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            kept.push(buffer);
        }
    }

    fn become_busy(&self, is_busy: bool) {
        self.is_busy.set(is_busy);
        if !is_busy {
            self.kept.take();
        }
    }
}

impl Outgoing {
    fn add(&self, queue: &Rc<Queue>) {
        self.messages.set(self.messages.get() + 1);
        if queue.is_half_full() {
            queue.wake();
        }
        if !queue.is_outgoing.replace(true) {
            let mut queues = self.queues.borrow_mut();
            queues.push(Rc::clone(queue));
            if queues.len() == 1 {
                self.filled.notify_one();
            }
        }
    }

    /// Has sockets sent what waits for them, for as long as the program runs: at once where little is passed on, and after
    /// a pause where that has been much. Tells how many buffers are kept.
    pub(super) async fn send_all(&self, kept: &AtomicU64) {
        let mut pause = None;
        loop {
            self.filled.notified().await;
            match pause {
                Some(pause) => sleep(pause).await,
                None => tokio::task::yield_now().await,
            }
            pause = self.pause_after(self.send());
            self.buffers.become_busy(pause.is_some());
            kept.store(self.buffers.kept.borrow().len() as u64, Ordering::Relaxed);
        }
    }

    /// How long to wait after so many messages.
    fn pause_after(&self, messages: usize) -> Option<Duration> {
        let open = self.open.get();
        match messages {
            _ if messages < BUSY_MESSAGES.max(open / BUSY_SOCKETS) => None,
            _ if messages < FLOOD_MESSAGES_EACH * open => Some(BUSY_PAUSE),
            _ => Some(FLOOD_PAUSE),
        }
    }

    /// Wakes all sockets for which something waits; answers how many messages that were since the last time.
    fn send(&self) -> usize {
        for queue in self.queues.take() {
            queue.is_outgoing.set(false);
            queue.wake();
        }
        self.messages.take()
    }
}

/// What waits for one socket, and which offers it was handed.
#[derive(Default)]
pub(super) struct Queue {
    waiting: RefCell<Waiting>,
    offers: RefCell<Offers>,
    /// Who waits for the queue to be sent.
    waker: RefCell<Option<Waker>>,
    /// It is time to send what waits.
    is_due: Cell<bool>,
    /// It is among those of [`Outgoing`].
    is_outgoing: Cell<bool>,
    /// Those of the thread.
    buffers: Rc<Buffers>,
}

/// Messages in their frames.
#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    sent: usize,
    messages: usize,
}

impl Waiting {
    fn add(&mut self, frame: &[u8], buffers: &Buffers) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take();
            // Most often there are some: to make room once is cheaper than for each.
            self.bytes.reserve(frame.len().max(QUEUE_BYTES_MIN));
        }
        self.bytes.extend_from_slice(frame);
    }
}

impl Queue {
    fn push(&self, frame: &[u8], offer: Option<Note>, now: Time) -> bool {
        let waiting = &mut *self.waiting.borrow_mut();
        if waiting.messages >= QUEUE_MESSAGES_MAX || waiting.bytes.len() + frame.len() > QUEUE_BYTES_MAX {
            return false;
        }
        waiting.add(frame, &self.buffers);
        waiting.messages += 1;
        if let Some((key, from)) = offer {
            self.offers.borrow_mut().remember(key, from, now);
        }
        true
    }

    /// A message will be put in, of an offer.
    fn prefetch(&self) {
        // It begins there, and goes on in lines that the processor sees coming.
        prefetch::value(self.waiting.borrow().bytes.as_ptr_range().end.cast::<[u8; 256]>());
        self.offers.borrow().prefetch();
    }

    fn is_half_full(&self) -> bool {
        let waiting = self.waiting.borrow();
        waiting.messages >= QUEUE_MESSAGES_MAX / 2 || waiting.bytes.len() >= QUEUE_BYTES_MAX / 2
    }

    /// Has the socket send what waits.
    fn wake(&self) {
        self.is_due.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Adds what the socket itself has to say, and has to send before it hears more: all that waits is due. Answers how
    /// many bytes that is.
    pub(super) fn say(&self, frame: &[u8]) -> usize {
        self.is_due.set(true);
        let waiting = &mut *self.waiting.borrow_mut();
        waiting.add(frame, &self.buffers);
        waiting.bytes.len()
    }

    /// Whether it is time to send what waits.
    pub(super) fn is_due(&self) -> bool {
        self.is_due.get()
    }

    /// Ready when it is time to send what waits.
    pub(super) fn poll_due(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_due.get() {
            return Poll::Ready(());
        }
        let waker = &mut *self.waker.borrow_mut();
        match waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Sends all that waits.
    pub(super) fn poll_send(
        &self,
        stream: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let waiting = &mut *self.waiting.borrow_mut();
        while waiting.sent < waiting.bytes.len() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &waiting.bytes[waiting.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                len => waiting.sent += len,
            }
        }
        self.buffers.keep(std::mem::take(waiting).bytes);
        self.is_due.set(false);
        Poll::Ready(Ok(()))
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
        Letter { to, frame: vec![0; len].into(), offer: None }
    }

    /// Everything that waits, and how much that is.
    fn sent(queue: &Queue) -> usize {
        let mut bytes = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(queue.poll_send(&mut bytes, &mut cx).is_ready());
        bytes.len()
    }

    #[test]
    fn a_socket_that_never_reads_holds_so_many_messages_and_bytes_and_no_more() {
        let mut sockets = Sockets::new(0);
        let (id, queue) = sockets.open();
        let lost = sockets.deliver((0..100).map(|_| letter(id, 10)).collect(), NOW);
        assert_eq!(lost, 100 - QUEUE_MESSAGES_MAX);
        assert_eq!(sent(&queue), QUEUE_MESSAGES_MAX * 10);
        assert_eq!(queue.waiting.borrow().bytes.capacity(), 0);
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
        let mut post = Post::new(&here, &mailboxes, NOW);
        for to in [near, far, nowhere, gone, far] {
            post.put(to, b"x", None);
        }
        assert_eq!(post.send(), 2);
        assert_eq!(sent(&near_queue), 1);
        let batch = receivers[1].try_recv().unwrap();
        assert_eq!(there.deliver(batch, NOW), 0);
        assert_eq!(sent(&far_queue), 2);
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
            .map(|_| {
                let mut post = Post::new(&here, &mailboxes, NOW);
                post.put(far, b"x", None);
                post.put(far, b"x", None);
                post.send()
            })
            .sum();
        assert_eq!(lost, 20);
        drop(receivers);
    }

    #[test]
    fn what_is_passed_on_is_due_when_all_is_sent_or_half_the_room_is_taken() {
        let mut sockets = Sockets::new(0);
        let [(first, first_queue), (second, second_queue)] = [sockets.open(), sockets.open()];
        let cx = &mut Context::from_waker(Waker::noop());
        sockets.deliver((0..QUEUE_MESSAGES_MAX / 2).map(|_| letter(first, 1)).collect(), NOW);
        sockets.deliver(vec![letter(second, 1), letter(second, 1)], NOW);
        assert!(first_queue.poll_due(cx).is_ready());
        assert!(second_queue.poll_due(cx).is_pending());
        assert_eq!(sockets.outgoing.queues.borrow().len(), 2, "each is there once");
        assert_eq!(sockets.outgoing.send(), QUEUE_MESSAGES_MAX / 2 + 2);
        assert!(second_queue.poll_due(cx).is_ready());
        assert_eq!(sent(&second_queue), 2);
        assert!(second_queue.poll_due(cx).is_pending());
        assert_eq!(sockets.outgoing.send(), 0);
    }

    #[test]
    fn what_a_socket_says_itself_is_due_with_all_that_waits() {
        let mut sockets = Sockets::new(0);
        let (id, queue) = sockets.open();
        sockets.deliver(vec![letter(id, 3)], NOW);
        assert!(!queue.is_due());
        assert_eq!(queue.say(b"ab"), 5);
        assert!(queue.is_due());
        assert_eq!(sent(&queue), 5);
        assert!(!queue.is_due());
    }

    #[test]
    fn the_more_is_passed_on_the_longer_it_waits() {
        for (messages, open, pause) in [
            (0, 0, None),
            (BUSY_MESSAGES - 1, 1, None),
            (BUSY_MESSAGES, 1, Some(FLOOD_PAUSE)),
            (BUSY_MESSAGES, 100, Some(BUSY_PAUSE)),
            (100, 10_000, None),
            (10_000, 10_000, Some(BUSY_PAUSE)),
            (20_000, 10_000, Some(FLOOD_PAUSE)),
        ] {
            let outgoing = Outgoing::default();
            outgoing.open.set(open);
            assert_eq!(outgoing.pause_after(messages), pause, "{messages} {open}");
        }
    }

    #[test]
    fn buffers_are_used_again_as_long_as_the_thread_is_busy_and_they_are_small_and_few() {
        let buffers = Buffers::default();
        buffers.keep(vec![1; 10]);
        assert_eq!(buffers.take().capacity(), 0);
        buffers.become_busy(true);
        buffers.keep(Vec::new());
        buffers.keep(vec![0; BUFFER_KEPT_BYTES + 1]);
        assert_eq!(buffers.take().capacity(), 0);
        for _ in 0..=BUFFERS_KEPT_MAX {
            buffers.keep(vec![1; 10]);
        }
        assert_eq!(buffers.kept.borrow().len(), BUFFERS_KEPT_MAX);
        let buffer = buffers.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 10);
        buffers.become_busy(false);
        assert_eq!(buffers.take().capacity(), 0);
    }

    #[test]
    fn a_busy_thread_waits_for_more_and_one_with_little_to_do_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut sockets = Sockets::new(0);
            let open: Vec<_> = (0..BUSY_MESSAGES / 2).map(|_| sockets.open()).collect();
            let outgoing = sockets.outgoing();
            let kept = AtomicU64::new(0);
            let sending = outgoing.send_all(&kept);
            let due = async {
                let mut waits = Vec::new();
                // Among the more sockets two messages for one of them come together by chance only.
                for (each, others) in [(1, 0), (1, 0), (2, 0), (1, 0), (1, 0), (2, 10_000), (1, 0)] {
                    sockets.outgoing.open.set(open.len() + others);
                    let began = tokio::time::Instant::now();
                    for (id, _) in &open {
                        sockets.deliver((0..each).map(|_| letter(*id, 1)).collect(), NOW);
                    }
                    for (_, queue) in &open {
                        std::future::poll_fn(|cx| queue.poll_due(cx)).await;
                        assert_eq!(sent(queue), each);
                    }
                    waits.push(began.elapsed() >= BUSY_PAUSE);
                }
                assert_eq!(waits, [false, false, false, true, false, false, false]);
                assert_eq!(kept.load(Ordering::Relaxed), 0, "it has little to do in the end");
            };
            tokio::select! { () = sending => {}, () = due => {} }
        });
    }
}
