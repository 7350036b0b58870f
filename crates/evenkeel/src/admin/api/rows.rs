//! What each kind of row looks like in JSON.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::fields::Fields;
use super::problem::Problem;
use crate::control::Secret;
use crate::store::{
    AnnounceKey, Class, Edit, Hash32, Hour, Kind, List, Listed, Row, Scope, Scopes, Setting, Token, Torrent,
    TorrentState, TorrentStats, Totals, User, UserState,
};

pub(super) const USER_STATES: [(&str, UserState); 4] = [
    ("active", UserState::Active),
    ("leech-disabled", UserState::LeechDisabled),
    ("disabled", UserState::Disabled),
    ("banned", UserState::Banned),
];
pub(super) const TORRENT_STATES: [(&str, TorrentState); 3] = [
    ("approved", TorrentState::Approved),
    ("pending", TorrentState::Pending),
    ("deleted", TorrentState::Deleted),
];
pub(super) const LISTS: [(&str, List); 2] = [("allowed", List::Allowed), ("denied", List::Denied)];

/// A new row with nothing in it but what is drawn for it, and that.
pub(super) fn blank(kind: Kind, now_secs: i64) -> Result<(Row, Option<Secret>), Problem> {
    let draw = || Secret::draw().map_err(|_| Problem::internal());
    Ok(match kind {
        Kind::User => {
            let secret = draw()?;
            let user = User {
                id: 0,
                name: String::new(),
                passkey: secret.hash(),
                previous_passkey: None,
                previous_until: 0,
                state: UserState::Active,
                class: None,
                upload_percent: None,
                download_percent: None,
                pinned_tier: None,
                created_at: now_secs,
            };
            (Row::User(user), Some(secret))
        }
        Kind::Key => {
            let secret = draw()?;
            let hash: Hash32 = secret.hash();
            let key =
                AnnounceKey { id: 0, hash, note: String::new(), created_at: now_secs, used_at: now_secs };
            (Row::Key(key), Some(secret))
        }
        Kind::Token => {
            let secret = draw()?;
            let token = Token {
                id: 0,
                name: String::new(),
                hash: secret.hash(),
                scopes: Scopes::default(),
                expires_at: None,
                created_at: now_secs,
            };
            (Row::Token(token), Some(secret))
        }
        Kind::Class => (
            Row::Class(Class {
                id: 0,
                name: String::new(),
                upload_percent: 100,
                download_percent: 100,
                clients_per_torrent_max: None,
                addresses_max: None,
            }),
            None,
        ),
        Kind::Torrent => (
            Row::Torrent(Torrent {
                id: 0,
                info_hash_v1: None,
                info_hash_v2: None,
                name: String::new(),
                size_bytes: None,
                state: TorrentState::Approved,
                reason: String::new(),
                upload_percent: 100,
                download_percent: 100,
                freeleech_until: 0,
                created_at: now_secs,
            }),
            None,
        ),
        Kind::Listed => {
            let listed = Listed { id: 0, info_hash: [0; 20], list: List::Allowed, note: String::new() };
            (Row::Listed(listed), None)
        }
        Kind::Setting => (Row::Setting(Setting { id: 0, name: String::new(), value: String::new() }), None),
    })
}

/// Puts what is given into a row.
pub(super) fn apply(row: &mut Row, fields: &mut Fields) -> Result<(), Problem> {
    match row {
        Row::User(user) => {
            fields.text("name", &mut user.name)?;
            fields.word("state", &mut user.state, &USER_STATES)?;
            fields.maybe_id("class", &mut user.class)?;
            fields.maybe_number("upload_percent", &mut user.upload_percent)?;
            fields.maybe_number("download_percent", &mut user.download_percent)?;
            fields.maybe_tier("pinned_tier", &mut user.pinned_tier)
        }
        Row::Class(class) => {
            fields.text("name", &mut class.name)?;
            fields.number("upload_percent", &mut class.upload_percent)?;
            fields.number("download_percent", &mut class.download_percent)?;
            fields.maybe_number("clients_per_torrent_max", &mut class.clients_per_torrent_max)?;
            fields.maybe_number("addresses_max", &mut class.addresses_max)
        }
        Row::Torrent(torrent) => {
            fields.maybe_hash("info_hash_v1", &mut torrent.info_hash_v1)?;
            fields.maybe_hash("info_hash_v2", &mut torrent.info_hash_v2)?;
            fields.text("name", &mut torrent.name)?;
            fields.maybe_bytes("size_bytes", &mut torrent.size_bytes)?;
            fields.word("state", &mut torrent.state, &TORRENT_STATES)?;
            fields.text("reason", &mut torrent.reason)?;
            fields.number("upload_percent", &mut torrent.upload_percent)?;
            fields.number("download_percent", &mut torrent.download_percent)?;
            fields.secs("freeleech_until", &mut torrent.freeleech_until)
        }
        Row::Key(key) => fields.text("note", &mut key.note),
        Row::Listed(listed) => {
            fields.hash("info_hash", &mut listed.info_hash)?;
            fields.word("list", &mut listed.list, &LISTS)?;
            fields.text("note", &mut listed.note)
        }
        Row::Setting(setting) => {
            fields.text("name", &mut setting.name)?;
            fields.text("value", &mut setting.value)
        }
        Row::Token(token) => {
            fields.text("name", &mut token.name)?;
            fields.scopes("scopes", &mut token.scopes)?;
            fields.maybe_secs("expires_at", &mut token.expires_at)
        }
    }
}

