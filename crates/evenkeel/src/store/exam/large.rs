//! Many rows at once. How long they take is printed: `cargo test -p evenkeel --lib large -- --nocapture`.

use std::time::Instant;

use super::*;

sit! {
    a_batch_of_a_hundred_thousand_rows_is_booked
}

fn a_batch_of_a_hundred_thousand_rows_is_booked(desk: &dyn Desk) {
    let mut store = desk.open().unwrap();
    let users: Vec<Edit> = (0..1000).map(|number| Edit::User(user(&format!("user {number}")))).collect();
    let users = store.edit(&users).unwrap();
    let pairs = || users.iter().flat_map(|user| (1..=50).map(|torrent| (UserId(*user), TorrentId(torrent))));
    for sequence in 1..=2 {
        let large = Batch {
            increments: pairs().map(|(user, torrent)| increment(user, torrent, 1 << 30)).collect(),
            sessions: pairs().map(|(user, torrent)| session(user, torrent, 1)).collect(),
            ..batch(sequence)
        };
        let began = Instant::now();
        store.apply(&large).unwrap();
        println!("{} rows in {:?}", large.rows(), began.elapsed());
    }
    let totals = store.totals(UserId(users[0])).unwrap();
    assert_eq!(totals.uploaded, 100 << 30);
    let began = Instant::now();
    assert_eq!(sessions(&mut *store).len(), 50_000);
    println!("50,000 sessions loaded in {:?}", began.elapsed());
}
