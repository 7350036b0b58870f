//! What is needed to run in containers. No engine is asked: this checks what can be known without one.

use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Yaml};

use crate::rig::command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn texts<'a>(list: &'a Yaml<'_>) -> Vec<&'a str> {
    list.as_sequence().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_compose_file_describes_a_tracker_and_its_database() {
    let text = read("docker/compose.yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let [compose] = &documents[..] else { panic!("one document") };
    let (tracker, database) = (&compose["services"]["tracker"], &compose["services"]["database"]);
    assert!(
        root().join("docker").join(tracker["build"]["context"].as_str().unwrap()).join("Cargo.lock").exists()
    );
    assert!(root().join(tracker["build"]["dockerfile"].as_str().unwrap()).exists());
    assert_eq!(tracker["depends_on"]["database"]["condition"].as_str(), Some("service_healthy"));
    assert!(database["healthcheck"]["test"].is_sequence());
    let ports = texts(&tracker["ports"]);
    assert_eq!(
        ports,
        ["6969:6969/tcp", "6969:6969/udp", "127.0.0.1:6971:6971/tcp"],
        "the API is for this machine"
    );
    // Each volume that is mounted is one of the file's, and each service keeps what it has in one.
    let volumes = compose["volumes"].as_mapping().unwrap();
    for service in [tracker, database] {
        let [mounted] = texts(&service["volumes"])[..] else { panic!("one volume each") };
        let name = mounted.split(':').next().unwrap();
        assert!(volumes.keys().any(|known| known.as_str() == Some(name)), "{mounted}");
    }
    let password = "${POSTGRES_PASSWORD:?set it to letters and digits}";
    assert_eq!(
        database["environment"]["POSTGRES_PASSWORD"].as_str(),
        Some(password),
        "there is no default password"
    );
}

#[test]
fn the_variables_of_the_compose_file_are_settings() {
    let text = read("docker/compose.yaml");
    let documents = Yaml::load_from_str(&text).unwrap();
    let environment = documents[0]["services"]["tracker"]["environment"].as_mapping().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut check = command(folder.path());
    for (name, value) in environment {
        let value =
            value.as_str().unwrap().replace("${POSTGRES_PASSWORD:?set it to letters and digits}", "abc123");
        assert!(!value.contains('$'), "{value}");
        check.env(name.as_str().unwrap(), value);
    }
    let output = check.args(["config", "show"]).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in ["preset = \"private\"", "address = \"0.0.0.0:6971\"", "url = \"***\""] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

#[test]
fn the_image_is_built_by_the_pinned_compiler_runs_without_privileges_and_knows_its_health() {
    let image = read("docker/Dockerfile");
    let compiler = read("rust-toolchain.toml");
    let version = compiler.split("channel = \"").nth(1).unwrap().split('"').next().unwrap();
    let tag = image.split("library/rust:").nth(1).unwrap().split('-').next().unwrap();
    assert!(version.starts_with(&format!("{tag}.")) || version == tag, "{version} is not {tag}");
    let last = image.rsplit("\nFROM ").next().unwrap();
    let user = last.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().unwrap() > 0), "{user}");
    assert!(last.contains("HEALTHCHECK") && last.contains("CMD [\"/usr/bin/evenkeel\", \"health\"]"));
    let health = command(Path::new(".")).args(["health", "--help"]).output().unwrap();
    assert!(health.status.success(), "there is such a command");
}

#[test]
fn what_nobody_has_tried_says_so() {
    for path in ["docker/compose.yaml", "docker/Dockerfile", "docs/operating.md"] {
        assert!(read(path).to_lowercase().contains("container engine"), "{path}");
    }
}
