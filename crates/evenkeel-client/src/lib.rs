//! How one asks a BitTorrent tracker.
mod answer;
mod bencode;
mod client;
mod error;
mod http;
mod net;
mod tracker;
mod udp;
pub mod ws;

pub use answer::{AnnounceResponse, DEFAULT_INTERVAL, Peer, ScrapeResponse};
pub use client::{Client, ClientBuilder, Family};
pub use error::Error;
pub use evenkeel_wire::{Announce, Event, InfoHash, Key, PeerId, Retry, Stats};
pub use tracker::Tracker;
