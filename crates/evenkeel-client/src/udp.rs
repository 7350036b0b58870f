//! Announce and scrape over UDP (BEP 15, BEP 41).
//!
//! Each request has a connected socket to itself while it runs, so the system drops replies from other
//! addresses. Afterwards the socket is kept, with the connection id that it earned, for a minute: some
//! trackers tie the id to the port as well as to the address.

mod packet;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use evenkeel_wire::{Announce, InfoHash};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use url::{Position, Url};

use crate::{AnnounceResponse, Client, Error, ScrapeResponse, net};
use packet::Action;

/// How long a client may use a connection id (BEP 15).
const CONNECTION_ID_LIFE: Duration = Duration::from_secs(60);

/// Most sockets that are kept between requests; the oldest one goes first.
const IDLE_MAX: usize = 64;

/// The longest datagram there is: a shorter buffer would cut a reply off without saying so.
const REPLY_BYTES_MAX: usize = 65_535;

pub(crate) async fn announce(
    client: &Client,
    url: &Url,
    announce: &Announce,
) -> Result<AnnounceResponse, Error> {
    let url_data = &url[Position::BeforePath..Position::AfterQuery];
    let packet = packet::announce(announce, url_data);
    let (reply, family) = exchange(client, url, Action::Announce, packet).await?;
    packet::read_announce(&reply, family)
}

/// At most 74 torrents.
pub(crate) async fn scrape(
    client: &Client,
    url: &Url,
    info_hashes: &[InfoHash],
) -> Result<ScrapeResponse, Error> {
    let (reply, _) = exchange(client, url, Action::Scrape, packet::scrape(info_hashes)).await?;
    packet::read_scrape(&reply, info_hashes)
}

/// Reads bytes of a stranger as the reply to every request.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_strange(reply: &[u8]) {
    let Some(transaction) = reply.get(4..).and_then(|rest| rest.first_chunk()) else { return };
    let transaction = u32::from_be_bytes(*transaction);
    for action in [Action::Connect, Action::Announce, Action::Scrape] {
        drop(packet::is_reply(reply, (action, transaction)));
    }
    drop(packet::read_connect(reply));
    for remote in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        if let Ok(response) = packet::read_announce(reply, SocketAddr::new(remote, 1)) {
            response.check();
        }
    }
    let asked = [InfoHash([1; 20]), InfoHash([2; 20])];
    if let Ok(response) = packet::read_scrape(reply, &asked) {
        assert_eq!(response.torrents.len(), asked.len());
    }
}

