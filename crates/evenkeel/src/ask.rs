//! Commands that ask a tracker: `evenkeel announce` and `evenkeel scrape`.

pub(crate) mod probe;
pub(crate) mod torrent;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use evenkeel_client::{
    Announce, AnnounceResponse, Client, Event, Family, InfoHash, Key, PeerId, ScrapeResponse, Tracker,
};
use serde_json::{Value, json};

/// How the tracker is asked.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct How {
    /// The family of addresses to use.
    #[arg(long, value_enum, default_value_t = OfFamily::Any)]
    family: OfFamily,
    /// Seconds to wait for an answer, all tries together.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout_secs: u16,
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OfFamily {
    Any,
    V4,
    V6,
}

/// An announce as the command line has it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct AnnounceArgs {
    /// Announce URL: http, https, udp, ws or wss.
    url: String,
    /// Info hash (40 or 64 hex digits, 32 of base32), magnet link or .torrent file.
    torrent: String,
    /// Port on which the peer is said to listen.
    #[arg(long, default_value_t = 6881, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Bytes still missing; 0 announces a seeder.
    #[arg(long, default_value_t = 1)]
    left: u64,
    /// Peers wanted.
    #[arg(long, default_value_t = 50)]
    numwant: u32,
    /// Stays in the swarm. Without this, a second announce says `stopped`. Not over ws and wss: there a peer
    /// leaves when its socket closes.
    #[arg(long)]
    stay: bool,
    #[command(flatten)]
    how: How,
}

/// A scrape as the command line has it.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ScrapeArgs {
    /// Announce URL of the tracker: http, https, udp, ws or wss.
    url: String,
    /// Info hashes, magnet links or .torrent files.
    #[arg(required = true)]
    torrents: Vec<String>,
    #[command(flatten)]
    how: How,
}

/// Announces a peer, says what the tracker answers, and takes the peer out again.
pub(crate) fn announce(args: &AnnounceArgs) -> anyhow::Result<String> {
    let hashes = torrent::info_hashes(&args.torrent)?;
    let tracker = client(&args.how)?.tracker(&args.url)?;
    let leaves_by_itself = is_webtorrent(&tracker);
    ensure!(
        !(args.stay && leaves_by_itself),
        "a peer of WebTorrent cannot stay: it leaves when its socket closes"
    );
    run(async {
        let mut answers = Vec::new();
        for info_hash in hashes {
            let started = Announce {
                info_hash,
                peer_id: peer_id()?,
                port: args.port,
                uploaded: 0,
                downloaded: 0,
                left: Some(args.left),
                event: Event::Started,
                numwant: Some(args.numwant),
                key: Key::NONE,
            };
            answers.push((info_hash, tracker.announce(&started).await?));
            if !(args.stay || leaves_by_itself) {
                let stopped = Announce { event: Event::Stopped, numwant: Some(0), ..started };
                tracker.announce(&stopped).await.context("the peer could not be taken out again")?;
            }
        }
        Ok(if args.how.json { announced_json(&answers) } else { announced_text(&answers, !leaves_by_itself) })
    })
}

/// Asks for the counts of torrents.
pub(crate) fn scrape(args: &ScrapeArgs) -> anyhow::Result<String> {
    let mut hashes = Vec::new();
    for torrent in &args.torrents {
        hashes.extend(torrent::info_hashes(torrent)?);
    }
    let tracker = client(&args.how)?.tracker(&args.url)?;
    let response = run(async { Ok(tracker.scrape(&hashes).await?) })?;
    Ok(if args.how.json { scraped_json(&hashes, &response) } else { scraped_text(&hashes, &response) })
}

fn client(how: &How) -> anyhow::Result<Client> {
    let family = match how.family {
        OfFamily::Any => Family::Any,
        OfFamily::V4 => Family::V4,
        OfFamily::V6 => Family::V6,
    };
    Ok(client_for(family, Duration::from_secs(how.timeout_secs.into()))?)
}

/// A client for people who wait: over UDP it asks again after seconds, not after the quarter minutes of BEP 15.
fn client_for(family: Family, deadline: Duration) -> Result<Client, evenkeel_client::Error> {
    let first = Duration::from_secs(2).min(deadline);
    let builder = Client::builder().family(family).deadline(deadline).request_timeout(deadline);
    builder.udp_first_timeout(first).build()
}

