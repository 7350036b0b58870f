//! Announce and scrape over HTTP and HTTPS (BEP 3, BEP 48): one connection for each request, as most
//! clients do.

mod answer;
mod query;

use evenkeel_wire::{Announce, InfoHash};
use http::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::{Position, Url};

use crate::{AnnounceResponse, Client, Error, ScrapeResponse, net};

pub(crate) async fn announce(
    client: &Client,
    url: &Url,
    announce: &Announce,
    tracker_id: Option<&[u8]>,
) -> Result<AnnounceResponse, Error> {
    let body = get(client, query::announce(url, announce, tracker_id)).await?;
    answer::announce(&body)
}

pub(crate) async fn scrape(
    client: &Client,
    url: &Url,
    info_hashes: &[InfoHash],
) -> Result<ScrapeResponse, Error> {
    let url = query::scrape(url, info_hashes).ok_or(Error::ScrapeUnsupported)?;
    let body = get(client, url).await?;
    answer::scrape(&body, info_hashes)
}

/// Reads bytes of a stranger as the body of every answer.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_strange(body: &[u8]) {
    if let Ok(response) = answer::announce(body) {
        response.check();
    }
    let asked = InfoHash([b'a'; 20]);
    if let Ok(response) = answer::scrape(body, &[asked]) {
        assert!(response.torrents.keys().all(|info_hash| *info_hash == asked), "nobody asked for this one");
    }
    answer::failure_reason(body);
}

/// The body of a 200, after redirects.
async fn get(client: &Client, url: Url) -> Result<Vec<u8>, Error> {
    let limit = client.settings().request_timeout;
    timeout(limit, follow(client, url)).await.unwrap_or(Err(Error::Timeout))
}

async fn follow(client: &Client, mut url: Url) -> Result<Vec<u8>, Error> {
    for _ in 0..=client.settings().max_redirects {
        match get_one(client, &url).await? {
            Fetched::Body(body) => return Ok(body),
            Fetched::Redirect(target) => url = target,
        }
    }
    Err(Error::TooManyRedirects)
}

enum Fetched {
    Body(Vec<u8>),
    Redirect(Url),
}

async fn get_one(client: &Client, url: &Url) -> Result<Fetched, Error> {
    let stream = net::connect(client, url, url.scheme() == "https").await?;
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(hyper_error)?;
    let request = request(client, url)?;
    let fetched = async {
        let response = sender.send_request(request).await.map_err(hyper_error)?;
        read(client, url, response).await
    };
    // The connection is driven here rather than in a task of its own: dropping this future drops it as well.
    // It may end before the body is read, because what was received is already in the body's hands.
    tokio::pin!(fetched, connection);
    tokio::select! {
        biased;
        result = &mut fetched => result,
        _ = &mut connection => fetched.await,
    }
}

fn request(client: &Client, url: &Url) -> Result<Request<Empty<Bytes>>, Error> {
    Request::get(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, client.settings().user_agent.as_str())
        // No Accept-Encoding: answers are small, and inflating a stranger's bytes is one more risk.
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| Error::InvalidUrl(error.to_string()))
}

async fn read(client: &Client, url: &Url, response: Response<Incoming>) -> Result<Fetched, Error> {
    let status = response.status();
    if let Some(target) = redirect(url, status, response.headers())? {
        return Ok(Fetched::Redirect(target));
    }
    let body = body(response.into_body(), client.settings().max_answer_bytes).await;
    if status == StatusCode::OK {
        return body.map(Fetched::Body);
    }
    let reason = body.ok().as_deref().and_then(answer::failure_reason);
    Err(Error::Status { code: status.as_u16(), reason })
}

/// Where to go next; a redirect that names no place is a status like any other.
fn redirect(url: &Url, status: StatusCode, headers: &HeaderMap) -> Result<Option<Url>, Error> {
    let Some(location) = headers.get(LOCATION).filter(|_| matches!(status.as_u16(), 301..=303 | 307 | 308))
    else {
        return Ok(None);
    };
    let text = location.to_str().map_err(|_| Error::Malformed("the target of the redirect is not a URL"))?;
    let target = url.join(text).map_err(|_| Error::Malformed("the target of the redirect is not a URL"))?;
    match (url.scheme(), target.scheme()) {
        ("https", "http") => Err(Error::InsecureRedirect),
        (_, "http" | "https") => Ok(Some(target)),
        (_, other) => Err(Error::UnsupportedScheme(other.into())),
    }
}

pub(crate) async fn body(mut incoming: Incoming, limit: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(data) = frame.map_err(hyper_error)?.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

pub(crate) fn hyper_error(error: hyper::Error) -> Error {
    if error.is_parse() {
        Error::Malformed("this is not HTTP")
    } else {
        Error::Io { doing: "exchange HTTP messages", source: std::io::Error::other(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirected(from: &str, status: u16, to: &str) -> Result<Option<String>, Error> {
        let headers = HeaderMap::from_iter([(LOCATION, to.parse().unwrap())]);
        let url = Url::parse(from).unwrap();
        redirect(&url, StatusCode::from_u16(status).unwrap(), &headers).map(|url| url.map(String::from))
    }

    #[test]
    fn a_redirect_may_be_relative_but_never_leaves_https() {
        let from = "http://a.example/x/announce?info_hash=%00";
        for (to, target) in [
            ("/y?z=%01", "http://a.example/y?z=%01"),
            ("announce.php", "http://a.example/x/announce.php"),
            ("//b.example/y", "http://b.example/y"),
            ("https://b.example/y", "https://b.example/y"),
        ] {
            for status in [301, 302, 303, 307, 308] {
                assert_eq!(redirected(from, status, to).unwrap().as_deref(), Some(target));
            }
        }
        assert!(matches!(redirected(from, 200, "/y"), Ok(None)));
        assert!(matches!(redirected(from, 304, "/y"), Ok(None)));
        assert!(matches!(
            redirected("https://a.example", 302, "http://a.example"),
            Err(Error::InsecureRedirect)
        ));
        assert!(matches!(redirected(from, 302, "file:///etc/passwd"), Err(Error::UnsupportedScheme(_))));
        assert!(matches!(redirected(from, 302, "http://"), Err(Error::Malformed(_))));
    }
}
