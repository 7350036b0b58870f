//! Whose word is taken for where a request comes from: that of proxies in networks which the operator trusts.

use std::net::IpAddr;

use evenkeel_wire::forwarding::{self, Header};
use ipnet::IpNet;

/// Proxies that are believed, and the one header that they set. A proxy passes on what it does not know of: any other
/// header may come from its client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    /// Where they are.
    pub networks: Vec<IpNet>,
    /// What they say on whose behalf a request comes; `None` if they say it otherwise.
    pub header: Option<Header>,
}

impl Proxies {
    /// Whether what comes from `ip` is believed.
    pub(super) fn trust(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&ip))
    }

    /// On whose behalf a trusted proxy sends a request, by its header lines.
    pub(super) fn client(&self, headers: &[u8]) -> Option<IpAddr> {
        forwarding::client(headers, self.header?, |ip| self.trust(ip))
    }
}
