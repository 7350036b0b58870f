//! The control data in memory: who may announce what, looked up by every announce without asking the database.
//!
//! It is loaded as a whole at the start, and followed by the changes that the store tells of, whoever made them. A change
//! swaps the part of a table that it is in; an announce sees the row before or the row after, and waits for nobody.
//! Names and notes are not here: who wants to read them asks the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use arc_swap::ArcSwap;
use evenkeel_core::Tier;

use crate::store::{
    self, Class, Hash32, Kind, List, Mark, Reader, Row, Store, TorrentState, UserId, UserState, Whose,
};

mod follower;
mod parts;
mod reasons;
mod secret;
mod slots;
#[cfg(test)]
mod tests;

pub use follower::Follower;
use parts::{Filling, Parts};
use reasons::Why;
pub(crate) use secret::hash;
pub use secret::{OVERLAP_SECS, Secret, rotate};
use slots::Slots;

/// What announces need to know of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Number in the books.
    pub id: u32,
    passkey: Hash32,
    previous: Option<Hash32>,
    previous_until: i64,
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
    hash: Hash32,
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
    members: Parts<u32, Member>,
    /// The first bytes of the hash of a passkey, present or previous.
    passkeys: Parts<u64, u32>,
    items: Parts<u32, Hashes>,
    info_hashes: Parts<[u8; 20], Item>,
    keys: Parts<u32, Key>,
    key_hashes: Parts<u64, u32>,
    listed: Parts<u32, [u8; 20]>,
    lists: Parts<[u8; 20], bool>,
    classes: ArcSwap<HashMap<u32, Class>>,
    settings: ArcSwap<HashMap<u32, (String, String)>>,
    slots: Slots,
    /// What [`FREELEECH_UNTIL`] says: every announce asks.
    freeleech_until: AtomicI64,
    is_loaded: AtomicBool,
}

/// The info hashes of a torrent, as peers announce them.
type Hashes = [Option<[u8; 20]>; 2];

