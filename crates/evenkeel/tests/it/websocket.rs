//! A WebSocket client that can do wrong what others do right: frames are made by hand (RFC 6455, 5.2).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Answer, Ask, PATIENCE, Program, Way};

pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// An upgraded connection.
pub(crate) struct WebSocket<S: Read = TcpStream> {
    stream: BufReader<S>,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// The head of an upgrade, with the key of RFC 6455, 1.3.
pub(crate) const UPGRADE: &str = "GET /announce HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

impl Program {
    /// Opens a WebSocket over a family.
    pub(crate) fn websocket(&self, way: Way) -> WebSocket {
        WebSocket::open(self.address(way), b"")
    }
}

impl WebSocket {
    /// Opens; `early` is sent along with the request.
    pub(crate) fn open(address: SocketAddr, early: &[u8]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, early)
    }

    /// Ends the connection with a reset: no goodbye of any kind.
    pub(crate) fn reset(self) {
        let socket = socket2::Socket::from(self.stream.into_inner());
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

impl<S: Read + Write> WebSocket<S> {
    /// Upgrades a connection.
    pub(crate) fn over(stream: S, early: &[u8]) -> Self {
        Self::over_as(stream, UPGRADE, early)
    }

    /// Upgrades a connection with a head of one's own.
    pub(crate) fn over_as(stream: S, upgrade: &str, early: &[u8]) -> Self {
        let mut socket = Self { stream: BufReader::new(stream) };
        socket.send_raw(&[upgrade.as_bytes(), early].concat());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(socket.stream.read_line(&mut head).unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
        socket
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends what the program may not want to read to its end.
    pub(crate) fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.get_mut().write_all(bytes).is_ok()
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_raw(&frame(0x80 | TEXT, message.to_string().as_bytes()));
    }

    /// The next frame; `None` when the program has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).ok()?;
        let [first, second] = head;
        assert_eq!((first & 0xF0, second & 0x80), (0x80, 0), "whole frames, unmasked, no extensions");
        let len = match second {
            126 => u64::from(u16::from_be_bytes(self.bytes())),
            127 => u64::from_be_bytes(self.bytes()),
            len => len.into(),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        Some(Frame { opcode: first & 0x0F, payload })
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The next message, which must be JSON.
    pub(crate) fn message(&mut self) -> Value {
        let frame = self.receive().expect("the connection is open");
        assert_eq!(frame.opcode, TEXT, "{}", frame.payload.escape_ascii());
        serde_json::from_slice(&frame.payload).unwrap()
    }

    /// Sends a message and reads the next one.
    pub(crate) fn exchange(&mut self, message: &Value) -> Value {
        self.send(message);
        self.message()
    }

    /// Announces without offers; a failure is a panic.
    pub(crate) fn announce(&mut self, ask: &Ask) -> Answer {
        let reply = self.exchange(&announce(ask, &[]));
        let number = |key: &str| reply[key].as_u64().unwrap_or_else(|| panic!("{reply}"));
        Answer {
            complete: number("complete"),
            incomplete: number("incomplete"),
            interval: number("interval"),
            peers: vec![],
        }
    }

    /// (complete, downloaded, incomplete) of a torrent.
    pub(crate) fn scrape(&mut self, torrent: &[u8; 20]) -> (u64, u64, u64) {
        let reply = self.exchange(&json!({"action": "scrape", "info_hash": binary(torrent)}));
        let file = &reply["files"][binary(torrent)];
        let number = |key: &str| file[key].as_u64().unwrap_or_else(|| panic!("{reply}"));
        (number("complete"), number("downloaded"), number("incomplete"))
    }

    /// Waits for the end: the code and the reason of the close frame, if there was one.
    pub(crate) fn end(&mut self) -> Option<(u16, String)> {
        let mut close = None;
        while let Some(Frame { opcode, payload }) = self.receive() {
            if opcode == CLOSE && payload.len() >= 2 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                close = Some((code, String::from_utf8(payload[2..].to_vec()).unwrap()));
            }
        }
        close
    }

    /// Asserts that nothing comes, by asking for something that comes next.
    pub(crate) fn assert_silence(&mut self) {
        self.send_raw(&frame(0x80 | PING, b"silence?"));
        assert_eq!(self.receive(), Some(Frame { opcode: PONG, payload: b"silence?".to_vec() }));
    }
}

/// A masked frame; the first byte holds the opcode and the bits before it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The form of hashes and ids: one character for each byte.
pub(crate) fn binary(bytes: &[u8; 20]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// An announce with offers.
pub(crate) fn announce(ask: &Ask, offers: &[Value]) -> Value {
    json!({
        "action": "announce",
        "info_hash": binary(&ask.info_hash),
        "peer_id": binary(&ask.peer_id),
        "uploaded": 0,
        "downloaded": 0,
        "left": ask.left,
        "event": ask.event,
        "numwant": 50,
        "offers": offers,
    })
}

/// An offer, told apart by its number.
pub(crate) fn offer(number: u32) -> Value {
    json!({"offer": {"type": "offer", "sdp": format!("v=0\r\n{number}")}, "offer_id": format!("{number:020}")})
}

/// An answer to [`offer`] `number` of `to`.
pub(crate) fn answer(ask: &Ask, to: &Ask, number: u32) -> Value {
    json!({
        "action": "announce",
        "info_hash": binary(&ask.info_hash),
        "peer_id": binary(&ask.peer_id),
        "to_peer_id": binary(&to.peer_id),
        "offer_id": format!("{number:020}"),
        "answer": {"type": "answer", "sdp": format!("v=0\r\n{number}")},
    })
}
