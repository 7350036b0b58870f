//! Tokens of the API: what each is good for, and until when.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::api::{ask, start, start_on_postgres};
use crate::rig::Program;

/// Makes a token; answers its id and itself.
fn give(program: &Program, by: &str, token: &Value) -> (i64, String) {
    let (status, made) = ask(program, by, "POST /tokens", &token.to_string());
    assert_eq!(status, 201, "{made}");
    (made["id"].as_i64().unwrap(), made["token"].as_str().unwrap().to_owned())
}

fn a_token_is_good_for_its_scopes(program: &Program, first: &str) {
    let (_, reader) = give(program, first, &json!({ "name": "dashboard", "scopes": ["read"] }));
    let (_, site) = give(program, first, &json!({ "name": "site", "scopes": ["users", "torrents"] }));
    let torrent = json!({ "info_hash_v1": "07".repeat(20), "name": "t" }).to_string();
    for (token, line, body, status) in [
        (&site, "POST /users", r#"{"name": "ann"}"#, 201),
        (&site, "POST /torrents", &torrent, 201),
        (&site, "GET /users/1", "", 200),
        (&site, "POST /users/1/passkey", "", 200),
        (&site, "GET /keys", "", 403),
        (&site, "POST /keys", "{}", 403),
        (&site, "POST /tokens", r#"{"name": "x", "scopes": ["users"]}"#, 403),
        (&reader, "GET /users/1", "", 200),
        (&reader, "GET /tokens", "", 200),
        (&reader, "POST /users", r#"{"name": "eve"}"#, 403),
        (&reader, "PATCH /users/1", r#"{"name": "eve"}"#, 403),
        (&reader, "DELETE /users/1", "", 403),
        (&reader, "POST /users/1/passkey", "", 403),
    ] {
        let (answered, answer) = ask(program, token, line, body);
        assert_eq!(answered, status, "{line}: {answer}");
        if status == 403 {
            assert_eq!(answer["code"], "forbidden", "{line}");
        }
    }
    let (_, refused) = ask(program, &site, "POST /keys", "{}");
    assert_eq!(refused["message"], "this needs a token with the scope keys");
    let (_, user) = ask(program, first, "GET /users/1", "");
    assert_eq!(user["name"], "ann");
    let (_, tokens) = ask(program, first, "GET /tokens", "");
    assert_eq!(tokens["rows"][1]["scopes"], json!(["users", "torrents"]));
    assert!(!tokens.to_string().contains(&site));
}

#[test]
fn a_token_is_good_for_its_scopes_in_sqlite() {
    let (program, first) = start();
    a_token_is_good_for_its_scopes(&program, &first);
}

#[test]
fn a_token_is_good_for_its_scopes_in_postgresql() {
    let (program, first, _server) = start_on_postgres();
    a_token_is_good_for_its_scopes(&program, &first);
}

#[test]
fn a_token_ends_when_it_expires_or_is_removed() {
    let (program, first) = start();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let of = |name: &str, end: u64| json!({ "name": name, "scopes": ["read"], "expires_at": end });
    let (_, late) = give(&program, &first, &of("late", now - 1));
    let (id, early) = give(&program, &first, &of("early", now + 3600));
    let (status, refused) = ask(&program, &late, "GET /users", "");
    assert_eq!((status, &refused["code"]), (401, &json!("unauthorised")));
    assert_eq!(ask(&program, &early, "GET /users", "").0, 200);
    let ends = json!({ "expires_at": now }).to_string();
    assert_eq!(ask(&program, &first, &format!("PATCH /tokens/{id}"), &ends).0, 200);
    assert_eq!(ask(&program, &early, "GET /users", "").0, 401, "at once");
    let ends = json!({ "expires_at": null }).to_string();
    assert_eq!(ask(&program, &first, &format!("PATCH /tokens/{id}"), &ends).0, 200);
    assert_eq!(ask(&program, &early, "GET /users", "").0, 200);
    assert_eq!(ask(&program, &first, &format!("DELETE /tokens/{id}"), "").0, 204);
    assert_eq!(ask(&program, &early, "GET /users", "").0, 401, "at once");
}

#[test]
fn nobody_gives_more_than_they_have() {
    let (program, first) = start();
    let (_, own) = give(&program, &first, &json!({ "name": "own", "scopes": ["tokens", "users"] }));
    let (strong, _) = give(&program, &first, &json!({ "name": "strong", "scopes": ["torrents"] }));
    let (weak, _) = give(&program, &own, &json!({ "name": "weak", "scopes": ["users"] }));
    for (line, body) in [
        ("POST /tokens".to_owned(), r#"{"name": "x", "scopes": ["users", "torrents"]}"#),
        (format!("PATCH /tokens/{weak}"), r#"{"scopes": ["torrents"]}"#),
        (format!("PATCH /tokens/{strong}"), r#"{"expires_at": null}"#),
    ] {
        let (status, refused) = ask(&program, &own, &line, body);
        assert_eq!((status, &refused["field"]), (400, &json!("scopes")), "{line}");
    }
}

#[test]
fn a_token_without_a_scope_or_with_an_unknown_one_is_refused() {
    let (program, first) = start();
    for (scopes, field) in [
        (json!([]), "scopes"),
        (json!(["admin"]), "scopes"),
        (json!("users"), "scopes"),
        (json!([5]), "scopes"),
        (Value::Null, "scopes"),
    ] {
        let token = json!({ "name": "x", "scopes": scopes });
        let (status, refused) = ask(&program, &first, "POST /tokens", &token.to_string());
        assert_eq!((status, &refused["field"]), (400, &json!(field)), "{token}");
    }
    let (status, refused) = ask(&program, &first, "POST /tokens", r#"{"name": "x"}"#);
    assert_eq!((status, &refused["field"]), (400, &json!("scopes")));
    let (status, refused) =
        ask(&program, &first, "POST /tokens", r#"{"name": "x", "scopes": ["read"], "expires_at": -1}"#);
    assert_eq!((status, &refused["field"]), (400, &json!("expires_at")));
    assert_eq!(ask(&program, &first, "GET /tokens", "").1["rows"], json!([]));
}
