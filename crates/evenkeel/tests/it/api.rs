//! The API of the admin port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::bencode::Value as Bencode;
use crate::postgres::{Server, shared};
use crate::rig::{Ask, PATIENCE, Program, start_in, start_with, wait_for};

pub(crate) const PRIVATE: &str = "[access]\npreset = \"private\"\n";

pub(crate) fn start() -> (Program, String) {
    with_token(start_with(PRIVATE))
}

fn start_more(config: &str) -> (Program, String) {
    with_token(start_with(&format!("{PRIVATE}{config}")))
}

/// With users and torrents on a server, which goes when nobody holds it.
pub(crate) fn start_on_postgres() -> (Program, String, Arc<Server>) {
    let (server, name) = shared();
    let url = server.address("evenkeel", &name);
    let (program, token) = with_token(start_with(&format!("{PRIVATE}[database]\nurl = \"{url}\"\n")));
    (program, token, server)
}

fn with_token(program: Program) -> (Program, String) {
    let token = token_in(&program.banner).expect("a token is printed at the first start");
    (program, token)
}

pub(crate) fn token_in(banner: &str) -> Option<String> {
    let line = banner.lines().find(|line| line.trim_start().starts_with("token "))?;
    Some(line.split_whitespace().nth(1)?.to_owned())
}