fn is_webtorrent(tracker: &Tracker) -> bool {
    tracker.to_string().starts_with("ws")
}

fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// A peer id of this program, random for the rest.
fn peer_id() -> anyhow::Result<PeerId> {
    let mut id = PeerId(*b"-EK0100-            ");
    getrandom::fill(&mut id.0[8..]).map_err(std::io::Error::other)?;
    // Letters only: some trackers and all terminals are happier.
    id.0[8..].iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
    Ok(id)
}

/// Peers of WebTorrent are not `handed_out`: they call those who offer.
fn announced_text(answers: &[(InfoHash, AnnounceResponse)], handed_out: bool) -> String {
    let mut text = String::new();
    for (info_hash, answer) in answers {
        let count =
            |count: Option<u32>| count.map_or_else(|| "not said".to_owned(), |count| count.to_string());
        let mut line = |name: &str, value: &str| {
            let written = writeln!(text, "{name:<12}{}", printable(value));
            debug_assert!(written.is_ok(), "a String takes any text");
        };
        line("info hash", &info_hash.to_string());
        line("seeders", &count(answer.seeders));
        line("leechers", &count(answer.leechers));
        line("next", &format!("in {} s", answer.next_announce().as_secs()));
        if let Some(ip) = answer.external_ip {
            line("you are", &ip.to_string());
        }
        if let Some(warning) = &answer.warning {
            line("warning", warning);
        }
        if handed_out {
            line("peers", &answer.peers.len().to_string());
            answer.peers.iter().for_each(|peer| line("", &peer.addr.to_string()));
        }
    }
    text
}

fn announced_json(answers: &[(InfoHash, AnnounceResponse)]) -> String {
    let one = |(info_hash, answer): &(InfoHash, AnnounceResponse)| {
        json!({
            "info_hash": info_hash.to_string(),
            "seeders": answer.seeders,
            "leechers": answer.leechers,
            "downloaded": answer.downloaded,
            "interval_secs": answer.interval.map(|interval| interval.as_secs()),
            "min_interval_secs": answer.min_interval.map(|interval| interval.as_secs()),
            "external_ip": answer.external_ip,
            "warning": answer.warning,
            "peers": answer.peers.iter().map(|peer| peer.addr.to_string()).collect::<Vec<_>>(),
        })
    };
    format!("{:#}\n", Value::Array(answers.iter().map(one).collect()))
}

fn scraped_text(hashes: &[InfoHash], response: &ScrapeResponse) -> String {
    let mut text = format!("{:<40}  {:>9}  {:>9}  {:>9}\n", "info hash", "seeders", "leechers", "downloads");
    for info_hash in hashes {
        let written = match response.get(*info_hash) {
            Some(stats) => writeln!(
                text,
                "{info_hash}  {:>9}  {:>9}  {:>9}",
                stats.seeders,
                stats.incomplete(),
                stats.downloaded
            ),
            None => writeln!(text, "{info_hash}  {:>9}  {:>9}  {:>9}", "unknown", "", ""),
        };
        debug_assert!(written.is_ok(), "a String takes any text");
    }
    text
}

fn scraped_json(hashes: &[InfoHash], response: &ScrapeResponse) -> String {
    let one = |info_hash: &InfoHash| {
        let stats = response.get(*info_hash);
        json!({
            "info_hash": info_hash.to_string(),
            "seeders": stats.map(|stats| stats.seeders),
            "leechers": stats.map(|stats| stats.incomplete()),
            "downloaded": stats.map(|stats| stats.downloaded),
        })
    };
    format!("{:#}\n", Value::Array(hashes.iter().map(one).collect()))
}

/// What a tracker says is a stranger's text: control characters must not reach a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_a_tracker_do_not_reach_the_terminal() {
        assert_eq!(printable("a\x1b[31mb\nc"), "a?[31mb?c");
    }

    #[test]
    fn a_peer_id_names_this_program() {
        let id = peer_id().unwrap();
        assert!(id.0.starts_with(b"-EK0100-") && id.0[8..].iter().all(u8::is_ascii_lowercase));
        assert_ne!(id, peer_id().unwrap());
    }
}
