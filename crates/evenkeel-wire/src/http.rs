//! The HTTP dialect: request heads in, answers out, no socket in sight (BEP 3, 7, 21, 23, 24, 31, 48).
//!
//! [`decode_head`] is fed the bytes read so far and says "more", "this request" or "this error, then close".
//! Anything ambiguous about where a request ends (a body, two lengths, a bare CR, a folded line) is an error:
//! a proxy in front might read it otherwise.

use std::io::Write as _;
use std::net::IpAddr;

use crate::announce::Reply;
use crate::bencode::Writer;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};
use crate::query::PeerForm;
use crate::{Endpoint, Failure, InfoHash, PeerId, Retry, Stats, forwarding};

/// Empty lines before a request that are stepped over.
const BLANK_LINES_MAX: usize = 2;
/// Header lines that most requests have at most.
const HEADERS_FEW: usize = 8;
/// Longest text of an address: an IPv6 one with an IPv4 one in it.
const IP_TEXT_BYTES_MAX: usize = 45;

/// One request, still in the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Answer with the head alone.
    pub head_only: bool,
    /// The connection stays open after the answer.
    pub keep_alive: bool,
    /// HTTP/1.0: staying open must be said.
    pub is_1_0: bool,
    /// What stands before the first `?`.
    pub path: &'a [u8],
    /// What stands after it; any bytes.
    pub query: &'a [u8],
    /// Asks for JSON and nothing else (`Accept: application/json`).
    pub wants_json: bool,
    /// Says on whose behalf it comes, as proxies do and anybody can; see [`crate::forwarding`].
    pub is_forwarded: bool,
    /// Its header lines, with the empty one that ends them.
    pub headers: &'a [u8],
    /// Asks to go on as a WebSocket (RFC 6455): the `Sec-WebSocket-Key`.
    pub websocket_key: Option<&'a [u8]>,
}

/// Why a request cannot be read. The connection is closed after the answer, since nobody knows where the
/// next request would start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeadError {
    /// Not HTTP, or ambiguous.
    Malformed,
    /// Neither GET nor HEAD.
    Method,
    /// A body, where there is nothing to upload.
    Body,
    /// A target longer than [`TARGET_BYTES_MAX`].
    TargetTooLong,
    /// More than [`HEAD_BYTES_MAX`] bytes or [`HEADERS_MAX`] lines.
    HeadTooLong,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    Version,
    /// A WebSocket of another version than 13.
    WebSocketVersion,
    /// The head did not arrive in time.
    Timeout,
}

impl HeadError {
    /// Status line without the version.
    pub fn status(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::Method => "405 Method Not Allowed",
            Self::Body => "413 Content Too Large",
            Self::TargetTooLong => "414 URI Too Long",
            Self::HeadTooLong => "431 Request Header Fields Too Large",
            Self::WebSocketVersion => "426 Upgrade Required",
            Self::Version => "505 HTTP Version Not Supported",
            Self::Timeout => "408 Request Timeout",
        }
    }
}

/// Reads the head at the start of `bytes`; answers it with its length, or `None` when more bytes are needed.
pub fn decode_head(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, HeadError> {
    // An empty line before a request is forgiven (RFC 9112, 2.2); an endless row of them is not.
    let blank = bytes.chunks_exact(2).take(BLANK_LINES_MAX).take_while(|pair| pair == b"\r\n").count() * 2;
    let Some(line_len) = memchr::memchr(b'\n', &bytes[blank..]) else {
        return if bytes.len() - blank > TARGET_BYTES_MAX + 32 {
            Err(HeadError::TargetTooLong)
        } else {
            // Tell what is not HTTP at once, not after ten seconds.
            let may_be_blank = bytes[blank..] == *b"\r" && blank < 2 * BLANK_LINES_MAX;
            (may_be_blank || looks_like_http(&bytes[blank..])).then_some(None).ok_or(HeadError::Malformed)
        };
    };
    let line = bytes[blank..blank + line_len].strip_suffix(b"\r").ok_or(HeadError::Malformed)?;
    let mut request = decode_request_line(line)?;

    let headers_at = blank + line_len + 1;
    // Most have few lines: to make room for all that there may be would cost more than to read those.
    let mut few = [httparse::EMPTY_HEADER; HEADERS_FEW];
    let mut many;
    let mut parsed = httparse::parse_headers(&bytes[headers_at..], &mut few);
    if parsed == Err(httparse::Error::TooManyHeaders) {
        many = [httparse::EMPTY_HEADER; HEADERS_MAX];
        parsed = httparse::parse_headers(&bytes[headers_at..], &mut many);
    }
    let headers_len = match parsed {
        Ok(httparse::Status::Complete((len, headers))) => {
            apply_headers(&mut request, headers)?;
            len
        }
        Ok(httparse::Status::Partial) if bytes.len() > HEAD_BYTES_MAX => return Err(HeadError::HeadTooLong),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::HeadTooLong),
        Err(_) => return Err(HeadError::Malformed),
    };
    let len = headers_at + headers_len;
    request.headers = &bytes[headers_at..len];
    Ok(Some((request, len)))
}

