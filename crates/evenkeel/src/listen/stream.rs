//! The bytes of a connection, whatever carries them: TCP, a Unix socket, or TLS over either.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::server::TlsStream;

use crate::tls;

/// A connection, both ways.
pub(crate) struct Stream {
    /// Bytes that were read before it was known whose they are; they come first.
    early: Vec<u8>,
    carrier: Carrier,
}

enum Carrier {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<Stream>>),
}

/// Does the same with whatever carries the bytes.
macro_rules! carried {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().carrier {
            Carrier::Tcp($stream) => $call,
            Carrier::Unix($stream) => $call,
            Carrier::Tls($stream) => $call,
        }
    };
}

impl Stream {
    /// Bytes over TCP.
    pub(crate) fn tcp(stream: TcpStream) -> Self {
        Self { early: Vec::new(), carrier: Carrier::Tcp(stream) }
    }

    /// Bytes over a Unix socket.
    pub(crate) fn unix(stream: UnixStream) -> Self {
        Self { early: Vec::new(), carrier: Carrier::Unix(stream) }
    }

    /// Shakes hands over TLS; answers how that went.
    pub(crate) async fn secured(self, acceptor: &TlsAcceptor) -> io::Result<(Self, Option<HandshakeKind>)> {
        let stream = acceptor.accept(self).await?;
        let session = stream.get_ref().1;
        if session.alpn_protocol() == Some(tls::ALPN) {
            // An authority has seen what it wanted to see. Nothing may be said over such a connection (RFC 8737).
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let kind = session.handshake_kind();
        Ok((Self { early: Vec::new(), carrier: Carrier::Tls(Box::new(stream)) }, kind))
    }

    /// Nothing has to be said at its end.
    pub(crate) fn is_bare(&self) -> bool {
        !matches!(self.carrier, Carrier::Tls(_))
    }

    /// Whether there may be more to read at once; if not, the task will be woken.
    pub(crate) fn has_more(&self, cx: &mut Context<'_>) -> bool {
        match &self.carrier {
            _ if !self.early.is_empty() => true,
            Carrier::Tcp(stream) => stream.poll_read_ready(cx).is_ready(),
            Carrier::Unix(stream) => stream.poll_read_ready(cx).is_ready(),
            // Only to read tells.
            Carrier::Tls(_) => true,
        }
    }

    /// Puts bytes back that were read and are somebody else's.
    pub(crate) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.early);
        self.early = bytes;
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return carried!(self, stream => Pin::new(stream).poll_read(cx, into));
        }
        let early = &mut self.get_mut().early;
        let len = early.len().min(into.remaining());
        into.put_slice(&early[..len]);
        early.drain(..len);
        if early.is_empty() {
            *early = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        carried!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        carried!(self, stream => Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.carrier {
            Carrier::Tcp(stream) => stream.is_write_vectored(),
            Carrier::Unix(stream) => stream.is_write_vectored(),
            Carrier::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        carried!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
