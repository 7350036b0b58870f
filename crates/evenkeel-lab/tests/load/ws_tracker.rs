//! A WebTorrent tracker of one thread that can be seen through, and can misbehave.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_websockets::{Message, ServerBuilder};

/// What it does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Keeps the peers of a socket that closed without `stopped`.
    KeepsTheClosed,
    /// Brings answers to somebody else of the swarm.
    MisroutesAnswers,
    /// Brings answers twice.
    RepeatsAnswers,
    /// Hands the first offer to its maker.
    ReturnsOffers,
    /// Counts one peer too many.
    Miscounts,
    /// Refuses everything.
    Refuses,
    /// Closes each socket at its third message.
    Hangs,
}

/// How long a socket may be silent, or not take what is sent to it.
const IDLE: Duration = Duration::from_secs(3);

/// The tracker. Its thread ends with the test's process.
pub(crate) struct WsTracker {
    pub address: SocketAddr,
    peers: Arc<AtomicUsize>,
}

impl WsTracker {
    pub(crate) fn start(fault: Fault) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let peers = Arc::new(AtomicUsize::new(0));
        let state = Arc::clone(&peers);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::from_std(listener).unwrap();
                let state = Rc::new(RefCell::new(State { fault, peers: state, ..State::default() }));
                for socket in 0.. {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::task::spawn_local(serve(Rc::clone(&state), stream, socket));
                }
            });
        });
        Self { address, peers }
    }

    /// Peers that it has.
    pub(crate) fn peers(&self) -> usize {
        self.peers.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct State {
    fault: Fault,
    peers: Arc<AtomicUsize>,
    /// By info hash and peer id: the socket, and whether it seeds.
    swarms: HashMap<String, HashMap<String, (u64, bool)>>,
    sockets: HashMap<u64, UnboundedSender<String>>,
}

async fn serve(state: Rc<RefCell<State>>, mut stream: TcpStream, number: u64) {
    let mut head = [0; 16];
    while matches!(stream.peek(&mut head).await, Ok(1..16)) {
        tokio::task::yield_now().await;
    }
    if head.starts_with(b"GET /stats.json") {
        // Closed with something unread, it would end in a reset.
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n").await.ok();
        return;
    }
    let Ok((_, mut socket)) = ServerBuilder::new().accept(stream).await else { return };
    let (sender, mut outgoing) = unbounded_channel();
    state.borrow_mut().sockets.insert(number, sender);
    for heard in 0.. {
        tokio::select! {
            message = timeout(IDLE, socket.next()) => {
                let Ok(Some(Ok(message))) = message else { break };
                if let Some(text) = message.as_text() {
                    state.borrow_mut().take(number, text);
                }
                if heard > 3 && state.borrow().fault == Fault::Hangs {
                    break;
                }
            }
            Some(text) = outgoing.recv() => {
                if !matches!(timeout(IDLE, socket.send(Message::text(text))).await, Ok(Ok(()))) {
                    break;
                }
            }
        }
    }
    state.borrow_mut().close(number);
}

impl State {
    fn take(&mut self, from: u64, text: &str) {
        let mut message: Value = serde_json::from_str(text).unwrap();
        if self.fault == Fault::Refuses {
            return self.send(from, &json!({ "action": "announce", "failure reason": "not today" }));
        }
        if message["action"] == "scrape" {
            let files = message["info_hash"].as_array().unwrap().iter().map(|hash| {
                let (complete, incomplete) = self.counts(hash.as_str().unwrap());
                (hash.as_str().unwrap(), json!({ "complete": complete, "incomplete": incomplete }))
            });
            let files: HashMap<_, _> = files.collect();
            return self.send(from, &json!({ "action": "scrape", "files": files }));
        }
        let text_of = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let (hash, peer_id, to) = (text_of("info_hash"), text_of("peer_id"), text_of("to_peer_id"));
        let is_stopped = message["event"] == "stopped";
        let is_seeder = message["left"] == 0;
        let mut relay = json!({ "action": "announce", "info_hash": hash, "peer_id": peer_id });
        if message.get("answer").is_some() {
            relay["answer"] = message["answer"].take();
            relay["offer_id"] = message["offer_id"].take();
            return self.answer(from, &relay, (&hash, &to));
        }
        let swarm = self.swarms.entry(hash.clone()).or_default();
        if is_stopped {
            swarm.remove(&peer_id);
        } else {
            swarm.insert(peer_id, (from, is_seeder));
        }
        self.peers.store(self.swarms.values().map(HashMap::len).sum(), Ordering::Relaxed);
        let (complete, mut incomplete) = self.counts(&hash);
        incomplete += usize::from(self.fault == Fault::Miscounts) * 1_000;
        let counts = json!({
            "action": "announce", "info_hash": hash, "interval": 120, "complete": complete, "incomplete": incomplete,
        });
        self.send(from, &counts);
        let others: Vec<u64> =
            self.swarms[&hash].values().map(|(socket, _)| *socket).filter(|to| *to != from).collect();
        let mut offers = message["offers"].as_array_mut().unwrap().iter_mut();
        if self.fault == Fault::ReturnsOffers {
            self.send_offer(from, &relay, offers.next());
        }
        for (to, offer) in others.into_iter().zip(offers) {
            self.send_offer(to, &relay, Some(offer));
        }
    }

    fn send_offer(&self, to: u64, relay: &Value, offer: Option<&mut Value>) {
        if let Some(offer) = offer {
            let mut relay = relay.clone();
            relay["offer"] = offer["offer"].take();
            relay["offer_id"] = offer["offer_id"].take();
            self.send(to, &relay);
        }
    }

    fn answer(&self, from: u64, relay: &Value, (hash, to): (&str, &str)) {
        let Some((right, _)) = self.swarms.get(hash).and_then(|swarm| swarm.get(to)) else { return };
        let wrong = self.swarms[hash].values().map(|(socket, _)| socket);
        let to = match self.fault {
            Fault::MisroutesAnswers => wrong.copied().find(|socket| *socket != *right).unwrap_or(from),
            _ => *right,
        };
        self.send(to, relay);
        if self.fault == Fault::RepeatsAnswers {
            self.send(to, relay);
        }
    }

    fn counts(&self, hash: &str) -> (usize, usize) {
        let Some(swarm) = self.swarms.get(hash) else { return (0, 0) };
        let complete = swarm.values().filter(|(_, is_seeder)| *is_seeder).count();
        (complete, swarm.len() - complete)
    }

    fn send(&self, to: u64, message: &Value) {
        if let Some(socket) = self.sockets.get(&to) {
            // Whoever has just closed does not hear it.
            socket.send(message.to_string()).ok();
        }
    }

    fn close(&mut self, number: u64) {
        self.sockets.remove(&number);
        if self.fault != Fault::KeepsTheClosed {
            self.swarms.values_mut().for_each(|swarm| swarm.retain(|_, (socket, _)| *socket != number));
        }
    }
}
