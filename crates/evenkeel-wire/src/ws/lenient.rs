//! Reads offers in one pass over them, and takes of them what can be taken.
//!
//! What is no list holds no offers; an element that is none is dropped. The announce stands all the same.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::twenty::twenty;
use super::{Offer, Offers, session_description};
use crate::OfferId;
use crate::limits::OFFERS_MAX;

/// What was read of a JSON value that may be anything: of a wrong type it is nothing.
pub(super) struct Lenient<T>(pub(super) T);

/// What can be read of a list or an object.
pub(super) trait Readable<'de>: Default {
    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }

    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Self::default())
    }
}

impl<'de: 'a, 'a> Readable<'de> for Offers<'a> {
    fn of_list<A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut offers = Self::default();
        let mut seen = 0;
        while seen < OFFERS_MAX
            && let Some(Lenient(offer)) = list.next_element::<Lenient<Option<Offer<'_>>>>()?
        {
            seen += 1;
            match offer {
                Some(offer) => offers.list.push(offer),
                None => offers.dropped += 1,
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            offers.dropped += 1;
        }
        Ok(offers)
    }
}

impl<'de: 'a, 'a> Readable<'de> for Option<Offer<'a>> {
    fn of_object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let [mut sdp, mut id] = [None; 2];
        let mut is_twice = false;
        while let Some(name) = object.next_key::<Name>()? {
            let value = match name {
                Name::Offer => &mut sdp,
                Name::OfferId => &mut id,
                Name::Other => {
                    object.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            is_twice |= value.is_some();
            *value = Some(object.next_value::<&'de RawValue>()?);
        }
        let given = |value: Option<&'de RawValue>| value.filter(|value| value.get() != "null");
        let sdp = given(sdp).map(|sdp| session_description(sdp.get()));
        let id = given(id).map(|id| twenty(id.get()).map(OfferId));
        let is_whole = !is_twice && sdp != Some(None) && id != Some(None);
        Ok(is_whole.then(|| Offer { id: id.flatten(), sdp: sdp.flatten() }))
    }
}

/// What of an offer is looked at.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Offer,
    OfferId,
    #[serde(other)]
    Other,
}

impl<'de, T: Readable<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

/// Takes whatever comes.
struct Reader<T>(PhantomData<T>);

impl<'de, T: Readable<'de>> Visitor<'de> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<T, A::Error> {
        T::of_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<T, A::Error> {
        T::of_object(object)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::default())
    }
}