/// A row without its secrets.
pub(super) fn show(row: &Row) -> Value {
    match row {
        Row::User(user) => json!({
            "id": user.id,
            "name": user.name,
            "state": word(&USER_STATES, user.state),
            "class": user.class,
            "upload_percent": user.upload_percent,
            "download_percent": user.download_percent,
            "pinned_tier": user.pinned_tier,
            "created_at": user.created_at,
        }),
        Row::Class(class) => json!({
            "id": class.id,
            "name": class.name,
            "upload_percent": class.upload_percent,
            "download_percent": class.download_percent,
            "clients_per_torrent_max": class.clients_per_torrent_max,
            "addresses_max": class.addresses_max,
        }),
        Row::Torrent(torrent) => json!({
            "id": torrent.id,
            "info_hash_v1": torrent.info_hash_v1.map(|hash| HEXLOWER.encode(&hash)),
            "info_hash_v2": torrent.info_hash_v2.map(|hash| HEXLOWER.encode(&hash)),
            "name": torrent.name,
            "size_bytes": torrent.size_bytes,
            "state": word(&TORRENT_STATES, torrent.state),
            "reason": torrent.reason,
            "upload_percent": torrent.upload_percent,
            "download_percent": torrent.download_percent,
            "freeleech_until": torrent.freeleech_until,
            "created_at": torrent.created_at,
        }),
        Row::Key(key) => json!({
            "id": key.id, "note": key.note, "created_at": key.created_at, "used_at": key.used_at,
        }),
        Row::Listed(listed) => json!({
            "id": listed.id,
            "info_hash": HEXLOWER.encode(&listed.info_hash),
            "list": word(&LISTS, listed.list),
            "note": listed.note,
        }),
        Row::Setting(setting) => {
            json!({ "id": setting.id, "name": setting.name, "value": setting.value })
        }
        Row::Token(token) => json!({
            "id": token.id,
            "name": token.name,
            "scopes": names(token.scopes),
            "expires_at": token.expires_at,
            "created_at": token.created_at,
        }),
    }
}

pub(super) fn show_totals(totals: &Totals) -> Value {
    json!({
        "uploaded": totals.uploaded,
        "downloaded": totals.downloaded,
        "credited": totals.credited,
        "charged": totals.charged,
        "seeded_secs": totals.seeded_secs,
        "leeched_secs": totals.leeched_secs,
        "snatches": totals.snatches,
    })
}

pub(super) fn show_stats(stats: &TorrentStats) -> Value {
    json!({
        "seeders": stats.counts.seeders,
        "leechers": stats.counts.leechers,
        "partial": stats.counts.partial,
        "completed": stats.completed,
        "uploaded": stats.uploaded,
        "downloaded": stats.downloaded,
        "imbalance": i128::from(stats.uploaded) - i128::from(stats.downloaded),
        "seed_seen_at": stats.seed_seen_at,
    })
}

pub(super) fn show_hour(hour: &Hour) -> Value {
    json!({
        "from": hour.from_secs,
        "seeders": hour.seeders,
        "leechers": hour.leechers,
        "partial": hour.partial,
        "completed": hour.completed,
        "uploaded": hour.uploaded,
        "downloaded": hour.downloaded,
    })
}

/// What is told of a new row: its id, and its secret this once.
pub(super) fn made(kind: Kind, id: i64, secret: Option<Secret>) -> Value {
    let mut told = json!({ "id": id });
    if let (Some(name), Some(secret)) = (secret_name(kind), secret) {
        told[name] = secret.reveal().into();
    }
    told
}

/// What the secret of a new row is called.
pub(super) fn secret_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::User => Some("passkey"),
        Kind::Key => Some("key"),
        Kind::Token => Some("token"),
        Kind::Class | Kind::Torrent | Kind::Listed | Kind::Setting => None,
    }
}

pub(super) fn id(row: &Row) -> i64 {
    match row {
        Row::User(row) => row.id,
        Row::Class(row) => row.id,
        Row::Torrent(row) => row.id,
        Row::Key(row) => row.id,
        Row::Listed(row) => row.id,
        Row::Setting(row) => row.id,
        Row::Token(row) => row.id,
    }
}

/// The edit that puts a row.
pub(super) fn edit(row: Row) -> Edit {
    match row {
        Row::User(row) => Edit::User(row),
        Row::Class(row) => Edit::Class(row),
        Row::Torrent(row) => Edit::Torrent(row),
        Row::Key(row) => Edit::Key(row),
        Row::Listed(row) => Edit::Listed(row),
        Row::Setting(row) => Edit::Setting(row),
        Row::Token(row) => Edit::Token(row),
    }
}

fn names(scopes: Scopes) -> Vec<&'static str> {
    Scope::ALL.into_iter().filter(|(_, scope)| scopes.contain(*scope)).map(|(name, _)| name).collect()
}

fn word<T: PartialEq + Copy>(words: &[(&'static str, T)], of: T) -> &'static str {
    words.iter().find(|(_, meaning)| *meaning == of).map_or("", |(word, _)| word)
}
