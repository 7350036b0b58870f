//! The stream of a WebSocket, which holds buffers only while there is something in them.
//!
//! The library reads into a buffer of at least 8 KiB, and keeps it as large as the largest message was. Most sockets of a
//! tracker wait most of the time: between messages the library's part is taken down, and the bare stream waits.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use evenkeel_wire::limits::WS_MESSAGE_BYTES_MAX;
use futures_util::{Sink, SinkExt, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_websockets::{Config, Error, Limits, Message, ServerBuilder, WebSocketStream};

use crate::listen::stream::Stream;

/// What is read at once from a stream that waited.
const READ_BYTES: usize = 4096;

/// A WebSocket of ours.
pub(super) enum Line {
    /// Between messages.
    Waiting(Stream),
    /// Within one, or with something to send.
    Busy(Box<WebSocketStream<Watched>>),
    /// On the way from one to the other.
    Moving,
}

impl Line {
    /// Of a stream on which nothing but frames comes from now on.
    pub(super) fn new(stream: Stream) -> Self {
        Self::Waiting(stream)
    }

    /// The next message; `None` when the peer is gone.
    pub(super) async fn next(&mut self) -> Option<Result<Message, Error>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Message, Error>>> {
        loop {
            match self {
                Self::Waiting(stream) => {
                    let mut room = [MaybeUninit::uninit(); READ_BYTES];
                    let mut fresh = ReadBuf::uninit(&mut room);
                    if let Err(error) = ready!(Pin::new(&mut *stream).poll_read(cx, &mut fresh)) {
                        return Poll::Ready(Some(Err(Error::Io(error))));
                    }
                    if fresh.filled().is_empty() {
                        return Poll::Ready(None);
                    }
                    stream.put_back(fresh.filled().to_vec());
                }
                Self::Busy(busy) => {
                    let polled = Pin::new(&mut **busy).poll_next(cx);
                    if polled.is_ready() || !busy.get_ref().frames.are_between_messages() {
                        return polled;
                    }
                    // All that was read has been taken, and all that was sent is flushed: see `flush`.
                    if let Self::Busy(busy) = std::mem::replace(self, Self::Moving) {
                        *self = Self::Waiting(busy.into_inner().stream);
                    }
                    continue;
                }
                Self::Moving => return Poll::Ready(None),
            }
            self.busy();
        }
    }

    /// Queues a message.
    pub(super) async fn feed(&mut self, message: Message) -> Result<(), Error> {
        match self.busy() {
            Some(busy) => busy.feed(message).await,
            None => Err(Error::AlreadyClosed),
        }
    }

    /// Sends what is queued, answers to pings included. It must come between two calls of `next`.
    pub(super) async fn flush(&mut self) -> Result<(), Error> {
        match self {
            Self::Busy(busy) => busy.flush().await,
            // Nothing is queued.
            Self::Waiting(_) | Self::Moving => Ok(()),
        }
    }

    /// Says goodbye, and waits for the peer's.
    pub(super) async fn close(&mut self) -> Result<(), Error> {
        match self.busy() {
            Some(busy) => poll_fn(|cx| Pin::new(&mut *busy).poll_close(cx)).await,
            None => Ok(()),
        }
    }

    /// Sets the library's part up, if it is not.
    fn busy(&mut self) -> Option<&mut WebSocketStream<Watched>> {
        if let Self::Waiting(_) = self
            && let Self::Waiting(stream) = std::mem::replace(self, Self::Moving)
        {
            let limits = Limits::default().max_payload_len(Some(WS_MESSAGE_BYTES_MAX));
            // Messages are not cut into frames: some clients of old do not put them together again.
            let config = Config::default().frame_size(usize::MAX);
            let watched = Watched { stream, frames: Frames::default() };
            *self = Self::Busy(Box::new(ServerBuilder::new().limits(limits).config(config).serve(watched)));
        }
        match self {
            Self::Busy(busy) => Some(busy),
            Self::Waiting(_) | Self::Moving => None,
        }
    }
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
