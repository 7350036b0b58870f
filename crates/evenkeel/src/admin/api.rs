//! The API of the admin port: users, torrents, announce keys and lists, as JSON, for whoever has the token.
//!
//! `GET`, `POST`, `PATCH` and `DELETE` mean the same for each kind of row; `rows.rs` says what their fields are. A list of
//! rows is taken or refused as a whole. What is changed holds within a second, as what a site writes by SQL.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use crate::control::{self, Secret};
use crate::database::Place;
use crate::node::lock;
use crate::store::{Hash32, Kind, Row, Store, TorrentId, UserId};

mod fields;
mod problem;
mod rows;

use fields::Fields;
use problem::Problem;

/// A request is read up to that: 10,000 torrents with long names.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows of one request.
const ROWS_MAX: usize = 10_000;
/// Rows of one answer, unless it is told otherwise.
const PAGE: u32 = 100;

/// What the API works with.
#[derive(Clone)]
pub(crate) struct Api {
    place: Place,
    token: Hash32,
    /// Opened with the first request, and again after an error. One request at a time is answered.
    store: Arc<Mutex<Option<Box<dyn Store>>>>,
}

/// What a handler answers.
type Answer = Result<(StatusCode, Value), Problem>;

impl Api {
    /// For whoever has the token of this hash.
    pub(crate) fn new(place: Place, token: Hash32) -> Self {
        Self { place, token, store: Arc::default() }
    }

    /// The routes, to be put below `/api/v1`.
    pub(crate) fn router(self) -> Router {
        let kinds = [
            ("users", Kind::User),
            ("classes", Kind::Class),
            ("torrents", Kind::Torrent),
            ("keys", Kind::Key),
            ("listed", Kind::Listed),
            ("settings", Kind::Setting),
        ];
        let mut router = Router::new().route("/users/{id}/passkey", post(rotate));
        for (name, kind) in kinds {
            let all =
                get(move |api, query| list(api, kind, query)).post(move |api, body| create(api, kind, body));
            let one = get(move |api, id| read(api, kind, id))
                .patch(move |api, id, body| change(api, kind, id, body))
                .delete(move |api, id| remove(api, kind, id));
            router = router.route(&format!("/{name}"), all).route(&format!("/{name}/{{id}}"), one);
        }
        router
            .fallback(|| async { Problem::unknown_path().into_response() })
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(middleware::from_fn_with_state(self.clone(), authorise))
            .with_state(self)
    }

    /// Does something with the store, on a thread that may wait.
    async fn run(self, work: impl FnOnce(&mut dyn Store) -> Answer + Send + 'static) -> Response {
        let done = tokio::task::spawn_blocking(move || {
            let mut store = lock(&self.store);
            let opened = match store.take() {
                Some(opened) => opened,
                None => self.place.open()?,
            };
            work(&mut **store.insert(opened))
        });
        match done.await.unwrap_or_else(|_| Err(Problem::internal())) {
            Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
            Ok((status, body)) => {
                (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
            }
            Err(problem) => problem.into_response(),
        }
    }
}

/// Lets those pass who have the token. It is compared by its hash, so that the time that takes tells nothing of it.
async fn authorise(State(api): State<Api>, request: Request, next: Next) -> Response {
    match token_of(request.headers()) {
        Some(token) if control::hash(token) == api.token => next.run(request).await,
        _ => Problem::unauthorised().into_response(),
    }
}

fn token_of(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}

async fn list(State(api): State<Api>, kind: Kind, RawQuery(query): RawQuery) -> Response {
    api.run(move |store| {
        let (mut after, mut limit) = (0, PAGE);
        for pair in query.iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("after", value)) => after = value.parse().map_err(|_| Problem::number("after"))?,
                Some(("limit", value)) => limit = value.parse().map_err(|_| Problem::number("limit"))?,
                _ => return Err(Problem::unknown_field(pair.split('=').next().unwrap_or_default())),
            }
        }
        if !(1..=1000).contains(&limit) {
            return Err(Problem::number("limit"));
        }
        let rows = store.page(kind, after, limit)?;
        // Whoever got fewer than asked for has seen the last one.
        let next = (rows.len() == limit as usize).then(|| rows.last().map(rows::id)).flatten();
        let rows: Vec<Value> = rows.iter().map(rows::show).collect();
        Ok((StatusCode::OK, json!({ "rows": rows, "next": next })))
    })
    .await
}

