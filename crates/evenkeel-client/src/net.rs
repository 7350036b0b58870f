//! Names to addresses, addresses to connections.

pub(crate) mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use url::{Host, Url};

use crate::client::Settings;
use crate::{Client, Error, Family};

/// A byte stream to a tracker, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// All addresses of the URL's host that the settings allow; never empty.
pub(crate) async fn resolve(settings: &Settings, url: &Url) -> Result<Vec<SocketAddr>, Error> {
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(Error::InvalidUrl("no host".into()));
    };
    let all = match host {
        Host::Ipv4(ip) => vec![SocketAddr::new(ip.into(), port)],
        Host::Ipv6(ip) => vec![SocketAddr::new(ip.into(), port)],
        Host::Domain(name) => {
            let found = lookup_host((name, port)).await;
            found.map_err(|source| Error::Resolve { host: name.into(), source })?.collect()
        }
    };
    let mut usable = Vec::with_capacity(all.len());
    for address in all {
        // A resolver may name an address once for each of several reasons; trying it twice helps nobody.
        if allowed(settings, address.ip()) && !usable.contains(&address) {
            usable.push(address);
        }
    }
    if usable.is_empty() { Err(Error::NoAddress { host: host.to_string() }) } else { Ok(usable) }
}

fn allowed(settings: &Settings, ip: IpAddr) -> bool {
    let wanted = match settings.family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    wanted && settings.bind.is_none_or(|local| local.is_ipv4() == ip.is_ipv4())
}

/// Connects to the first address that answers, one after the other, and speaks TLS when `secure`.
pub(crate) async fn connect(client: &Client, url: &Url, secure: bool) -> Result<Box<dyn Stream>, Error> {
    let settings = client.settings();
    let mut failure = Error::Timeout;
    for address in resolve(settings, url).await? {
        match timeout(settings.connect_timeout, connect_to(client, url, secure, address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failure = error,
            Err(_) => failure = Error::Timeout,
        }
    }
    Err(failure)
}

async fn connect_to(
    client: &Client,
    url: &Url,
    secure: bool,
    address: SocketAddr,
) -> Result<Box<dyn Stream>, Error> {
    let stream = tcp(client.settings().bind, address).await.map_err(Error::io("connect"))?;
    if secure { Ok(Box::new(client.tls().wrap(url, stream).await?)) } else { Ok(Box::new(stream)) }
}

async fn tcp(bind: Option<IpAddr>, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(local) = bind {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
