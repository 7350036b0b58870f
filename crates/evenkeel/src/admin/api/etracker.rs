//! What etracker answered below `/api`, for programs that were written for it: the same paths, bodies and texts, on the
//! catalogue and the announce keys of this tracker.
//!
//! Known weakness: reading asks for no password, as there. It is on the admin port, so that strangers get there only where
//! a proxy lets them.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, RawQuery, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use data_encoding::BASE64;
use evenkeel_wire::InfoHash;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::problem::Problem;
use super::requests::{Body, whole};
use super::{Api, BODY_BYTES_MAX, files, rows};
use crate::control::{self, Control};
use crate::listen::http::Shared;
use crate::mint::Refused;
use crate::store::{Edit, Hash32, Kind, Row, Store, Torrent, TorrentId, TorrentState, Unique};
use crate::torrent_file;

/// Torrents that are listed at once, and no more: the list has no pages.
const LISTED_MAX: usize = 10_000;
/// Torrents that are read at a time.
const PAGE: u32 = 1000;

/// What the face is of.
#[derive(Clone)]
pub(crate) struct Face {
    api: Api,
    control: Arc<Control>,
    http: Arc<Shared>,
    /// Of what the header has to be; nobody changes anything without.
    authorization: Option<Hash32>,
}

impl Face {
    /// On what this tracker has.
    pub(crate) fn new(
        api: Api,
        control: Arc<Control>,
        http: Arc<Shared>,
        authorization: Option<Hash32>,
    ) -> Self {
        Self { api, control, http, authorization }
    }

    /// The routes, with `/api` in them.
    pub(crate) fn router(self) -> Router {
        let guard = middleware::from_fn_with_state(self.clone(), authorise);
        Router::new()
            .route("/api/infohash", post(add).delete(remove))
            .route("/api/torrentfile", post(upload))
            .route_layer(guard)
            .route("/api/torrentfile", get(download))
            .route("/api/infohashes", get(list))
            .route("/api/stats", get(stats))
            .route("/api/generate", get(generate))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }
}

/// Why something is refused, in the words of etracker where it had some.
struct Refusal(StatusCode, String);

const NO_HASH: &str = "did not receive valid infohash";
const TAKEN: &str = "infohash already inserted";

impl Refusal {
    fn new(status: StatusCode, text: &str) -> Self {
        Self(status, format!("error: {text}\n"))
    }

    fn bad(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.1).into_response()
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        match problem.status() {
            StatusCode::CONFLICT => Self::bad(TAKEN),
            status => Self::new(status, problem.message()),
        }
    }
}

type Answer = Result<Response, Refusal>;

fn done(status: StatusCode) -> Response {
    shown(status, &json!({ "message": "success" }))
}

