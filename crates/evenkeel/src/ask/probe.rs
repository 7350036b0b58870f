//! `evenkeel probe`: do two peers that know nothing but the tracker find each other?
//!
//! Three synthetic peers announce a torrent that nobody else has, over one URL after the other and over each
//! address family of its host, and the answers are held against what BEP 3, 15, 23 and 48 promise. The peers
//! leave again. They exist in announces only: nothing listens on their ports.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;
use evenkeel_client::{
    Announce, AnnounceResponse, Client, Error, Event, Family, InfoHash, Key, PeerId, Stats, Tracker,
};

use super::{client_for, peer_id, printable, run};
use crate::Verdict;

/// What is probed.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ProbeArgs {
    /// Announce URLs: http, https or udp.
    #[arg(required = true)]
    urls: Vec<String>,
    /// Seconds to wait for each answer.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    timeout_secs: u16,
}

/// Probes each URL over each family; answers what was found, and the verdict.
pub(crate) fn probe(args: &ProbeArgs) -> anyhow::Result<(String, Verdict)> {
    if let Some(url) = args.urls.iter().find(|url| url.starts_with("ws:") || url.starts_with("wss:")) {
        // Its peers live as long as their sockets and are dialled by offers: a probe of its own kind.
        bail!("probe does not speak WebTorrent: {url} cannot be probed");
    }
    let deadline = Duration::from_secs(args.timeout_secs.into());
    run(async {
        let (mut text, mut healthy, mut probed) = (String::new(), true, 0);
        for url in &args.urls {
            for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
                let client = client_for(family, deadline)?;
                // A host without addresses of a family is not at fault; one without any is.
                let Some(findings) = probe_once(&client, url).await? else { continue };
                probed += 1;
                healthy &= findings.iter().all(|finding| finding.is_well);
                line(&mut text, &format!("{} over {name}", printable(url)));
                for Finding { is_well, what } in findings {
                    line(
                        &mut text,
                        &format!("  {}  {}", if is_well { "ok  " } else { "FAIL" }, printable(&what)),
                    );
                }
            }
        }
        if probed == 0 {
            line(&mut text, "FAIL  none of these hosts has an address");
        }
        if healthy && probed > 0 {
            line(&mut text, "The tracker works.");
            Ok((text, Verdict::Well))
        } else {
            line(&mut text, "The tracker does not work as it should.");
            Ok((text, Verdict::Unwell))
        }
    })
}

fn line(text: &mut String, line: &str) {
    let written = writeln!(text, "{line}");
    debug_assert!(written.is_ok(), "a String takes any text");
}

/// Something that was looked at.
struct Finding {
    is_well: bool,
    what: String,
}

/// `None` when the host has no address of the client's family.
async fn probe_once(client: &Client, url: &str) -> anyhow::Result<Option<Vec<Finding>>> {
    let tracker = client.tracker(url)?;
    let mut probe = Probe { tracker, info_hash: random_hash()?, findings: Vec::new() };
    match probe.run().await {
        Ok(()) => Ok(Some(probe.findings)),
        Err(Error::NoAddress { .. }) => Ok(None),
        Err(error @ Error::InvalidUrl(_) | error @ Error::UnsupportedScheme(_)) => Err(error.into()),
        Err(error) => {
            probe.note(false, &explain(&error));
            Ok(Some(probe.findings))
        }
    }
}

struct Probe {
    tracker: Tracker,
    info_hash: InfoHash,
    findings: Vec<Finding>,
}

impl Probe {
    /// The steps, in order; an error ends them.
    async fn run(&mut self) -> Result<(), Error> {
        let [seeder, first, second] = [40_001, 40_002, 40_003].map(|port| self.peer(port));
        let seeder = Announce { left: Some(0), ..seeder? };
        let (first, second) = (first?, second?);

        let answer = self.announce(&seeder, Event::Started).await?;
        self.note(true, "a seeder announces and is answered");
        self.check_own(&seeder, &answer);
        let answer = self.announce(&first, Event::Started).await?;
        let finds = answer.peers.iter().any(|peer| peer.addr.port() == seeder.port);
        self.note(
            finds,
            if finds {
                "a leecher is handed the seeder"
            } else {
                "a leecher is not handed the seeder: peers do not find each other"
            },
        );
        self.check_own(&first, &answer);
        self.check_counts(&answer, (1, 1));

        self.announce(&second, Event::Started).await?;
        let one = self.announce(&Announce { numwant: Some(1), ..first.clone() }, Event::Update).await?;
        let obeyed = one.peers.len() <= 1;
        let handed = one.peers.len();
        self.note(
            obeyed,
            &if obeyed {
                "numwant is obeyed".to_owned()
            } else {
                format!("numwant is ignored: one peer was wanted, {handed} were handed out")
            },
        );

        self.check_scrape((1, 2), "with three peers").await?;
        for peer in [&second, &first, &seeder] {
            self.announce(peer, Event::Stopped).await?;
        }
        self.check_scrape((0, 0), "after all have left").await
    }

