//! Announce keys for whoever asks, where the operator lets them: so many in an hour, and few for each address.
//!
//! A thread of its own writes them to the database; those who ask wait for it, and nobody else does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evenkeel_core::Scope;
use evenkeel_wire::Endpoint;
use tokio::sync::{mpsc, oneshot};

use crate::control::Secret;
use crate::database::{Place, now_secs};
use crate::node::lock;
use crate::store::{self, AnnounceKey, Edit, Store};

/// Keys that one address (IPv4 address, IPv6 /64) may have in an hour: one for each of somebody's machines.
const OF_ADDRESS_MAX: u32 = 5;
const HOUR: Duration = Duration::from_secs(3600);
/// Who asks while so many wait is told to try again.
const WAITING_MAX: usize = 64;
/// What operators read of such a key.
const NOTE: &str = "asked for by anybody";

/// See the module.
#[derive(Clone)]
pub(crate) struct Mint {
    ask: mpsc::Sender<oneshot::Sender<Secret>>,
    hour: Arc<Mutex<Hour>>,
    refused: Arc<AtomicU64>,
    minted: Arc<AtomicU64>,
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// So many were given that it is enough for this hour.
    Enough,
    /// The database is away, or too many wait.
    Unavailable,
}

/// What was given since it began.
struct Hour {
    began: Instant,
    max: u32,
    given: u32,
    /// No longer than what was given.
    addresses: HashMap<IpAddr, u32>,
}

/// For metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Keys that were given.
    pub minted: u64,
    /// Times that there was none.
    pub refused: u64,
    /// Keys of an hour at most.
    pub max: u32,
}

impl Mint {
    /// Starts the thread, which ends with the last mint of it; `max` keys in an hour.
    pub(crate) fn start(place: Place, max: u32) -> std::io::Result<Self> {
        let (ask, mut asked) = mpsc::channel::<oneshot::Sender<Secret>>(WAITING_MAX);
        std::thread::Builder::new().name("mint".to_owned()).spawn(move || {
            let mut store = None;
            while let Some(answer) = asked.blocking_recv() {
                match make(&place, &mut store) {
                    // Whoever has hung up meanwhile wants no answer.
                    Ok(secret) => drop(answer.send(secret)),
                    // Not logged for each: who waits is answered that it failed, and that is counted.
                    Err(_) => store = None,
                }
            }
        })?;
        let hour = Hour { began: Instant::now(), max, given: 0, addresses: HashMap::new() };
        Ok(Self { ask, hour: Arc::new(Mutex::new(hour)), refused: Arc::default(), minted: Arc::default() })
    }

    /// A new key for somebody.
    pub(crate) async fn take(&self, source: IpAddr, limit_local: bool) -> Result<Secret, Refused> {
        let taken = self.try_take(source, limit_local).await;
        let count = if taken.is_ok() { &self.minted } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        taken
    }

    async fn try_take(&self, source: IpAddr, limit_local: bool) -> Result<Secret, Refused> {
        let is_limited = limit_local || Scope::of(&Endpoint::new(source, 0)) == Scope::Global;
        if !lock(&self.hour).admit(is_limited.then_some(source), Instant::now()) {
            return Err(Refused::Enough);
        }
        let (answer, answered) = oneshot::channel();
        self.ask.try_send(answer).map_err(|_| Refused::Unavailable)?;
        answered.await.map_err(|_| Refused::Unavailable)
    }

    /// See [`Figures`].
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            minted: self.minted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            max: lock(&self.hour).max,
        }
    }
}

impl Hour {
    /// Whether there is one more, of which an address is to be counted. One that fails later counts all the same.
    fn admit(&mut self, source: Option<IpAddr>, now: Instant) -> bool {
        if now.duration_since(self.began) >= HOUR {
            *self = Self { began: now, max: self.max, given: 0, addresses: HashMap::new() };
        }
        if self.given >= self.max {
            return false;
        }
        if let Some(source) = source {
            let own = self.addresses.entry(network(source)).or_default();
            if *own >= OF_ADDRESS_MAX {
                return false;
            }
            *own += 1;
        }
        self.given += 1;
        true
    }
}

/// What one party owns of IPv6 is a /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn make(place: &Place, kept: &mut Option<Box<dyn Store>>) -> Result<Secret, store::Error> {
    let secret = Secret::draw().map_err(|error| store::Error::Unavailable { message: error.to_string() })?;
    let now = now_secs();
    let key =
        AnnounceKey { id: 0, hash: secret.hash(), note: NOTE.to_owned(), created_at: now, used_at: now };
    let store = match kept {
        Some(store) => store,
        None => kept.insert(place.open()?),
    };
    store.edit(&[Edit::Key(key)])?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(max: u32) -> Hour {
        Hour { began: Instant::now(), max, given: 0, addresses: HashMap::new() }
    }

    #[test]
    fn an_address_gets_a_few_and_all_together_get_as_many_as_may_be() {
        let mut hour = hour(12);
        let now = hour.began;
        let ip = |last: u8| Some(IpAddr::from([8, 8, 8, last]));
        assert_eq!((0..9).filter(|_| hour.admit(ip(1), now)).count(), 5);
        assert_eq!((0..9).filter(|_| hour.admit(ip(2), now)).count(), 5);
        assert_eq!((0..9).filter(|_| hour.admit(None, now)).count(), 2, "twelve in all");
        assert!(!hour.admit(ip(3), now));
        assert!(hour.admit(ip(1), now + HOUR), "another hour");
        assert_eq!(hour.addresses.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let mut hour = hour(100);
        let now = hour.began;
        let ip = |host: u128| Some(IpAddr::V6(Ipv6Addr::from_bits(0x2a00_0001 << 96 | host)));
        assert_eq!((0..50).filter(|host| hour.admit(ip(*host), now)).count(), 5);
        assert!(hour.admit(ip(1 << 64), now), "the next /64");
    }
}
