//! The database of a running tracker: which one it is, and the thread that brings its users and torrents into memory and
//! keeps them true.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::config::Config;
use crate::control::{Control, Follower};
use crate::state::StateDir;
use crate::store::{Address, Error, Postgres, Sqlite, Store};

/// The address of a server, as it is configured. `Debug` prints stars: it may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Reads `postgres://...`, or what libpq reads.
    pub fn parse(text: &str) -> Option<Self> {
        Address::new(text, None).is_ok().then(|| Self(text.to_owned()))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Name of the file in the state directory.
const FILE: &str = "evenkeel.sqlite";
/// A database that is away is tried again after so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In a file.
    File(PathBuf),
    /// On a server.
    Server(Box<Address>),
}

impl Place {
    /// As configured.
    pub(crate) fn new(config: &Config, state: &StateDir) -> Result<Self, Error> {
        let Some(Url(url)) = &config.database.url else {
            return Ok(Self::File(state.path().join(FILE)));
        };
        let address = Address::new(url, config.database.certificate_authority_file.as_deref())?;
        Ok(Self::Server(Box::new(address)))
    }

    /// A new connection, to a schema that is up to date.
    pub(crate) fn open(&self) -> Result<Box<dyn Store>, Error> {
        Ok(match self {
            Self::File(path) => Box::new(Sqlite::open(path)?),
            Self::Server(address) => Box::new(Postgres::open(address)?),
        })
    }

    /// Sees whether it can be used. One that is away may come; everything else has to be repaired first.
    pub(crate) fn try_out(&self) -> Result<(), Error> {
        match self.open() {
            Err(error) if error.is_retryable() => {
                tracing::error!(%error, "the database is away; nobody is answered until it is there");
                Ok(())
            }
            opened => opened.map(drop),
        }
    }
}

/// Connects, loads, and follows what changes, until `stop`.
pub(crate) fn run(place: &Place, control: &Arc<Control>, stop: &AtomicBool) -> io::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        match place.open() {
            Ok(store) => {
                Follower::new(Arc::clone(control), store).run(stop);
                return Ok(());
            }
            Err(error) if error.is_retryable() => std::thread::park_timeout(PAUSE),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(())
}
