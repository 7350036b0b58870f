//! What programs and operators know from etracker.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value, json};
use sha1::Digest;

use crate::api::announce;
use crate::bencode::Value as Bencode;
use crate::files::{V1, torrent};
use crate::postgres::shared;
use crate::rig::{PATIENCE, Program, Way, command, get, start_as, start_with, wait_for};

const ON: &str = "EVENKEEL_COMPATIBILITY__ETRACKER";
const PASSWORD: &str = "s3cret of the site";

/// With etracker's variables.
fn start(variables: &[(&str, &str)]) -> Program {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env(ON, "true").envs(variables.iter().copied()).stderr(std::process::Stdio::null());
    start_as(folder, command)
}

fn start_with_password() -> Program {
    start(&[("ETRACKER_AUTHORIZATION", PASSWORD)])
}

/// Asks as etracker's frontend does; answers status and body.
fn ask(
    program: &Program,
    line: &str,
    password: Option<&str>,
    (media, body): (&str, &[u8]),
) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(program.admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let authorization = password.map(|text| format!("Authorization: {text}\r\n")).unwrap_or_default();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}Content-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap(), answer[split + 4..].to_vec())
}

fn send(program: &Program, line: &str, password: Option<&str>, body: &Value) -> (u16, String) {
    let (status, answer) = ask(program, line, password, ("application/json", body.to_string().as_bytes()));
    (status, String::from_utf8(answer).unwrap())
}

fn read(program: &Program, path: &str) -> Value {
    let (status, answer) = send(program, &format!("GET {path}"), None, &Value::Null);
    assert_eq!(status, 200, "{path}: {answer}");
    serde_json::from_str(&answer).unwrap()
}

fn form(file: &[u8]) -> Vec<u8> {
    let head = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.torrent\"\r\n\r\n";
    [head.as_bytes(), file, b"\r\n--B--\r\n"].concat()
}

const FORM: &str = "multipart/form-data; boundary=B";
const SUCCESS: &str = r#"{"message":"success"}"#;

#[test]
fn torrents_are_added_listed_counted_and_removed_in_its_words() {
    let program = start_with_password();
    let hash = BASE64.encode(&[7; 20]);
    let other = BASE64.encode(&[8; 20]);
    let film = json!({ "info_hash": hash, "name": "film" });
    let add = |body: &Value| send(&program, "POST /api/infohash", Some(PASSWORD), body);
    assert_eq!(add(&film), (201, SUCCESS.to_owned()));
    assert_eq!(add(&film), (400, "error: infohash already inserted\n".to_owned()));
    assert_eq!(add(&json!({ "info_hash": other, "name": "a book" })), (201, SUCCESS.to_owned()));
    for wrong in [json!({}), json!({ "info_hash": "AAAA" }), json!({ "info_hash": "*" }), json!([]), json!(7)]
    {
        assert_eq!(add(&wrong), (400, "error: did not receive valid infohash\n".to_owned()), "{wrong}");
    }
    let key = read(&program, "/api/generate")["announce_key"].as_str().unwrap().to_owned();
    wait_for("the torrent", || announce(&program, &key, [7; 20]).is_none().then_some(()));
    assert!(announce(&program, &key, [9; 20]).unwrap().contains("not registered"));
    assert!(announce(&program, "wrong", [7; 20]).unwrap().contains("not known"));

    let row = |name: &str, hash: &str, leechers: u32| json!({ "name": name, "downloaded": 0, "seeders": 0, "leechers": leechers, "info_hash": hash });
    assert_eq!(read(&program, "/api/infohashes"), json!([row("a book", &other, 0), row("film", &hash, 1)]));
    assert_eq!(read(&program, "/api/stats"), json!({ "hashcount": 2, "seeders": 0, "leechers": 1 }));

    let remove = |body: &Value| send(&program, "DELETE /api/infohash", Some(PASSWORD), body);
    assert_eq!(remove(&film), (200, SUCCESS.to_owned()));
    assert_eq!(remove(&film).0, 404);
    wait_for("the end", || announce(&program, &key, [7; 20]).filter(|text| text.contains("not registered")));
    assert_eq!(read(&program, "/api/stats")["hashcount"], 1);
}

