//! Where a configuration comes from: flags over environment over file over defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::args::Flags;

use super::etracker;
use super::problem::{Error, Origin, Problem};
use super::read::{PREFIX, Reader};
use super::{Config, Flagged};

/// Files that are looked for when none is named; the first that exists is read.
const PLACES: [&str; 2] = ["./evenkeel.toml", "/etc/evenkeel/evenkeel.toml"];

/// Variables that the command line reads itself.
const OF_FLAGS: [&str; 5] = ["CONFIG", "STATE_DIR", "API", "TOKEN", "PASSKEY"];

/// Everything that is needed to load the configuration, and to load it again at a reload.
#[derive(Clone, Debug)]
pub struct Reload {
    flags: Flags,
    environment: Vec<(OsString, OsString)>,
    file: Option<PathBuf>,
    places: Vec<PathBuf>,
    /// Of etracker.
    dotenv: PathBuf,
}

impl Reload {
    /// Looks for the file and keeps flags and environment.
    pub fn new(flags: Flags, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self::among(flags, environment, PLACES.map(PathBuf::from).to_vec())
    }

    fn among(
        flags: Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        places: Vec<PathBuf>,
    ) -> Self {
        let is_ours =
            |name: &OsString| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || etracker::knows(name);
        let environment = environment.into_iter().filter(|(name, _)| is_ours(name)).collect();
        let file = flags.config.clone().or_else(|| find(&places));
        let dotenv = places.first().map_or_else(PathBuf::new, |place| place.with_file_name(".env"));
        Self { flags, environment, file, places, dotenv }
    }

    /// Reads file, environment and flags. The file that was found first stays the file: if it has gone, that
    /// is an error and not a silent change to the defaults.
    pub fn load(&self) -> Result<Config, Error> {
        let mut problems = Vec::new();
        let file = self.file.clone().or_else(|| find(&self.places));
        let text = file.as_deref().map_or_else(String::new, |path| read(path, &mut problems));
        let variables = self.variables(&mut problems);

        let (defaults, of_etracker) = match asks_for_etracker(file.as_deref(), &text, &variables) {
            Some(origin) => (
                etracker::defaults(&origin),
                etracker::settings(&self.environment, &self.dotenv, &mut problems),
            ),
            None => Default::default(),
        };
        let mut reader = Reader::new(problems);
        reader.add_foreign(defaults);
        if let Some(path) = &file {
            reader.add_file(path, &text);
        }
        reader.add_foreign(of_etracker);
        reader.add_environment(&variables);
        let mut config = Config::read_from(&mut reader);
        reader.refuse_rest();
        config.origins = reader.origins;
        config.apply(Flagged {
            port: self.flags.port,
            level: self.flags.log_level,
            state_directory: self.flags.state_dir.clone(),
        });
        let mut problems = reader.problems;
        problems.extend(config.contradictions(&problems));
        if problems.is_empty() { Ok(config) } else { Err(Error::new(problems)) }
    }

    /// Our variables without their prefix.
    fn variables(&self, problems: &mut Vec<Problem>) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for (name, value) in &self.environment {
            let name = name.to_string_lossy().into_owned();
            let Some(short) = name.strip_prefix(PREFIX) else { continue };
            let Some(value) = value.to_str() else {
                problems.push(Problem {
                    origin: Some(Origin::Environment(name)),
                    key: String::new(),
                    given: None,
                    message: "must be UTF-8".to_owned(),
                });
                continue;
            };
            if !OF_FLAGS.contains(&short) && !is_service_link(short, value) {
                variables.push((short.to_owned(), value.to_owned()));
            }
        }
        variables
    }
}

/// Where it says that etracker's variables count, if they do. What is wrong is found when all is read.
fn asks_for_etracker(file: Option<&Path>, text: &str, variables: &[(String, String)]) -> Option<Origin> {
    let mut reader = Reader::new(Vec::new());
    if let Some(path) = file {
        reader.add_file(path, text);
    }
    reader.add_environment(variables);
    let is_on = Config::read_from(&mut reader).compatibility.etracker;
    reader.origins.remove("compatibility.etracker").filter(|_| is_on)
}

/// Kubernetes and Docker links describe a service called `evenkeel` to every container beside it, in names
/// that begin like ours. They are not meant for us and must not keep the tracker from starting.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    match name.strip_prefix("PORT") {
        Some("") => is_url,
        Some(rest) => {
            rest.strip_prefix('_').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        }
        None => name == "SERVICE_HOST" || name == "SERVICE_PORT" || name.starts_with("SERVICE_PORT_"),
    }
}

fn find(places: &[PathBuf]) -> Option<PathBuf> {
    // A place that cannot be looked at is chosen, so that reading it tells why.
    places.iter().find(|path| path.try_exists().unwrap_or(true)).cloned()
}

fn read(path: &Path, problems: &mut Vec<Problem>) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| {
        problems.push(Problem {
            origin: Some(Origin::File { path: path.to_owned(), line: None }),
            key: String::new(),
            given: None,
            message: format!("cannot be read: {error}"),
        });
        String::new()
    })
}

#[cfg(test)]
mod tests;
