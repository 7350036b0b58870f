//! Rows that are found by what callers show, of which each row has one or two: a passkey and the one before it, the info
//! hashes of a torrent. The row itself stands behind each of them, so that one look finds it.

use std::collections::HashMap;

use evenkeel_core::Keyed;

use super::parts::{Key, Parts};

/// See the module.
#[derive(Debug)]
pub(super) struct Directory<K, V> {
    rows: Parts<K, V>,
    /// What each row is found by.
    keys: Parts<u32, Keys<K>>,
}

/// What a row is found by.
pub(super) type Keys<K> = [Option<K>; 2];

/// Rows by what they are now, with what each is found by; `None` is gone.
pub(super) type Changed<K, V> = HashMap<u32, Option<(V, Keys<K>)>>;

/// A row of the books.
pub(super) trait Numbered: Copy {
    /// The number.
    fn id(&self) -> u32;
}

impl<K: Key, V: Numbered> Directory<K, V> {
    pub(super) fn new(keyed: Keyed) -> Self {
        Self { rows: Parts::new(keyed), keys: Parts::new(keyed) }
    }

    /// The rows by what callers show.
    pub(super) fn rows(&self) -> &Parts<K, V> {
        &self.rows
    }

    /// The row of a number.
    pub(super) fn of(&self, id: u32) -> Option<V> {
        let keys = self.keys.get(&id)?;
        keys.into_iter().flatten().filter_map(|key| self.rows.get(&key)).find(|row| row.id() == id)
    }

    /// Puts all rows in the place of those that there were.
    pub(super) fn fill(&self, rows: &[(V, Keys<K>)]) {
        self.rows.fill(|put| {
            rows.iter().for_each(|(row, keys)| keys.iter().flatten().for_each(|key| put(*key, *row)));
        });
        self.keys.fill(|put| rows.iter().for_each(|(row, keys)| put(row.id(), *keys)));
    }

    /// Puts rows by what they are now; `None` is gone. What led to a row and does no more goes last, unless it leads to
    /// another row by now: whoever looks meanwhile finds the row before or the row after.
    pub(super) fn change(&self, changes: Changed<K, V>) {
        let now = |(row, keys): &(V, Keys<K>)| {
            let row = *row;
            keys.iter().flatten().map(move |key| (*key, Some(row))).collect::<Vec<_>>()
        };
        self.rows.change(changes.values().flatten().flat_map(now));
        let gone = changes.iter().flat_map(|(id, now)| {
            let stay = now.as_ref().map_or([None; 2], |(_, keys)| *keys);
            let before = self.keys.get(id).unwrap_or([None; 2]);
            let is_its = |key: &K| self.rows.get(key).is_some_and(|row| row.id() == *id);
            let gone = before.into_iter().flatten().filter(|key| !stay.contains(&Some(*key)) && is_its(key));
            gone.map(|key| (key, None)).collect::<Vec<_>>()
        });
        self.rows.change(gone.collect::<Vec<_>>());
        self.keys.change(changes.into_iter().map(|(id, now)| (id, now.map(|(_, keys)| keys))));
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// What it takes.
    pub(super) fn bytes(&self) -> usize {
        self.keys.bytes() + self.rows.bytes()
    }
}
