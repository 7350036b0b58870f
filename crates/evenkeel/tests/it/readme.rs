//! The private quick start of the README, typed as it stands there.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::bencode::Value as Bencode;
use crate::files::{V1, torrent};
use crate::rig::{Ask, Program, get, start_as, wait_for};

/// The lines of the block, without what is said of them.
fn lines() -> Vec<String> {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let section = readme.split("## A private tracker").nth(1).expect("the section is there");
    let block = section.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    block.lines().map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect()
}

/// A shell that finds the program in its path, as after an installation.
fn shell(folder: &Path, line: &str) -> Command {
    let mut command = Command::new("sh");
    let bin = Path::new(env!("CARGO_BIN_EXE_evenkeel")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.args(["-c", line]).env_clear().env("PATH", path).current_dir(folder).stdin(Stdio::null());
    // The ports of the README may be taken here.
    command.env("EVENKEEL_SERVER__PORT", "0").env("EVENKEEL_ADMIN__ADDRESS", "127.0.0.1:0");
    command
}

struct Reader {
    program: Program,
    token: String,
}

impl Reader {
    fn type_in(&self, line: &str) -> String {
        let mut command = shell(self.program.folder.path(), line);
        command.env("EVENKEEL_API", format!("http://{}/api/v1", self.program.admin));
        let output = command.env("EVENKEEL_TOKEN", &self.token).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a client with this file announces, and is answered.
    fn announce(&self, file: &str, ask: &Ask, moved: (u64, u64)) -> Bencode {
        let file = std::fs::read(self.program.folder.path().join(file)).unwrap();
        let url = String::from_utf8(Bencode::read(&file).bytes("announce").unwrap().to_vec()).unwrap();
        let path = url.splitn(4, '/').nth(3).unwrap();
        let (up, down) = moved;
        let query =
            ask.query().replace("uploaded=0&downloaded=0", &format!("uploaded={up}&downloaded={down}"));
        let (_, answer) =
            get(self.program.address(crate::rig::Way::HttpV4), None, &format!("/{path}?{query}&compact=1"));
        Bencode::read(&answer)
    }
}

#[test]
fn five_commands_lead_from_nothing_to_a_download_of_a_second_user() {
    let lines = lines();
    let commands = lines.iter().filter(|line| line.contains("evenkeel ")).count();
    assert_eq!((commands, lines.len()), (5, 6), "{lines:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("film.torrent"), torrent(V1)).unwrap();

    // The shell waits for what it has started in the background, so that it is the program that is stopped.
    let first = format!("exec env {}", lines[0].strip_suffix(" &").unwrap());
    let mut command = shell(folder.path(), &first);
    command.stderr(Stdio::null());
    let program = start_as(folder, command);
    let token = crate::api::token_in(&program.banner).unwrap();
    assert_eq!(lines[1], "export EVENKEEL_TOKEN=TOKEN");
    let reader = Reader { program, token };

    let told = reader.type_in(&lines[2]);
    let passkeys: Vec<&str> =
        told.lines().skip(1).map(|line| line.split_whitespace().last().unwrap()).collect();
    for line in &lines[3..] {
        reader.type_in(&line.replace("ANN", passkeys[0]).replace("BOB", passkeys[1]));
    }

    let info_hash: [u8; 20] = <sha1::Sha1 as sha1::Digest>::digest(V1).into();
    let (ann, bob) = (Ask::seeder(info_hash, 1001), Ask::leecher(info_hash, 1002));
    wait_for("Ann to be known", || {
        reader.announce("ann.torrent", &ann, (0, 0)).bytes("failure reason").is_none().then_some(())
    });
    let answer = wait_for("Bob to be known", || {
        let answer = reader.announce("bob.torrent", &bob, (0, 0));
        answer.bytes("failure reason").is_none().then_some(answer)
    });
    assert_eq!(answer.bytes("peers").map(<[u8]>::len), Some(6), "Bob is told of Ann");
    reader.announce("bob.torrent", &Ask { left: 0, ..bob }.event("completed"), (0, 5));
    reader.announce("ann.torrent", &ann.event(""), (5, 0));
    let totals = |line: &str, of: &str, bytes: u64| {
        wait_for("the books", || {
            let shown: Value = serde_json::from_str(&reader.type_in(line)).unwrap();
            (shown["totals"][of] == bytes).then_some(())
        });
    };
    totals("evenkeel user show 1 --json", "uploaded", 5);
    totals("evenkeel user show 2 --json", "downloaded", 5);
}
