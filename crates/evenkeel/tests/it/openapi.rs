//! The document of the API: it is what is kept in `docs/openapi.json`, and what it says is there.

use std::path::Path;

use serde_json::Value;

use crate::api::{ask, start};

/// `UPDATE_OPENAPI=1` writes the file anew.
#[test]
fn the_document_is_the_one_that_is_kept() {
    let (program, _) = start();
    let (status, served) = program.get_admin("/api/v1/openapi.json");
    assert_eq!(status, 200, "it needs no token");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == served, "docs/openapi.json is not what is served: UPDATE_OPENAPI=1 writes it anew");
    assert!(kept.starts_with("{\n  \"openapi\": \"3.1.0\""));
}

#[test]
fn every_path_of_the_document_is_there_and_needs_a_token() {
    let (program, token) = start();
    let document: Value = serde_json::from_str(&program.get_admin("/api/v1/openapi.json").1).unwrap();
    let mut operations = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        // Nothing has this id: what is there says so, what is not says something else.
        let path = path.replace("{id}", "4000000000");
        for method in item.as_object().unwrap().keys() {
            let line = format!("{} {path}", method.to_uppercase());
            assert_eq!(ask(&program, "none", &line, "").0, 401, "{line}");
            let (status, answer) = ask(&program, &token, &line, "{");
            assert!(status != 405 && answer["code"] != "unknown_path", "{line}: {answer}");
            operations += 1;
        }
    }
    assert!(operations >= 36, "only {operations} operations are described");
}

#[test]
fn the_page_shows_every_path_and_loads_nothing() {
    let (program, _) = start();
    let document: Value = serde_json::from_str(&program.get_admin("/api/v1/openapi.json").1).unwrap();
    let (status, page) = program.get_admin("/api/v1");
    assert_eq!(status, 200);
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let line = format!("<b>{}</b> <code>/api/v1{path}</code>", method.to_uppercase());
            assert!(page.contains(&line), "{line}");
        }
    }
    for word in ["<script", "src=", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
    for field in ["leech-disabled", "40 hexadecimal digits", "(optional)", "upload_percent"] {
        assert!(page.contains(field), "{field}");
    }
}
