//! One scrape, whatever dialect it came in (BEP 15, BEP 48).

use crate::limits::SCRAPE_HASHES_MAX;
use crate::{Failure, InfoHash};

/// The torrents asked about, in the order of the question; never more than [`SCRAPE_HASHES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrape {
    hashes: [InfoHash; SCRAPE_HASHES_MAX],
    len: usize,
}

impl Scrape {
    /// Asks about nothing yet.
    pub fn new() -> Self {
        Self { hashes: [InfoHash([0; 20]); SCRAPE_HASHES_MAX], len: 0 }
    }

    /// Adds a torrent.
    pub fn push(&mut self, info_hash: InfoHash) -> Result<(), Failure> {
        let slot = self.hashes.get_mut(self.len).ok_or(Failure::TooManyHashes)?;
        *slot = info_hash;
        self.len += 1;
        Ok(())
    }

    /// The torrents.
    pub fn hashes(&self) -> &[InfoHash] {
        &self.hashes[..self.len]
    }

    /// Each torrent once, in the order that a bencoded dictionary needs.
    pub fn sort_and_merge(&mut self) {
        self.hashes[..self.len].sort_unstable();
        let mut kept = 0;
        for next in 0..self.len {
            if kept == 0 || self.hashes[kept - 1] != self.hashes[next] {
                self.hashes[kept] = self.hashes[next];
                kept += 1;
            }
        }
        self.len = kept;
    }
}

impl Default for Scrape {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts of one swarm. All zeros for a torrent that nobody has announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats {
    /// Peers that have everything: `complete`.
    pub seeders: u32,
    /// Peers that lack something and want it: `downloaders` (BEP 21).
    pub leechers: u32,
    /// Peers that lack something and want no more of it (BEP 21); part of `incomplete`.
    pub partial: u32,
    /// Completions seen: `downloaded`.
    pub downloaded: u32,
}

impl Stats {
    /// `incomplete` of the wire: everybody who lacks something.
    pub fn incomplete(&self) -> u32 {
        self.leechers.saturating_add(self.partial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_sorts_and_drops_duplicates() {
        let mut scrape = Scrape::new();
        for byte in [3, 1, 3, 2, 1] {
            scrape.push(InfoHash([byte; 20])).unwrap();
        }
        scrape.sort_and_merge();
        assert_eq!(scrape.hashes(), [1, 2, 3].map(|byte| InfoHash([byte; 20])));
    }

    #[test]
    fn the_75th_hash_is_refused() {
        let mut scrape = Scrape::new();
        for _ in 0..SCRAPE_HASHES_MAX {
            assert_eq!(scrape.push(InfoHash([1; 20])), Ok(()));
        }
        assert_eq!(scrape.push(InfoHash([1; 20])), Err(Failure::TooManyHashes));
    }
}
