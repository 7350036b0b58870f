//! What can be asked of every kind of row.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::fields;
use super::problem::Problem;
use super::{Api, Fields, Part, describe, now_secs, rows};
use crate::control::{self, Secret};
use crate::store::{Edit, Kind, Row, Scopes, Span, Store, TorrentId, User, UserId};

/// Rows of one request.
pub(super) const ROWS_MAX: usize = 10_000;
/// Rows of one answer, unless it is told otherwise.
pub(super) const PAGE: u32 = 100;
/// Rows of one answer at most.
pub(super) const PAGE_MAX: u32 = 1000;

/// A body, or why there is none.
pub(super) type Body = Result<Bytes, BytesRejection>;
/// The id in a path, or what stands there instead.
pub(super) type Id = Result<Path<i64>, PathRejection>;

/// Rows with ids above one, a page of them; or the one that has what is asked for.
pub(super) async fn list(State(api): State<Api>, kind: Kind, RawQuery(query): RawQuery) -> Response {
    api.run(move |store| {
        let (mut after, mut limit, mut unique) = (0, PAGE, None);
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*name {
                "after" => after = value.parse().map_err(|_| Problem::number("after"))?,
                "limit" => limit = value.parse().map_err(|_| Problem::number("limit"))?,
                name => unique = Some(fields::unique(kind, name, &value)?),
            }
        }
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(Problem::number("limit"));
        }
        let rows = match unique {
            Some(unique) => store.find(kind, &unique)?.into_iter().collect(),
            None => store.page(kind, after, limit)?,
        };
        // Whoever got fewer than asked for has seen the last one.
        let next = (rows.len() == limit as usize).then(|| rows.last().map(rows::id)).flatten();
        let rows: Vec<Value> = rows.iter().map(rows::show).collect();
        Ok((StatusCode::OK, json!({ "rows": rows, "next": next })))
    })
    .await
}

