//! What all questions have in common: addresses, time-outs, limits, certificates.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::net::tls;
use crate::{Error, Tracker, udp};

/// Which addresses of a tracker may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// All, in the order in which the resolver gives them.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Settings and UDP connection ids that several trackers share. Cheap to clone; clones share everything.
///
/// Must be used within a tokio runtime with I/O and time enabled.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    tls: tls::Connector,
    udp: udp::Idle,
}

/// Sets up a [`Client`]; made by [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    settings: Settings,
    roots: Vec<CertificateDer<'static>>,
    builtin_roots: bool,
    pem_error: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) family: Family,
    pub(crate) bind: Option<IpAddr>,
    pub(crate) user_agent: String,
    pub(crate) deadline: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) max_redirects: u32,
    pub(crate) max_answer_bytes: usize,
    pub(crate) udp_first_timeout: Duration,
    pub(crate) udp_tries: u32,
}

impl Client {
    /// A client with the defaults of [`ClientBuilder`].
    pub fn new() -> Self {
        Self::builder().build().expect("the built-in certificates are valid")
    }

    /// Starts from the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            settings: Settings {
                family: Family::Any,
                bind: None,
                user_agent: concat!("evenkeel-client/", env!("CARGO_PKG_VERSION")).into(),
                deadline: None,
                connect_timeout: Duration::from_secs(10),
                request_timeout: Duration::from_secs(30),
                max_redirects: 5,
                max_answer_bytes: 1024 * 1024,
                udp_first_timeout: Duration::from_secs(15),
                udp_tries: 9,
            },
            roots: Vec::new(),
            builtin_roots: true,
            pem_error: None,
        }
    }

    /// The tracker at an announce URL. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUrl`] and [`Error::UnsupportedScheme`].
    pub fn tracker(&self, announce_url: &str) -> Result<Tracker, Error> {
        Tracker::with_client(self.clone(), announce_url)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn tls(&self) -> &tls::Connector {
        &self.inner.tls
    }

    pub(crate) fn udp(&self) -> &udp::Idle {
        &self.inner.udp
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientBuilder {
    /// Which addresses of a tracker may be used; default [`Family::Any`].
    pub fn family(mut self, family: Family) -> Self {
        self.settings.family = family;
        self
    }

    /// Sends from this local address; tracker addresses of the other family are then not used. Default: the
    /// system chooses.
    pub fn bind(mut self, address: IpAddr) -> Self {
        self.settings.bind = Some(address);
        self
    }

    /// The `User-Agent` of HTTP and WebSocket requests; default `evenkeel-client/` and the version.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.settings.user_agent = user_agent.into();
        self
    }

    /// Bounds one announce or one scrape as a whole, name resolution, redirects and all tries included, in
    /// every dialect. Default: none, which over UDP means up to two hours of tries.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = Some(deadline);
        self
    }

    /// Time for one TCP connection and its TLS handshake; each address of the tracker gets as much. Default
    /// 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout = timeout;
        self
    }

    /// Time for one HTTP request with all its redirects, or for one answer over a WebSocket. Default 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.request_timeout = timeout;
        self
    }

    /// Most HTTP redirects that are followed; default 5, and 0 follows none. A WebSocket follows none.
    pub fn max_redirects(mut self, redirects: u32) -> Self {
        self.settings.max_redirects = redirects;
        self
    }

    /// Longest HTTP body or WebSocket message that is read, in bytes; default 1 MiB.
    pub fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_answer_bytes = bytes;
        self
    }

    /// Time to wait for the first UDP answer; try *n*, counted from 0, waits 2^*n* times as long. Default 15 s
    /// (BEP 15).
    pub fn udp_first_timeout(mut self, timeout: Duration) -> Self {
        self.settings.udp_first_timeout = timeout;
        self
    }

    /// How often a UDP request is sent before [`Error::Timeout`]; default 9, the last of which waits 3,840 s
    /// (BEP 15). 0 counts as 1. An address that the system calls unreachable is not tried again, and when none
    /// is left the answer is [`Error::Io`] at once.
    pub fn udp_tries(mut self, tries: u32) -> Self {
        self.settings.udp_tries = tries.max(1);
        self
    }

    /// Trusts one more certificate authority (or a self-signed certificate), in DER form.
    pub fn root_certificate_der(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(CertificateDer::from(der.into()));
        self
    }

    /// Trusts the certificate authorities of a PEM file. Text between them is skipped; [`Self::build`]
    /// reports what cannot be read.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Self {
        for root in CertificateDer::pem_slice_iter(pem) {
            match root {
                Ok(root) => self.roots.push(root),
                Err(error) => self.pem_error = Some(error.to_string()),
            }
        }
        self
    }

    /// Does not trust the authorities of Mozilla's list, which are compiled in: only those given here.
    pub fn without_builtin_roots(mut self) -> Self {
        self.builtin_roots = false;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] for a certificate that cannot be read, [`Error::InvalidRequest`] for a user agent that
    /// no header may hold.
    pub fn build(self) -> Result<Client, Error> {
        if let Some(error) = self.pem_error {
            return Err(Error::Tls(error));
        }
        if http::HeaderValue::from_str(&self.settings.user_agent).is_err() {
            return Err(Error::InvalidRequest("the user agent has characters that a header may not hold"));
        }
        let tls = tls::Connector::new(self.roots, self.builtin_roots)?;
        Ok(Client { inner: Arc::new(Inner { settings: self.settings, tls, udp: udp::Idle::default() }) })
    }
}
