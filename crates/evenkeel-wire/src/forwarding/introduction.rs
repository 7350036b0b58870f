//! The PROXY protocol, versions 1 and 2: what a proxy sends before anything of its client's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who is introduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// A client.
    Client(IpAddr),
    /// Nobody: the proxy speaks for itself, or does not know.
    Nobody,
}

/// Why there is no introduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoIntroduction {
    /// The bytes are something else from the first one on.
    Missing,
    /// They begin like one, and are none.
    Malformed,
}

/// Longest that is read. Version 2 may add what we have no use for (TLS, names of the service): some hundred bytes.
pub const INTRODUCTION_BYTES_MAX: usize = 2048;

const TEXT: &[u8] = b"PROXY ";
/// Longest of version 1, with its line end.
const TEXT_BYTES_MAX: usize = 107;
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const BINARY_HEAD_BYTES: usize = 16;

/// Reads the introduction at the start of `bytes`; answers it with its length, or `None` when more bytes are needed.
pub fn decode(bytes: &[u8]) -> Result<Option<(Introduction, usize)>, NoIntroduction> {
    for (signature, read) in [(TEXT, decode_text as Decode), (BINARY, decode_binary)] {
        let common = signature.len().min(bytes.len());
        if signature[..common] == bytes[..common] {
            return if common < signature.len() { Ok(None) } else { read(bytes) };
        }
    }
    Err(NoIntroduction::Missing)
}

type Decode = fn(&[u8]) -> Result<Option<(Introduction, usize)>, NoIntroduction>;

/// `PROXY TCP4 <source> <destination> <port> <port>`, or `PROXY UNKNOWN` and anything.
fn decode_text(bytes: &[u8]) -> Result<Option<(Introduction, usize)>, NoIntroduction> {
    let line = &bytes[..bytes.len().min(TEXT_BYTES_MAX)];
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if line.len() < TEXT_BYTES_MAX { Ok(None) } else { Err(NoIntroduction::Malformed) };
    };
    let text = std::str::from_utf8(&line[..end]).ok().and_then(|line| line.strip_suffix('\r'));
    let mut words = text.ok_or(NoIntroduction::Malformed)?.split(' ').skip(1);
    let introduction = match words.next() {
        Some("UNKNOWN") => Some(Introduction::Nobody),
        Some("TCP4") => endpoints::<Ipv4Addr>(words),
        Some("TCP6") => endpoints::<Ipv6Addr>(words),
        _ => None,
    };
    introduction.map(|introduction| Some((introduction, end + 1))).ok_or(NoIntroduction::Malformed)
}

fn endpoints<'a, Ip: std::str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Option<Introduction> {
    let [source, destination] = [words.next()?, words.next()?].map(|ip| ip.parse::<Ip>().ok());
    let [from, to] = [words.next()?, words.next()?].map(|port| port.parse::<u16>().ok());
    (destination.is_some() && from.is_some() && to.is_some() && words.next().is_none())
        .then_some(introduced(source?.into()))
}

fn decode_binary(bytes: &[u8]) -> Result<Option<(Introduction, usize)>, NoIntroduction> {
    let Some(head) = bytes.first_chunk::<BINARY_HEAD_BYTES>() else { return Ok(None) };
    let [.., command, family, high, low] = *head;
    let len = BINARY_HEAD_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if len > INTRODUCTION_BYTES_MAX {
        return Err(NoIntroduction::Malformed);
    }
    let Some(rest) = bytes.get(BINARY_HEAD_BYTES..len) else { return Ok(None) };
    // The upper half of each byte: version, and family of the addresses; the lower one: command, and transport.
    let introduction = match (command, family >> 4) {
        // What a proxy asks of its own, such as whether we are there.
        (0x20, _) => Some(Introduction::Nobody),
        // Source, destination, two ports.
        (0x21, 1) if rest.len() >= 12 => rest.first_chunk::<4>().map(|ip| introduced((*ip).into())),
        (0x21, 2) if rest.len() >= 36 => rest.first_chunk::<16>().map(|ip| introduced((*ip).into())),
        // Not known, or a Unix socket.
        (0x21, 0 | 3) => Some(Introduction::Nobody),
        _ => None,
    };
    introduction.map(|introduction| Some((introduction, len))).ok_or(NoIntroduction::Malformed)
}

fn introduced(ip: IpAddr) -> Introduction {
    Introduction::Client(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap();
        [BINARY, &[command, family], &len.to_be_bytes(), rest].concat()
    }

    fn client(ip: &str) -> Introduction {
        Introduction::Client(ip.parse().unwrap())
    }

    #[test]
    fn both_versions_introduce_a_client_however_the_bytes_arrive() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 1, 2, 3, 4];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        let mut mapped = [0; 36];
        mapped[..16].copy_from_slice(&"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets());
        for (bytes, introduction) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 513 80\r\n".to_vec(), client("192.0.2.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n".to_vec(), client("2001:db8::1")),
            (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n".to_vec(), client("192.0.2.1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), Introduction::Nobody),
            (b"PROXY UNKNOWN and whatever 1 2\r\n".to_vec(), Introduction::Nobody),
            (binary(0x21, 0x11, &v4), client("192.0.2.1")),
            (binary(0x21, 0x21, &v6), client("2001:db8::1")),
            (binary(0x21, 0x21, &mapped), client("192.0.2.1")),
            (binary(0x21, 0x11, &[&v4[..], &[3; 300]].concat()), client("192.0.2.1")),
            (binary(0x20, 0x11, &v4), Introduction::Nobody),
            (binary(0x20, 0, &[]), Introduction::Nobody),
            (binary(0x21, 0x31, &[0; 216]), Introduction::Nobody),
            (binary(0x21, 0, &[]), Introduction::Nobody),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), Ok(None), "{}", bytes[..end].escape_ascii());
            }
            let with_more = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(decode(&with_more), Ok(Some((introduction, bytes.len()))), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_begins_otherwise_is_missing_and_what_goes_wrong_later_is_malformed() {
        for bytes in [&b"GET / HTTP/1.1"[..], b"PROXX ", b"\r\n\r\n\r\n", b"\x16\x03\x01"] {
            assert_eq!(decode(bytes), Err(NoIntroduction::Missing), "{}", bytes.escape_ascii());
        }
        for bytes in [
            b"PROXY \r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 nowhere 1 2\r\n".to_vec(),
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(),
            b"PROXY TCP4 \xff\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 107]].concat(),
            binary(0x11, 0x11, &[0; 12]),
            binary(0x22, 0x11, &[0; 12]),
            binary(0x21, 0x11, &[0; 11]),
            binary(0x21, 0x21, &[0; 35]),
            binary(0x21, 0x41, &[0; 36]),
            binary(0x21, 0x11, &[0; INTRODUCTION_BYTES_MAX - 15]),
        ] {
            assert_eq!(decode(&bytes), Err(NoIntroduction::Malformed), "{}", bytes.escape_ascii());
        }
    }
}
