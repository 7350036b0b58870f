//! What is counted. Each case sets up, runs one kind of request many times through [`counted`], and answers how many
//! times: the figure is the mean. Seeds are fixed, so that every run does the same.

use std::hint::black_box;
use std::ops::Range;

use evenkeel_core::account::{Account, Allowance, Factors, TorrentNumber, UserNumber};
use evenkeel_core::analyst::{Analyst, Observation};
use evenkeel_core::rules::standing::StandingRules;
use evenkeel_core::{Handout, SocketId, Time};
use evenkeel_wire::limits::UDP_REPLY_BYTES_MAX;
use evenkeel_wire::udp::{self, Ask, Request};
use evenkeel_wire::{Announce, Reply, Stats, ws};

use crate::crowd::{fill, peer, torrent, update};
use crate::rig::{Families, Rig};

/// A figure of the baseline.
pub(crate) struct Case {
    /// Its name there.
    pub(crate) name: &'static str,
    /// Sets up, runs what is counted, answers how often.
    pub(crate) run: fn() -> usize,
}

/// All of them, in the order of the baseline.
pub(crate) const CASES: [Case; 18] = [
    Case { name: "announce-known-of-5", run: || known(5, Families::V4) },
    Case { name: "announce-known-of-10000", run: || known(10_000, Families::V4) },
    Case { name: "announce-known-of-10000-v6", run: || known(10_000, Families::V6) },
    Case { name: "announce-known-of-10000-webtorrent", run: || known(10_000, Families::Web) },
    Case { name: "announce-keyed-known-of-5", run: || known_keyed(5, false) },
    Case { name: "announce-keyed-known-of-5-observed", run: || known_keyed(5, true) },
    Case { name: "announce-keyed-known-of-10000", run: || known_keyed(10_000, false) },
    Case { name: "announce-new-to-5", run: || new(5, 1) },
    Case { name: "announce-new-to-10000", run: || new(10_000, 1_000) },
    Case { name: "announce-new-torrent", run: new_torrent },
    Case { name: "scrape-1", run: || scrape(1) },
    Case { name: "scrape-74", run: || scrape(74) },
    Case { name: "sweep-slice-none-expired", run: || sweep(0) },
    Case { name: "sweep-slice-half-expired", run: || sweep(2) },
    Case { name: "sweep-slice-all-expired", run: || sweep(1) },
    Case { name: "udp-announce-decode-encode", run: udp_announce },
    Case { name: "webtorrent-announce-decode", run: webtorrent_announce },
    Case { name: "analyst-observation-settled", run: observation },
];

/// Callgrind counts while this function is on the stack; what goes before and after it does not matter.
#[inline(never)]
fn counted(run: impl FnOnce()) {
    run();
}

/// Requests that a case makes the mean of.
const REQUESTS: u32 = 1_000;

/// Regular announces of known peers that want thirty others, over swarms of `size` peers.
fn known(size: u32, families: Families) -> usize {
    let mut rig = Rig::new(11);
    let swarms = (REQUESTS / size).max(1);
    (0..swarms).for_each(|number| fill(&mut rig, torrent(number), 0..size, families));
    let asks: Vec<_> = (0..REQUESTS)
        .map(|request| {
            // Every swarm in turn, and peers from all over it.
            let number = request / swarms * (size * swarms).div_ceil(REQUESTS) % size;
            let mut ask = update(torrent(request % swarms), number);
            ask.numwant = Some(30);
            (peer(number, families), ask)
        })
        .collect();
    let mut room = Room::default();
    counted(|| {
        for (key, ask) in &asks {
            black_box(rig.announce_into(&mut room.handout(families), *key, 7, ask));
        }
    });
    asks.len()
}

/// The same of peers that have accounts: each announce is booked.
fn known_keyed(size: u32, observes: bool) -> usize {
    let mut rig = Rig::new(11);
    rig.observes = observes;
    let swarms = (REQUESTS / size).max(1);
    let account = |number: u32, at: u32| Account {
        user: UserNumber(number * size + at),
        torrent: TorrentNumber(number),
        factors: Factors::PLAIN,
        allowance: Allowance::default(),
    };
    for number in 0..swarms {
        for at in 0..size {
            rig.account = Some(account(number, at));
            fill(&mut rig, torrent(number), at..at + 1, Families::V4);
        }
    }
    let asks: Vec<_> = (0..REQUESTS)
        .map(|request| {
            let (number, at) =
                (request % swarms, request / swarms * (size * swarms).div_ceil(REQUESTS) % size);
            let ask = Announce { numwant: Some(30), uploaded: 5, ..update(torrent(number), at) };
            (account(number, at), peer(at, Families::V4), ask)
        })
        .collect();
    rig.now.0 += 1800;
    let mut room = Room::default();
    counted(|| {
        for (account, key, ask) in &asks {
            rig.account = Some(*account);
            black_box(rig.announce_into(&mut room.handout(Families::V4), *key, 7, ask));
        }
    });
    asks.len()
}

