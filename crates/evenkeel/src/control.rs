//! The control data in memory: who may announce what, looked up by every announce without asking the database.
//!
//! It is loaded as a whole at the start, and followed by the changes that the store tells of, whoever made them. A change
//! swaps the part of a table that it is in; an announce sees the row before or the row after, and waits for nobody.
//! Names and notes are not here: who wants to read them asks the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use evenkeel_core::{Keyed, Place, Tier};

use crate::store::{
    self, Class, Hash32, Kind, List, Mark, Reader, Row, Store, TorrentState, UserId, UserState, Whose,
};

mod directory;
mod follower;
mod parts;
mod reasons;
mod secret;
mod slots;
#[cfg(test)]
mod tests;

use directory::{Changed, Directory, Keys, Numbered};
pub use follower::Follower;
use reasons::Why;
pub(crate) use secret::hash;
pub use secret::{OVERLAP_SECS, Secret, rotate};
use slots::Slots;

/// What announces need to know of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Number in the books.
    pub id: u32,
    /// What the user may do.
    pub state: UserState,
    class: u32,
    upload_percent: Option<u16>,
    download_percent: Option<u16>,
    /// The tier that the user is held at.
    pub pinned: Option<Tier>,
    /// See [`Key::slot`].
    pub slot: Option<u32>,
}

/// What announces need to know of an announce key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Number in the books.
    pub id: u32,
    /// Which of all that are known this is, counted from 0 as they come; the same until the program ends, and of nobody
    /// else. `None` when there are too many.
    pub slot: Option<u32>,
}

/// What announces need to know of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Number in the books.
    pub id: u32,
    /// Whether it is served.
    pub state: TorrentState,
    /// What of an upload is credited.
    pub upload_percent: u16,
    /// What of a download is charged.
    pub download_percent: u16,
    /// Until when downloads are free, in seconds since 1970.
    pub freeleech_until: i64,
    /// Bytes, 0 if not known.
    pub size_bytes: u64,
    /// Why it was deleted, if it was.
    pub(crate) why: Why,
}

/// Whom a secret belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A user.
    User {
        /// Who.
        member: Member,
        /// It is the passkey before the present one, and soon good for nothing.
        is_outdated: bool,
    },
    /// An announce key.
    Key(Key),
}

/// What is credited and charged, in percent, before any torrent has its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of an upload.
    pub upload_percent: Option<u16>,
    /// Of a download.
    pub download_percent: Option<u16>,
}

/// The name of the setting that makes every download free until a time, in seconds since 1970.
pub const FREELEECH_UNTIL: &str = "freeleech_until";

/// See the module.
#[derive(Debug)]
pub struct Control {
    /// By the first bytes of the hash of a passkey, present or previous.
    users: Directory<u64, UserRow>,
    torrents: Directory<[u8; 20], Item>,
    /// By the first bytes of their hash.
    keys: Directory<u64, KeyRow>,
    lists: Directory<[u8; 20], Listing>,
    classes: ArcSwap<HashMap<u32, Class>>,
    settings: ArcSwap<HashMap<u32, (String, String)>>,
    slots: Slots,
    /// What [`FREELEECH_UNTIL`] says: every announce asks.
    freeleech_until: AtomicI64,
    is_loaded: AtomicBool,
}

/// A user, and what the user shows.
#[derive(Clone, Copy, Debug)]
struct UserRow {
    member: Member,
    passkey: Hash32,
    previous: Option<Hash32>,
    previous_until: i64,
}

/// An announce key, and what is shown of it.
#[derive(Clone, Copy, Debug)]
struct KeyRow {
    key: Key,
    hash: Hash32,
}

/// An info hash on a list.
#[derive(Clone, Copy, Debug)]
struct Listing {
    id: u32,
    list: List,
}

impl Control {
    /// Holds nothing. `keyed` is what the places of swarms are computed with.
    pub fn new(keyed: Keyed) -> Self {
        Self {
            users: Directory::new(keyed),
            torrents: Directory::new(keyed),
            keys: Directory::new(keyed),
            lists: Directory::new(keyed),
            classes: ArcSwap::default(),
            settings: ArcSwap::default(),
            slots: Slots::default(),
            freeleech_until: AtomicI64::new(0),
            is_loaded: AtomicBool::new(false),
        }
    }

