//! Bounds of the wire itself. What an operator may change lives in the core's `rules`.

/// Longest `key` that is read; longer ones are ignored (aria2 sends 8 raw bytes, others 8 hex digits).
pub const KEY_BYTES_MAX: usize = 64;

/// Most info hashes of one scrape, in every dialect: 74 answers of 12 bytes fill a UDP reply (BEP 15).
pub const SCRAPE_HASHES_MAX: usize = 74;

/// Longest HTTP request target. 74 fully escaped hashes need 5,180 bytes.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Longest HTTP request head, target and headers together.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header lines of one request.
pub const HEADERS_MAX: usize = 64;

/// Most peers that one reply may carry, whatever an operator sets: 200 IPv4 peers are 1,200 bytes.
pub const REPLY_PEERS_MAX: u32 = 200;

/// Most IPv6 peers in a UDP reply: 20 + 66 x 18 = 1,208 bytes stay under the IPv6 minimum MTU.
pub const UDP_V6_PEERS_MAX: usize = 66;

/// Longest UDP request that is read: announce with a long BEP 41 path, or 74 hashes.
pub const UDP_REQUEST_BYTES_MAX: usize = 2048;

/// Longest UDP reply: 20 + 200 x 6 bytes of peers; 66 IPv6 peers and 74 scraped torrents take less.
pub const UDP_REPLY_BYTES_MAX: usize = 20 + REPLY_PEERS_MAX as usize * 6;

/// Most offers of one WebTorrent announce that are passed on; clients make up to 10.
pub const OFFERS_MAX: usize = 20;

/// Longest WebRTC session description, as the JSON text that it is passed on as. Those of browsers have 1 to 4 KiB.
pub const SDP_BYTES_MAX: usize = 8 * 1024;

/// Longest WebTorrent message: 20 offers of about 3 KiB each.
pub const WS_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A passkey or announce key in a URL.
pub const SECRET_BYTES_MAX: usize = 64;

/// Path and query of an announce over UDP (BEP 41).
pub const URL_BYTES_MAX: usize = 512;
