//! A long test of WebTorrent: thousands of sockets come, announce, offer, answer, and end in every way that
//! there is, while it is checked what they hear; afterwards nothing of them may be left in the tracker.
//!
//! * `plan`: what becomes of a socket, drawn before it opens;
//! * `life`: a socket from its opening to its end;
//! * `world`: what must be true of all sockets together;
//! * `look`: what the tracker says of itself, and the system of it;
//! * `report`: the result.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use url::{Host, Url};

use self::life::{Shared, Stage, reached};
use self::look::{Look, wait_until_empty};
use self::plan::{Draw, Plan};
use self::report::{Ending, Report};
use self::world::{PATIENCE, World};
use crate::sources::Sources;
use crate::system;

mod life;
mod look;
mod plan;
mod report;
mod world;

/// Files of either side beside the sockets, generously.
const OTHER_FILES: u64 = 64;

/// Longest first cycle, after which memory is compared.
const FIRST_CYCLE_MAX: Duration = Duration::from_secs(30);

/// Samples of memory.
const SAMPLES: u32 = 120;

/// How long the tracker has to give memory and files back, once it says that nobody is there; less in short tests.
const TIDY_PATIENCE_MAX: Duration = Duration::from_secs(15);

/// One of how many sockets comes and leaves while memory is given back.
const STIRRED_PART: u16 = 20;

/// What is opened, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The tracker, on this machine: ws://127.0.0.1:6969/announce.
    #[arg(long)]
    url: Url,
    /// Sockets at a time.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u16).range(1..))]
    sockets: u16,
    /// How long they come and go.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// Process of the tracker; without it, neither memory nor files are compared.
    #[arg(long)]
    pid: Option<u32>,
    /// Torrents.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    torrents: u32,
    /// How unequal the torrents are: exponent of Zipf's law.
    #[arg(long, default_value_t = 0.8)]
    zipf: f64,
    /// Mean seconds that a socket lives; some live to the end.
    #[arg(long, default_value_t = 60.0)]
    lifetime: f64,
    /// Mean seconds between the announces of a socket.
    #[arg(long, default_value_t = 10.0)]
    interval: f64,
    /// Offers of each announce.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(..=50))]
    offers: u8,
    /// Addresses that they come from, on IPv4 loopback: 127.1.0.1 and on.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    sources: u16,
    /// Seed of what is left to chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds that the tracker has at the end, to notice who fell silent.
    #[arg(long, default_value_t = 200)]
    wait: u64,
    /// File for the result as Markdown; standard output by default.
    #[arg(long)]
    report: Option<PathBuf>,
    /// File for the result as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A look while it went on.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    secs: f64,
    open: usize,
    look: Look,
}

/// Runs the test, writes what was seen and fails when it was not good.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let target = check(options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stage, heard) = watch::channel(Stage::On);
    let shared = Rc::new(Shared {
        world: RefCell::new(World::new(options.seed, options.torrents)),
        url: options.url.to_string(),
        from: Sources::new(target, None),
        offers: options.offers.into(),
        interval: Duration::from_secs_f64(options.interval),
        stage: heard,
    });
    let test = Test { options, shared, stage, draw: Rc::new(RefCell::new(Draw::new(options))) };
    let report = tokio::task::LocalSet::new().block_on(&runtime, test.run())?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match &options.report {
        Some(path) => std::fs::write(path, report.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?,
        None => print!("{report}"),
    }
    ensure!(report.failures.is_empty(), "{}", report.failures.join("; "));
    Ok(())
}

fn check(options: &Options) -> anyhow::Result<SocketAddr> {
    let ip: IpAddr = match options.url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST.into(),
        other => anyhow::bail!("{other:?} is not an address of this machine's loopback"),
    };
    ensure!(options.url.scheme() == "ws", "--url must begin with ws://");
    ensure!(ip.is_loopback(), "{ip} is not an address of this machine's loopback: this is no weapon");
    let is_time = |number: f64| (0.001..=100_000.0).contains(&number);
    ensure!(
        [options.minutes, options.lifetime, options.interval].into_iter().all(is_time),
        "--minutes, --lifetime and --interval must be above 0, up to 100000"
    );
    ensure!(options.zipf.is_finite() && options.zipf >= 0.0, "--zipf must be 0 or more");
    let needed = u64::from(options.sockets) + OTHER_FILES;
    let files = system::raise_open_files()?;
    ensure!(files >= needed, "{needed} files are needed, and {files} may be open: raise `ulimit -Hn`");
    if let Some(files) = options.pid.and_then(look::files_max) {
        ensure!(files >= needed, "the tracker needs {needed} files and may open {files}: raise its limit");
    }
    Ok(SocketAddr::new(ip, options.url.port_or_known_default().unwrap_or(80)))
}

/// The test under way.
struct Test<'a> {
    options: &'a Options,
    shared: Rc<Shared>,
    stage: watch::Sender<Stage>,
    draw: Rc<RefCell<Draw>>,
}

