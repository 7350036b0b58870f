//! Messages of WebTorrent, as a browser writes and reads them: JSON over WebSocket, in which 20 bytes are a
//! string of 20 characters from U+0000 to U+00FF.
//!
//! An offer carries the number of its maker twice, in its id and in its session description. So it shows who
//! made what came in, and whether anything was changed on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, bail};
use evenkeel_wire::ws::scan::Scan;
use evenkeel_wire::{InfoHash, PeerId};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::{ClientBuilder, WebSocketStream};

use crate::population::mix;

/// A session description as a browser writes it, up to the number in it and from there on; 1.2 KiB together.
const SDP_HEAD: &str = r#","sdp":"v=0\r\no=- "#;
const SDP_TAIL: &str = concat!(
    r" 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n",
    r"m=application 51472 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 203.0.113.7\r\n",
    r"a=candidate:2794152211 1 udp 2122260223 192.0.2.15 51472 typ host generation 0 network-id 1 network-cost 10\r\n",
    r"a=candidate:1029384756 1 udp 2122194687 2001:db8::15 58214 typ host generation 0 network-id 2 network-cost 10\r\n",
    r"a=candidate:3917261548 1 tcp 1518280447 192.0.2.15 9 typ host tcptype active generation 0 network-id 1\r\n",
    r"a=candidate:2213476653 1 tcp 1518214911 2001:db8::15 9 typ host tcptype active generation 0 network-id 2\r\n",
    r"a=candidate:842163049 1 udp 1686052607 203.0.113.7 51472 typ srflx raddr 192.0.2.15 rport 51472 generation 0\r\n",
    r"a=candidate:1684720934 1 udp 41885439 198.51.100.20 61337 typ relay raddr 203.0.113.7 rport 51472 generation 0\r\n",
    r"a=candidate:557832901 1 udp 25108223 198.51.100.21 49873 typ relay raddr 203.0.113.7 rport 51472 generation 0\r\n",
    r"a=ice-ufrag:8hVk\r\na=ice-pwd:p3QfQ2mX8sJ0Lr6yVwZtB1nK\r\na=ice-options:trickle\r\n",
    r"a=fingerprint:sha-256 1C:7E:52:90:3B:AA:4F:D8:61:09:E3:77:B2:5D:C4:18:96:F0:2A:8B:33:DE:71:0C:A5:4E:98:67:1F:B0:C3:D2\r\n",
    r"a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
);

/// Which offer of which maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OfferNumber {
    pub maker: u32,
    pub count: u32,
}

impl OfferNumber {
    fn word(self) -> u64 {
        u64::from(self.maker) << 32 | u64::from(self.count)
    }

    /// The offer id: the number, and bytes that follow from it.
    pub(crate) fn id(self) -> [u8; 20] {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&self.word().to_be_bytes());
        id[8..16].copy_from_slice(&mix(self.word()).to_be_bytes());
        id[16..].copy_from_slice(&mix(!self.word()).to_be_bytes()[..4]);
        id
    }

    /// The number of an id, or `None` when the id is not one that was made here.
    pub(crate) fn of(id: &[u8; 20]) -> Option<Self> {
        let word = |at: usize| id.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
        Some(Self { maker: word(0)?, count: word(4)? }).filter(|number| number.id() == *id)
    }
}

/// An announce.
pub(crate) struct Announcing<'a> {
    pub info_hash: &'a InfoHash,
    pub peer_id: &'a PeerId,
    pub left: u64,
    /// Empty for none.
    pub event: &'static str,
}

/// Text of an announce with the offers of `maker` from the `first` on.
pub(crate) fn announce(said: &Announcing<'_>, first: OfferNumber, offers: u32) -> String {
    let mut out = String::with_capacity(400 + offers as usize * (SDP_TAIL.len() + 160));
    write_announce(&mut out, said, first, offers);
    out
}

