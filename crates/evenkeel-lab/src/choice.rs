//! What it costs to choose peers: an announce that wants some, less the same announce that wants none, over one swarm of
//! each size, half of it seeders that are all busy.

use std::hint::black_box;

use evenkeel_core::{Identity, Policy, Rules, Tier, Time};
use evenkeel_wire::{InfoHash, PeerId};

use crate::door::{Door, update};
use crate::system::thread_cpu_nanos;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Peers in the swarm; several are measured one after the other.
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,100000,1000000")]
    peers: Vec<u32>,
    /// Peers in a list.
    #[arg(long, default_value_t = 50)]
    want: u32,
    /// Turns of 20,000 announces with and without a list; the median counts.
    #[arg(long, default_value_t = 9)]
    turns: usize,
}

const ANNOUNCES: u32 = 20_000;
/// Announces that are made together: what is known of a batch's callers is in the cache by then, as in the server, which has
/// it fetched. What is drawn is not.
const BATCH: usize = 64;
const TORRENT: InfoHash = InfoHash([0x5A; 20]);
/// The slot of all seeders: one uplink that is busy makes all of them so.
const SEEDERS: u32 = 1;

/// Measures and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(
        options.peers.iter().all(|peers| (16..16_000_000).contains(peers)),
        "--peers: 16 to 16 million"
    );
    anyhow::ensure!(options.turns > 0, "--turns must be 1 or more");
    println!("Nanoseconds of CPU time to choose {} peers, median of {} turns", options.want, options.turns);
    println!("{:>10}  {:>8}  {:>12}  {:>12}  {:>8}", "peers", "random", "rbs, newest", "rbs, top", "given");
    for peers in &options.peers {
        let rbs: Policy = "rbs".parse().unwrap_or_default();
        let cost = |policy, tier| cost(options, *peers, policy, tier);
        let (random, newest, top) = (cost(Policy::Random, 0)?, cost(rbs, 0)?, cost(rbs, 3)?);
        println!("{peers:>10}  {:>8.0}  {:>12.0}  {:>12.0}  {:>8.1}", random.0, newest.0, top.0, newest.1);
    }
    Ok(())
}

/// Nanoseconds of a choice, and how many peers were given.
fn cost(options: &Options, peers: u32, policy: Policy, tier: u8) -> anyhow::Result<(f64, f64)> {
    let mut door = Door::new(1, Rules { policy, keep_reports: true, ..Rules::default() });
    fill(&mut door, peers);
    // One leecher in eight asks, so that the others stay of all tiers.
    let callers: Vec<u32> =
        (0..ANNOUNCES).map(|number| number.wrapping_mul(7_919) % (peers / 16) * 16 + 1).collect();
    let mut given = 0;
    let mut announce = |number: u32, want| {
        let ask = update(TORRENT, peer_id(number), 1, want);
        let (_, list) = door.announce(endpoint(number), identity(number, tier), &ask);
        black_box(list).len()
    };
    let mut measure = |want| {
        let mut nanos = 0;
        for batch in callers.chunks(BATCH) {
            for number in batch {
                announce(*number, 0);
            }
            let began = thread_cpu_nanos()?;
            given += batch.iter().map(|number| announce(*number, want)).sum::<usize>();
            nanos += thread_cpu_nanos()? - began;
        }
        anyhow::Ok(nanos as f64 / f64::from(ANNOUNCES))
    };
    // Once for the caches.
    measure(options.want)?;
    let turn = |_| anyhow::Ok(measure(options.want)? - measure(0)?);
    let mut turns = (0..options.turns).map(turn).collect::<anyhow::Result<Vec<f64>>>()?;
    turns.sort_by(f64::total_cmp);
    let lists = f64::from(ANNOUNCES) * (options.turns + 1) as f64;
    Ok((turns[turns.len() / 2], given as f64 / lists))
}

/// A swarm whose seeders have even numbers and are busy, and whose leechers are of all tiers.
fn fill(door: &mut Door, peers: u32) {
    for interval in 0..6 {
        door.now = Time(10_000 + interval * 1800);
        let mut ask = update(TORRENT, peer_id(0), 0, 0);
        ask.uploaded = u64::from(interval) << 30;
        door.announce(endpoint(1), identity(1, 3), &update(TORRENT, peer_id(1), 1, 0));
        door.announce(endpoint(0), identity(0, 1), &ask);
    }
    for number in 2..peers {
        let ask = update(TORRENT, peer_id(number), u64::from(number % 2), 0);
        door.announce(endpoint(number), identity(number, (number / 2 % 4) as u8), &ask);
    }
}

fn identity(number: u32, tier: u8) -> Identity {
    let slot = if number.is_multiple_of(2) { SEEDERS } else { SEEDERS + 1 + number };
    Identity { slot: Some(slot), tier: Tier::new(tier).unwrap_or_default(), ..Identity::default() }
}

fn endpoint(number: u32) -> [u8; 6] {
    let [a, b, c, d] = (0x2C00_0000 + number).to_be_bytes();
    [a, b, c, d, 0x1A, 0xE1]
}

fn peer_id(number: u32) -> PeerId {
    let mut id = PeerId(*b"-EK0001-000000000000");
    id.0[8..12].copy_from_slice(&number.to_be_bytes());
    id
}
