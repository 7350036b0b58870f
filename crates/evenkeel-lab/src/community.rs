//! The users of a private tracker: what they show, and how they and their torrents get into its database.
//!
//! As the peers of a population, they are a function of its seed: a load knows every passkey without being told.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use crate::population::{info_hash, mix};

/// How long the tracker may hold the database meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Digits of a passkey.
pub(crate) const PASSKEY_LEN: usize = 32;

/// The passkey of a user: hexadecimal digits, as trackers draw them.
pub(crate) fn passkey(seed: u64, user: u32) -> [u8; PASSKEY_LEN] {
    let mut digits = [0; PASSKEY_LEN];
    let first = mix(seed ^ 0x5EC0_0E75 ^ u64::from(user) << 32);
    for (at, word) in [first, mix(first)].into_iter().enumerate() {
        for (place, digit) in digits[16 * at..16 * (at + 1)].iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(word >> (4 * place) & 15) as usize];
        }
    }
    digits
}

/// Whose peer it is: each user announces from one source, and has as many peers as any other there.
pub(crate) fn user_of(users: u32, sources: u16, source: usize, at: usize) -> u32 {
    let (users, sources) = (users as usize, usize::from(sources));
    let of_source = (users.saturating_sub(source)).div_ceil(sources).max(1);
    let user = (source + sources * (at % of_source)) % users;
    u32::try_from(user).unwrap_or_else(|_| unreachable!("a remainder of a u32"))
}

/// Writes users and torrents into the SQLite file of a running tracker, past the program, as a site does.
pub(crate) fn settle(path: &Path, seed: u64, users: u32, torrents: u32) -> anyhow::Result<()> {
    let mut connection = Connection::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    connection.busy_timeout(PATIENCE)?;
    let transaction = connection.transaction()?;
    let mut add = transaction.prepare("INSERT INTO users (name, passkey_hash) VALUES (?1, ?2)")?;
    for user in 0..users {
        add.execute((format!("user {user}"), &Sha256::digest(passkey(seed, user))[..]))?;
    }
    drop(add);
    let mut add = transaction.prepare("INSERT INTO torrents (name, info_hash_v1) VALUES (?1, ?2)")?;
    for torrent in 0..torrents {
        add.execute((format!("torrent {torrent}"), &info_hash(seed, torrent).0[..]))?;
    }
    drop(add);
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn everybody_has_a_passkey_of_their_own_that_a_url_can_carry() {
        let all: HashSet<_> = (0..10_000).map(|user| passkey(1, user)).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().flatten().all(u8::is_ascii_hexdigit));
        assert_ne!(passkey(1, 7), passkey(2, 7));
    }

    #[test]
    fn users_stay_at_one_source_and_have_as_many_peers_as_others() {
        let mut peers: HashMap<u32, Vec<usize>> = HashMap::new();
        for (source, at) in (0..4).flat_map(|source| (0..500).map(move |at| (source, at))) {
            peers.entry(user_of(200, 4, source, at)).or_default().push(source);
        }
        assert_eq!(peers.len(), 200);
        for (user, sources) in peers {
            assert_eq!(sources, [user as usize % 4; 10]);
        }
        assert_eq!(user_of(1, 4, 3, 9), 0, "fewer users than sources");
    }

    #[test]
    fn a_community_stands_in_the_tables() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let tables = Connection::open(file.path()).unwrap();
        tables
            .execute_batch(
                "CREATE TABLE users (name, passkey_hash); CREATE TABLE torrents (name, info_hash_v1)",
            )
            .unwrap();
        settle(file.path(), 1, 3, 2).unwrap();
        let count = |sql| tables.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
        assert_eq!(count("SELECT count(*) FROM users WHERE length(passkey_hash) = 32"), 3);
        assert_eq!(count("SELECT count(*) FROM torrents WHERE length(info_hash_v1) = 20"), 2);
    }
}