#[test]
fn a_file_becomes_private_and_goes_out_with_the_announce_url_of_a_key() {
    let program = start_with_password();
    let upload = |file: &[u8]| ask(&program, "POST /api/torrentfile", Some(PASSWORD), (FORM, &form(file)));
    assert_eq!(upload(&torrent(V1)), (201, SUCCESS.as_bytes().to_vec()));
    let private = format!("{}7:privatei1ee", V1.strip_suffix('e').unwrap());
    let info_hash: [u8; 20] = sha1::Sha1::digest(&private).into();
    assert_eq!(upload(&torrent(&private)).0, 400, "what was private already is the same torrent");

    let key = read(&program, "/api/generate")["announce_key"].as_str().unwrap().to_owned();
    let path = |key: &str, hash: &str| format!("GET /api/torrentfile?announce_key={key}&info_hash={hash}");
    let hex = HEXLOWER.encode(&info_hash);
    let (status, file) = ask(&program, &path(&key, &hex), None, ("", b""));
    assert_eq!(status, 200);
    let url = format!("http://127.0.0.1:{}/{key}/announce", program.port);
    assert_eq!(Bencode::read(&file).bytes("announce").unwrap(), url.as_bytes());
    assert!(String::from_utf8(file).unwrap().ends_with(&format!("4:info{private}e")));
    for (key, hash, status) in
        [("wrong", &*hex, 400), ("", &hex, 400), (&key, "00", 400), (&key, &"00".repeat(20), 404)]
    {
        assert_eq!(ask(&program, &path(key, hash), None, ("", b"")).0, status, "{key} {hash}");
    }

    for wrong in [&b"no torrent"[..], b"", b"d4:infoi7ee", b"d4:info4:texte"] {
        assert_eq!(upload(wrong).0, 400, "{}", wrong.escape_ascii());
    }
    let post = |media, body: &[u8]| ask(&program, "POST /api/torrentfile", Some(PASSWORD), (media, body)).0;
    assert_eq!(post("application/json", b"{}"), 400);
    assert_eq!(post(FORM, b"--B--\r\n"), 400);
    assert_eq!(post(FORM, b"--B\r\ntorn"), 400);
}

#[test]
fn nothing_is_changed_without_its_authorization() {
    let film = json!({ "info_hash": BASE64.encode(&[7; 20]), "name": "film" });
    let lines = ["POST /api/infohash", "DELETE /api/infohash", "POST /api/torrentfile"];
    for variables in [&[][..], &[("ETRACKER_AUTHORIZATION", "")]] {
        let program = start(variables);
        for (line, password) in
            lines.iter().flat_map(|line| [(line, None), (line, Some("")), (line, Some(PASSWORD))])
        {
            let refused = (403, "error: restricted API access disabled\n".to_owned());
            assert_eq!(send(&program, line, password, &film), refused, "{line}");
        }
    }
    let program = start_with_password();
    let bearer = format!("Bearer {PASSWORD}");
    for (line, password) in lines
        .iter()
        .flat_map(|line| [(line, None), (line, Some("")), (line, Some("s3cret")), (line, Some(&*bearer))])
    {
        assert_eq!(send(&program, line, password, &film).0, 403, "{line} {password:?}");
    }
    assert_eq!(read(&program, "/api/infohashes"), json!([]));
}

#[test]
fn it_is_off_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("EVENKEEL_ACCESS__PRESET", "private").env("ETRACKER_AUTHORIZATION", PASSWORD);
    command.env("ETRACKER_DISABLE_ALLOWLIST", "true").env("DATABASE_URL", "nonsense");
    std::fs::write(folder.path().join(".env"), "PGHOST=nowhere.invalid\n").unwrap();
    command.stderr(std::process::Stdio::null());
    let program = start_as(folder, command);
    for path in ["/api/infohash", "/api/infohashes", "/api/stats", "/api/generate", "/api/torrentfile"] {
        for method in ["GET", "POST", "DELETE"] {
            assert_eq!(
                send(&program, &format!("{method} {path}"), Some(PASSWORD), &json!({})).0,
                404,
                "{method} {path}"
            );
        }
        assert_eq!(get(program.address(Way::HttpV4), None, path).0, 404, "the public port never has them");
    }
    let program = start_with("[access]\npreset = \"private\"\n[compatibility]\netracker = true\n");
    assert_eq!(
        get(program.address(Way::HttpV4), None, "/api/stats").0,
        404,
        "the public port never has them"
    );
    assert_eq!(read(&program, "/api/stats")["hashcount"], 0);
}

