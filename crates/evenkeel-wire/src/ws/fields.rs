//! The fields of a message, whatever their order: a wrong type in one is judged by what the field is for.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::lenient::Lenient;
use super::twenty::twenty;
use super::{Offers, quick};
use crate::Event;

/// Every field that matters, as far as it can be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'a> {
    pub(super) action: Option<Action>,
    pub(super) info_hash: Option<[u8; 20]>,
    /// The JSON text of the info hash, which may be a list.
    pub(super) asked: Option<&'a str>,
    pub(super) peer_id: Option<[u8; 20]>,
    pub(super) to_peer_id: Option<[u8; 20]>,
    pub(super) uploaded: Option<u64>,
    pub(super) downloaded: Option<u64>,
    pub(super) left: Option<u64>,
    pub(super) event: Event,
    pub(super) offers: Offers<'a>,
    pub(super) offer_id: Option<[u8; 20]>,
    /// The JSON text of an answer that is given.
    pub(super) answer: Option<&'a str>,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Announce,
    Scrape,
}

impl Action {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text {
            "announce" => Some(Self::Announce),
            "scrape" => Some(Self::Scrape),
            _ => None,
        }
    }
}

impl<'a> Fields<'a> {
    /// Those of a message; `None` if that is no JSON object, or names a field twice.
    pub(super) fn of(message: &'a str) -> Option<Self> {
        if let Some(fields) = quick::fields(message) {
            debug_assert_eq!(Some(&fields), Self::of_any(message).as_ref(), "{message}");
            return Some(fields);
        }
        Self::of_any(message)
    }

    /// The same of any message, however it is written.
    pub(super) fn of_any(message: &'a str) -> Option<Self> {
        // An array would be read field by field.
        if !message.trim_ascii_start().starts_with('{') {
            return None;
        }
        let raw: Raw<'_> = serde_json::from_str(message).ok()?;
        Some(Self {
            action: raw.action.and_then(text).and_then(|action| Action::from_text(&action)),
            info_hash: raw.info_hash.and_then(twenty),
            asked: raw.info_hash,
            peer_id: raw.peer_id.and_then(twenty),
            to_peer_id: raw.to_peer_id.and_then(twenty),
            uploaded: raw.uploaded.and_then(number),
            downloaded: raw.downloaded.and_then(number),
            left: raw.left.and_then(number),
            event: raw.event.map_or(Event::Update, |event| {
                text(event).map_or(Event::Unknown, |event| Event::from_text(event.as_bytes()))
            }),
            offers: raw.offers.map_or_else(Offers::default, |Lenient(offers)| offers),
            offer_id: raw.offer_id.and_then(twenty),
            answer: raw.answer.filter(|answer| is_given(answer)),
        })
    }
}

/// The fields as the JSON text that they came in.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default, deserialize_with = "json")]
    action: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    info_hash: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    peer_id: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    to_peer_id: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    uploaded: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    downloaded: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    left: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    event: Option<&'a str>,
    #[serde(borrow)]
    offers: Option<Lenient<Offers<'a>>>,
    #[serde(borrow, default, deserialize_with = "json")]
    offer_id: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "json")]
    answer: Option<&'a str>,
}

fn json<'de, D: Deserializer<'de>>(field: D) -> Result<Option<&'de str>, D::Error> {
    Ok(Option::<&RawValue>::deserialize(field)?.map(RawValue::get))
}

/// JavaScript's idea of something: some clients send an empty `answer` with every announce.
fn is_given(json: &str) -> bool {
    !matches!(json, "null" | "false" | "0" | "\"\"")
}

fn text(json: &str) -> Option<Cow<'_, str>> {
    // Without escapes the text is there as it is. To try and fail takes longer than all the rest.
    if memchr::memchr(b'\\', json.as_bytes()).is_none() {
        return serde_json::from_str(json).ok().map(Cow::Borrowed);
    }
    serde_json::from_str(json).ok().map(Cow::Owned)
}

/// A whole number, however it is written; a fraction is rounded up, so that something missing never reads as nothing.
/// JavaScript writes what it does not know as `null`.
fn number(json: &str) -> Option<u64> {
    let text = json.trim_matches('"');
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked, and it saturates")]
    (number >= 0.0).then_some(number.ceil() as u64)
}
