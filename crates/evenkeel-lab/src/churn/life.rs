//! The life of one socket, from its opening to its end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use evenkeel_wire::InfoHash;
use futures_util::{SinkExt as _, StreamExt as _};
use socket2::{SockRef, Type};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_websockets::{ClientBuilder, Message, WebSocketStream};

use super::look::SCRAPE_MAX;
use super::plan::{End, Plan};
use super::world::{Asked, PATIENCE, World, Wrong};
use crate::sources::{Intent, Sources};
use crate::webtorrent::{self, Announcing, Heard};

/// Share of the offers that are answered.
const ANSWERED: f64 = 0.9;

/// Share of the later announces that say `completed`.
const COMPLETED: f64 = 0.02;

/// Receive buffer of a socket that never reads; the system takes the least that it can.
const SLOW_BUFFER: usize = 2_048;

/// How many times more often than others one that never reads asks. It asks for scrapes, whose answers are long: they
/// soon fill what the system keeps for it, and then what the server keeps.
const SLOW_HASTE: u32 = 50;

/// How long one that never reads waits for room to write.
const SLOW_PATIENCE: Duration = Duration::from_secs(2);

/// Seconds that a silent socket stays open: for some the server must act by itself.
const SILENT_SECS: std::ops::Range<u64> = 30..180;

/// Where the test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Sockets come and go.
    On,
    /// All end, each in its own way.
    Over,
    /// Those that are silent may go, too.
    Released,
}

/// What all sockets share.
pub(super) struct Shared {
    pub world: RefCell<World>,
    pub url: String,
    pub from: Sources,
    pub offers: u32,
    /// Mean time between the announces of a socket.
    pub interval: Duration,
    pub stage: watch::Receiver<Stage>,
}

impl Shared {
    fn wrong(&self, what: Wrong, text: impl FnOnce() -> String) {
        self.world.borrow_mut().wrong(what, text);
    }

    /// As many torrents as one scrape may name.
    fn some_hashes(&self) -> Vec<InfoHash> {
        self.world.borrow().hashes().iter().take(SCRAPE_MAX).copied().collect()
    }

    /// Opens a socket from one of the sources.
    pub(super) async fn open(&self, source: u16, reads: bool) -> anyhow::Result<WebSocketStream<TcpStream>> {
        let socket = self.from.socket(Type::STREAM, Intent::Good, source)?;
        socket.set_nonblocking(true)?;
        if !reads {
            socket.set_recv_buffer_size(SLOW_BUFFER)?;
        }
        let opening = async {
            let stream =
                TcpSocket::from_std_stream(StdStream::from(socket)).connect(self.from.target()).await?;
            let (socket, _) = ClientBuilder::new().uri(&self.url)?.connect_on(stream).await?;
            anyhow::Ok(socket)
        };
        timeout(PATIENCE, opening).await.context("no answer in time")?
    }
}

/// Waits until the test stands there.
pub(super) async fn reached(stage: &mut watch::Receiver<Stage>, at: Stage) {
    // Whoever says where it stands outlives all sockets; were it gone, the test would be over.
    drop(stage.wait_for(|now| *now >= at).await);
}

/// Lives one life.
pub(super) async fn live(shared: Rc<Shared>, plan: Plan) {
    let socket = match shared.open(plan.source, plan.reads).await {
        Ok(socket) => socket,
        Err(error) => {
            shared.wrong(Wrong::NotOpened, || format!("{error:#}"));
            sleep(Duration::from_secs(1)).await;
            return;
        }
    };
    shared.world.borrow_mut().open(&plan);
    let slots = plan.torrents.len();
    let mut rng = fastrand::Rng::with_seed(plan.seed);
    let mut life = Life {
        shared: Rc::clone(&shared),
        socket,
        asked: vec![VecDeque::new(); slots],
        is_settled: vec![false; slots],
        is_seeder: (0..slots).map(|_| rng.bool()).collect(),
        is_leaving: false,
        rng,
        plan,
    };
    let is_told = match life.behave().await {
        Ok(()) if life.plan.reads => life.end().await,
        Ok(()) => life.reset(),
        Err(Broken(_)) if !life.plan.reads => {
            shared.world.borrow_mut().counts.slow_closed += 1;
            false
        }
        Err(Broken(text)) => {
            shared.wrong(Wrong::Broken, || text);
            false
        }
    };
    life.leave();
    let Life { plan, socket, .. } = life;
    drop(socket);
    shared.world.borrow_mut().close(plan.number);
    if is_told {
        shared.world.borrow_mut().gone(&plan.torrents);
    } else {
        tokio::task::spawn_local(async move {
            sleep(PATIENCE).await;
            shared.world.borrow_mut().gone(&plan.torrents);
        });
    }
}

