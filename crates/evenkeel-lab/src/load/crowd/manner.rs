//! What hostile clients say. Each manner is a first piece, another that is repeated, and a pace.

use std::time::Duration;

/// How one asks for a WebSocket; the key is that of RFC 6455.
pub(super) const UPGRADE: &[u8] =
    b"GET /announce HTTP/1.1\r\nHost: tracker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Between two bytes of what drips.
const DRIP: Duration = Duration::from_millis(100);
/// Between two pieces of what pours.
const POUR: Duration = Duration::from_millis(10);
/// Between two messages that may be answered with a complaint.
const SEVERAL: Duration = Duration::from_millis(500);
const PIECE_BYTES: usize = 16 * 1024;
const MIB: usize = 1024 * 1024;

/// One connection's part.
pub(super) struct Act {
    /// It becomes a WebSocket first.
    pub(super) is_upgraded: bool,
    pub(super) first: Vec<u8>,
    pub(super) again: Vec<u8>,
    pub(super) times: u32,
    pub(super) pause: Duration,
    /// It reads what comes back.
    pub(super) listens: bool,
    /// The tracker has to end it; others end by themselves.
    pub(super) must_end: bool,
}

/// A way to mean ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// A head that comes byte by byte.
    DrippingHead,
    /// Headers without end.
    LongHead,
    /// A target without end.
    LongTarget,
    /// A body of a terabyte.
    EndlessBody,
    /// A body in chunks without end.
    EndlessChunks,
    /// Bytes without meaning.
    Garbage,
    /// Requests in a row, and nobody who reads the answers.
    Deaf,
    /// Nothing at all.
    Silent,
    /// A frame without a mask.
    Unmasked,
    /// A frame under another mask than it says.
    WrongMask,
    /// Bits that mean nothing.
    ReservedBits,
    /// A frame of a kind that there is not.
    UnknownKind,
    /// A frame that says to be as long as a number can say.
    HugeFrame,
    /// A message in frames without end.
    EndlessMessage,
    /// A frame that comes byte by byte.
    DrippingFrame,
    /// A session description of a MiB.
    LongDescription,
    /// Offers whose descriptions are too long, in messages that are not.
    LongOffers,
    /// What is no JSON.
    BrokenJson,
    /// Brackets within brackets.
    DeepJson,
    /// Pings without end.
    Pings,
    /// Messages in a row, and nobody who reads the answers.
    DeafSocket,
}

impl Manner {
    pub(super) const OVER_HTTP: [Self; 8] = [
        Self::DrippingHead,
        Self::LongHead,
        Self::LongTarget,
        Self::EndlessBody,
        Self::EndlessChunks,
        Self::Garbage,
        Self::Deaf,
        Self::Silent,
    ];

    pub(super) const OVER_WEBSOCKET: [Self; 15] = [
        Self::DrippingHead,
        Self::LongHead,
        Self::Unmasked,
        Self::WrongMask,
        Self::ReservedBits,
        Self::UnknownKind,
        Self::HugeFrame,
        Self::EndlessMessage,
        Self::DrippingFrame,
        Self::LongDescription,
        Self::LongOffers,
        Self::BrokenJson,
        Self::DeepJson,
        Self::Pings,
        Self::DeafSocket,
    ];

    /// What a connection of this manner does.
    pub(super) fn act(self, rng: &mut fastrand::Rng) -> Act {
        let filler = || vec![b'a'; PIECE_BYTES];
        match self {
            Self::DrippingHead => drip(b"GET /announce?info_hash=", b"a"),
            Self::LongHead => pour(b"GET /announce HTTP/1.1\r\nX: ", filler()),
            Self::LongTarget => pour(b"GET /", filler()),
            Self::EndlessBody => {
                pour(b"GET /announce HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n", filler())
            }
            Self::EndlessChunks => {
                let chunk = [b"4000\r\n", &filler()[..], b"\r\n"].concat();
                pour(b"GET /announce HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", chunk)
            }
            Self::Garbage => {
                // Neither the begin of a request nor empty lines, which may stand before one.
                let bytes: Vec<u8> = (0..PIECE_BYTES).map(|_| rng.u8(0x80..)).collect();
                pour(b"", bytes)
            }
            Self::Deaf => {
                let requests = b"GET / HTTP/1.1\r\n\r\n".repeat(16);
                Act { listens: false, times: u32::MAX, ..pour(b"", requests) }
            }
            Self::Silent => pour(b"", Vec::new()),
            Self::DeafSocket => {
                // As many as one scrape may name: answers that fill what the system buffers.
                let hashes: Vec<String> = (0..74).map(|number| format!("\"{number:020}\"")).collect();
                let scrape = format!("{{\"action\":\"scrape\",\"info_hash\":[{}]}}", hashes.join(","));
                let messages = frame(TEXT, scrape.as_bytes());
                Act { listens: false, times: u32::MAX, ..upgraded(pour(b"", messages)) }
            }
            Self::DrippingFrame => {
                let begin = &frame(TEXT, &[b' '; 60_000])[..8];
                Act { must_end: false, times: 200, ..upgraded(drip(begin, b" ")) }
            }
            Self::LongOffers => several(frame(TEXT, offer(60_000).as_bytes())),
            Self::BrokenJson => several(frame(TEXT, b"{\"action\":\"announce\",")),
            Self::DeepJson => several(frame(TEXT, "[".repeat(30_000).as_bytes())),
            _ => upgraded(self.once()),
        }
    }

