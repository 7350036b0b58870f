//! How even the draws of the real core are, in the two figures that tell window from sample.
//!
//! * Chi-square of how often each peer was drawn: windows and slices pass it, since they come round.
//! * Variance of the overlap of two lists in a row: independent draws have n²/N; lists that are neighbourhoods
//!   overlap in nearly all peers or in none.

use anyhow::ensure;
use evenkeel_core::{
    AddressTable, Caller, Cx, Handout, Identity, Keyed, Keys, Rules, Scratch, Shard, Time, Uplinks,
};
use evenkeel_wire::{Announce, Endpoint, Event, InfoHash, Key, PeerId};

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
    let mut lab = Lab::new(options.seed);
    for number in 0..options.peers {
        lab.announce(number, 0);
    }
    let mut drawn = vec![0; usize::from(options.peers)];
    let mut overlaps = Vec::new();
    let mut last: Vec<u16> = Vec::new();
    for list in 0..options.lists {
        let mut now = lab.announce(u16::MAX, u32::from(options.want));
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

/// One swarm, driven through the door that the program uses.
struct Lab {
    shard: Shard,
    keys: Keys,
    addresses: AddressTable,
    uplinks: Uplinks,
    rules: Rules,
    rng: fastrand::Rng,
    scratch: Box<Scratch>,
}

impl Lab {
    fn new(seed: u64) -> Self {
        let key = |number| Keyed::new([seed, number]);
        let keys = Keys { swarm: key(1), peer: key(2), twin: key(3), lottery: key(5) };
        Self {
            shard: Shard::new(keys),
            keys,
            addresses: AddressTable::new(key(4)),
            uplinks: Uplinks::default(),
            rules: Rules::default(),
            rng: fastrand::Rng::with_seed(seed),
            scratch: Box::default(),
        }
    }

    /// Announces peer `number`; answers the numbers of those that it was handed.
    fn announce(&mut self, number: u16, want: u32) -> Vec<u16> {
        let [high, low] = number.to_be_bytes();
        let info_hash = InfoHash([1; 20]);
        let mut peer_id = PeerId([0; 20]);
        peer_id.0[..2].copy_from_slice(&[high, low]);
        let ask = Announce {
            info_hash,
            peer_id,
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left: Some(1),
            event: Event::Update,
            numwant: Some(want),
            key: Key::NONE,
        };
        let caller = Caller {
            key: Endpoint::V4([44, 0, high, low, 0x1A, 0xE1]).into(),
            client: 0,
            place: self.keys.place(&info_hash),
            identity: Identity::default(),
        };
        let mut v4 = [0; 200 * 6];
        let mut out = Handout::new(&mut v4, &mut []);
        let mut cx = Cx {
            now: Time(0),
            rng: &mut self.rng,
            rules: &self.rules,
            addresses: &self.addresses,
            uplinks: &self.uplinks,
            store_is_full: false,
            scratch: &mut self.scratch,
        };
        let outcome = self.shard.announce(&mut cx, &caller, &ask, &mut out);
        debug_assert!(outcome.answer.is_ok(), "nothing here is limited");
        let bytes = out.v4_bytes();
        v4[..bytes].as_chunks::<6>().0.iter().map(|peer| u16::from_be_bytes([peer[2], peer[3]])).collect()
    }
}
