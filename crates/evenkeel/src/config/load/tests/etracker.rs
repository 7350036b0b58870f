use super::*;
use crate::access::{Identity, Torrents};
use crate::control;
use crate::database::Url;

const ON: &str = "[compatibility]\netracker = true\n";

fn url(text: &str) -> Option<Url> {
    Some(Url::parse(text).unwrap())
}

impl Rig {
    /// With a file `.env` beside the configuration.
    fn dotenv(self, text: &str) -> Self {
        fs::write(self.directory.path().join(".env"), text).unwrap();
        self
    }
}

#[test]
fn its_variables_and_file_mean_nothing_unless_it_is_switched_on() {
    let rig = Rig::new("")
        .dotenv("PGHOST=127.0.0.1\nnot a line\n")
        .set("DATABASE_URL", "nonsense")
        .set("ETRACKER_AUTHORIZATION", "x")
        .set("ETRACKER_CERTFILE", "a.pem")
        .set("ETRACKER_DISABLE_ALLOWLIST", "true");
    assert_eq!(rig.load().unwrap(), Config::default());
}

#[test]
fn switched_on_it_serves_listed_torrents_to_holders_of_keys_that_anybody_gets() {
    for rig in [Rig::new(ON), Rig::new("").set("EVENKEEL_COMPATIBILITY__ETRACKER", "true")] {
        let config = rig.load().unwrap();
        assert_eq!((config.axes().torrents, config.axes().identity), (Torrents::Listed, Identity::Required));
        assert!(config.access.keys_for_anybody);
    }
    let config = Rig::new(ON).set("ETRACKER_DISABLE_ALLOWLIST", "true").load().unwrap();
    assert_eq!((config.axes().torrents, config.axes().identity), (Torrents::Any, Identity::Required));
    for other in ["TRUE", "1", "false", ""] {
        let config = Rig::new(ON).set("ETRACKER_DISABLE_ALLOWLIST", other).load().unwrap();
        assert_eq!(config.axes().torrents, Torrents::Listed, "{other:?}");
    }
    let own = "[access]\npreset = \"semi-private\"\nkeys_for_anybody = false\n";
    let config = Rig::new(&format!("{ON}{own}")).load().unwrap();
    assert_eq!((config.axes().identity, config.access.keys_for_anybody), (Identity::Optional, false));
}

#[test]
fn the_database_is_an_address_or_in_parts_with_any_password() {
    let parts = Rig::new(ON)
        .set("PGHOST", "db.example.org")
        .set("PGPORT", "5433")
        .set("PGDATABASE", "etracker")
        .set("PGUSER", "ann")
        .set("PGPASSWORD", r"it's a \ of 'x'")
        .set("PGSSLMODE", "require");
    let expected = r"host='db.example.org' port='5433' dbname='etracker' user='ann' password='it\'s a \\ of \'x\'' sslmode='require'";
    assert_eq!(parts.load().unwrap().database.url, url(expected));
    let whole = parts.set("DATABASE_URL", "postgres://u@h/d");
    assert_eq!(whole.load().unwrap().database.url, url("postgres://u@h/d"));
    let ours = whole.set("EVENKEEL_DATABASE__URL", "postgres://u@ours/d");
    assert_eq!(ours.load().unwrap().database.url, url("postgres://u@ours/d"));
    assert_eq!(
        Rig::new(ON).set("DATABASE_URL", "nonsense").problems(),
        ["environment variable DATABASE_URL: database.url: must be a URL such as \
          \"postgres://user:password@host/database?sslmode=require\", or \"\""]
    );
    let half = Rig::new(ON).set("PGHOST", "h").problems();
    assert!(half[0].starts_with("environment variable PGHOST: database.url: must be"), "{half:?}");
}

#[test]
fn a_variable_wins_over_the_file_env_which_wins_over_the_configuration() {
    let file = format!("{ON}etracker_authorization = \"of the file\"\n");
    let authorization = |rig: Rig| rig.load().unwrap().compatibility.etracker_authorization;
    let hash = |text: &str| Some(control::hash(text.as_bytes()));
    assert_eq!(authorization(Rig::new(&file)), hash("of the file"));
    let dotenv =
        "# a comment\nexport ETRACKER_AUTHORIZATION='of $HOME .env'\nELSEWHERE=1\nEVENKEEL_SERVER__PORT=1\n";
    assert_eq!(authorization(Rig::new(&file).dotenv(dotenv)), hash("of $HOME .env"));
    assert_eq!(Rig::new(&file).dotenv(dotenv).load().unwrap().server.port, 6969, "the file is not for ours");
    let rig = Rig::new(&file).dotenv(dotenv).set("ETRACKER_AUTHORIZATION", "of the variable");
    assert_eq!(authorization(rig), hash("of the variable"));
    let rig = Rig::new(ON).dotenv("ETRACKER_AUTHORIZATION=x\n").set("ETRACKER_AUTHORIZATION", "");
    assert_eq!(authorization(rig), None, "an empty variable is one");
    for number in ["123", "true", "\"quoted\""] {
        assert_eq!(authorization(Rig::new(ON).set("ETRACKER_AUTHORIZATION", number)), hash(number));
    }
}

#[test]
fn a_certificate_and_its_key_are_there_together_or_not_at_all() {
    let rig = Rig::new(ON).set("ETRACKER_CERTFILE", "/a.pem").set("ETRACKER_KEYFILE", "/b.pem");
    let tls = rig.load().unwrap().tls;
    assert_eq!((tls.certificate_file, tls.key_file), (Some("/a.pem".into()), Some("/b.pem".into())));
    assert_eq!(
        Rig::new(ON).set("ETRACKER_CERTFILE", "/a.pem").problems(),
        [
            "environment variable ETRACKER_CERTFILE: tls.key_file = \"\": must be a path when tls.certificate_file is one"
        ]
    );
    assert_eq!(
        Rig::new(ON).dotenv("ETRACKER_KEYFILE=/b.pem").problems(),
        [".env: tls.certificate_file = \"\": must be a path when tls.key_file is one"]
    );
}

#[test]
fn what_is_wrong_with_the_file_env_is_said_without_its_text() {
    assert_eq!(
        Rig::new(ON).dotenv("PGPASSWORD canary\n").problems(),
        [".env: must hold nothing but lines NAME=value in UTF-8"]
    );
    let rig = Rig::new(ON);
    fs::create_dir(rig.directory.path().join(".env")).unwrap();
    assert_eq!(rig.problems().len(), 1);
}

#[test]
fn it_cannot_stand_before_a_tracker_that_keeps_nothing() {
    let open = format!("{ON}[access]\npreset = \"open\"\nkeys_for_anybody = false\n");
    let problems = Rig::new(&open).problems();
    assert!(
        problems[0].contains("compatibility.etracker = true: must be false while anybody"),
        "{problems:?}"
    );
}
