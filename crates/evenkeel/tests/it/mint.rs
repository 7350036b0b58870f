//! Announce keys for whoever asks.

use serde_json::json;

use crate::api::{ask, token_in};
use crate::bencode::Value as Bencode;
use crate::rig::{Ask, Program, command, start_with, wait_for};

const FOR_ANYBODY: &str =
    "[access]\npreset = \"semi-private\"\nkeys_for_anybody = true\nkeys_per_hour_max = 3\n";

fn key(program: &Program) -> (u16, String) {
    let (status, body) = program.get("/key");
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn anybody_gets_a_key_where_that_is_wished_and_only_so_many() {
    let program = start_with(FOR_ANYBODY);
    let token = token_in(&program.banner).unwrap();
    ask(&program, &token, "POST /listed", &json!({ "info_hash": "07".repeat(20) }).to_string());
    let (status, urls) = key(&program);
    assert_eq!(status, 200, "{urls}");
    let base = format!("http://127.0.0.1:{}", program.port);
    let path = urls
        .lines()
        .find_map(|url| url.strip_prefix(&base))
        .expect("a URL for those who are here")
        .to_owned();
    assert!(urls.lines().all(|url| url.ends_with(&path)), "all with the same key: {urls}");
    let announce = |info_hash, path: &str| {
        let target = format!("{path}?{}", Ask::leecher(info_hash, 1001).query());
        let answer = Bencode::read(&program.get(&target).1);
        answer.bytes("failure reason").map(|text| String::from_utf8(text.to_vec()).unwrap())
    };
    wait_for("the key", || announce([7; 20], &path).is_none().then_some(()));
    assert!(announce([8; 20], &path).unwrap().contains("not registered"), "a key is no torrent");

    let (_, page) = ask(&program, &token, "GET /keys", "");
    assert_eq!(
        (page["rows"].as_array().unwrap().len(), &page["rows"][0]["note"]),
        (1, &json!("asked for by anybody"))
    );
    assert!(String::from_utf8(program.get("/").1).unwrap().contains("href=\"/key\""));

    assert_eq!((key(&program).0, key(&program).0), (200, 200));
    let (status, text) = key(&program);
    assert_eq!((status, text.contains("try again in an hour")), (429, true));
    assert_eq!(program.metric("evenkeel_keys_given_total"), 3.0);
    assert_eq!(program.metric("evenkeel_keys_refused_total"), 1.0);
    assert_eq!(program.metric("evenkeel_keys_per_hour_limit"), 3.0);

    ask(&program, &token, "DELETE /keys/1", "");
    wait_for("the end of the key", || announce([7; 20], &path).filter(|text| text.contains("not known")));
}

#[test]
fn nobody_gets_a_key_where_it_is_not_wished() {
    let program = start_with("[access]\npreset = \"semi-private\"\n");
    assert_eq!(key(&program).0, 404);
    assert!(!String::from_utf8(program.get("/").1).unwrap().contains("/key"));
}

#[test]
fn keys_that_mean_nothing_are_not_given() {
    let folder = tempfile::tempdir().unwrap();
    for (preset, is_refused) in
        [("open", true), ("listed", true), ("semi-private", false), ("private", false)]
    {
        let mut check = command(folder.path());
        check.env("EVENKEEL_ACCESS__PRESET", preset).env("EVENKEEL_ACCESS__KEYS_FOR_ANYBODY", "true");
        let output = check.args(["config", "check"]).output().unwrap();
        let sentence = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(if is_refused { 2 } else { 0 }), "{preset}: {sentence}");
        assert_eq!(sentence.contains("announce keys mean nothing"), is_refused, "{preset}: {sentence}");
    }
}
