use std::time::Instant;

use evenkeel_wire::InfoHash;

use super::*;
use crate::store::exam::{self, Desk, populate, torrent, user};
use crate::store::{AnnounceKey, Edit, Listed, Setting, Torrent, User};

fn keyed() -> Keyed {
    Keyed::new([1, 2])
}

fn item_of(control: &Control, info_hash: [u8; 20]) -> Option<Item> {
    control.item(&info_hash, Place::of(&keyed(), &InfoHash(info_hash)))
}

fn list_of(control: &Control, info_hash: [u8; 20]) -> Option<List> {
    control.list(&info_hash, Place::of(&keyed(), &InfoHash(info_hash)))
}

fn secret_of(user: &mut User) -> Secret {
    let secret = Secret::draw().unwrap();
    user.passkey = secret.hash();
    secret
}

/// A control whose follower has looked once.
fn follower(desk: &dyn Desk) -> (Arc<Control>, Follower) {
    let control = Arc::new(Control::new(keyed()));
    let mut follower = Follower::new(Arc::clone(&control), desk.open().unwrap());
    follower.look();
    assert!(control.is_loaded());
    (control, follower)
}

fn user_of(control: &Control, secret: &Secret, now: i64) -> Option<(u32, bool)> {
    match control.holder(&secret.hash(), now)? {
        Holder::User { member, is_outdated } => Some((member.id, is_outdated)),
        Holder::Key(_) => None,
    }
}

#[test]
fn a_rotated_passkey_is_good_for_a_day_more() {
    let desk = exam::file();
    let mut store = desk.open().unwrap();
    let mut row = user("a");
    let first = secret_of(&mut row);
    row.id = store.edit(&[Edit::User(row.clone())]).unwrap()[0];
    let id = number(row.id);
    let (control, mut follower) = follower(&desk);
    assert_eq!(user_of(&control, &first, 0), Some((id, false)));

    let now = 1_700_000_000;
    let second = rotate(&mut row, now).unwrap();
    store.edit(&[Edit::User(row.clone())]).unwrap();
    follower.look();
    assert_eq!(user_of(&control, &second, now), Some((id, false)));
    assert_eq!(user_of(&control, &first, now + OVERLAP_SECS - 1), Some((id, true)));
    assert_eq!(user_of(&control, &first, now + OVERLAP_SECS), None);

    let third = rotate(&mut row, now + 1).unwrap();
    store.edit(&[Edit::User(row.clone())]).unwrap();
    follower.look();
    assert_eq!(user_of(&control, &first, now + 2), None, "only the last one is good for longer");
    assert_eq!(user_of(&control, &second, now + 2), Some((id, true)));
    assert_eq!(user_of(&control, &third, now + 2), Some((id, false)));

    store.edit(&[Edit::Remove(Kind::User, row.id)]).unwrap();
    follower.look();
    assert_eq!(user_of(&control, &third, now + 2), None);
    assert_eq!(control.sizes().users, 0);
}

#[test]
fn users_and_keys_have_numbers_that_stay_and_are_never_given_again() {
    let desk = exam::file();
    let mut store = desk.open().unwrap();
    let mut rows = [user("a"), user("b"), user("c")];
    let mut secrets: Vec<Secret> = rows.iter_mut().map(secret_of).collect();
    let ids = store.edit(&rows.clone().map(Edit::User)).unwrap();
    secrets.push(Secret::draw().unwrap());
    let key = AnnounceKey { id: 0, hash: secrets[3].hash(), note: String::new(), created_at: 0, used_at: 0 };
    store.edit(&[Edit::Key(key)]).unwrap();
    let (control, mut follower) = follower(&desk);
    let slots = |control: &Control, secrets: &[Secret]| {
        let slot = |secret: &Secret| match control.holder(&secret.hash(), 0)? {
            Holder::User { member, .. } => member.slot,
            Holder::Key(key) => key.slot,
        };
        secrets.iter().map(slot).collect::<Vec<_>>()
    };
    let mut first = slots(&control, &secrets);
    assert_eq!(first, [Some(0), Some(1), Some(2), Some(3)]);

    rows[1] = User { id: ids[1], pinned_tier: Some(2), ..rows[1].clone() };
    let mut new = user("d");
    secrets.push(secret_of(&mut new));
    store.edit(&[Edit::User(rows[1].clone()), Edit::Remove(Kind::User, ids[0]), Edit::User(new)]).unwrap();
    follower.look();
    first[0] = None;
    first.push(Some(4));
    assert_eq!(slots(&control, &secrets), first);
    let held = control.holder(&secrets[1].hash(), 0);
    assert!(matches!(held, Some(Holder::User { member, .. }) if member.pinned == Tier::new(2)));
    control.load(&mut *desk.open().unwrap()).unwrap();
    assert_eq!(slots(&control, &secrets), first, "loaded anew");
}

