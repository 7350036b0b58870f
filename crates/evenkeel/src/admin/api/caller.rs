//! Who sends a request, and whether they may.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::{Api, now_secs};
use crate::control;
use crate::store::{Kind, Row, Scope, Scopes, Unique};

/// Lets those pass whose token is good for rows of a kind, and says to the handler what it is good for.
pub(super) async fn authorise(
    State((api, needed)): State<(Api, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    let own = match identify(api, request.headers()).await {
        Ok(own) => own,
        Err(problem) => return problem.into_response(),
    };
    let is_reading = *request.method() == Method::GET && own.contain(Scope::Read);
    if !is_reading && !own.contain(needed) {
        return Problem::forbidden(needed).into_response();
    }
    request.extensions_mut().insert(own);
    next.run(request).await
}

/// There is nothing there; who has no token does not learn even that.
pub(super) async fn refuse(State(api): State<Api>, request: Request) -> Problem {
    identify(api, request.headers()).await.err().unwrap_or_else(Problem::unknown_path)
}

/// What the token of a request is good for. It is looked up by its hash, so that the time that takes tells nothing of it;
/// and in the database, so that one that is removed is good for nothing at once.
async fn identify(api: Api, headers: &HeaderMap) -> Result<Scopes, Problem> {
    let token = token_of(headers).ok_or_else(Problem::unauthorised)?;
    let hash = control::hash(token);
    if hash == api.token {
        return Ok(Scopes::EVERYTHING);
    }
    let found = api.ask(move |store| Ok(store.find(Kind::Token, &Unique::Secret(hash))?)).await?;
    let Some(Row::Token(found)) = found else { return Err(Problem::unauthorised()) };
    if found.expires_at.is_some_and(|end| end <= now_secs()) {
        return Err(Problem::unauthorised());
    }
    Ok(found.scopes)
}

fn token_of(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(header::AUTHORIZATION)?.as_bytes().strip_prefix(b"Bearer ")
}
