//! What the fuzz targets run; the ordinary tests replay their corpora through the same functions.

use evenkeel_wire::forwarding::introduction::{
    INTRODUCTION_BYTES_MAX, NoIntroduction, decode as introduction_of,
};
use evenkeel_wire::forwarding::{Header, client};
use evenkeel_wire::http::{Framing, decode_head, write_answer};
use evenkeel_wire::limits::{OFFERS_MAX, SDP_BYTES_MAX};
use evenkeel_wire::udp::{Ask, Request, decode};
use evenkeel_wire::ws::{self, Message, Subject};
use evenkeel_wire::{Failure, InfoHash, Reply, Stats, client_name, query};

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

/// What stands before the first request of a proxied connection: it is whole at its last byte, not before and whatever
/// follows; bytes without end are given up.
pub(crate) fn introduction(data: &[u8]) {
    let read = introduction_of(data);
    let with_more = introduction_of(&[data, b"\r\n"].concat());
    match read {
        Ok(Some((_, len))) => {
            assert!(len <= data.len() && len <= INTRODUCTION_BYTES_MAX);
            for short in (0..len).rev().take(64) {
                assert_eq!(introduction_of(&data[..short]), Ok(None), "the first {short} of {len} bytes");
            }
            assert_eq!((introduction_of(&data[..len]), &with_more), (read, &read));
        }
        Ok(None) => assert!(data.len() < INTRODUCTION_BYTES_MAX),
        Err(NoIntroduction::Missing | NoIntroduction::Malformed) => assert_eq!(with_more, read),
    }
}

/// What a stranger writes into forwarding headers, and a proxy adds to: whoever the proxy names is meant, however many
/// lines and marks stand before it.
pub(crate) fn forwarding(data: &[u8]) {
    let lines: Vec<Vec<u8>> = data
        .split(|byte| *byte == 0)
        .map(|line| line.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect())
        .collect();
    for (header, name, added) in [
        (Header::XForwardedFor, "X-Forwarded-For", "192.0.2.1"),
        (Header::Forwarded, "Forwarded", "for=192.0.2.1"),
        (Header::Forwarded, "forwarded", "by=10.0.0.1;for=\"192.0.2.1:80\""),
    ] {
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        for (at, line) in lines.iter().enumerate() {
            let is_last = at + 1 == lines.len();
            head.extend_from_slice(format!("{name}: ").as_bytes());
            head.extend_from_slice(line);
            head.extend_from_slice(
                if is_last { format!(", {added}\r\n\r\n") } else { "\r\n".to_owned() }.as_bytes(),
            );
        }
        // Others read whatever is there.
        let Ok(Some((request, _))) = decode_head(&head) else { continue };
        for other in [Header::XRealIp, Header::CfConnectingIp] {
            assert_eq!(client(request.headers, other, |_| true), None);
        }
        assert_eq!(
            client(request.headers, header, |ip| ip.to_string().starts_with("10.")).map(|ip| ip.to_string()),
            Some("192.0.2.1".to_owned()),
            "{}",
            head.escape_ascii()
        );
        // Where everybody is trusted, some address or none is meant, and it is one that is written as such.
        if let Some(ip) = client(request.headers, header, |_| true) {
            assert_eq!(ip, ip.to_canonical());
        }
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
            assert_eq!(data.len(), 16 + 20 * scrape.len());
        }
        Some(Request::Claimed { ask: Err(_), .. }) => assert!(data.len() >= 16),
    }
}

/// A WebTorrent message: what is passed on, and what is replied, is a message again, about the same torrent and peer.
pub(crate) fn web(data: &[u8]) {
    let mut out = Vec::new();
    match ws::decode(data) {
        Ok(Message::Announce(ask, offers)) => {
            assert!(offers.list.len() <= OFFERS_MAX);
            assert_eq!(ask.numwant, u32::try_from(offers.list.len()).ok());
            for offer in &offers.list {
                assert!(offer.sdp.is_none_or(|sdp| sdp.len() <= SDP_BYTES_MAX));
                out.clear();
                let mut head = Vec::new();
                ws::write_relay_head(&mut head, &ask.info_hash, &ask.peer_id);
                ws::write_offer(&mut out, &head, offer);
                let Ok(Message::Announce(again, _)) = ws::decode(&out) else {
                    panic!("{}", out.escape_ascii())
                };
                assert_eq!((again.info_hash, again.peer_id), (ask.info_hash, ask.peer_id));
            }
            out.clear();
            let reply =
                Reply { stats: Stats::default(), interval_secs: 1, min_interval_secs: 1, warning: None };
            ws::write_announce(&mut out, &ask.info_hash, &reply);
            expect(&out, Failure::PeerId, Subject::Announce(ask.info_hash));
        }
        Ok(Message::Answer(answer)) => {
            ws::write_answer(&mut out, &answer);
            expect(&out, Failure::ToPeerId, Subject::Announce(answer.info_hash));
        }
        Ok(Message::Scrape(scrape)) => {
            assert!((1..=74).contains(&scrape.hashes().len()));
            let files = scrape.hashes().iter().map(|info_hash: &InfoHash| (*info_hash, Stats::default()));
            ws::write_scrape(&mut out, files, 1);
            assert_eq!(ws::decode(&out), Ok(Message::ScrapeAll));
        }
        Ok(Message::ScrapeAll) => {}
        Err(refused) => {
            ws::write_failure(&mut out, &refused);
            let read = ws::decode(&out);
            assert!(read.is_ok() || read.is_err_and(|again| again.failure != Failure::Json));
        }
    }
}

/// What we write lacks just what would make it a request.
fn expect(written: &[u8], failure: Failure, subject: Subject) {
    assert_eq!(ws::decode(written), Err(ws::Refused { failure, subject }), "{}", written.escape_ascii());
}

/// Operations on a shard, compared with the naive model after each.
pub(crate) fn shard(data: &[u8]) {
    crate::model::run(data);
}
