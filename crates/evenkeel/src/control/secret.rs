//! Passkeys, announce keys and tokens: drawn at random, shown once, kept as a hash.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::store::{Hash32, User};

/// The passkey before the present one is good for so long after a rotation: torrents are downloaded again meanwhile.
pub const OVERLAP_SECS: i64 = 24 * 3600;

/// A secret as its holder knows it. `Debug` prints stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Secret {
    /// A new one: 32 hexadecimal digits of 128 random bits. Whoever guesses a billion times a second finds one of a
    /// million passkeys after five trillion years on average.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(HEXLOWER.encode(&bytes)))
    }

    /// The text itself, for its holder alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> Hash32 {
        hash(self.0.as_bytes())
    }
}

/// What is kept of a secret.
pub(crate) fn hash(secret: &[u8]) -> Hash32 {
    Hash32(Sha256::digest(secret).into())
}

/// Gives a user a new passkey; the old one is good for a day more, the one before that for nothing.
pub fn rotate(user: &mut User, now_secs: i64) -> Result<Secret, getrandom::Error> {
    let secret = Secret::draw()?;
    user.previous_passkey = Some(user.passkey);
    user.previous_until = now_secs.saturating_add(OVERLAP_SECS);
    user.passkey = secret.hash();
    Ok(secret)
}
