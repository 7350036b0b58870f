//! Why torrents were deleted, as peers are told: each text is kept once, for as long as the program runs.

use std::collections::HashMap;
use std::sync::{LazyLock, PoisonError, RwLock};

use evenkeel_wire::{Failure, Told};

/// Texts that are kept; further ones are not told. Those who delete torrents say the same few things.
const TEXTS_MAX: usize = 10_000;

/// A place among them; 0 is no text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Why(u16);

#[derive(Default)]
struct Texts {
    told: Vec<Told>,
    places: HashMap<&'static str, u16>,
}

static TEXTS: LazyLock<RwLock<Texts>> = LazyLock::new(RwLock::default);

impl Why {
    /// Keeps a reason.
    pub(super) fn keep(reason: &str) -> Self {
        if reason.is_empty() {
            return Self::default();
        }
        let text = format!("{}: {}", Failure::Deleted.text(), Told::plain(reason));
        let mut texts = TEXTS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = texts.places.get(text.as_str()) {
            return Self(*place);
        }
        let place = u16::try_from(texts.told.len() + 1).unwrap_or(u16::MAX);
        if usize::from(place) > TEXTS_MAX {
            return Self::default();
        }
        let text: &'static str = Box::leak(text.into_boxed_str());
        let Some(told) = Told::new(text) else { return Self::default() };
        texts.told.push(told);
        texts.places.insert(text, place);
        Self(place)
    }

    /// What a peer is told.
    pub(crate) fn failure(self) -> Failure {
        let texts = TEXTS.read().unwrap_or_else(PoisonError::into_inner);
        let told = usize::from(self.0).checked_sub(1).and_then(|place| texts.told.get(place));
        told.map_or(Failure::Deleted, |told| Failure::DeletedFor(*told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reason_is_kept_once_and_what_cannot_be_told_is_made_plain() {
        assert_eq!(Why::keep("").failure(), Failure::Deleted);
        let first = Why::keep("of these tests");
        assert_eq!(first, Why::keep("of these tests"));
        assert_eq!(first.failure().text(), "this torrent was deleted: of these tests");
        assert_ne!(first, Why::keep("of those tests"));
        let odd = Why::keep("say \"no\"\\\n\u{e9}");
        assert_eq!(odd.failure().text(), "this torrent was deleted: say 'no'???");
        let long = Why::keep(&"x".repeat(1000));
        assert_eq!(long.failure().text().len(), "this torrent was deleted: ".len() + 100);
    }
}
