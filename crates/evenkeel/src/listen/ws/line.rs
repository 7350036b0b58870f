//! The stream of a WebSocket, which holds buffers only while there is something in them.
//!
//! Messages that come as nearly all do, text in one frame, are read into the stack and taken from there. Anything else is
//! for the library. It reads into a buffer of at least 8 KiB, and keeps it as large as the largest message was: between
//! messages its part is taken down again.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use evenkeel_wire::limits::WS_MESSAGE_BYTES_MAX;
use evenkeel_wire::ws::frame::{self, Start};
use futures_util::{Sink, SinkExt, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::{Error, Limits, Message, ServerBuilder, WebSocketStream};

use super::post::Queue;
use crate::listen::stream::Stream;

/// What is read at once: an announce with ten offers of most browsers.
const READ_BYTES: usize = 16 * 1024;

/// A WebSocket of ours.
pub(super) struct Line {
    state: State,
    /// Half an ordinary message; or messages that came together with more than a turn takes.
    read: Vec<u8>,
    is_library_sending: bool,
}

enum State {
    /// Between messages, or within an ordinary one.
    Plain(Stream),
    /// Within anything else.
    Busy(Box<WebSocketStream<Watched>>),
    /// On the way from one to the other.
    Moving,
}

/// What came.
pub(super) enum Heard<'a> {
    /// A message of the ordinary kind.
    Text(&'a str),
    /// What the library made of something else.
    Other(Message),
}

/// What to do after a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Take the next, if it is there.
    Goes,
    /// Let others have their turn first.
    IsOver,
}

/// How far the messages at the start of some bytes were taken.
enum Taken {
    /// The next has not come whole, or has to wait.
    Some,
    /// None of them has come whole.
    None,
    /// Something else follows.
    Strange,
}

impl Line {
    /// Of a stream on which nothing but frames comes from now on.
    pub(super) fn new(stream: Stream) -> Self {
        Self { state: State::Plain(stream), read: Vec::new(), is_library_sending: false }
    }

    /// Nothing is to be sent but what is said through [`Line::poll_send`].
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.state, State::Plain(_))
    }

    /// Waits for messages, and has those taken that have come, as many as a turn holds. All that is to be sent must be
    /// sent before this is called again: see [`Line::poll_send`].
    pub(super) fn poll_take<E: From<Error>>(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut impl FnMut(Heard<'_>) -> Result<Turn, E>,
    ) -> Poll<Result<(), E>> {
        loop {
            match &mut self.state {
                State::Plain(stream) => {
                    let mut room = [MaybeUninit::uninit(); READ_BYTES];
                    let mut fresh = ReadBuf::uninit(&mut room);
                    let mut taken =
                        if self.read.is_empty() { Taken::None } else { take_stored(&mut self.read, take)? };
                    if matches!(taken, Taken::None) {
                        ready!(Pin::new(stream).poll_read(cx, &mut fresh)).map_err(Error::Io)?;
                        if fresh.filled().is_empty() {
                            return Poll::Ready(Err(Error::Io(io::ErrorKind::UnexpectedEof.into()).into()));
                        }
                        let used = if self.read.is_empty() {
                            let (used, now_taken) = take_texts(fresh.filled_mut(), take)?;
                            taken = now_taken;
                            used
                        } else {
                            0
                        };
                        self.read.extend_from_slice(&fresh.filled()[used..]);
                    }
                    match taken {
                        Taken::Some => return Poll::Ready(Ok(())),
                        Taken::None => {}
                        Taken::Strange => self.call_library(),
                    }
                }
                State::Busy(busy) => match Pin::new(&mut **busy).poll_next(cx) {
                    // Whatever it is, the library may have an answer to be sent.
                    Poll::Ready(Some(message)) => {
                        take(Heard::Other(message?))?;
                        return Poll::Ready(Ok(()));
                    }
                    Poll::Ready(None) => return Poll::Ready(Err(Error::AlreadyClosed.into())),
                    Poll::Pending if !busy.get_ref().frames.are_between_messages() => return Poll::Pending,
                    // All that was read has been taken, and all that was sent is flushed.
                    Poll::Pending => self.dismiss_library(),
                },
                State::Moving => return Poll::Ready(Err(Error::AlreadyClosed.into())),
            }
        }
    }

    /// Sends what waits in `queue`, and then what the library has to say to what it read.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, queue: &Queue) -> Poll<Result<(), Error>> {
        match &mut self.state {
            State::Plain(stream) => {
                ready!(queue.poll_send(stream, cx))?;
                Pin::new(stream).poll_flush(cx).map_err(Error::Io)
            }
            State::Busy(busy) => {
                // Half a frame of the library's may be sent already.
                if !self.is_library_sending {
                    ready!(queue.poll_send(&mut busy.get_mut().stream, cx))?;
                }
                let sent = Pin::new(&mut **busy).poll_flush(cx);
                self.is_library_sending = sent.is_pending();
                sent
            }
            State::Moving => Poll::Ready(Err(Error::AlreadyClosed)),
        }
    }

    /// Says why it ends.
    pub(super) async fn say(&mut self, farewell: Message) -> Result<(), Error> {
        self.call_library();
        match &mut self.state {
            State::Busy(busy) => busy.send(farewell).await,
            State::Plain(_) | State::Moving => Err(Error::AlreadyClosed),
        }
    }

    /// Says goodbye, and waits for the peer's.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        self.call_library();
        match &mut self.state {
            State::Busy(busy) => poll_fn(|cx| Pin::new(&mut *busy).poll_close(cx)).await,
            State::Plain(_) | State::Moving => Ok(()),
        }
    }

    /// Sets the library's part up, if it is not: it goes on with what was read.
    fn call_library(&mut self) {
        if matches!(self.state, State::Plain(_))
            && let State::Plain(mut stream) = std::mem::replace(&mut self.state, State::Moving)
        {
            stream.put_back(std::mem::take(&mut self.read));
            let limits = Limits::default().max_payload_len(Some(WS_MESSAGE_BYTES_MAX));
            let watched = Watched { stream, frames: Frames::default() };
            self.state = State::Busy(Box::new(ServerBuilder::new().limits(limits).serve(watched)));
        }
    }

    /// Takes the library's part down, which has nothing left.
    fn dismiss_library(&mut self) {
        if let State::Busy(busy) = std::mem::replace(&mut self.state, State::Moving) {
            self.state = State::Plain(busy.into_inner().stream);
        }
    }
}

