//! A `.torrent` file: what it is of, whether it can be believed, and the same with an announce URL of one's own (BEP 3, 47,
//! 52).
//!
//! Bytes are never decoded and written anew: a torrent is known by the hash of its info dictionary as it stands.

use bendy::decoding::{Decoder, DictDecoder, ListDecoder, Object};
use sha1::Digest;

mod info;

/// Dictionaries and lists in each other: a folder of a torrent of version 2 is one.
const DEPTH_MAX: usize = 64;
/// Files of one torrent.
const FILES_MAX: usize = 100_000;

/// What is left out of a file that is kept: where else it was announced, with whose passkey.
const ELSEWHERE: [&[u8]; 3] = [b"announce", b"announce-list", b"nodes"];

/// Why a file is no torrent, by the field that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} must be {must}")]
pub(crate) struct Fault {
    /// `torrent` is the file as a whole.
    pub(crate) field: &'static str,
    /// What it must be instead.
    pub(crate) must: &'static str,
}

/// What a file is of.
#[derive(Debug)]
pub(crate) struct TorrentFile<'a> {
    /// As it says itself; 1 to 1,000 bytes, without NUL.
    pub(crate) name: String,
    /// All files together.
    pub(crate) size_bytes: u64,
    /// Of version 1, or of both.
    pub(crate) info_hash_v1: Option<[u8; 20]>,
    /// Of version 2, or of both.
    pub(crate) info_hash_v2: Option<[u8; 32]>,
    /// The dictionary, in its order, as bytes.
    pairs: Vec<Pair<'a>>,
}

/// A key, and its value as it stands.
type Pair<'a> = (&'a [u8], Vec<u8>);

impl<'a> TorrentFile<'a> {
    /// Reads a file.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let pairs = pairs(bytes)?;
        let raw = pairs.iter().find(|(key, _)| *key == b"info").map(|(_, raw)| raw.as_slice());
        let raw = raw.ok_or(Fault { field: "info", must: "there" })?;
        let info = info::read(raw)?;
        let (info_hash_v1, info_hash_v2) = info_hashes(raw, info.versions);
        Ok(Self { name: info.name, size_bytes: info.size_bytes, info_hash_v1, info_hash_v2, pairs })
    }

    /// The file with one announce URL, or with none: nothing of where it was announced before stays.
    pub(crate) fn announced_at(&self, url: Option<&str>) -> Vec<u8> {
        // The first of all keys that matter: what is before it in a dictionary is nothing that is known.
        let own = url.map(|url| (&b"announce"[..], string(url.as_bytes())));
        let kept = self.pairs.iter().filter(|(key, _)| !ELSEWHERE.contains(key)).cloned();
        written(own.into_iter().chain(kept).collect())
    }
}

/// The file with `private` in its info dictionary (BEP 27): another torrent than before, unless it was private already.
pub(crate) fn made_private(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut file = pairs(bytes)?;
    for (_, raw) in file.iter_mut().filter(|(key, _)| *key == b"info") {
        let mut info = pairs(raw)?;
        info.retain(|(key, _)| *key != b"private");
        info.push((b"private", b"i1e".to_vec()));
        *raw = written(info);
    }
    Ok(written(file))
}

/// A dictionary of these, in the order that dictionaries have.
fn written(mut pairs: Vec<Pair<'_>>) -> Vec<u8> {
    pairs.sort_by_key(|(key, _)| *key);
    let mut bytes = vec![b'd'];
    for (key, value) in pairs {
        bytes.extend(string(key));
        bytes.extend(value);
    }
    bytes.push(b'e');
    bytes
}

/// The info dictionary of a file, as it stands.
pub(crate) fn raw_info(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let info = pairs(bytes)?.into_iter().find(|(key, _)| *key == b"info");
    info.map(|(_, raw)| raw).ok_or(Fault { field: "info", must: "there" })
}

/// Which versions an info dictionary is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) is_v1: bool,
    pub(crate) is_v2: bool,
}

/// The versions of a dictionary, by what says so.
pub(crate) fn versions(raw: &[u8]) -> Result<Versions, Fault> {
    let mut versions = Versions { is_v1: false, is_v2: false };
    each_pair(root(&mut decoder(raw))?, |key, value| {
        versions.is_v1 |= key == b"pieces";
        versions.is_v2 |= key == b"meta version" && matches!(value, Object::Integer("2"));
        Ok(())
    })?;
    Ok(versions)
}

/// The info hashes of a dictionary.
pub(crate) fn info_hashes(raw: &[u8], versions: Versions) -> (Option<[u8; 20]>, Option<[u8; 32]>) {
    let v1 = versions.is_v1.then(|| sha1::Sha1::digest(raw).into());
    (v1, versions.is_v2.then(|| sha2::Sha256::digest(raw).into()))
}

/// A dictionary and nothing behind it, its values as bytes.
fn pairs(bytes: &[u8]) -> Result<Vec<Pair<'_>>, Fault> {
    if root(&mut decoder(bytes))?.into_raw().map_err(broken)?.len() != bytes.len() {
        return Err(Fault { field: "torrent", must: "one dictionary with nothing behind it" });
    }
    let mut pairs = Vec::new();
    each_pair(root(&mut decoder(bytes))?, |key, value| {
        let raw = match value {
            Object::Dict(value) => value.into_raw().map_err(broken)?.to_vec(),
            Object::List(value) => value.into_raw().map_err(broken)?.to_vec(),
            Object::Integer(digits) => format!("i{digits}e").into_bytes(),
            Object::Bytes(text) => string(text),
        };
        pairs.push((key, raw));
        Ok(())
    })?;
    Ok(pairs)
}

fn root<'o, 's>(decoder: &'o mut Decoder<'s>) -> Result<DictDecoder<'o, 's>, Fault> {
    match decoder.next_object().map_err(broken)? {
        Some(Object::Dict(root)) => Ok(root),
        _ => Err(Fault { field: "torrent", must: "a bencoded dictionary" }),
    }
}

fn decoder(bytes: &[u8]) -> Decoder<'_> {
    Decoder::new(bytes).with_max_depth(DEPTH_MAX)
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [bytes.len().to_string().as_bytes(), b":", bytes].concat()
}

fn broken(_: bendy::decoding::Error) -> Fault {
    Fault { field: "torrent", must: "sound bencode with sorted keys, not nested more than 64 deep" }
}

/// Walks over a dictionary.
fn each_pair<'o, 's: 'o>(
    mut dictionary: DictDecoder<'o, 's>,
    mut see: impl FnMut(&'s [u8], Object<'_, 's>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    while let Some((key, value)) = dictionary.next_pair().map_err(broken)? {
        see(key, value)?;
    }
    Ok(())
}

/// Walks over a list.
fn each_item<'o, 's: 'o>(
    mut list: ListDecoder<'o, 's>,
    mut see: impl FnMut(Object<'_, 's>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    while let Some(item) = list.next_object().map_err(broken)? {
        see(item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