impl Control {
    /// Holds nothing.
    pub fn new() -> Self {
        Self {
            members: Parts::new(),
            passkeys: Parts::new(),
            items: Parts::new(),
            info_hashes: Parts::new(),
            keys: Parts::new(),
            key_hashes: Parts::new(),
            listed: Parts::new(),
            lists: Parts::new(),
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

    /// Whom a secret belongs to, at `now_secs` since 1970.
    ///
    /// It is found by its hash, so that how long that takes tells nothing of the secrets that are like it.
    pub fn holder(&self, secret: &[u8], now_secs: i64) -> Option<Holder> {
        let hash = hash(secret);
        if let Some(member) = self.passkeys.get(&start_of(hash)).and_then(|id| self.members.get(&id)) {
            if member.passkey == hash {
                return Some(Holder::User { member, is_outdated: false });
            }
            if member.previous == Some(hash) && now_secs < member.previous_until {
                return Some(Holder::User { member, is_outdated: true });
            }
        }
        let id = self.key_hashes.get(&start_of(hash))?;
        self.keys.get(&id).filter(|key| key.hash == hash).map(Holder::Key)
    }

    /// The number of somebody in the books among all that are known.
    pub(crate) fn number_of(&self, whose: &Whose) -> Option<u32> {
        match whose {
            Whose::User(UserId(id)) => self.members.get(&number(*id))?.slot,
            Whose::Key(id) => self.keys.get(&number(*id))?.slot,
        }
    }

    /// The slot of somebody: the one that it had, or a new one.
    fn slot_of(&self, old: Option<Option<u32>>) -> Option<u32> {
        old.unwrap_or_else(|| self.slots.take())
    }

    /// The catalogued torrent that an info hash is of.
    pub fn item(&self, info_hash: &[u8; 20]) -> Option<Item> {
        self.info_hashes.get(info_hash)
    }

    /// The list that an info hash is on.
    pub fn list(&self, info_hash: &[u8; 20]) -> Option<List> {
        self.lists.get(info_hash).map(|is_denied| if is_denied { List::Denied } else { List::Allowed })
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
            users: self.members.len(),
            user_bytes: self.members.bytes() + self.passkeys.bytes(),
            torrents: self.items.len(),
            torrent_bytes: self.items.bytes() + self.info_hashes.bytes(),
            keys: self.keys.len(),
            listed: self.listed.len(),
            slots: self.slots.given(),
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
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

impl Member {
    fn of(row: &store::User) -> Self {
        Self {
            id: number(row.id),
            passkey: row.passkey,
            previous: row.previous_passkey,
            previous_until: row.previous_until,
            state: row.state,
            class: row.class.map_or(0, number),
            upload_percent: row.upload_percent.map(percent),
            download_percent: row.download_percent.map(percent),
            pinned: row.pinned_tier.and_then(|tier| Tier::new(u8::try_from(tier).ok()?)),
            slot: None,
        }
    }

    fn hashes(&self) -> impl Iterator<Item = Hash32> + use<> {
        [Some(self.passkey), self.previous].into_iter().flatten()
    }
}

impl Key {
    fn of(row: &store::AnnounceKey) -> Self {
        Self { id: number(row.id), hash: row.hash, slot: None }
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

/// What peers announce of a torrent of version 2 is the beginning of its hash.
fn hashes_of(row: &store::Torrent) -> Hashes {
    [row.info_hash_v1, row.info_hash_v2.and_then(|hash| hash.first_chunk().copied())]
}

/// Everything, as it is loaded: into tables that nobody reads yet.
#[derive(Default)]
struct Loading {
    members: Filling<u32, Member>,
    passkeys: Filling<u64, u32>,
    items: Filling<u32, Hashes>,
    info_hashes: Filling<[u8; 20], Item>,
    keys: Filling<u32, Key>,
    key_hashes: Filling<u64, u32>,
    listed: Filling<u32, [u8; 20]>,
    lists: Filling<[u8; 20], bool>,
    classes: HashMap<u32, Class>,
    settings: HashMap<u32, (String, String)>,
}

impl Reader for Loading {
    fn row(&mut self, row: Row) {
        match row {
            Row::User(row) => {
                let member = Member::of(&row);
                member.hashes().for_each(|hash| self.passkeys.put(start_of(hash), member.id));
                self.members.put(member.id, member);
            }
            Row::Torrent(row) => {
                let (item, hashes) = (Item::of(&row), hashes_of(&row));
                hashes.into_iter().flatten().for_each(|hash| self.info_hashes.put(hash, item));
                self.items.put(item.id, hashes);
            }
            Row::Key(row) => {
                self.key_hashes.put(start_of(row.hash), number(row.id));
                self.keys.put(number(row.id), Key::of(&row));
            }
            Row::Listed(row) => {
                self.lists.put(row.info_hash, row.list == List::Denied);
                self.listed.put(number(row.id), row.info_hash);
            }
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
        for (id, member) in self.members.each() {
            member.slot = control.slot_of(control.members.get(id).map(|old| old.slot));
        }
        for (id, key) in self.keys.each() {
            key.slot = control.slot_of(control.keys.get(id).map(|old| old.slot));
        }
        control.members.fill(self.members);
        control.passkeys.fill(self.passkeys);
        control.info_hashes.fill(self.info_hashes);
        control.items.fill(self.items);
        control.keys.fill(self.keys);
        control.key_hashes.fill(self.key_hashes);
        control.lists.fill(self.lists);
        control.listed.fill(self.listed);
        control.classes.store(Arc::new(self.classes));
        control.settings.store(Arc::new(self.settings));
        control.read_settings();
    }
}

/// Rows that have changed, by what they are now; `None` is gone.
#[derive(Default)]
struct Changes {
    users: HashMap<u32, Option<Member>>,
    torrents: HashMap<u32, Option<(Item, Hashes)>>,
    keys: HashMap<u32, Option<Key>>,
    listed: HashMap<u32, Option<([u8; 20], bool)>>,
    classes: HashMap<u32, Option<Class>>,
    settings: HashMap<u32, Option<(String, String)>>,
}

impl Reader for Changes {
    fn row(&mut self, row: Row) {
        match row {
            Row::User(row) => drop(self.users.insert(number(row.id), Some(Member::of(&row)))),
            Row::Torrent(row) => {
                let now = Some((Item::of(&row), hashes_of(&row)));
                self.torrents.insert(number(row.id), now);
            }
            Row::Key(row) => drop(self.keys.insert(number(row.id), Some(Key::of(&row)))),
            Row::Listed(row) => {
                let now = Some((row.info_hash, row.list == List::Denied));
                self.listed.insert(number(row.id), now);
            }
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
            Kind::Listed => drop(self.listed.insert(id, None)),
            Kind::Class => drop(self.classes.insert(id, None)),
            Kind::Setting => drop(self.settings.insert(id, None)),
            Kind::Token => {}
        }
    }
}

impl Changes {
    /// Rows before the ways to them, so that whoever finds a way finds the row that it leads to; what does not lead to
    /// it any more goes last, unless it leads to another row by now.
    fn put(self, control: &Control) {
        let mut users = self.users.into_iter().collect::<Vec<_>>();
        for (id, now) in &mut users {
            let slot = |now: &Member| Member {
                slot: control.slot_of(control.members.get(id).map(|old| old.slot)),
                ..*now
            };
            *now = now.as_ref().map(slot);
        }
        let before = users.iter().filter_map(|(id, _)| Some((*id, control.members.get(id)?)));
        let before: Vec<(u32, u64)> =
            before.flat_map(|(id, old)| old.hashes().map(move |hash| (id, start_of(hash)))).collect();
        let hashes: Vec<(u64, u32)> = users
            .iter()
            .filter_map(|(id, now)| Some((*id, (*now)?)))
            .flat_map(|(id, now)| now.hashes().map(move |hash| (start_of(hash), id)))
            .collect();
        control.members.change(users);
        lead(&control.passkeys, before, hashes);

        let mut keys: Vec<_> = self.keys.into_iter().collect();
        for (id, now) in &mut keys {
            let slot =
                |now: &Key| Key { slot: control.slot_of(control.keys.get(id).map(|old| old.slot)), ..*now };
            *now = now.as_ref().map(slot);
        }
        let before =
            keys.iter().filter_map(|(id, _)| Some((*id, start_of(control.keys.get(id)?.hash)))).collect();
        let hashes = keys.iter().filter_map(|(id, now)| Some((start_of((*now)?.hash), *id))).collect();
        control.keys.change(keys);
        lead(&control.key_hashes, before, hashes);

        self.torrents.into_iter().for_each(|(id, now)| put_torrent(control, id, now));
        for (id, now) in self.listed {
            let old = control.listed.get(&id);
            control.listed.change([(id, now.map(|(hash, _)| hash))]);
            let gone = old.filter(|old| now.is_none_or(|(hash, _)| hash != *old)).map(|old| (old, None));
            control.lists.change(now.map(|(hash, list)| (hash, Some(list))).into_iter().chain(gone));
        }
        change_small(&control.classes, self.classes);
        change_small(&control.settings, self.settings);
        control.read_settings();
    }
}

/// Puts ways to rows, then takes away those that led there before.
fn lead(ways: &Parts<u64, u32>, before: Vec<(u32, u64)>, now: Vec<(u64, u32)>) {
    let stays: std::collections::HashSet<(u64, u32)> = now.iter().copied().collect();
    ways.change(now.into_iter().map(|(way, id)| (way, Some(id))));
    let gone =
        before.into_iter().filter(|(id, way)| !stays.contains(&(*way, *id)) && ways.get(way) == Some(*id));
    let gone: Vec<(u64, Option<u32>)> = gone.map(|(_, way)| (way, None)).collect();
    ways.change(gone);
}

fn put_torrent(control: &Control, id: u32, now: Option<(Item, Hashes)>) {
    let old = control.items.get(&id).unwrap_or_default();
    let hashes = now.map_or([None; 2], |(_, hashes)| hashes);
    let put = now
        .into_iter()
        .flat_map(|(item, hashes)| hashes.into_iter().flatten().map(move |hash| (hash, Some(item))));
    let is_still_its = |hash: &[u8; 20]| control.info_hashes.get(hash).is_some_and(|item| item.id == id);
    let gone: Vec<_> = old
        .into_iter()
        .flatten()
        .filter(|hash| !hashes.contains(&Some(*hash)) && is_still_its(hash))
        .map(|hash| (hash, None))
        .collect();
    control.info_hashes.change(put.chain(gone));
    control.items.change([(id, now.map(|(_, hashes)| hashes))]);
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