impl Test<'_> {
    async fn run(self) -> anyhow::Result<Report> {
        let first = (self.whole() / 6).min(FIRST_CYCLE_MAX);
        eprintln!("first cycle: {} sockets come and leave", self.options.sockets);
        let slots = self.open(first / 2);
        sleep(first).await;
        self.stage.send_replace(Stage::Over);
        slots.join_all().await;
        let wait = Duration::from_secs(self.options.wait);
        let (said, _) = wait_until_empty(&self.shared, wait.min(PATIENCE)).await?;
        ensure!(said.is_zero(), "after the first cycle the tracker still has peers: {said:?}");
        let before = self.settle().await?;

        self.draw.borrow_mut().is_polite = false;
        self.stage.send_replace(Stage::On);
        let slots = self.open(first / 2);
        let samples = self.watch().await?;
        self.stage.send_replace(Stage::Over);
        eprintln!("over: waiting for the tracker to forget all peers");
        let (said, emptied) = wait_until_empty(&self.shared, wait).await?;
        self.stage.send_replace(Stage::Released);
        slots.join_all().await;
        let after = self.settle().await?;
        let ending = Ending { before, after, said, emptied_secs: emptied.as_secs_f64() };
        Ok(Report::new(self.options, &self.shared.world.borrow(), samples, &ending))
    }

    /// Keeps as many sockets alive as wanted, the first of which open within `ramp`.
    fn open(&self, ramp: Duration) -> JoinSet<()> {
        let mut slots = JoinSet::new();
        for slot in 0..self.options.sockets {
            let (shared, draw) = (Rc::clone(&self.shared), Rc::clone(&self.draw));
            let begin = ramp * u32::from(slot) / u32::from(self.options.sockets);
            slots.spawn_local(async move {
                let mut stage = shared.stage.clone();
                tokio::select! {
                    () = sleep(begin) => {}
                    () = reached(&mut stage, Stage::Over) => {}
                }
                while *shared.stage.borrow() == Stage::On {
                    let plan = draw.borrow_mut().plan();
                    life::live(Rc::clone(&shared), plan).await;
                }
            });
        }
        slots
    }

    /// How long sockets come and go.
    fn whole(&self) -> Duration {
        Duration::from_secs_f64(self.options.minutes * 60.0)
    }

    /// Looks on while they do, and says how it goes.
    async fn watch(&self) -> anyhow::Result<Vec<Sample>> {
        let whole = self.whole();
        let began = Instant::now();
        let (every, mut next_look) = ((whole / SAMPLES).max(Duration::from_secs(1)), Duration::ZERO);
        let (minute, mut next_word) = ((whole / 6).min(Duration::from_secs(60)), Duration::ZERO);
        let mut samples = Vec::new();
        while began.elapsed() < whole {
            sleep(Duration::from_secs(1).min(whole)).await;
            let now = began.elapsed();
            self.shared.world.borrow_mut().sweep(PATIENCE);
            let look = self.options.pid.map(Look::at).transpose()?.unwrap_or_default();
            let open = self.shared.world.borrow().open_now();
            if now >= next_look {
                next_look = now + every;
                samples.push(Sample { secs: now.as_secs_f64(), open, look });
            }
            if now >= next_word {
                next_word = now + minute;
                self.say(now, open, look);
            }
        }
        Ok(samples)
    }

    fn say(&self, now: Duration, open: usize, look: Look) {
        let world = self.shared.world.borrow();
        let counts = world.counts;
        eprintln!(
            "{:>5} s: {open} open, {} opened, {} replies, {} offers, {} answers, {} errors, {} KiB, {} files",
            now.as_secs(),
            counts.opened,
            counts.replies,
            counts.offers_received,
            counts.answers_received,
            world.wrong.values().sum::<u64>(),
            look.rss_bytes >> 10,
            look.files
        );
    }

    /// Least that the tracker uses once it has had time to give back what it no longer needs. A few sockets come
    /// and leave meanwhile: an allocator gives back when it is called, and an idle thread calls it not.
    async fn settle(&self) -> anyhow::Result<Option<Look>> {
        let Some(pid) = self.options.pid else { return Ok(None) };
        let patience = (self.whole() / 4).min(TIDY_PATIENCE_MAX);
        let began = Instant::now();
        let mut least = Look::at(pid)?;
        while began.elapsed() < patience {
            self.stir().await;
            sleep(Duration::from_millis(500)).await;
            least = least.min(Look::at(pid)?);
        }
        Ok(Some(least))
    }

    /// Some sockets open, announce and leave at once.
    async fn stir(&self) {
        self.draw.borrow_mut().is_polite = true;
        let sockets = (0..self.options.sockets.div_ceil(STIRRED_PART)).map(|_| {
            let plan = Plan { lasts: Some(Duration::ZERO), ..self.draw.borrow_mut().plan() };
            life::live(Rc::clone(&self.shared), plan)
        });
        futures_util::future::join_all(sockets).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parsed(arguments: &str) -> anyhow::Result<Options> {
        let words = std::iter::once("churn").chain(arguments.split_ascii_whitespace());
        Ok(<Line as clap::Parser>::try_parse_from(words)?.options)
    }

    impl Options {
        pub(super) fn example() -> Self {
            parsed("--url ws://127.0.0.1:1").unwrap()
        }
    }

    #[test]
    fn only_loopback_is_tested() {
        let checked = |arguments: &str| check(&parsed(arguments)?);
        assert_eq!(checked("--url ws://127.0.0.1:1/x").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(checked("--url ws://localhost:7").unwrap().to_string(), "127.0.0.1:7");
        assert_eq!(checked("--url ws://[::1]").unwrap().to_string(), "[::1]:80");
        for wrong in [
            "ws://192.0.2.1:1",
            "ws://tracker.example",
            "http://127.0.0.1",
            "ws://127.0.0.1 --minutes 0",
            "ws://127.0.0.1 --zipf -1",
            "ws://127.0.0.1 --pid 1 --sockets 65535 --interval NaN",
        ] {
            assert!(checked(&format!("--url {wrong}")).is_err(), "{wrong}");
        }
    }
}
