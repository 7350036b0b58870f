//! The one model of who announces what: every load, whatever its protocol, draws its requests from here.
//!
//! A population is a function of its shape and seed. Two runs, or a fill and the load after it, meet the same
//! peers without writing anything down. A tracker tells anonymous peers apart by address and port, and the
//! address is that of the socket: so each peer belongs to the source that must announce it, and a torrent's
//! peers are dealt out over sources and ports so that no two are the same.

use anyhow::ensure;
use evenkeel_wire::{InfoHash, PeerId};

/// Ports that a peer may listen on: all but 0.
const PORTS: u32 = 65_535;

/// What is modelled.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shape {
    /// Torrents.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub torrents: u32,
    /// Peers of all torrents together.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=500_000_000))]
    pub peers: u32,
    /// How unequal the torrents are: exponent of Zipf's law, 0 for equal ones.
    #[arg(long, default_value_t = 0.0)]
    pub zipf: f64,
    /// Share of the peers that seed.
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    pub seeders: f64,
    /// Sockets that announce over UDP, or addresses over TCP: 127.1.0.1 and on where IPv4 loopback is asked.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub sources: u16,
    /// Seed of everything that is left to chance.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Reads a share, from 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be from 0 to 1".to_owned()) }
}

/// What tells one source from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apart {
    /// Each has an address of its own.
    ByAddress,
    /// All have one address: IPv6 loopback has no second one (`sources` knows a way out).
    ByPort,
}

/// One peer; its source is the list that it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    /// Number of its torrent; 0 is the largest.
    pub torrent: u32,
    /// Where it says that it listens.
    pub port: u16,
    /// Whether it has everything.
    pub is_seeder: bool,
}

/// All peers.
pub(crate) struct Population {
    seed: u64,
    sources: Vec<Vec<Peer>>,
    distinct: u64,
}

impl Population {
    /// Draws the peers.
    pub(crate) fn new(shape: &Shape, apart: Apart) -> anyhow::Result<Self> {
        ensure!(shape.zipf.is_finite() && shape.zipf >= 0.0, "--zipf must be 0 or more");
        let mut rng = fastrand::Rng::with_seed(shape.seed);
        let popularity = Popularity::new(shape.torrents, shape.zipf);
        let sources = u32::from(shape.sources);
        let addresses = if apart == Apart::ByAddress { sources } else { 1 };
        let mut population = Self {
            seed: shape.seed,
            sources: vec![Vec::with_capacity((shape.peers / sources) as usize + 1); sources as usize],
            distinct: 0,
        };
        let mut members = vec![0_u32; shape.torrents as usize];
        for _ in 0..shape.peers {
            let torrent = popularity.draw(&mut rng);
            let member = &mut members[torrent as usize];
            // Each torrent starts elsewhere, so that small ones do not all sit on the first source.
            let start = u32::from_be_bytes(bytes_of(mix(shape.seed ^ u64::from(torrent))));
            let place = member.wrapping_add(start % sources);
            let port = ((*member / addresses).wrapping_add(start >> 16)) % PORTS + 1;
            population.sources[(place % sources) as usize].push(Peer {
                torrent,
                port: u16::try_from(port).unwrap_or_else(|_| unreachable!("a remainder of 65,535")),
                is_seeder: rng.f64() < shape.seeders,
            });
            population.distinct += u64::from(*member / addresses < PORTS);
            *member += 1;
        }
        population.sources.iter_mut().for_each(Vec::shrink_to_fit);
        Ok(population)
    }

    /// Peers that a tracker can tell apart. Fewer than all when one torrent has more peers than its sources
    /// have addresses and ports.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct
    }

    /// The peers that `source` announces, in an order without meaning.
    pub(crate) fn of(&self, source: usize) -> &[Peer] {
        &self.sources[source]
    }

    /// Identity of a torrent.
    pub(crate) fn info_hash(&self, torrent: u32) -> InfoHash {
        info_hash(self.seed, torrent)
    }

    /// What a peer calls itself.
    pub(crate) fn peer_id(source: usize, at: usize) -> PeerId {
        let mut id = *b"-EL0001-000000000000";
        let mut number = ((source as u64) << 32) | at as u64;
        for digit in id[8..].iter_mut().rev() {
            *digit = b"0123456789abcdef"[(number & 15) as usize];
            number >>= 4;
        }
        PeerId(id)
    }
}

/// Identity of a torrent of the population with this seed.
pub(crate) fn info_hash(seed: u64, torrent: u32) -> InfoHash {
    let word = |at: u64| mix(seed.wrapping_add((u64::from(torrent) << 2) | at)).to_be_bytes();
    let mut hash = [0; 20];
    hash[..8].copy_from_slice(&word(0));
    hash[8..16].copy_from_slice(&word(1));
    hash[16..].copy_from_slice(&word(2)[..4]);
    InfoHash(hash)
}

/// Draws torrents by their popularity.
pub(crate) enum Popularity {
    Equal(u32),
    /// Share of all peers that this torrent and those before it have.
    Cumulated(Vec<f64>),
}