    /// What ends a WebSocket.
    fn once(self) -> Act {
        let said = match self {
            Self::Unmasked => b"\x81\x05hello".to_vec(),
            Self::WrongMask => {
                let mut bytes = frame(TEXT, offer(100).as_bytes());
                // As if masked by another key: what comes out is no text.
                bytes[8..].iter_mut().for_each(|byte| *byte ^= 0x80);
                bytes
            }
            Self::ReservedBits => frame(TEXT | 0x70, b"{}"),
            Self::UnknownKind => frame(0x83, b"{}"),
            Self::HugeFrame => {
                [&b"\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0\0\0\0"[..], &[b' '; 4096]].concat()
            }
            Self::EndlessMessage => return pour(&frame(0x01, b" "), frame(0x00, &[b' '; PIECE_BYTES])),
            Self::Pings => return pour(b"", frame(0x89, &[0; 125]).repeat(16)),
            _ => frame(TEXT, offer(MIB).as_bytes()),
        };
        pour(&said, Vec::new())
    }
}

/// A whole text in one frame.
const TEXT: u8 = 0x81;

/// Byte by byte, until the tracker has enough of it.
fn drip(first: &[u8], again: &[u8]) -> Act {
    Act { times: u32::MAX, pause: DRIP, ..pour(first, again.to_vec()) }
}

/// As fast as is decent, up to 4 MiB.
fn pour(first: &[u8], again: Vec<u8>) -> Act {
    let times = (4 * MIB).checked_div(again.len()).unwrap_or(0);
    Act {
        is_upgraded: false,
        first: first.to_vec(),
        again,
        times: u32::try_from(times).unwrap_or(u32::MAX),
        pause: POUR,
        listens: true,
        must_end: true,
    }
}

fn upgraded(act: Act) -> Act {
    Act { is_upgraded: true, ..act }
}

/// Twenty of what a tracker may answer with a complaint.
fn several(message: Vec<u8>) -> Act {
    Act { times: 20, pause: SEVERAL, must_end: false, ..upgraded(pour(b"", message)) }
}

/// An announce with an offer whose description is so long.
fn offer(bytes: usize) -> String {
    format!(
        r#"{{"action":"announce","info_hash":"aaaaaaaaaaaaaaaaaaaa","peer_id":"bbbbbbbbbbbbbbbbbbbb","left":1,"numwant":1,"offers":[{{"offer_id":"cccccccccccccccccccc","offer":{{"type":"offer","sdp":"{}"}}}}]}}"#,
        "x".repeat(bytes)
    )
}

/// A frame, masked with zeros, which leaves the payload as it is.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => bytes.push(0x80 | len),
        (_, Ok(len)) => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::http::{HeadError, decode_head};

    use super::*;

    fn act(manner: Manner) -> Act {
        manner.act(&mut fastrand::Rng::with_seed(1))
    }

    /// The first bytes of a connection, up to the largest that is read at once or kept.
    fn bytes(manner: Manner) -> Vec<u8> {
        let act = act(manner);
        [act.first, act.again.repeat(act.times.min(5) as usize)].concat()
    }

    #[test]
    fn what_is_sent_over_http_is_no_request_that_anybody_may_answer() {
        for (manner, refused) in [
            (Manner::LongHead, HeadError::HeadTooLong),
            (Manner::LongTarget, HeadError::TargetTooLong),
            (Manner::EndlessBody, HeadError::Body),
            (Manner::EndlessChunks, HeadError::Body),
            (Manner::Garbage, HeadError::TargetTooLong),
        ] {
            assert_eq!(decode_head(&bytes(manner)).map(drop), Err(refused), "{manner:?}");
        }
        assert_eq!(decode_head(&bytes(Manner::DrippingHead)).map(|read| read.is_some()), Ok(false));
        assert!(decode_head(&bytes(Manner::Deaf)).is_ok_and(|read| read.is_some()));
        assert!(bytes(Manner::Silent).is_empty());
    }

    #[test]
    fn frames_have_the_form_of_rfc_6455() {
        assert_eq!(frame(TEXT, b"hi"), b"\x81\x82\0\0\0\0hi");
        assert_eq!(frame(TEXT, &[0; 126])[..4], [0x81, 0xFE, 0, 126]);
        assert_eq!(frame(TEXT, &[0; MIB])[..10], [0x81, 0xFF, 0, 0, 0, 0, 0, 16, 0, 0]);
        assert!(bytes(Manner::LongDescription).len() > MIB);
    }

    #[test]
    fn a_wrong_mask_makes_a_text_none() {
        let bytes = bytes(Manner::WrongMask);
        let (mask, payload) = (&bytes[4..8], &bytes[8..]);
        let text: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        assert!(String::from_utf8(text).is_err());
    }
}
