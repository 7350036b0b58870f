//! Reads messages as browsers write them, without a look at each character of the session descriptions.
//!
//! Known fields once each, in any order, names without escapes, no blanks, whole numbers, offers that are whole: what is
//! read here reads the same with a JSON library. Whatever is written otherwise is left to that, broken messages
//! included: to give up is always right.

use super::fields::{Action, Fields};
use super::scan::Scan;
use super::{Offer, Offers, session_description};
use crate::limits::OFFERS_MAX;
use crate::{Event, OfferId};

/// Clients make so many at most.
const OFFERS_OF_MOST: usize = 10;

/// The fields of an announce or an answer that is written as most are.
pub(super) fn fields(message: &str) -> Option<Fields<'_>> {
    let mut scan = Scan::of(message);
    let mut fields = Fields::default();
    let mut events = None;
    let mut offered = None;
    scan.object(|scan, name| match name {
        "action" => set(&mut fields.action, Action::from_text(scan.plain_string()?)?),
        "info_hash" => {
            let rest = scan.clone();
            set(&mut fields.info_hash, scan.twenty()?)?;
            set(&mut fields.asked, scan.since(&rest)?)
        }
        "peer_id" => set(&mut fields.peer_id, scan.twenty()?),
        "to_peer_id" => set(&mut fields.to_peer_id, scan.twenty()?),
        "offer_id" => set(&mut fields.offer_id, scan.twenty()?),
        "uploaded" => set(&mut fields.uploaded, scan.number()?),
        "downloaded" => set(&mut fields.downloaded, scan.number()?),
        "left" => set(&mut fields.left, scan.number()?),
        "event" => set(&mut events, Event::from_text(scan.plain_string()?.as_bytes())),
        "answer" => set(&mut fields.answer, scan.flat_object()?),
        "offers" => set(&mut offered, offers(scan)?),
        _ => scan.skip(),
    })?;
    scan.end()?;
    fields.event = events.unwrap_or_default();
    fields.offers = offered.unwrap_or_default();
    Some(fields)
}

fn offers<'a>(scan: &mut Scan<'a>) -> Option<Offers<'a>> {
    scan.expect(b'[')?;
    if scan.rest().first() == Some(&b']') {
        scan.expect(b']')?;
        return Some(Offers::default());
    }
    let mut list = Vec::with_capacity(OFFERS_OF_MOST);
    while list.len() < OFFERS_MAX {
        list.push(offer(scan)?);
        match scan.next()? {
            b',' => {}
            b']' => return Some(Offers { list, dropped: 0 }),
            _ => return None,
        }
    }
    None
}

fn offer<'a>(scan: &mut Scan<'a>) -> Option<Offer<'a>> {
    let mut offer = Offer { id: None, sdp: None };
    scan.object(|scan, name| match name {
        "offer" => set(&mut offer.sdp, session_description(scan.flat_object()?)?),
        "offer_id" => set(&mut offer.id, OfferId(scan.twenty()?)),
        _ => None,
    })?;
    Some(offer)
}

/// What is named twice is judged elsewhere.
fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as clients write them.
    const ORDINARY: [&str; 6] = [
        r#"{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl"}"#,
        r#"{"numwant":2,"uploaded":0,"downloaded":17,"left":18446744073709551615,"event":"started","action":"announce","info_hash":"\u0000\u001f\"\\\/\b\n\r\tÃÿabcdefghi","peer_id":"-WW0091-abcdefghijkl","offers":[{"offer":{"type":"offer","sdp":"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n"},"offer_id":"01234567890123456789"},{"offer_id":"éééééééééééééééééééé","offer":{"type":"offer","sdp":"v=0\n\u00e9\ud800 \\\" 日本 \t"}}]}"#,
        r#"{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl","offers":[{"offer":{"type":"offer","sdp":"v=0\r\n","n":12,"y":true,"z":null,"f":false},"offer_id":"01234567890123456789"}],"trackerid":"x\u0041y"}"#,
        r#"{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl","to_peer_id":"-WW0091-000000000000","answer":{"type":"answer","sdp":"v=0\r\na=1\r\n"},"offer_id":"01234567890123456789"}"#,
        r#"{"action":"announce","info_hash":"tttttttttttttttttttt","peer_id":"-WW0091-abcdefghijkl","left":5,"event":"stopped","offers":[],"numwant":0}"#,
        r#"{"action":"scrape","info_hash":"tttttttttttttttttttt"}"#,
    ];

    /// Holds what is read here against what the library reads.
    fn compare(message: &str) -> bool {
        let read = fields(message);
        assert!(read.is_none() || read == Fields::of_any(message), "{message}");
        read.is_some()
    }

    #[test]
    fn what_clients_write_needs_no_library() {
        for message in ORDINARY {
            assert!(compare(message), "{message}");
        }
    }

    #[test]
    fn whatever_is_changed_reads_as_with_the_library() {
        const PIECES: [&str; 28] = [
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "0",
            "1.5",
            "-",
            "1e3",
            "null",
            "true",
            "falsy",
            "\u{1}",
            "\u{7f}",
            "\\u00e",
            "\\u00ff",
            "\\ud800",
            "\\r",
            "\\x",
            "\u{e9}",
            "\u{20ac}",
            "{\"offer\":{}}",
            "\"left\":1",
        ];
        let mut rng = Draw(1);
        let mut read = 0;
        for round in 0..60_000 {
            let mut message = ORDINARY[round % ORDINARY.len()].to_owned();
            for _ in 0..=rng.below(2) {
                let [at, end] = [(); 2].map(|()| message.floor_char_boundary(rng.below(message.len() + 1)));
                let piece = match rng.below(3) {
                    0 => PIECES[rng.below(PIECES.len())].to_owned(),
                    1 => message[at.min(end)..at.max(end)].to_owned(),
                    _ => String::new(),
                };
                let until = (at + rng.below(3)).min(message.len());
                let until = if message.is_char_boundary(until) { until } else { at };
                message.replace_range(at..until, &piece);
            }
            read += usize::from(compare(&message));
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn a_message_that_is_cut_off_is_none() {
        for message in ORDINARY {
            for len in (0..message.len()).filter(|len| message.is_char_boundary(*len)) {
                assert_eq!(fields(&message[..len]), None, "{}", &message[..len]);
            }
        }
    }

    /// Numbers that look random and are the same each time.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap_or(0) % end
        }
    }
}
