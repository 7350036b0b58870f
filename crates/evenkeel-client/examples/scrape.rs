//! Prints how many peers torrents have.
//!
//! `cargo run -p evenkeel-client --example scrape -- <announce URL> <info hash in hex>...`

use std::time::Duration;

use evenkeel_client::{Client, InfoHash};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().ok_or("usage: scrape <announce URL> <info hash in hex>...")?;
    let hashes = args
        .map(|text| from_hex(&text).map(InfoHash).ok_or("an info hash is 40 hex digits"))
        .collect::<Result<Vec<_>, _>>()?;
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

fn from_hex(text: &str) -> Option<[u8; 20]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 20];
    if digits.len() != 40 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
