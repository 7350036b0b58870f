//! `.torrent` files over the API: what is taken, what is refused, and what comes out for whom.

use serde_json::{Value, json};
use sha1::Digest;

use crate::api::{ask, send, start, start_on_postgres};
use crate::bencode::Value as Bencode;
use crate::rig::{Ask, Program, get, wait_for};

pub(crate) const V1: &str = "d6:lengthi5e4:name4:film12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";

/// A file as others announce it.
pub(crate) fn torrent(info: &str) -> Vec<u8> {
    format!("d8:announce24:http://elsewhere/SECRET/13:announce-listll6:http:/ee7:comment2:hi4:info{info}e")
        .into_bytes()
}

fn upload(program: &Program, token: &str, file: &[u8]) -> (u16, Value) {
    let (status, answer) = send(program, token, "POST /torrents/file", (file.len(), file));
    (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

fn leaf(bytes: u64) -> String {
    format!("d0:d6:lengthi{bytes}e11:pieces root32:{}ee", "r".repeat(32))
}

fn v2(name: &str) -> String {
    let name = format!("{}:{name}", name.len());
    format!("d9:file treed1:a{}e12:meta versioni2e4:name{name}12:piece lengthi16384ee", leaf(7))
}

fn hybrid() -> String {
    let pieces = "p".repeat(20);
    format!(
        "d9:file treed1:a{}e6:lengthi7e12:meta versioni2e4:name1:h12:piece lengthi16384e6:pieces20:{pieces}e",
        leaf(7)
    )
}

fn hex(bytes: &[u8]) -> Value {
    data_encoding::HEXLOWER.encode(bytes).into()
}

/// The announce URL of a file, without scheme and host; and that the rest of it is untouched.
fn own_path(program: &Program, file: &[u8], info: &str) -> String {
    let text = String::from_utf8(file.to_vec()).unwrap();
    assert!(!text.contains("elsewhere") && text.contains("7:comment2:hi"), "{text}");
    assert!(text.ends_with(&format!("4:info{info}e")), "{text}");
    let announce = Bencode::read(file).bytes("announce").unwrap().to_vec();
    let base = format!("http://127.0.0.1:{}", program.port);
    String::from_utf8(announce).unwrap().strip_prefix(&base).unwrap().to_owned()
}

fn each_version_is_taken_and_goes_out_with_a_users_url(program: &Program, token: &str) {
    let (_, ann) = ask(program, token, "POST /users", r#"{"name": "ann"}"#);
    let passkey = ann["passkey"].as_str().unwrap();
    let (_, made) = ask(program, token, "POST /keys", "{}");
    let key = made["key"].as_str().unwrap();
    for info in [V1.to_owned(), v2("two"), hybrid()] {
        let (status, shown) = upload(program, token, &torrent(&info));
        assert_eq!(status, 201, "{shown}");
        let (sha1, sha256) = (sha1::Sha1::digest(&info), sha2::Sha256::digest(&info));
        let (is_v1, is_v2) = (info.contains("pieces2"), info.contains("meta version"));
        assert_eq!(shown["info_hash_v1"], if is_v1 { hex(&sha1) } else { Value::Null });
        assert_eq!(shown["info_hash_v2"], if is_v2 { hex(&sha256) } else { Value::Null });
        assert_eq!(
            (&shown["size_bytes"], &shown["state"]),
            (&json!(if is_v2 { 7 } else { 5 }), &json!("approved"))
        );
        assert_eq!(upload(program, token, &torrent(&info)).0, 409, "it is there already");

        let line = format!("/torrents/{}/file", shown["id"]);
        let (status, kept) = send(program, token, &format!("GET {line}"), (0, b""));
        assert_eq!(status, 200);
        assert!(Bencode::read(&kept).bytes("announce").is_none());
        for (field, secret) in [("passkey", passkey), ("key", key)] {
            let whose = json!({ field: secret }).to_string();
            let (status, own) =
                send(program, token, &format!("POST {line}"), (whose.len(), whose.as_bytes()));
            assert_eq!(status, 200);
            let path = own_path(program, &own, &info);
            assert_eq!(path, format!("/{secret}/announce"));
            let announced: [u8; 20] = if is_v1 { sha1.into() } else { sha256[..20].try_into().unwrap() };
            wait_for("the torrent", || {
                let target = format!("{path}?{}", Ask::leecher(announced, 1001).query());
                let (_, answer) = get(program.address(crate::rig::Way::HttpV4), None, &target);
                Bencode::read(&answer).bytes("failure reason").is_none().then_some(())
            });
        }
    }
}

#[test]
fn each_version_is_taken_and_goes_out_with_a_users_url_from_sqlite() {
    let (program, token) = start();
    each_version_is_taken_and_goes_out_with_a_users_url(&program, &token);
}

#[test]
fn each_version_is_taken_and_goes_out_with_a_users_url_from_postgresql() {
    let (program, token, _server) = start_on_postgres();
    each_version_is_taken_and_goes_out_with_a_users_url(&program, &token);
}

#[test]
fn what_is_no_torrent_is_refused_by_its_field_and_changes_nothing() {
    let (program, token) = start();
    let long = format!("4:name10000:{}", "x".repeat(10_000));
    let billion = V1.replace("i5e", "i9223372036854775807e").replace("i16384e", "i1e");
    let many = format!(
        "d5:filesl{}e4:name1:n12:piece lengthi16384e6:pieces0:e",
        "d6:lengthi0e4:pathl1:aee".repeat(100_001)
    );
    for (file, field) in [
        (b"no torrent at all".to_vec(), "torrent"),
        (b"".to_vec(), "torrent"),
        (torrent(V1)[..100].to_vec(), "torrent"),
        (b"l".repeat(1_000_000), "torrent"),
        (b"d1:a".repeat(1_000_000), "torrent"),
        (torrent(&V1.replace("4:name4:film", &long)), "info.name"),
        (torrent(&V1.replace("4:film", "4:fi\0m")), "info.name"),
        (torrent(&V1.replace("i5e", "i18446744073709551615e")), "info.length"),
        (torrent(&V1.replace("i5e", "i-1e")), "info.length"),
        (torrent(&billion), "info.pieces"),
        (torrent(&many), "info.files"),
    ] {
        let (status, refused) = upload(&program, &token, &file);
        let shown: String = file.iter().take(60).map(|byte| byte.escape_ascii().to_string()).collect();
        assert_eq!((status, &refused["field"]), (400, &json!(field)), "{shown}: {refused}");
        assert_eq!(refused.get("row"), None);
    }
    let (status, refused) = upload(&program, &token, &b"x".repeat(10 << 20));
    assert_eq!((status, &refused["code"]), (413, &json!("too_large")));
    let whole = torrent(V1);
    let (status, refused) = send(&program, &token, "POST /torrents/file", (whole.len(), &whole[..150]));
    let refused: Value = serde_json::from_slice(&refused).unwrap();
    assert_eq!((status, &refused["code"]), (400, &json!("torn")), "{refused}");
    for (query, field) in [("state=king", "state"), ("name=x", "name")] {
        let line = format!("POST /torrents/file?{query}");
        let (status, refused) = send(&program, &token, &line, (whole.len(), &whole));
        let refused: Value = serde_json::from_slice(&refused).unwrap();
        assert_eq!((status, &refused["field"]), (400, &json!(field)));
    }
    let (_, page) = ask(&program, &token, "GET /torrents", "");
    assert_eq!(page["rows"], json!([]), "nothing of it is there");
    let hostile = v2("'); DROP TABLE torrents; --");
    assert_eq!(upload(&program, &token, &torrent(&hostile)).0, 201);
    let (_, shown) = ask(&program, &token, "GET /torrents/1", "");
    assert_eq!(shown["name"], "'); DROP TABLE torrents; --");
}

#[test]
fn a_file_may_have_to_wait_for_somebody_to_approve_it() {
    let (program, token) = start();
    let (_, ann) = ask(&program, &token, "POST /users", r#"{"name": "ann"}"#);
    let file = torrent(V1);
    let (status, _) = send(&program, &token, "POST /torrents/file?state=pending", (file.len(), &file));
    assert_eq!(status, 201);
    let announced: [u8; 20] = sha1::Sha1::digest(V1).into();
    let told = || crate::api::announce(&program, ann["passkey"].as_str().unwrap(), announced);
    wait_for("the torrent", || told().filter(|text| text == "this torrent is not approved yet"));
    ask(&program, &token, "PATCH /torrents/1", r#"{"state": "approved"}"#);
    wait_for("the approval", || told().is_none().then_some(()));
}

#[test]
fn a_file_goes_out_to_those_only_who_may_announce() {
    let (program, token) = start();
    upload(&program, &token, &torrent(V1));
    let hash = json!({ "info_hash_v1": "09".repeat(20), "name": "t" }).to_string();
    ask(&program, &token, "POST /torrents", &hash);
    let (_, ann) = ask(&program, &token, "POST /users", r#"{"name": "ann"}"#);
    let whose = json!({ "passkey": ann["passkey"] }).to_string();
    for (line, body, status, code, field) in [
        ("POST /torrents/2/file", whose.as_str(), 404, "no_file", Value::Null),
        ("GET /torrents/2/file", "", 404, "no_file", Value::Null),
        ("GET /torrents/9/file", "", 404, "missing", Value::Null),
        ("POST /torrents/1/file", r#"{"passkey": "wrong"}"#, 400, "invalid", json!("passkey")),
        ("POST /torrents/1/file", r#"{"passkey": "a/../b"}"#, 400, "invalid", json!("passkey")),
        ("POST /torrents/1/file", r#"{"key": "wrong"}"#, 400, "invalid", json!("key")),
        ("POST /torrents/1/file", "{}", 400, "invalid", json!("passkey")),
        ("POST /torrents/1/file", r#"{"user": 1}"#, 400, "unknown_field", json!("user")),
    ] {
        let (answered, refused) = ask(&program, &token, line, body);
        assert_eq!(
            (answered, &refused["code"], &refused["field"]),
            (status, &json!(code), &field),
            "{line} {body}"
        );
    }
    assert_eq!(ask(&program, &token, "POST /torrents/1/file", &whose).0, 200);
    ask(&program, &token, "PATCH /users/1", r#"{"state": "banned"}"#);
    let (status, refused) = ask(&program, &token, "POST /torrents/1/file", &whose);
    assert_eq!((status, &refused["field"]), (400, &json!("passkey")));
}
