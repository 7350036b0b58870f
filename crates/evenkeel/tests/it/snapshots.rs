//! Texts that users and their programs rely on. `cargo insta review` (or INSTA_UPDATE=always) takes a change over.

use crate::rig::{command, start};

#[test]
fn help_says_what_the_program_does() {
    let folder = tempfile::tempdir().unwrap();
    for (name, arguments) in [
        ("help", &["--help"][..]),
        ("help_serve", &["serve", "--help"]),
        ("help_config", &["config", "--help"]),
        ("help_announce", &["announce", "--help"]),
        ("help_probe", &["probe", "--help"]),
        ("help_user", &["user", "--help"]),
        ("help_user_add", &["user", "add", "--help"]),
    ] {
        // Help shows the value of an environment variable: the folder's is of no interest.
        let output = command(folder.path()).env_clear().args(arguments).output().unwrap();
        assert!(output.status.success());
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn metric_names_and_reasons_are_stable() {
    let program = start();
    let (_, text) = program.get_admin("/metrics");
    let names: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket{"))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, _)| name)
        .collect();
    insta::assert_snapshot!("metrics", names.join("\n"));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn completions_are_made_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = command(folder.path()).args(["completions", shell]).output().unwrap();
        assert!(
            output.status.success() && String::from_utf8(output.stdout).unwrap().contains("evenkeel"),
            "{shell}"
        );
    }
}

#[test]
fn the_version_names_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path()).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("evenkeel 0.") && text.contains("commit"), "{text}");
}