    fn peer(&self, port: u16) -> Result<Announce, Error> {
        let peer_id = peer_id().unwrap_or(PeerId(*b"-EK0001-aaaaaaaaaaaa"));
        Ok(Announce {
            info_hash: self.info_hash,
            peer_id,
            port,
            uploaded: 0,
            downloaded: 0,
            left: Some(1),
            event: Event::Update,
            numwant: Some(50),
            key: Key::from_number(u32::from(port)),
        })
    }

    async fn announce(&self, peer: &Announce, event: Event) -> Result<AnnounceResponse, Error> {
        self.tracker.announce(&Announce { event, ..peer.clone() }).await
    }

    /// Only the port is known to be the caller's own: its address may be seen otherwise by the tracker.
    fn check_own(&mut self, peer: &Announce, answer: &AnnounceResponse) {
        let own: Option<SocketAddr> =
            answer.peers.iter().map(|other| other.addr).find(|addr| addr.port() == peer.port);
        match own {
            None => {}
            Some(addr) => self.note(false, &format!("a caller is handed itself ({addr})")),
        }
    }

    fn check_counts(&mut self, answer: &AnnounceResponse, (seeders, leechers): (u32, u32)) {
        let told = (answer.seeders, answer.leechers);
        match told {
            (None, _) | (_, None) => self.note(true, "the tracker tells no counts in announces"),
            told if told == (Some(seeders), Some(leechers)) => {
                self.note(true, "counts in announces are right");
            }
            (Some(told_seeders), Some(told_leechers)) => {
                let what = format!(
                    "counts in announces are wrong: {told_seeders} seeders and {told_leechers} leechers, \
                     there are {seeders} and {leechers}"
                );
                self.note(false, &what);
            }
        }
    }

    async fn check_scrape(&mut self, expected: (u32, u32), when: &str) -> Result<(), Error> {
        let response = match self.tracker.scrape(&[self.info_hash]).await {
            Err(Error::ScrapeUnsupported) => {
                self.note(true, "the URL has no form for scrapes");
                return Ok(());
            }
            response => response?,
        };
        let Stats { seeders, .. } = response.get(self.info_hash).unwrap_or_default();
        let leechers = response.get(self.info_hash).unwrap_or_default().incomplete();
        if (seeders, leechers) == expected {
            self.note(true, &format!("the scrape {when} agrees"));
        } else {
            let what = format!(
                "the scrape {when} disagrees: {seeders} seeders and {leechers} leechers, there are {} and {}",
                expected.0, expected.1
            );
            self.note(false, &what);
        }
        Ok(())
    }

    fn note(&mut self, is_well: bool, what: &str) {
        self.findings.push(Finding { is_well, what: what.to_owned() });
    }
}

/// A refusal is an answer of the tracker; everything else is the lack of one.
fn explain(error: &Error) -> String {
    match error {
        Error::Tracker { reason, .. } => format!("the tracker refuses: {reason}"),
        Error::Timeout => "no answer in time: wrong port, a firewall, or the tracker is down".to_owned(),
        other => {
            let mut text = other.to_string();
            let mut source = std::error::Error::source(other);
            while let Some(cause) = source {
                text = format!("{text}: {cause}");
                source = cause.source();
            }
            text
        }
    }
}

fn random_hash() -> anyhow::Result<InfoHash> {
    let mut hash = InfoHash([0; 20]);
    getrandom::fill(&mut hash.0).map_err(std::io::Error::other)?;
    Ok(hash)
}
