//! Hashes of what strangers choose. Without a secret key they could choose what lands in one bucket.

use siphasher::sip::SipHasher13;

/// SipHash-1-3 under a secret key: one key for each use, drawn when the program starts.
#[derive(Clone, Copy)]
pub struct Keyed(SipHasher13);

impl Keyed {
    /// A hash under this key.
    pub fn new(key: [u64; 2]) -> Self {
        Self(SipHasher13::new_with_keys(key[0], key[1]))
    }

    /// The hash of some bytes.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.0.hash(bytes)
    }
}
