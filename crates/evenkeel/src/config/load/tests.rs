use std::fs;
use std::net::IpAddr;

use tempfile::TempDir;
use tracing::Level;

use super::*;
use crate::config::{Format, example, show};

mod etracker;

/// A directory with one place for a configuration file.
struct Rig {
    directory: TempDir,
    flags: Flags,
    environment: Vec<(OsString, OsString)>,
}

impl Rig {
    fn new(file: &str) -> Self {
        let rig =
            Self { directory: tempfile::tempdir().unwrap(), flags: Flags::default(), environment: vec![] };
        fs::write(rig.path(), file).unwrap();
        rig
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("evenkeel.toml")
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn reload(&self) -> Reload {
        let places = vec![self.path(), self.directory.path().join("second.toml")];
        Reload::among(self.flags.clone(), self.environment.clone(), places)
    }

    fn load(&self) -> Result<Config, Error> {
        self.reload().load()
    }

    /// The problems as they are printed, without the file's directory.
    fn problems(&self) -> Vec<String> {
        let error = self.load().expect_err("something is wrong here");
        let directory = format!("{}/", self.directory.path().display());
        error.problems.iter().map(|problem| problem.to_string().replace(&directory, "")).collect()
    }
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = Rig::new("").load().unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.rules(), evenkeel_core::Rules::default());
    assert_eq!(config.server.port, 6969);
    assert_eq!(config.admin.address, "127.0.0.1:6971".parse().unwrap());
    let any: [IpAddr; 2] = ["0.0.0.0".parse().unwrap(), "::".parse().unwrap()];
    assert_eq!(config.server.addresses, any);
}

