//! The state directory: what outlives a restart, for one running tracker at a time.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not exist and cannot be made.
    #[error("cannot create the state directory {}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing can be written there.
    #[error("cannot write to the state directory {}", path.display())]
    Write {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It belongs to another running tracker.
    #[error("the state directory {} is in use by another evenkeel", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The system has no randomness for a new key.
    #[error("cannot make a key for {}", path.display())]
    Randomness {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: getrandom::Error,
    },
    /// A key file cannot be read or written.
    #[error("cannot use the key file {}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key file is not what was once written there.
    #[error("the key file {} must have {expected} bytes; remove it to have a new key made", path.display())]
    KeyLength {
        /// The key file.
        path: PathBuf,
        /// Its right length.
        expected: usize,
    },
}

/// The state directory, locked until this is dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: File,
}

/// Chooses the directory: what is configured, else systemd's, else the user's, else `./data`.
pub fn choose(configured: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(path) = configured {
        return path.to_owned();
    }
    // systemd gives all state directories of a unit in one variable.
    let of_unit = variable("STATE_DIRECTORY").unwrap_or_default();
    let first = of_unit.as_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
    if !first.is_empty() {
        return PathBuf::from(std::ffi::OsStr::from_bytes(first));
    }
    // A relative path there is to be ignored (XDG Base Directory Specification).
    let of_user = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    of_user.map_or_else(|| PathBuf::from("data"), |path| path.join("evenkeel"))
}

impl StateDir {
    /// Makes the directory if need be, and takes it for this process.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let path = path.to_owned();
        if let Err(source) = DirBuilder::new().recursive(true).mode(0o700).create(&path) {
            return Err(Error::Create { path, source });
        }
        let lock = match private().truncate(false).open(path.join("lock")) {
            Ok(lock) => lock,
            Err(source) => return Err(Error::Write { path, source }),
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(Error::Write { path, source }),
        }
        // A lock file from earlier opens in a directory that has become read-only, too.
        let probe = path.join("probe");
        if let Err(source) = private().open(&probe).and_then(|_| fs::remove_file(&probe)) {
            return Err(Error::Write { path, source });
        }
        Ok(Self { path, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the key file `name`, or makes one with random bytes.
    pub fn secret<const N: usize>(&self, name: &str) -> Result<[u8; N], Error> {
        self.kept(name, || {
            let mut key = [0; N];
            getrandom::fill(&mut key).map(|()| key)
        })
    }

    /// Reads the key file `name`, or makes one with what `draw` answers.
    pub(crate) fn kept<const N: usize>(
        &self,
        name: &str,
        draw: impl FnOnce() -> Result<[u8; N], getrandom::Error>,
    ) -> Result<[u8; N], Error> {
        let path = self.path.join(name);
        match File::open(&path) {
            Ok(file) => read_key(&file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match draw() {
                Ok(key) => self.keep(name, path, key),
                Err(source) => Err(Error::Randomness { path, source }),
            },
            Err(source) => Err(Error::Key { path, source }),
        }
    }

    fn keep<const N: usize>(&self, name: &str, path: PathBuf, key: [u8; N]) -> Result<[u8; N], Error> {
        match replace(&self.path, name, &key) {
            Ok(()) => Ok(key),
            Err(source) => Err(Error::Key { path, source }),
        }
    }
}

/// Puts a file in its place, for our eyes only. Written aside and renamed: a crash leaves the old one or the new one, whole.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let aside = folder.join(format!("{name}.new"));
    let mut file = private().open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// Opens for writing, empty, and for our eyes only.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

fn read_key<const N: usize>(file: &File, path: PathBuf) -> Result<[u8; N], Error> {
    let mut bytes = Vec::with_capacity(N + 1);
    if let Err(source) = file.take(N as u64 + 1).read_to_end(&mut bytes) {
        return Err(Error::Key { path, source });
    }
    <[u8; N]>::try_from(bytes).map_err(|_| Error::KeyLength { path, expected: N })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_directory_is_chosen_in_the_documented_order() {
        let path = |configured: Option<&str>, set: &[(&str, &str)]| {
            let variable = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
            choose(configured.map(Path::new), variable)
        };
        let unit = ("STATE_DIRECTORY", "/var/lib/evenkeel:/var/lib/other");
        let user = ("XDG_STATE_HOME", "/home/u/.local/state");
        assert_eq!(path(Some("/srv/x"), &[unit, user]), Path::new("/srv/x"));
        assert_eq!(path(None, &[unit, user]), Path::new("/var/lib/evenkeel"));
        assert_eq!(path(None, &[user]), Path::new("/home/u/.local/state/evenkeel"));
        assert_eq!(path(None, &[("XDG_STATE_HOME", "state"), ("STATE_DIRECTORY", "")]), Path::new("data"));
    }

    #[test]
    fn a_new_directory_and_its_files_are_for_the_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/state");
        let state = StateDir::open(&path).unwrap();
        state.secret::<16>("udp.key").unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("lock")), 0o600);
        assert_eq!(mode(&path.join("udp.key")), 0o600);
    }

    #[test]
    fn a_second_instance_is_refused_until_the_first_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let first = StateDir::open(parent.path()).unwrap();
        let error = StateDir::open(parent.path()).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        drop(first);
        StateDir::open(parent.path()).unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("state");
        let error = StateDir::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_secret_is_random_once_and_the_same_ever_after() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(parent.path()).unwrap();
        let key = state.secret::<16>("udp.key").unwrap();
        assert_ne!(key, [0; 16]);
        assert_ne!(key, state.secret::<16>("other.key").unwrap());
        drop(state);
        let state = StateDir::open(parent.path()).unwrap();
        assert_eq!(state.secret::<16>("udp.key").unwrap(), key);
        assert!(!parent.path().join("udp.key.new").exists());
    }

    #[test]
    fn a_key_file_of_a_wrong_length_is_an_error_and_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(parent.path()).unwrap();
        let path = parent.path().join("udp.key");
        for bytes in [&b""[..], b"short", b"one byte too many"] {
            fs::write(&path, bytes).unwrap();
            let error = state.secret::<16>("udp.key").unwrap_err();
            assert!(matches!(error, Error::KeyLength { expected: 16, .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes);
        }
    }

    #[test]
    fn what_a_crash_left_beside_a_key_is_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(parent.path()).unwrap();
        fs::write(parent.path().join("udp.key.new"), b"half").unwrap();
        let key = state.secret::<16>("udp.key").unwrap();
        assert_eq!(fs::read(parent.path().join("udp.key")).unwrap(), key);
    }
}
