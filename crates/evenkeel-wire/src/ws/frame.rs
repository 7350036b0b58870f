//! Frames of WebSockets (RFC 6455, 5.2), as far as all messages of WebTorrent are alike: text in one frame.
//!
//! Whatever else a peer sends, broken frames included, is [`Start::Strange`], and for a whole WebSocket library to judge.

use crate::limits::WS_MESSAGE_BYTES_MAX;

/// The last frame of a message, and the first: text.
const TEXT: u8 = 0x81;
/// An empty ping of a server.
pub const PING: [u8; 2] = [0x89, 0];

/// What the bytes begin with that came from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// More bytes are needed.
    Partial,
    /// A message.
    Text(Head),
    /// Something else.
    Strange,
}

/// The head of a frame that has come whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the payload begins.
    pub at: usize,
    /// How long it is.
    pub len: usize,
    /// What [`mask`] is to be called with.
    pub mask: [u8; 4],
}

/// Looks what `bytes` of a client begin with.
pub fn look(bytes: &[u8]) -> Start {
    let [first, rest @ ..] = bytes else { return Start::Partial };
    if *first != TEXT {
        return Start::Strange;
    }
    let [second, rest @ ..] = rest else { return Start::Partial };
    let (len, rest) = match second.checked_sub(0x80) {
        // Clients have to mask what they send.
        None => return Start::Strange,
        Some(126) => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
            None => return Start::Partial,
        },
        Some(127) => match rest.split_first_chunk() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest),
            None => return Start::Partial,
        },
        Some(len) => (u64::from(len), rest),
    };
    let is_short = match second {
        0xFE => len < 126,
        0xFF => len <= 0xFFFF,
        _ => false,
    };
    match usize::try_from(len) {
        Ok(len) if len <= WS_MESSAGE_BYTES_MAX && !is_short => match rest.split_first_chunk() {
            Some((mask, rest)) if rest.len() >= len => {
                Start::Text(Head { at: bytes.len() - rest.len(), len, mask: *mask })
            }
            _ => Start::Partial,
        },
        _ => Start::Strange,
    }
}

/// Masks a payload, or takes the mask off.
pub fn mask(payload: &mut [u8], mask: [u8; 4]) {
    let wide: [u8; 32] = std::array::from_fn(|at| mask[at % 4]);
    let (chunks, rest) = payload.as_chunks_mut::<32>();
    for chunk in chunks {
        for (byte, mask) in chunk.iter_mut().zip(&wide) {
            *byte ^= mask;
        }
    }
    for (byte, mask) in rest.iter_mut().zip(&wide) {
        *byte ^= mask;
    }
}

/// Appends a message of a server in one frame; `write` appends its text.
pub fn write_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    // Most are of this size: what they say has to be moved for no other.
    out.extend_from_slice(&[TEXT, 126, 0, 0]);
    write(out);
    let len = out.len() - at - 4;
    match u16::try_from(len) {
        Ok(len @ 126..) => out[at + 2..at + 4].copy_from_slice(&len.to_be_bytes()),
        Ok(len) => {
            out[at + 1] = len.to_be_bytes()[1];
            out.drain(at + 2..at + 4);
        }
        Err(_) => {
            out[at + 1] = 127;
            out.splice(at + 2..at + 4, (len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of a client.
    fn message(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_text(&mut out, |out| out.extend_from_slice(text));
        let at = out.len() - text.len();
        out[1] |= 0x80;
        mask(&mut out[at..], [1, 2, 3, 4]);
        out.splice(at..at, [1, 2, 3, 4]);
        out
    }

    #[test]
    fn a_message_is_read_when_it_is_whole_whatever_its_length() {
        for len in [0, 1, 31, 32, 33, 125, 126, 127, 500, 65535, 65536] {
            let text: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
            let mut bytes = message(&text);
            for cut in (0..bytes.len()).take(20).chain([bytes.len() - 1]) {
                assert_eq!(look(&bytes[..cut]), Start::Partial, "{len} {cut}");
            }
            bytes.push(0x81);
            let Start::Text(head) = look(&bytes) else { panic!("{len}") };
            assert_eq!((head.len, head.mask), (len, [1, 2, 3, 4]));
            let payload = &mut bytes[head.at..][..head.len];
            mask(payload, head.mask);
            assert!(payload == text, "{len}");
        }
    }

    #[test]
    fn whatever_is_no_text_in_one_masked_frame_is_strange_at_once() {
        for bytes in [
            // More frames follow; reserved bits; binary; a ping; a goodbye; a frame without a beginning.
            &[0x01][..],
            &[0xC1],
            &[0x82],
            &[0x89],
            &[0x88],
            &[0x80],
            // No mask.
            &[0x81, 0x05],
            &[0x81, 0x7E],
            // Longer than need be.
            &[0x81, 0xFE, 0, 125],
            &[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF],
            // Longer than may be.
            &[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 1],
            &[0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ] {
            assert_eq!(look(bytes), Start::Strange, "{bytes:x?}");
            assert_eq!(look(&bytes[..bytes.len() - 1]), Start::Partial, "{bytes:x?}");
        }
    }
}
