//! How even the draws of the real core are, in the two figures that tell window from sample.
//!
//! * Chi-square of how often each peer was drawn: windows and slices pass it, since they come round.
//! * Variance of the overlap of two lists in a row: independent draws have n²/N; lists that are neighbourhoods
//!   overlap in nearly all peers or in none.

use anyhow::ensure;
use evenkeel_core::{Identity, Rules};
use evenkeel_wire::{InfoHash, PeerId};

use crate::door::{Door, update};

/// What is drawn.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Peers in the swarm.
    #[arg(long, default_value_t = 5_000)]
    peers: u16,
    /// Peers in a list.
    #[arg(long, default_value_t = 50)]
    want: u16,
    /// Lists that are drawn.
    #[arg(long, default_value_t = 100_000)]
    lists: u32,
    /// Seed of everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Draws and prints.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.lists >= 2, "--lists must be 2 or more: two in a row are compared");
    ensure!(options.want < options.peers, "--want must be below --peers: else every list is the whole swarm");
    let (peers, want, lists) = (f64::from(options.peers), f64::from(options.want), f64::from(options.lists));
    let (drawn, overlaps) = draw(options);
    let expected = lists * want / peers;
    let chi_square: f64 = drawn.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    let pairs = overlaps.len() as f64;
    let mean = overlaps.iter().sum::<f64>() / pairs;
    let variance = overlaps.iter().map(|overlap| (overlap - mean).powi(2)).sum::<f64>() / pairs;
    // A list excludes its own repetitions: chi-square and variance are smaller than with replacement.
    let (share, rest) = (want / peers, 1.0 - want / peers);
    println!("{lists} lists of {want} from {peers} peers, seed {}", options.seed);
    println!("                      measured    independent draws");
    println!(
        "chi-square            {chi_square:>8.0}    {:.0} +- {:.0}",
        (peers - 1.0) * rest,
        rest * (2.0 * peers).sqrt()
    );
    println!("overlap, mean         {mean:>8.3}    {:.3}", want * share);
    println!(
        "overlap, variance     {variance:>8.3}    {:.3}",
        want * share * rest * (peers - want) / (peers - 1.0)
    );
    Ok(())
}

/// How often each peer was drawn, and how many peers each list shares with the one before.
fn draw(options: &Options) -> (Vec<u32>, Vec<f64>) {
    let mut door = Door::new(options.seed, Rules::default());
    for number in 0..options.peers {
        announce(&mut door, number, 0);
    }
    let mut drawn = vec![0; usize::from(options.peers)];
    let mut overlaps = Vec::new();
    let mut last: Vec<u16> = Vec::new();
    for list in 0..options.lists {
        let mut now = announce(&mut door, u16::MAX, u32::from(options.want));
        now.iter().for_each(|number| drawn[usize::from(*number)] += 1);
        now.sort_unstable();
        if list > 0 {
            let shared = now.iter().filter(|number| last.binary_search(number).is_ok()).count();
            overlaps.push(shared as f64);
        }
        last = now;
    }
    (drawn, overlaps)
}

/// Announces peer `number`; answers the numbers of those that it was handed.
fn announce(door: &mut Door, number: u16, want: u32) -> Vec<u16> {
    let [high, low] = number.to_be_bytes();
    let mut peer_id = PeerId([0; 20]);
    peer_id.0[..2].copy_from_slice(&[high, low]);
    let ask = update(InfoHash([1; 20]), peer_id, 1, want);
    let (outcome, peers) = door.announce([44, 0, high, low, 0x1A, 0xE1], Identity::default(), &ask);
    debug_assert!(outcome.answer.is_ok(), "nothing here is limited");
    peers.iter().map(|peer| u16::from_be_bytes([peer[2], peer[3]])).collect()
}
