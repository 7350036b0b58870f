//! One tracker: the same two questions whatever its scheme.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use evenkeel_wire::limits::SCRAPE_HASHES_MAX;
use evenkeel_wire::{Announce, Event, InfoHash};
use tokio::time::timeout;
use url::Url;

use crate::{AnnounceResponse, Client, Error, ScrapeResponse, http, udp, ws};

/// Longest `tracker id` that is kept; a longer one would make every later URL too long.
const TRACKER_ID_BYTES_MAX: usize = 512;

/// A tracker, named by its announce URL. Cheap to clone; clones share everything.
///
/// `Debug` and `Display` show scheme, host and port only: the path of a private tracker is a secret.
#[derive(Clone)]
pub struct Tracker {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    scheme: Scheme,
    url: Url,
    /// What the tracker called each torrent's session (BEP 3), until it is stopped.
    tracker_ids: Mutex<HashMap<InfoHash, Vec<u8>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Udp,
    Ws,
}

impl Tracker {
    /// The tracker at an announce URL, asked with the defaults of [`Client`]. Nothing is sent yet.
    ///
    /// The schemes are `http`, `https`, `udp`, `ws` and `wss`. A `udp` URL without a port means port 80.
    ///
    /// Use [`Client::tracker`] to choose settings, and to share UDP connection ids between trackers.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] and [`Error::UnsupportedScheme`].
    pub fn new(announce_url: &str) -> Result<Self, Error> {
        Self::with_client(Client::new(), announce_url)
    }

    pub(crate) fn with_client(client: Client, announce_url: &str) -> Result<Self, Error> {
        let (scheme, url) = parse(announce_url)?;
        let tracker_ids = Mutex::default();
        Ok(Self { inner: Arc::new(Inner { client, scheme, url, tracker_ids }) })
    }

    /// Announces a peer and asks for others.
    ///
    /// * HTTP (BEP 3, 7, 23, 24, 31): compact answers are asked for, dictionaries understood. `tracker id` is
    ///   kept for each torrent and sent back until [`Event::Stopped`].
    /// * UDP (BEP 15, 41): path and query of the URL travel along. A key that is not four bytes long is
    ///   folded into the 32 bits there are, always in the same way.
    /// * WebSocket (WebTorrent): one connection, no offers, closed after the answer, by which the tracker
    ///   takes the peer for gone. Use [`ws::Session`] to stay.
    ///
    /// [`Announce::left`] of `None` is left out where the dialect can, and is the largest number over UDP.
    ///
    /// # Errors
    ///
    /// Any but [`Error::ScrapeUnsupported`]; a refusal is [`Error::Tracker`].
    pub async fn announce(&self, announce: &Announce) -> Result<AnnounceResponse, Error> {
        let Inner { client, scheme, url, .. } = &*self.inner;
        let tracker_id = self.tracker_id(announce.info_hash);
        let response = self
            .within_deadline(async {
                match scheme {
                    Scheme::Http => http::announce(client, url, announce, tracker_id.as_deref()).await,
                    Scheme::Udp => udp::announce(client, url, announce).await,
                    Scheme::Ws => ws::announce_once(client, url, announce).await,
                }
            })
            .await?;
        self.keep_tracker_id(announce, response.tracker_id.as_deref());
        Ok(response)
    }

    /// Asks for the counts of torrents (BEP 15, BEP 48, WebTorrent).
    ///
    /// More than 74 torrents are asked for in several requests, one after the other; if one fails, the whole
    /// scrape does. Torrents that were not asked for are left out of the answer.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRequest`] when `info_hashes` is empty, as that would ask for all torrents that the
    /// tracker has; [`Error::ScrapeUnsupported`] when the URL has no scrape form (HTTP only); any other.
    pub async fn scrape(&self, info_hashes: &[InfoHash]) -> Result<ScrapeResponse, Error> {
        let Inner { client, scheme, url, .. } = &*self.inner;
        some(info_hashes)?;
        self.within_deadline(async {
            if *scheme == Scheme::Ws {
                return ws::scrape_once(client, url, info_hashes).await;
            }
            let mut response = ScrapeResponse::default();
            for chunk in info_hashes.chunks(SCRAPE_HASHES_MAX) {
                response.merge(match scheme {
                    Scheme::Udp => udp::scrape(client, url, chunk).await?,
                    _ => http::scrape(client, url, chunk).await?,
                });
            }
            Ok(response)
        })
        .await
    }

