//! Compact peer addresses: 6 bytes for IPv4 (BEP 23), 18 for IPv6 (BEP 7), port last, network order.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where a peer listens, in the form in which it is stored and sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Address and port of an IPv4 peer.
    V4([u8; 6]),
    /// Address and port of an IPv6 peer.
    V6([u8; 18]),
}

impl Endpoint {
    /// An IPv4-mapped IPv6 address (::ffff:a.b.c.d) becomes the IPv4 address that it is.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let mut bytes = [0; 6];
                bytes[..4].copy_from_slice(&ip.octets());
                bytes[4..].copy_from_slice(&port.to_be_bytes());
                Self::V4(bytes)
            }
            IpAddr::V6(ip) => {
                let mut bytes = [0; 18];
                bytes[..16].copy_from_slice(&ip.octets());
                bytes[16..].copy_from_slice(&port.to_be_bytes());
                Self::V6(bytes)
            }
        }
    }

    /// The address.
    pub fn ip(&self) -> IpAddr {
        match self {
            Self::V4([a, b, c, d, ..]) => IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)),
            Self::V6(bytes) => IpAddr::V6(v6_octets(bytes).into()),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::V4([.., high, low]) => u16::from_be_bytes([*high, *low]),
            Self::V6([.., high, low]) => u16::from_be_bytes([*high, *low]),
        }
    }
}

fn v6_octets(bytes: &[u8; 18]) -> [u8; 16] {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[..16]);
    octets
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        Self::new(endpoint.ip(), endpoint.port())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SocketAddr::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_bytes_of_bep_23_and_bep_7() {
        let v4 = Endpoint::from("1.2.3.4:6881".parse::<SocketAddr>().unwrap());
        assert_eq!(v4, Endpoint::V4([1, 2, 3, 4, 0x1a, 0xe1]));
        let v6 = Endpoint::from("[2001:db8::1]:80".parse::<SocketAddr>().unwrap());
        assert_eq!(v6, Endpoint::V6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80]));
        for endpoint in [v4, v6] {
            assert_eq!(Endpoint::from(SocketAddr::from(endpoint)), endpoint);
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_that_it_is() {
        let mapped = Endpoint::from("[::ffff:1.2.3.4]:6881".parse::<SocketAddr>().unwrap());
        assert_eq!(mapped, Endpoint::V4([1, 2, 3, 4, 0x1a, 0xe1]));
    }
}
