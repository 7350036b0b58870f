//! Secrets stay secrets: the program runs at the level `trace` through all dialects and much trouble, and nothing of what it
//! wrote holds one of them.

use std::fs::File;
use std::process::Command;

use serde_json::{Value, json};

use crate::api::{PRIVATE, announce, ask, send, token_in};
use crate::files::{V1, torrent};
use crate::postgres::Server;
use crate::rig::{Ask, Program, Way, command, connect, exchange, get, start_as, udp_announce, wait_for};
use crate::websocket::{UPGRADE, WebSocket};

/// Of the database, and a passkey that nobody has.
const PASSWORD: &str = "canary-password-5f0c";
const WRONG: &str = "canarywrongpasskey77";
const TORRENT: [u8; 20] = [7; 20];

struct Canary {
    program: Program,
    /// What must be nowhere.
    secrets: Vec<String>,
    /// What the program wrote to whoever asked.
    seen: Vec<String>,
}

fn start(server: &Server) -> Canary {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{} password={PASSWORD}", server.address("evenkeel", "canary"));
    let config = format!("{PRIVATE}[database]\nurl = \"{url}\"\n[log]\nlevel = \"trace\"\n");
    std::fs::write(folder.path().join("evenkeel.toml"), config).unwrap();
    let mut command = command(folder.path());
    command.stderr(File::create(folder.path().join("log")).unwrap());
    let program = start_as(folder, command);
    let token = token_in(&program.banner).unwrap();
    // The banner is where the first token is shown, once.
    let seen = vec![program.banner.replacen(&token, "", 1)];
    Canary { program, secrets: vec![token, PASSWORD.to_owned(), WRONG.to_owned()], seen }
}

impl Canary {
    fn api(&mut self, line: &str, body: &Value) -> Value {
        let (_, answer) = ask(&self.program, &self.secrets[0], line, &body.to_string());
        answer
    }

    /// The same of what is not there to show a secret.
    fn look(&mut self, token: &str, line: &str, body: &str) {
        let (_, answer) = send(&self.program, token, line, (body.len(), body.as_bytes()));
        self.seen.push(String::from_utf8_lossy(&answer).into_owned());
    }

    /// Makes something, and takes its secret.
    fn make(&mut self, line: &str, body: &Value) -> String {
        let told = self.api(line, body);
        let secret = ["passkey", "key", "token"].iter().find_map(|name| told[name].as_str());
        let secret = secret.unwrap_or_else(|| panic!("{line}: {told}")).to_owned();
        self.secrets.push(secret.clone());
        secret
    }

    fn get(&mut self, target: &str) {
        let (_, body) = get(self.program.address(Way::HttpV4), None, target);
        self.seen.push(String::from_utf8_lossy(&body).into_owned());
    }