#[test]
fn a_passkey_that_moves_to_another_user_is_that_users() {
    let desk = exam::file();
    let mut store = desk.open().unwrap();
    let (mut a, mut b) = (user("a"), user("b"));
    let (of_a, of_b) = (secret_of(&mut a), secret_of(&mut b));
    let ids = store.edit(&[Edit::User(a.clone()), Edit::User(b.clone())]).unwrap();
    (a.id, b.id) = (ids[0], ids[1]);
    let (control, mut follower) = follower(&desk);
    a.passkey = Secret::draw().unwrap().hash();
    b.passkey = of_a.hash();
    store.edit(&[Edit::User(a), Edit::User(b.clone())]).unwrap();
    follower.look();
    assert_eq!(user_of(&control, &of_a, 0), Some((number(b.id), false)));
    assert_eq!(user_of(&control, &of_b, 0), None);
}

#[test]
fn a_hybrid_torrent_is_one_torrent_under_both_hashes() {
    let desk = exam::file();
    let mut store = desk.open().unwrap();
    let mut of_v2 = [2; 32];
    of_v2[20..].fill(9);
    let hybrid = Torrent { info_hash_v2: Some(of_v2), ..torrent(1) };
    let [id] = store.edit(&[Edit::Torrent(hybrid.clone())]).unwrap()[..] else { panic!() };
    let (control, mut follower) = follower(&desk);
    let item = item_of(&control, [1; 20]).unwrap();
    assert_eq!(i64::from(item.id), id);
    assert_eq!(item_of(&control, [2; 20]), Some(item), "peers announce the first 20 bytes");
    assert_eq!(item_of(&control, [9; 20]), None);

    let only_v1 = Torrent { id, info_hash_v2: None, state: TorrentState::Deleted, ..hybrid };
    store.edit(&[Edit::Torrent(only_v1), Edit::Torrent(torrent(2))]).unwrap();
    follower.look();
    assert_eq!(item_of(&control, [1; 20]).unwrap().state, TorrentState::Deleted);
    assert_ne!(item_of(&control, [2; 20]).unwrap().id, item.id, "it is another torrent's now");
    store.edit(&[Edit::Remove(Kind::Torrent, id)]).unwrap();
    follower.look();
    assert_eq!(item_of(&control, [1; 20]), None);
    assert!(item_of(&control, [2; 20]).is_some());
}

