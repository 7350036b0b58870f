//! Requests to the authority: https alone, one connection for each, with a bound for time and size.

use std::error::Error as StdError;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use http::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Error;
use crate::node::lock;

/// A request that takes longer has failed.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// A certificate with its chain has some KiB.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

type AnyError = Box<dyn StdError + Send + Sync>;

/// Why the authority was not reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {host}: {source}")]
struct Unreachable {
    doing: &'static str,
    host: String,
    source: AnyError,
}

/// Asks the authority.
#[derive(Clone)]
pub(super) struct Web {
    connector: TlsConnector,
    /// For how long it said that it wants to be left alone, when it last refused something.
    asked_pause: Arc<Mutex<Option<Duration>>>,
}

impl Web {
    /// Trusts the authorities that browsers trust, and those of a file.
    pub(super) fn new(own: Option<&Path>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = own {
            let unusable = |source: AnyError| Error::Roots { path: path.to_owned(), source };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.into()))? {
                let certificate = certificate.map_err(|error| unusable(error.into()))?;
                roots.add(certificate).map_err(|error| unusable(error.into()))?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(Error::Setup)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), asked_pause: Arc::default() })
    }

    /// What the authority asked for since this was last asked.
    pub(super) fn take_asked_pause(&self) -> Option<Duration> {
        lock(&self.asked_pause).take()
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, AnyError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let answered = timeout(REQUEST_WITHIN, exchange(&self.connector, request)).await;
        let response = answered.unwrap_or_else(|late| {
            Err(Unreachable { doing: "wait any longer for", host, source: late.into() })
        })?;
        if !response.status().is_success() {
            let asked =
                response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
            *lock(&self.asked_pause) = asked;
        }
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let asking = self.clone().ask(request);
        Box::pin(async move { asking.await.map_err(instant_acme::Error::Other) })
    }
}

async fn exchange(
    connector: &TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Unreachable> {
    let (host, authority, target) = parts(request.uri());
    let failed = |doing, source: AnyError| Unreachable { doing, host: host.clone(), source };
    if request.uri().scheme_str() != Some("https") {
        return Err(failed("trust", "it is not asked over https".into()));
    }
    let port = request.uri().port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.clone()).map_err(|error| failed("name", error.into()))?;
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let stream = stream.map_err(|error| failed("connect to", error.into()))?;
    let stream =
        connector.connect(name, stream).await.map_err(|error| failed("shake hands with", error.into()))?;
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| failed("speak to", error.into()))?;
    *request.uri_mut() = target;
    request.headers_mut().insert(HOST, authority);
    request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| failed("ask", error.into()))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed("read the answer of", error))?;
        Ok(Response::from_parts(parts, Full::new(body.to_bytes())))
    };
    // The connection is driven here: dropping this future drops it as well. It may end before the body is read, because
    // what was received is already in the body's hands.
    tokio::pin!(answered, connection);
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        _ = &mut connection => answered.await,
    }
}

/// The host without brackets, host and port as they stand in the URL, and what is asked for there.
fn parts(uri: &Uri) -> (String, HeaderValue, Uri) {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let target = uri.path_and_query().map_or_else(Uri::default, |target| Uri::from(target.clone()));
    (host, HeaderValue::from_str(authority).unwrap_or(HeaderValue::from_static("")), target)
}

/// Seconds, or a date.
fn retry_after(value: &str) -> Option<Duration> {
    if let Ok(secs) = value.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_told_in_seconds_or_as_a_date() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3600));
        let told = retry_after(&date).unwrap();
        assert!(told > Duration::from_secs(3500) && told <= Duration::from_secs(3600), "{told:?}");
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(retry_after("soon"), None);
    }
}
