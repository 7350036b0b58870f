//! The database of a running tracker: which one it is, and the thread that brings its users and torrents into memory and
//! keeps them true.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_core::Keyed;

use crate::admin::Api;
use crate::books::{self, Books};
use crate::config::Config;
use crate::control::{Control, Follower, Secret};
use crate::journal;
use crate::mint::Mint;
use crate::node::Node;
use crate::state::StateDir;
use crate::store::{Address, Error, Hash32, Postgres, Sqlite, Store};

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
pub(crate) const FILE: &str = "evenkeel.sqlite";
/// Bookings that wait for a server; see [`crate::journal`].
const JOURNAL: &str = "journal";
/// The hash of the API's token.
const TOKEN: &str = "api.token";
/// How often changes are looked for, and a database that is away is tried again: what a site writes holds within a second.
const LOOK: Duration = Duration::from_millis(500);

/// The wall clock, in seconds since 1970.
pub(crate) fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

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

/// Everything that a tracker keeps in a database.
pub(crate) struct Database {
    /// Where it is.
    pub place: Place,
    /// What is known of users and torrents.
    pub control: Arc<Control>,
    /// What they have moved.
    pub books: Arc<Books>,
    /// How the journal is kept.
    pub journal: journal::Settings,
    /// How all that is changed over the admin port.
    pub api: Api,
    /// Gives announce keys to whoever asks, if anybody may.
    pub mint: Option<Mint>,
}

impl Database {
    /// As configured, tried out, and not loaded yet; with the token of the API, if it is drawn only now. `keyed` is what the
    /// places of swarms are computed with.
    pub(crate) fn new(
        config: &Config,
        state: &StateDir,
        keyed: Keyed,
    ) -> anyhow::Result<(Self, Option<Secret>)> {
        let place = Place::new(config, state)?;
        place.try_out()?;
        let file = match place {
            Place::File(_) => None,
            Place::Server(_) => Some(state.path().join(JOURNAL)),
        };
        let journal = books::settings(state.secret("node.key")?, file, config.database.bookings_waiting_max);
        let mut drawn = None;
        let token = state.kept(TOKEN, || Ok(drawn.insert(Secret::draw()?).hash().0))?;
        let api = Api::new(place.clone(), Hash32(token));
        let keys_per_hour = config.access.keys_for_anybody.then_some(config.access.keys_per_hour_max);
        let mint = keys_per_hour.map(|max| Mint::start(place.clone(), max)).transpose()?;
        let control = Arc::new(Control::new(keyed));
        Ok((Self { place, control, books: Arc::default(), journal, api, mint }, drawn))
    }

    /// Connects, loads, opens the books, and follows what changes, until `stop`.
    pub(crate) fn run(&self, node: &Node, stop: &AtomicBool) -> io::Result<()> {
        let is_stopping = || stop.load(Ordering::Relaxed);
        let mut follower = None;
        while !is_stopping() {
            if follower.is_none() {
                match self.place.open() {
                    Ok(store) => follower = Some(Follower::new(Arc::clone(&self.control), store)),
                    Err(error) if error.is_retryable() => {}
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
            if let Some(follower) = &mut follower {
                follower.look();
            }
            if self.control.is_loaded() && !self.books.are_open() {
                let orders = node.orders();
                let when = (&orders.rules, node.now(), node.wall_secs());
                match self.books.open(&self.journal, &|| self.place.open(), when, &is_stopping) {
                    Ok(()) => tracing::info!(users = self.control.sizes().users, "the books are open"),
                    Err(books::Error::Stopping) => return Ok(()),
                    Err(error) if error.is_retryable() => {}
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
            if self.books.have_failed() {
                return Err(io::Error::other("a thread of the journal has ended"));
            }
            std::thread::park_timeout(LOOK);
        }
        Ok(())
    }
}
