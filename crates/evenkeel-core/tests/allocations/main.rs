//! An announce of a known peer takes no memory from the heap, nor does a scrape; a new peer takes some only when what
//! it is put into is full. Counted by the allocator, in a program of its own: there can be one for each program.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use evenkeel_core::account::{
    Account, Allowance, BASELINE_SECS, Factors, Held, PARTS, TorrentNumber, UserNumber,
};
use evenkeel_core::{Handout, Ids, SocketId};
use evenkeel_wire::{Event, PeerId};

use counting::allocations;
use crowd::{fill, peer, torrent, update};
use rig::{Families, Rig};

#[expect(dead_code, reason = "shared with the tests of the program, which count for all threads")]
mod counting;
mod crowd;
#[expect(dead_code, reason = "shared with the tests in `core`, which need more of it")]
#[path = "../core/rig.rs"]
mod rig;

/// A thread's buffers, used again for each announce.
struct Buffers {
    v4: [u8; 200 * 6],
    v6: [u8; 66 * 18],
    sockets: Vec<SocketId>,
    ids: Ids,
    /// Peers that were handed out, to see that some were.
    told: usize,
}

impl Buffers {
    fn new() -> Self {
        let room = Vec::<PeerId>::with_capacity;
        let ids = Ids { v4: room(200), v6: room(200) };
        Self { v4: [0; 200 * 6], v6: [0; 66 * 18], sockets: Vec::with_capacity(200), ids, told: 0 }
    }

    fn handout(&mut self, families: Families) -> Handout<'_> {
        match families {
            Families::V4 => Handout::new(&mut self.v4, &mut []),
            Families::V6 => Handout::new(&mut [], &mut self.v6),
            Families::Both => Handout::new(&mut self.v4, &mut self.v6).with_ids(&mut self.ids),
            Families::Web => Handout::to_sockets(&mut self.sockets),
        }
    }
}

/// Announces peer `number` of torrent 1 and answers how often that took memory.
fn announce(rig: &mut Rig, buffers: &mut Buffers, number: u32, families: Families, event: Event) -> usize {
    let mut ask = update(torrent(1), number);
    ask.event = event;
    ask.numwant = Some(200);
    if event == Event::Completed {
        ask.left = Some(0);
    }
    let mut out = buffers.handout(families);
    let key = peer(number, families);
    let taken = allocations(|| assert!(rig.announce_into(&mut out, key, 7, &ask).answer.is_ok()));
    let dialled = out.v4_bytes() / 6 + out.v6_bytes() / 18;
    buffers.told += if families == Families::Web { buffers.sockets.len() } else { dialled };
    taken
}

/// Sizes on either side of where a column gets an index and of where a draw becomes another one.
const SIZES: [u32; 6] = [1, 5, 128, 129, 1_000, 10_000];

const FAMILIES: [Families; 3] = [Families::V4, Families::V6, Families::Web];

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| std::hint::black_box(Box::new(1))), 1);
    let mut list: Vec<u8> = Vec::new();
    assert_eq!(allocations(|| list.reserve_exact(std::hint::black_box(100))), 1);
    assert_eq!(allocations(|| list.reserve_exact(std::hint::black_box(1_000))), 1, "more of it");
    assert_eq!(allocations(|| drop(list)), 0);
}

#[test]
fn a_known_peer_takes_no_memory() {
    for (size, families) in SIZES.into_iter().flat_map(|size| FAMILIES.map(|families| (size, families))) {
        let mut buffers = Buffers::new();
        let mut rig = Rig::new(1);
        fill(&mut rig, torrent(1), 0..size, families);
        for event in [Event::Started, Event::Update, Event::Paused, Event::Completed, Event::Update] {
            for number in (0..size).step_by(1 + size as usize / 100) {
                let taken = announce(&mut rig, &mut buffers, number, families, event);
                assert_eq!(taken, 0, "one of {size}, {event:?}: {:?}", peer(number, families));
            }
        }
        assert!(size == 1 || buffers.told > 0, "peers are handed out");
    }
}

