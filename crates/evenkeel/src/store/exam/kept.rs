//! Control data: what is put comes back, what is wrong is refused.

use super::*;

sit! {
    control_data_comes_back_as_it_was_put
    edits_are_all_done_or_none_and_the_bad_one_is_named
    names_that_look_like_sql_are_names
    a_token_is_found_by_its_hash_alone
    what_only_one_row_has_finds_it
    a_file_is_kept_with_its_torrent_and_goes_with_it
    a_schema_of_a_newer_program_is_refused
    a_store_that_is_opened_again_holds_what_it_held
}

fn control_data_comes_back_as_it_was_put(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let class = Class {
        id: 0,
        name: "elite".to_owned(),
        upload_percent: 150,
        download_percent: 50,
        clients_per_torrent_max: Some(3),
        addresses_max: None,
    };
    let [class_id] = store.edit(&[Edit::Class(class.clone())]).unwrap()[..] else { panic!() };
    let full = User {
        previous_passkey: Some(Hash32([9; 32])),
        previous_until: 1_700_086_400,
        state: UserState::LeechDisabled,
        class: Some(class_id),
        upload_percent: Some(200),
        download_percent: Some(0),
        pinned_tier: Some(2),
        ..user("full")
    };
    let hybrid = Torrent {
        info_hash_v2: Some([2; 32]),
        size_bytes: Some(1 << 40),
        state: TorrentState::Deleted,
        reason: "Dupe".to_owned(),
        freeleech_until: 1_800_000_000,
        ..torrent(1)
    };
    let of_v2 = Torrent { info_hash_v1: None, info_hash_v2: Some([3; 32]), size_bytes: None, ..torrent(2) };
    let key = AnnounceKey {
        id: 0,
        hash: Hash32([5; 32]),
        note: "for a friend".to_owned(),
        created_at: 1,
        used_at: 2,
    };
    let listed = Listed { id: 0, info_hash: [8; 20], list: List::Denied, note: "court".to_owned() };
    let setting = Setting { id: 0, name: "freeleech_until".to_owned(), value: "1800000000".to_owned() };
    let edits = [
        Edit::User(user("plain")),
        Edit::User(full.clone()),
        Edit::Torrent(hybrid.clone()),
        Edit::Torrent(of_v2.clone()),
        Edit::Key(key.clone()),
        Edit::Listed(listed.clone()),
        Edit::Setting(setting.clone()),
    ];
    let ids = store.edit(&edits).unwrap();
    let expected = vec![
        Row::User(User { id: ids[0], ..user("plain") }),
        Row::User(User { id: ids[1], ..full.clone() }),
        Row::Class(Class { id: class_id, ..class }),
        Row::Torrent(Torrent { id: ids[2], ..hybrid }),
        Row::Torrent(Torrent { id: ids[3], ..of_v2 }),
        Row::Key(AnnounceKey { id: ids[4], ..key }),
        Row::Listed(Listed { id: ids[5], ..listed }),
        Row::Setting(Setting { id: ids[6], ..setting }),
    ];
    assert_eq!(load(&mut *store).1, expected);

    let renamed = User { id: ids[1], name: "renamed".to_owned(), class: None, ..full };
    store.edit(&[Edit::User(renamed.clone()), Edit::Remove(Kind::Torrent, ids[3])]).unwrap();
    let (_, rows) = load(&mut *store);
    assert_eq!(rows.len(), 7);
    assert!(rows.contains(&Row::User(renamed)));
}

fn edits_are_all_done_or_none_and_the_bad_one_is_named(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let [a] = store.edit(&[Edit::User(user("a"))]).unwrap()[..] else { panic!() };
    store.edit(&[Edit::Torrent(torrent(1))]).unwrap();
    let before = load(&mut *store).1;
    let mut refuse = |bad: Edit| store.edit(&[Edit::User(user("new")), bad]).unwrap_err();

    let taken = |error: Error, of: &str| {
        let Error::Taken { edit: 1, field } = &error else { panic!("{error}") };
        assert_eq!(field, of);
        assert!(!error.is_retryable());
    };
    taken(refuse(Edit::User(User { passkey: Hash32([1; 32]), ..user("a") })), "name");
    taken(refuse(Edit::User(User { name: "other".to_owned(), ..user("a") })), "passkey_hash");
    taken(refuse(Edit::Torrent(torrent(1))), "info_hash_v1");

    let out = |error: Error, of: &str| {
        let Error::OutOfRange { edit: 1, field } = &error else { panic!("{error}") };
        assert_eq!(field, of);
    };
    out(refuse(Edit::User(user(""))), "name");
    out(refuse(Edit::User(user(&"x".repeat(10_000)))), "name");
    out(refuse(Edit::User(User { upload_percent: Some(u32::MAX), ..user("b") })), "upload_percent");
    out(refuse(Edit::User(User { pinned_tier: Some(4), ..user("b") })), "pinned_tier");
    out(refuse(Edit::Torrent(Torrent { info_hash_v1: None, ..torrent(2) })), "info_hash_v1");
    out(refuse(Edit::Torrent(Torrent { reason: "x".repeat(101), ..torrent(2) })), "reason");

    for missing in [Edit::User(User { id: a + 100, ..user("b") }), Edit::Remove(Kind::Class, 1)] {
        let error = refuse(missing);
        assert!(matches!(error, Error::Missing { edit: 1 }), "{error}");
    }
    assert_eq!(load(&mut *store).1, before, "nothing of it is there");
}

fn names_that_look_like_sql_are_names(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    for name in ["'; DROP TABLE users; --", "$1", "\\'", "%s\"`", "\u{202e}ünïcödé\n\t"] {
        let [id] = store.edit(&[Edit::User(user(name))]).unwrap()[..] else { panic!() };
        assert!(load(&mut *store).1.contains(&Row::User(User { id, ..user(name) })), "{name}");
    }
}