#[test]
fn its_allowlist_can_be_disabled() {
    let program = start(&[("ETRACKER_DISABLE_ALLOWLIST", "true")]);
    let key = read(&program, "/api/generate")["announce_key"].as_str().unwrap().to_owned();
    wait_for("the key", || announce(&program, &key, [9; 20]).is_none().then_some(()));
}

#[test]
fn keys_are_given_as_far_as_the_operator_wants() {
    let program = start(&[("EVENKEEL_ACCESS__KEYS_PER_HOUR_MAX", "1")]);
    read(&program, "/api/generate");
    assert_eq!(send(&program, "GET /api/generate", None, &Value::Null).0, 429);
    let program = start(&[("EVENKEEL_ACCESS__KEYS_FOR_ANYBODY", "false")]);
    assert_eq!(send(&program, "GET /api/generate", None, &Value::Null).0, 403);
}

/// What somebody moves: its tables as it made them, and the SQL of the handbook.
#[test]
fn torrents_and_keys_move_by_the_sql_of_the_handbook() {
    let (server, name) = shared();
    let url = server.address("evenkeel", &name);
    let program = start(&[("DATABASE_URL", &url)]);
    let sql = |text: &str| server.query(&name, text).unwrap();
    sql(
        "CREATE TABLE infohashes (id serial, info_hash bytea UNIQUE, downloaded int, name text, file bytea, length int4)",
    );
    sql(
        "CREATE TABLE peers (id serial, announce_key text UNIQUE, snatched int4, downloaded int4, uploaded int4)",
    );
    sql(
        "INSERT INTO infohashes (info_hash, name) VALUES (decode(repeat('07', 20), 'hex'), 'film'), (decode(repeat('08', 20), 'hex'), NULL), ('\\x01', 'no hash')",
    );
    sql("INSERT INTO peers (announce_key) VALUES ('00112233445566778899aabbccddee')");
    let handbook =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md")).unwrap();
    let section = handbook.split("## Moving from etracker").nth(1).unwrap();
    let moving = section.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    sql(moving);
    for hash in [[7; 20], [8; 20]] {
        wait_for("the key", || {
            announce(&program, "00112233445566778899aabbccddee", hash).is_none().then_some(())
        });
    }
    assert_eq!(read(&program, "/api/stats")["hashcount"], 2);
}

fn check(variables: &[(&str, &str)], dotenv: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".env"), dotenv).unwrap();
    let mut check = command(folder.path());
    check.env(ON, "true").envs(variables.iter().copied());
    check.args(["config", "show"]).output().unwrap()
}

#[test]
fn a_certificate_without_its_key_keeps_the_tracker_from_starting() {
    for (name, other) in [("ETRACKER_CERTFILE", "tls.key_file"), ("ETRACKER_KEYFILE", "tls.certificate_file")]
    {
        let folder = tempfile::tempdir().unwrap();
        let output = command(folder.path()).env(ON, "true").env(name, "a.pem").output().unwrap();
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{sentence}");
        assert!(sentence.contains(name) && sentence.contains(other), "{sentence}");
    }
    let both = check(&[("ETRACKER_CERTFILE", "a.pem"), ("ETRACKER_KEYFILE", "b.pem")], "");
    let shown = String::from_utf8(both.stdout).unwrap();
    assert!(
        shown.contains("certificate_file = \"a.pem\"") && shown.contains("key_file = \"b.pem\""),
        "{shown}"
    );
}

#[test]
fn passwords_are_not_shown() {
    let dotenv = "ETRACKER_AUTHORIZATION=canary-of-the-api\nPGHOST=127.0.0.1\nPGDATABASE=d\nPGPASSWORD=canary-of-the-server\n";
    let torn = format!("{dotenv}canary of no variable\n");
    for (file, is_sound) in [(dotenv, true), (&torn, false)] {
        let output = check(&[], file);
        assert_eq!(output.status.success(), is_sound);
        for text in [output.stdout, output.stderr] {
            assert!(!String::from_utf8(text).unwrap().contains("canary"));
        }
    }
}