#[test]
fn a_known_session_takes_no_memory() {
    let mut buffers = Buffers::new();
    let mut rig = Rig::new(7);
    for round in 0..3 {
        for number in 0..1_000 {
            let factors = Factors::PLAIN;
            let (user, torrent) = (UserNumber(number), TorrentNumber(number % 7));
            rig.account = Some(Account { user, torrent, factors, allowance: Allowance::default() });
            rig.now.0 += 1;
            let taken = announce(&mut rig, &mut buffers, number, Families::V4, Event::Update);
            assert!(taken == 0 || round == 0, "user {number}");
            assert!(rig.booking.is_some());
        }
    }
    let held = rig.ledger.held();
    assert_eq!((held.sessions, held.addresses), (1_000, 1_000));
    rig.now.0 += 2 * rig.rules.peer_ttl_secs() + BASELINE_SECS;
    for part in 0..PARTS {
        while !rig.ledger.sweep(part, rig.now, &rig.rules, 3) {}
    }
    let Held { sessions, session_bytes, addresses } = rig.ledger.held();
    assert_eq!((sessions, addresses), (0, 0), "all is forgotten");
    assert!(session_bytes < 1_000, "{session_bytes} bytes are not given back");
}

#[test]
fn a_known_peer_of_two_families_takes_no_memory_with_ids_and_reports_neither() {
    let mut buffers = Buffers::new();
    for size in SIZES {
        let mut rig = Rig::new(2);
        rig.rules.keep_peer_ids = true;
        rig.rules.keep_reports = true;
        for families in [Families::V4, Families::V6] {
            fill(&mut rig, torrent(1), 0..size, families);
        }
        for number in (0..size).step_by(1 + size as usize / 100) {
            // `Both` is the IPv4 address of a peer that has an IPv6 address too and is told of both.
            let taken = announce(&mut rig, &mut buffers, number, Families::Both, Event::Update);
            assert_eq!(taken, 0, "peer {number} of {size}");
            assert!(size == 1 || !buffers.ids.v4.is_empty(), "ids are handed out");
        }
    }
}

#[test]
fn a_scrape_takes_no_memory() {
    let mut rig = Rig::new(3);
    for number in 0..74 {
        fill(&mut rig, torrent(number), 0..number, Families::V4);
    }
    let taken = allocations(|| (0..80).map(|number| rig.shard.scrape(&torrent(number)).seeders).sum::<u32>());
    assert_eq!(taken, 0);
}

#[test]
fn a_sweep_that_forgets_nobody_takes_no_memory() {
    let mut rig = Rig::new(4);
    for families in FAMILIES {
        fill(&mut rig, torrent(1), 0..1_000, families);
    }
    assert_eq!(allocations(|| while !rig.sweep(100).finished {}), 0);
}

/// Lists grow by an eighth, tables double: twenty thousand peers make a column grow some seventy times, and each of the
/// 512 parts of its two tables half a dozen times.
#[test]
fn a_new_peer_takes_memory_only_when_there_is_no_room() {
    const PEERS: u32 = 20_000;
    for families in FAMILIES {
        let mut rig = Rig::new(5);
        let mut buffers = Buffers::new();
        let taken: usize =
            (0..PEERS).map(|number| announce(&mut rig, &mut buffers, number, families, Event::Started)).sum();
        assert!((60..4_000).contains(&taken), "{taken} times for {PEERS} peers");
    }
}

#[test]
fn a_new_torrent_takes_memory_only_when_there_is_no_room() {
    const TORRENTS: u32 = 10_000;
    let mut rig = Rig::new(6);
    let mut taken = 0;
    for number in 0..TORRENTS {
        let ask = update(torrent(number), 1);
        let mut nobody = Handout::new(&mut [], &mut []);
        taken += allocations(|| rig.announce_into(&mut nobody, peer(number, Families::V4), 7, &ask).reason);
    }
    // The list of swarms, that of single peers and that of their owners grow by an eighth; the slots double.
    assert!((60..300).contains(&taken), "{taken} times for {TORRENTS} torrents");
}
