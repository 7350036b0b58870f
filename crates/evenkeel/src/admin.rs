//! The admin port: for the operator and the monitoring, on loopback unless configured otherwise.

mod api;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(crate) use api::{Api, Face, Field, Form, Part, fields_of, path_of};

use crate::listen::http::Shared;

/// What the pages are made from.
#[derive(Clone)]
struct Admin {
    registry: Arc<Registry>,
    http: Arc<Shared>,
    stopping: watch::Receiver<bool>,
}

/// Serves until the program stops.
pub(crate) async fn serve(
    listener: TcpListener,
    registry: Registry,
    (http, api, face): (Arc<Shared>, Option<Api>, Option<Face>),
    stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let mut stop = stopping.clone();
    let mut router = Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Admin { registry: Arc::new(registry), http, stopping });
    if let Some(api) = api {
        router = router.nest("/api/v1", api.router());
    }
    if let Some(face) = face {
        router = router.merge(face.router());
    }
    let stopped = async move {
        // An error means that the sender is gone: the program ends.
        stop.wait_for(|stopping| *stopping).await.ok();
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

/// 200 while announces are answered, 503 before users and torrents are loaded and from the moment that the program stops.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    if *admin.stopping.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n".to_owned())
    } else if !admin.http.node.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "loading\n".to_owned())
    } else {
        let troubles = admin.http.node.troubles().into_iter().map(|trouble| trouble.text().to_owned());
        let of_tls = admin.http.tls.as_ref().and_then(|tls| tls.shown.trouble(SystemTime::now()));
        let texts: Vec<String> = troubles.chain(of_tls).collect();
        if !texts.is_empty() {
            return (StatusCode::OK, format!("degraded: {}\n", texts.join("; ")));
        }
        (StatusCode::OK, "ready\n".to_owned())
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let mut text = String::new();
    let encoded = prometheus_client::encoding::text::encode(&mut text, &admin.registry);
    let status = if encoded.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    (status, [(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}
