//! What comes before the first request of a connection: its place, its introduction by a proxy, TLS.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use evenkeel_wire::forwarding::introduction::{self, Introduction, NoIntroduction};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::rustls::HandshakeKind;

use super::accept::make_room;
use super::idle::Seat;
use super::{Local, Shared, connection};
use crate::counters::{Counters, add};
use crate::listen::stream::Stream;

/// How connections of a listener begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manner {
    /// Proxies that are trusted introduce their clients first.
    pub is_introduced: bool,
    /// TLS is spoken.
    pub is_tls: bool,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) ip: IpAddr,
    /// It is a proxy whose word is taken.
    pub(super) is_trusted: bool,
}

/// A connection on its way to its first request.
struct Arrival<'a> {
    shared: &'a Shared,
    counters: Arc<Counters>,
    origin: Origin,
    began: Instant,
}

/// Takes a connection in, unless a limit is reached.
pub(super) fn admit(
    shared: &Arc<Shared>,
    local: &Rc<RefCell<Local>>,
    (stream, peer): (Stream, Option<IpAddr>),
    manner: Manner,
) {
    let origin = match peer {
        Some(ip) => Origin { ip, is_trusted: shared.proxies.load().trust(ip) },
        // Of a Unix socket: only a proxy on this machine has any business with it.
        None => Origin { ip: Ipv4Addr::LOCALHOST.into(), is_trusted: true },
    };
    let counters = Arc::clone(&local.borrow().worker.counters);
    // The connections of a proxy are those of many.
    let counted = peer.filter(|_| !origin.is_trusted);
    let Some(place) = shared.connections.admit(counted, shared.per_address_max()) else {
        add(&counters.refused_connections, 1);
        return;
    };
    if shared.connections.is_pressed() {
        make_room(&local.borrow());
    }
    let idle = Rc::clone(&local.borrow().idle);
    let mut seat = Seat::new(&idle, place);
    let at = seat.at();
    let (shared, local) = (Arc::clone(shared), Rc::clone(local));
    let task = tokio::task::spawn_local(async move {
        let mut arrival = Arrival { shared: &shared, counters, origin, began: Instant::now() };
        // Whatever ends a connection (a reset, a timeout) is the peer's affair.
        let Ok(stream) = arrival.begin(stream, manner, &mut seat).await else { return };
        let Arrival { origin, began, .. } = arrival;
        connection::serve((&shared, &local), stream, origin, began, seat).await.ok();
    });
    Seat::ended_by(&idle, at, task.abort_handle());
}

impl Arrival<'_> {
    /// Does what has to be done before the first request. The clock of its head runs already.
    async fn begin(&mut self, mut stream: Stream, manner: Manner, seat: &mut Seat) -> io::Result<Stream> {
        let deadline = self.began + self.shared.limits.load().head_timeout;
        if manner.is_introduced && self.origin.is_trusted {
            timeout_at(deadline, self.be_introduced(&mut stream, seat)).await??;
        }
        if manner.is_tls {
            stream = self.shake_hands(stream, deadline).await?;
        }
        Ok(stream)
    }

    /// Reads whom a trusted proxy introduces. A proxy that introduces nobody speaks for itself.
    async fn be_introduced(&mut self, stream: &mut Stream, seat: &mut Seat) -> io::Result<()> {
        let mut read = Vec::new();
        let (introduction, len) = loop {
            match introduction::decode(&read) {
                Ok(Some(found)) => break found,
                Ok(None) => {}
                Err(NoIntroduction::Missing) => {
                    add(&self.counters.forwarding_missing, 1);
                    break (Introduction::Nobody, 0);
                }
                Err(NoIntroduction::Malformed) => {
                    add(&self.counters.introductions_malformed, 1);
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
            read_more(stream, &mut read).await?;
        };
        stream.put_back(read.split_off(len));
        if let Introduction::Client(ip) = introduction {
            self.origin = Origin { ip, is_trusted: self.shared.proxies.load().trust(ip) };
            if !self.origin.is_trusted && !seat.count(ip, self.shared.per_address_max()) {
                add(&self.counters.refused_connections, 1);
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
        }
        Ok(())
    }

    async fn shake_hands(&self, stream: Stream, deadline: Instant) -> io::Result<Stream> {
        let Some(tls) = &self.shared.tls else { return Err(io::ErrorKind::Unsupported.into()) };
        // In a box of its own: it is large, and soon over.
        let shaken = timeout_at(deadline, Box::pin(stream.secured(&tls.acceptor))).await;
        let (stream, kind) = shaken.map_err(io::Error::from).flatten().inspect_err(|_| {
            add(&self.counters.tls_failed, 1);
        })?;
        let is_resumed = kind == Some(HandshakeKind::Resumed);
        add(if is_resumed { &self.counters.tls_resumed } else { &self.counters.tls_full }, 1);
        Ok(stream)
    }
}

/// Appends what comes next.
async fn read_more(stream: &mut Stream, read: &mut Vec<u8>) -> io::Result<()> {
    poll_fn(|cx| {
        let mut room = [MaybeUninit::uninit(); introduction::INTRODUCTION_BYTES_MAX];
        let mut fresh = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut fresh))?;
        if fresh.filled().is_empty() {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        read.extend_from_slice(fresh.filled());
        Poll::Ready(Ok(()))
    })
    .await
}