    /// Loads everything anew, beside what there was, and puts it in its place.
    pub fn load(&self, store: &mut dyn Store) -> Result<Mark, store::Error> {
        let mut loading = Loading::default();
        let mark = store.load(&mut loading)?;
        loading.put(self);
        self.is_loaded.store(true, Ordering::Release);
        Ok(mark)
    }

    /// Whether it has been loaded. Until then nobody's secret is known.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Takes what has changed.
    pub fn follow(&self, store: &mut dyn Store, mark: &Mark) -> Result<Mark, store::Error> {
        let mut changes = Changes::default();
        let mark = store.changes_since(mark, &mut changes)?;
        changes.put(self);
        Ok(mark)
    }

    /// Whom a secret belongs to of which this is the hash, at `now_secs` since 1970.
    ///
    /// It is found by its hash, so that how long that takes tells nothing of the secrets that are like it.
    pub fn holder(&self, secret: &Hash32, now_secs: i64) -> Option<Holder> {
        let start = start_of(*secret);
        let member = |row: &UserRow| match row.passkey == *secret {
            true => Some(Holder::User { member: row.member, is_outdated: false }),
            false => (row.previous == Some(*secret) && now_secs < row.previous_until)
                .then_some(Holder::User { member: row.member, is_outdated: true }),
        };
        let key = |row: &KeyRow| (row.hash == *secret).then_some(Holder::Key(row.key));
        let users = self.users.rows().look((&start, start), member);
        users.or_else(|| self.keys.rows().look((&start, start), key))
    }

    /// The number of somebody in the books among all that are known.
    pub(crate) fn number_of(&self, whose: &Whose) -> Option<u32> {
        match whose {
            Whose::User(UserId(id)) => self.users.of(number(*id))?.member.slot,
            Whose::Key(id) => self.keys.of(number(*id))?.key.slot,
        }
    }

    /// The catalogued torrent that an info hash is of, whose swarm is at `place`.
    pub fn item(&self, info_hash: &[u8; 20], place: Place) -> Option<Item> {
        self.torrents.rows().look((info_hash, place.number()), |item| Some(*item))
    }

    /// The list that an info hash is on, whose swarm is at `place`.
    pub fn list(&self, info_hash: &[u8; 20], place: Place) -> Option<List> {
        self.lists.rows().look((info_hash, place.number()), |listing| Some(listing.list))
    }

    /// Has fetched from memory what [`Control::holder`] and [`Control::item`] will look at: the first of two steps.
    pub fn prefetch_slots(&self, secret: Option<&Hash32>, place: Place) {
        if let Some(secret) = secret {
            self.users.rows().prefetch_slot(start_of(*secret));
        }
        self.torrents.rows().prefetch_slot(place.number());
    }

    /// The second step.
    pub fn prefetch_rows(&self, secret: Option<&Hash32>, place: Place) {
        if let Some(secret) = secret {
            self.users.rows().prefetch_row(start_of(*secret));
        }
        self.torrents.rows().prefetch_row(place.number());
    }

    /// The slot of a user: the one that it had, or a new one.
    fn slot_of_user(&self, id: u32) -> Option<u32> {
        self.users.of(id).map_or_else(|| self.slots.take(), |old| old.member.slot)
    }

    /// The same of an announce key.
    fn slot_of_key(&self, id: u32) -> Option<u32> {
        self.keys.of(id).map_or_else(|| self.slots.take(), |old| old.key.slot)
    }

    /// What is credited to a user and charged: what the user's own row and the class say.
    pub fn shares(&self, member: &Member) -> [Share; 2] {
        let own = Share { upload_percent: member.upload_percent, download_percent: member.download_percent };
        let of_class = |class: &Class| Share {
            upload_percent: Some(percent(class.upload_percent)),
            download_percent: Some(percent(class.download_percent)),
        };
        let class = self.class(member, of_class);
        [own, class.unwrap_or(Share { upload_percent: None, download_percent: None })]
    }

    /// Clients that a user may have on one torrent, and addresses, as far as the class says.
    pub fn limits(&self, member: &Member) -> (Option<u32>, Option<u32>) {
        let of_class = |class: &Class| (class.clients_per_torrent_max, class.addresses_max);
        self.class(member, of_class).unwrap_or_default()
    }

    /// Something of the class of a user who has one.
    fn class<T>(&self, member: &Member, of_class: impl FnOnce(&Class) -> T) -> Option<T> {
        if member.class == 0 {
            return None;
        }
        self.classes.load().get(&member.class).map(of_class)
    }

