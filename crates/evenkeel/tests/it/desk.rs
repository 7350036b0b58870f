//! The commands that manage users, torrents and the like, against the real program.

use std::process::Output;

use serde_json::{Value, json};

use crate::api::{announce, start};
use crate::files::{V1, torrent};
use crate::rig::{Program, command, wait_for};

const HASH: &str = "0707070707070707070707070707070707070707";

fn run(program: &Program, token: &str, arguments: &[&str]) -> Output {
    let mut command = command(program.folder.path());
    command.env("EVENKEEL_API", format!("http://{}/api/v1", program.admin)).env("EVENKEEL_TOKEN", token);
    command.args(arguments).output().unwrap()
}

fn success(program: &Program, token: &str, arguments: &[&str]) -> String {
    let output = run(program, token, arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn json_of(program: &Program, token: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&success(program, token, &[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn a_user_gets_a_passkey_that_announces_until_the_user_is_removed() {
    let (program, token) = start();
    let made = json_of(&program, &token, &["user", "add", "ann"]);
    let passkey = made["passkey"].as_str().unwrap();
    success(&program, &token, &["torrent", "add", HASH, "name=a film", "size_bytes=5000"]);
    wait_for("the user", || announce(&program, passkey, [7; 20]).is_none().then_some(()));

    let text = success(&program, &token, &["user", "list"]);
    assert!(text.starts_with(" id  name  state") && text.contains("\n  1  ann   active"), "{text}");
    let text = success(&program, &token, &["user", "set", "1", "state=leech-disabled"]);
    assert!(text.contains("leech-disabled"), "{text}");
    wait_for("the state", || announce(&program, passkey, [7; 20]));
    success(&program, &token, &["user", "set", "1", "state=active"]);
    let new = json_of(&program, &token, &["user", "passkey", "1"])["passkey"].as_str().unwrap().to_owned();
    wait_for("the new passkey", || announce(&program, &new, [7; 20]).is_none().then_some(()));
    let text = success(&program, &token, &["user", "show", "1"]);
    assert!(text.contains("totals.uploaded") && !text.contains(&new), "{text}");

    assert_eq!(success(&program, &token, &["user", "remove", "1"]), "");
    wait_for("the end", || announce(&program, &new, [7; 20]).filter(|text| text.contains("not known")));
    assert_eq!(success(&program, &token, &["user", "list"]), "no rows\n");
    assert_eq!(json_of(&program, &token, &["user", "list"]), json!([]));
}

#[test]
fn every_kind_is_made_shown_changed_and_removed() {
    let (program, token) = start();
    for (kind, add, change) in [
        ("user", &["ann"][..], "state=banned"),
        ("torrent", &[HASH, "name=t"], "freeleech_until=+30d"),
        ("key", &["for a friend"], "note=for another one"),
        ("list", &[HASH, "list=denied"], "note=court"),
        ("class", &["elite", "upload_percent=150"], "clients_per_torrent_max=5"),
        ("setting", &["freeleech_until", "value=5"], "value=6"),
        ("token", &["site", "scopes=users,torrents", "expires_at=+1h"], "expires_at=null"),
    ] {
        let id = json_of(&program, &token, &[&[kind, "add"], add].concat())["id"].to_string();
        let changed = json_of(&program, &token, &[kind, "set", &id, change]);
        let field = change.split('=').next().unwrap();
        let shown = json_of(&program, &token, &[kind, "show", &id]);
        assert_eq!(shown[field], changed[field], "{kind}");
        assert!(success(&program, &token, &[kind, "list"]).lines().count() >= 2, "{kind}");
        success(&program, &token, &[kind, "remove", &id]);
        assert_eq!(run(&program, &token, &[kind, "show", &id]).status.code(), Some(2), "{kind}");
    }
}

#[test]
fn rows_may_be_named_by_what_they_are_called() {
    let (program, token) = start();
    success(&program, &token, &["user", "add", "ann", "bob"]);
    success(&program, &token, &["torrent", "add", HASH, "name=t"]);
    assert_eq!(json_of(&program, &token, &["user", "show", "bob"])["id"], 2);
    assert_eq!(json_of(&program, &token, &["user", "set", "ann", "state=banned"])["id"], 1);
    assert!(json_of(&program, &token, &["user", "passkey", "bob"])["passkey"].is_string());
    let set = json_of(&program, &token, &["torrent", "set", HASH, "state=deleted", "reason=a duplicate"]);
    assert_eq!((&set["id"], &set["reason"]), (&json!(1), &json!("a duplicate")));
    success(&program, &token, &["user", "remove", "bob", "1"]);
    assert_eq!(success(&program, &token, &["user", "list"]), "no rows\n");
    for (arguments, sentence) in [
        (["user", "show", "eve"], "\"eve\" is neither a number nor the name of a row"),
        (["user", "remove", "eve"], "eve cannot be removed"),
        (["torrent", "show", "xyz"], "info_hash must be hexadecimal digits"),
        (["key", "show", "x"], "`evenkeel key list` shows them"),
    ] {
        let output = run(&program, &token, &arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(sentence), "{arguments:?}: {text}");
    }
}

#[test]
fn a_user_is_held_at_a_tier_until_it_is_let_go() {
    let (program, token) = start();
    success(&program, &token, &["user", "add", "ann"]);
    assert_eq!(json_of(&program, &token, &["user", "show", "ann"])["pinned_tier"], Value::Null);
    assert_eq!(json_of(&program, &token, &["user", "pin-tier", "ann", "3"])["pinned_tier"], 3);
    assert_eq!(json_of(&program, &token, &["user", "set", "1", "pinned_tier=0"])["pinned_tier"], 0);
    success(&program, &token, &["user", "pin-tier", "1", "none"]);
    assert_eq!(json_of(&program, &token, &["user", "show", "1"])["pinned_tier"], Value::Null);
    let output = run(&program, &token, &["user", "pin-tier", "ann", "4"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && text.contains("0 to 3, or none"), "{text}");
}

#[test]
fn a_token_that_was_made_is_good_for_its_scopes() {
    let (program, first) = start();
    let made = json_of(&program, &first, &["token", "add", "site", "scopes=users"]);
    let token = made["token"].as_str().unwrap();
    success(&program, token, &["user", "add", "ann"]);
    let output = run(&program, token, &["key", "list"]);
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(sentence, "evenkeel: this needs a token with the scope keys\n");
    let file = program.folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let listed = run(&program, "wrong", &["user", "list", "--token-file", file.to_str().unwrap()]);
    assert!(listed.status.success());
}

#[test]
fn many_rows_of_a_file_are_made_and_listed_over_all_pages() {
    let (program, token) = start();
    let rows: String = (0..2_500)
        .map(|number| format!("{{\"info_hash_v1\":\"{number:040x}\",\"name\":\"t{number}\"}}\n"))
        .collect();
    let file = program.folder.path().join("rows");
    std::fs::write(&file, rows).unwrap();
    let made = json_of(&program, &token, &["torrent", "add", "--from", file.to_str().unwrap()]);
    assert_eq!(made.as_array().unwrap().len(), 2_500);
    let listed = json_of(&program, &token, &["torrent", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 2_500);
    assert_eq!(listed[2_499]["name"], "t2499");
    let some = json_of(&program, &token, &["torrent", "list", "--after", "1200", "--limit", "1100"]);
    assert_eq!((some.as_array().unwrap().len(), &some[0]["id"]), (1_100, &json!(1201)));

    std::fs::write(&file, r#"[{"name": "x"}, {"info_hash_v1": "zz", "name": "y"}, {"nmae": "z"}]"#).unwrap();
    let output = run(&program, &token, &["torrent", "add", "--from", file.to_str().unwrap()]);
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    for part in [
        "no row was made",
        "row 1: info_hash_v1 must be 40 hexadecimal",
        "row 2: there is no such field: nmae",
    ] {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert_eq!(json_of(&program, &token, &["torrent", "list", "--after", "2500"]), json!([]));
}

#[test]
fn what_cannot_be_done_is_one_sentence_and_status_2() {
    let (program, token) = start();
    for (arguments, sentence) in [
        (&["user", "show", "9"][..], "there is no such row"),
        (&["user", "add", "ann", "clas=1"], "one of the fields name, state, class"),
        (&["user", "set", "1", "class=x"], "class cannot be \"x\": it is a whole number, or null"),
        (&["token", "add", "t", "scopes=king"], "scopes must be a list of some of read, users"),
        (&["user", "list", "--api", "http://127.0.0.1:1"], "connect"),
        (&["user", "list", "--api", "nonsense"], "URL"),
        (&["user", "add", "--from", "/nowhere"], "cannot read /nowhere"),
    ] {
        let output = run(&program, &token, arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.starts_with("evenkeel: ") && text.contains(sentence), "{arguments:?}: {text}");
    }
    let output = run(&program, "wrong", &["user", "list"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("Authorization: Bearer TOKEN"));
    let mut without = command(program.folder.path());
    let output = without.args(["user", "list", "--api", "http://127.0.0.1:1"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("EVENKEEL_TOKEN"));
}

#[test]
fn the_tracker_of_this_machine_is_found_by_its_configuration() {
    let (program, token) = start();
    let mut command = command(program.folder.path());
    command.env("EVENKEEL_ADMIN__ADDRESS", program.admin.to_string()).env("EVENKEEL_TOKEN", &token);
    let output = command.args(["user", "add", "ann"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn files_are_added_and_come_back_with_a_users_url() {
    let (program, token) = start();
    let passkey = json_of(&program, &token, &["user", "add", "ann"])["passkey"].as_str().unwrap().to_owned();
    let path = |name: &str| program.folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("a.torrent"), torrent(V1)).unwrap();
    std::fs::write(path("b.torrent"), torrent(&V1.replace("film", "song"))).unwrap();
    let text = success(&program, &token, &["torrent", "add", &path("a.torrent"), &path("b.torrent")]);
    assert!(text.contains(" 1  ") && text.contains("film") && text.contains("song"), "{text}");

    success(
        &program,
        &token,
        &["torrent", "download", "2", "--passkey", &passkey, "--out", &path("own.torrent")],
    );
    let own = std::fs::read_to_string(path("own.torrent")).unwrap();
    assert!(own.contains(&format!("/{passkey}/announce")) && !own.contains("elsewhere"), "{own}");
    success(&program, &token, &["torrent", "download", "1"]);
    assert!(!std::fs::read_to_string(path("1.torrent")).unwrap().contains("announce"));

    std::fs::write(path("c.torrent"), "no torrent").unwrap();
    for (arguments, sentence) in [
        (vec!["torrent", "add", "/nowhere.torrent"], "/nowhere.torrent is not taken: No such file"),
        (vec!["torrent", "add", &path("c.torrent")], "torrent must be"),
        (vec!["torrent", "add", &path("a.torrent")], "another row has this already: info_hash_v1"),
        (vec!["torrent", "download", "1"], "cannot create 1.torrent"),
        (
            vec!["torrent", "download", "1", "--passkey", "x", "--out", "x"],
            "passkey must be one that is known",
        ),
    ] {
        let output = run(&program, &token, &arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && text.contains(sentence), "{arguments:?}: {text}");
    }
}
