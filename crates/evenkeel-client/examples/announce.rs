//! Announces a peer that has nothing and prints what the tracker says.
//!
//! `cargo run -p evenkeel-client --example announce -- <announce URL> <info hash in hex>`

use std::time::Duration;

use evenkeel_client::{Announce, Client, Event, Key, PeerId};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(hash)) = (args.next(), args.next()) else {
        return Err("usage: announce <announce URL> <info hash in hex>".into());
    };
    let client = Client::builder().udp_tries(2).deadline(Duration::from_secs(60)).build()?;
    let tracker = client.tracker(&url)?;
    let mut announce = Announce {
        info_hash: hash.parse()?,
        peer_id: PeerId(*b"-EK0100-example00000"),
        port: 6881,
        uploaded: 0,
        downloaded: 0,
        left: Some(1),
        event: Event::Started,
        numwant: Some(50),
        key: Key::NONE,
    };
    match tracker.announce(&announce).await {
        Ok(response) => {
            // Whoever leaves says so, or the tracker hands out a peer that nobody can reach.
            announce.event = Event::Stopped;
            tracker.announce(&announce).await?;
            println!("{tracker}: {response:#?}");
            Ok(())
        }
        Err(error) if error.is_retryable() => Err(format!("{tracker}: {error} (worth another try)").into()),
        Err(error) => Err(format!("{tracker}: {error}").into()),
    }
}
