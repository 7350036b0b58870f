//! What the program says on standard output when it is ready: where peers and people reach it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::config::{Config, PublicUrl};
use crate::control::Secret;

/// What was bound.
pub(crate) struct Addresses {
    /// HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTP over TLS.
    pub https: Vec<SocketAddr>,
    /// UDP.
    pub udp: Vec<SocketAddr>,
    /// Unix sockets.
    pub unix: Vec<PathBuf>,
    /// The admin port.
    pub admin: Option<SocketAddr>,
}

/// A URL for torrents.
pub(crate) struct AnnounceUrl {
    /// The address in it; `None` for a public name.
    pub(crate) ip: Option<IpAddr>,
    /// The whole of it.
    pub(crate) text: String,
}

/// The lines to print.
pub(crate) struct Banner {
    public_url: Option<PublicUrl>,
    bound: Addresses,
    local: Vec<IpAddr>,
    state: PathBuf,
    connections_max: u32,
    http: bool,
    webtorrent: bool,
    /// Whether there is an API.
    pub api: bool,
    /// Its first token, when it is new.
    pub token: Option<Secret>,
}

impl Banner {
    /// Collects what is to be said.
    pub(crate) fn new(config: &Config, bound: Addresses, state: &Path, connections_max: u32) -> Self {
        // Without a list of interfaces the loopback addresses still stand.
        let mut local: Vec<IpAddr> = if_addrs::get_if_addrs().map_or_else(
            |_| vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()],
            |interfaces| interfaces.into_iter().map(|interface| interface.ip()).collect(),
        );
        // A link-local address is no use in a URL without the name of its link.
        local.retain(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()));
        local.sort();
        let public_url = config.server.public_url.clone();
        Self {
            public_url,
            bound,
            local,
            state: state.to_owned(),
            connections_max,
            http: config.server.http,
            webtorrent: config.server.webtorrent,
            api: false,
            token: None,
        }
    }

    /// URLs for torrents: of the public name when there is one, else of each local address.
    pub(crate) fn announce_urls(&self) -> Vec<AnnounceUrl> {
        if let Some(public) = &self.public_url {
            let mut urls = vec![AnnounceUrl { ip: None, text: format!("{}/announce", public.as_str()) }];
            // ws beside http, wss beside https: both are behind the same name, port and certificate.
            if let Some(rest) = public.as_str().strip_prefix("http").filter(|_| self.webtorrent) {
                urls.push(AnnounceUrl { ip: None, text: format!("ws{rest}/announce") });
            }
            if let (Some(udp), false) = (self.bound.udp.first(), public.as_str().starts_with("udp:")) {
                let text = format!("udp://{}:{}/announce", public.host(), udp.port());
                urls.push(AnnounceUrl { ip: None, text });
            }
            if let (Some(https), false) = (self.bound.https.first(), public.as_str().starts_with("https:")) {
                let authority = format!("{}:{}", public.host(), https.port());
                for (scheme, _) in
                    [("https", self.http), ("wss", self.webtorrent)].iter().filter(|(_, on)| *on)
                {
                    urls.push(AnnounceUrl { ip: None, text: format!("{scheme}://{authority}/announce") });
                }
            }
            return urls;
        }
        let url = |scheme: &'static str| {
            move |address: SocketAddr| AnnounceUrl {
                ip: Some(address.ip()),
                text: format!("{scheme}://{address}/announce"),
            }
        };
        let http = self.reached(&self.bound.http).filter(|_| self.http).map(url("http"));
        let udp = self.reached(&self.bound.udp).map(url("udp"));
        let ws = self.reached(&self.bound.http).filter(|_| self.webtorrent).map(url("ws"));
        let https = self.reached(&self.bound.https).filter(|_| self.http).map(url("https"));
        let wss = self.reached(&self.bound.https).filter(|_| self.webtorrent).map(url("wss"));
        http.chain(https).chain(udp).chain(ws).chain(wss).collect()
    }

    /// Prints to standard output; somebody who closed it does not want to know.
    pub(crate) fn print(&self) -> io::Result<()> {
        let mut text = format!("evenkeel {} is ready\n", env!("CARGO_PKG_VERSION"));
        for (at, url) in self.announce_urls().iter().enumerate() {
            line(&mut text, if at == 0 { "announce" } else { "" }, &url.text);
        }
        let stats = match &self.public_url {
            Some(public) if !public.as_str().starts_with("udp:") => Some(public.as_str().to_owned()),
            _ => self.reached(&self.bound.http).next().map(|address| format!("http://{address}")),
        };
        if let Some(base) = stats {
            line(&mut text, "statistics", &format!("{base}/stats"));
        }
        if let Some(admin) = self.bound.admin {
            line(&mut text, "metrics", &format!("http://{admin}/metrics"));
            if self.api {
                line(&mut text, "api", &format!("http://{admin}/api/v1"));
            }
        }
        for path in &self.bound.unix {
            line(&mut text, "socket", &path.display().to_string());
        }
        if let Some(token) = &self.token {
            line(&mut text, "token", &format!("{} (of the API; shown this once)", token.reveal()));
        }
        line(&mut text, "state", &self.state.display().to_string());
        line(
            &mut text,
            "capacity",
            &format!("{} HTTP connections and WebSockets at a time", self.connections_max),
        );
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Addresses that one can dial for those that were bound.
    fn reached<'a>(&'a self, bound: &'a [SocketAddr]) -> impl Iterator<Item = SocketAddr> + 'a {
        bound.iter().flat_map(|bound| {
            let same_family = self.local.iter().filter(|ip| ip.is_ipv4() == bound.is_ipv4());
            let all = same_family.map(|ip| SocketAddr::new(*ip, bound.port()));
            let wildcard = bound.ip().is_unspecified();
            all.filter(move |_| wildcard).chain((!wildcard).then_some(*bound))
        })
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let written = writeln!(text, "  {name:<10}  {value}");
    debug_assert!(written.is_ok(), "a String takes any text");
}
