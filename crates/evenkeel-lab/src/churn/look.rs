//! What the tracker says of itself, and what the system says of the tracker.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use evenkeel_wire::InfoHash;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_websockets::Message;

use super::life::Shared;
use super::world::PATIENCE;
use crate::load::process::Usage;
use crate::webtorrent::{self, Heard};

/// Torrents of one scrape.
pub(super) const SCRAPE_MAX: usize = 50;

/// Memory and files of the tracker.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Look {
    pub rss_bytes: u64,
    pub files: usize,
}

impl Look {
    pub(super) fn at(pid: u32) -> anyhow::Result<Self> {
        let read = || -> std::io::Result<Self> {
            let rss_bytes = Usage::of(&pid.to_string())?.rss_bytes;
            Ok(Self { rss_bytes, files: std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() })
        };
        read().with_context(|| format!("cannot read what process {pid} uses: is it gone?"))
    }

    /// The least of both figures.
    pub(super) fn min(self, other: Self) -> Self {
        Self { rss_bytes: self.rss_bytes.min(other.rss_bytes), files: self.files.min(other.files) }
    }
}

/// Files that a process may open; `None` where the system does not say, or sets no limit.
pub(super) fn files_max(pid: u32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Peers that the tracker says it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(super) struct Said {
    /// Of all torrents together, by scrape.
    pub scraped: u64,
    /// By `/stats.json`; `None` where there is no such page.
    pub stats: Option<u64>,
}

impl Said {
    pub(super) fn is_zero(self) -> bool {
        self.scraped == 0 && self.stats.is_none_or(|peers| peers == 0)
    }

    /// Asks for all torrents, each by itself.
    pub(super) async fn ask(shared: &Shared) -> anyhow::Result<Self> {
        let hashes = shared.world.borrow().hashes().to_vec();
        let scraped = timeout(PATIENCE, scrape(shared, &hashes)).await.context("no scrape in time")??;
        let stats = timeout(PATIENCE, stats(shared)).await.context("no statistics in time")??;
        Ok(Self { scraped, stats })
    }
}

async fn scrape(shared: &Shared, hashes: &[InfoHash]) -> anyhow::Result<u64> {
    let mut socket = shared.open(0, true).await?;
    let mut peers = 0;
    for chunk in hashes.chunks(SCRAPE_MAX) {
        socket.send(Message::text(webtorrent::scrape(chunk))).await?;
        let message = socket.next().await.context("closed before the scrape was answered")??;
        match webtorrent::read(message.as_text().context("no text")?)? {
            // A torrent that is not named is one that the tracker has forgotten.
            Heard::Scraped(files) => peers += files.iter().map(|(_, peers)| peers).sum::<u64>(),
            other => bail!("a scrape was answered by {other:?}"),
        }
    }
    socket.close().await?;
    Ok(peers)
}

async fn stats(shared: &Shared) -> anyhow::Result<Option<u64>> {
    let target = shared.from.target();
    let mut stream = TcpStream::connect(target).await?;
    let request = format!("GET /stats.json HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    if text.split(' ').nth(1) == Some("404") {
        return Ok(None);
    }
    let (head, body) = text.split_once("\r\n\r\n").context("no HTTP")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "/stats.json: {head}");
    let stats: serde_json::Value = serde_json::from_str(body)?;
    Ok(Some(stats["peersAll"].as_u64().context("/stats.json names no peersAll")?))
}

/// Asks until the tracker says that nobody is there, or for `patience`. Answers what it said last, and when.
pub(super) async fn wait_until_empty(
    shared: &Shared,
    patience: Duration,
) -> anyhow::Result<(Said, Duration)> {
    let began = std::time::Instant::now();
    loop {
        let said = Said::ask(shared).await?;
        if said.is_zero() || began.elapsed() >= patience {
            return Ok((said, began.elapsed()));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