/// One row, with what is known of it besides.
pub(super) async fn read(State(api): State<Api>, kind: Kind, id: Id) -> Response {
    api.run(move |store| {
        let id = given(id)?;
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

/// A torrent's figures over time.
pub(super) async fn history(State(api): State<Api>, id: Id, RawQuery(query): RawQuery) -> Response {
    api.run(move |store| {
        let span = match query.as_deref().unwrap_or_default() {
            "" | "by=day" => Span::Days,
            "by=hour" => Span::Hours,
            query if query.starts_with("by=") => return Err(Problem::invalid("by", "hour or day")),
            query => return Err(Problem::unknown_field(query.split('=').next().unwrap_or_default())),
        };
        let id = given(id)?;
        find(store, Kind::Torrent, id)?;
        let hours = store.history(TorrentId(id), span)?;
        let rows: Vec<Value> = hours.iter().map(rows::show_hour).collect();
        Ok((StatusCode::OK, json!({ "rows": rows })))
    })
    .await
}

/// Takes a row, or a list of them.
pub(super) async fn create(
    State(api): State<Api>,
    Extension(own): Extension<Scopes>,
    kind: Kind,
    body: Body,
) -> Response {
    api.run(move |store| {
        let (given, is_list) = match fields::parse(&whole(body)?)? {
            Value::Array(rows) if rows.len() <= ROWS_MAX => (rows, true),
            Value::Array(_) => return Err(Problem::too_many(ROWS_MAX)),
            row => (vec![row], false),
        };
        let mut edits = Vec::with_capacity(given.len());
        let mut secrets = Vec::new();
        let mut problems = Vec::new();
        let mut classes = HashMap::new();
        let needed = needed(kind);
        for (at, given) in given.into_iter().enumerate() {
            let made = make(kind, given, (&needed, own));
            match made.and_then(|made| known_class(store, &made.0, &mut classes).map(|()| made)) {
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

/// A row with all that it cannot be without.
fn make(
    kind: Kind,
    given: Value,
    (needed, own): (&[&str], Scopes),
) -> Result<(Row, Option<Secret>), Problem> {
    let (mut row, secret) = rows::blank(kind, now_secs())?;
    let missing = needed.iter().find(|name| given.get(name).is_none());
    put(&mut row, Fields::new(given)?, own)?;
    missing.map_or(Ok((row, secret)), |name| Err(Problem::invalid(name, "given")))
}

/// Fields that a new row cannot be without.
fn needed(kind: Kind) -> Vec<&'static str> {
    let fields = describe::fields_of(kind).into_iter();
    fields.filter(|field| field.part == Part::Needed).map(|field| field.name).collect()
}

/// Puts all that is given into a row, as far as whoever gives it may.
fn put(row: &mut Row, mut fields: Fields, own: Scopes) -> Result<(), Problem> {
    rows::apply(row, &mut fields)?;
    fields.end()?;
    match row {
        Row::Token(token) if !own.include(token.scopes) => {
            Err(Problem::invalid("scopes", "among those of the token that gives them"))
        }
        _ => Ok(()),
    }
}

/// Whether the class of a user is there. Each is looked for once.
fn known_class(store: &mut dyn Store, row: &Row, seen: &mut HashMap<i64, bool>) -> Result<(), Problem> {
    let Row::User(User { class: Some(class), .. }) = row else { return Ok(()) };
    let is_known = match seen.get(class) {
        Some(is_known) => *is_known,
        None => match find(store, Kind::Class, *class) {
            Ok(_) => *seen.entry(*class).or_insert(true),
            Err(problem) if problem.is_missing() => *seen.entry(*class).or_insert(false),
            Err(problem) => return Err(problem),
        },
    };
    if is_known { Ok(()) } else { Err(Problem::invalid("class", "the id of a class, or null")) }
}

/// Changes the fields of a row that are given.
pub(super) async fn change(
    State(api): State<Api>,
    Extension(own): Extension<Scopes>,
    (kind, id): (Kind, Id),
    body: Body,
) -> Response {
    api.run(move |store| {
        let id = given(id)?;
        let fields = Fields::new(fields::parse(&whole(body)?)?)?;
        let mut row = find(store, kind, id)?;
        put(&mut row, fields, own)?;
        known_class(store, &row, &mut HashMap::new())?;
        let shown = rows::show(&row);
        store.edit(&[rows::edit(row)])?;
        Ok((StatusCode::OK, shown))
    })
    .await
}

/// Removes a row.
pub(super) async fn remove(State(api): State<Api>, kind: Kind, id: Id) -> Response {
    api.run(move |store| {
        store.edit(&[Edit::Remove(kind, given(id)?)])?;
        Ok((StatusCode::NO_CONTENT, Value::Null))
    })
    .await
}

/// Gives a user a new passkey, and shows it this once.
pub(super) async fn rotate(State(api): State<Api>, id: Id) -> Response {
    api.run(move |store| {
        let Row::User(mut user) = find(store, Kind::User, given(id)?)? else {
            return Err(Problem::missing());
        };
        let secret = control::rotate(&mut user, now_secs()).map_err(|_| Problem::internal())?;
        let answer = json!({ "passkey": secret.reveal(), "previous_until": user.previous_until });
        store.edit(&[Edit::User(user)])?;
        Ok((StatusCode::OK, answer))
    })
    .await
}

/// Holds a user at a tier, or at none any more.
pub(super) async fn pin(State(api): State<Api>, id: Id, body: Body) -> Response {
    api.run(move |store| {
        let id = given(id)?;
        let body = fields::parse(&whole(body)?)?;
        let is_given = body.get("tier").is_some();
        let mut fields = Fields::new(body)?;
        let Row::User(mut user) = find(store, Kind::User, id)? else { return Err(Problem::missing()) };
        fields.maybe_tier("tier", &mut user.pinned_tier)?;
        fields.end()?;
        if !is_given {
            return Err(Problem::invalid("tier", "given"));
        }
        let row = Row::User(user);
        let shown = rows::show(&row);
        store.edit(&[rows::edit(row)])?;
        Ok((StatusCode::OK, shown))
    })
    .await
}

pub(super) fn find(store: &mut dyn Store, kind: Kind, id: i64) -> Result<Row, Problem> {
    let found = store.page(kind, id.saturating_sub(1), 1)?.pop();
    found.filter(|row| rows::id(row) == id).ok_or_else(Problem::missing)
}

pub(super) fn given(id: Id) -> Result<i64, Problem> {
    id.map(|Path(id)| id).map_err(|_| Problem::number("id"))
}

pub(super) fn whole(body: Body) -> Result<Bytes, Problem> {
    body.map_err(|rejection| Problem::unreadable(rejection.into_response().status()))
}