#[test]
fn every_problem_is_reported_at_once_with_place_value_and_range() {
    let file = "[server]\nport = 70000\naddresses = []\n\n[announce]\ninterval_secs = \"long\"\n[log]\nlevel = \"loud\"\n";
    assert_eq!(
        Rig::new(file).set("EVENKEEL_LIMITS__SWARMS_MAX", "0").problems(),
        [
            "evenkeel.toml, line 2: server.port = 70000: must be a whole number from 0 to 65_535",
            "evenkeel.toml, line 3: server.addresses = []: must be a list of one or more IP addresses in quotation \
             marks, each once",
            "evenkeel.toml, line 6: announce.interval_secs = \"long\": must be a whole number from 30 to 14_400",
            "evenkeel.toml, line 8: log.level = \"loud\": must be one of \"error\", \"warn\", \"info\", \"debug\", \
             \"trace\"",
            "environment variable EVENKEEL_LIMITS__SWARMS_MAX: limits.swarms_max = 0: must be a whole number from 1 \
             to 500_000_000",
        ]
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    let file =
        "[server]\nprot = 1\nzebra = 2\n[announce]\ninterval = 60\npeers_max = 5\n[announce.deep]\na = 1\n";
    assert_eq!(
        Rig::new(file).problems(),
        [
            "evenkeel.toml, line 2: server.prot: unknown key; did you mean server.port?",
            "evenkeel.toml, line 3: server.zebra: unknown key",
            "evenkeel.toml, line 5: announce.interval: unknown key; did you mean announce.interval_secs?",
            "evenkeel.toml, line 6: announce.peers_max: unknown key; did you mean limits.peers_max?",
            "evenkeel.toml, line 7: announce.deep: unknown key",
        ]
    );
}

#[test]
fn an_unknown_section_is_refused_with_the_nearest_name() {
    let file = "port = 1\nlog = 3\n[serve]\nport = 1\n[zebra]\n[[admin]]\n";
    assert_eq!(
        Rig::new(file).problems(),
        [
            "evenkeel.toml, line 1: port: stands in no section; did you mean server.port?",
            "evenkeel.toml, line 2: log: is a section: write [log] and its keys below",
            "evenkeel.toml, line 3: serve: unknown section; did you mean [server]?",
            "evenkeel.toml, line 5: zebra: unknown section",
            "evenkeel.toml, line 6: admin: is a section: write [admin] and its keys below",
        ]
    );
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_name() {
    let rig = Rig::new("")
        .set("EVENKEEL_SERVER__PROT", "1")
        .set("EVENKEEL_SERVE__PORT", "1")
        .set("EVENKEEL_PORT", "7000")
        .set("EVENKEEL_LOGS", "x")
        .set("EVENKEEL_LOG", "debug");
    assert_eq!(
        rig.problems(),
        [
            "environment variable EVENKEEL_LOG: log: is a section: add two underscores and a key, as in \
             EVENKEEL_SERVER__PORT",
            "environment variable EVENKEEL_LOGS: logs: unknown section; did you mean EVENKEEL_LOG__?",
            "environment variable EVENKEEL_PORT: port: stands in no section; did you mean EVENKEEL_SERVER__PORT?",
            "environment variable EVENKEEL_SERVER__PROT: server.prot: unknown key; did you mean EVENKEEL_SERVER__PORT?",
            "environment variable EVENKEEL_SERVE__PORT: serve.port: unknown section; did you mean \
             EVENKEEL_SERVER__PORT?",
        ]
    );
}

#[test]
fn a_syntax_error_names_line_and_column() {
    let problems = Rig::new("[server]\nport = 1\nport = = 2\n").problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("evenkeel.toml, line 3: no valid TOML at column "), "{problems:?}");
}

#[test]
fn flags_override_the_environment_which_overrides_the_file() {
    let mut rig = Rig::new("[server]\nport = 1\nworkers = 1\nudp = false\n[log]\nlevel = \"error\"\n")
        .set("EVENKEEL_SERVER__PORT", "2")
        .set("EVENKEEL_SERVER__WORKERS", "2");
    rig.flags = Flags { port: Some(3), log_level: Some(Level::TRACE), ..Flags::default() };
    let config = rig.load().unwrap();
    assert_eq!((config.server.port, config.server.workers, config.server.udp), (3, 2, false));
    assert_eq!(config.log.level, Level::TRACE);
}

#[test]
fn a_variable_is_toml_or_else_a_bare_text() {
    let config = Rig::new("")
        .set("EVENKEEL_SERVER__ADDRESSES", r#"["::1"]"#)
        .set("EVENKEEL_SERVER__HTTP", "false")
        .set("EVENKEEL_SERVER__PUBLIC_URL", "udp://tracker.example.org:6969")
        .set("EVENKEEL_ADMIN__ADDRESS", "[::1]:0")
        .set("EVENKEEL_LOG__LEVEL", "debug")
        .set("EVENKEEL_LOG__FORMAT", "\"json\"")
        .set("EVENKEEL_STATE__DIRECTORY", "2026")
        .load()
        .unwrap();
    assert_eq!(config.server.addresses, ["::1".parse::<IpAddr>().unwrap()]);
    assert!(!config.server.http);
    assert_eq!(config.server.public_url.unwrap().host(), "tracker.example.org");
    assert_eq!(config.admin.address, "[::1]:0".parse().unwrap());
    assert_eq!((config.log.level, config.log.format), (Level::DEBUG, Format::Json));
    assert_eq!(config.state.directory, Some(PathBuf::from("2026")));
}

#[test]
fn variables_of_the_flags_and_of_service_links_are_not_settings() {
    let config = Rig::new("")
        .set("EVENKEEL_CONFIG", "/nowhere")
        .set("EVENKEEL_STATE_DIR", "/nowhere")
        .set("EVENKEEL_SERVICE_HOST", "10.0.0.1")
        .set("EVENKEEL_SERVICE_PORT_HTTP", "6969")
        .set("EVENKEEL_PORT", "tcp://10.0.0.1:6969")
        .set("EVENKEEL_PORT_6969_TCP_ADDR", "10.0.0.1")
        .set("PATH", "/bin")
        .load();
    assert_eq!(config.unwrap(), Config::default());
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let rig = Rig::new(
        "[server]\nhttp = false\nwebtorrent = false\n[announce]\ninterval_secs = 60\nnumwant_default = 100\n",
    )
    .set("EVENKEEL_SERVER__UDP", "false")
    .set("EVENKEEL_ANNOUNCE__NUMWANT_MAX", "30");
    assert_eq!(
        rig.problems(),
        [
            "default: announce.min_interval_secs = 300: must not be above announce.interval_secs, which is 60 \
             (evenkeel.toml, line 5)",
            "evenkeel.toml, line 6: announce.numwant_default = 100: must not be above announce.numwant_max, which is \
             30 (environment variable EVENKEEL_ANNOUNCE__NUMWANT_MAX)",
            "environment variable EVENKEEL_SERVER__UDP: server.udp = false: must be true when server.http and \
             server.webtorrent are false: nobody could reach the tracker",
        ]
    );
}

#[test]
fn a_named_file_that_is_absent_is_an_error() {
    let mut rig = Rig::new("");
    rig.flags.config = Some(rig.directory.path().join("absent.toml"));
    let problems = rig.problems();
    assert!(problems[0].starts_with("absent.toml: cannot be read: "), "{problems:?}");
}

#[test]
fn the_first_file_that_exists_is_read_and_without_any_the_defaults_hold() {
    let rig = Rig::new("[server]\nport = 1\n");
    fs::write(rig.directory.path().join("second.toml"), "[server]\nport = 2\n").unwrap();
    assert_eq!(rig.load().unwrap().server.port, 1);
    fs::remove_file(rig.path()).unwrap();
    assert_eq!(rig.load().unwrap().server.port, 2);
    fs::remove_file(rig.directory.path().join("second.toml")).unwrap();
    assert_eq!(rig.load().unwrap(), Config::default());
}

#[test]
fn a_reload_reads_the_file_again_and_refuses_to_lose_it() {
    let mut rig = Rig::new("[announce]\ninterval_secs = 900\n");
    rig.flags.port = Some(7000);
    let reload = rig.reload();
    assert_eq!(reload.load().unwrap().announce.interval_secs, 900);
    fs::write(rig.path(), "[announce]\ninterval_secs = 901\n").unwrap();
    let config = reload.load().unwrap();
    assert_eq!((config.announce.interval_secs, config.server.port), (901, 7000));
    fs::remove_file(rig.path()).unwrap();
    assert!(reload.load().is_err());
}

#[test]
fn a_file_that_appears_after_the_start_is_read_at_a_reload() {
    let rig = Rig::new("");
    fs::remove_file(rig.path()).unwrap();
    let reload = rig.reload();
    fs::write(rig.path(), "[server]\nport = 1\n").unwrap();
    assert_eq!(reload.load().unwrap().server.port, 1);
}

#[test]
fn only_keys_that_need_a_start_are_named_as_such() {
    let old = Config::default();
    let mut new = old.clone();
    new.announce.interval_secs += 1;
    new.log.level = Level::DEBUG;
    assert!(old.differs_at_start_only(&new).is_empty());
    new.limits.connections_max = 10;
    new.server.port = 1;
    new.state.directory = Some(PathBuf::from("x"));
    assert_eq!(old.differs_at_start_only(&new), ["server.port", "limits.connections_max", "state.directory"]);
}

#[test]
fn the_example_in_the_repository_is_the_one_that_is_made() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../evenkeel.example.toml");
    let file = fs::read_to_string(path).unwrap_or_default();
    assert!(
        file == example(),
        "evenkeel.example.toml is out of date: cargo run -- config init --stdout > evenkeel.example.toml"
    );
}

#[test]
fn the_example_uncommented_is_the_defaults() {
    let mut settings = 0;
    let uncommented: Vec<_> = example()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => {
                settings += 1;
                setting.to_owned()
            }
            _ => line.to_owned(),
        })
        .collect();
    let config = Rig::new(&uncommented.join("\n")).load().unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.origins.len(), settings, "every setting was read");
    assert_eq!(Rig::new(&example()).load().unwrap(), Config::default());
}

