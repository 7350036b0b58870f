//! Tracker messages: bytes to types and back.
//!
//! Every dialect decodes into one [`Announce`] or [`Scrape`]; every answer is written straight into a
//! buffer of the caller's. This crate contains no socket, no clock and no randomness, and it never
//! panics on input: a decoder answers with a value, a [`Failure`] that a peer may read, or nothing.
//!
//! Wire words (BEP 3: complete, incomplete) stay in here; past this crate they are seeders and leechers.

pub mod announce;
pub mod bencode;
pub mod client_name;
pub mod compact;
pub mod failure;
pub mod forwarding;
pub mod http;
pub mod ids;
pub mod limits;
pub mod query;
pub mod scrape;
pub mod secret;
pub mod udp;
pub mod ws;

pub use announce::{Announce, Event, Key, Reply};
pub use compact::Endpoint;
pub use failure::{Failure, Retry, Told, Warning};
pub use ids::{InfoHash, NotAnInfoHash, OfferId, PeerId};
pub use scrape::{Scrape, Stats};
