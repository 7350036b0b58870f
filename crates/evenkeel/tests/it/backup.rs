//! `evenkeel backup` and `evenkeel restore`.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::api::{PRIVATE, announce, ask, start, start_on_postgres};
use crate::rig::{command, start_in, wait_for};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

fn sentence(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn rows(path: &Path, select: &str) -> i64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    connection.query_row(select, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_backup_is_made_while_others_write_and_is_of_one_moment() {
    let (program, token) = start();
    let many = |from: usize| {
        let users: Vec<_> =
            (from..from + 1000).map(|number| json!({ "name": format!("u{number}") })).collect();
        serde_json::Value::Array(users).to_string()
    };
    assert_eq!(ask(&program, &token, "POST /users", &many(0)).0, 201);
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut batches = 1;
            // A batch is there as a whole or not at all.
            while !is_done.load(Ordering::Relaxed) {
                assert_eq!(ask(&program, &token, "POST /users", &many(1000 * batches)).0, 201);
                batches += 1;
            }
            batches
        });
        for number in 0..5 {
            let path = program.folder.path().join(format!("{number}.sqlite"));
            let output = run(program.folder.path(), &["backup", path.to_str().unwrap()]);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let users = rows(&path, "SELECT count(*) FROM users");
            assert!(users >= 1000 && users % 1000 == 0, "{users} users are not of one moment");
            assert_eq!(rows(&path, "SELECT max(id) FROM users"), users);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        is_done.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 1, "nobody wrote meanwhile");
    });
    for left in ["0.sqlite.part", "0.sqlite-wal", "0.sqlite-shm"] {
        assert!(!program.folder.path().join(left).exists(), "{left}");
    }
}

#[test]
fn what_was_backed_up_is_there_again_after_it_is_restored() {
    let (program, token) = start();
    let passkey =
        ask(&program, &token, "POST /users", r#"{"name": "ann"}"#).1["passkey"].as_str().unwrap().to_owned();
    let torrent = json!({ "info_hash_v1": "07".repeat(20), "name": "t" }).to_string();
    ask(&program, &token, "POST /torrents", &torrent);
    let folder = program.folder.path().to_owned();
    assert!(run(&folder, &["backup", "ann.sqlite"]).status.success());
    ask(&program, &token, "DELETE /users/1", "");
    ask(&program, &token, "POST /users", r#"{"name": "bob"}"#);

    let refused = sentence(&run(&folder, &["restore", "ann.sqlite"]));
    assert!(refused.contains("in use by another evenkeel"), "{refused}");
    program.signal("TERM");
    let (_, kept) = program.wait();
    let output = run(&folder, &["restore", "ann.sqlite"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let program = start_in(kept, PRIVATE);
    wait_for("Ann to be back", || announce(&program, &passkey, [7; 20]).is_none().then_some(()));
    let (_, page) = ask(&program, &token, "GET /users", "");
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["rows"][0]["name"]), (1, &json!("ann")));
    let before = folder.join("state/evenkeel.sqlite.before-restore");
    assert_eq!(rows(&before, "SELECT count(*) FROM users WHERE name = 'bob'"), 1, "nothing is thrown away");
}

#[test]
fn what_cannot_be_backed_up_or_restored_is_one_sentence_and_changes_nothing() {
    let (program, token) = start();
    ask(&program, &token, "POST /users", r#"{"name": "ann"}"#);
    program.signal("TERM");
    let (_, kept) = program.wait();
    let folder = kept.path();
    assert!(run(folder, &["backup", "good.sqlite"]).status.success());
    std::fs::write(folder.join("text"), "no database").unwrap();
    std::fs::copy(folder.join("good.sqlite"), folder.join("newer.sqlite")).unwrap();
    let newer = rusqlite::Connection::open(folder.join("newer.sqlite")).unwrap();
    newer.execute_batch("INSERT INTO evenkeel_schema (version) VALUES (99)").unwrap();
    drop(newer);
    rusqlite::Connection::open(folder.join("other.sqlite"))
        .unwrap()
        .execute_batch("CREATE TABLE a (b)")
        .unwrap();
    let mut torn = std::fs::read(folder.join("good.sqlite")).unwrap();
    torn.truncate(torn.len() / 2);
    std::fs::write(folder.join("torn.sqlite"), torn).unwrap();
    for (arguments, says) in [
        (&["backup", "good.sqlite"][..], "good.sqlite exists already"),
        (&["backup", "no/such/folder/x"], "cannot write no/such/folder/x.part"),
        (&["backup", "x", "--state-dir", "elsewhere"], "there is no database in elsewhere"),
        (&["restore", "nothing"], "nothing is not there"),
        (&["restore", "text"], "cannot copy text"),
        (&["restore", "torn.sqlite"], "cannot copy torn.sqlite"),
        (&["restore", "other.sqlite"], "this is no database of evenkeel"),
        (&["restore", "newer.sqlite"], "schema version 99"),
    ] {
        let refused = sentence(&run(folder, arguments));
        assert!(refused.contains(says), "{arguments:?}: {refused}");
    }
    assert_eq!(rows(&folder.join("state/evenkeel.sqlite"), "SELECT count(*) FROM users"), 1);
    assert!(!folder.join("state/evenkeel.sqlite.new").exists());
    assert!(run(folder, &["restore", "good.sqlite"]).status.success());
    let refused = sentence(&run(folder, &["restore", "good.sqlite"]));
    assert!(refused.contains("an earlier restoration"), "{refused}");
}

#[test]
fn a_server_is_left_to_its_own_tools() {
    let (program, _, _server) = start_on_postgres();
    let refused = sentence(&run(program.folder.path(), &["backup", "x"]));
    assert!(refused.contains("pg_dump"), "{refused}");
}
