//! The URLs that are asked for.

use std::fmt::Write;

use evenkeel_wire::{Announce, InfoHash, Key};
use url::Url;

use crate::answer::event_text;

/// The announce URL with the question behind whatever query it already has.
pub(super) fn announce(url: &Url, announce: &Announce, tracker_id: Option<&[u8]>) -> Url {
    let mut query = Query::continued(url);
    query.bytes("info_hash", &announce.info_hash.0);
    query.bytes("peer_id", &announce.peer_id.0);
    query.number("port", announce.port);
    query.number("uploaded", announce.uploaded);
    query.number("downloaded", announce.downloaded);
    if let Some(left) = announce.left {
        query.number("left", left);
    }
    query.number("compact", 1_u8);
    if let Some(event) = event_text(announce.event) {
        query.bytes("event", event.as_bytes());
    }
    if let Some(numwant) = announce.numwant {
        query.number("numwant", numwant);
    }
    query.key(&announce.key);
    if let Some(id) = tracker_id {
        query.bytes("trackerid", id);
    }
    query.put_on(url.clone())
}

/// The scrape URL of BEP 48, or `None`: the last path segment must start with `announce`, and just that word
/// becomes `scrape`.
pub(super) fn scrape(url: &Url, info_hashes: &[InfoHash]) -> Option<Url> {
    let (before, segment) = url.path().rsplit_once('/')?;
    let path = format!("{before}/scrape{}", segment.strip_prefix("announce")?);
    let mut query = Query::continued(url);
    for info_hash in info_hashes {
        query.bytes("info_hash", &info_hash.0);
    }
    let mut url = query.put_on(url.clone());
    url.set_path(&path);
    Some(url)
}

/// A query string under way.
struct Query {
    text: String,
}

impl Query {
    fn continued(url: &Url) -> Self {
        Self { text: url.query().unwrap_or_default().into() }
    }

    fn name(&mut self, name: &str) {
        if !self.text.is_empty() && !self.text.ends_with('&') {
            self.text.push('&');
        }
        self.text.push_str(name);
        self.text.push('=');
    }

    fn number(&mut self, name: &str, number: impl Into<u64>) {
        self.name(name);
        self.text.push_str(&number.into().to_string());
    }

    /// Everything but the unreserved characters of RFC 3986 is escaped, so that no tracker takes a plus sign
    /// for a space.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.name(name);
        for byte in bytes {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                self.text.push(char::from(*byte));
            } else {
                self.hex("%", *byte);
            }
        }
    }

    /// Four bytes are the number of BEP 15; over HTTP clients write it as eight digits.
    fn key(&mut self, key: &Key) {
        match key.as_bytes() {
            [] => {}
            number @ [_, _, _, _] => {
                self.name("key");
                number.iter().for_each(|byte| self.hex("", *byte));
            }
            other => self.bytes("key", other),
        }
    }

    fn hex(&mut self, before: &str, byte: u8) {
        write!(self.text, "{before}{byte:02X}").expect("a String takes all text");
    }

    fn put_on(self, mut url: Url) -> Url {
        url.set_query(Some(&self.text));
        url.set_fragment(None);
        url
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_wire::{Event, PeerId};

    use super::*;

    const INFO_HASH: InfoHash = InfoHash(*b"\x00\x12 +&=%#\"'<>~._-aZ9\xff");

    fn ask() -> Announce {
        Announce {
            info_hash: INFO_HASH,
            peer_id: PeerId(*b"-XX0001-abcdefghijkl"),
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: Some(u64::MAX),
            event: Event::Started,
            numwant: Some(30),
            key: Key::from_number(0x0A0B_0C0D),
        }
    }

    fn announced(url: &str, ask: &Announce, tracker_id: Option<&[u8]>) -> String {
        announce(&Url::parse(url).unwrap(), ask, tracker_id).into()
    }

    #[test]
    fn an_announce_is_escaped_byte_by_byte() {
        assert_eq!(
            announced("http://t.example/announce", &ask(), None),
            "http://t.example/announce?info_hash=%00%12%20%2B%26%3D%25%23%22%27%3C%3E~._-aZ9%FF\
             &peer_id=-XX0001-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=18446744073709551615\
             &compact=1&event=started&numwant=30&key=0A0B0C0D"
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let ask = Announce { left: None, event: Event::Update, numwant: None, key: Key::NONE, ..ask() };
        let url = announced("http://t.example/announce", &ask, None);
        assert!(url.ends_with("&port=6881&uploaded=1&downloaded=2&compact=1"), "{url}");
    }

    #[test]
    fn the_query_of_the_announce_url_is_kept() {
        for (given, start) in [
            ("http://h/a?passkey=x%2Fy&z", "http://h/a?passkey=x%2Fy&z&info_hash=%00"),
            ("http://h/a?x&", "http://h/a?x&info_hash=%00"),
            ("http://h/a?", "http://h/a?info_hash=%00"),
            ("http://h#fragment", "http://h/?info_hash=%00"),
        ] {
            let url = announced(given, &ask(), None);
            assert!(url.starts_with(start) && !url.contains('#'), "{url}");
        }
    }

    #[test]
    fn keys_and_tracker_ids_may_be_any_bytes() {
        let ask = Announce { key: Key::from_text(b"\xd2]B\0+zzz"), ..ask() };
        let url = announced("http://h/a", &ask, Some(b"id \xff"));
        assert!(url.ends_with("&key=%D2%5DB%00%2Bzzz&trackerid=id%20%FF"), "{url}");
    }

    #[test]
    fn a_scrape_url_is_made_by_the_rule_of_bep_48() {
        let hash = InfoHash(*b"aaaaaaaaaaaaaaaaaaaa");
        let query = "info_hash=aaaaaaaaaaaaaaaaaaaa";
        for (given, scraped) in [
            ("http://h/announce", Some("http://h/scrape?")),
            ("http://h/x/announce", Some("http://h/x/scrape?")),
            ("http://h/announce.php", Some("http://h/scrape.php?")),
            ("http://h/announce?x2%0644", Some("http://h/scrape?x2%0644&")),
            ("http://h/announce?x=2/4", Some("http://h/scrape?x=2/4&")),
            ("http://h/announce/announced", Some("http://h/announce/scraped?")),
            ("http://h/a", None),
            ("http://h/", None),
            ("http://h/announce/", None),
            ("http://h/x%2Fannounce", None),
        ] {
            let url = scrape(&Url::parse(given).unwrap(), &[hash]).map(String::from);
            assert_eq!(url, scraped.map(|start| format!("{start}{query}")), "{given}");
        }
    }

    #[test]
    fn a_scrape_names_every_torrent() {
        let hashes = [InfoHash([b'a'; 20]), InfoHash([0xFF; 20])];
        let url = scrape(&Url::parse("http://h/announce").unwrap(), &hashes).unwrap();
        let query = format!("info_hash={}&info_hash={}", "a".repeat(20), "%FF".repeat(20));
        assert_eq!(url.query(), Some(query.as_str()));
    }
}