fn looks_like_http(start: &[u8]) -> bool {
    start.iter().take_while(|byte| **byte != b' ').all(u8::is_ascii_uppercase)
        && start.iter().take(16).position(|byte| *byte == b' ').is_none_or(|at| at > 0)
        && (start.len() < 16 || start[..16].contains(&b' '))
}

/// The request line is read here and not by `httparse`, which wants UTF-8: a target may hold any bytes,
/// since some clients send info hashes unescaped.
fn decode_request_line(line: &[u8]) -> Result<Request<'_>, HeadError> {
    let (method, rest) = split_at_space(line, memchr::memchr).ok_or(HeadError::Malformed)?;
    let (target, version) = split_at_space(rest, memchr::memrchr).ok_or(HeadError::Malformed)?;
    if memchr::memchr(b' ', target).is_some() {
        return Err(HeadError::Malformed);
    }
    let is_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ if version.starts_with(b"HTTP/") => return Err(HeadError::Version),
        _ => return Err(HeadError::Malformed),
    };
    let head_only = match method {
        b"GET" => false,
        b"HEAD" => true,
        _ if !method.is_empty() && method.iter().all(u8::is_ascii_uppercase) => {
            return Err(HeadError::Method);
        }
        _ => return Err(HeadError::Malformed),
    };
    if target.len() > TARGET_BYTES_MAX {
        return Err(HeadError::TargetTooLong);
    }
    // To the end, whatever is found: so many bytes are looked at together.
    if target.iter().fold(false, |found, byte| found | (*byte < b' ') | (*byte == 0x7F)) {
        return Err(HeadError::Malformed);
    }
    let target = origin_form(target).ok_or(HeadError::Malformed)?;
    let (path, query) = match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], &target[at + 1..]),
        None => (target, &[][..]),
    };
    Ok(Request {
        head_only,
        keep_alive: !is_1_0,
        is_1_0,
        path,
        query,
        wants_json: false,
        is_forwarded: false,
        headers: &[],
        websocket_key: None,
    })
}

/// What stands before a space, and what behind it.
fn split_at_space(bytes: &[u8], find: impl Fn(u8, &[u8]) -> Option<usize>) -> Option<(&[u8], &[u8])> {
    let at = find(b' ', bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// A target is a path; the absolute form (`http://host/path`) must be taken too (RFC 9112, 3.2.2).
fn origin_form(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return Some(target);
    }
    let rest = target.strip_prefix(b"http://").or_else(|| target.strip_prefix(b"https://"))?;
    Some(memchr::memchr(b'/', rest).map_or(b"/", |at| &rest[at..]))
}

fn apply_headers<'a>(request: &mut Request<'a>, headers: &[httparse::Header<'a>]) -> Result<(), HeadError> {
    let mut length = None;
    let mut websocket = WebSocketHeaders::default();
    for header in headers {
        let name = header.name;
        if name.eq_ignore_ascii_case("connection") {
            for option in header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if option.eq_ignore_ascii_case(b"close") {
                    request.keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    request.keep_alive = true;
                } else if option.eq_ignore_ascii_case(b"upgrade") {
                    websocket.connection_upgrades = true;
                }
            }
        } else if name.eq_ignore_ascii_case("upgrade") {
            websocket.is_wanted |= header.value.trim_ascii().eq_ignore_ascii_case(b"websocket");
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            websocket.version = Some(header.value);
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            if websocket.key.replace(header.value).is_some() {
                return Err(HeadError::Malformed);
            }
        } else if name.eq_ignore_ascii_case("content-length") {
            if length.replace(header.value).is_some() {
                return Err(HeadError::Malformed);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(if length.is_some() { HeadError::Malformed } else { HeadError::Body });
        } else if name.eq_ignore_ascii_case("accept") {
            request.wants_json = header.value == b"application/json";
        } else if forwarding::Header::is_one(name) {
            request.is_forwarded = true;
        }
    }
    request.websocket_key = websocket.key(request)?;
    match length {
        None | Some(b"0") => Ok(()),
        Some(digits) if digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() => Err(HeadError::Body),
        Some(_) => Err(HeadError::Malformed),
    }
}

/// What asks for a WebSocket (RFC 6455, 4.2.1).
#[derive(Default)]
struct WebSocketHeaders<'a> {
    is_wanted: bool,
    connection_upgrades: bool,
    version: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
}