/// What the analyst does about an announce, beside it: some hours of swarms with a seeder and four leechers each, all of whose bins are
/// settled.
fn observation() -> usize {
    const MIB: u64 = 1 << 20;
    let mut analyst = Analyst::new(&StandingRules::default(), 5 * REQUESTS, Time(0));
    let said = |number: u32, now: u32| Observation {
        torrent: (number / 5).into(),
        left: if number.is_multiple_of(5) { 0 } else { 1000 * MIB },
        lacked: if number.is_multiple_of(5) { 0 } else { 1025 * MIB },
        uploaded: if number.is_multiple_of(5) { 100 * MIB } else { 0 },
        downloaded: if number.is_multiple_of(5) { 0 } else { 25 * MIB },
        slot: number,
        now: Time(now),
        seeders: 1,
        leechers: 4,
        secs: 1800,
        has_seeded: number.is_multiple_of(5),
        seeds: number.is_multiple_of(5),
        completed: false,
        stopped: false,
        begins: false,
    };
    let round = |analyst: &mut Analyst, round: u32| {
        (0..REQUESTS).for_each(|number| analyst.observe(black_box(&said(number, round * 1800 + number))));
    };
    (1..12).for_each(|number| round(&mut analyst, number));
    counted(|| round(&mut analyst, 12));
    REQUESTS as usize
}

/// First announces of peers that want as many others as the default, `joining` of them for each swarm of `size` peers.
fn new(size: u32, joining: u32) -> usize {
    let mut rig = Rig::new(12);
    let swarms = REQUESTS / joining;
    (0..swarms).for_each(|number| fill(&mut rig, torrent(number), 0..size, Families::V4));
    let asks: Vec<_> = (0..REQUESTS)
        .map(|request| {
            let number = size + request / swarms;
            (peer(number, Families::V4), update(torrent(request % swarms), number))
        })
        .collect();
    let mut room = Room::default();
    counted(|| {
        for (key, ask) in &asks {
            black_box(rig.announce_into(&mut room.handout(Families::V4), *key, 7, ask));
        }
    });
    asks.len()
}

/// First announces of torrents, to a shard that has as many.
fn new_torrent() -> usize {
    let mut rig = Rig::new(13);
    (0..REQUESTS).for_each(|number| fill(&mut rig, torrent(number), 0..1, Families::V4));
    let asks: Vec<_> = (REQUESTS..2 * REQUESTS).map(|number| update(torrent(number), 0)).collect();
    let mut room = Room::default();
    counted(|| {
        for ask in &asks {
            let key = peer(0, Families::V4);
            black_box(rig.announce_into(&mut room.handout(Families::V4), key, 7, ask));
        }
    });
    asks.len()
}

/// UDP scrapes from packet to packet; each names torrents that are there and, one in four, some that are not.
fn scrape(hashes: u32) -> usize {
    let mut rig = Rig::new(14);
    (0..300).for_each(|number| fill(&mut rig, torrent(number), 0..3, Families::V4));
    let packets: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|request| {
            let named = (0..hashes).map(|at| torrent((request * 7 + at * 11) % 400).0);
            [&packet_head(2)[..], named.collect::<Vec<_>>().as_flattened()].concat()
        })
        .collect();
    let mut out = [0; UDP_REPLY_BYTES_MAX];
    counted(|| {
        for packet in &packets {
            let Some(Request::Claimed { transaction, ask: Ok(Ask::Scrape(scrape)), .. }) =
                udp::decode(packet)
            else {
                panic!("a scrape of {hashes} torrents is one")
            };
            let mut stats = [Stats::default(); 74];
            for (stats, info_hash) in stats.iter_mut().zip(scrape) {
                *stats = rig.shard.scrape(info_hash);
            }
            black_box(udp::write_scrape(&mut out, transaction, &stats[..scrape.len()]));
        }
    });
    packets.len()
}