    /// Until when every download is free, in seconds since 1970.
    pub fn freeleech_until(&self) -> i64 {
        self.freeleech_until.load(Ordering::Relaxed)
    }

    /// Reads those settings that announces ask for.
    fn read_settings(&self) {
        let until = self.setting(FREELEECH_UNTIL, |value| value.parse().ok()).unwrap_or(0);
        self.freeleech_until.store(until, Ordering::Relaxed);
    }

    /// What a setting is set to, if it can be read.
    pub(crate) fn setting<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let settings = self.settings.load();
        settings.values().find(|(of, _)| of == name).and_then(|(_, value)| read(value))
    }

    /// How many rows there are, and the bytes that they take.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            users: self.users.len(),
            user_bytes: self.users.bytes(),
            torrents: self.torrents.len(),
            torrent_bytes: self.torrents.bytes(),
            keys: self.keys.len(),
            listed: self.lists.len(),
            slots: self.slots.given(),
        }
    }
}

/// See [`Control::sizes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Users.
    pub users: usize,
    /// Bytes of all of them.
    pub user_bytes: usize,
    /// Torrents.
    pub torrents: usize,
    /// Bytes of all of them.
    pub torrent_bytes: usize,
    /// Announce keys.
    pub keys: usize,
    /// Info hashes on lists.
    pub listed: usize,
    /// Users and keys that were told apart since the start, those that are gone included.
    pub slots: u32,
}

fn start_of(hash: Hash32) -> u64 {
    u64::from_le_bytes(*hash.0.first_chunk().expect("32 bytes begin with 8"))
}

/// The tables keep ids in this range.
fn number(id: i64) -> u32 {
    u32::try_from(id).unwrap_or(0)
}

/// The tables keep percentages below that.
fn percent(percent: u32) -> u16 {
    u16::try_from(percent).unwrap_or(u16::MAX)
}

impl UserRow {
    fn of(row: &store::User) -> Self {
        let member = Member {
            id: number(row.id),
            state: row.state,
            class: row.class.map_or(0, number),
            upload_percent: row.upload_percent.map(percent),
            download_percent: row.download_percent.map(percent),
            pinned: row.pinned_tier.and_then(|tier| Tier::new(u8::try_from(tier).ok()?)),
            slot: None,
        };
        let store::User { passkey, previous_passkey, previous_until, .. } = *row;
        Self { member, passkey, previous: previous_passkey, previous_until }
    }

    fn keys(&self) -> Keys<u64> {
        [Some(self.passkey), self.previous].map(|hash| hash.map(start_of))
    }
}

impl KeyRow {
    fn of(row: &store::AnnounceKey) -> Self {
        Self { key: Key { id: number(row.id), slot: None }, hash: row.hash }
    }

    fn keys(&self) -> Keys<u64> {
        [Some(start_of(self.hash)), None]
    }
}

impl Item {
    fn of(row: &store::Torrent) -> Self {
        Self {
            id: number(row.id),
            state: row.state,
            upload_percent: percent(row.upload_percent),
            download_percent: percent(row.download_percent),
            freeleech_until: row.freeleech_until,
            size_bytes: row.size_bytes.unwrap_or(0),
            why: if row.state == TorrentState::Deleted { Why::keep(&row.reason) } else { Why::default() },
        }
    }
}

impl Numbered for UserRow {
    fn id(&self) -> u32 {
        self.member.id
    }
}

impl Numbered for Item {
    fn id(&self) -> u32 {
        self.id
    }
}

impl Numbered for KeyRow {
    fn id(&self) -> u32 {
        self.key.id
    }
}

impl Numbered for Listing {
    fn id(&self) -> u32 {
        self.id
    }
}

fn torrent_of(row: &store::Torrent) -> (Item, Keys<[u8; 20]>) {
    // What peers announce of a torrent of version 2 is the beginning of its hash.
    let short = row.info_hash_v2.and_then(|hash| hash.first_chunk().copied());
    (Item::of(row), [row.info_hash_v1, short])
}

fn listing_of(row: &store::Listed) -> (Listing, Keys<[u8; 20]>) {
    (Listing { id: number(row.id), list: row.list }, [Some(row.info_hash), None])
}