impl<'a> WebSocketHeaders<'a> {
    /// The key, if a WebSocket is wanted. Another upgrade, or half of one, is ignored, as RFC 9110 (7.8) has it.
    fn key(&self, request: &Request<'_>) -> Result<Option<&'a [u8]>, HeadError> {
        if !self.is_wanted || !self.connection_upgrades || request.is_1_0 {
            return Ok(None);
        }
        if self.version != Some(b"13") {
            return Err(HeadError::WebSocketVersion);
        }
        // 16 bytes in base64.
        let is_key = |key: &&[u8]| {
            key.len() == 24
                && key.ends_with(b"==")
                && key[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte))
        };
        match self.key.filter(is_key) {
            Some(key) if !request.head_only => Ok(Some(key)),
            _ => Err(HeadError::Malformed),
        }
    }
}

/// Appends the answer that turns a connection into a WebSocket; `accept` is made from the key (RFC 6455, 4.2.2).
pub fn write_upgrade(out: &mut Vec<u8>, accept: &str) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
}

/// Whether a connection stays open behind an answer, and whether the answer has its body.
#[derive(Clone, Copy, Debug)]
pub struct Framing {
    connection: &'static [u8],
    /// Lets pages of any origin read the answer.
    origins: &'static [u8],
    head_only: bool,
}

impl Framing {
    /// As the request wants it.
    pub fn of(request: &Request<'_>) -> Self {
        let connection: &[u8] = match (request.keep_alive, request.is_1_0) {
            (true, false) => b"",
            (true, true) => b"Connection: keep-alive\r\n",
            (false, _) => b"Connection: close\r\n",
        };
        Self { connection, origins: b"", head_only: request.head_only }
    }

    /// The same, for pages of any origin to read: browsers keep an answer from them otherwise.
    #[must_use]
    pub fn for_any_origin(self) -> Self {
        Self { origins: b"Access-Control-Allow-Origin: *\r\n", ..self }
    }
}

/// Appends a whole answer. `Content-Length` always, compression never: aria2 asks for none and breaks on it.
pub fn write_answer(out: &mut Vec<u8>, status: &str, content_type: &str, body: &[u8], framing: Framing) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_bytes());
    write_rest(out, content_type, body, framing);
}

/// Appends a whole answer that sends the client elsewhere. `location` holds no line end.
pub fn write_redirect(out: &mut Vec<u8>, status: &str, location: &[u8], framing: Framing) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(b"\r\nLocation: ");
    out.extend_from_slice(location);
    write_rest(out, "text/plain", status.as_bytes(), framing);
}

/// Appends what stands behind the first line.
fn write_rest(out: &mut Vec<u8>, content_type: &str, body: &[u8], framing: Framing) {
    out.extend_from_slice(b"\r\nContent-Type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(b"\r\nContent-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(framing.origins);
    out.extend_from_slice(framing.connection);
    out.extend_from_slice(b"\r\n");
    if !framing.head_only {
        out.extend_from_slice(body);
    }
}

/// Appends the whole answer to something that is no request; the connection is closed behind it.
pub fn write_refusal(out: &mut Vec<u8>, error: HeadError) {
    let status = error.status();
    let connection: &[u8] = match error {
        // RFC 9110, 15.5.6: a refused method is answered with those that are not.
        HeadError::Method => b"Allow: GET, HEAD\r\nConnection: close\r\n",
        // RFC 6455, 4.4.
        HeadError::WebSocketVersion => {
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n"
        }
        _ => b"Connection: close\r\n",
    };
    write_answer(
        out,
        status,
        "text/plain",
        status.as_bytes(),
        Framing { connection, origins: b"", head_only: false },
    );
}

/// The peers of an announce answer, in wire form.
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    /// 6 bytes each.
    pub v4: &'a [u8],
    /// 18 bytes each.
    pub v6: &'a [u8],
    /// Ids of the IPv4 peers; empty when they are not kept.
    pub v4_ids: &'a [PeerId],
    /// Ids of the IPv6 peers; empty when they are not kept.
    pub v6_ids: &'a [PeerId],
}