/// Slices of the sweep over one shard with swarms of every size, of whose peers every `expired_of`-th is silent for too
/// long; 0 for none.
fn sweep(expired_of: u32) -> usize {
    /// As large as those of the program.
    const SLICE: usize = 2_048;
    /// Torrents, and how many peers of either family each has.
    const SWARMS: [(Range<u32>, u32); 4] =
        [(0..2_000, 1), (2_000..2_200, 20), (2_200..2_210, 500), (2_210..2_211, 5_000)];
    let mut rig = Rig::new(15);
    let announce = |rig: &mut Rig, is_there: &dyn Fn(u32) -> bool| {
        for (torrents, size) in SWARMS {
            let peers = torrents.flat_map(|number| (0..size).map(move |at| (number, at)));
            // In swarms of one peer it is every so many swarms.
            for (number, at) in peers.filter(|(number, at)| is_there(at + number)) {
                fill(rig, torrent(number), at..at + 1, Families::V4);
                fill(rig, torrent(number), at..at + 1, Families::V6);
            }
        }
    };
    announce(&mut rig, &|_| true);
    rig.now.0 = rig.rules.peer_ttl_secs() + 100;
    announce(&mut rig, &|number| expired_of == 0 || !number.is_multiple_of(expired_of));
    let mut slices = 0;
    counted(|| {
        loop {
            slices += 1;
            if black_box(rig.sweep(SLICE)).finished {
                return;
            }
        }
    });
    slices
}

/// UDP announces: from bytes, and the head of a reply to bytes.
fn udp_announce() -> usize {
    let packets: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|request| {
            let ask = update(torrent(request), request);
            [&packet_head(1)[..], &ask.info_hash.0, &ask.peer_id.0, &[0; 28], &[0; 8], &[255; 4], &[26, 225]]
                .concat()
        })
        .collect();
    let stats = Stats { seeders: 1, leechers: 2, partial: 3, downloaded: 4 };
    let reply = Reply { stats, interval_secs: 1800, min_interval_secs: 300, warning: None };
    let mut out = [0; UDP_REPLY_BYTES_MAX];
    counted(|| {
        for packet in &packets {
            let Some(Request::Claimed { transaction, ask: Ok(Ask::Announce(ask, url)), .. }) =
                udp::decode(black_box(packet))
            else {
                panic!("an announce is one")
            };
            black_box((ask, url));
            black_box(udp::write_announce(&mut out, transaction, black_box(&reply), 300));
        }
    });
    packets.len()
}

/// Announces of a browser with five offers of 1.5 KB.
fn webtorrent_announce() -> usize {
    let sdp: String = (0..30)
        .map(|line| format!(r"a=candidate:{line} 1 udp 2122260223 192.0.2.1 50{line} typ\r\n"))
        .collect();
    let offer = |number: u32| {
        format!(
            r#"{{"offer":{{"type":"offer","sdp":"{sdp}"}},"offer_id":"offer {number} 12345678901\u00e9"}}"#
        )
    };
    let offers = (0..5).map(offer).collect::<Vec<_>>().join(",");
    let message = format!(
        r#"{{"action":"announce","info_hash":"\u0001\u00ff345678901234567890","peer_id":"-WW0200-123456789012","numwant":5,"uploaded":0,"downloaded":0,"left":1000,"event":"started","offers":[{offers}]}}"#
    );
    let Ok(ws::Message::Announce(_, read)) = ws::decode(message.as_bytes()) else {
        panic!("it is an announce")
    };
    assert_eq!((read.list.len(), read.dropped), (5, 0));
    counted(|| {
        for _ in 0..REQUESTS / 10 {
            black_box(ws::decode(black_box(message.as_bytes())).is_ok());
        }
    });
    REQUESTS as usize / 10
}

/// A connection id, an action and a transaction.
fn packet_head(action: u8) -> [u8; 16] {
    [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, action, 9, 9, 9, 9]
}

/// Where the peers of an answer go, used again for each.
struct Room {
    v4: [u8; 200 * 6],
    v6: [u8; 66 * 18],
    sockets: Vec<SocketId>,
}

impl Default for Room {
    fn default() -> Self {
        Self { v4: [0; 200 * 6], v6: [0; 66 * 18], sockets: Vec::with_capacity(200) }
    }
}

impl Room {
    fn handout(&mut self, families: Families) -> Handout<'_> {
        match families {
            Families::V4 | Families::Both => Handout::new(&mut self.v4, &mut []),
            Families::V6 => Handout::new(&mut [], &mut self.v6),
            Families::Web => Handout::to_sockets(&mut self.sockets),
        }
    }
}
