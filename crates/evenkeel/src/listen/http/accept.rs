//! Takes connections in, over TCP and over Unix sockets.

use std::cell::RefCell;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket};
use tokio::net::{TcpListener, UnixListener};

use super::arrival::{self, Manner};
use super::{Local, Shared, stopped};
use crate::counters::add;
use crate::listen::stream::Stream;

/// How long nothing is accepted when the system has no descriptor or memory left.
const PAUSE: Duration = Duration::from_millis(10);

/// Where connections come in.
pub(crate) struct Listener {
    /// Bound and listening.
    pub socket: Socket,
    /// How connections begin.
    pub manner: Manner,
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    fn new(socket: Socket) -> io::Result<Self> {
        if socket.domain()? == Domain::UNIX {
            let listener = std::os::unix::net::UnixListener::from(OwnedFd::from(socket));
            return Ok(Self::Unix(UnixListener::from_std(listener)?));
        }
        // What is written is sent at once: connections have it from their listener.
        socket.set_tcp_nodelay(true)?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())?))
    }

    /// The next connection, and its address if it has one.
    async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream::tcp(stream), Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener) => Ok((Stream::unix(listener.accept().await?.0), None)),
        }
    }
}

/// Takes connections in until the program stops.
pub(super) fn run(
    shared: Arc<Shared>,
    local: Rc<RefCell<Local>>,
    Listener { socket, manner }: Listener,
) -> io::Result<impl Future<Output = ()>> {
    let acceptor = Acceptor::new(socket)?;
    let mut stopping = shared.stopping.clone();
    Ok(async move {
        loop {
            let accepted = tokio::select! {
                accepted = acceptor.accept() => accepted,
                () = stopped(&mut stopping) => return,
            };
            match accepted {
                Ok(accepted) => arrival::admit(&shared, &local, accepted, manner),
                // The peer was gone before we came.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    // Out of descriptors or memory. Accepting at once again would spin.
                    make_room(&local.borrow());
                    add(&local.borrow().worker.counters.accept_failures, 1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

/// Ends the connection of this thread that has been idle for longest.
pub(super) fn make_room(local: &Local) {
    let ended = local.idle.borrow_mut().end_longest();
    add(&local.worker.counters.ended_idle, ended.into());
}