#[test]
fn what_is_shown_reads_back_and_says_where_values_came_from() {
    let mut rig = Rig::new("[server]\nport = 1\nworkers = 0\n[state]\ndirectory = 'a \"b\"'\n");
    rig.flags.port = Some(7000);
    let config = rig.load().unwrap();
    let text = show(&config);
    assert!(text.contains("\nport = 7000 # flag --port; default 6969\n"), "{text}");
    assert!(text.contains("\nworkers = 0\n"), "{text}");
    assert!(text.contains("evenkeel.toml, line 5; default \"\"\n"), "{text}");
    assert_eq!(Rig::new(&text).load().unwrap(), config);
}

#[test]
fn damaged_files_are_refused_or_read_without_a_panic() {
    let rig = Rig::new("");
    let mut rng = fastrand::Rng::with_seed(1);
    let whole: Vec<char> = example().replace("\n#", "\n").replace("\n ", "\n# ").chars().collect();
    for _ in 0..200 {
        let mut text = whole.clone();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..text.len());
            text[at] =
                *rng.choice(&['"', '[', ']', '=', '\n', '.', '{', ',', '\u{e9}', '\u{0}', '#', '0']).unwrap();
        }
        text.truncate(rng.usize(..text.len() * 2).min(text.len()));
        fs::write(rig.path(), text.into_iter().collect::<String>()).unwrap();
        if let Err(error) = rig.load() {
            assert!(!error.problems.is_empty());
        }
    }
}