    /// Announces and scrapes with a secret, in every way, and badly.
    fn announce_everywhere(&mut self, secret: &str) {
        let query = Ask::leecher(TORRENT, 1001).query();
        for path in [
            format!("/{secret}/announce?"),
            format!("/announce/{secret}?"),
            format!("/announce?passkey={secret}&"),
        ] {
            self.get(&format!("{path}{query}"));
            self.get(&format!("{path}info_hash=short"));
            self.get(&format!("{}{query}", path.replace("announce", "scrape")));
            let socket = self.program.udp(Way::UdpV4);
            let id = connect(&socket);
            let option = [&[2, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
            let packet = [udp_announce(id, &Ask::leecher(TORRENT, 1002)), option].concat();
            self.seen.push(exchange(&socket, &packet).unwrap().escape_ascii().to_string());
        }
        for strange in [
            format!("GET /{secret}/announce?{query} HTTP/9.9\r\nHost: x\r\n\r\n"),
            format!("BREW /{secret}/announce HTTP/1.1\r\nHost: x\r\n\r\n"),
            format!("GET /{secret}/nothing?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            format!("GET /{}/announce HTTP/1.1\r\nHost: x\r\n\r\n", secret.repeat(1000)),
        ] {
            self.seen.push(self.program.raw(strange.as_bytes()));
        }
        let stream = std::net::TcpStream::connect(self.program.address(Way::HttpV4)).unwrap();
        stream.set_read_timeout(Some(crate::rig::PATIENCE)).unwrap();
        let mut socket =
            WebSocket::over_as(stream, &UPGRADE.replace("/announce", &format!("/{secret}/announce")), b"");
        for info_hash in ["\u{7}".repeat(20), "short".to_owned()] {
            socket.send(&json!({
                "action": "announce", "info_hash": info_hash, "peer_id": "-XX0001-0123456789ab", "uploaded": 0,
                "downloaded": 0, "left": 5, "event": "started", "numwant": 5, "offers": []
            }));
            self.seen.push(socket.message().to_string());
        }
    }

    fn use_the_api_badly(&mut self) {
        let secrets = self.secrets.clone();
        for secret in &secrets {
            self.look(secret, "GET /users", "");
            self.look(secret, "GET /tokens", "");
            self.look(secret, "GET /torrents/1/history", "");
            self.look(secret, &format!("GET /{secret}"), "");
            for body in [format!("{{\"name\": \"{secret}"), format!("\"{secret}\""), String::new()] {
                self.look(secret, "POST /users", &body);
            }
        }
        let first = secrets[0].clone();
        for body in [json!({ "passkey": WRONG }), json!({ "key": WRONG })] {
            self.look(&first, "POST /torrents/1/file", &body.to_string());
        }
        for line in ["GET /users/1", "GET /keys", "GET /users"] {
            self.look(&first, line, "");
        }
    }

    /// What commands print about a tracker that is not there, and about settings.
    fn run_commands(&mut self) {
        let folder = self.program.folder.path();
        let first = self.secrets[0].clone();
        let with_environment = |command: &mut Command| {
            command
                .env("EVENKEEL_TOKEN", &first)
                .env("EVENKEEL_PASSKEY", WRONG)
                .env("EVENKEEL_API", "http://127.0.0.1:1");
            let output = command.output().unwrap();
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        };
        let mut seen = Vec::new();
        for arguments in [
            &["user", "list"][..],
            &["torrent", "download", "1"],
            &["torrent", "download", "--help"],
            &["config", "show"],
            &["config", "check"],
        ] {
            seen.push(with_environment(command(folder).args(arguments)));
        }
        let nonsense = format!("postgres://evenkeel:{PASSWORD}@:port:/");
        seen.push(with_environment(
            command(folder).args(["config", "check"]).env("EVENKEEL_DATABASE__URL", nonsense),
        ));
        self.seen.extend(seen);
    }

    fn look_at_pages(&mut self) {
        for page in ["/", "/stats", "/stats.json", "/health"] {
            self.get(page);
        }
        for page in ["/metrics", "/ready", "/api/v1", "/api/v1/openapi.json"] {
            let (_, text) = self.program.get_admin(page);
            self.seen.push(text);
        }
    }
}

#[test]
fn no_secret_is_in_anything_that_the_program_writes() {
    let server = Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]);
    let mut canary = start(&server);
    let passkey = canary.make("POST /users", &json!({ "name": "ann" }));
    let key = canary.make("POST /keys", &json!({ "note": "for a friend" }));
    canary.make("POST /tokens", &json!({ "name": "site", "scopes": ["users"] }));
    let hash = json!({ "info_hash_v1": "07".repeat(20), "name": "t" });
    canary.api("POST /torrents", &hash);
    let file = torrent(V1);
    send(&canary.program, &canary.secrets[0], "POST /torrents/file", (file.len(), &file));
    wait_for("the user", || announce(&canary.program, &passkey, TORRENT).is_none().then_some(()));
    let new = canary.make("POST /users/1/passkey", &json!({}));
    wait_for("the new passkey", || announce(&canary.program, &new, TORRENT).is_none().then_some(()));

    for secret in [&passkey, &key, &new, &WRONG.to_owned()] {
        canary.announce_everywhere(secret);
        canary.get(&format!("/standing/{secret}"));
    }
    canary.use_the_api_badly();
    canary.run_commands();
    canary.look_at_pages();
    canary.program.signal("HUP");

    // A database that goes away has everything tried again, and said why.
    server.query("canary", "ALTER TABLE books RENAME TO elsewhere").unwrap();
    canary.announce_everywhere(&new);
    wait_for("trouble", || canary.program.get_admin("/ready").1.starts_with("degraded").then_some(()));
    server.signal_all("KILL");
    wait_for("the API to say so", || {
        (ask(&canary.program, &canary.secrets[0], "GET /users", "").0 == 503).then_some(())
    });
    canary.use_the_api_badly();
    canary.look_at_pages();
    canary.program.signal("TERM");

    let Canary { program, secrets, seen } = canary;
    let (_, folder) = program.wait();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("stopped") && log.lines().count() > 20, "there is a log to look at: {log}");
    assert!(secrets.len() == 7 && seen.len() > 100);
    for (number, secret) in secrets.iter().enumerate() {
        for text in seen.iter().chain([&log]) {
            // What was sent may be cut off anywhere.
            let start = &secret[..16];
            assert!(!text.contains(start), "secret {number} is in {text}");
        }
    }
    for kept in std::fs::read_dir(folder.path().join("state")).unwrap().flatten() {
        let content = std::fs::read(kept.path()).unwrap();
        for secret in &secrets {
            let is_there = content.windows(16).any(|part| part == &secret.as_bytes()[..16]);
            assert!(!is_there, "{} is kept as it is", kept.path().display());
        }
    }
}
