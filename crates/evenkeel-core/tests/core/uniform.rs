//! The draws of the policy `random`, judged: every peer equally often, and every list on its own. And crowds.

use evenkeel_wire::{Endpoint, Event};

use crate::rig::{Families, Rig, Told, ask};

const SWARM: u32 = 5_000;
const WANT: usize = 50;
const LISTS: usize = 20_000;

fn swarm(seeders_of_ten: u32) -> Rig {
    let mut rig = Rig::new(42);
    for number in 0..SWARM {
        let [_, _, high, low] = number.to_be_bytes();
        let mut ask = ask(b't', [0; 20]);
        ask.peer_id.0[..2].copy_from_slice(&[high, low]);
        ask.left = Some(u64::from(number % 10 >= seeders_of_ten));
        rig.announce(Endpoint::V4([44, 0, high, low, 26, 225]), 0, &ask, Families::V4);
    }
    rig
}

/// Lists as one leecher that announces again and again gets them, as numbers of peers.
fn lists(rig: &mut Rig, count: usize) -> Vec<Vec<usize>> {
    let mut ask = ask(b't', *b"the caller.........X");
    ask.event = Event::Update;
    let me = Endpoint::V4([45, 0, 0, 0, 26, 225]);
    (0..count)
        .map(|_| {
            let (_, peers) = rig.announce(me, 0, &ask, Families::V4);
            assert_eq!(peers.len(), WANT);
            peers
                .into_iter()
                .map(|peer| match peer {
                    Told::Dial(Endpoint::V4([44, 0, high, low, ..])) => {
                        usize::from(u16::from_be_bytes([high, low]))
                    }
                    other => panic!("handed out {other:?}: the caller, or nobody"),
                })
                .collect()
        })
        .collect()
}

#[test]
fn every_peer_of_5000_is_drawn_equally_often() {
    let mut drawn = [0_u32; SWARM as usize];
    lists(&mut swarm(5), LISTS).concat().into_iter().for_each(|number| drawn[number] += 1);
    let expected = (LISTS * WANT) as f64 / f64::from(SWARM);
    let chi_square: f64 =
        drawn.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum::<f64>();
    // Mean 4,999 and standard deviation 100 (the draws of one list exclude one another: 1 % less).
    assert!((4_500.0..5_500.0).contains(&chi_square), "chi-square {chi_square}");
}

#[test]
fn two_lists_in_a_row_overlap_no_more_than_by_chance() {
    let lists = lists(&mut swarm(5), LISTS);
    let overlaps: Vec<f64> = lists
        .windows(2)
        .map(|pair| pair[0].iter().filter(|number| pair[1].contains(number)).count() as f64)
        .collect();
    let mean = overlaps.iter().sum::<f64>() / overlaps.len() as f64;
    let variance =
        overlaps.iter().map(|overlap| (overlap - mean).powi(2)).sum::<f64>() / overlaps.len() as f64;
    assert!((0.45..0.55).contains(&mean), "mean {mean}; 50 x 50 / 5,000 is 0.50");
    assert!(variance <= 1.0, "variance {variance}; independent draws have 0.50, one window 13.7");
}

#[test]
fn no_list_names_a_peer_twice() {
    for mut list in lists(&mut swarm(5), 1_000) {
        list.sort_unstable();
        list.dedup();
        assert_eq!(list.len(), WANT);
    }
}

#[test]
fn positions_in_a_list_are_equally_likely_too() {
    // Some clients dial the first few peers only: the head of the list must be as random as the whole.
    let lists = lists(&mut swarm(5), LISTS);
    let mean_of =
        |position: usize| lists.iter().map(|list| list[position] as f64).sum::<f64>() / LISTS as f64;
    for position in [0, 1, WANT / 2, WANT - 1] {
        let mean = mean_of(position);
        // Uniform on 0..5,000: mean 2,499.5, standard error 10.2.
        assert!((2_440.0..2_560.0).contains(&mean), "position {position}: mean {mean}");
    }
}

#[test]
fn small_swarms_are_drawn_equally_often_too() {
    // 51..=512 candidates are drawn by another branch.
    let mut rig = Rig::new(7);
    for number in 0..120 {
        let mut ask = ask(b't', [number; 20]);
        ask.left = Some(u64::from(number % 2));
        rig.announce(Endpoint::V4([44, 0, 0, number, 26, 225]), 0, &ask, Families::V4);
    }
    let mut drawn = [0_u32; 120];
    lists(&mut rig, LISTS).concat().into_iter().for_each(|number| drawn[number] += 1);
    let expected = (LISTS * WANT) as f64 / 120.0;
    let chi_square: f64 = drawn.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    // Without replacement the sum is 119 x (1 - 50/120) = 69 on average, with a deviation near 9.
    assert!((30.0..110.0).contains(&chi_square), "chi-square {chi_square}");
}

/// A UDP answer over IPv6 has room for 66 peers, and clients ask for 200: the 66 must not be those stored first.
#[test]
fn what_an_answer_has_no_room_for_is_left_out_by_chance() {
    let mut rig = Rig::new(8);
    let endpoint = |number: u8| {
        let mut bytes = [0x2A; 18];
        bytes[7] = number;
        Endpoint::V6(bytes)
    };
    for number in 0..150 {
        rig.announce(endpoint(number), 0, &ask(b't', [number; 20]), Families::V6);
    }
    let mut drawn = [0_u32; 150];
    let mut wanting = ask(b't', [200; 20]);
    wanting.numwant = Some(200);
    for _ in 0..2_000 {
        let (_, peers) = rig.announce(endpoint(200), 0, &wanting, Families::V6);
        assert_eq!(peers.len(), 66);
        for peer in peers {
            let Told::Dial(Endpoint::V6(bytes)) = peer else { panic!() };
            drawn[usize::from(bytes[7])] += 1;
        }
    }
    // 880 each, with a deviation of 22.
    assert!(drawn.iter().all(|count| (770..990).contains(count)), "{drawn:?}");
}

/// Somebody announces one peer id from ten thousand addresses: each is counted, and all leave again.
#[test]
fn a_crowd_under_one_fingerprint_is_counted_and_forgotten() {
    let mut rig = Rig::new(9);
    let info_hash = evenkeel_wire::InfoHash([b't'; 20]);
    let endpoint = |number: u16| {
        let [high, low] = number.to_be_bytes();
        Endpoint::V4([44, 1, high, low, 26, 225])
    };
    let same = ask(b't', [7; 20]);
    for number in 0..10_000 {
        rig.announce(endpoint(number), 0, &same, Families::V4);
    }
    assert_eq!(rig.shard.scrape(&info_hash).leechers, 10_000);
    let mut v6 = [0x2A; 18];
    v6[16..].copy_from_slice(&[26, 225]);
    rig.announce(Endpoint::V6(v6), 0, &same, Families::V6);
    assert_eq!(rig.shard.scrape(&info_hash).leechers, 10_000, "one of them is its twin");
    let leave = evenkeel_wire::Announce { event: Event::Stopped, ..same };
    for number in 0..10_000 {
        rig.announce(endpoint(number), 0, &leave, Families::V4);
    }
    rig.announce(Endpoint::V6(v6), 0, &leave, Families::V6);
    assert_eq!((rig.shard.scrape(&info_hash).leechers, rig.shard.totals().v4_peers), (0, 0));
}
