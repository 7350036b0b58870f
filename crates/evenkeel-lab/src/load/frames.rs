//! The frames of a WebSocket that a load writes and reads (RFC 6455, 5.2): what a whole library does for each of them
//! would cost the generator more than all the rest, and it is the server that is to be measured.

use std::io::{self, Read as _, Write as _};

use anyhow::{bail, ensure};
use evenkeel_wire::ws::frame;

use super::guard::Guarded;

/// The least that is read at once.
const READ_BYTES: usize = 64 * 1024;

/// A frame at the start of what was read.
enum Frame {
    /// A message: where its text begins and ends.
    Text(usize, usize),
    /// A ping: where what it says begins and ends.
    Ping(usize, usize),
    /// The server says goodbye.
    Close,
    /// Something that needs no answer.
    Other(usize),
}

/// One socket, which is upgraded.
pub(crate) struct Frames {
    wire: Guarded,
    /// Half a frame.
    read: Vec<u8>,
    /// What found no room yet.
    out: Vec<u8>,
}

/// Memory for what is read, shared by all sockets.
pub(crate) struct Room(Box<[u8]>);

impl Default for Room {
    fn default() -> Self {
        Self(vec![0; READ_BYTES].into())
    }
}

impl Frames {
    /// Goes on with a stream after its upgrade.
    pub(crate) fn new(wire: Guarded) -> Self {
        Self { wire, read: Vec::new(), out: Vec::new() }
    }

    /// Adds a message to what is to be sent.
    pub(crate) fn say(&mut self, text: &str, rng: &mut fastrand::Rng) {
        self.add(0x81, text.as_bytes(), rng.u32(..).to_ne_bytes());
    }

    fn add(&mut self, first: u8, payload: &[u8], mask: [u8; 4]) {
        let out = &mut self.out;
        out.push(first);
        match payload.len() {
            len @ ..126 => out.push(0x80 | len.to_le_bytes()[0]),
            len => match u16::try_from(len) {
                Ok(len) => {
                    out.push(0x80 | 126);
                    out.extend_from_slice(&len.to_be_bytes());
                }
                Err(_) => {
                    out.push(0x80 | 127);
                    out.extend_from_slice(&(len as u64).to_be_bytes());
                }
            },
        }
        out.extend_from_slice(&mask);
        let at = out.len();
        out.extend_from_slice(payload);
        frame::mask(&mut out[at..], mask);
    }

    /// Sends what there is to send, as far as there is room. When there is more, the poller says so.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == self.out.len() {
                break Ok(());
            }
            match self.wire.write(&self.out[sent..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.out.drain(..sent);
        result
    }

    /// Reads what has come, and hands over each message, with what can be said to it.
    pub(crate) fn hear(
        &mut self,
        room: &mut Room,
        mut take: impl FnMut(&mut Self, &str),
    ) -> anyhow::Result<()> {
        loop {
            let len = match self.wire.read(&mut room.0) {
                Ok(0) => bail!("the server closed the socket"),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            if self.read.is_empty() {
                let used = self.take_frames(&room.0[..len], &mut take)?;
                self.read.extend_from_slice(&room.0[used..len]);
            } else {
                let mut read = std::mem::take(&mut self.read);
                read.extend_from_slice(&room.0[..len]);
                let used = self.take_frames(&read, &mut take)?;
                read.drain(..used);
                self.read = read;
            }
            // There was no more; the poller tells of what comes later.
            if len < room.0.len() && !self.wire.is_secure() {
                return Ok(());
            }
        }
    }

    /// Takes all whole frames; answers how many bytes they were.
    fn take_frames(&mut self, bytes: &[u8], take: &mut impl FnMut(&mut Self, &str)) -> anyhow::Result<usize> {
        let mut used = 0;
        while let Some(frame) = first(&bytes[used..])? {
            let rest = &bytes[used..];
            used += match frame {
                Frame::Text(from, to) => {
                    take(self, simdutf8::basic::from_utf8(&rest[from..to])?);
                    to
                }
                Frame::Ping(from, to) => {
                    self.add(0x8A, &rest[from..to], [0; 4]);
                    to
                }
                Frame::Other(to) => to,
                Frame::Close => bail!("the server closed the socket"),
            };
        }
        Ok(used)
    }
}

/// The frame at the start of `bytes`, if it has come whole.
fn first(bytes: &[u8]) -> anyhow::Result<Option<Frame>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    ensure!(second & 0x80 == 0, "the server masks a frame");
    let (len, at) = match second {
        126 => match rest.first_chunk() {
            Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(len) => (u64::from_be_bytes(*len), 10),
            None => return Ok(None),
        },
        len => (u64::from(*len), 2),
    };
    let Some(end) = usize::try_from(len).ok().and_then(|len| len.checked_add(at)) else {
        bail!("a frame of {len} bytes")
    };
    if bytes.len() < end {
        return Ok(None);
    }
    Ok(Some(match first {
        0x81 => Frame::Text(at, end),
        0x88 => Frame::Close,
        0x89 => Frame::Ping(at, end),
        0x8A => Frame::Other(end),
        _ => bail!("a frame that no tracker sends begins with {first:#x}"),
    }))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::super::guard::Guard;
    use super::*;

    /// A socket, and the server's end of it.
    fn pair() -> (Frames, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (Frames::new(Guard::new(None, 1).unwrap().wrap(0, tcp).unwrap()), server)
    }

    #[test]
    fn a_server_reads_what_was_said() {
        let (mut frames, mut server) = pair();
        for len in [0, 5, 125, 126, 1_000, 65_535, 65_536] {
            let text = "x".repeat(len);
            frames.say(&text, &mut fastrand::Rng::with_seed(1));
            frames.send().unwrap();
            let mut bytes = vec![0; frame_len(len)];
            server.read_exact(&mut bytes).unwrap();
            let frame::Start::Text(head) = frame::look(&bytes) else { panic!("{len}") };
            let payload = &mut bytes[head.at..][..head.len];
            frame::mask(payload, head.mask);
            assert!(payload == text.as_bytes(), "{len}");
        }
    }

    fn frame_len(len: usize) -> usize {
        len + 6
            + match len {
                ..126 => 0,
                126..65_536 => 2,
                _ => 8,
            }
    }

    #[test]
    fn messages_are_heard_whole_however_they_come_and_pings_are_answered() {
        let (mut frames, mut server) = pair();
        let mut bytes = vec![0x89, 1, b'p'];
        for len in [3, 300, 70_000] {
            frame::write_text(&mut bytes, |out| out.resize(out.len() + len, b'y'));
        }
        let mut heard = Vec::new();
        let mut room = Room::default();
        for part in bytes.chunks(30_000) {
            server.write_all(part).unwrap();
            frames.hear(&mut room, |_, text| heard.push(text.len())).unwrap();
        }
        assert_eq!(heard, [3, 300, 70_000]);
        frames.send().unwrap();
        let mut pong = [0; 7];
        server.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [0x8A, 0x81, 0, 0, 0, 0, b'p']);
        server.write_all(&[0x88, 0]).unwrap();
        assert!(frames.hear(&mut room, |_, _| ()).is_err());
        assert!(first(&[0x01, 0]).is_err(), "no tracker cuts its messages into frames");
    }
}