/// Appends it.
pub(crate) fn write_announce(out: &mut String, said: &Announcing<'_>, first: OfferNumber, offers: u32) {
    out.push_str(r#"{"action":"announce","info_hash":""#);
    latin1(out, &said.info_hash.0);
    out.push_str(r#"","peer_id":""#);
    latin1(out, &said.peer_id.0);
    number(out, r#"","uploaded":0,"downloaded":0,"left":"#, said.left);
    number(out, r#","numwant":"#, offers.into());
    if !said.event.is_empty() {
        out.extend([r#","event":""#, said.event, "\""]);
    }
    out.push_str(r#","offers":["#);
    for at in 0..offers {
        let offer = OfferNumber { count: first.count.wrapping_add(at), ..first };
        out.push_str(if at == 0 { r#"{"offer":"# } else { r#",{"offer":"# });
        description(out, "offer", offer);
        out.push_str(r#","offer_id":""#);
        latin1(out, &offer.id());
        out.push_str("\"}");
    }
    out.push_str("]}");
}

/// Text of the answer of `peer_id` to an offer.
pub(crate) fn answer(offer: &Relay<'_>, peer_id: &PeerId, number: OfferNumber) -> String {
    let mut out = String::with_capacity(500 + SDP_TAIL.len());
    write_answer(&mut out, offer, peer_id, number);
    out
}

/// Appends it.
pub(crate) fn write_answer(out: &mut String, offer: &Relay<'_>, peer_id: &PeerId, number: OfferNumber) {
    out.push_str(r#"{"action":"announce","info_hash":""#);
    latin1(out, &offer.info_hash.0);
    out.push_str(r#"","peer_id":""#);
    latin1(out, &peer_id.0);
    out.push_str(r#"","to_peer_id":""#);
    latin1(out, &offer.peer_id.0);
    out.push_str(r#"","answer":"#);
    description(out, "answer", number);
    out.push_str(r#","offer_id":""#);
    latin1(out, &offer.offer_id);
    out.push_str("\"}");
}

/// Text of a scrape.
pub(crate) fn scrape(info_hashes: &[InfoHash]) -> String {
    let mut out = r#"{"action":"scrape","info_hash":["#.to_owned();
    for (at, info_hash) in info_hashes.iter().enumerate() {
        out.push_str(if at == 0 { "\"" } else { ",\"" });
        latin1(&mut out, &info_hash.0);
        out.push('"');
    }
    out.push_str("]}");
    out
}

fn description(out: &mut String, kind: &str, offer: OfferNumber) {
    out.extend([r#"{"type":""#, kind, "\""]);
    number(out, SDP_HEAD, offer.word());
    out.extend([SDP_TAIL, "\"}"]);
}

fn number(out: &mut String, before: &str, number: u64) {
    let written = write!(out, "{before}{number}");
    debug_assert!(written.is_ok(), "a String takes any text");
}

fn latin1(out: &mut String, bytes: &[u8; 20]) {
    // Six bytes are the longest that one becomes.
    let mut text = [0; 20 * 6];
    let mut len = 0;
    let mut add = |written: &[u8]| {
        text[len..len + written.len()].copy_from_slice(written);
        len += written.len();
    };
    for byte in *bytes {
        match byte {
            b'"' | b'\\' => add(&[b'\\', byte]),
            0..0x20 => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                add(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            0x20..0x80 => add(&[byte]),
            0x80.. => add(&[0xC0 | byte >> 6, 0x80 | byte & 0x3F]),
        }
    }
    let text = std::str::from_utf8(&text[..len]);
    debug_assert!(text.is_ok(), "each byte became a character");
    out.push_str(text.unwrap_or_default());
}

/// What a tracker says.
#[derive(Debug)]
pub(crate) enum Heard<'a> {
    /// To an announce.
    Counts { info_hash: InfoHash, peers: u64 },
    /// To a scrape: seeders and leechers of each torrent together.
    Scraped(Vec<(InfoHash, u64)>),
    /// It says no.
    Failure(Cow<'a, str>),
    /// Another peer's offer.
    Offer(Relay<'a>),
    /// Another peer's answer to an offer of one's own.
    Answer(Relay<'a>),
}

/// What one peer says to another.
#[derive(Debug)]
pub(crate) struct Relay<'a> {
    pub info_hash: InfoHash,
    pub peer_id: PeerId,
    pub offer_id: [u8; 20],
    /// The session description.
    json: &'a str,
}

impl Relay<'_> {
    /// The number that the offer id and the session description both name; `None` when they do not.
    pub(crate) fn number(&self) -> Option<OfferNumber> {
        let offer = OfferNumber::of(&self.offer_id)?;
        let (_, rest) = self.json.split_once("\\r\\no=- ").or_else(|| self.json.split_once("\\no=- "))?;
        let (digits, _) = rest.split_once(' ')?;
        Some(offer).filter(|offer| digits.parse() == Ok(offer.word()))
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    action: Cow<'a, str>,
    #[serde(borrow, default)]
    info_hash: Cow<'a, str>,
    #[serde(borrow, default)]
    peer_id: Cow<'a, str>,
    #[serde(borrow, default)]
    offer_id: Cow<'a, str>,
    #[serde(borrow, rename = "failure reason")]
    failure_reason: Option<Cow<'a, str>>,
    complete: Option<u64>,
    incomplete: Option<u64>,
    #[serde(borrow)]
    offer: Option<&'a RawValue>,
    #[serde(borrow)]
    answer: Option<&'a RawValue>,
    files: Option<BTreeMap<String, Counts>>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    complete: u64,
    #[serde(default)]
    incomplete: u64,
}

/// Reads a message.
pub(crate) fn read(text: &str) -> anyhow::Result<Heard<'_>> {
    match read_quickly(text) {
        Some(heard) => Ok(heard),
        None => read_any(text),
    }
}

/// Reads a relay or a reply to an announce as trackers write them: a library would cost the generator more than all the
/// rest. What is written otherwise is left to that, and what is wrong.
fn read_quickly(text: &str) -> Option<Heard<'_>> {
    let mut scan = Scan::of(text);
    let (mut info_hash, mut peer_id, mut offer_id) = (None, None, None);
    let (mut complete, mut incomplete, mut offer, mut answer) = (None, None, None, None);
    let mut is_announce = false;
    scan.object(|scan, name| {
        match name {
            "action" => is_announce = scan.plain_string()? == "announce",
            "info_hash" => info_hash = Some(scan.twenty()?),
            "peer_id" => peer_id = Some(PeerId(scan.twenty()?)),
            "offer_id" => offer_id = Some(scan.twenty()?),
            "complete" => complete = Some(scan.number()?),
            "incomplete" => incomplete = Some(scan.number()?),
            "offer" => offer = Some(scan.flat_object()?),
            "answer" => answer = Some(scan.flat_object()?),
            "failure reason" | "files" => return None,
            _ => scan.skip()?,
        }
        Some(())
    })?;
    scan.end()?;
    let info_hash = InfoHash(info_hash.filter(|_| is_announce)?);
    let relay = |json| Some(Relay { info_hash, peer_id: peer_id?, offer_id: offer_id?, json });
    match (offer, answer, complete, incomplete) {
        (Some(json), None, ..) => relay(json).map(Heard::Offer),
        (None, Some(json), ..) => relay(json).map(Heard::Answer),
        (None, None, Some(complete), Some(incomplete)) => {
            Some(Heard::Counts { info_hash, peers: complete.saturating_add(incomplete) })
        }
        _ => None,
    }
}

fn read_any(text: &str) -> anyhow::Result<Heard<'_>> {
    let message: Message<'_> =
        serde_json::from_str(text).with_context(|| format!("not a message: {text}"))?;
    if let Some(reason) = message.failure_reason {
        return Ok(Heard::Failure(reason));
    }
    if let Some(files) = message.files {
        let counts = files.iter().map(|(hash, counts)| {
            Ok((InfoHash(twenty(hash)?), counts.complete.saturating_add(counts.incomplete)))
        });
        return counts.collect::<anyhow::Result<_>>().map(Heard::Scraped);
    }
    let info_hash = InfoHash(twenty(&message.info_hash)?);
    let relay = |json| {
        let peer_id = PeerId(twenty(&message.peer_id)?);
        anyhow::Ok(Relay { info_hash, peer_id, offer_id: twenty(&message.offer_id)?, json })
    };
    match (message.offer, message.answer) {
        (Some(json), None) => relay(json.get()).map(Heard::Offer),
        (None, Some(json)) => relay(json.get()).map(Heard::Answer),
        (None, None) if message.action == "announce" => match (message.complete, message.incomplete) {
            (Some(complete), Some(incomplete)) => {
                Ok(Heard::Counts { info_hash, peers: complete.saturating_add(incomplete) })
            }
            _ => bail!("an announce is answered without counts: {text}"),
        },
        _ => bail!("a message of no known kind: {text}"),
    }
}

fn twenty(text: &str) -> anyhow::Result<[u8; 20]> {
    let mut bytes = [0; 20];
    let mut len = 0;
    for letter in text.chars() {
        let (Some(byte), Ok(value)) = (bytes.get_mut(len), u8::try_from(letter)) else {
            bail!("not a string for 20 bytes: {text:?}")
        };
        *byte = value;
        len += 1;
    }
    anyhow::ensure!(len == 20, "not a string for 20 bytes: {text:?}");
    Ok(bytes)
}

/// Upgrades a stream that is connected and blocks: it is ready before this returns.
pub(crate) fn upgrade_now<S: AsyncRead + AsyncWrite + Unpin>(
    url: &str,
    stream: S,
) -> anyhow::Result<WebSocketStream<S>> {
    let builder = ClientBuilder::new().uri(url)?;
    let upgrading: Pin<&mut _> = pin!(builder.connect_on(stream));
    match upgrading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(upgraded) => Ok(upgraded.context("no WebSocket is spoken there")?.0),
        Poll::Pending => bail!("the upgrade was not answered in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash(*b"\x00\x1f\"\\\x80\xff/abcdefghijklm");
    const PEER: PeerId = PeerId(*b"-EL0001-abcdefghijkl");
    const NUMBER: OfferNumber = OfferNumber { maker: 7, count: 0x00FF_FFFF };

    #[test]
    fn an_announce_has_the_offers_of_its_maker() {
        let said = Announcing { info_hash: &HASH, peer_id: &PEER, left: 5, event: "started" };
        let text = announce(&said, NUMBER, 3);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["action"], &value["event"]), (&"announce".into(), &"started".into()));
        assert_eq!((&value["left"], &value["numwant"]), (&5.into(), &3.into()));
        assert_eq!(twenty(value["info_hash"].as_str().unwrap()).unwrap(), HASH.0);
        let offers = value["offers"].as_array().unwrap();
        for (at, offer) in (0..).zip(offers) {
            let id = twenty(offer["offer_id"].as_str().unwrap()).unwrap();
            assert_eq!(OfferNumber::of(&id), Some(OfferNumber { count: NUMBER.count + at, ..NUMBER }));
            let sdp = offer["offer"]["sdp"].as_str().unwrap();
            assert!((1_100..1_400).contains(&sdp.len()), "{}", sdp.len());
            assert!(sdp.lines().count() > 20 && sdp.ends_with("\r\n"));
        }
        assert_eq!(offers.len(), 3);
    }

    #[test]
    fn an_answer_carries_the_number_of_its_offer() {
        let offer = Relay { info_hash: HASH, peer_id: PEER, offer_id: NUMBER.id(), json: "1" };
        let text = answer(&offer, &PeerId([b'x'; 20]), NUMBER);
        let Heard::Answer(read) = read(&text).unwrap() else { panic!("{text}") };
        assert_eq!((read.info_hash, read.peer_id, read.offer_id), (HASH, PeerId([b'x'; 20]), NUMBER.id()));
        assert_eq!(read.number(), Some(NUMBER));
        // Another offer's description under this id.
        let other = text.replace(&NUMBER.word().to_string(), "12");
        let Heard::Answer(read) = super::read(&other).unwrap() else { panic!("{other}") };
        assert_eq!(read.number(), None);
    }

    #[test]
    fn what_trackers_write_reads_quickly_as_with_the_library() {
        let (hash, peer, id) =
            (r"\u0000\u001fÿbcdefghijklmnopqr", "-EL0001-abcdefghijkl", "01234567890123456789");
        let sdp = r#"{"type":"offer","sdp":"v=0\r\no=- 1 2\r\n"}"#;
        for (text, is_quick) in [
            (
                format!(
                    r#"{{"action":"announce","info_hash":"{hash}","peer_id":"{peer}","offer":{sdp},"offer_id":"{id}"}}"#
                ),
                true,
            ),
            (
                format!(
                    r#"{{"action":"announce","answer":{sdp},"offer_id":"{id}","peer_id":"{peer}","info_hash":"{hash}"}}"#
                ),
                true,
            ),
            (
                format!(
                    r#"{{"action":"announce","complete":1,"incomplete":2,"info_hash":"{hash}","interval":120,"min interval":60}}"#
                ),
                true,
            ),
            (
                format!(
                    r#"{{"complete":1,"incomplete":2,"action":"announce","interval":120,"info_hash":"{hash}"}}"#
                ),
                true,
            ),
            (
                format!(
                    r#"{{"action":"announce","failure reason":"no","info_hash":"{hash}","interval":1800}}"#
                ),
                false,
            ),
            (
                format!(
                    r#"{{"action":"scrape","files":{{"{hash}":{{"complete":1,"downloaded":4,"incomplete":5}}}}}}"#
                ),
                false,
            ),
            (format!(r#"{{"action":"announce","info_hash":"{hash}","interval":120}}"#), false),
        ] {
            let [quickly, any] = [read_quickly(&text), read_any(&text).ok()]
                .map(|heard| heard.map(|heard| format!("{heard:?}")));
            assert_eq!(quickly.is_some(), is_quick, "{text}");
            assert!(!is_quick || quickly == any, "{text}");
        }
    }

    #[test]
    fn messages_are_told_apart() {
        let hash = "aaaaaaaaaaaaaaaaaaaa";
        let kind = |text: String| read(&text).map(|heard| format!("{heard:?}")).unwrap_or_default();
        let with = |rest: &str| kind(format!(r#"{{"action":"announce","info_hash":"{hash}"{rest}}}"#));
        assert!(with(r#","complete":2,"incomplete":3,"interval":120"#).contains("peers: 5"));
        assert!(with(r#","failure reason":"no""#).contains("Failure(\"no\")"));
        assert_eq!(with(r#","interval":120"#), "", "no counts");
        let files = format!(r#"{{"action":"scrape","files":{{"{hash}":{{"complete":1,"incomplete":0}}}}}}"#);
        assert!(kind(files).starts_with("Scraped"));
        assert_eq!(kind("{}".into()), "");
        assert_eq!(kind("[]".into()), "");
    }

    #[test]
    fn a_scrape_names_all_hashes() {
        let value: serde_json::Value = serde_json::from_str(&scrape(&[HASH, HASH])).unwrap();
        assert_eq!(value["info_hash"].as_array().unwrap().len(), 2);
    }
}
