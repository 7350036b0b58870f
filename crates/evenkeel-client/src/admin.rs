//! How one manages a tracker of this project: rows of users, torrents, keys, lists and tokens over the API of its admin
//! port.
//!
//! Rows go in and come out as JSON; the API describes their fields at `openapi.json`.
//!
//! ```
//! use evenkeel_client::Client;
//! use evenkeel_client::admin::{Admin, Error};
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let url = format!("http://{}/api/v1", listener.local_addr()?);
//! # tokio::spawn(async move {
//! #     let answers = [
//! #         ("201 Created", r#"{"id": 1, "passkey": "0123456789abcdef0123456789abcdef"}"#),
//! #         ("409 Conflict", r#"{"code": "taken", "message": "another row has this already", "field": "name"}"#),
//! #     ];
//! #     for (status, body) in answers {
//! #         let (mut stream, _) = listener.accept().await.unwrap();
//! #         let mut request = Vec::new();
//! #         while !request.ends_with(br#"{"name":"ann"}"#) {
//! #             request.push(stream.read_u8().await.unwrap());
//! #         }
//! #         assert!(request.starts_with(b"POST /api/v1/users HTTP/1.1\r\n"));
//! #         let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
//! #         stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
//! #     }
//! # });
//! let admin = Admin::new(Client::new(), &url, "the token")?;
//! let ann = serde_json::json!({ "name": "ann" });
//! let made = admin.make("users", &ann).await?;
//! println!("her passkey, shown this once: {}", made["passkey"]);
//!
//! let Err(Error::Refused(refusal)) = admin.make("users", &ann).await else { panic!("there is one already") };
//! assert_eq!((refusal.code.as_str(), refusal.field.as_deref()), ("taken", Some("name")));
//! # Ok(())
//! # }
//! ```

use std::fmt;

use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;
use url::{Position, Url};

use crate::{Client, http as web, net};

/// The API of a tracker, and a token for it. `Debug` prints stars for the token.
#[derive(Clone)]
pub struct Admin {
    client: Client,
    /// Ends with a slash.
    base: Url,
    authorisation: HeaderValue,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing that can be understood came back.
    #[error(transparent)]
    Client(#[from] crate::Error),
    /// The API refused.
    #[error("{0}")]
    Refused(Refusal),
}

/// What the API says when it refuses. Nothing was changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    #[serde(skip)]
    pub status: u16,
    /// One word, for programs.
    pub code: String,
    /// A sentence, for people.
    pub message: String,
    /// The field that cannot be taken.
    pub field: Option<String>,
    /// Which of the rows that were sent, from 0.
    pub row: Option<usize>,
    /// Each row that cannot be taken, where many were sent.
    #[serde(default)]
    pub rows: Vec<Self>,
}