fn a_token_is_found_by_its_hash_alone(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let token = |name: &str, hash| Token {
        id: 0,
        name: name.to_owned(),
        hash: Hash32([hash; 32]),
        scopes: Scopes::of([Scope::Read, Scope::All(Kind::Token)]),
        expires_at: (hash == 1).then_some(1_800_000_000),
        created_at: 1_700_000_000,
    };
    let ids = store.edit(&[Edit::Token(token("a", 1)), Edit::Token(token("b", 2))]).unwrap();
    let first = Token { id: ids[0], ..token("a", 1) };
    let find =
        |store: &mut dyn Store, secret: u8| store.find(Kind::Token, &Unique::Secret(Hash32([secret; 32])));
    assert_eq!(find(&mut *store, 1).unwrap(), Some(Row::Token(first.clone())));
    assert_eq!(find(&mut *store, 3).unwrap(), None);
    assert_eq!(store.page(Kind::Token, 0, 1).unwrap(), [Row::Token(first)]);
    assert_eq!(load(&mut *store).1, [], "no copy of them is kept");
    let error = store.edit(&[Edit::Token(token("a", 3))]).unwrap_err();
    assert!(matches!(&error, Error::Taken { edit: 0, field } if field == "name"), "{error}");
    let none = Token { scopes: Scopes::default(), ..token("c", 4) };
    let error = store.edit(&[Edit::Token(none)]).unwrap_err();
    assert!(matches!(&error, Error::OutOfRange { edit: 0, field } if field == "scopes"), "{error}");
    store.edit(&[Edit::Remove(Kind::Token, ids[0])]).unwrap();
    assert_eq!(find(&mut *store, 1).unwrap(), None);
}

fn what_only_one_row_has_finds_it(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let previous_passkey = Some(Hash32([9; 32]));
    let ann = User { passkey: Hash32([1; 32]), previous_passkey, ..user("a") };
    let key = AnnounceKey { id: 0, hash: Hash32([2; 32]), note: String::new(), created_at: 1, used_at: 2 };
    let hybrid = Torrent { info_hash_v2: Some([4; 32]), ..torrent(3) };
    let listed = Listed { id: 0, info_hash: [5; 20], list: List::Denied, note: String::new() };
    let edits = [
        Edit::User(ann.clone()),
        Edit::Key(key.clone()),
        Edit::Torrent(hybrid.clone()),
        Edit::Listed(listed.clone()),
    ];
    let ids = store.edit(&edits).unwrap();
    let ann = Some(Row::User(User { id: ids[0], ..ann }));
    let key = Some(Row::Key(AnnounceKey { id: ids[1], ..key }));
    let hybrid = Some(Row::Torrent(Torrent { id: ids[2], ..hybrid }));
    let listed = Some(Row::Listed(Listed { id: ids[3], ..listed }));
    let secret = |byte| Unique::Secret(Hash32([byte; 32]));
    let name = |name: &str| Unique::Name(name.to_owned());
    for (kind, unique, found) in [
        (Kind::User, secret(1), ann.clone()),
        (Kind::User, secret(2), None),
        (Kind::User, secret(9), None),
        (Kind::User, name("a"), ann),
        (Kind::User, name("' OR 1=1 --"), None),
        (Kind::Class, name("a"), None),
        (Kind::Key, secret(2), key),
        (Kind::Key, name("a"), None),
        (Kind::Torrent, Unique::InfoHashV1([3; 20]), hybrid.clone()),
        (Kind::Torrent, Unique::InfoHashV2([4; 32]), hybrid),
        (Kind::Torrent, Unique::InfoHashV1([5; 20]), None),
        (Kind::Torrent, secret(1), None),
        (Kind::Listed, Unique::InfoHashV1([5; 20]), listed),
    ] {
        assert_eq!(store.find(kind, &unique).unwrap(), found, "{kind:?} {unique:?}");
    }
}

fn a_file_is_kept_with_its_torrent_and_goes_with_it(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let file = |content: &[u8]| Edit::File(0, content.to_vec());
    let ids = store.edit(&[Edit::Torrent(torrent(1)), file(b"one"), Edit::Torrent(torrent(2))]).unwrap();
    let (first, second) = (TorrentId(ids[0]), TorrentId(ids[2]));
    assert_eq!(store.file(first).unwrap().as_deref(), Some(&b"one"[..]));
    assert_eq!(store.file(second).unwrap(), None);
    store.edit(&[Edit::File(first.0, vec![0, 255])]).unwrap();
    assert_eq!(store.file(first).unwrap().as_deref(), Some(&[0, 255][..]));
    store.edit(&[Edit::Torrent(torrent(3)), file(b"x"), Edit::Torrent(torrent(2))]).unwrap_err();
    let (_, rows) = load(&mut *store);
    assert_eq!(rows.len(), 2, "all of it or nothing");
    store.edit(&[Edit::Remove(Kind::Torrent, first.0)]).unwrap();
    assert_eq!(store.file(first).unwrap(), None);
}

fn a_schema_of_a_newer_program_is_refused(desk: &dyn Desk) {
    drop(desk.open().unwrap());
    desk.write("INSERT INTO evenkeel_schema (version) VALUES (99)").unwrap();
    let error = desk.open().err().expect("it is newer than we are");
    assert!(matches!(error, Error::NewerSchema { found: 99, known: 5 }), "{error}");
    assert!(!error.is_retryable());
}

fn a_store_that_is_opened_again_holds_what_it_held(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    populate(&mut *store);
    let before = load(&mut *store).1;
    drop(store);
    assert_eq!(load(&mut *desk.open().unwrap()).1, before);
}