/// Sends a request; answers status and body.
pub(crate) fn ask(program: &Program, token: &str, line: &str, body: &str) -> (u16, Value) {
    let (status, answer) = send(program, token, line, (body.len(), body.as_bytes()));
    (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

/// Sends a body, which may be shorter than what is said of it.
pub(crate) fn send(program: &Program, token: &str, line: &str, body: (usize, &[u8])) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(program.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (method, path) = line.split_once(' ').unwrap();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n",
        body.0
    );
    stream.write_all(head.as_bytes()).unwrap();
    // Whoever is refused at once need not take all of a large body.
    stream.write_all(body.1).ok();
    if body.1.len() < body.0 {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[split + 4..].to_vec())
}

pub(crate) fn announce(program: &Program, passkey: &str, info_hash: [u8; 20]) -> Option<String> {
    let target = format!("/{passkey}/announce?{}&compact=1", Ask::leecher(info_hash, 1001).query());
    let text = Bencode::read(&program.get(&target).1).bytes("failure reason")?.to_vec();
    Some(String::from_utf8(text).unwrap())
}

#[test]
fn nobody_passes_without_the_token_which_is_shown_once() {
    let (program, token) = start();
    assert_eq!(ask(&program, &token, "GET /users", "").0, 200);
    for wrong in ["", "x", &token[1..], &token.to_uppercase()] {
        for line in ["GET /users", "POST /users", "DELETE /users/1", "GET /nothing"] {
            let (status, body) = ask(&program, wrong, line, "{}");
            assert_eq!((status, &body["code"]), (401, &json!("unauthorised")), "{line}");
        }
    }
    program.signal("TERM");
    let (_, folder) = program.wait();
    let kept = std::fs::read(folder.path().join("state/api.token")).unwrap();
    assert!(!kept.windows(8).any(|part| part == &token.as_bytes()[..8]), "its hash is kept");
    let program = start_in(folder, PRIVATE);
    assert_eq!(token_in(&program.banner), None);
    assert_eq!(ask(&program, &token, "GET /users", "").0, 200);
}

fn a_user_is_made_changed_and_removed(program: &Program, token: &str) {
    let (status, made) = ask(program, token, "POST /users", r#"{"name": "Ann"}"#);
    assert_eq!(status, 201, "{made}");
    let (id, passkey) = (made["id"].as_i64().unwrap(), made["passkey"].as_str().unwrap().to_owned());
    let torrent = json!({ "info_hash_v1": "07".repeat(20), "name": "t", "size_bytes": 5_000_000_000_u64 });
    assert_eq!(ask(program, token, "POST /torrents", &torrent.to_string()).0, 201);
    wait_for("the user", || announce(program, &passkey, [7; 20]).is_none().then_some(()));

    let one = format!("/users/{id}");
    let (status, shown) = ask(program, token, &format!("GET {one}"), "");
    assert_eq!((status, &shown["name"], &shown["state"]), (200, &json!("Ann"), &json!("active")));
    assert!(shown["totals"]["uploaded"].is_u64() && !shown.to_string().contains(&passkey));

    let (_, rotated) = ask(program, token, &format!("POST {one}/passkey"), "");
    let new = rotated["passkey"].as_str().unwrap();
    wait_for("the new passkey", || announce(program, new, [7; 20]).is_none().then_some(()));
    assert_eq!(announce(program, &passkey, [7; 20]), None, "the old one is good for a day");

    let (status, changed) = ask(program, token, &format!("PATCH {one}"), r#"{"state": "banned"}"#);
    assert_eq!((status, &changed["state"], &changed["name"]), (200, &json!("banned"), &json!("Ann")));
    wait_for("the ban", || announce(program, new, [7; 20]).filter(|text| text == "your account is banned"));

    assert_eq!(ask(program, token, &format!("DELETE {one}"), ""), (204, Value::Null));
    assert_eq!(ask(program, token, &format!("GET {one}"), "").0, 404);
    assert_eq!(ask(program, token, &format!("DELETE {one}"), "").0, 404);
    wait_for("the end", || announce(program, new, [7; 20]).filter(|text| text.contains("not known")));
}

#[test]
fn a_user_is_made_changed_and_removed_in_sqlite() {
    let (program, token) = start();
    a_user_is_made_changed_and_removed(&program, &token);
}

#[test]
fn a_user_is_made_changed_and_removed_in_postgresql() {
    let (program, token, _server) = start_on_postgres();
    a_user_is_made_changed_and_removed(&program, &token);
}

#[test]
fn a_list_is_taken_as_a_whole_or_refused_with_every_bad_row() {
    let (program, token) = start();
    let torrent =
        |number: u32| json!({ "info_hash_v1": format!("{number:040x}"), "name": format!("t{number}") });
    let good: Vec<Value> = (1..=10_000).map(torrent).collect();
    let (status, made) = ask(&program, &token, "POST /torrents", &Value::Array(good).to_string());
    assert_eq!((status, made.as_array().unwrap().len()), (201, 10_000));

    let bad = json!([
        torrent(20_001),
        { "info_hash_v1": "xyz", "name": "a" },
        { "info_hash_v1": "00", "name": "b" },
        torrent(20_002),
        { "nmae": "c" }
    ]);
    let (status, refused) = ask(&program, &token, "POST /torrents", &bad.to_string());
    assert_eq!(status, 400);
    let rows: Vec<_> =
        refused["rows"].as_array().unwrap().iter().map(|row| (&row["row"], &row["field"])).collect();
    let expected = [(1, "info_hash_v1"), (2, "info_hash_v1"), (4, "nmae")]
        .map(|(row, field)| (json!(row), json!(field)));
    assert_eq!(rows, expected.each_ref().map(|(row, field)| (row, field)));

    let taken = json!([torrent(20_001), torrent(5)]);
    let (status, refused) = ask(&program, &token, "POST /torrents", &taken.to_string());
    assert_eq!((status, &refused["row"], &refused["field"]), (409, &json!(1), &json!("info_hash_v1")));
    let (_, page) = ask(&program, &token, "GET /torrents?after=9990&limit=100", "");
    assert_eq!(page["rows"].as_array().unwrap().len(), 10, "nothing of what was refused is there");

    let many: Vec<Value> = (30_000..40_001).map(torrent).collect();
    assert_eq!(
        ask(&program, &token, "POST /torrents", &Value::Array(many).to_string()).1["code"],
        "too_many"
    );
}

fn a_row_is_found_by_what_it_alone_has(program: &Program, token: &str) {
    ask(program, token, "POST /users", r#"[{"name": "Ann & Bob"}, {"name": "%"}]"#);
    let torrent = json!({ "info_hash_v1": "07".repeat(20), "info_hash_v2": "08".repeat(32), "name": "t" });
    ask(program, token, "POST /torrents", &torrent.to_string());
    ask(program, token, "POST /listed", &json!({ "info_hash": "09".repeat(20) }).to_string());
    for (query, found) in [
        ("users?name=Ann+%26%20Bob", 1),
        ("users?name=%25", 1),
        ("users?name=ann", 0),
        ("users?name=%27%20OR%201%3D1%20--", 0),
        (&format!("torrents?info_hash={}", "07".repeat(20)), 1),
        (&format!("torrents?info_hash={}", "08".repeat(32)), 1),
        (&format!("torrents?info_hash={}", "09".repeat(20)), 0),
        (&format!("listed?info_hash={}", "09".repeat(20)), 1),
    ] {
        let (status, page) = ask(program, token, &format!("GET /{query}"), "");
        assert_eq!((status, page["rows"].as_array().map(Vec::len)), (200, Some(found)), "{query}: {page}");
        assert_eq!(page["next"], Value::Null);
    }
    for (query, field) in [
        ("torrents?info_hash=xyz", "info_hash"),
        ("torrents?name=t", "name"),
        ("users?info_hash=07", "info_hash"),
        ("users?name=a%00b", "name"),
        ("keys?name=a", "name"),
        (&format!("listed?info_hash={}", "08".repeat(32)), "info_hash"),
    ] {
        let (status, refused) = ask(program, token, &format!("GET /{query}"), "");
        assert_eq!((status, &refused["field"]), (400, &json!(field)), "{query}");
    }
}

#[test]
fn a_row_is_found_by_what_it_alone_has_in_sqlite() {
    let (program, token) = start();
    a_row_is_found_by_what_it_alone_has(&program, &token);
}

#[test]
fn a_row_is_found_by_what_it_alone_has_in_postgresql() {
    let (program, token, _server) = start_on_postgres();
    a_row_is_found_by_what_it_alone_has(&program, &token);
}

fn a_torrent_has_a_history(program: &Program, token: &str) {
    let (_, made) = ask(program, token, "POST /users", r#"{"name": "Ann"}"#);
    let passkey = made["passkey"].as_str().unwrap();
    let torrent = json!({ "info_hash_v1": "07".repeat(20), "name": "t" }).to_string();
    ask(program, token, "POST /torrents", &torrent);
    wait_for("the user", || announce(program, passkey, [7; 20]).is_none().then_some(()));
    for (query, secs) in [("", 24 * 3600), ("?by=day", 24 * 3600), ("?by=hour", 3600)] {
        let row = wait_for("the history", || {
            let (status, history) = ask(program, token, &format!("GET /torrents/1/history{query}"), "");
            assert_eq!(status, 200);
            history["rows"].get(0).cloned()
        });
        assert_eq!(row["from"].as_i64().unwrap() % secs, 0);
        assert_eq!((&row["leechers"], &row["uploaded"]), (&json!(1), &json!(0)));
    }
    for (path, status, field) in [
        ("1/history?by=year", 400, json!("by")),
        ("1/history?from=5", 400, json!("from")),
        ("9/history", 404, Value::Null),
    ] {
        let (answered, refused) = ask(program, token, &format!("GET /torrents/{path}"), "");
        assert_eq!((answered, &refused["field"]), (status, &field), "{path}");
    }
}

#[test]
fn a_torrent_has_a_history_in_sqlite() {
    let (program, token) = start();
    a_torrent_has_a_history(&program, &token);
}

#[test]
fn a_torrent_has_a_history_in_postgresql() {
    let (program, token, _server) = start_on_postgres();
    a_torrent_has_a_history(&program, &token);
}

#[test]
fn a_class_may_have_more_clients_or_fewer() {
    let (program, token) = start_more("[limits]\nclients_per_user_and_torrent_max = 1\n");
    for class in [r#"{"name": "two", "clients_per_torrent_max": 2}"#, r#"{"name": "any"}"#] {
        assert_eq!(ask(&program, &token, "POST /classes", class).0, 201);
    }
    let torrent = json!({ "info_hash_v1": "07".repeat(20), "name": "t" }).to_string();
    ask(&program, &token, "POST /torrents", &torrent);
    let mut port = 1001;
    for (user, most) in
        [(r#"{"name": "a"}"#, 1), (r#"{"name": "b", "class": 1}"#, 2), (r#"{"name": "c", "class": 2}"#, 1)]
    {
        let (_, made) = ask(&program, &token, "POST /users", user);
        let passkey = made["passkey"].as_str().unwrap();
        wait_for("the user", || {
            announce(&program, passkey, [8; 20]).filter(|text| text.contains("not registered"))
        });
        let warned = (0..3).filter(|key| {
            port += 1;
            let ask = Ask { key: 100 + key, ..Ask::leecher([7; 20], port) };
            let target = format!("/{passkey}/announce?{}", ask.query());
            let answer = Bencode::read(&program.get(&target).1);
            assert_eq!(answer.bytes("failure reason"), None);
            let warning = answer.bytes("warning message");
            warning
                .is_some_and(|text| text.starts_with(b"you have as many clients on this torrent as you may"))
        });
        assert_eq!(3 - warned.count(), most, "{user}");
    }
}

#[test]
fn pages_follow_each_other() {
    let (program, token) = start();
    let users: Vec<Value> = (1..=7).map(|number| json!({ "name": format!("u{number}") })).collect();
    ask(&program, &token, "POST /users", &Value::Array(users).to_string());
    let (mut names, mut after) = (Vec::new(), json!(0));
    while !after.is_null() {
        let (status, page) = ask(&program, &token, &format!("GET /users?after={after}&limit=3"), "");
        assert_eq!(status, 200);
        names.extend(page["rows"].as_array().unwrap().iter().map(|row| row["name"].clone()));
        after = page["next"].clone();
    }
    assert_eq!(names, ["u1", "u2", "u3", "u4", "u5", "u6", "u7"]);
}

#[test]
fn bad_requests_name_the_field_and_change_nothing_in_sqlite() {
    let (program, token) = start();
    bad_requests_name_the_field_and_change_nothing(&program, &token);
}

#[test]
fn bad_requests_name_the_field_and_change_nothing_in_postgresql() {
    let (program, token, _server) = start_on_postgres();
    bad_requests_name_the_field_and_change_nothing(&program, &token);
}

fn bad_requests_name_the_field_and_change_nothing(program: &Program, token: &str) {
    ask(program, token, "POST /users", r#"{"name": "Ann"}"#);
    let deep = "[".repeat(100_000);
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(10_000));
    for (line, body, status, field) in [
        ("POST /users", r#"{"name": "b", "admin": true}"#, 400, json!("admin")),
        ("POST /users", r#"{"name": 5}"#, 400, json!("name")),
        ("POST /users", r#"{"name": "a\u0000b"}"#, 400, json!("name")),
        ("POST /users", "{}", 400, json!("name")),
        ("POST /users", &long, 400, json!("name")),
        ("POST /users", r#"{"name": "Ann"}"#, 409, json!("name")),
        (
            "POST /users",
            r#"{"name": "b", "upload_percent": 18446744073709551615}"#,
            400,
            json!("upload_percent"),
        ),
        ("POST /users", r#"{"name": "b", "upload_percent": -1}"#, 400, json!("upload_percent")),
        ("POST /users", r#"{"name": "b", "upload_percent": 1001}"#, 400, json!("upload_percent")),
        ("POST /users", r#"{"name": "b", "state": "king"}"#, 400, json!("state")),
        ("POST /users", r#"{"name": "b", "class": 7}"#, 400, json!("class")),
        ("POST /users", r#"{"name": "b", "class": 9223372036854775807}"#, 400, json!("class")),
        ("PATCH /users/1", r#"{"class": 7}"#, 400, json!("class")),
        ("POST /torrents", r#"{"name": "t", "freeleech_until": -1}"#, 400, json!("freeleech_until")),
        ("POST /classes", r#"{"name": "c", "addresses_max": 0}"#, 400, json!("addresses_max")),
        ("POST /listed", r#"{"list": "denied"}"#, 400, json!("info_hash")),
        ("POST /settings", r#"{"name": "s"}"#, 400, json!("value")),
        ("POST /classes", "{}", 400, json!("name")),
        ("POST /tokens", r#"{"name": "t"}"#, 400, json!("scopes")),
        ("POST /users", "{", 400, Value::Null),
        ("POST /users", &deep, 400, Value::Null),
        ("POST /users", "5", 400, Value::Null),
        ("POST /torrents", r#"{"name": "t"}"#, 400, json!("info_hash_v1")),
        ("POST /torrents", r#"{"name": "t", "size_bytes": 18446744073709551615}"#, 400, json!("size_bytes")),
        ("PATCH /users/1", r#"{"passkey": "x"}"#, 400, json!("passkey")),
        ("PATCH /users/1", r#"{"name": ""}"#, 400, json!("name")),
        ("PATCH /users/1", r#"{"pinned_tier": 4}"#, 400, json!("pinned_tier")),
        ("PUT /users/1/tier", r#"{"tier": 4}"#, 400, json!("tier")),
        ("PUT /users/1/tier", "{}", 400, json!("tier")),
        ("PUT /users/1/tier", r#"{"tier": 1, "name": "x"}"#, 400, json!("name")),
        ("PUT /users/99/tier", r#"{"tier": 1}"#, 404, Value::Null),
        ("PATCH /users/99", "{}", 404, Value::Null),
        ("GET /users?limit=0", "", 400, json!("limit")),
        ("GET /users?order=name", "", 400, json!("order")),
        ("GET /nothing", "", 404, Value::Null),
        ("GET /users/x", "", 400, json!("id")),
        ("PATCH /users/-", "{}", 400, json!("id")),
        ("DELETE /users/99999999999999999999", "", 400, json!("id")),
        ("POST /users/1/passkey/x", "", 404, Value::Null),
        ("PUT /users/1", "{}", 405, Value::Null),
    ] {
        let (answered, problem) = ask(program, token, line, body);
        assert_eq!((answered, &problem["field"]), (status, &field), "{line} {body:.100}: {problem}");
        assert!(problem["code"].is_string() && problem["message"].is_string());
    }
    let huge = format!(r#"{{"name": "{}"}}"#, "x".repeat(10 << 20));
    let (status, problem) = ask(program, token, "POST /users", &huge);
    assert_eq!((status, &problem["code"]), (413, &json!("too_large")));
    let hostile = json!({ "name": "'); DROP TABLE users; --" });
    assert_eq!(ask(program, token, "POST /users", &hostile.to_string()).0, 201);
    let (_, page) = ask(program, token, "GET /users", "");
    let names: Vec<&Value> = page["rows"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, [&json!("Ann"), &hostile["name"]]);
}

#[test]
fn keys_and_lists_hold_when_they_are_made() {
    let (program, token) = start();
    let listed: Vec<Value> =
        (1..=3_u8).map(|number| json!({ "info_hash": format!("{number:02x}").repeat(20) })).collect();
    assert_eq!(ask(&program, &token, "POST /listed", &Value::Array(listed).to_string()).0, 201);
    let denied = json!({ "info_hash": "09".repeat(20), "list": "denied", "note": "court" });
    assert_eq!(ask(&program, &token, "POST /listed", &denied.to_string()).0, 201);
    let (_, made) = ask(&program, &token, "POST /keys", r#"{"note": "for a friend"}"#);
    let key = made["key"].as_str().unwrap();
    wait_for("the key", || announce(&program, key, [3; 20]).is_none().then_some(()));
    assert_eq!(
        announce(&program, key, [9; 20]).as_deref(),
        Some("this torrent is not served by this tracker")
    );
    assert!(announce(&program, key, [4; 20]).unwrap().contains("not registered"));
    let (_, shown) = ask(&program, &token, "GET /keys/1", "");
    assert_eq!(shown["note"], "for a friend");
    assert!(!shown.to_string().contains(key));
    assert_eq!(ask(&program, &token, "DELETE /keys/1", "").0, 204);
    wait_for("the key to be gone", || announce(&program, key, [3; 20]));
}
