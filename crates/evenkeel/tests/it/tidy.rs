//! House rules that no lint can check. Each says what it protects.

use std::path::{Path, PathBuf};

use evenkeel_wire::Failure;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file of a folder, with its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} holds no sources");
    found
}

#[test]
fn no_file_is_longer_than_a_newcomer_can_bear() {
    for (path, text) in sources("crates") {
        let lines = text.lines().count();
        assert!(lines <= 600, "{path} has {lines} lines: aim for 300, stop at 600");
    }
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for (path, _) in sources("crates") {
        let name = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        for empty in ["util", "utils", "common", "helpers", "types", "misc", "manager", "mod"] {
            assert_ne!(name, empty, "{path}");
        }
    }
}

#[test]
fn names_are_those_of_the_glossary() {
    for (path, text) in sources("crates") {
        if path.ends_with("tidy.rs") {
            continue;
        }
        // What another tracker calls things is part of its face.
        let has_words_of_its_own = path.ends_with("etracker.rs");
        for (wrong, right) in
            [("infohash", "info hash"), ("InfoHashes", "info hashes"), ("torrent_map", "swarm")]
        {
            assert!(has_words_of_its_own || !text.contains(wrong), "{path} says {wrong:?}: say {right:?}");
        }
        for unfinished in ["TO\u{44}O", "FIX\u{4d}E", "X\u{58}X "] {
            assert!(!text.contains(unfinished), "{path} has an unfinished mark");
        }
    }
}

#[test]
fn the_pure_crates_depend_on_nothing_that_does_io() {
    for (name, allowed) in [
        ("evenkeel-wire", &["httparse", "itoa", "memchr", "serde", "serde_json", "zerocopy"][..]),
        ("evenkeel-core", &["evenkeel-wire", "fastrand", "siphasher"]),
    ] {
        let manifest = read(format!("crates/{name}/Cargo.toml"));
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap();
        let dependencies = dependencies.split("\n[").next().unwrap();
        for line in dependencies.lines().filter(|line| !line.trim().is_empty()) {
            let dependency = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&dependency), "{name} depends on {dependency}");
        }
    }
}

#[test]
fn the_pure_crates_name_no_socket_file_or_clock() {
    for folder in ["crates/evenkeel-wire/src", "crates/evenkeel-core/src"] {
        for (path, text) in sources(folder) {
            for word in
                ["std::fs", "std::process", "std::thread", "std::time", "TcpStream", "UdpSocket", "println!"]
            {
                assert!(!text.contains(word), "{path} names {word}");
            }
        }
    }
}

#[test]
fn listeners_hold_no_rule() {
    // They hand a request to the node and write what it answers: the core's types for state are not theirs.
    for (path, text) in sources("crates/evenkeel/src/listen") {
        for word in ["Shard", "Rules,", "AddressTable", "rules().numwant", "catch_unwind"] {
            let outside_tests = text.split("#[cfg(test)]").next().unwrap();
            assert!(!outside_tests.contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn unsafe_code_lives_where_system_and_processor_are_called() {
    for (path, text) in sources("crates") {
        let allowed = [
            "udp/batch_linux.rs",
            "udp/batch_portable.rs",
            "udp/wait.rs",
            "src/system.rs",
            "src/prefetch.rs",
            "tests/allocations/counting.rs",
            "it/tidy.rs",
        ];
        if !allowed.iter().any(|allowed| path.ends_with(allowed)) {
            assert!(!text.contains("unsafe {") && !text.contains("unsafe impl"), "{path} has unsafe code");
        }
    }
}

#[test]
fn every_failure_is_documented() {
    let documented = read("docs/protocols.md");
    for failure in Failure::ALL {
        assert!(documented.contains(failure.text()), "docs/protocols.md lacks {:?}", failure.text());
    }
}

#[test]
fn every_test_that_the_protocol_table_names_exists() {
    let table = read("docs/protocols.md");
    let mut known: String = ["crates"].map(sources).concat().into_iter().map(|(_, text)| text).collect();
    for entry in std::fs::read_dir(root().join("crates/evenkeel-core/tests/scripts")).unwrap() {
        known.push_str(&entry.unwrap().file_name().to_string_lossy());
    }
    known.push_str(&read("tests/clients/transfers.py"));
    assert!(!table.contains("TEST?"), "a row without its test");
    let mut named = 0;
    for code in table.split('`').skip(1).step_by(2) {
        let Some((_, test)) = code.split_once("::") else { continue };
        let test = test.rsplit("::").next().unwrap();
        assert!(known.contains(test), "docs/protocols.md names {code}, which does not exist");
        named += 1;
    }
    assert!(named >= 60, "only {named} tests are named");
}

#[test]
fn the_architecture_fits_in_one_sitting_and_names_real_files() {
    let text = read("ARCHITECTURE.md");
    assert!(text.lines().count() <= 250);
    assert!(read("CONTRIBUTING.md").lines().count() <= 150);
    for code in
        text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("crates/") && code.ends_with(".rs"))
    {
        assert!(root().join(code).is_file(), "ARCHITECTURE.md names {code}, which does not exist");
    }
}

#[test]
fn every_limit_is_in_the_operators_handbook() {
    let handbook = read("docs/operating.md");
    let example = read("evenkeel.example.toml");
    let limits = example.split("[limits]").nth(1).unwrap().split("\n[").next().unwrap();
    for line in limits.lines().filter(|line| line.starts_with('#') && line.contains(" = ")) {
        let key = line.trim_start_matches('#').split(" = ").next().unwrap();
        assert!(handbook.contains(key), "docs/operating.md says nothing of {key}");
    }
}