impl Popularity {
    pub(crate) fn new(torrents: u32, exponent: f64) -> Self {
        if exponent == 0.0 {
            return Self::Equal(torrents);
        }
        let mut sum = 0.0;
        let mut cumulated: Vec<f64> = (1..=torrents)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        cumulated.iter_mut().for_each(|share| *share /= sum);
        Self::Cumulated(cumulated)
    }

    /// Number of a torrent; 0 is the most popular.
    pub(crate) fn draw(&self, rng: &mut fastrand::Rng) -> u32 {
        match self {
            Self::Equal(torrents) => rng.u32(0..*torrents),
            Self::Cumulated(shares) => {
                let drawn = rng.f64();
                let at = shares.partition_point(|share| *share <= drawn).min(shares.len() - 1);
                u32::try_from(at).unwrap_or_else(|_| unreachable!("as many as the torrents, a u32"))
            }
        }
    }
}

/// Spreads a number over 64 bits, one to one (the finalizer of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn bytes_of(number: u64) -> [u8; 4] {
    let [a, b, c, d, ..] = number.to_be_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn shape(torrents: u32, peers: u32, zipf: f64) -> Shape {
        Shape { torrents, peers, zipf, seeders: 0.3, sources: 4, seed: 7 }
    }

    fn all(population: &Population) -> impl Iterator<Item = (usize, Peer)> {
        population
            .sources
            .iter()
            .enumerate()
            .flat_map(|(source, peers)| peers.iter().map(move |peer| (source, *peer)))
    }

    #[test]
    fn the_same_seed_draws_the_same_peers_and_another_one_others() {
        let draw =
            |seed| Population::new(&Shape { seed, ..shape(100, 5_000, 1.0) }, Apart::ByAddress).unwrap();
        assert_eq!(draw(7).sources, draw(7).sources);
        assert_ne!(draw(7).sources, draw(8).sources);
        assert_eq!(draw(7).info_hash(3), draw(7).info_hash(3));
        assert_ne!(draw(7).info_hash(3), draw(8).info_hash(3));
    }

    #[test]
    fn no_two_peers_are_the_same_to_a_tracker() {
        // One torrent with more peers than one address has ports, and many small ones.
        for (torrents, peers) in [(1, 200_000), (10, 100_000), (50_000, 100_000)] {
            let population = Population::new(&shape(torrents, peers, 0.5), Apart::ByAddress).unwrap();
            let seen: HashSet<_> = all(&population).map(|(at, peer)| (at, peer.torrent, peer.port)).collect();
            assert_eq!(seen.len() as u64, population.distinct());
            assert_eq!(population.distinct(), u64::from(peers));
            assert!(all(&population).all(|(_, peer)| peer.port > 0));
        }
    }

    #[test]
    fn peers_that_share_one_address_are_distinct_until_its_ports_run_out() {
        for peers in [65_535, 65_536, 70_000] {
            let population = Population::new(&shape(1, peers, 0.0), Apart::ByPort).unwrap();
            let seen: HashSet<_> = all(&population).map(|(_, peer)| (peer.torrent, peer.port)).collect();
            assert_eq!(seen.len(), 65_535);
            assert_eq!(population.distinct(), 65_535);
        }
    }

    #[test]
    fn sources_have_about_as_many_peers_each() {
        for torrents in [1, 100_000] {
            let population = Population::new(&shape(torrents, 100_000, 0.0), Apart::ByAddress).unwrap();
            for source in 0..4 {
                assert!(population.of(source).len().abs_diff(25_000) < 1_000);
            }
        }
    }

    #[test]
    fn torrents_follow_zipfs_law_or_are_equal() {
        let members = |zipf| {
            let population = Population::new(&shape(1_000, 200_000, zipf), Apart::ByAddress).unwrap();
            let mut members = vec![0.0; 1_000];
            all(&population).for_each(|(_, peer)| members[peer.torrent as usize] += 1.0);
            members
        };
        let near = |value: f64, expected: f64| (value - expected).abs() < 6.0 * expected.sqrt();
        // The 1,000th harmonic number.
        let harmonic = 7.485_470_86;
        let zipf = members(1.0);
        for rank in [1, 2, 10, 100, 500] {
            let expected = 200_000.0 / (rank as f64 * harmonic);
            assert!(near(zipf[rank - 1], expected), "{rank}: {} for {expected}", zipf[rank - 1]);
        }
        assert!(members(0.0).iter().all(|count| near(*count, 200.0)));
    }

    #[test]
    fn as_many_seed_as_wanted() {
        let population = Population::new(&shape(100, 100_000, 0.0), Apart::ByAddress).unwrap();
        let seeders = all(&population).filter(|(_, peer)| peer.is_seeder).count();
        assert!(seeders.abs_diff(30_000) < 1_000, "{seeders}");
    }

    #[test]
    fn peer_ids_count() {
        assert_eq!(Population::peer_id(0, 0), PeerId(*b"-EL0001-000000000000"));
        assert_eq!(Population::peer_id(3, 0xABC), PeerId(*b"-EL0001-000300000abc"));
    }
}
