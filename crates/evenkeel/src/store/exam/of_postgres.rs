//! What only a server can get wrong.

use super::server::Server;
use super::*;
use crate::store::{Address, Applied, Postgres};

fn other_client(desk: &Database) -> (tokio::runtime::Runtime, tokio_postgres::Client) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config: tokio_postgres::Config = desk.location().parse().unwrap();
    let client = runtime.block_on(async {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    });
    (runtime, client)
}

#[test]
fn a_change_that_is_committed_late_is_not_missed() {
    let desk = database();
    let mut store = desk.open().unwrap();
    let ([a, b], _) = populate(&mut *store);
    let (mut mark, _) = load(&mut *store);
    let (runtime, client) = other_client(&desk);
    let write = |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    // It takes its place in the log, and commits after one that came later.
    write(&format!("BEGIN; UPDATE users SET state = 1 WHERE id = {}", a.0));
    desk.write(&format!("UPDATE users SET state = 2 WHERE id = {}", b.0)).unwrap();
    let later = [Row::User(User { id: b.0, state: UserState::Disabled, ..user("b") })];
    assert_eq!(changes(&mut *store, &mut mark).rows, later);
    assert_eq!(changes(&mut *store, &mut mark).rows, [], "shown once, though it cannot be left behind yet");
    write("COMMIT");
    let early = [Row::User(User { id: a.0, state: UserState::LeechDisabled, ..user("a") })];
    assert_eq!(changes(&mut *store, &mut mark).rows, early);
    assert_eq!(changes(&mut *store, &mut mark).rows, []);
}

#[test]
fn a_table_that_a_site_empties_is_loaded_anew() {
    let desk = database();
    let mut store = desk.open().unwrap();
    let (mark, _) = load(&mut *store);
    desk.write("TRUNCATE users").unwrap();
    let error = store.changes_since(&mark, &mut Shown::default()).unwrap_err();
    assert!(matches!(error, Error::TooOld), "{error}");
}

#[test]
fn a_missing_database_is_created_by_who_may_and_else_the_sql_is_named() {
    let desk = database();
    desk.open().unwrap();
    desk.server.query("postgres", "CREATE ROLE guest LOGIN").unwrap();
    let address = Address::new(&desk.server.address("guest", "wanted"), None).unwrap();
    let error = Postgres::open(&address).unwrap_err();
    assert!(!error.is_retryable());
    let Error::NoDatabase { sql, .. } = &error else { panic!("{error}") };
    assert_eq!(sql, "CREATE DATABASE \"wanted\" OWNER \"guest\";");
    desk.server.query("postgres", sql).unwrap();
    Postgres::open(&address).unwrap();
}

#[test]
fn a_server_that_went_away_is_an_error_that_passes() {
    let server = Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]);
    let address = Address::new(&server.address("evenkeel", "books"), None).unwrap();
    let mut store = Postgres::open(&address).unwrap();
    let ([a, _], [first, _]) = populate(&mut store);
    let one = Batch { increments: vec![increment(a, first, 1)], ..batch(1) };
    let read_only = |how| {
        server.query("postgres", &format!("ALTER DATABASE books SET default_transaction_read_only = {how}"))
    };
    read_only("on").unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'books'";
    server.query("postgres", end).unwrap();
    for what in ["cut off", "read-only"] {
        let error = store.apply(&one).unwrap_err();
        assert!(error.is_retryable(), "{what}: {error}");
    }
    read_only("off").unwrap();
    assert_eq!(store.apply(&one).unwrap(), Applied::Now);
    server.stop();
    let error = store.apply(&one).unwrap_err();
    assert!(error.is_retryable(), "{error}");
    server.start_again();
    assert_eq!(store.apply(&one).unwrap(), Applied::Before);
}

#[test]
fn a_server_that_hangs_is_given_up_and_books_nothing_twice() {
    let server = Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]);
    let address = Address::new(&server.address("evenkeel", "books"), None).unwrap();
    let mut store = Postgres::open(&address).unwrap();
    let ([a, _], [first, _]) = populate(&mut store);
    let one = Batch { increments: vec![increment(a, first, 1)], ..batch(1) };
    server.signal_all("STOP");
    let error = store.apply(&one).unwrap_err();
    assert!(matches!(error, Error::Silent { secs: 10 }), "{error}");
    server.signal_all("CONT");
    // What was sent before may have arrived meanwhile, or not.
    store.apply(&one).unwrap();
    assert_eq!(store.apply(&one).unwrap(), Applied::Before);
    assert_eq!(store.totals(a).unwrap().uploaded, 1);
}

#[test]
fn a_server_is_trusted_by_its_certificate_only() {
    let (server, port) = Server::start_with_tls();
    let authority = server.folder().join("authority.pem");
    let text = format!("host=127.0.0.1 port={port} user=evenkeel dbname=books sslmode=require");
    let strange = Postgres::open(&Address::new(&text, None).unwrap()).unwrap_err();
    assert!(strange.to_string().contains("certificate"), "{strange}");
    let mut store = Postgres::open(&Address::new(&text, Some(&authority)).unwrap()).unwrap();
    populate(&mut store);
    let is_tls = "DO $$ BEGIN ASSERT (SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                  WHERE application_name = 'evenkeel' AND datname = 'books'); END $$";
    server.query("postgres", is_tls).unwrap();
}

#[test]
fn an_address_that_is_wrong_is_refused_without_showing_it() {
    for wrong in [
        "postgres://u:hunter2@host",
        "postgres://u:hunter2@host/db?nonsense=1",
        "user=u password=hunter2 dbname=d",
    ] {
        let error = Address::new(wrong, None).unwrap_err();
        assert!(
            !error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"),
            "{error}"
        );
    }
    let address = Address::new("postgres://u:hunter2@host/db", None).unwrap();
    assert!(!format!("{address:?}").contains("hunter2"));
}
