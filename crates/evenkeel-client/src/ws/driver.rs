//! The task behind a session: it alone holds the socket.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use evenkeel_wire::InfoHash;
use futures_util::{SinkExt, StreamExt};
use http::header::USER_AGENT;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream, upgrade};
use url::Url;

use super::Relay;
use super::message::{self, Incoming, Reply};
use crate::net::Stream;
use crate::{Client, Error, net};

/// Longest head of the server's reply to the upgrade, with whatever follows in the same read.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A message to send, and what to wait for.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) text: String,
    /// `None`: done when it is sent.
    pub(super) expect: Option<Expect>,
    pub(super) done: oneshot::Sender<Result<Reply, Error>>,
}

/// What would answer a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    Announce(InfoHash),
    Scrape,
}

pub(super) type Socket = WebSocketStream<Bounded<Box<dyn Stream>>>;

/// Connects and upgrades.
pub(super) async fn connect(client: &Client, url: &Url) -> Result<Socket, Error> {
    let settings = client.settings();
    let invalid = |_| Error::InvalidUrl("not a URL that HTTP can carry".into());
    let uri = url.as_str().parse().map_err(invalid)?;
    let agent = settings.user_agent.parse().map_err(|_| Error::InvalidRequest("invalid user agent"))?;
    let stream = net::connect(client, url, url.scheme() == "wss").await?;
    let limits = Limits::default().max_payload_len(Some(settings.max_answer_bytes));
    let (mut socket, _) = ClientBuilder::from_uri(uri)
        .limits(limits)
        .add_header(USER_AGENT, agent)
        .map_err(socket_error)?
        .connect_on(Bounded { inner: stream, left: HEAD_BYTES_MAX })
        .await
        .map_err(socket_error)?;
    socket.get_mut().left = usize::MAX;
    Ok(socket)
}

/// Sends commands and sorts what comes in, until the session is dropped or the tracker goes away.
pub(super) async fn drive(
    mut socket: Socket,
    mut commands: mpsc::Receiver<Command>,
    relays: mpsc::Sender<Relay>,
    send_timeout: Duration,
) {
    let mut waiting = Waiting::default();
    let ended = loop {
        tokio::select! {
            command = commands.recv() => {
                let Some(Command { text, expect, done }) = command else { break Error::Closed };
                // A tracker that does not read must not hold this task, and the socket with it, for ever.
                let sent = timeout(send_timeout, socket.send(Message::text(text))).await;
                match sent.map_or(Err(Error::Timeout), |sent| sent.map_err(socket_error)) {
                    Ok(()) => waiting.push(expect, done),
                    Err(error) => {
                        answer(done, Err(error));
                        break Error::Closed;
                    }
                }
            }
            message = socket.next() => match message {
                Some(Ok(message)) => message.as_text().map_or((), |text| sort(text, &mut waiting, &relays)),
                Some(Err(error)) => break socket_error(error),
                None => break Error::Closed,
            }
        }
    };
    // Whoever asked first learns why; the others learn that it is over when their senders are dropped.
    waiting.answer(None, Err(ended));
    drop(waiting);
    drop(commands);
    // Nothing depends on whether the tracker hears the farewell.
    drop(timeout(send_timeout, socket.close()).await);
}

fn sort(text: &str, waiting: &mut Waiting, relays: &mpsc::Sender<Relay>) {
    match message::read(text) {
        // Full or unread: relays may be lost, and the tracker's other messages must not wait for them.
        Ok(Incoming::Relay(relay)) => drop(relays.try_send(relay)),
        Ok(Incoming::Reply(expect, reply)) => waiting.answer(Some(expect), Ok(reply)),
        Ok(Incoming::Ignored) => {}
        Ok(Incoming::Failure(subject, error)) => waiting.answer(waiting.find(subject), Err(error)),
        Err(error) => waiting.answer(None, Err(error)),
    }
}

/// Who waits for what, oldest first.
#[derive(Default)]
struct Waiting {
    queue: VecDeque<(Expect, oneshot::Sender<Result<Reply, Error>>)>,
}

impl Waiting {
    fn push(&mut self, expect: Option<Expect>, done: oneshot::Sender<Result<Reply, Error>>) {
        match expect {
            Some(expect) => self.queue.push_back((expect, done)),
            None => answer(done, Ok(Reply::Sent)),
        }
    }

    /// Answers the oldest who expects this; `None` is the oldest of all. A reply for nobody is dropped.
    fn answer(&mut self, expect: Option<Expect>, result: Result<Reply, Error>) {
        // Those who gave up are forgotten first: the answer is for who still waits.
        self.queue.retain(|(_, done)| !done.is_closed());
        let position =
            self.queue.iter().position(|(theirs, _)| expect.is_none_or(|expect| expect == *theirs));
        if let Some((_, done)) = position.and_then(|position| self.queue.remove(position)) {
            answer(done, result);
        }
    }

    /// What a failure is about. One that does not say, or names a torrent that nobody asks about, is the
    /// oldest question's.
    fn find(&self, subject: Option<Expect>) -> Option<Expect> {
        let wanted = subject?;
        self.queue.iter().any(|(expect, _)| *expect == wanted).then_some(wanted)
    }
}

/// Whoever asked may have given up since.
fn answer(done: oneshot::Sender<Result<Reply, Error>>, result: Result<Reply, Error>) {
    drop(done.send(result));
}

fn socket_error(error: tokio_websockets::Error) -> Error {
    use tokio_websockets::Error as Socket;
    match error {
        Socket::Upgrade(upgrade::Error::DidNotSwitchProtocols(code)) => Error::Status { code, reason: None },
        Socket::Upgrade(_) => Error::Malformed("the server does not speak WebSocket"),
        Socket::Protocol(_) => Error::Malformed("a broken WebSocket frame"),
        Socket::PayloadTooLong { max_len, .. } => Error::TooLarge { limit: max_len },
        Socket::Io(source) => Error::Io { doing: "exchange WebSocket messages", source },
        _ => Error::Closed,
    }
}

/// A stream that may be read so far and no further: the upgrade is read into memory until its head is whole.
#[derive(Debug)]
pub(super) struct Bounded<S> {
    inner: S,
    left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the reply to the upgrade is too long")));
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