/// The socket is of no more use.
struct Broken(String);

struct Life {
    shared: Rc<Shared>,
    plan: Plan,
    socket: WebSocketStream<TcpStream>,
    /// Announces of each torrent that wait for their replies, oldest first.
    asked: Vec<VecDeque<Asked>>,
    /// Torrents for which there was a reply.
    is_settled: Vec<bool>,
    is_seeder: Vec<bool>,
    is_leaving: bool,
    rng: fastrand::Rng,
}

impl Life {
    /// Announces, listens and answers until it is time to end.
    async fn behave(&mut self) -> Result<(), Broken> {
        for slot in 0..self.plan.torrents.len() {
            self.announce(slot, "started").await?;
        }
        let mut stage = self.shared.stage.clone();
        let end = self.plan.lasts.map(|lasts| Instant::now() + lasts);
        let mut next = Instant::now() + self.pause();
        loop {
            tokio::select! {
                message = self.socket.next(), if self.plan.reads => self.hear(message).await?,
                () = sleep_until(next), if !self.plan.reads => {
                    let text = webtorrent::scrape(&self.shared.some_hashes());
                    self.send(text).await?;
                    next = Instant::now() + self.shared.interval / SLOW_HASTE;
                }
                () = sleep_until(next), if self.plan.reads => {
                    let slot = self.rng.usize(..self.plan.torrents.len());
                    let completes = !self.is_seeder[slot] && self.rng.f64() < COMPLETED;
                    self.is_seeder[slot] |= completes;
                    self.announce(slot, if completes { "completed" } else { "" }).await?;
                    next = Instant::now() + self.pause();
                }
                () = sleep_until(end.unwrap_or(next)), if end.is_some() => return Ok(()),
                () = reached(&mut stage, Stage::Over) => return Ok(()),
            }
        }
    }

    fn pause(&mut self) -> Duration {
        self.shared.interval.mul_f64(0.5 + self.rng.f64())
    }

    async fn announce(&mut self, slot: usize, event: &'static str) -> Result<(), Broken> {
        let torrent = self.plan.torrents[slot];
        let is_last = event == "stopped";
        let text = {
            let mut world = self.shared.world.borrow_mut();
            if self.asked[slot].front().is_some_and(|asked| asked.at.elapsed() > PATIENCE) {
                self.asked[slot].pop_front();
                world.wrong(Wrong::Unanswered, || format!("socket {}", self.plan.number));
            }
            let asked = world.ask(torrent, !is_last && !self.is_settled[slot]);
            if self.plan.reads {
                self.asked[slot].push_back(asked);
            }
            let offers = if is_last { 0 } else { self.shared.offers };
            let first = world.offer(self.plan.number, torrent, offers);
            let said = Announcing {
                info_hash: &world.hashes()[torrent],
                peer_id: &self.plan.peer_id(slot),
                left: if self.is_seeder[slot] { 0 } else { 1 << 30 },
                event,
            };
            webtorrent::announce(&said, first, offers)
        };
        self.send(text).await
    }

    async fn send(&mut self, text: String) -> Result<(), Broken> {
        let patience = if self.plan.reads { PATIENCE } else { SLOW_PATIENCE };
        match timeout(patience, self.socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            // The server reads no more from one that does not read: as it should be.
            Err(_) if !self.plan.reads => Ok(()),
            Ok(Err(error)) => Err(Broken(format!("while writing: {error}"))),
            Err(_) => Err(Broken("the server reads no more".into())),
        }
    }

    /// Takes what came in.
    async fn hear(
        &mut self,
        message: Option<Result<Message, tokio_websockets::Error>>,
    ) -> Result<(), Broken> {
        let message = match message {
            None => return Err(Broken("the server closed it".into())),
            Some(Err(error)) => return Err(Broken(format!("while reading: {error}"))),
            Some(Ok(message)) => message,
        };
        let Some(text) = message.as_text() else { return Ok(()) };
        let answer = self.sort(text);
        match answer {
            Some(answer) => self.send(answer).await,
            None => Ok(()),
        }
    }

