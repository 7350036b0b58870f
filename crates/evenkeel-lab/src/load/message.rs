//! What is sent over HTTP (BEP 3, 7, 23, 48), and what is made of the answers.

use std::io::Write as _;
use std::net::SocketAddr;

use super::packets::Said;

/// Header lines of a response that are read.
const HEADERS_MAX: usize = 32;

/// What a response says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// Of head and body.
    pub bytes: usize,
    /// The connection stays open.
    pub keep_alive: bool,
    /// Peers of both families.
    pub peers: usize,
    /// Why it is no answer.
    pub refusal: Option<String>,
}

/// Appends a request. `path` is that of announces.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    (path, host): (&str, SocketAddr),
    said: &Said,
    is_scrape: bool,
    keep_alive: bool,
) {
    let written = (|| {
        out.extend_from_slice(b"GET ");
        if let Some(passkey) = &said.passkey {
            out.push(b'/');
            out.extend_from_slice(passkey);
        }
        if is_scrape {
            // By convention, as BEP 48 has it.
            out.extend_from_slice(path.replace("announce", "scrape").as_bytes());
            out.extend_from_slice(b"?info_hash=");
            escape(out, &said.info_hash.0);
        } else {
            out.extend_from_slice(path.as_bytes());
            out.extend_from_slice(b"?info_hash=");
            escape(out, &said.info_hash.0);
            out.extend_from_slice(b"&peer_id=");
            escape(out, &said.peer_id.0);
            let Said { port, moved, .. } = said;
            write!(out, "&port={port}&uploaded={moved}&downloaded={moved}&left={}&compact=1", said.left())?;
            if let Some(numwant) = said.numwant {
                write!(out, "&numwant={numwant}")?;
            }
            out.extend_from_slice(if said.is_start { b"&event=started" } else { b"" });
        }
        write!(out, " HTTP/1.1\r\nHost: {host}\r\n")?;
        out.extend_from_slice(if keep_alive { b"\r\n" } else { b"Connection: close\r\n\r\n" });
        std::io::Result::Ok(())
    })();
    debug_assert!(written.is_ok(), "a Vec takes any bytes");
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(*byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Reads a response; `None` when more bytes are needed. `is_end`: no more will come.
pub(crate) fn read_response(bytes: &[u8], is_end: bool) -> Result<Option<Response>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(status) = head.parse(bytes) else { return Err("the response is not HTTP") };
    let httparse::Status::Complete(head_len) = status else { return Ok(None) };
    let value = |name: &str| {
        head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    };
    if value("transfer-encoding").is_some() {
        return Err("the response is chunked, which this tester does not read");
    }
    let rest = &bytes[head_len..];
    let body = match value("content-length") {
        Some(length) => {
            let length = std::str::from_utf8(length).ok().and_then(|length| length.parse::<usize>().ok());
            let Some(length) = length else { return Err("the response has a wrong Content-Length") };
            let Some(body) = rest.get(..length) else { return Ok(None) };
            body
        }
        None if is_end => rest,
        None => return Ok(None),
    };
    let says_close = value("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
    let peers = entry(body, b"5:peers") / 6 + entry(body, b"6:peers6") / 18;
    let refusal = if head.code != Some(200) {
        Some(format!("status {}", head.code.unwrap_or_default()))
    } else if memchr::memmem::find(body, b"14:failure reason").is_some() || body.first() != Some(&b'd') {
        Some(String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned())
    } else {
        None
    };
    let keep_alive = !says_close && !is_end && head.version == Some(1);
    Ok(Some(Response { bytes: head_len + body.len(), keep_alive, peers, refusal }))
}

/// Length of the string behind a key of a bencoded dictionary; 0 when there is none.
fn entry(body: &[u8], key: &[u8]) -> usize {
    let Some(at) = memchr::memmem::find(body, key) else { return 0 };
    let digits = body[at + key.len()..].split(|byte| *byte == b':').next().unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::http::decode_head;
    use evenkeel_wire::{InfoHash, PeerId, query};

    use super::*;

    const SAID: Said = Said {
        info_hash: InfoHash(*b"\x124Vx\x9a\xbc\xde\xf1\x23Eg\x89\xab\xcd\xef\x124Vx\x9a"),
        peer_id: PeerId(*b"-EL0001-abcdefghijkl"),
        port: 6881,
        is_seeder: false,
        is_start: true,
        numwant: Some(50),
        moved: 0,
        passkey: None,
    };

    fn request(is_scrape: bool, keep_alive: bool) -> Vec<u8> {
        let mut out = Vec::new();
        write_request(&mut out, ("/announce", ([127, 0, 0, 1], 80).into()), &SAID, is_scrape, keep_alive);
        out
    }

    #[test]
    fn requests_have_the_bytes_of_bep_3() {
        assert_eq!(
            String::from_utf8(request(false, true)).unwrap(),
            "GET /announce?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A\
             &peer_id=-EL0001-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=1073741824&compact=1\
             &numwant=50&event=started HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
        );
        assert_eq!(
            String::from_utf8(request(true, false)).unwrap(),
            "GET /scrape?info_hash=%124Vx%9A%BC%DE%F1%23Eg%89%AB%CD%EF%124Vx%9A HTTP/1.1\r\n\
             Host: 127.0.0.1:80\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn the_tracker_reads_what_was_meant() {
        let bytes = request(false, true);
        let (head, len) = decode_head(&bytes).unwrap().unwrap();
        assert_eq!((len, head.keep_alive, head.path), (bytes.len(), true, &b"/announce"[..]));
        let (announce, form) = query::announce(head.query).unwrap();
        assert_eq!(
            (announce.info_hash, announce.peer_id, announce.port),
            (SAID.info_hash, SAID.peer_id, 6881)
        );
        assert_eq!(
            (announce.left, announce.numwant, form),
            (Some(1 << 30), Some(50), query::PeerForm::Compact)
        );
    }

    #[test]
    fn a_response_is_complete_when_its_length_says_so_or_the_connection_ends() {
        let known = b"HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\nd5:peers12:abcdefghijkl6:peers618:abcdefe";
        let body = b"d5:peers12:abcdefghijkl6:peers618:abcdefghijklmnopqre";
        let good = [b"HTTP/1.1 200 OK\r\nContent-Length: 53\r\n\r\n", &body[..]].concat();
        let expected = Response { bytes: good.len(), keep_alive: true, peers: 3, refusal: None };
        assert_eq!(read_response(&good, false), Ok(Some(expected)));
        for len in 0..good.len() {
            assert_eq!(read_response(&good[..len], false), Ok(None), "{len}");
        }
        assert!(read_response(known, false).is_ok());
        let unknown = [b"HTTP/1.0 200 OK\r\n\r\n", &body[..]].concat();
        assert_eq!(read_response(&unknown, false), Ok(None));
        let expected = Response { bytes: unknown.len(), keep_alive: false, peers: 3, refusal: None };
        assert_eq!(read_response(&unknown, true), Ok(Some(expected)));
    }

    #[test]
    fn a_refusal_is_told_from_an_answer() {
        let refusal = |text: &str| read_response(text.as_bytes(), true).unwrap().unwrap().refusal;
        assert_eq!(
            refusal("HTTP/1.1 200 OK\r\n\r\nd14:failure reason2:noe").unwrap(),
            "d14:failure reason2:noe"
        );
        assert_eq!(refusal("HTTP/1.1 404 Not Found\r\n\r\n").unwrap(), "status 404");
        assert_eq!(refusal("HTTP/1.1 200 OK\r\n\r\n<html>").unwrap(), "<html>");
        assert!(read_response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false).is_err());
        assert!(read_response(b"SSH-2.0-x\r\n", false).is_err());
    }
}