/// Has the messages taken that `read` begins with, and keeps the rest.
fn take_stored<E>(
    read: &mut Vec<u8>,
    take: &mut impl FnMut(Heard<'_>) -> Result<Turn, E>,
) -> Result<Taken, E> {
    let (used, taken) = take_texts(read, take)?;
    read.drain(..used);
    if read.is_empty() {
        *read = Vec::new();
    }
    Ok(taken)
}

/// Has the messages taken that `bytes` begin with, as many as a turn holds; says how many bytes they were.
fn take_texts<E>(
    bytes: &mut [u8],
    take: &mut impl FnMut(Heard<'_>) -> Result<Turn, E>,
) -> Result<(usize, Taken), E> {
    let mut used = 0;
    let mut taken = Taken::None;
    loop {
        let head = match frame::look(&bytes[used..]) {
            Start::Text(head) => head,
            Start::Partial => return Ok((used, taken)),
            Start::Strange => break,
        };
        let payload = &mut bytes[used + head.at..][..head.len];
        frame::mask(payload, head.mask);
        let Ok(text) = simdutf8::basic::from_utf8(payload) else {
            // It is for the library to refuse, as it came.
            frame::mask(payload, head.mask);
            break;
        };
        let turn = take(Heard::Text(text))?;
        used += head.at + head.len;
        taken = Taken::Some;
        if turn == Turn::IsOver {
            return Ok((used, taken));
        }
    }
    // What was taken is answered first: nobody knows when the library has something to say.
    Ok(match taken {
        Taken::Some => (used, taken),
        _ => (used, Taken::Strange),
    })
}

/// A stream that knows how far the frames on it have come.
pub(super) struct Watched {
    stream: Stream,
    frames: Frames,
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, frames } = self.get_mut();
        let before = into.filled().len();
        ready!(Pin::new(stream).poll_read(cx, into))?;
        frames.see(&into.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// How far the frames have come that a peer sends (RFC 6455, 5.2). What is wrong with them is the library's to say.
#[derive(Default)]
struct Frames {
    head: [u8; 14],
    head_len: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// More frames of the same message are to come.
    is_continued: bool,
    /// The peer has said goodbye.
    is_over: bool,
}

impl Frames {
    fn see(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let len = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
                self.left -= len as u64;
                bytes = &bytes[len..];
                continue;
            }
            self.head[self.head_len] = *first;
            self.head_len += 1;
            bytes = rest;
            if self.head_len >= 2 {
                self.end_head();
            }
        }
    }

    /// Begins the payload when the head is complete.
    fn end_head(&mut self) {
        let [first, second, ..] = self.head;
        let mask_len = if second & 0x80 == 0 { 0 } else { 4 };
        let (size_len, size) = match second & 0x7F {
            126 => (2, u16::from_be_bytes([self.head[2], self.head[3]]).into()),
            127 => (8, u64::from_be_bytes(std::array::from_fn(|at| self.head[2 + at]))),
            size => (0, size.into()),
        };
        if self.head_len < 2 + size_len + mask_len {
            return;
        }
        (self.head_len, self.left) = (0, size);
        match first & 0x0F {
            8 => self.is_over = true,
            // Pings and pongs may come between the frames of a message.
            9.. => {}
            _ => self.is_continued = first & 0x80 == 0,
        }
    }

    fn are_between_messages(&self) -> bool {
        self.head_len == 0 && self.left == 0 && !self.is_continued && !self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame.
    fn frame(first: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match len {
            ..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
            126..65536 => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend([0; 4]);
        bytes.resize(bytes.len() + len, b'x');
        bytes
    }

    #[test]
    fn a_message_begins_and_ends_where_its_frames_do_however_the_bytes_come() {
        for len in [0, 1, 125, 126, 500, 65535, 65536, 70000] {
            let message = frame(0x81, len);
            for step in [1, 2, 3, 7, 1000, message.len()] {
                let mut frames = Frames::default();
                for chunk in message[..message.len() - 1].chunks(step) {
                    assert!(frames.are_between_messages() == (frames.head_len == 0 && frames.left == 0));
                    frames.see(chunk);
                    assert!(!frames.are_between_messages(), "{len} {step}");
                }
                frames.see(&message[message.len() - 1..]);
                assert!(frames.are_between_messages(), "{len} {step}");
            }
        }
        let mut frames = Frames::default();
        frames.see(&frame(0x81, 300).repeat(3));
        assert!(frames.are_between_messages());
    }

    #[test]
    fn a_message_in_parts_ends_with_the_last_whatever_comes_between() {
        let mut frames = Frames::default();
        for (first, is_between) in
            [(0x89, true), (0x01, false), (0x89, false), (0x00, false), (0x8A, false), (0x80, true)]
        {
            frames.see(&frame(first, 10));
            assert_eq!(frames.are_between_messages(), is_between, "{first:x}");
        }
        frames.see(&frame(0x88, 2));
        assert!(!frames.are_between_messages(), "nothing comes after a goodbye");
    }
}