/// Sends until somebody answers. Tries go round the addresses, so one dead family does not cost all of them;
/// an address that the system calls unreachable is left at once.
async fn exchange(
    client: &Client,
    url: &Url,
    action: Action,
    packet: Vec<u8>,
) -> Result<(Vec<u8>, SocketAddr), Error> {
    let settings = client.settings();
    let mut routes = Vec::new();
    for remote in net::resolve(settings, url).await? {
        routes.push(Route::new(remote)?);
    }
    let mut ask = Ask { action, packet, bind: settings.bind, buffer: vec![0; REPLY_BYTES_MAX] };
    let mut tries = 0;
    let mut next = 0;
    while tries < settings.udp_tries {
        let wait = settings.udp_first_timeout.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX));
        next %= routes.len();
        routes[next].adopt(client.udp());
        match routes[next].attempt(&mut ask, wait).await {
            Ok(len) => {
                let route = routes.swap_remove(next);
                let remote = route.remote;
                client.udp().put(route.into_connection());
                ask.buffer.truncate(len);
                return Ok((ask.buffer, remote));
            }
            Err(Error::Timeout) => {
                tries += 1;
                next += 1;
            }
            Err(error @ Error::Io { .. }) => {
                routes.remove(next);
                if routes.is_empty() {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Timeout)
}

/// What is asked, and where the reply goes.
struct Ask {
    action: Action,
    /// Whole but for connection id and transaction id.
    packet: Vec<u8>,
    bind: Option<IpAddr>,
    buffer: Vec<u8>,
}

/// One address of the tracker during one request.
struct Route {
    remote: SocketAddr,
    /// Not tried yet, so a kept connection may still be taken over.
    is_new: bool,
    socket: Option<UdpSocket>,
    id: Option<ConnectionId>,
    /// Was the id earned by an earlier request? Then the tracker may have been restarted since.
    id_is_old: bool,
    /// The same for all tries, so that a late answer to an earlier try counts.
    connect_transaction: u32,
    ask_transaction: u32,
}

#[derive(Clone, Copy, Debug)]
struct ConnectionId {
    value: u64,
    received: Instant,
}

impl ConnectionId {
    fn is_fresh(&self) -> bool {
        self.received.elapsed() < CONNECTION_ID_LIFE
    }
}

impl Route {
    fn new(remote: SocketAddr) -> Result<Self, Error> {
        let random = || {
            getrandom::u32()
                .map_err(|error| Error::Io { doing: "draw a random number", source: error.into() })
        };
        let (connect_transaction, ask_transaction) = (random()?, random()?);
        let (socket, id) = (None, None);
        Ok(Self { remote, is_new: true, socket, id, id_is_old: false, connect_transaction, ask_transaction })
    }

    fn adopt(&mut self, idle: &Idle) {
        if std::mem::take(&mut self.is_new)
            && let Some(kept) = idle.take(self.remote)
        {
            (self.socket, self.id, self.id_is_old) = (Some(kept.socket), Some(kept.id), true);
        }
    }

    /// One try; answers with the length of the reply in the buffer. What an old id or an old socket causes is
    /// not the tracker's answer: it is tried again at once without them.
    async fn attempt(&mut self, ask: &mut Ask, wait: Duration) -> Result<usize, Error> {
        match self.attempt_once(ask, wait).await {
            Err(Error::Io { .. } | Error::Tracker { .. }) if self.id_is_old => {
                (self.socket, self.id, self.id_is_old) = (None, None, false);
                self.attempt_once(ask, wait).await
            }
            Err(Error::Timeout) if self.id_is_old => {
                (self.id, self.id_is_old) = (None, false);
                Err(Error::Timeout)
            }
            other => other,
        }
    }

    async fn attempt_once(&mut self, ask: &mut Ask, wait: Duration) -> Result<usize, Error> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open(ask.bind, self.remote).await.map_err(Error::io("open a UDP socket"))?,
        };
        let socket = self.socket.insert(socket);
        let id = match self.id.filter(ConnectionId::is_fresh) {
            Some(id) => id,
            None => {
                self.id_is_old = false;
                let packet = packet::connect(self.connect_transaction);
                let transaction = self.connect_transaction;
                let len = round_trip(socket, &packet, (Action::Connect, transaction), &mut ask.buffer, wait)
                    .await?;
                let value = packet::read_connect(&ask.buffer[..len])?;
                *self.id.insert(ConnectionId { value, received: Instant::now() })
            }
        };
        packet::address(&mut ask.packet, id.value, self.ask_transaction);
        round_trip(socket, &ask.packet, (ask.action, self.ask_transaction), &mut ask.buffer, wait).await
    }

    fn into_connection(self) -> Option<Connection> {
        Some(Connection { remote: self.remote, socket: self.socket?, id: self.id? })
    }
}

async fn open(bind: Option<IpAddr>, remote: SocketAddr) -> std::io::Result<UdpSocket> {
    let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(bind.unwrap_or(any), 0)).await?;
    socket.connect(remote).await?;
    Ok(socket)
}

/// Sends a packet and waits for the reply to it; what belongs to another transaction is dropped.
async fn round_trip(
    socket: &UdpSocket,
    packet: &[u8],
    expected: (Action, u32),
    buffer: &mut [u8],
    wait: Duration,
) -> Result<usize, Error> {
    socket.send(packet).await.map_err(Error::io("send a datagram"))?;
    let reply = async {
        loop {
            let len = socket.recv(buffer).await.map_err(Error::io("receive a datagram"))?;
            if packet::is_reply(&buffer[..len], expected)? {
                return Ok(len);
            }
        }
    };
    timeout(wait, reply).await.unwrap_or(Err(Error::Timeout))
}

/// Sockets between requests, with the connection ids that they may still use.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    connections: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    remote: SocketAddr,
    socket: UdpSocket,
    id: ConnectionId,
}

impl Idle {
    /// Whoever takes a connection has it alone, so replies need no sorting.
    fn take(&self, remote: SocketAddr) -> Option<Connection> {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.id.is_fresh());
        let position = connections.iter().position(|connection| connection.remote == remote)?;
        Some(connections.remove(position))
    }

    fn put(&self, connection: Option<Connection>) {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| connection.id.is_fresh());
        if connections.len() >= IDLE_MAX {
            connections.remove(0);
        }
        connections.extend(connection);
    }
}
