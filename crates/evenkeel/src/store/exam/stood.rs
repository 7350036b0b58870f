//! What identities have earned: it comes back as it was, and goes with whose it was.

use super::*;

sit! {
    standings_come_back_as_they_were_put_last
    with_a_user_or_a_key_goes_the_standing
    as_many_standings_as_may_be_put_at_once_are
}

fn standing(whose: Whose, amount: u64) -> Standing {
    Standing {
        whose,
        at_secs: NOON,
        tier: 2,
        is_falling: true,
        faded_at: NOON - 5,
        seen_at: NOON - 1,
        proven_at: None,
        barren_secs: 7,
        amounts: std::array::from_fn(|at| amount + at as u64),
    }
}

fn standings(store: &mut dyn Store, since: i64) -> Vec<Standing> {
    let mut found = Vec::new();
    store.load_standings(since, &mut |standing| found.push(standing)).unwrap();
    found.sort_by_key(|standing| standing.whose);
    found
}

fn standings_come_back_as_they_were_put_last(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], _) = populate(&mut *store);
    let (of_a, of_key) = (standing(Whose::User(a), 5), standing(Whose::Key(a.0), u64::MAX >> 2));
    store.put_standings(&[of_key, of_a]).unwrap();
    assert_eq!(standings(&mut *store, 0), [of_a, of_key]);
    let later = Standing {
        at_secs: NOON + 60,
        tier: 3,
        is_falling: false,
        seen_at: NOON + 59,
        proven_at: Some(NOON),
        ..standing(Whose::User(a), 1000)
    };
    let of_b = Standing { seen_at: NOON - 1000, ..standing(Whose::User(b), 1) };
    store.put_standings(&[later, of_b]).unwrap();
    drop(store);
    let mut store = desk.open().unwrap();
    assert_eq!(standings(&mut *store, 0), [later, of_b, of_key]);
    assert_eq!(standings(&mut *store, NOON - 1), [later, of_key], "who was away for long is not shown");
    store.put_standings(&[]).unwrap();
}

fn with_a_user_or_a_key_goes_the_standing(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let ([a, b], _) = populate(&mut *store);
    let key = AnnounceKey { id: 0, hash: Hash32([5; 32]), note: String::new(), created_at: 1, used_at: 2 };
    let [key] = store.edit(&[Edit::Key(key)]).unwrap()[..] else { panic!() };
    let [of_a, of_b, of_key] =
        [Whose::User(a), Whose::User(b), Whose::Key(key)].map(|whose| standing(whose, 1));
    store.put_standings(&[of_a, of_b, of_key]).unwrap();
    store.edit(&[Edit::Remove(Kind::User, a.0)]).unwrap();
    assert_eq!(standings(&mut *store, 0), [of_b, of_key]);
    desk.write("DELETE FROM announce_keys").unwrap();
    assert_eq!(standings(&mut *store, 0), [of_b]);
}

fn as_many_standings_as_may_be_put_at_once_are(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let many: Vec<Standing> = (1..=crate::store::STANDINGS_AT_ONCE as i64)
        .map(|id| standing(Whose::User(UserId(id)), id.unsigned_abs()))
        .collect();
    store.put_standings(&many).unwrap();
    store.put_standings(&many).unwrap();
    assert_eq!(standings(&mut *store, 0), many);
}