#[test]
fn a_trusted_network_is_a_prefix_or_one_address() {
    let trusted = |list: &str| Rig::new(&format!("[proxy]\ntrusted_networks = {list}\n")).load();
    let config =
        trusted(r#"["10.0.0.0/8", "::1", "2001:db8::/32", "127.0.0.1", "::ffff:192.0.2.1"]"#).unwrap();
    let shown: Vec<_> = config.proxy.trusted_networks.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/8", "::1/128", "2001:db8::/32", "127.0.0.1/32", "192.0.2.1/32"]);
    assert_eq!(Rig::new(&show(&config)).load().unwrap(), config);
    for list in [r#"["10.0.0.1/8"]"#, r#"["10.0.0.0/33"]"#, r#"["proxy"]"#, r#""10.0.0.0/8""#, "[1]"] {
        assert!(trusted(list).is_err(), "{list}");
    }
}

#[test]
fn the_url_of_the_database_is_never_shown() {
    let name = "EVENKEEL_DATABASE__URL";
    let config = Rig::new("").set(name, "postgres://u:hunter2@host/d").load().unwrap();
    assert!(config.database.url.is_some());
    let shown = show(&config) + &format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let error = Rig::new("").set(name, "postgres://u:hunter2@/").load().unwrap_err();
    assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error}");
}

#[test]
fn an_authority_is_asked_for_host_names_and_for_one_certificate() {
    let asked = |list: &str| Rig::new(&format!("[acme]\ndomains = {list}\n")).load();
    let config = asked(r#"["Tracker.example.org", "xn--bcher-kva.example"]"#).unwrap();
    assert_eq!(config.acme.domains, ["tracker.example.org", "xn--bcher-kva.example"]);
    for name in
        ["localhost", "192.0.2.1", "*.example.org", "a..b", "-a.example", "a_b.example", "http://a.example"]
    {
        assert!(asked(&format!("[{name:?}]")).is_err(), "{name}");
    }
    for (key, value) in [("contacts", "[\"admin\"]"), ("directory_url", "\"http://ca.example\"")] {
        assert!(Rig::new(&format!("[acme]\n{key} = {value}\n")).load().is_err(), "{key}");
    }
    let file = "[server]\nhttp = false\nwebtorrent = false\n[tls]\ncertificate_file = \"a\"\nkey_file = \"b\"\n\
                [acme]\ndomains = [\"a.example\"]\n";
    assert_eq!(
        Rig::new(file).problems(),
        [
            "default: acme.challenge = \"http-01\": must be \"tls-alpn-01\" when server.http and server.webtorrent are \
             false: there is no port for the other one",
            "evenkeel.toml, line 8: acme.domains: must be empty when tls.certificate_file is a path: there is one \
             certificate",
        ]
    );
}
