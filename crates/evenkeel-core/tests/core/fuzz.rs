//! What the fuzz targets run; the ordinary tests replay their corpora through the same functions.

use evenkeel_wire::http::{Framing, decode_head, write_answer};
use evenkeel_wire::udp::{Ask, Request, decode};
use evenkeel_wire::{client_name, query};

/// An HTTP head: whatever the bytes, an answer; and a head is complete at its last byte, not before.
pub(crate) fn http(data: &[u8]) {
    let Ok(Some((request, len))) = decode_head(data) else { return };
    assert!(len <= data.len());
    for short in (0..len).rev().take(64) {
        assert_eq!(decode_head(&data[..short]), Ok(None), "the first {short} of {len} bytes");
    }
    write_answer(&mut Vec::new(), "200 OK", "text/plain", request.path, Framing::of(&request));
    queries(request.query);
}

/// A query string: what was read fits what was sent.
pub(crate) fn queries(data: &[u8]) {
    if let Ok((announce, _)) = query::announce(data) {
        assert_ne!(announce.port, 0);
        client_name::client_name(&announce.peer_id);
    }
    if let Ok(mut scrape) = query::scrape(data) {
        let asked = scrape.hashes().len();
        assert!((1..=74).contains(&asked));
        scrape.sort_and_merge();
        assert!(scrape.hashes().is_sorted() && scrape.hashes().len() <= asked);
    }
}

/// A UDP packet: what is answered is at least as long as what BEP 15 demands.
pub(crate) fn udp(data: &[u8]) {
    match decode(data) {
        None => {}
        Some(Request::Connect { .. }) => assert!(data.len() >= 16),
        Some(Request::Claimed { ask: Ok(Ask::Announce(announce, url)), .. }) => {
            assert!(data.len() >= 98 && announce.port != 0);
            assert!(url.pieces().map(<[u8]>::len).sum::<usize>() <= data.len() - 98);
        }
        Some(Request::Claimed { ask: Ok(Ask::Scrape(scrape)), .. }) => {
            assert_eq!(data.len(), 16 + 20 * scrape.hashes().len());
        }
        Some(Request::Claimed { ask: Err(_), .. }) => assert!(data.len() >= 16),
    }
}

/// Operations on a shard, compared with the naive model after each.
pub(crate) fn shard(data: &[u8]) {
    crate::model::run(data);
}
