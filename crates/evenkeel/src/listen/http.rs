//! The HTTP listener: one single-threaded runtime for each core; a request is answered on the thread that read
//! it, by our own codec.

mod accept;
mod answer;
mod arrival;
mod connection;
mod connections;
mod idle;
mod pages;
mod proxies;
mod standing;
mod together;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use arc_swap::ArcSwap;
use evenkeel_core::Ids;
use evenkeel_wire::{InfoHash, Stats};
use tokio::runtime::LocalOptions;
use tokio::sync::watch;
use tokio::task::spawn_local;

pub(crate) use self::accept::Listener;
pub(crate) use self::arrival::Manner;
pub(crate) use self::connections::Connections;
use self::idle::Idle;
pub(crate) use self::idle::Seat;
pub(crate) use self::proxies::Proxies;
use self::together::Together;
use super::ws::{self, Mailbox, Mailboxes, Strangers};
use crate::banner::AnnounceUrl;
use crate::census::CensusHandle;
use crate::mint::Mint;
use crate::node::{Node, Worker};
use crate::redirects::Redirect;
use crate::tls::Tls;

/// What all HTTP threads share.
pub(crate) struct Shared {
    /// The tracker.
    pub node: Arc<Node>,
    /// Answers `/stats`.
    pub census: CensusHandle,
    /// Open connections, by address.
    pub connections: Arc<Connections>,
    /// Limits that a reload may change.
    pub limits: ArcSwap<Limits>,
    /// Whose word is taken for where a request comes from.
    pub proxies: ArcSwap<Proxies>,
    /// Whether announces and scrapes are answered over HTTP.
    pub http: bool,
    /// Whether WebSockets are.
    pub webtorrent: bool,
    /// Ways to the WebSockets of each thread.
    pub mailboxes: Mailboxes,
    /// Open WebSockets.
    pub websockets: AtomicU32,
    /// Whether pages of any origin may read answers.
    pub any_origin: bool,
    /// Where peers are that anybody may answer; `None` if only who was handed an offer may.
    pub strangers: Option<Strangers>,
    /// Gives announce keys to whoever asks, if anybody may.
    pub mint: Option<Mint>,
    /// Whether `/` answers.
    pub landing_page: bool,
    /// Announce URLs for the landing page.
    pub announce_urls: Vec<AnnounceUrl>,
    /// TLS, if there is a certificate.
    pub tls: Option<Tls>,
    /// Turns true when the program stops.
    pub stopping: watch::Receiver<bool>,
}

/// Limits of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// A request's head must be complete after so long.
    pub head_timeout: Duration,
    /// An idle connection is closed after so long.
    pub idle_timeout: Duration,
    /// A connection is closed after so many requests.
    pub requests_per_connection_max: u32,
    /// Connections of one global address.
    pub connections_per_address_max: u32,
    /// A WebSocket that says nothing for so long is closed.
    pub websocket_idle_timeout: Duration,
    /// Messages of one WebSocket in a minute, if they are limited for its address.
    pub websocket_messages_max: u32,
    /// Whether addresses that are not global have limits, too.
    pub limit_local_addresses: bool,
    /// Who is sent elsewhere.
    pub redirects: Vec<Redirect>,
    /// A scrape of everything is answered while there are no more torrents than so.
    pub full_scrape_torrents_max: u32,
}

impl Shared {
    /// How many connections an address may have.
    fn per_address_max(&self) -> u32 {
        self.limits.load().connections_per_address_max
    }

    /// Whether the program stops. Cheaper than to wait for that, which is said once only.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.has_changed().unwrap_or(true)
    }

    /// Counts of all torrents, if so many may be listed.
    pub(super) fn scrape_all(&self) -> Option<Vec<(InfoHash, Stats)>> {
        match self.limits.load().full_scrape_torrents_max {
            0 => None,
            max => self.node.scrape_all(max),
        }
    }
}

/// A thread's ends of what all threads share.
pub(crate) struct Thread {
    /// Counts HTTP requests.
    pub http: Worker,
    /// Counts WebTorrent messages.
    pub ws: Worker,
    /// Letters for its WebSockets.
    pub mailbox: Mailbox,
    /// Its number.
    pub number: u16,
}

/// What one HTTP thread owns.
struct Local {
    worker: Worker,
    /// Peers on their way into an answer.
    v4: Box<[u8]>,
    v6: Box<[u8]>,
    ids: Ids,
    body: Vec<u8>,
    /// Answers on their way out.
    out: Vec<u8>,
    /// What connections have read in this turn.
    together: Together,
    /// The connections of the thread.
    idle: Rc<RefCell<Idle>>,
    /// Lent to WebSockets.
    web: Rc<RefCell<ws::Local>>,
}

/// Serves connections of `listeners` until the program stops, then lets open requests end.
pub(crate) fn run(shared: &Arc<Shared>, thread: Thread, listeners: Vec<Listener>) -> io::Result<()> {
    const PEERS: usize = evenkeel_wire::limits::REPLY_PEERS_MAX as usize;
    // Its tasks stay on the thread by themselves: a set of them within it would have each woken twice.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_io().enable_time().build_local(LocalOptions::default())?;
    let idle = Rc::<RefCell<Idle>>::default();
    let web = Rc::new(RefCell::new(ws::Local::new(thread.ws, ws::Sockets::new(thread.number))));
    let local = Rc::new(RefCell::new(Local {
        worker: thread.http,
        v4: vec![0; PEERS * 6].into(),
        v6: vec![0; PEERS * 18].into(),
        ids: Ids::default(),
        body: Vec::new(),
        out: Vec::new(),
        together: Together::default(),
        idle: Rc::clone(&idle),
        web: Rc::clone(&web),
    }));
    let (mail_for, mailbox) = (Arc::clone(shared), thread.mailbox);
    let (post_of, outgoing_of) = (Arc::clone(shared), Rc::clone(&web));
    runtime.block_on(async {
        spawn_local(async move { ws::deliver_mail(&mail_for, &web, mailbox).await });
        spawn_local(async move { ws::send_mail(&post_of, &outgoing_of).await });
        let (desk, answers) = (Arc::clone(shared), Rc::clone(&local));
        spawn_local(async move { together::answer(&desk, &answers).await });
        let mut accepting = Vec::new();
        for listener in listeners {
            let task = accept::run(Arc::clone(shared), Rc::clone(&local), listener)?;
            accepting.push(spawn_local(task));
        }
        for task in accepting {
            task.await.map_err(io::Error::other)?;
        }
        // Connections see the same signal: they end after the answer they are writing.
        idle::emptied(&idle).await;
        Ok(())
    })
}

/// Ends when the program stops. What the channel answers holds its lock and is dropped at once: a task that kept it
/// while it waits for something else would lock out the sender, and then every reader of the same thread.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: the program stops, too.
    stopping.wait_for(|stopping| *stopping).await.map(drop).ok();
}
