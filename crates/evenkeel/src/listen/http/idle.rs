//! The connections of a thread in the order in which they were last of use: who has been idle for longest makes room
//! when there is no other.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use slab::Slab;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::connections::Place;

/// Two rows, each with the longest idle connection first. WebSockets make room after all others: for them it costs their
/// peers, for others one connection more.
///
/// Known weakness: room is made among the connections of one thread. The system spreads them over all threads at random,
/// so that one without any is one of a tracker that has hardly any.
#[derive(Default)]
pub(crate) struct Idle {
    seats: Slab<Entry>,
    rows: [Row; 2],
    emptied: Rc<Notify>,
}

const OTHERS: usize = 0;
const WEBSOCKETS: usize = 1;

#[derive(Default)]
struct Row {
    first: Option<usize>,
    last: Option<usize>,
}

struct Entry {
    row: usize,
    before: Option<usize>,
    after: Option<usize>,
    /// Ends the connection. `None` until its task is known, and once it was told to end.
    end: Option<AbortHandle>,
}

/// What a connection holds as long as it lasts: a place among all, and one in a row of its thread. Both are given back
/// when it is dropped, however the connection ends.
pub(crate) struct Seat {
    idle: Rc<RefCell<Idle>>,
    at: usize,
    place: Place,
}

/// Ends when the thread has no connections.
pub(super) async fn emptied(idle: &RefCell<Idle>) {
    let emptied = Rc::clone(&idle.borrow().emptied);
    while !idle.borrow().seats.is_empty() {
        emptied.notified().await;
    }
}

impl Idle {
    /// Ends the connection that was of no use for longest; says whether there was any.
    pub(super) fn end_longest(&mut self) -> bool {
        let longest = self.rows.iter().find_map(|row| row.first);
        let Some(at) = longest else { return false };
        self.unlink(at);
        // Its task is dropped at its next turn, and the seat with it.
        self.seats[at].end.take().is_some_and(|end| {
            end.abort();
            true
        })
    }

    fn link(&mut self, at: usize) {
        let row = self.seats[at].row;
        let before = self.rows[row].last.replace(at);
        match before {
            Some(before) => self.seats[before].after = Some(at),
            None => self.rows[row].first = Some(at),
        }
        let entry = &mut self.seats[at];
        (entry.before, entry.after) = (before, None);
    }

    fn unlink(&mut self, at: usize) {
        let Entry { row, before, after, .. } = self.seats[at];
        match before {
            Some(before) => self.seats[before].after = after,
            None if self.rows[row].first == Some(at) => self.rows[row].first = after,
            // It is in no row: it was told to end.
            None => return,
        }
        match after {
            Some(after) => self.seats[after].before = before,
            None => self.rows[row].last = before,
        }
        (self.seats[at].before, self.seats[at].after) = (None, None);
    }
}

impl Seat {
    /// Takes a seat; it is of use now.
    pub(super) fn new(idle: &Rc<RefCell<Idle>>, place: Place) -> Self {
        let idle = Rc::clone(idle);
        let at = {
            let idle = &mut *idle.borrow_mut();
            let at = idle.seats.insert(Entry { row: OTHERS, before: None, after: None, end: None });
            idle.link(at);
            at
        };
        Self { idle, at, place }
    }

    /// Where the connection's task can be ended.
    pub(super) fn ended_by(idle: &RefCell<Idle>, at: usize, end: AbortHandle) {
        if let Some(entry) = idle.borrow_mut().seats.get_mut(at) {
            entry.end = Some(end);
        }
    }

    /// Which seat it is.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The connection is of use now.
    pub(crate) fn use_now(&self) {
        let idle = &mut *self.idle.borrow_mut();
        if idle.rows[idle.seats[self.at].row].last != Some(self.at) && idle.seats[self.at].end.is_some() {
            idle.unlink(self.at);
            idle.link(self.at);
        }
    }

    /// The connection is a WebSocket from now on.
    pub(super) fn become_websocket(&self) {
        let idle = &mut *self.idle.borrow_mut();
        if idle.seats[self.at].end.is_some() {
            idle.unlink(self.at);
            idle.seats[self.at].row = WEBSOCKETS;
            idle.link(self.at);
        }
    }

