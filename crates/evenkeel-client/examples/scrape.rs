//! Prints how many peers torrents have.
//!
//! `cargo run -p evenkeel-client --example scrape -- <announce URL> <info hash in hex>...`

use std::time::Duration;

use evenkeel_client::{Client, InfoHash};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: scrape <announce URL> <info hash in hex>...")?;
    let hashes = args.map(|text| text.parse()).collect::<Result<Vec<InfoHash>, _>>()?;
    let client = Client::builder().udp_tries(2).deadline(Duration::from_secs(60)).build()?;
    let response = client.tracker(&url)?.scrape(&hashes).await?;
    for hash in hashes {
        match response.get(hash) {
            Some(stats) => println!(
                "{hash} {} seeders, {} leechers, {} partial, {} completions",
                stats.seeders, stats.leechers, stats.partial, stats.downloaded
            ),
            None => println!("{hash} unknown"),
        }
    }
    Ok(())
}