#[test]
fn keys_lists_classes_and_settings_follow() {
    let desk = exam::file();
    let mut store = desk.open().unwrap();
    let (control, mut follower) = follower(&desk);
    let secret = Secret::draw().unwrap();
    let key = AnnounceKey { id: 0, hash: secret.hash(), note: String::new(), created_at: 0, used_at: 0 };
    let class = Class {
        id: 0,
        name: "c".to_owned(),
        upload_percent: 150,
        download_percent: 50,
        clients_per_torrent_max: Some(3),
        addresses_max: Some(5),
    };
    let listed = Listed { id: 0, info_hash: [3; 20], list: List::Denied, note: String::new() };
    let setting = Setting { id: 0, name: FREELEECH_UNTIL.to_owned(), value: "77".to_owned() };
    let edits =
        [Edit::Key(key), Edit::Class(class), Edit::Listed(listed.clone()), Edit::Setting(setting.clone())];
    let ids = store.edit(&edits).unwrap();
    let mut of_class = User { class: Some(ids[1]), download_percent: Some(70), ..user("a") };
    let passkey = secret_of(&mut of_class);
    store.edit(&[Edit::User(of_class)]).unwrap();
    follower.look();
    let key = Key { id: number(ids[0]), slot: Some(1) };
    assert_eq!(control.holder(&secret.hash(), 0), Some(Holder::Key(key)));
    assert_eq!(list_of(&control, [3; 20]), Some(List::Denied));
    assert_eq!(control.freeleech_until(), 77);
    let Some(Holder::User { member, .. }) = control.holder(&passkey.hash(), 0) else { panic!() };
    let own = Share { upload_percent: None, download_percent: Some(70) };
    let of_class = Share { upload_percent: Some(150), download_percent: Some(50) };
    assert_eq!(control.shares(&member), [own, of_class]);
    assert_eq!(control.limits(&member), (Some(3), Some(5)));

    let moved = Listed { id: ids[2], info_hash: [4; 20], list: List::Allowed, ..listed };
    let broken = Setting { id: ids[3], value: "soon".to_owned(), ..setting };
    let edits = [
        Edit::Listed(moved),
        Edit::Setting(broken),
        Edit::Remove(Kind::Key, ids[0]),
        Edit::Remove(Kind::Class, ids[1]),
    ];
    store.edit(&edits).unwrap();
    follower.look();
    assert_eq!(control.holder(&secret.hash(), 0), None);
    assert_eq!((list_of(&control, [3; 20]), list_of(&control, [4; 20])), (None, Some(List::Allowed)));
    assert_eq!(control.freeleech_until(), 0);
    assert_eq!(control.limits(&member), (None, None));
}

/// Whatever is wrong with the way to the database, what was loaded holds, and changes are seen when it is well again.
#[test]
fn what_was_loaded_holds_while_the_database_is_away() {
    let desk = exam::database();
    let mut store = desk.open().unwrap();
    let ([a, _], _) = populate(&mut *store);
    let (control, mut follower) = follower(&desk);
    desk.write("ALTER TABLE change_log RENAME TO elsewhere").unwrap();
    follower.look();
    assert_eq!(control.sizes().users, 2);
    desk.write("ALTER TABLE elsewhere RENAME TO change_log").unwrap();
    desk.write(&format!("DELETE FROM users WHERE id = {}", a.0)).unwrap();
    follower.look();
    assert_eq!(control.sizes().users, 1);
    desk.write("TRUNCATE users").unwrap();
    follower.look();
    follower.look();
    assert_eq!(control.sizes().users, 0, "a table that was emptied is loaded anew");
}

#[test]
fn a_user_takes_less_than_200_bytes_and_a_torrent_less_than_250() {
    const ROWS: u32 = 200_000;
    let mut loading = Loading::default();
    for id in 1..=ROWS {
        let hash = hash(&id.to_le_bytes());
        let row = User { id: id.into(), passkey: hash, ..user("a") };
        loading.row(Row::User(row));
        let hash = hash.0.first_chunk().copied();
        loading.row(Row::Torrent(Torrent { id: id.into(), info_hash_v1: hash, ..torrent(1) }));
    }
    let control = Control::new(keyed());
    let began = Instant::now();
    loading.put(&control);
    let sizes = control.sizes();
    let (user, torrent) = (sizes.user_bytes / sizes.users, sizes.torrent_bytes / sizes.torrents);
    println!("{user} bytes for a user, {torrent} for a torrent; {:?} to put {ROWS} of each", began.elapsed());
    assert_eq!((sizes.users, sizes.torrents), (ROWS as usize, ROWS as usize));
    assert!(user <= 200 && torrent <= 250, "{user} and {torrent}");
}

#[test]
fn secrets_are_long_random_and_never_shown_by_accident() {
    let (one, other) = (Secret::draw().unwrap(), Secret::draw().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.reveal().len(), 32);
    assert_eq!(format!("{one:?} {:?}", one.hash()), "*** ***");
    let row = user("a");
    assert!(format!("{row:?}").contains("passkey: ***"));
}
