//! From text to values: collects what file and environment say for each key, and every problem on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::etracker::Foreign;
use super::kind::Kind;
use super::problem::{Origin, Problem};
use super::table::SECTIONS;

/// Starts the name of each environment variable that is ours.
pub(super) const PREFIX: &str = "EVENKEEL_";

/// Similarity (Jaro-Winkler) from which a name is suggested: `interval` for `interval_secs` has 0.92, and
/// what shares no beginning with any name stays below.
const CLOSE: f64 = 0.8;

/// A value that somebody gave for a path, which may or may not be a key.
struct Given<'a> {
    path: String,
    value: DeValue<'a>,
    /// The same as a text, where quotation marks are not asked for.
    bare: Option<DeValue<'a>>,
    shown: String,
    origin: Origin,
}

/// Holds what was given until the table takes it; a later source overrides an earlier one.
pub(super) struct Reader<'a> {
    given: Vec<Given<'a>>,
    pub(super) problems: Vec<Problem>,
    pub(super) origins: BTreeMap<&'static str, Origin>,
}

impl<'a> Reader<'a> {
    /// Has nothing yet but what went wrong before.
    pub(super) fn new(problems: Vec<Problem>) -> Self {
        Self { given: Vec::new(), problems, origins: BTreeMap::new() }
    }

    /// Adds a file's text.
    pub(super) fn add_file(&mut self, path: &Path, text: &'a str) {
        let at = |span: std::ops::Range<usize>| {
            let line = text[..text.floor_char_boundary(span.start)].matches('\n').count() + 1;
            Origin::File { path: path.to_owned(), line: Some(line) }
        };
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                self.problems.push(syntax(text, &error, &at));
                return;
            }
        };
        for (name, value) in table {
            let origin = at(name.span());
            let name = name.into_inner();
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(keys) if keys_of(&name).is_some() => {
                    for (key, value) in keys {
                        self.given.push(Given {
                            path: format!("{name}.{}", key.get_ref()),
                            origin: at(key.span()),
                            shown: shown(value.get_ref(), text.get(value.span()).unwrap_or_default()),
                            value: value.into_inner(),
                            bare: None,
                        });
                    }
                }
                value => self.given.push(Given {
                    path: name.into_owned(),
                    origin,
                    shown: shown(&value, text.get(span).unwrap_or_default()),
                    value,
                    bare: None,
                }),
            }
        }
    }

    /// Adds environment variables by their names without the prefix: `SECTION__KEY`.
    pub(super) fn add_environment(&mut self, variables: &'a [(String, String)]) {
        for (name, text) in variables {
            let bare = DeValue::String(Cow::Borrowed(text.as_str()));
            self.given.push(Given {
                path: name.to_ascii_lowercase().replacen("__", ".", 1),
                value: DeValue::parse(text).map_or_else(|_| bare.clone(), toml::Spanned::into_inner),
                bare: Some(bare),
                shown: short(text),
                origin: Origin::Environment(format!("{PREFIX}{name}")),
            });
        }
    }

    /// Adds settings that stand somewhere under another name.
    pub(super) fn add_foreign(&mut self, settings: Vec<Foreign>) {
        for Foreign { key, value, origin } in settings {
            let shown = value.as_str().map_or_else(|| "true".to_owned(), short);
            self.given.push(Given { path: key.to_owned(), value, bare: None, shown, origin });
        }
    }

    /// Puts the last value that was given for a key in its place; each that is not allowed is a problem.
    pub(super) fn take<T>(&mut self, path: &'static str, kind: &dyn Kind<T>, into: &mut T) {
        for given in self.given.extract_if(.., |given| given.path == path) {
            let value = kind.read(&given.value).or_else(|| kind.read(given.bare.as_ref()?));
            if let Some(value) = value {
                *into = value;
                self.origins.insert(path, given.origin);
            } else {
                self.problems.push(Problem {
                    origin: Some(given.origin),
                    key: given.path,
                    given: (!kind.is_secret()).then_some(given.shown),
                    message: format!("must be {}", kind.allowed()),
                });
            }
        }
    }

    /// Ends the reading: what the table has not taken is unknown.
    pub(super) fn refuse_rest(&mut self) {
        for given in self.given.drain(..) {
            let message = unknown(&given.path, &given.origin);
            self.problems.push(Problem { origin: Some(given.origin), key: given.path, given: None, message });
        }
    }
}

fn syntax(text: &str, error: &toml::de::Error, at: &impl Fn(std::ops::Range<usize>) -> Origin) -> Problem {
    let span = error.span().unwrap_or(0..0);
    let before = &text[..text.floor_char_boundary(span.start)];
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    Problem {
        origin: Some(at(span)),
        key: String::new(),
        given: None,
        message: format!("no valid TOML at column {column}: {}", error.message().replace('\n', ", ")),
    }
}

fn shown(value: &DeValue<'_>, text: &str) -> String {
    // The text of a table is its header only.
    if value.is_table() { "a table".to_owned() } else { short(text) }
}

/// The value as it was written, on one line that can be read.
fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn keys_of(section: &str) -> Option<&'static [&'static str]> {
    SECTIONS.iter().find(|(name, _)| *name == section).map(|&(_, keys)| keys)
}

/// Says what is wrong with a path that the table does not have, and what it may have been meant to be.
fn unknown(path: &str, origin: &Origin) -> String {
    let (section, key) = path.split_once('.').unwrap_or((path, ""));
    let meant = match (keys_of(section), key) {
        (Some(_), "") => return no_key(section, origin),
        (Some(keys), key) => exact(key).or_else(|| nearest(key, keys).map(|near| (section, near))),
        (None, "") => exact(section).or_else(|| nearest_section(section)),
        (None, key) => nearest_section(section).map(|(near, _)| {
            let has_key = keys_of(near).is_some_and(|keys| keys.contains(&key));
            (near, if has_key { key } else { "" })
        }),
    };
    let what = match (keys_of(section), key, exact(section)) {
        (Some(_), ..) => "unknown key",
        (None, "", Some(_)) => "stands in no section",
        (None, ..) => "unknown section",
    };
    match (meant, origin) {
        (Some((section, "")), Origin::File { .. }) => format!("{what}; did you mean [{section}]?"),
        (Some((section, key)), Origin::File { .. }) => format!("{what}; did you mean {section}.{key}?"),
        (Some((section, key)), _) => {
            let (section, key) = (section.to_ascii_uppercase(), key.to_ascii_uppercase());
            format!("{what}; did you mean {PREFIX}{section}__{key}?")
        }
        (None, _) => what.to_owned(),
    }
}

fn no_key(section: &str, origin: &Origin) -> String {
    match origin {
        Origin::File { .. } => format!("is a section: write [{section}] and its keys below"),
        _ => format!("is a section: add two underscores and a key, as in {PREFIX}SERVER__PORT"),
    }
}

/// The section that has this very key.
fn exact(key: &str) -> Option<(&'static str, &str)> {
    SECTIONS.iter().find(|(_, keys)| keys.contains(&key)).map(|&(section, _)| (section, key))
}

fn nearest_section(name: &str) -> Option<(&'static str, &'static str)> {
    let names: Vec<_> = SECTIONS.iter().map(|&(section, _)| section).collect();
    nearest(name, &names).map(|section| (section, ""))
}

fn nearest(name: &str, names: &[&'static str]) -> Option<&'static str> {
    let rated = names.iter().map(|&known| (strsim::jaro_winkler(name, known), known));
    let (_, near) = rated.filter(|(rate, _)| *rate >= CLOSE).max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(near)
}
