//! The info dictionary: name, sizes and versions, and whether they fit together.

use bendy::decoding::{DictDecoder, Object};

use super::{FILES_MAX, Fault, Versions, broken, decoder, each_item, each_pair};

/// What is known by reading it.
pub(super) struct Info {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) versions: Versions,
}

/// What stands in it, before it is compared.
#[derive(Default)]
struct Found {
    name: Option<String>,
    piece_bytes: Option<u64>,
    /// Bytes of hashes.
    pieces: Option<usize>,
    length: Option<u64>,
    files: Option<Sizes>,
    meta_version: Option<u64>,
    tree: Option<Sizes>,
}

/// Files and their bytes.
#[derive(Clone, Copy, Default)]
struct Sizes {
    files: usize,
    /// With what is only there to fill pieces (BEP 47).
    bytes: u64,
    padding: u64,
}

impl Sizes {
    fn add(&mut self, field: &'static str, bytes: u64, is_padding: bool) -> Result<(), Fault> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(Fault { field, must: "of 100,000 files at most" });
        }
        let sum = self.bytes.checked_add(bytes).filter(|sum| i64::try_from(*sum).is_ok());
        self.bytes = sum.ok_or(Fault { field, must: "of fewer than 2^63 bytes" })?;
        self.padding += if is_padding { bytes } else { 0 };
        Ok(())
    }
}

/// Reads a dictionary that is known to be sound bencode.
pub(super) fn read(raw: &[u8]) -> Result<Info, Fault> {
    let mut decoder = decoder(raw);
    let Some(Object::Dict(info)) = decoder.next_object().map_err(broken)? else {
        return Err(Fault { field: "info", must: "a dictionary" });
    };
    let mut found = Found::default();
    each_pair(info, |key, value| found.take(key, value))?;
    found.judge()
}

