//! What the fields of each kind of row are called, and what may be in them.

use std::fmt;

use crate::store::{Kind, Scope};

use super::super::rows::{LISTS, TORRENT_STATES, USER_STATES};

/// A field of a JSON object.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) part: Part,
    pub(super) says: &'static str,
}

/// What may be in a field.
pub(crate) enum Form {
    Id,
    /// Bytes of UTF-8, from and to.
    Text(usize, usize),
    Percent,
    /// From 0 to 3.
    Tier,
    /// From 1 to a million.
    Count,
    /// So many bytes, in hexadecimal digits.
    Hash(usize),
    Bytes,
    Secs,
    Word(Vec<&'static str>),
    Words(Vec<&'static str>),
    /// Null or one of those.
    Maybe(Box<Self>),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(..) => f.write_str("a text"),
            Self::Hash(bytes) => write!(f, "{} hexadecimal digits", 2 * bytes),
            Self::Secs => f.write_str("seconds since 1970, or a time from now on as in +30d"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
            Self::Words(words) => write!(f, "some of {}", words.join(",")),
            Self::Id | Self::Percent | Self::Tier | Self::Count | Self::Bytes => {
                f.write_str("a whole number")
            }
            Self::Maybe(form) => write!(f, "{form}, or null"),
        }
    }
}

/// Who says what is in a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The tracker.
    Shown,
    /// Whoever makes the row or changes it.
    Given,
    /// The same, and there is no row without it.
    Needed,
}

const fn shown(name: &'static str, form: Form, says: &'static str) -> Field {
    Field { name, form, part: Part::Shown, says }
}

const fn given(name: &'static str, form: Form, says: &'static str) -> Field {
    Field { name, form, part: Part::Given, says }
}

const fn needed(name: &'static str, form: Form, says: &'static str) -> Field {
    Field { name, form, part: Part::Needed, says }
}

fn maybe(form: Form) -> Form {
    Form::Maybe(Box::new(form))
}

fn words<T>(words: &[(&'static str, T)]) -> Vec<&'static str> {
    words.iter().map(|(word, _)| *word).collect()
}

const NAME: Form = Form::Text(1, 200);
const NOTE: Form = Form::Text(0, 200);
const UPLOAD: &str = "What of an upload is credited, in percent.";
const DOWNLOAD: &str = "What of a download is charged, in percent.";
const CREATED: &str = "When it was made, in seconds since 1970.";

/// The fields of a kind, in the order in which they are shown.
pub(crate) fn fields_of(kind: Kind) -> Vec<Field> {
    let mut fields = vec![shown("id", Form::Id, "Number of the row; never used again.")];
    fields.extend(match kind {
        Kind::User => vec![
            needed("name", NAME, "Of one user only."),
            given("state", Form::Word(words(&USER_STATES)), "What the user may do."),
            given("class", maybe(Form::Id), "The class of the user."),
            given("upload_percent", maybe(Form::Percent), UPLOAD),
            given("download_percent", maybe(Form::Percent), DOWNLOAD),
            given("pinned_tier", maybe(Form::Tier), "The tier that the user is held at; null if at none."),
            shown("created_at", Form::Secs, CREATED),
        ],
        Kind::Class => vec![
            needed("name", NAME, "Of one class only."),
            given("upload_percent", Form::Percent, UPLOAD),
            given("download_percent", Form::Percent, DOWNLOAD),
            given(
                "clients_per_torrent_max",
                maybe(Form::Count),
                "Clients of a user on one torrent; 16 are told apart.",
            ),
            given("addresses_max", maybe(Form::Count), "Addresses that a user may announce from."),
        ],
        Kind::Torrent => vec![
            given("info_hash_v1", maybe(Form::Hash(20)), "Of version 1. One of the two is needed."),
            given("info_hash_v2", maybe(Form::Hash(32)), "Of version 2. One of the two is needed."),
            needed("name", Form::Text(1, 1000), "What people call it."),
            given("size_bytes", maybe(Form::Bytes), "How large it is, if known."),
            given("state", Form::Word(words(&TORRENT_STATES)), "Whether it is served."),
            given("reason", Form::Text(0, 100), "Why it is not, in ASCII; clients show it."),
            given("upload_percent", Form::Percent, UPLOAD),
            given("download_percent", Form::Percent, DOWNLOAD),
            given("freeleech_until", Form::Secs, "Until when downloads are free, in seconds since 1970."),
            shown("created_at", Form::Secs, CREATED),
        ],
        Kind::Key => vec![
            given("note", NOTE, "What it is for."),
            shown("created_at", Form::Secs, CREATED),
            shown("used_at", Form::Secs, "When it was last used, to the hour; 90 days later it expires."),
        ],
        Kind::Listed => vec![
            needed("info_hash", Form::Hash(20), "As peers announce it."),
            given("list", Form::Word(words(&LISTS)), "Which list it is on."),
            given("note", NOTE, "Why."),
        ],
        Kind::Setting => vec![
            needed("name", NAME, "Of one setting only, such as freeleech_until."),
            needed("value", Form::Text(0, 1000), "What it is set to."),
        ],
        Kind::Token => vec![
            needed("name", NAME, "Of one token only."),
            needed("scopes", Form::Words(words(&Scope::ALL)), "What it is good for."),
            given(
                "expires_at",
                maybe(Form::Secs),
                "From when on it is good for nothing, in seconds since 1970.",
            ),
            shown("created_at", Form::Secs, CREATED),
        ],
    });
    fields
}
