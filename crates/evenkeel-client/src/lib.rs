//! How one asks a BitTorrent tracker.
//!
//! Two questions, *announce* and *scrape*, over every dialect that trackers speak: `http` and `https` (BEP 3,
//! 7, 23, 24, 31, 48), `udp` (BEP 15, 41), `ws` and `wss` (WebTorrent), over IPv4 and IPv6. [`Tracker`] picks
//! the dialect by the scheme of the URL; [`ws::Session`] holds the longer conversation that WebRTC needs.
//!
//! ```
//! use evenkeel_client::{Announce, Error, Event, InfoHash, Key, PeerId, Tracker};
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let announce_url = format!("http://{}/announce", listener.local_addr()?);
//! # tokio::spawn(async move {
//! #     while let Ok((mut stream, _)) = listener.accept().await {
//! #         let mut head = Vec::new();
//! #         while !head.ends_with(b"\r\n\r\n") {
//! #             head.push(stream.read_u8().await.unwrap());
//! #         }
//! #         let body = if head.starts_with(b"GET /scrape") {
//! #             [b"d5:filesd20:", [0xAB; 20].as_slice(), b"d8:completei1eeee"].concat()
//! #         } else {
//! #             b"d8:completei1e8:intervali1800e5:peers6:\x01\x02\x03\x04\x1a\xe1e".to_vec()
//! #         };
//! #         stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
//! #         stream.write_all(&body).await.unwrap();
//! #     }
//! # });
//! let info_hash = InfoHash([0xAB; 20]);
//! let tracker = Tracker::new(&announce_url)?;
//! let response = tracker
//!     .announce(&Announce {
//!         info_hash,
//!         peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
//!         port: 6881,
//!         uploaded: 0,
//!         downloaded: 0,
//!         left: Some(1_000_000),
//!         event: Event::Started,
//!         numwant: Some(50),
//!         key: Key::NONE,
//!     })
//!     .await?;
//! assert_eq!(response.next_announce().as_secs(), 1800);
//! for peer in &response.peers {
//!     println!("{}", peer.addr); // 1.2.3.4:6881
//! }
//!
//! let counts = tracker.scrape(&[info_hash]).await?.get(info_hash);
//! assert_eq!(counts.map(|stats| stats.seeders), Some(1));
//! # Ok(())
//! # }
//! ```
//!
//! [`admin::Admin`] manages the users and torrents of a tracker of this project.
//!
//! # Settings
//!
//! [`Client::builder`] sets time-outs, limits, family, local address and certificates, and one [`Client`]
//! serves many trackers:
//!
//! ```
//! use std::time::Duration;
//! use evenkeel_client::{Client, Family};
//!
//! # fn main() -> Result<(), evenkeel_client::Error> {
//! let client = Client::builder().family(Family::V4).deadline(Duration::from_secs(60)).build()?;
//! let trackers = [client.tracker("udp://tracker.example:6969")?, client.tracker("https://t.example/announce")?];
//! assert_eq!(trackers[0].to_string(), "udp://tracker.example:6969");
//! # Ok(())
//! # }
//! ```
//!
//! # What is trusted
//!
//! Nothing: every answer is bounded in size and nesting, waits are bounded (over UDP by BEP 15's two hours
//! unless [`ClientBuilder::deadline`] says less), and certificates are checked against Mozilla's list, which
//! is compiled in. A tracker may redirect to any address, a private one included; peers are handed on as
//! they come. Texts of the tracker ([`Error::Tracker`], [`AnnounceResponse::warning`]) may hold any
//! characters: escape them before they reach a terminal or a page.
//!
//! # Limits
//!
//! * The addresses of a host are tried one after the other, not at the same time; over UDP each try goes to
//!   the next one.
//! * An HTTP request opens a connection of its own.
//! * There is no proxy support, and no user name or password in URLs.

pub mod admin;
mod answer;
mod bencode;
mod client;
mod error;
mod http;
mod net;
#[cfg(any(test, fuzzing))]
pub mod strange;
mod tracker;
mod udp;
pub mod ws;

pub use answer::{AnnounceResponse, DEFAULT_INTERVAL, Peer, ScrapeResponse};
pub use client::{Client, ClientBuilder, Family};
pub use error::Error;
pub use evenkeel_wire::{Announce, Event, InfoHash, Key, PeerId, Retry, Stats};
pub use tracker::Tracker;
