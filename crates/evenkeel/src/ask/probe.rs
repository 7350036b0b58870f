//! `evenkeel probe`: do peers that know nothing but the tracker find each other?
//!
//! Three synthetic peers announce a torrent that nobody else has, over one URL after the other and over each
//! address family of its host, and the answers are held against what is promised: by BEP 3, 15, 23 and 48 for
//! peers that are dialled (`dialled`), by the reference implementation for those of WebTorrent (`webtorrent`).
//! The peers leave again. They exist in announces only: nothing listens on their ports, nothing makes the
//! connections that they offer.

mod dialled;
mod webtorrent;

use std::fmt::Write as _;
use std::time::Duration;

use evenkeel_client::{
    Announce, AnnounceResponse, Client, Error, Event, Family, InfoHash, Key, PeerId, Tracker,
};
use tokio::time::{Instant, sleep};

use super::{client_for, is_webtorrent, peer_id, printable, run};
use crate::Verdict;

/// Between two looks at what is about to happen.
const PAUSE: Duration = Duration::from_millis(100);

/// What is probed.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ProbeArgs {
    /// Announce URLs: http, https, udp, ws or wss.
    #[arg(required = true)]
    urls: Vec<String>,
    /// Info hash that is announced, 40 hex digits, for trackers that serve listed torrents only. Nobody else may
    /// have it: other peers make the counts wrong [default: a random one for each URL and family].
    #[arg(long, value_name = "HASH")]
    info_hash: Option<InfoHash>,
    /// Seconds to wait for each answer.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=600))]
    timeout_secs: u16,
}

/// Probes each URL over each family; answers what was found, and the verdict.
pub(crate) fn probe(args: &ProbeArgs) -> anyhow::Result<(String, Verdict)> {
    let patience = Duration::from_secs(args.timeout_secs.into());
    run(async {
        let (mut text, mut healthy, mut probed) = (String::new(), true, 0);
        for url in &args.urls {
            for (family, name) in [(Family::V4, "IPv4"), (Family::V6, "IPv6")] {
                let client = client_for(family, patience)?;
                let info_hash = args.info_hash.map_or_else(random_hash, Ok)?;
                let tracker = client.tracker(url)?;
                let probe = Probe { client, url, tracker, info_hash, patience, findings: Vec::new() };
                // A host without addresses of a family is not at fault; one without any is.
                let Some(findings) = probe.findings().await? else { continue };
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

/// One URL over one family.
struct Probe<'a> {
    client: Client,
    url: &'a str,
    tracker: Tracker,
    info_hash: InfoHash,
    patience: Duration,
    findings: Vec<Finding>,
}

impl Probe<'_> {
    /// `None` when the host has no address of the client's family.
    async fn findings(mut self) -> anyhow::Result<Option<Vec<Finding>>> {
        let done = if is_webtorrent(&self.tracker) {
            webtorrent::look(&mut self).await
        } else {
            dialled::look(&mut self).await
        };
        match done {
            Ok(()) => {}
            Err(Error::NoAddress { .. }) => return Ok(None),
            Err(error) => self.note(false, &explain(&error)),
        }
        Ok(Some(self.findings))
    }

    fn peer(&self, port: u16, left: u64) -> Announce {
        Announce {
            info_hash: self.info_hash,
            peer_id: peer_id().unwrap_or(PeerId(*b"-EK0100-aaaaaaaaaaaa")),
            port,
            uploaded: 0,
            downloaded: 0,
            left: Some(left),
            event: Event::Update,
            numwant: Some(50),
            key: Key::from_number(u32::from(port)),
        }
    }

    fn note(&mut self, is_well: bool, what: &str) {
        self.findings.push(Finding { is_well, what: what.to_owned() });
    }

    /// Notes one of two sentences.
    fn judge(&mut self, is_well: bool, well: &str, unwell: &str) {
        self.note(is_well, if is_well { well } else { unwell });
    }

    fn check_counts(&mut self, answer: &AnnounceResponse, (seeders, leechers): (u32, u32)) {
        let (Some(told_seeders), Some(told_leechers)) = (answer.seeders, answer.leechers) else {
            return self.note(true, "the tracker tells no counts in announces");
        };
        let wrong = format!(
            "counts in announces are wrong: {told_seeders} seeders and {told_leechers} leechers, there are \
             {seeders} and {leechers}"
        );
        self.judge(
            (told_seeders, told_leechers) == (seeders, leechers),
            "counts in announces are right",
            &wrong,
        );
    }

    /// Holds a scrape against what is there. What is about to happen may take `within`.
    async fn check_scrape(
        &mut self,
        (seeders, leechers): (u32, u32),
        when: &str,
        within: Duration,
    ) -> Result<(), Error> {
        let limit = Instant::now() + within;
        let told = loop {
            let told = match self.tracker.scrape(&[self.info_hash]).await {
                Err(Error::ScrapeUnsupported) => {
                    self.note(true, "the URL has no form for scrapes");
                    return Ok(());
                }
                response => response?.get(self.info_hash).unwrap_or_default(),
            };
            if (told.seeders, told.incomplete()) == (seeders, leechers) || Instant::now() >= limit {
                break told;
            }
            sleep(PAUSE).await;
        };
        let (told_seeders, told_leechers) = (told.seeders, told.incomplete());
        let wrong = format!(
            "the scrape {when} disagrees: {told_seeders} seeders and {told_leechers} leechers, there are \
             {seeders} and {leechers}"
        );
        let agrees = (told_seeders, told_leechers) == (seeders, leechers);
        self.judge(agrees, &format!("the scrape {when} agrees"), &wrong);
        Ok(())
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
