//! How far an address reaches. A tracker that hands loopback or private addresses to the world points
//! strangers at machines they cannot or must not reach.

use std::net::{IpAddr, Ipv6Addr};

use evenkeel_wire::Endpoint;

/// Where packets to an address can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anywhere.
    Global,
    /// The same machine.
    Loopback,
    /// The same link (RFC 3927, RFC 4291).
    Link,
    /// The same site: RFC 1918, shared address space (RFC 6598), unique local (RFC 4193).
    Site,
    /// Nowhere: documentation, benchmarks, multicast, reserved (RFC 6890). Tests use them.
    Special,
}

impl Scope {
    /// The scope of an endpoint's address.
    pub fn of(endpoint: &Endpoint) -> Self {
        match endpoint {
            Endpoint::V4(addr) => Self::of_addr(addr),
            Endpoint::V6(addr) => Self::of_addr(addr),
        }
    }

    /// The scope of an address in wire form: 4 or 16 bytes, and the port.
    #[inline]
    pub(crate) fn of_addr<const N: usize>(addr: &[u8; N]) -> Self {
        let first = usize::from(addr[0]);
        match addr.first_chunk() {
            Some(bytes) if N == 18 => V6_BY_FIRST[first].unwrap_or_else(|| Self::of_v6(bytes)),
            _ => V4_BY_FIRST[first].unwrap_or_else(|| Self::of_v4([addr[0], addr[1], addr[2], addr[3]])),
        }
    }

    /// Whether an asker in `self` may be told of a peer in `peer`.
    pub fn may_learn(self, peer: Self) -> bool {
        peer == Self::Global || peer == self
    }

    #[inline(never)]
    const fn of_v4(octets: [u8; 4]) -> Self {
        match octets {
            [127, ..] => Self::Loopback,
            [169, 254, ..] => Self::Link,
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Self::Site,
            [0, ..] | [224..=255, ..] | [192, 0, 0 | 2, _] => Self::Special,
            [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => Self::Special,
            _ => Self::Global,
        }
    }

    #[inline(never)]
    fn of_v6(bytes: &[u8; 16]) -> Self {
        let segment = |at| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        match (segment(0), segment(2)) {
            (0, 0) => Self::of_zeros(bytes),
            (0xFE80..=0xFEBF, _) => Self::Link,
            (0xFC00..=0xFDFF, _) => Self::Site,
            // Documentation, and 6to4 and Teredo, whose IPv4 half could be anybody's.
            (0x2001, 0xDB8) | (0x3FFF, 0..=0xFFF) | (0x2002, _) | (0x2001, 0) => Self::Special,
            (0x2000..=0x3FFF, _) => Self::Global,
            _ => Self::Special,
        }
    }

    /// Of an IPv6 address that begins with zeros: an IPv4 one, or the own machine.
    fn of_zeros(bytes: &[u8; 16]) -> Self {
        match Ipv6Addr::from(*bytes).to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip.octets()),
            IpAddr::V6(Ipv6Addr::LOCALHOST) => Self::Loopback,
            IpAddr::V6(_) => Self::Special,
        }
    }
}

/// The scope of all addresses that begin with an octet, where they have the same: one look instead of a chain of questions,
/// for each peer of an answer.
type ByFirst = [Option<Scope>; 256];

static V4_BY_FIRST: ByFirst = {
    let mut scopes = [None; 256];
    let mut octet: u8 = 0;
    loop {
        scopes[octet as usize] = match octet {
            100 | 169 | 172 | 192 | 198 | 203 => None,
            _ => Some(Scope::of_v4([octet, 0, 0, 0])),
        };
        if octet == u8::MAX {
            break scopes;
        }
        octet += 1;
    }
};

static V6_BY_FIRST: ByFirst = {
    let mut scopes = [Some(Scope::Special); 256];
    let mut octet = 0x21;
    while octet < 0x3F {
        scopes[octet] = Some(Scope::Global);
        octet += 1;
    }
    [scopes[0xFC], scopes[0xFD]] = [Some(Scope::Site); 2];
    [scopes[0x00], scopes[0x20], scopes[0x3F], scopes[0xFE]] = [None; 4];
    scopes
};

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(ip: &str) -> Scope {
        Scope::of(&Endpoint::new(ip.parse().unwrap(), 1))
    }

    #[test]
    fn addresses_are_told_apart() {
        for (expected, ips) in [
            (Scope::Global, &["8.8.8.8", "172.32.0.1", "100.128.0.1", "2a00::1", "::ffff:8.8.8.8"][..]),
            (Scope::Loopback, &["127.0.0.1", "127.255.0.1", "::1", "::ffff:127.0.0.1"]),
            (Scope::Link, &["169.254.1.1", "fe80::1", "febf::1"]),
            (
                Scope::Site,
                &["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1"],
            ),
            (Scope::Special, &["0.0.0.0", "192.0.2.1", "198.51.100.1", "203.0.113.1", "224.0.0.1"]),
            (
                Scope::Special,
                &["255.255.255.255", "198.18.0.1", "2001:db8::1", "ff02::1", "::", "2002::1", "2001::1"],
            ),
        ] {
            for ip in ips {
                assert_eq!(scope(ip), expected, "{ip}");
            }
        }
    }

    #[test]
    fn the_first_octet_says_what_all_say() {
        let tried: Vec<u8> =
            (0..=255).step_by(3).chain([1, 2, 18, 19, 31, 51, 64, 100, 113, 127, 168, 254]).collect();
        for first in 0..=255 {
            for second in &tried {
                for third in &tried {
                    let octets = [first, *second, *third, 1];
                    let v4 = [first, *second, *third, 1, 0, 80];
                    assert_eq!(Scope::of_addr(&v4), Scope::of_v4(octets), "{octets:?}");
                    let v6 = [octets, [*third, *second, 0, 0], [0; 4], [0, 0, 0, 1]].concat();
                    let addr: [u8; 18] = [&v6[..], &[0, 80]].concat().try_into().unwrap();
                    assert_eq!(Scope::of_addr(&addr), Scope::of_v6(addr.first_chunk().unwrap()), "{v6:?}");
                }
            }
        }
    }

    #[test]
    fn only_the_same_scope_learns_of_a_local_peer() {
        assert!(Scope::Loopback.may_learn(Scope::Loopback) && Scope::Loopback.may_learn(Scope::Global));
        assert!(!Scope::Global.may_learn(Scope::Loopback) && !Scope::Global.may_learn(Scope::Site));
        assert!(!Scope::Site.may_learn(Scope::Loopback));
    }
}
