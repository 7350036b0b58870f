//! The journal file: frames of bookings, each with its number and checksum, synchronised before anybody relies on it.
//!
//! A head, then frame after frame: length and CRC-32 of what follows, the number of the frame, and its bookings. A frame
//! that was not written to its end, or is not what was written, ends the file: what is before it is used.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::store::{Batch, NodeId};

const MAGIC: &[u8; 24] = b"evenkeel journal, form 1";
const HEAD_BYTES: u64 = 24 + 8;
const FRAME_HEAD_BYTES: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct JournalFile {
    path: PathBuf,
    node: NodeId,
    file: File,
    bytes: u64,
}

/// What a file held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// In the order in which they were written; `sequence` is the number.
    pub(super) frames: Vec<Batch>,
    /// Bytes at the end that are no frame.
    pub(super) torn_bytes: u64,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    Io(io::Error),
    Foreign,
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl JournalFile {
    /// Opens the file, or makes it, and reads what it holds. A torn end is cut off.
    pub(super) fn open(path: &Path, node: NodeId) -> Result<(Self, Found), Unusable> {
        let mut file = private().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut held = Vec::new();
        file.read_to_end(&mut held)?;
        let (found, used) = read(&held, node)?;
        let mut journal = Self { path: path.to_owned(), node, file, bytes: used };
        if used < HEAD_BYTES {
            // New, or torn before it held anything.
            journal.rewrite(&[])?;
        } else if found.torn_bytes > 0 {
            journal.cut()?;
        }
        Ok((journal, found))
    }

    /// Adds a frame. After an error nobody knows what the file holds at its end, not even after a later success:
    /// only [`JournalFile::rewrite`] helps.
    pub(super) fn append(&mut self, frame: &Batch) -> io::Result<()> {
        let bytes = encode(frame);
        self.file.seek(SeekFrom::Start(self.bytes))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Makes the file anew, with these frames: written aside and renamed, so that a crash leaves the old one or the new one.
    pub(super) fn rewrite(&mut self, frames: &[&Batch]) -> io::Result<()> {
        let aside = self.path.with_extension("new");
        let mut file = private().write(true).create(true).truncate(true).open(&aside)?;
        let mut held = MAGIC.to_vec();
        held.extend_from_slice(&self.node.0.to_le_bytes());
        for frame in frames {
            held.extend(encode(frame));
        }
        file.write_all(&held)?;
        file.sync_all()?;
        std::fs::rename(&aside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        self.bytes = held.len() as u64;
        self.file = file;
        Ok(())
    }

    /// Forgets every frame. Should that not reach the disk, they are known to be booked by their numbers.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.bytes = HEAD_BYTES;
        self.cut()
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.bytes)?;
        self.file.sync_data()
    }

    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Has every write to the present file fail.
    #[cfg(test)]
    pub(super) fn break_writes(&mut self) {
        self.file = File::open(&self.path).unwrap();
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// For our eyes only.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

pub(super) fn encode(frame: &Batch) -> Vec<u8> {
    let payload =
        postcard::to_allocvec(frame).expect("rows are numbers in lists, which can always be written");
    let mut bytes = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    bytes.extend_from_slice(&payload);
    bytes
}

/// The frames, and how many bytes they and the head take.
fn read(held: &[u8], node: NodeId) -> Result<(Found, u64), Unusable> {
    let mut found = Found { torn_bytes: held.len() as u64, ..Found::default() };
    let Some((head, mut rest)) = held.split_at_checked(MAGIC.len() + 8) else { return Ok((found, 0)) };
    if head[..MAGIC.len()] != MAGIC[..] || head[MAGIC.len()..] != node.0.to_le_bytes() {
        return Err(Unusable::Foreign);
    }
    while let Some((frame, behind)) = decode(rest)
        && found.frames.last().is_none_or(|last| last.sequence < frame.sequence)
    {
        found.frames.push(frame);
        rest = behind;
    }
    found.torn_bytes = rest.len() as u64;
    Ok((found, (held.len() - rest.len()) as u64))
}

fn decode(bytes: &[u8]) -> Option<(Batch, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (payload, behind) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
    if crc32fast::hash(payload) != u32::from_le_bytes(*crc) {
        return None;
    }
    Some((postcard::from_bytes(payload).ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Increment, SessionId, SessionRow, TorrentId, UserId};

    const NODE: NodeId = NodeId(77);

    fn frame(sequence: u64) -> Batch {
        let (user, torrent) = (UserId(3), TorrentId(4));
        let baseline = SessionRow {
            user,
            torrent,
            session: SessionId(u64::MAX),
            uploaded: sequence,
            downloaded: 0,
            left: Some(9),
            run: 0,
            seen_at: 1,
            is_stopped: false,
        };
        let increment = Increment {
            user,
            torrent,
            uploaded: sequence,
            downloaded: 0,
            credited: u64::MAX,
            charged: 0,
            seeded_secs: 1,
            leeched_secs: 0,
            snatched_at: Some(-1),
        };
        Batch {
            node: NODE,
            sequence,
            increments: vec![increment],
            sessions: vec![baseline],
            ..Batch::default()
        }
    }

    fn filled() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut file, found) = JournalFile::open(&path, NODE).unwrap();
        assert_eq!(found, Found::default());
        for sequence in [1, 2, 5] {
            file.append(&frame(sequence)).unwrap();
        }
        let held = std::fs::read(&path).unwrap();
        (folder, path, held)
    }

    #[test]
    fn frames_come_back_and_more_can_follow() {
        let (_folder, path, _) = filled();
        let (mut file, found) = JournalFile::open(&path, NODE).unwrap();
        assert_eq!(found, Found { frames: vec![frame(1), frame(2), frame(5)], torn_bytes: 0 });
        file.append(&frame(6)).unwrap();
        assert_eq!(JournalFile::open(&path, NODE).unwrap().1.frames.len(), 4);
        file.rewrite(&[&frame(5), &frame(6)]).unwrap();
        file.append(&frame(7)).unwrap();
        let frames = JournalFile::open(&path, NODE).unwrap().1.frames;
        assert_eq!(frames, [frame(5), frame(6), frame(7)]);
        file.clear().unwrap();
        assert_eq!(file.bytes(), HEAD_BYTES);
        assert_eq!(JournalFile::open(&path, NODE).unwrap().1, Found::default());
    }

    #[test]
    fn a_file_that_is_torn_anywhere_holds_what_was_whole() {
        let (_folder, path, held) = filled();
        for len in 0..held.len() {
            std::fs::write(&path, &held[..len]).unwrap();
            let (mut file, found) = JournalFile::open(&path, NODE).unwrap();
            let whole = [frame(1), frame(2), frame(5)];
            assert_eq!(found.frames[..], whole[..found.frames.len()]);
            file.append(&frame(9)).unwrap();
            let again = JournalFile::open(&path, NODE).unwrap().1;
            assert_eq!((again.frames.len(), again.torn_bytes), (found.frames.len() + 1, 0), "{len}");
        }
    }

    #[test]
    fn no_flipped_bit_goes_unnoticed() {
        let (_folder, path, held) = filled();
        for bit in 0..held.len() * 8 {
            let mut flipped = held.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            match JournalFile::open(&path, NODE) {
                Err(Unusable::Foreign) => assert!(bit < 32 * 8),
                Err(Unusable::Io(error)) => panic!("{error}"),
                Ok((_, found)) => {
                    assert!(found.torn_bytes > 0, "{bit}");
                    assert_eq!(found.frames[..], [frame(1), frame(2), frame(5)][..found.frames.len()]);
                }
            }
        }
    }

    #[test]
    fn a_file_of_another_node_is_left_alone() {
        let (_folder, path, held) = filled();
        assert!(matches!(JournalFile::open(&path, NodeId(78)), Err(Unusable::Foreign)));
        assert_eq!(std::fs::read(&path).unwrap(), held);
    }
}
