//! Sockets that are there before the program is: bound by systemd (socket activation), or by whoever speaks its way.

use anyhow::{Context, anyhow};
use listenfd::ListenFd;
use socket2::{Domain, Socket};

/// What was passed, by what it is for. What is empty is bound as configured.
#[derive(Default)]
pub(crate) struct Activated {
    pub(crate) http: Vec<Socket>,
    pub(crate) https: Vec<Socket>,
    pub(crate) udp: Vec<Socket>,
    pub(crate) admin: Vec<Socket>,
}

impl Activated {
    /// Takes what was passed to this process, by the variables that say so. Each socket says by its name
    /// (`FileDescriptorName=`) what it is for: `http`, `https`, `udp` or `admin`. By any other name, one that listens is
    /// for HTTP, and one of datagrams for UDP.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let mut passed = ListenFd::from_env();
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut activated = Self::default();
        for at in 0..passed.len() {
            let name = names.next().unwrap_or_default();
            let (socket, listens) = take(&mut passed, at)
                .with_context(|| format!("the socket {at} that was passed ({name:?}) cannot be used"))?;
            socket.set_nonblocking(true)?;
            let row = match (name, listens) {
                ("https", true) => &mut activated.https,
                ("admin", true) if socket.domain()? != Domain::UNIX => &mut activated.admin,
                ("udp" | "admin", true) | ("http" | "https" | "admin", false) => {
                    return Err(anyhow!(
                        "the socket {at} that was passed is called {name:?} and is of another kind"
                    ));
                }
                (_, true) => &mut activated.http,
                (_, false) => &mut activated.udp,
            };
            row.push(socket);
        }
        Ok(activated)
    }
}

/// One socket, and whether it listens.
fn take(passed: &mut ListenFd, at: usize) -> anyhow::Result<(Socket, bool)> {
    if let Ok(Some(tcp)) = passed.take_tcp_listener(at) {
        return Ok((tcp.into(), true));
    }
    if let Ok(Some(unix)) = passed.take_unix_listener(at) {
        return Ok((std::os::fd::OwnedFd::from(unix).into(), true));
    }
    match passed.take_udp_socket(at)? {
        Some(udp) => Ok((udp.into(), false)),
        None => Err(anyhow!("it is not there")),
    }
}

/// The same socket for each worker: they take turns.
pub(crate) fn shared(sockets: &[Socket], workers: usize) -> anyhow::Result<Vec<Vec<Socket>>> {
    let of_all = |socket: &Socket| (0..workers).map(|_| Ok(socket.try_clone()?)).collect();
    sockets.iter().map(of_all).collect()
}