/// The first lines are enough to see what is wrong with a list.
const ROWS_SHOWN: usize = 20;

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(f, "row {row}: ")?;
        }
        f.write_str(&self.message)?;
        if let Some(field) = self.field.as_deref().filter(|field| !self.message.contains(*field)) {
            write!(f, ": {field}")?;
        }
        for row in self.rows.iter().take(ROWS_SHOWN) {
            write!(f, "\n  {row}")?;
        }
        match self.rows.len().saturating_sub(ROWS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Rows, and where to go on.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// As JSON.
    pub rows: Vec<Value>,
    /// What to give as `after` for the next page; `None` after the last one.
    pub next: Option<i64>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("base", &self.base.as_str())
            .field("token", &"***")
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// The API at a URL such as `http://127.0.0.1:6971/api/v1`; one without a path means that path. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidUrl`], [`crate::Error::UnsupportedScheme`], and [`crate::Error::InvalidRequest`] for a token
    /// that no header may hold.
    pub fn new(client: Client, url: &str, token: &str) -> Result<Self, crate::Error> {
        let url = format!("{}/", url.trim_end_matches('/'));
        let mut base = Url::parse(&url).map_err(|error| crate::Error::InvalidUrl(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(crate::Error::UnsupportedScheme(base.scheme().to_owned()));
        }
        if base.path() == "/" {
            base.set_path("/api/v1/");
        }
        let mut authorisation = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            crate::Error::InvalidRequest("the token has characters that a header may not hold")
        })?;
        authorisation.set_sensitive(true);
        Ok(Self { client, base, authorisation })
    }

    /// Rows of a kind (`users`) with larger ids than `after`, at most `limit`.
    ///
    /// # Errors
    ///
    /// See [`Error`]; so do all others.
    pub async fn list(&self, kind: &str, after: i64, limit: u32) -> Result<Page, Error> {
        let page = self.ask(Method::GET, &format!("{kind}?after={after}&limit={limit}"), None).await?;
        serde_json::from_value(page).map_err(|_| not_understood())
    }

    /// The row of a kind with a name or an info hash (`field`) that only one has.
    pub async fn find(&self, kind: &str, field: &str, value: &str) -> Result<Option<Value>, Error> {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair(field, value).finish();
        let page = self.ask(Method::GET, &format!("{kind}?{query}"), None).await?;
        let page: Page = serde_json::from_value(page).map_err(|_| not_understood())?;
        Ok(page.rows.into_iter().next())
    }

    /// One row.
    pub async fn show(&self, kind: &str, id: i64) -> Result<Value, Error> {
        self.ask(Method::GET, &format!("{kind}/{id}"), None).await
    }

    /// Makes a row of an object, or many of a list: all or none. What is told of them holds their secrets, this once.
    pub async fn make(&self, kind: &str, rows: &Value) -> Result<Value, Error> {
        self.ask(Method::POST, kind, Some(rows)).await
    }

    /// Changes the fields of a row that are given; answers the row.
    pub async fn change(&self, kind: &str, id: i64, fields: &Value) -> Result<Value, Error> {
        self.ask(Method::PATCH, &format!("{kind}/{id}"), Some(fields)).await
    }

    /// Removes a row.
    pub async fn remove(&self, kind: &str, id: i64) -> Result<(), Error> {
        self.ask(Method::DELETE, &format!("{kind}/{id}"), None).await.map(drop)
    }

    /// Gives a user a new passkey; the answer holds it.
    pub async fn replace_passkey(&self, user: i64) -> Result<Value, Error> {
        self.ask(Method::POST, &format!("users/{user}/passkey"), Some(&json!({}))).await
    }

    /// Holds a user at a tier, 0 to 3, or at none any more; answers the row.
    pub async fn pin_tier(&self, user: i64, tier: Option<u8>) -> Result<Value, Error> {
        self.ask(Method::PUT, &format!("users/{user}/tier"), Some(&json!({ "tier": tier }))).await
    }

    /// What rationing does, as the tracker measures it.
    pub async fn equilibrium(&self) -> Result<Value, Error> {
        self.ask(Method::GET, "equilibrium", None).await
    }

    /// The figures of a torrent for each hour or day, oldest first.
    pub async fn history(&self, torrent: i64, by_hour: bool) -> Result<Vec<Value>, Error> {
        let by = if by_hour { "hour" } else { "day" };
        let mut told = self.ask(Method::GET, &format!("torrents/{torrent}/history?by={by}"), None).await?;
        serde_json::from_value(told["rows"].take()).map_err(|_| not_understood())
    }

    /// Makes a torrent of a `.torrent` file; answers its row.
    pub async fn upload(&self, file: Vec<u8>) -> Result<Value, Error> {
        let body = ("application/x-bittorrent", file.into());
        let answer = self.send(Method::POST, "torrents/file", body).await?;
        serde_json::from_slice(&answer).map_err(|_| not_understood())
    }

    /// The `.torrent` file of a torrent; with somebody's passkey in its announce URL, or without any.
    pub async fn download(&self, torrent: i64, passkey: Option<&str>) -> Result<Vec<u8>, Error> {
        let path = format!("torrents/{torrent}/file");
        match passkey {
            None => self.send(Method::GET, &path, ("application/json", Bytes::new())).await,
            Some(passkey) => {
                let whose = json!({ "passkey": passkey }).to_string();
                self.send(Method::POST, &path, ("application/json", whose.into())).await
            }
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Error> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let answer = self.send(method, path, ("application/json", body)).await?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).map_err(|_| not_understood())
    }

    /// Sends a body of a media type; answers the body that comes back.
    async fn send(&self, method: Method, path: &str, body: (&str, Bytes)) -> Result<Vec<u8>, Error> {
        let limit = self.client.settings().request_timeout;
        timeout(limit, self.exchange(method, path, body)).await.unwrap_or(Err(crate::Error::Timeout.into()))
    }

    async fn exchange(&self, method: Method, path: &str, body: (&str, Bytes)) -> Result<Vec<u8>, Error> {
        let url = self.base.join(path).map_err(|error| crate::Error::InvalidUrl(error.to_string()))?;
        let stream = net::connect(&self.client, &url, url.scheme() == "https").await?;
        let (mut sender, connection) =
            http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(web::hyper_error)?;
        let request = Request::builder()
            .method(method)
            .uri(&url[Position::BeforePath..Position::AfterQuery])
            .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
            .header(USER_AGENT, self.client.settings().user_agent.as_str())
            .header(AUTHORIZATION, self.authorisation.clone())
            .header(CONTENT_TYPE, body.0)
            .header(CONNECTION, "close")
            .body(Full::new(body.1))
            .map_err(|error| crate::Error::InvalidUrl(error.to_string()))?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(web::hyper_error)?;
            self.read(response).await
        };
        tokio::pin!(answered, connection);
        tokio::select! {
            biased;
            result = &mut answered => result,
            _ = &mut connection => answered.await,
        }
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Vec<u8>, Error> {
        let status = response.status();
        let body = web::body(response.into_body(), self.client.settings().max_answer_bytes).await?;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => Err(Error::Refused(Refusal { status: status.as_u16(), ..refusal })),
            Err(_) => Err(crate::Error::Status { code: status.as_u16(), reason: None }.into()),
        }
    }
}

