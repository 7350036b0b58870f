//! `.torrent` files: one comes in and is a torrent of the catalogue from then on, and goes out with a user's own announce
//! URL in it.

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use evenkeel_wire::secret;
use serde_json::json;

use super::fields::Fields;
use super::problem::Problem;
use super::requests::{Body, Id, find, given, whole};
use super::rows::{self, TORRENT_STATES};
use super::{Api, fields, now_secs};
use crate::control;
use crate::store::{Edit, Kind, Row, Store, Torrent, TorrentId, TorrentState, Unique, UserState};
use crate::torrent_file::{Fault, TorrentFile};

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::invalid(fault.field, fault.must)
    }
}

/// Takes a file, which is the body; answers the torrent.
pub(super) async fn upload(State(api): State<Api>, RawQuery(query): RawQuery, body: Body) -> Response {
    api.run(move |store| {
        let state = state_of(query.as_deref().unwrap_or_default())?;
        let torrent = take(store, &whole(body)?, state)?;
        Ok((StatusCode::CREATED, rows::show(&Row::Torrent(torrent))))
    })
    .await
}

/// Takes a file into the catalogue.
pub(super) fn take(store: &mut dyn Store, file: &[u8], state: TorrentState) -> Result<Torrent, Problem> {
    let file = TorrentFile::read(file)?;
    let mut torrent = Torrent {
        id: 0,
        info_hash_v1: file.info_hash_v1,
        info_hash_v2: file.info_hash_v2,
        name: file.name.clone(),
        size_bytes: Some(file.size_bytes),
        state,
        reason: String::new(),
        upload_percent: 100,
        download_percent: 100,
        freeleech_until: 0,
        created_at: now_secs(),
    };
    let edits = [Edit::Torrent(torrent.clone()), Edit::File(0, file.announced_at(None))];
    let ids = store.edit(&edits).map_err(|error| Problem::from(error).without_row())?;
    torrent.id = ids[0];
    Ok(torrent)
}

/// `state=pending`: it waits for somebody to look at it.
fn state_of(query: &str) -> Result<TorrentState, Problem> {
    let given = query.split('&').filter(|pair| !pair.is_empty());
    let given = given.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut fields = Fields::new(given.map(|(name, value)| (name.to_owned(), json!(value))).collect())?;
    let mut state = TorrentState::Approved;
    fields.word("state", &mut state, &TORRENT_STATES)?;
    fields.end()?;
    Ok(state)
}

/// The file as it is kept: without an announce URL.
pub(super) async fn download(State(api): State<Api>, id: Id) -> Response {
    let found = api.ask(move |store| kept(store, given(id)?)).await;
    found.map_or_else(IntoResponse::into_response, |(torrent, file)| as_file(&torrent, file))
}

/// The file for whoever has a passkey or an announce key, which is in its announce URL.
pub(super) async fn personalise(State(api): State<Api>, id: Id, body: Body) -> Response {
    let base = api.announce_url.clone();
    let made = api.ask(move |store| {
        let mut fields = Fields::new(fields::parse(&whole(body)?)?)?;
        let (mut passkey, mut key) = (String::new(), String::new());
        fields.text("passkey", &mut passkey)?;
        fields.text("key", &mut key)?;
        fields.end()?;
        let secret = if key.is_empty() { (Kind::User, "passkey", passkey) } else { (Kind::Key, "key", key) };
        personal(store, given(id)?, (&secret, base))
    });
    made.await.map_or_else(IntoResponse::into_response, |(torrent, file)| as_file(&torrent, file))
}

/// A torrent's file with somebody's announce URL in it.
pub(super) fn personal(
    store: &mut dyn Store,
    id: i64,
    (secret, base): (&OwnSecret, Option<String>),
) -> Result<(Torrent, Vec<u8>), Problem> {
    let (torrent, file) = kept(store, id)?;
    check(store, secret)?;
    let url = own_url(&base.ok_or_else(Problem::no_announce_url)?, &secret.2);
    let file = TorrentFile::read(&file)?.announced_at(Some(&url));
    Ok((torrent, file))
}

/// Whose file it is to be: the kind of secret, the field that it is given in, and itself.
pub(super) type OwnSecret = (Kind, &'static str, String);

fn kept(store: &mut dyn Store, id: i64) -> Result<(Torrent, Vec<u8>), Problem> {
    let Row::Torrent(torrent) = find(store, Kind::Torrent, id)? else { return Err(Problem::missing()) };
    let file = store.file(TorrentId(id))?.ok_or_else(Problem::no_file)?;
    Ok((torrent, file))
}

/// Whether somebody can announce with a secret. It has to stand in a URL as it is.
fn check(store: &mut dyn Store, (kind, field, secret): &OwnSecret) -> Result<(), Problem> {
    let unknown = || Problem::invalid(field, "one that is known, and that can stand in a URL");
    let path = format!("/{secret}/announce");
    if secret::of_url(path.as_bytes()) != Some(secret.as_bytes()) {
        return Err(unknown());
    }
    let secret = Unique::Secret(control::hash(secret.as_bytes()));
    match store.find(*kind, &secret)?.ok_or_else(unknown)? {
        Row::User(user) if matches!(user.state, UserState::Disabled | UserState::Banned) => {
            Err(Problem::invalid(field, "that of a user who may announce"))
        }
        _ => Ok(()),
    }
}

/// `http://host/announce` with the secret in it: `http://host/SECRET/announce`.
fn own_url(base: &str, secret: &str) -> String {
    let root = base.strip_suffix("/announce").unwrap_or(base);
    format!("{root}/{secret}/announce")
}

pub(super) fn as_file(torrent: &Torrent, file: Vec<u8>) -> Response {
    // A name may hold anything; the number never does.
    let disposition = format!("attachment; filename=\"{}.torrent\"", torrent.id);
    let head = [
        (header::CONTENT_TYPE, "application/x-bittorrent".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (head, file).into_response()
}
