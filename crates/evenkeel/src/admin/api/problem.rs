//! What is wrong with a request, as whoever sent it is told.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::store::{self, Scope};

/// `{code, message, field}`, and which row of several.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Value,
}

impl Problem {
    fn new(status: StatusCode, code: &str, message: &str, field: Option<&str>) -> Self {
        Self { status, body: json!({ "code": code, "message": message, "field": field }) }
    }

    /// A value that a field cannot have.
    pub(super) fn invalid(field: &str, must: &str) -> Self {
        let message = format!("{field} must be {must}");
        Self::new(StatusCode::BAD_REQUEST, "invalid", &message, Some(field))
    }

    pub(super) fn number(field: &str) -> Self {
        Self::invalid(field, "a whole number in its range")
    }

    pub(super) fn unknown_field(field: &str) -> Self {
        // What was sent comes back short, and in quotation marks of JSON.
        let field: String = field.chars().take(100).collect();
        Self::new(StatusCode::BAD_REQUEST, "unknown_field", "there is no such field", Some(&field))
    }

    pub(super) fn not_json(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "not_json", message, None)
    }

    pub(super) fn too_many(max: usize) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "too_many", &format!("at most {max} rows at once"), None)
    }

    pub(super) fn missing() -> Self {
        Self::new(StatusCode::NOT_FOUND, "missing", "there is no such row", None)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence.
    pub(super) fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// Whether this says that a row is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing here", None)
    }

    pub(super) fn unknown_method() -> Self {
        let message = "this cannot be done here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "unknown_method", message, None)
    }

    /// A body that is too large, or that ended before its time.
    pub(super) fn unreadable(status: StatusCode) -> Self {
        let (code, message) = match status {
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the body is too large"),
            _ => ("torn", "the body ended before its time"),
        };
        Self::new(status, code, message, None)
    }

    /// The token is good, but not for this.
    pub(super) fn forbidden(needed: Scope) -> Self {
        let name = Scope::ALL.iter().find(|(_, scope)| *scope == needed).map_or("", |(name, _)| name);
        let message = format!("this needs a token with the scope {name}");
        Self::new(StatusCode::FORBIDDEN, "forbidden", &message, None)
    }

    pub(super) fn unauthorised() -> Self {
        let message =
            "this needs the header Authorization: Bearer TOKEN, with one that is known and has not expired";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorised", message, None)
    }

    pub(super) fn internal() -> Self {
        let message = "this failed here; nothing was changed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message, None)
    }

    pub(super) fn no_file() -> Self {
        let message = "this torrent was not uploaded as a file";
        Self::new(StatusCode::NOT_FOUND, "no_file", message, None)
    }

    pub(super) fn no_announce_url() -> Self {
        let message = "peers cannot reach this tracker: no address is open for them";
        Self::new(StatusCode::CONFLICT, "no_announce_url", message, None)
    }

    /// The same, of a row that was alone.
    pub(super) fn without_row(mut self) -> Self {
        if let Some(fields) = self.body.as_object_mut() {
            fields.remove("row");
        }
        self
    }

    /// The same, of a row among several.
    pub(super) fn of_row(mut self, row: usize) -> Self {
        self.body["row"] = row.into();
        self
    }

    /// Several as one: each is listed.
    pub(super) fn all(problems: Vec<Self>) -> Option<Self> {
        let status = problems.first()?.status;
        let rows: Vec<Value> = problems.into_iter().map(|problem| problem.body).collect();
        let message = format!("{} rows cannot be taken, so none is", rows.len());
        let body = json!({ "code": "invalid", "message": message, "field": null, "rows": rows });
        Some(Self { status, body })
    }

    /// The only one of several.
    pub(super) fn only(mut self) -> Self {
        let mut only = self.body["rows"][0].take();
        if let Some(fields) = only.as_object_mut() {
            fields.remove("row");
        }
        Self { status: self.status, body: only }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error::{Missing, OutOfRange, Taken};
        match error {
            Taken { edit, field } => {
                let message = "another row has this already";
                Self::new(StatusCode::CONFLICT, "taken", message, Some(&field)).of_row(edit)
            }
            OutOfRange { edit, field } => Self::invalid(&field, "given, and in its range").of_row(edit),
            Missing { .. } => Self::missing(),
            error if error.is_retryable() => {
                let message = "the database is away; nothing was changed";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message, None)
            }
            error => {
                tracing::error!(%error, "a request of the API failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (self.status, json, self.body.to_string()).into_response()
    }
}
