//! Listeners: receive, decode, ask the node, encode, send. No rule lives here, and any of them could be
//! written anew in an afternoon.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

pub(crate) mod http;
pub(crate) mod stream;
pub(crate) mod udp;
pub(crate) mod ws;

/// Pending connections that the system holds for a listener.
const BACKLOG: i32 = 4096;

/// A transport and the family it is bound in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// For HTTP.
    Tcp,
    /// For UDP.
    Udp,
}

/// Binds `count` sockets to one address, all sharing its traffic, after making sure that nobody else has it.
///
/// With SO_REUSEPORT alone a second tracker of the same user would silently take half of the first one's
/// packets: the address is bound exclusively first, and given back.
pub(crate) fn bind(transport: Transport, address: SocketAddr, count: usize) -> io::Result<Vec<Socket>> {
    let exclusive = socket(transport, address)?;
    if transport == Transport::Tcp {
        // Connections in TIME_WAIT do not count; a listener still does.
        exclusive.set_reuse_address(true)?;
    }
    exclusive.bind(&SockAddr::from(address))?;
    if transport == Transport::Tcp {
        exclusive.listen(1)?;
    }
    let bound = exclusive.local_addr()?.as_socket().unwrap_or(address);
    drop(exclusive);
    (0..count).map(|_| bind_shared(transport, bound)).collect()
}

fn bind_shared(transport: Transport, address: SocketAddr) -> io::Result<Socket> {
    let socket = socket(transport, address)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    if transport == Transport::Tcp {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

fn socket(transport: Transport, address: SocketAddr) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        // Each family has its own socket: no mapped addresses, and [::] does not shadow 0.0.0.0.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The address that a socket is bound to.
pub(crate) fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("not an internet socket"))
}

/// Whether the host has no such family at all, so that going on without it is right.
pub(crate) fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_missing_family_is_gone_on_without() {
        assert!(is_family_missing(&io::Error::from_raw_os_error(libc::EAFNOSUPPORT)));
        assert!(is_family_missing(&io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)));
        assert!(!is_family_missing(&io::Error::from_raw_os_error(libc::EADDRINUSE)));
        assert!(!is_family_missing(&io::Error::from_raw_os_error(libc::EACCES)));
    }

    #[test]
    fn an_address_that_somebody_has_is_refused_and_ours_is_shared() {
        for transport in [Transport::Tcp, Transport::Udp] {
            let ours = bind(transport, ([127, 0, 0, 1], 0).into(), 3).unwrap();
            let address = local_address(&ours[0]).unwrap();
            assert!(ours.iter().all(|socket| local_address(socket).unwrap() == address));
            // Without the exclusive look first, SO_REUSEPORT would let this succeed.
            assert_eq!(
                bind(transport, address, 1).unwrap_err().kind(),
                io::ErrorKind::AddrInUse,
                "{transport:?}"
            );
        }
    }
}
