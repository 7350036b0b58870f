//! The API of the admin port: users, torrents, announce keys, lists and tokens, as JSON, for whoever has a token.
//!
//! `GET`, `POST`, `PATCH` and `DELETE` mean the same for each kind of row (`requests.rs`); `rows.rs` says what their fields
//! are. A list of rows is taken or refused as a whole. What is changed holds within a second, as what a site writes by SQL.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::Value;

use crate::database::{Place, now_secs};
use crate::node::{Node, lock};
use crate::store::{Hash32, Kind, Scope, Store};

mod caller;
mod describe;
mod equilibrium;
mod etracker;
mod fields;
mod files;
mod page;
mod problem;
mod requests;
mod rows;

pub(crate) use describe::{Field, Form, Part, fields_of};
pub(crate) use etracker::Face;
use fields::Fields;
use problem::Problem;

/// A request is read up to that: 10,000 torrents with long names.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The kinds of rows, by the paths that they are below.
const KINDS: [(&str, Kind); 7] = [
    ("users", Kind::User),
    ("classes", Kind::Class),
    ("torrents", Kind::Torrent),
    ("keys", Kind::Key),
    ("listed", Kind::Listed),
    ("settings", Kind::Setting),
    ("tokens", Kind::Token),
];

/// The path that rows of a kind are below.
pub(crate) fn path_of(kind: Kind) -> &'static str {
    KINDS.iter().find(|(_, of)| *of == kind).map_or("", |(path, _)| path)
}

/// What the API works with.
#[derive(Clone)]
pub(crate) struct Api {
    place: Place,
    /// Of the first token, which is good for everything, whatever the database says.
    token: Hash32,
    /// The announce URL of whoever has no secret, once it is known.
    announce_url: Option<String>,
    /// The tracker, for what it measures.
    node: Option<Arc<Node>>,
    /// Opened with the first request, and again after an error. One request at a time is answered.
    store: Arc<Mutex<Option<Box<dyn Store>>>>,
}

/// What a handler answers.
type Answer = Result<(StatusCode, Value), Problem>;

impl Api {
    /// The first token has this hash.
    pub(crate) fn new(place: Place, token: Hash32) -> Self {
        Self { place, token, announce_url: None, node: None, store: Arc::default() }
    }

    /// Torrents are announced at this URL, with a secret in it.
    pub(crate) fn announced_at(self, url: Option<String>) -> Self {
        Self { announce_url: url, ..self }
    }

    /// It tells what this tracker measures, too.
    pub(crate) fn measured_by(self, node: Arc<Node>) -> Self {
        Self { node: Some(node), ..self }
    }

    /// The routes, to be put below `/api/v1`.
    pub(crate) fn router(self) -> Router {
        let mut router = Router::new()
            .route("/", get(|| async { served("text/html; charset=utf-8", &page::PAGE) }))
            .route("/openapi.json", get(|| async { served("application/json", &page::DOCUMENT) }));
        for (name, kind) in KINDS {
            let all = get(move |api, query| requests::list(api, kind, query))
                .post(move |api, own, body| requests::create(api, own, kind, body));
            let one = get(move |api, id| requests::read(api, kind, id))
                .patch(move |api, own, id, body| requests::change(api, own, (kind, id), body))
                .delete(move |api, id| requests::remove(api, kind, id));
            let mut of_kind =
                Router::new().route(&format!("/{name}"), all).route(&format!("/{name}/{{id}}"), one);
            if kind == Kind::User {
                of_kind = of_kind
                    .route("/users/{id}/passkey", post(requests::rotate))
                    .route("/users/{id}/tier", put(requests::pin));
            } else if kind == Kind::Torrent {
                let file = get(files::download).post(files::personalise);
                of_kind = of_kind
                    .route("/torrents/file", post(files::upload))
                    .route("/torrents/{id}/file", file)
                    .route("/torrents/{id}/history", get(requests::history));
            }
            let state = (self.clone(), Scope::All(kind));
            router =
                router.merge(of_kind.route_layer(middleware::from_fn_with_state(state, caller::authorise)));
        }
        let state = (self.clone(), Scope::Read);
        let measured = Router::new().route("/equilibrium", get(equilibrium::show));
        router
            .merge(measured.route_layer(middleware::from_fn_with_state(state, caller::authorise)))
            .method_not_allowed_fallback(|| async { Problem::unknown_method() })
            .fallback(caller::refuse)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }

    /// Does something with the store, on a thread that may wait.
    async fn ask<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut dyn Store) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = tokio::task::spawn_blocking(move || {
            let mut store = lock(&self.store);
            let opened = match store.take() {
                Some(opened) => opened,
                None => self.place.open()?,
            };
            work(&mut **store.insert(opened))
        });
        done.await.unwrap_or_else(|_| Err(Problem::internal()))
    }

    /// The same, for what is to be answered.
    async fn run(self, work: impl FnOnce(&mut dyn Store) -> Answer + Send + 'static) -> Response {
        match self.ask(work).await {
            Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
            Ok((status, body)) => {
                (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
            }
            Err(problem) => problem.into_response(),
        }
    }
}

/// What anybody may read.
fn served(media: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, media), (header::CONTENT_SECURITY_POLICY, page::POLICY)], text)
}