/// Appends the bencoded answer to an announce. `caller` is told its own address (BEP 24).
pub fn write_announce(out: &mut Vec<u8>, reply: &Reply, caller: Endpoint, peers: Peers<'_>, form: PeerForm) {
    let (external_ip, bytes) = match &caller {
        Endpoint::V4(bytes) => (&b"e11:external ip4:"[..], &bytes[..4]),
        Endpoint::V6(bytes) => (&b"e11:external ip16:"[..], &bytes[..16]),
    };
    // What is the same in all is written as it stands.
    for (before, number) in [
        (&b"d8:completei"[..], reply.stats.seeders),
        (b"e10:downloadedi", reply.stats.downloaded),
        (b"e11:downloadersi", reply.stats.leechers),
    ] {
        out.extend_from_slice(before);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    out.extend_from_slice(external_ip);
    out.extend_from_slice(bytes);
    for (before, number) in [
        (&b"10:incompletei"[..], reply.stats.incomplete()),
        (b"e8:intervali", reply.interval_secs),
        (b"e12:min intervali", reply.min_interval_secs),
    ] {
        out.extend_from_slice(before);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
    out.push(b'e');
    let mut writer = Writer::new(out);
    match form {
        PeerForm::Compact => {
            writer.bytes_entry("peers", peers.v4);
            writer.bytes_entry("peers6", peers.v6);
        }
        PeerForm::Dictionary => write_peer_dictionaries(&mut writer, peers, true),
        PeerForm::DictionaryWithoutId => write_peer_dictionaries(&mut writer, peers, false),
    }
    if let Some(warning) = reply.warning {
        writer.bytes_entry("warning message", warning.text().as_bytes());
    }
    writer.end();
}

fn write_peer_dictionaries(writer: &mut Writer<'_>, peers: Peers<'_>, with_id: bool) {
    let id_of = |ids: &[PeerId], position: usize| ids.get(position).copied().filter(|_| with_id);
    let v4 = peers.v4.as_chunks::<6>().0.iter().enumerate();
    let v6 = peers.v6.as_chunks::<18>().0.iter().enumerate();
    let v4 = v4.map(|(position, bytes)| (Endpoint::V4(*bytes), id_of(peers.v4_ids, position)));
    let v6 = v6.map(|(position, bytes)| (Endpoint::V6(*bytes), id_of(peers.v6_ids, position)));
    writer.bytes(b"peers");
    writer.list();
    for (peer, id) in v4.chain(v6) {
        writer.dictionary();
        let mut room = [0; IP_TEXT_BYTES_MAX];
        writer.bytes_entry("ip", text_of(peer.ip(), &mut room));
        if let Some(PeerId(id)) = &id {
            writer.bytes_entry("peer id", id);
        }
        writer.number_entry("port", peer.port());
        writer.end();
    }
    writer.end();
}

/// An address as text, without memory from the heap.
fn text_of(ip: IpAddr, room: &mut [u8; IP_TEXT_BYTES_MAX]) -> &[u8] {
    let mut rest = &mut room[..];
    let written = write!(rest, "{ip}");
    debug_assert!(written.is_ok(), "no address is longer");
    let len = IP_TEXT_BYTES_MAX - rest.len();
    &room[..len]
}

/// Appends the bencoded answer to a scrape; `files` are sorted and each there once.
pub fn write_scrape(
    out: &mut Vec<u8>,
    files: impl Iterator<Item = (InfoHash, Stats)>,
    min_interval_secs: u32,
) {
    let mut writer = Writer::new(out);
    writer.dictionary();
    writer.bytes(b"files");
    writer.dictionary();
    for (InfoHash(hash), stats) in files {
        writer.bytes(&hash);
        writer.dictionary();
        writer.number_entry("complete", stats.seeders);
        writer.number_entry("downloaded", stats.downloaded);
        writer.number_entry("downloaders", stats.leechers);
        writer.number_entry("incomplete", stats.incomplete());
        writer.end();
    }
    writer.end();
    writer.bytes(b"flags");
    writer.dictionary();
    writer.number_entry("min_request_interval", min_interval_secs);
    writer.end();
    writer.end();
}

/// Appends a bencoded refusal. It goes out with status 200: with any other, no client shows the text.
pub fn write_failure(out: &mut Vec<u8>, failure: Failure) {
    let interval_secs = failure.retry().interval_secs();
    let mut writer = Writer::new(out);
    writer.dictionary();
    writer.bytes_entry("failure reason", failure.text().as_bytes());
    writer.number_entry("interval", interval_secs);
    writer.number_entry("min interval", interval_secs);
    match failure.retry() {
        Retry::Soon => writer.number_entry("retry in", 1_u32),
        Retry::Minutes(minutes) => writer.number_entry("retry in", minutes),
        Retry::Never => writer.bytes_entry("retry in", b"never"),
    }
    writer.end();
}

#[cfg(test)]
mod tests;