    /// Counts it for an address; see [`Place::count`].
    pub(super) fn count(&mut self, ip: IpAddr, per_address_max: u32) -> bool {
        self.place.count(ip, per_address_max)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let idle = &mut *self.idle.borrow_mut();
        idle.unlink(self.at);
        idle.seats.remove(self.at);
        if idle.seats.is_empty() {
            // A slab keeps its room for good otherwise.
            idle.seats = Slab::new();
            idle.emptied.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::connections::Connections;
    use super::*;

    /// Seats whose tasks never end by themselves.
    struct Room {
        idle: Rc<RefCell<Idle>>,
        connections: Arc<Connections>,
        tasks: tokio::task::LocalSet,
        runtime: tokio::runtime::Runtime,
    }

    impl Room {
        fn new() -> Self {
            Self {
                idle: Rc::default(),
                connections: Arc::new(Connections::new(100, 100)),
                tasks: tokio::task::LocalSet::new(),
                runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            }
        }

        /// Runs `during` with the seat, which a task holds ever after.
        fn sit(&self, during: impl FnOnce(&Seat)) -> usize {
            let seat = Seat::new(&self.idle, self.connections.admit(None, 1).unwrap());
            let at = seat.at();
            let seat = Rc::new(seat);
            let held = Rc::clone(&seat);
            let task = self.tasks.spawn_local(async move {
                std::future::pending::<()>().await;
                drop(held);
            });
            Seat::ended_by(&self.idle, at, task.abort_handle());
            during(&seat);
            at
        }

        /// Ends one; answers which seats are left.
        fn end_longest(&self) -> Vec<usize> {
            self.idle.borrow_mut().end_longest();
            self.runtime.block_on(self.tasks.run_until(tokio::task::yield_now()));
            self.idle.borrow().seats.iter().map(|(at, _)| at).collect()
        }
    }

    #[test]
    fn the_longest_idle_ends_first_and_websockets_last() {
        let room = Room::new();
        let web = room.sit(Seat::become_websocket);
        let seats: Vec<usize> = (0..4).map(|_| room.sit(|_| ())).collect();
        assert_eq!(room.end_longest(), [&[web][..], &seats[1..]].concat());
        // A seat that is taken again is the newest.
        assert_eq!(room.sit(|_| ()), seats[0]);
        assert_eq!(room.end_longest().len(), 4);
        room.end_longest();
        room.end_longest();
        assert_eq!(room.end_longest(), [web]);
        assert!(room.end_longest().is_empty());
        assert!(!room.idle.borrow_mut().end_longest());
        assert_eq!(room.connections.open(), 0);
    }

    #[test]
    fn who_is_of_use_goes_to_the_end_of_its_row() {
        let connections = Arc::new(Connections::new(100, 100));
        let idle = Rc::default();
        let room = Room::new();
        let seats: Vec<Seat> = (0..3)
            .map(|_| {
                let seat = Seat::new(&idle, connections.admit(None, 1).unwrap());
                let task = room.tasks.spawn_local(async {});
                Seat::ended_by(&idle, seat.at(), task.abort_handle());
                seat
            })
            .collect();
        let row = |row: usize| {
            let idle = idle.borrow();
            std::iter::successors(idle.rows[row].first, |at| idle.seats[*at].after).collect::<Vec<_>>()
        };
        assert_eq!(row(OTHERS), [0, 1, 2]);
        seats[1].use_now();
        seats[1].use_now();
        assert_eq!(row(OTHERS), [0, 2, 1]);
        seats[0].become_websocket();
        seats[2].become_websocket();
        assert_eq!((row(OTHERS), row(WEBSOCKETS)), (vec![1], vec![0, 2]));
        seats[0].use_now();
        assert_eq!(row(WEBSOCKETS), [2, 0]);
        // One that was told to end comes back into no row, whatever it still does.
        idle.borrow_mut().end_longest();
        seats[1].use_now();
        seats[1].become_websocket();
        assert_eq!((row(OTHERS), row(WEBSOCKETS)), (vec![], vec![2, 0]));
        drop(seats);
        assert!(idle.borrow().seats.is_empty());
    }
}