async fn read(State(api): State<Api>, kind: Kind, Path(id): Path<i64>) -> Response {
    api.run(move |store| {
        let row = find(store, kind, id)?;
        let mut shown = rows::show(&row);
        match kind {
            Kind::User => shown["totals"] = rows::show_totals(&store.totals(UserId(id))?),
            Kind::Torrent => {
                shown["stats"] =
                    store.torrent_stats(TorrentId(id))?.map_or(Value::Null, |stats| rows::show_stats(&stats));
            }
            _ => {}
        }
        Ok((StatusCode::OK, shown))
    })
    .await
}

/// Takes a row, or a list of them.
async fn create(State(api): State<Api>, kind: Kind, body: Bytes) -> Response {
    api.run(move |store| {
        let (given, is_list) = match fields::parse(&body)? {
            Value::Array(rows) if rows.len() <= ROWS_MAX => (rows, true),
            Value::Array(_) => return Err(Problem::too_many(ROWS_MAX)),
            row => (vec![row], false),
        };
        let mut edits = Vec::with_capacity(given.len());
        let mut secrets = Vec::new();
        let mut problems = Vec::new();
        for (at, given) in given.into_iter().enumerate() {
            match make(kind, given) {
                Ok((row, secret)) => {
                    edits.push(rows::edit(row));
                    secrets.push(secret);
                }
                Err(problem) => problems.push(problem.of_row(at)),
            }
        }
        if let Some(all) = Problem::all(problems) {
            return Err(if is_list { all } else { all.only() });
        }
        let ids = store.edit(&edits)?;
        let made: Vec<Value> =
            ids.into_iter().zip(secrets).map(|(id, secret)| rows::made(kind, id, secret)).collect();
        let answer = if is_list { Value::Array(made) } else { made.into_iter().next().unwrap_or_default() };
        Ok((StatusCode::CREATED, answer))
    })
    .await
}

fn make(kind: Kind, given: Value) -> Result<(Row, Option<Secret>), Problem> {
    let (mut row, secret) = rows::blank(kind, now_secs())?;
    let mut fields = Fields::new(given)?;
    rows::apply(&mut row, &mut fields)?;
    fields.end()?;
    Ok((row, secret))
}

async fn change(State(api): State<Api>, kind: Kind, Path(id): Path<i64>, body: Bytes) -> Response {
    api.run(move |store| {
        let mut fields = Fields::new(fields::parse(&body)?)?;
        let mut row = find(store, kind, id)?;
        rows::apply(&mut row, &mut fields)?;
        fields.end()?;
        let shown = rows::show(&row);
        store.edit(&[rows::edit(row)])?;
        Ok((StatusCode::OK, shown))
    })
    .await
}

async fn remove(State(api): State<Api>, kind: Kind, Path(id): Path<i64>) -> Response {
    api.run(move |store| {
        store.edit(&[crate::store::Edit::Remove(kind, id)])?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
    .await
}

/// Gives a user a new passkey, and shows it this once.
async fn rotate(State(api): State<Api>, Path(id): Path<i64>) -> Response {
    api.run(move |store| {
        let Row::User(mut user) = find(store, Kind::User, id)? else { return Err(Problem::missing()) };
        let secret = control::rotate(&mut user, now_secs()).map_err(|_| Problem::internal())?;
        let answer = json!({ "passkey": secret.reveal(), "previous_until": user.previous_until });
        store.edit(&[crate::store::Edit::User(user)])?;
        Ok((StatusCode::OK, answer))
    })
    .await
}

fn find(store: &mut dyn Store, kind: Kind, id: i64) -> Result<Row, Problem> {
    let found = store.page(kind, id.saturating_sub(1), 1)?.pop();
    found.filter(|row| rows::id(row) == id).ok_or_else(Problem::missing)
}

fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
