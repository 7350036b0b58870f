//! Which torrent is meant: an info hash, a magnet link or a `.torrent` file, of version 1 or 2.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use data_encoding::BASE32;
use evenkeel_wire::InfoHash;

use crate::torrent_file;

/// Longest `.torrent` file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Multihash prefix of a SHA-256 in hex (BEP 52): function 0x12, 0x20 bytes.
const SHA_256: &str = "1220";

/// The info hashes behind a text: one, or two for a hybrid torrent.
///
/// Trackers know a torrent of version 2 by the first 20 bytes of its SHA-256 (BEP 52).
pub(crate) fn info_hashes(text: &str) -> anyhow::Result<Vec<InfoHash>> {
    let hashes = if let Some(query) = text.strip_prefix("magnet:?") {
        of_magnet(query)?
    } else if let Some(hash) = of_text(text) {
        vec![hash]
    } else if Path::new(text).is_file() {
        of_file(Path::new(text)).with_context(|| format!("{text} is no torrent"))?
    } else {
        bail!(
            "{text:?} is neither an info hash (40 or 64 hex digits, 32 of base32), a magnet link, nor a file"
        );
    };
    Ok(hashes)
}

/// SHA-1 in hex or base32, or SHA-256 in hex, with or without its multihash prefix.
fn of_text(text: &str) -> Option<InfoHash> {
    match text.len() {
        32 => BASE32.decode(text.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok().map(InfoHash),
        64 if text.bytes().all(|digit| digit.is_ascii_hexdigit()) => text[..40].parse().ok(),
        68 => of_text(text.strip_prefix(SHA_256)?),
        _ => text.parse().ok(),
    }
}

/// The exact topics of a magnet link (BEP 9, BEP 52).
fn of_magnet(query: &str) -> anyhow::Result<Vec<InfoHash>> {
    let topics = query.split('&').filter_map(|pair| pair.strip_prefix("xt="));
    let hashes: Option<Vec<InfoHash>> = topics
        .filter_map(|topic| topic.strip_prefix("urn:btih:").or_else(|| topic.strip_prefix("urn:btmh:")))
        .map(of_text)
        .collect();
    let hashes = hashes.context("an info hash in the magnet link cannot be read")?;
    ensure!(!hashes.is_empty(), "the magnet link names no info hash (xt=urn:btih: or xt=urn:btmh:)");
    Ok(hashes)
}

fn of_file(path: &Path) -> anyhow::Result<Vec<InfoHash>> {
    ensure!(path.metadata()?.len() <= FILE_BYTES_MAX, "it is larger than {FILE_BYTES_MAX} bytes");
    of_torrent(&std::fs::read(path)?)
}

/// Hashes the info dictionary as it stands in the file: what was decoded and written anew might differ. What else is wrong
/// with it is of no interest here.
fn of_torrent(bytes: &[u8]) -> anyhow::Result<Vec<InfoHash>> {
    let raw = torrent_file::raw_info(bytes)?;
    let (v1, v2) = torrent_file::info_hashes(&raw, torrent_file::versions(&raw)?);
    let v2 = v2.and_then(|hash| hash.first_chunk().copied());
    let hashes: Vec<InfoHash> = v1.into_iter().chain(v2).map(InfoHash).collect();
    ensure!(!hashes.is_empty(), "its info dictionary has neither pieces nor meta version 2");
    Ok(hashes)
}

#[cfg(test)]
mod tests {
    use sha1::Digest;

    use super::*;

    const HEX: &str = "0123456789abcdef0123456789ABCDEF01234567";
    const BYTES: [u8; 20] = [
        1, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 1, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 1, 0x23,
        0x45, 0x67,
    ];

    fn one(text: &str) -> InfoHash {
        let hashes = info_hashes(text).unwrap();
        assert_eq!(hashes.len(), 1, "{text}");
        hashes[0]
    }

    #[test]
    fn hashes_are_read_in_every_form() {
        let long = format!("{HEX}{}", "f".repeat(24));
        let base32 = BASE32.encode(&BYTES);
        for text in [
            HEX,
            &base32,
            &base32.to_lowercase(),
            &long,
            &format!("magnet:?dn=name&xt=urn:btih:{HEX}&tr=udp%3A%2F%2Fx"),
            &format!("magnet:?xt=urn:btih:{base32}"),
            &format!("magnet:?xt=urn:btmh:1220{long}"),
        ] {
            assert_eq!(one(text), InfoHash(BYTES), "{text}");
        }
        let hybrid = format!("magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{}", "a".repeat(64));
        assert_eq!(info_hashes(&hybrid).unwrap(), [InfoHash(BYTES), InfoHash([0xAA; 20])]);
    }

    #[test]
    fn what_is_no_torrent_is_refused_with_a_sentence() {
        for text in
            ["", "xyz", &HEX[1..], "magnet:?dn=x", "magnet:?xt=urn:btih:123", "magnet:?xt=urn:sha1:123", "/"]
        {
            assert!(info_hashes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_of_every_version_are_hashed_as_they_stand() {
        let v1 = b"d4:name1:x6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let v2 = b"d12:meta versioni2e4:name1:xe";
        let hybrid = b"d12:meta versioni2e4:name1:x6:pieces20:aaaaaaaaaaaaaaaaaaaae";
        let file = |info: &[u8]| [b"d8:announce3:url4:info", info, b"e"].concat();
        let sha1 = |info: &[u8]| InfoHash(sha1::Sha1::digest(info).into());
        let sha256 = |info: &[u8]| InfoHash(*sha2::Sha256::digest(info).first_chunk().unwrap());
        assert_eq!(of_torrent(&file(v1)).unwrap(), [sha1(v1)]);
        assert_eq!(of_torrent(&file(v2)).unwrap(), [sha256(v2)]);
        assert_eq!(of_torrent(&file(hybrid)).unwrap(), [sha1(hybrid), sha256(hybrid)]);
        for broken in
            [&b""[..], b"i1e", b"de", b"d4:infode", b"d4:infod4:name1:xee", b"d4:info", &file(v1)[..30]]
        {
            assert!(of_torrent(broken).is_err(), "{}", broken.escape_ascii());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.torrent");
        std::fs::write(&path, file(v1)).unwrap();
        assert_eq!(one(path.to_str().unwrap()), sha1(v1));
    }
}