    /// Checks a message; answers the text to send for it.
    fn sort(&mut self, text: &str) -> Option<String> {
        let mut world = self.shared.world.borrow_mut();
        match webtorrent::read(text) {
            Ok(Heard::Counts { info_hash, peers }) => {
                let torrent = world.torrent(&info_hash);
                let slot = self.plan.torrents.iter().position(|own| Some(*own) == torrent);
                let Some((slot, asked)) = slot.and_then(|slot| Some((slot, self.asked[slot].pop_front()?)))
                else {
                    world.wrong(Wrong::Malformed, || format!("a reply that nobody asked for: {text}"));
                    return None;
                };
                world.reply(self.plan.torrents[slot], &asked, peers);
                if !self.is_settled[slot] && !self.is_leaving {
                    self.is_settled[slot] = true;
                    world.settle(self.plan.torrents[slot]);
                }
            }
            Ok(Heard::Offer(offer)) => {
                let number = world.hear_offer(&self.plan, &offer)?;
                if !self.is_leaving && self.rng.f64() < ANSWERED {
                    let torrent = world.torrent(&offer.info_hash);
                    let slot = self.plan.torrents.iter().position(|own| Some(*own) == torrent)?;
                    world.answer(self.plan.number, number);
                    return Some(webtorrent::answer(&offer, &self.plan.peer_id(slot), number));
                }
            }
            Ok(Heard::Answer(answer)) => world.hear_answer(self.plan.number, &answer),
            Ok(Heard::Failure(reason)) => world.wrong(Wrong::Refused, || reason.into_owned()),
            Ok(Heard::Scraped(_)) => {
                world.wrong(Wrong::Malformed, || "a scrape that nobody asked for".into());
            }
            Err(error) => world.wrong(Wrong::Malformed, || format!("{error:#}")),
        }
        None
    }

    /// From now on nobody may count on this socket.
    fn leave(&mut self) {
        if !self.is_leaving {
            self.is_leaving = true;
            let settled = self.plan.torrents.iter().zip(&self.is_settled).filter(|(_, is)| **is);
            self.shared.world.borrow_mut().leave(self.plan.number, settled.map(|(torrent, _)| *torrent));
        }
    }

    /// Ends as planned. Answers whether the server has confirmed that its peers left.
    async fn end(&mut self) -> bool {
        self.leave();
        let end = self.plan.end;
        if let Some(at) = End::ALL.iter().position(|other| *other == end) {
            self.shared.world.borrow_mut().counts.ends[at] += 1;
        }
        match end {
            End::Stopped => match self.stop().await {
                Ok(()) => {
                    self.close().await;
                    true
                }
                Err(Broken(text)) => {
                    self.shared.wrong(Wrong::Broken, || text);
                    false
                }
            },
            End::Closed => {
                self.close().await;
                false
            }
            End::Reset => self.reset(),
            End::Truncated => {
                self.cut().await;
                false
            }
            End::Silent => {
                self.fall_silent().await;
                false
            }
        }
    }

    /// Says `stopped` for each torrent and waits for the replies.
    async fn stop(&mut self) -> Result<(), Broken> {
        for slot in 0..self.plan.torrents.len() {
            self.announce(slot, "stopped").await?;
        }
        let until = Instant::now() + PATIENCE;
        while self.asked.iter().any(|asked| !asked.is_empty()) {
            tokio::select! {
                message = self.socket.next() => self.hear(message).await?,
                () = sleep_until(until) => {
                    self.shared.wrong(Wrong::Unanswered, || "`stopped`".into());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn close(&mut self) {
        if timeout(PATIENCE, self.socket.close()).await.is_err() {
            self.shared.wrong(Wrong::CloseUnanswered, || format!("socket {}", self.plan.number));
        }
    }

    fn reset(&self) -> bool {
        // A socket that the server has closed meanwhile cannot be reset, and need not be.
        SockRef::from(self.socket.get_ref()).set_linger(Some(Duration::ZERO)).ok();
        false
    }

    /// Sends the first half of a frame.
    async fn cut(&mut self) {
        let len = 4_096_u16;
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend_from_slice(&len.to_be_bytes());
        // A mask of zeros: the text is sent as it is.
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(br#"{"action":"announce","info_hash":""#);
        frame.resize(usize::from(len) / 2, b'a');
        // Who is cut off does not care whether it arrives.
        drop(timeout(PATIENCE, self.socket.get_mut().write_all(&frame)).await);
    }

    /// Keeps the socket and does nothing with it.
    async fn fall_silent(&mut self) {
        let secs = self.rng.u64(SILENT_SECS);
        let mut stage = self.shared.stage.clone();
        let held = async {
            sleep(Duration::from_secs(secs)).await;
            // When the test is over it is the server that must end it.
            if *self.shared.stage.borrow() >= Stage::Over {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = held => {}
            () = reached(&mut stage, Stage::Released) => {}
        }
        let mut bytes = [0; 65_536];
        let is_closed = loop {
            match self.socket.get_ref().try_read(&mut bytes) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Ok(0) | Err(_) => break true,
            }
        };
        self.shared.world.borrow_mut().counts.silent_closed += u64::from(is_closed);
    }
}