fn shown(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Lets those pass who send what is configured, as it is. Hashes are compared, so that the time that takes tells nothing.
async fn authorise(State(face): State<Face>, request: Request, next: Next) -> Response {
    let refuse = |text| Refusal::new(StatusCode::FORBIDDEN, text).into_response();
    let Some(authorization) = face.authorization else { return refuse("restricted API access disabled") };
    match request.headers().get(header::AUTHORIZATION) {
        Some(given) if control::hash(given.as_bytes()) == authorization => next.run(request).await,
        _ => refuse("restricted API access refused: the header Authorization is not the configured one"),
    }
}

/// A body that names a torrent.
#[derive(Deserialize)]
struct Named {
    info_hash: String,
    #[serde(default)]
    name: String,
}

/// The info hash, and the name.
fn named(body: Body) -> Result<([u8; 20], String), Refusal> {
    let bytes = whole(body)?;
    let Named { info_hash, name } = serde_json::from_slice(&bytes).map_err(|_| Refusal::bad(NO_HASH))?;
    let info_hash = BASE64.decode(info_hash.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    Ok((info_hash.ok_or_else(|| Refusal::bad(NO_HASH))?, name))
}

async fn add(State(face): State<Face>, body: Body) -> Answer {
    let (info_hash, name) = named(body)?;
    // There a torrent may be without a name, here it may not.
    let name = if name.is_empty() { InfoHash(info_hash).to_string() } else { name };
    let ask = face.api.ask(move |store| {
        let (mut row, _) = rows::blank(Kind::Torrent, super::now_secs())?;
        if let Row::Torrent(torrent) = &mut row {
            (torrent.info_hash_v1, torrent.name) = (Some(info_hash), name);
        }
        Ok(store.edit(&[rows::edit(row)])?)
    });
    ask.await?;
    Ok(done(StatusCode::CREATED))
}

async fn remove(State(face): State<Face>, body: Body) -> Answer {
    let (info_hash, _) = named(body)?;
    let ask = face.api.ask(move |store| {
        let torrent = find(store, info_hash)?;
        Ok(store.edit(&[Edit::Remove(Kind::Torrent, torrent.id)])?)
    });
    ask.await?;
    Ok(done(StatusCode::OK))
}

fn find(store: &mut dyn Store, info_hash: [u8; 20]) -> Result<Torrent, Problem> {
    match store.find(Kind::Torrent, &Unique::InfoHashV1(info_hash))? {
        Some(Row::Torrent(torrent)) => Ok(torrent),
        _ => Err(Problem::missing()),
    }
}

/// Every torrent, by name, with who is there now.
async fn list(State(face): State<Face>) -> Answer {
    let mut torrents: Vec<(String, Value)> = Vec::new();
    let mut after = 0;
    loop {
        // Others get in between two pages.
        let page = face.api.clone().ask(move |store| read_page(store, after)).await?;
        let Some((last, _)) = page.last() else { break };
        after = last.id;
        if torrents.len() + page.len() > LISTED_MAX {
            let text = "more than 10000 torrents: read them from /api/v1/torrents";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        for (torrent, downloaded) in page {
            let Some(info_hash) = torrent.info_hash_v1.or_else(|| truncated(torrent.info_hash_v2)) else {
                continue;
            };
            let now = face.http.node.scrape(&InfoHash(info_hash));
            let row = json!({
                "name": torrent.name,
                "downloaded": downloaded,
                "seeders": now.seeders,
                "leechers": now.incomplete(),
                "info_hash": BASE64.encode(&info_hash),
            });
            torrents.push((torrent.name, row));
        }
    }
    torrents.sort_by(|(one, _), (other, _)| one.cmp(other));
    let rows: Vec<Value> = torrents.into_iter().map(|(_, row)| row).collect();
    Ok(shown(StatusCode::OK, &Value::Array(rows)))
}

/// Torrents with larger ids, and how often each was completed.
fn read_page(store: &mut dyn Store, after: i64) -> Result<Vec<(Torrent, u64)>, Problem> {
    let mut read = Vec::new();
    for row in store.page(Kind::Torrent, after, PAGE)? {
        if let Row::Torrent(torrent) = row {
            let stats = store.torrent_stats(TorrentId(torrent.id))?;
            read.push((torrent, stats.map_or(0, |stats| stats.completed)));
        }
    }
    Ok(read)
}

/// As peers announce a torrent of version 2.
fn truncated(info_hash: Option<[u8; 32]>) -> Option<[u8; 20]> {
    info_hash?.first_chunk().copied()
}

async fn stats(State(face): State<Face>) -> Response {
    let totals = face.http.node.totals();
    let body = json!({
        "hashcount": face.control.sizes().torrents,
        "seeders": totals.seeders,
        "leechers": totals.leechers,
    });
    shown(StatusCode::OK, &body)
}

/// A new announce key, as `/key` of the other port gives them.
async fn generate(State(face): State<Face>) -> Answer {
    let Some(mint) = &face.http.mint else {
        let text = "announce keys are not given to anybody (access.keys_for_anybody)";
        return Err(Refusal::new(StatusCode::FORBIDDEN, text));
    };
    // Whoever asks here is the operator, or comes through a proxy: addresses say nothing.
    match mint.take(IpAddr::V4(Ipv4Addr::LOCALHOST), false).await {
        Ok(secret) => Ok(shown(StatusCode::OK, &json!({ "announce_key": secret.reveal() }))),
        Err(Refused::Enough) => {
            Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "enough keys were given for this hour"))
        }
        Err(Refused::Unavailable) => {
            Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "keys cannot be given for now"))
        }
    }
}

/// Takes a file as the part `file` of a form, and makes it private.
async fn upload(State(face): State<Face>, form: Result<Multipart, MultipartRejection>) -> Answer {
    let mut form =
        form.map_err(|_| Refusal::bad("the body must be a form of parts (multipart/form-data)"))?;
    let torn =
        |error: axum::extract::multipart::MultipartError| Refusal::new(error.status(), "the form is torn");
    while let Some(part) = form.next_field().await.map_err(torn)? {
        if part.name() != Some("file") {
            continue;
        }
        let file = part.bytes().await.map_err(torn)?;
        let ask = face.api.ask(move |store| {
            let file = torrent_file::made_private(&file)?;
            files::take(store, &file, TorrentState::Approved)
        });
        ask.await?;
        return Ok(done(StatusCode::CREATED));
    }
    Err(Refusal::bad("the form must have a part file"))
}

/// A torrent's file with the announce URL of whoever has the key.
async fn download(State(face): State<Face>, RawQuery(query): RawQuery) -> Answer {
    let (mut key, mut info_hash) = (String::new(), None);
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*name {
            "announce_key" => key = value.into_owned(),
            "info_hash" => info_hash = value.parse::<InfoHash>().ok(),
            _ => {}
        }
    }
    let InfoHash(info_hash) = info_hash.ok_or_else(|| Refusal::bad(NO_HASH))?;
    let base = face.api.announce_url.clone();
    let ask = face.api.ask(move |store| {
        let id = find(store, info_hash)?.id;
        files::personal(store, id, (&(Kind::Key, "announce_key", key), base))
    });
    let (torrent, file) = ask.await?;
    Ok(files::as_file(&torrent, file))
}
