//! Where requests come from. A tracker tells anonymous peers apart by address and port, so a load needs many
//! addresses.
//!
//! IPv4 loopback has 16 million. IPv6 loopback has one; a network whose addresses all belong to the machine
//! has more, and `--ipv6-net` names it. It takes root, or a network namespace of one's own:
//!
//! ```sh
//! unshare -rn sh -c 'ip link set lo up && ip -6 route add local fd00::/64 dev lo && exec "$0" "$@"' ...
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::population::Apart;
use crate::system;

/// Sockets that mean well, and those that do not, have addresses of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    Good,
    Hostile,
}

/// The addresses to ask one target from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sources {
    target: SocketAddr,
    ipv6_net: Option<Ipv6Addr>,
}

impl Sources {
    /// `ipv6_net`: an address of a network all of whose addresses are the machine's.
    pub(crate) fn new(target: SocketAddr, ipv6_net: Option<Ipv6Addr>) -> Self {
        Self { target, ipv6_net }
    }

    /// Who is asked.
    pub(crate) fn target(&self) -> SocketAddr {
        self.target
    }

    /// Whether there is more than one address.
    pub(crate) fn apart(&self) -> Apart {
        match (self.target.ip(), self.ipv6_net) {
            (IpAddr::V4(ip), _) if ip.is_loopback() => Apart::ByAddress,
            (IpAddr::V6(_), Some(_)) => Apart::ByAddress,
            _ => Apart::ByPort,
        }
    }

    /// The `at`-th address; unspecified where there is one only.
    pub(crate) fn ip(&self, intent: Intent, at: u16) -> IpAddr {
        let from_one = u32::from(at) + 1;
        match (self.apart(), self.target.ip(), self.ipv6_net) {
            (Apart::ByAddress, IpAddr::V4(_), _) => {
                let first: u32 = if intent == Intent::Good { 0x7F01_0000 } else { 0x7FC8_0000 };
                Ipv4Addr::from(first + from_one).into()
            }
            (Apart::ByAddress, IpAddr::V6(_), Some(net)) => {
                let block = if intent == Intent::Good { 1 << 32 } else { 2 << 32 };
                Ipv6Addr::from(u128::from(net) | block | u128::from(from_one)).into()
            }
            (_, IpAddr::V4(_), _) => Ipv4Addr::UNSPECIFIED.into(),
            (_, IpAddr::V6(_), _) => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// A socket of the `at`-th address, not connected yet.
    pub(crate) fn socket(&self, kind: Type, intent: Intent, at: u16) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(self.target), kind, None)?;
        if kind == Type::STREAM {
            socket.set_tcp_nodelay(true)?;
            system::choose_port_late(&socket)?;
        }
        if self.ipv6_net.is_some() && self.target.is_ipv6() {
            // A route makes the addresses the machine's; only this makes them good to send from.
            socket.set_freebind_v6(true)?;
        }
        socket.bind(&SocketAddr::new(self.ip(intent, at), 0).into())?;
        Ok(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(target: &str, net: Option<&str>, intent: Intent) -> String {
        let net = net.map(|net| net.parse().unwrap());
        Sources::new(target.parse().unwrap(), net).ip(intent, 4).to_string()
    }

    #[test]
    fn each_source_has_an_address_where_there_are_many() {
        assert_eq!(ip("127.0.0.1:1", None, Intent::Good), "127.1.0.5");
        assert_eq!(ip("127.0.0.1:1", None, Intent::Hostile), "127.200.0.5");
        assert_eq!(ip("[::1]:1", Some("fd00::"), Intent::Good), "fd00::1:0:5");
        assert_eq!(ip("[::1]:1", Some("fd00::"), Intent::Hostile), "fd00::2:0:5");
        assert_eq!(ip("[::1]:1", None, Intent::Good), "::");
        assert_eq!(ip("192.0.2.1:1", None, Intent::Good), "0.0.0.0");
    }
}