    async fn within_deadline<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.inner.client.settings().deadline {
            Some(deadline) => timeout(deadline, work).await.unwrap_or(Err(Error::Timeout)),
            None => work.await,
        }
    }

    fn tracker_id(&self, info_hash: InfoHash) -> Option<Vec<u8>> {
        // Each entry is replaced as a whole, so a panic of another holder left nothing half done.
        self.inner.tracker_ids.lock().unwrap_or_else(PoisonError::into_inner).get(&info_hash).cloned()
    }

    /// An answer without an id does not take the old one back (BEP 3).
    fn keep_tracker_id(&self, announce: &Announce, tracker_id: Option<&[u8]>) {
        let mut kept = self.inner.tracker_ids.lock().unwrap_or_else(PoisonError::into_inner);
        if announce.event == Event::Stopped {
            kept.remove(&announce.info_hash);
        } else if let Some(id) = tracker_id.filter(|id| id.len() <= TRACKER_ID_BYTES_MAX) {
            kept.insert(announce.info_hash, id.to_vec());
        }
    }
}

impl fmt::Debug for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tracker({self})")
    }
}

impl fmt::Display for Tracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { scheme, url, .. } = &*self.inner;
        let scheme = if *scheme == Scheme::Udp { "udp" } else { url.scheme() };
        write!(f, "{scheme}://{}", url.host_str().unwrap_or_default())?;
        url.port_or_known_default().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// A scrape of nothing would be a scrape of everything (BEP 48).
pub(crate) fn some(info_hashes: &[InfoHash]) -> Result<(), Error> {
    if info_hashes.is_empty() {
        Err(Error::InvalidRequest("a scrape names at least one torrent"))
    } else {
        Ok(())
    }
}

/// A `udp` URL comes back as an `http` one: only for the schemes of the web does the URL standard say how
/// hosts are written (numbers, upper case, umlauts).
fn parse(announce_url: &str) -> Result<(Scheme, Url), Error> {
    let invalid = |error: url::ParseError| Error::InvalidUrl(error.to_string());
    let given = Url::parse(announce_url.trim()).map_err(invalid)?;
    let (scheme, url) = match given.scheme() {
        "http" | "https" => (Scheme::Http, given),
        "ws" | "wss" => (Scheme::Ws, given),
        "udp" => (Scheme::Udp, Url::parse(&given.as_str().replacen("udp", "http", 1)).map_err(invalid)?),
        other => return Err(Error::UnsupportedScheme(other.into())),
    };
    if url.host().is_none() || url.port() == Some(0) {
        return Err(Error::InvalidUrl("no host or no port".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::InvalidUrl("a user name or password is not supported".into()));
    }
    Ok((scheme, url))
}

pub(crate) fn parse_ws(url: &str) -> Result<Url, Error> {
    match parse(url)? {
        (Scheme::Ws, url) => Ok(url),
        _ => Err(Error::UnsupportedScheme(url.split(':').next().unwrap_or_default().into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_by_its_scheme() {
        for (text, scheme, shown) in [
            ("http://t.example/announce", Scheme::Http, "http://t.example:80"),
            ("https://t.example/secret/announce?x", Scheme::Http, "https://t.example:443"),
            ("udp://T.Example:6969/announce", Scheme::Udp, "udp://t.example:6969"),
            ("udp://127.1:6969", Scheme::Udp, "udp://127.0.0.1:6969"),
            ("udp://[::1]:80", Scheme::Udp, "udp://[::1]:80"),
            ("udp://bücher.example", Scheme::Udp, "udp://xn--bcher-kva.example:80"),
            (" wss://t.example\n", Scheme::Ws, "wss://t.example:443"),
        ] {
            assert_eq!(parse(text).map(|(scheme, _)| scheme).ok(), Some(scheme), "{text}");
            let tracker = Tracker::new(text).unwrap();
            assert_eq!(tracker.to_string(), shown);
            assert_eq!(format!("{tracker:?}"), format!("Tracker({shown})"));
        }
    }

    #[test]
    fn what_is_no_tracker_url_is_refused() {
        for text in
            ["", "t.example", "http://", "udp://", "udp://h:0", "http://h:99999", "http://u:p@h/announce"]
        {
            assert!(matches!(parse(text), Err(Error::InvalidUrl(_))), "{text}: {:?}", parse(text));
        }
        for text in ["ftp://h/announce", "h:80", "dht://x"] {
            assert!(matches!(parse(text), Err(Error::UnsupportedScheme(_))), "{text}");
        }
    }
}