impl Found {
    fn take(&mut self, key: &[u8], value: Object<'_, '_>) -> Result<(), Fault> {
        match key {
            b"name" => self.name = Some(name(value)?),
            b"piece length" => {
                let bytes = number(&value).filter(|bytes| *bytes > 0);
                self.piece_bytes =
                    Some(bytes.ok_or(Fault { field: "info.piece length", must: "a number above 0" })?);
            }
            b"pieces" => {
                let pieces = value.try_into_bytes().ok().filter(|pieces| pieces.len() % 20 == 0);
                let must = "hashes of 20 bytes each";
                self.pieces = Some(pieces.ok_or(Fault { field: "info.pieces", must })?.len());
            }
            b"length" => {
                let must = "a number of bytes below 2^63";
                self.length = Some(number(&value).ok_or(Fault { field: "info.length", must })?);
            }
            b"files" => self.files = Some(files(value)?),
            b"meta version" => self.meta_version = Some(number(&value).unwrap_or(0)),
            b"file tree" => {
                let Object::Dict(tree) = value else {
                    return Err(Fault { field: "info.file tree", must: "a dictionary" });
                };
                let mut sizes = Sizes::default();
                walk(tree, &mut sizes)?;
                self.tree = Some(sizes);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether it all fits together.
    fn judge(self) -> Result<Info, Fault> {
        let name = self.name.ok_or(Fault { field: "info.name", must: "there" })?;
        let piece_bytes = self.piece_bytes.ok_or(Fault { field: "info.piece length", must: "there" })?;
        let v1 = match self.pieces {
            Some(pieces) => Some(v1_sizes(self.length, self.files, (pieces, piece_bytes))?),
            None => None,
        };
        let v2 = match self.meta_version {
            Some(2) => Some(self.tree.ok_or(Fault { field: "info.file tree", must: "there" })?),
            Some(_) => return Err(Fault { field: "info.meta version", must: "2" }),
            None => None,
        };
        let contents = |sizes: Sizes| sizes.bytes - sizes.padding;
        let size_bytes = match (v1.map(contents), v2.map(contents)) {
            (None, None) => return Err(Fault { field: "info.pieces", must: "there, or info.meta version" }),
            (Some(v1), Some(v2)) if v1 != v2 => {
                return Err(Fault { field: "info.file tree", must: "of the same files as info.files" });
            }
            (Some(size), _) | (None, Some(size)) => size,
        };
        Ok(Info { name, size_bytes, versions: Versions { is_v1: v1.is_some(), is_v2: v2.is_some() } })
    }
}

/// Of version 1: one file or several, and a hash for each piece of them.
fn v1_sizes(length: Option<u64>, files: Option<Sizes>, pieces: (usize, u64)) -> Result<Sizes, Fault> {
    let sizes = match (length, files) {
        (Some(bytes), None) => Sizes { files: 1, bytes, padding: 0 },
        (None, Some(files)) => files,
        _ => return Err(Fault { field: "info.length", must: "there, or info.files, and not both" }),
    };
    let (hash_bytes, piece_bytes) = pieces;
    if sizes.bytes.div_ceil(piece_bytes) != hash_bytes as u64 / 20 {
        return Err(Fault { field: "info.pieces", must: "a hash for each piece of the files" });
    }
    Ok(sizes)
}

fn name(value: Object<'_, '_>) -> Result<String, Fault> {
    let text = value.try_into_bytes().ok().and_then(|name| std::str::from_utf8(name).ok());
    let name = text.filter(|name| (1..=1000).contains(&name.len()) && !name.contains('\0'));
    let must = "a text of UTF-8, of 1 to 1000 bytes and without NUL";
    name.map(str::to_owned).ok_or(Fault { field: "info.name", must })
}

/// Below 2^63.
fn number(value: &Object<'_, '_>) -> Option<u64> {
    let Object::Integer(digits) = value else { return None };
    digits.parse().ok().filter(|number| i64::try_from(*number).is_ok())
}

fn files(value: Object<'_, '_>) -> Result<Sizes, Fault> {
    let is_none = Fault { field: "info.files", must: "a list of files, each with length and path" };
    let Object::List(files) = value else { return Err(is_none) };
    let mut sizes = Sizes::default();
    each_item(files, |file| {
        let Object::Dict(file) = file else { return Err(is_none) };
        let (mut length, mut has_path, mut is_padding) = (None, false, false);
        each_pair(file, |key, value| {
            match (key, value) {
                (b"length", value) => length = number(&value),
                (b"path", Object::List(path)) => each_item(path, |part| {
                    has_path = part.try_into_bytes().is_ok();
                    if has_path { Ok(()) } else { Err(is_none) }
                })?,
                (b"attr", Object::Bytes(attributes)) => is_padding = attributes.contains(&b'p'),
                _ => {}
            }
            Ok(())
        })?;
        let length = length.filter(|_| has_path).ok_or(is_none)?;
        sizes.add("info.files", length, is_padding)
    })?;
    Ok(sizes)
}

/// Folders are dictionaries, and so are files: below an empty name. It is no deeper than a decoder goes.
fn walk(folder: DictDecoder<'_, '_>, sizes: &mut Sizes) -> Result<(), Fault> {
    let is_none =
        Fault { field: "info.file tree", must: "of folders, and of files with length and pieces root" };
    each_pair(folder, |name, value| {
        let Object::Dict(entry) = value else { return Err(is_none) };
        if !name.is_empty() {
            return walk(entry, sizes);
        }
        let (mut length, mut has_root) = (None, false);
        each_pair(entry, |key, value| {
            match (key, value) {
                (b"length", value) => length = number(&value),
                (b"pieces root", Object::Bytes(root)) => has_root = root.len() == 32,
                _ => {}
            }
            Ok(())
        })?;
        // A file of nothing has no pieces.
        let length = length.filter(|length| has_root == (*length > 0)).ok_or(is_none)?;
        sizes.add("info.file tree", length, false)
    })
}