/// Everything, as it is loaded.
#[derive(Default)]
struct Loading {
    users: Vec<(UserRow, Keys<u64>)>,
    torrents: Vec<(Item, Keys<[u8; 20]>)>,
    keys: Vec<(KeyRow, Keys<u64>)>,
    lists: Vec<(Listing, Keys<[u8; 20]>)>,
    classes: HashMap<u32, Class>,
    settings: HashMap<u32, (String, String)>,
}

impl Reader for Loading {
    fn row(&mut self, row: Row) {
        match row {
            Row::User(row) => {
                let user = UserRow::of(&row);
                self.users.push((user, user.keys()));
            }
            Row::Torrent(row) => self.torrents.push(torrent_of(&row)),
            Row::Key(row) => {
                let key = KeyRow::of(&row);
                self.keys.push((key, key.keys()));
            }
            Row::Listed(row) => self.lists.push(listing_of(&row)),
            Row::Class(row) => drop(self.classes.insert(number(row.id), row)),
            Row::Setting(row) => drop(self.settings.insert(number(row.id), (row.name, row.value))),
            // Nobody announces with one.
            Row::Token(_) => {}
        }
    }

    fn gone(&mut self, _: Kind, _: i64) {}
}

impl Loading {
    fn put(mut self, control: &Control) {
        self.users.iter_mut().for_each(|(user, _)| user.member.slot = control.slot_of_user(user.id()));
        self.keys.iter_mut().for_each(|(row, _)| row.key.slot = control.slot_of_key(row.id()));
        control.users.fill(&self.users);
        control.torrents.fill(&self.torrents);
        control.keys.fill(&self.keys);
        control.lists.fill(&self.lists);
        control.classes.store(Arc::new(self.classes));
        control.settings.store(Arc::new(self.settings));
        control.read_settings();
    }
}

/// Rows that have changed, by what they are now; `None` is gone.
#[derive(Default)]
struct Changes {
    users: Changed<u64, UserRow>,
    torrents: Changed<[u8; 20], Item>,
    keys: Changed<u64, KeyRow>,
    lists: Changed<[u8; 20], Listing>,
    classes: HashMap<u32, Option<Class>>,
    settings: HashMap<u32, Option<(String, String)>>,
}

impl Reader for Changes {
    fn row(&mut self, row: Row) {
        match row {
            Row::User(row) => {
                let user = UserRow::of(&row);
                self.users.insert(user.id(), Some((user, user.keys())));
            }
            Row::Torrent(row) => drop(self.torrents.insert(number(row.id), Some(torrent_of(&row)))),
            Row::Key(row) => {
                let key = KeyRow::of(&row);
                self.keys.insert(key.id(), Some((key, key.keys())));
            }
            Row::Listed(row) => drop(self.lists.insert(number(row.id), Some(listing_of(&row)))),
            Row::Class(row) => drop(self.classes.insert(number(row.id), Some(row))),
            Row::Setting(row) => drop(self.settings.insert(number(row.id), Some((row.name, row.value)))),
            Row::Token(_) => {}
        }
    }

    fn gone(&mut self, kind: Kind, id: i64) {
        let id = number(id);
        match kind {
            Kind::User => drop(self.users.insert(id, None)),
            Kind::Torrent => drop(self.torrents.insert(id, None)),
            Kind::Key => drop(self.keys.insert(id, None)),
            Kind::Listed => drop(self.lists.insert(id, None)),
            Kind::Class => drop(self.classes.insert(id, None)),
            Kind::Setting => drop(self.settings.insert(id, None)),
            Kind::Token => {}
        }
    }
}

impl Changes {
    fn put(mut self, control: &Control) {
        for (user, _) in self.users.values_mut().flatten() {
            user.member.slot = control.slot_of_user(user.id());
        }
        for (row, _) in self.keys.values_mut().flatten() {
            row.key.slot = control.slot_of_key(row.id());
        }
        control.users.change(self.users);
        control.keys.change(self.keys);
        control.torrents.change(self.torrents);
        control.lists.change(self.lists);
        change_small(&control.classes, self.classes);
        change_small(&control.settings, self.settings);
        control.read_settings();
    }
}

fn change_small<V: Clone>(table: &ArcSwap<HashMap<u32, V>>, changes: HashMap<u32, Option<V>>) {
    if changes.is_empty() {
        return;
    }
    let mut copy = HashMap::clone(&table.load());
    for (id, now) in changes {
        match now {
            Some(row) => drop(copy.insert(id, row)),
            None => drop(copy.remove(&id)),
        }
    }
    table.store(Arc::new(copy));
}
