//! Clients that mean ill, over TCP, beside those that a load counts: they drip, pour, break frames and never read, each on
//! a connection of its own that is opened anew when it has ended.
//!
//! They have a thread of their own, so that they keep nobody waiting but the tracker.

mod manner;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::Serialize;
use socket2::Type;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use self::manner::{Act, Manner, UPGRADE};
use crate::sources::{Intent, Sources};

/// A connection that the tracker ought to end is given up after so long: longer than any of its limits for such, and than
/// it takes to fill what the system buffers for somebody who never reads.
const LONGEST: Duration = Duration::from_secs(60);
/// Pause before the next connection, in milliseconds: ill will is not to win by numbers.
const PAUSE_MILLIS: std::ops::Range<u64> = 50..150;
/// Addresses that they come from.
const ADDRESSES: u16 = 64;
/// What a client takes in that never reads.
const DEAF_BYTES: usize = 4096;

/// What became of them, from the begin of the load to its end.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Seen {
    /// Connections that were opened.
    pub opened: u64,
    /// Those that the tracker ended.
    pub ended: u64,
    /// Those that it ought to have ended and did not.
    pub outlived: u64,
    pub bytes_sent: u64,
    pub bytes_back: u64,
}

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    ended: AtomicU64,
    outlived: AtomicU64,
    sent: AtomicU64,
    back: AtomicU64,
}

/// The crowd under way.
pub(crate) struct Crowd {
    stop: oneshot::Sender<()>,
    counts: Arc<Counts>,
    thread: JoinHandle<io::Result<()>>,
}

impl Crowd {
    /// So many connections at a time, over HTTP or over WebSockets.
    pub(crate) fn start(from: Sources, connections: u32, is_websocket: bool, seed: u64) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let counts = Arc::<Counts>::default();
        let for_thread = Arc::clone(&counts);
        let thread = std::thread::Builder::new().name("hostile".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let manners = if is_websocket { &Manner::OVER_WEBSOCKET[..] } else { &Manner::OVER_HTTP[..] };
            runtime.block_on(async {
                for number in 0..connections {
                    let mut one = One {
                        from,
                        address: u16::try_from(number).unwrap_or(u16::MAX) % ADDRESSES,
                        manners,
                        counts: Arc::clone(&for_thread),
                        rng: fastrand::Rng::with_seed(seed ^ u64::from(number)),
                    };
                    tokio::spawn(async move { one.run().await });
                }
                // An error means that nobody waits for us any more.
                stopped.await.ok();
            });
            Ok(())
        })?;
        Ok(Self { stop, counts, thread })
    }

    /// Ends them all.
    pub(crate) fn stop(self) -> anyhow::Result<Seen> {
        // It has ended by itself if it does not listen any more, and says below why.
        self.stop.send(()).ok();
        let ended = self.thread.join().map_err(|_| anyhow!("the thread of the hostile clients panicked"))?;
        ended.context("the hostile clients cannot go on")?;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { opened, ended, outlived, sent, back } = &*self.counts;
        Ok(Seen {
            opened: of(opened),
            ended: of(ended),
            outlived: of(outlived),
            bytes_sent: of(sent),
            bytes_back: of(back),
        })
    }
}

/// One client: one connection after the other.
struct One {
    from: Sources,
    address: u16,
    manners: &'static [Manner],
    counts: Arc<Counts>,
    rng: fastrand::Rng,
}

impl One {
    async fn run(&mut self) {
        loop {
            let manner = self.manners[self.rng.usize(..self.manners.len())];
            let act = manner.act(&mut self.rng);
            // A tracker that refuses the connection has ended it.
            if let Ok(mut stream) = self.dial(act.listens).await {
                add(&self.counts.opened, 1);
                match timeout(LONGEST, self.perform(&mut stream, &act)).await {
                    Ok(End::ByTracker) => add(&self.counts.ended, 1),
                    Ok(End::ByUs) => {}
                    Err(_) => add(&self.counts.outlived, act.must_end.into()),
                }
            }
            sleep(Duration::from_millis(self.rng.u64(PAUSE_MILLIS))).await;
        }
    }

    async fn dial(&self, listens: bool) -> io::Result<TcpStream> {
        let socket = self.from.socket(Type::STREAM, Intent::Hostile, self.address)?;
        if !listens {
            socket.set_recv_buffer_size(DEAF_BYTES)?;
        }
        socket.set_nonblocking(true)?;
        TcpSocket::from_std_stream(socket.into()).connect(self.from.target()).await
    }

    /// Says what is to be said, and waits for the end.
    async fn perform(&self, stream: &mut TcpStream, act: &Act) -> End {
        if act.is_upgraded && upgrade(stream).await.is_err() {
            return End::ByTracker;
        }
        let (read, write) = stream.split();
        if !act.listens {
            // Who reads nothing learns of the end when it cannot write.
            return match self.pour(write, act).await {
                Err(_) => End::ByTracker,
                Ok(()) => std::future::pending().await,
            };
        }
        let pouring = async {
            let poured = self.pour(write, act).await;
            // What the tracker says may still be on its way, and whoever must be ended waits for that.
            if poured.is_err() || act.must_end {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.drain(read) => End::ByTracker,
            () = pouring => End::ByUs,
        }
    }

    async fn pour(&self, mut write: WriteHalf<'_>, act: &Act) -> io::Result<()> {
        write.write_all(&act.first).await?;
        add(&self.counts.sent, act.first.len() as u64);
        for _ in 0..act.times {
            write.write_all(&act.again).await?;
            add(&self.counts.sent, act.again.len() as u64);
            sleep(act.pause).await;
        }
        Ok(())
    }

    /// Reads until the end, be it a reset.
    async fn drain(&self, mut read: ReadHalf<'_>) {
        let mut room = [0; 4096];
        while let Ok(len @ 1..) = read.read(&mut room).await {
            add(&self.counts.back, len as u64);
        }
    }
}

/// Who ended a connection.
enum End {
    ByTracker,
    ByUs,
}

/// Becomes a WebSocket; what comes behind the head of the answer is nothing that matters.
async fn upgrade(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(UPGRADE).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(())
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
