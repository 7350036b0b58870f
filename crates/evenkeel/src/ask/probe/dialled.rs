//! Peers that others dial, over HTTP and UDP: a leecher is handed the seeder.

use std::net::SocketAddr;
use std::time::Duration;

use evenkeel_client::{Announce, AnnounceResponse, Error, Event};

use super::Probe;

/// The steps, in order; an error ends them.
pub(super) async fn look(probe: &mut Probe<'_>) -> Result<(), Error> {
    let [seeder, first, second] =
        [(40_001, 0), (40_002, 1), (40_003, 1)].map(|(port, left)| probe.peer(port, left));

    let answer = announce(probe, &seeder, Event::Started).await?;
    probe.note(true, "a seeder announces and is answered");
    check_own(probe, &seeder, &answer);
    let answer = announce(probe, &first, Event::Started).await?;
    let finds = answer.peers.iter().any(|peer| peer.addr.port() == seeder.port);
    probe.judge(
        finds,
        "a leecher is handed the seeder",
        "a leecher is not handed the seeder: peers do not find each other",
    );
    check_own(probe, &first, &answer);
    probe.check_counts(&answer, (1, 1));

    announce(probe, &second, Event::Started).await?;
    let one = announce(probe, &Announce { numwant: Some(1), ..first.clone() }, Event::Update).await?;
    let handed = one.peers.len();
    let ignored = format!("numwant is ignored: one peer was wanted, {handed} were handed out");
    probe.judge(handed <= 1, "numwant is obeyed", &ignored);

    probe.check_scrape((1, 2), "with three peers", Duration::ZERO).await?;
    for peer in [&second, &first, &seeder] {
        announce(probe, peer, Event::Stopped).await?;
    }
    probe.check_scrape((0, 0), "after all have left", Duration::ZERO).await
}

async fn announce(probe: &Probe<'_>, peer: &Announce, event: Event) -> Result<AnnounceResponse, Error> {
    probe.tracker.announce(&Announce { event, ..peer.clone() }).await
}

/// Only the port is known to be the caller's own: its address may be seen otherwise by the tracker.
fn check_own(probe: &mut Probe<'_>, peer: &Announce, answer: &AnnounceResponse) {
    let own: Option<SocketAddr> =
        answer.peers.iter().map(|other| other.addr).find(|addr| addr.port() == peer.port);
    if let Some(addr) = own {
        probe.note(false, &format!("a caller is handed itself ({addr})"));
    }
}