fn not_understood() -> Error {
    crate::Error::Malformed("this is not the API of an evenkeel").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_read_by_people_too() {
        let refusal: Refusal = serde_json::from_value(json!({
            "code": "invalid", "message": "2 rows cannot be taken, so none is", "field": null,
            "rows": [
                { "code": "invalid", "message": "name must be a text", "field": "name", "row": 1 },
                { "code": "unknown_field", "message": "there is no such field", "field": "nmae", "row": 4 }
            ]
        }))
        .unwrap();
        let expected = "2 rows cannot be taken, so none is\n  row 1: name must be a text\n  \
                        row 4: there is no such field: nmae";
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn a_url_without_a_path_means_that_of_the_api() {
        let base = |url: &str| Admin::new(Client::new(), url, "sesame").unwrap().base;
        for url in [
            "http://127.0.0.1:1",
            "http://127.0.0.1:1/",
            "http://127.0.0.1:1/api/v1",
            "http://127.0.0.1:1/api/v1/",
        ] {
            assert_eq!(base(url).as_str(), "http://127.0.0.1:1/api/v1/");
        }
        assert_eq!(
            base("https://example.org/tracker/api").path(),
            "/tracker/api/",
            "behind a proxy it may be anywhere"
        );
    }

    #[test]
    fn the_token_is_in_no_debug_text() {
        let admin = Admin::new(Client::new(), "http://127.0.0.1:1/api/v1", "sesame").unwrap();
        assert!(!format!("{admin:?}").contains("sesame"));
        assert!(Admin::new(Client::new(), "http://127.0.0.1:1", "a\nb").is_err());
        assert!(Admin::new(Client::new(), "ftp://127.0.0.1:1", "a").is_err());
    }
}
