//! How long a large community takes from the start until it is served, and what its users, torrents and sessions take of
//! memory. Small here; `just prove-load` asks for a million users through `EVENKEEL_LOAD_USERS`, as many torrents and three
//! times as many sessions, and gets a table in the file that `EVENKEEL_LOAD_REPORT` names.

use std::time::{Duration, Instant};

use crate::private::{Database, Rig};
use crate::rig::{Program, start_in};

const CONFIG: &str = "[access]\npreset = \"private\"\n";

fn start(folder: tempfile::TempDir) -> (Rig, Duration) {
    let began = Instant::now();
    let rig = Rig { program: start_in(folder, CONFIG), database: Database::Sqlite };
    // Longer than other tests wait: three million rows take their time in a debug build.
    while rig.program.get_admin("/ready").0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(300), "the tracker does not become ready");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    (rig, began.elapsed())
}

fn stop(rig: Rig) -> tempfile::TempDir {
    rig.program.signal("TERM");
    let (status, folder) = rig.program.wait();
    assert!(status.success());
    folder
}

fn resident_bytes(program: &Program) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024.0
}

#[test]
fn a_large_community_is_loaded() {
    let users: u32 = std::env::var("EVENKEEL_LOAD_USERS").map_or(20_000, |users| users.parse().unwrap());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let numbers =
        format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {users})");
    let steps = [
        (
            "users",
            users,
            format!(
                "{numbers} INSERT INTO users (name, passkey_hash) SELECT 'user ' || i, randomblob(32) FROM n"
            ),
        ),
        (
            "torrents",
            users,
            format!(
                "{numbers} INSERT INTO torrents (info_hash_v1, name) SELECT randomblob(20), 'torrent ' || i FROM n"
            ),
        ),
        (
            "sessions",
            3 * users,
            format!(
                "{numbers} INSERT INTO sessions
                 SELECT i, (i * 7 + k * 13) % {users} + 1, i * 4 + k, 1000000, 2000000, 0, 1, {now}, 0
                 FROM n, (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2)"
            ),
        ),
    ];
    let (rig, _) = start(tempfile::tempdir().unwrap());
    let mut before = resident_bytes(&rig.program);
    let mut folder = stop(rig);
    let mut table = String::from(
        "| | rows | bytes of memory for each | in the tables | until ready |\n|---|--:|--:|--:|--:|\n",
    );
    for (what, rows, sql) in steps {
        let connection = rusqlite::Connection::open(folder.path().join("state/evenkeel.sqlite")).unwrap();
        connection.execute_batch(&format!("BEGIN; {sql}; COMMIT")).unwrap();
        drop(connection);
        let (rig, ready) = start(folder);
        let resident = resident_bytes(&rig.program);
        assert_eq!(rig.program.metric(&format!("evenkeel_{what}")), f64::from(rows));
        let bytes = rig.program.metric(&format!("evenkeel_{}_bytes", what.trim_end_matches('s')));
        let in_tables = bytes / f64::from(rows);
        assert!(what != "sessions" || in_tables <= 160.0, "{in_tables} bytes for a session");
        table += &format!(
            "| {what} | {rows} | {:.0} | {in_tables:.0} | {:.1} s |\n",
            (resident - before) / f64::from(rows),
            ready.as_secs_f64()
        );
        before = resident;
        folder = stop(rig);
    }
    println!("{table}");
    if let Some(path) = std::env::var_os("EVENKEEL_LOAD_REPORT") {
        std::fs::write(path, table).unwrap();
    }
}
