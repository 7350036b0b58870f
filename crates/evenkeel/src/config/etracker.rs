//! The environment of etracker, for whoever moves from it: its variables as settings of ours, while
//! `compatibility.etracker` is on. A file `.env` may hold them, too; a variable wins over it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use toml::de::DeValue;

use super::problem::{Origin, Problem};

/// Its own variables, and what each sets.
const OWN: [(&str, &str); 4] = [
    ("DATABASE_URL", "database.url"),
    ("ETRACKER_AUTHORIZATION", "compatibility.etracker_authorization"),
    ("ETRACKER_CERTFILE", "tls.certificate_file"),
    ("ETRACKER_KEYFILE", "tls.key_file"),
];
/// Opens the tracker to torrents that nobody has listed, if it is "true".
const DISABLE_ALLOWLIST: &str = "ETRACKER_DISABLE_ALLOWLIST";
/// Variables that PostgreSQL's clients read, and their names in an address.
const POSTGRES: [(&str, &str); 8] = [
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGOPTIONS", "options"),
];

/// A setting that stands nowhere under its own name.
pub(super) struct Foreign {
    pub(super) key: &'static str,
    pub(super) value: DeValue<'static>,
    pub(super) origin: Origin,
}

/// What holds where nobody says otherwise: announce keys for anybody, listed torrents for those who have one.
pub(super) fn defaults(origin: &Origin) -> Vec<Foreign> {
    let private = DeValue::String("private".into());
    [("access.preset", private), ("access.keys_for_anybody", DeValue::Boolean(true))]
        .map(|(key, value)| Foreign { key, value, origin: origin.clone() })
        .into()
}

/// Whether a variable is one of these.
pub(super) fn knows(name: &OsString) -> bool {
    name.to_str().is_some_and(is_known)
}

fn is_known(name: &str) -> bool {
    let among = |names: &[(&str, &str)]| names.iter().any(|(known, _)| *known == name);
    among(&OWN) || among(&POSTGRES) || name == DISABLE_ALLOWLIST
}

/// Settings as variables and file have them.
pub(super) fn settings(
    environment: &[(OsString, OsString)],
    file: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<Foreign> {
    let mut known = from_file(file, problems);
    for (name, value) in environment.iter().filter(|(name, _)| knows(name)) {
        let name = name.to_string_lossy().into_owned();
        let origin = Origin::Environment(name.clone());
        match value.to_str() {
            Some(value) => drop(known.insert(name, (value.to_owned(), origin))),
            None => problems.push(problem(origin, "must be UTF-8")),
        }
    }
    translate(&known)
}

/// Values and where they are from, by name.
type Known = BTreeMap<String, (String, Origin)>;

fn from_file(path: &Path, problems: &mut Vec<Problem>) -> Known {
    let mut known = Known::new();
    let origin = Origin::File { path: path.to_owned(), line: None };
    let lines = match dotenvy::from_path_iter(path) {
        Ok(lines) => lines,
        Err(error) if error.not_found() => return known,
        Err(_) => {
            problems.push(problem(origin, "cannot be read"));
            return known;
        }
    };
    for line in lines {
        match line {
            Ok((name, value)) if is_known(&name) => drop(known.insert(name, (value, origin.clone()))),
            Ok(_) => {}
            // What is wrong may stand in a password: it is not repeated. Nothing behind it is sure.
            Err(_) => {
                problems.push(problem(origin, "must hold nothing but lines NAME=value in UTF-8"));
                break;
            }
        }
    }
    known
}

fn translate(known: &Known) -> Vec<Foreign> {
    let mut settings = Vec::new();
    let server = POSTGRES.iter().filter_map(|(name, key)| Some((key, known.get(*name)?)));
    let server: Vec<_> = server.filter(|(_, (value, _))| !value.is_empty()).collect();
    if let Some((_, (_, origin))) = server.first() {
        let parts: Vec<String> = server.iter().map(|(key, (value, _))| part(key, value)).collect();
        settings.push(text("database.url", parts.join(" "), origin));
    }
    // An address as a whole wins over one in parts.
    for (name, key) in OWN {
        if let Some((value, origin)) = known.get(name)
            && !value.is_empty()
        {
            settings.push(text(key, value.clone(), origin));
        }
    }
    if let Some((value, origin)) = known.get(DISABLE_ALLOWLIST)
        && value == "true"
    {
        settings.push(text("access.torrents", "any".to_owned(), origin));
    }
    settings
}

fn text(key: &'static str, text: String, origin: &Origin) -> Foreign {
    Foreign { key, value: DeValue::String(Cow::Owned(text)), origin: origin.clone() }
}

/// A part of an address, in quotation marks of its own: a password may hold anything.
fn part(key: &str, value: &str) -> String {
    format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn problem(origin: Origin, message: &str) -> Problem {
    Problem { origin: Some(origin), key: String::new(), given: None, message: message.to_owned() }
}
