//! TLS of the tracker's own: the certificate, from files or from an authority, and how it is exchanged while connections
//! run.

mod challenges;
mod expiry;
mod files;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

pub(crate) use self::challenges::{ALPN, Challenges, Showing};
pub(crate) use self::expiry::Validity;
use self::files::Files;
pub(crate) use self::files::{Renew, from_pem};
use crate::node::lock;

/// How often the log says again that something is wrong with the certificate.
const WARN_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no certificate in PEM form")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds no private key in PEM form: {source}")]
    NoKey { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("the key {key} and the certificate {certificate} cannot be used together: {source}")]
    Unusable { certificate: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// What the TLS port needs.
pub(crate) struct Tls {
    /// Shakes hands.
    pub acceptor: TlsAcceptor,
    /// What new connections are shown.
    pub shown: Arc<Shown>,
    /// Where it comes from; `None` if an authority issues it.
    files: Option<Files>,
}

/// The certificate that new connections are shown.
#[derive(Debug)]
pub(crate) struct Shown {
    provider: Arc<CryptoProvider>,
    /// None until an authority has issued one.
    current: ArcSwapOption<Certificate>,
    taken: AtomicU64,
    refused: AtomicU64,
    /// When the log last said that something is wrong.
    warned: Mutex<Option<SystemTime>>,
    /// What an authority wants to see.
    pub challenges: Challenges,
    /// Asks whoever gets certificates from an authority to try it now.
    pub hurry: Notify,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub key: Arc<CertifiedKey>,
    /// Unknown of one that only its clients can read.
    pub validity: Option<Validity>,
}

impl Tls {
    /// With the certificate of two files.
    pub(crate) fn of_files(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let files = Files::new(certificate, key);
        let tls = Self::new(Some(files), &[])?;
        if let Some(files) = &tls.files {
            tls.shown.show(files.read(&tls.shown.provider)?);
        }
        Ok(tls)
    }

    /// With a certificate that an authority has issued or will. Before there is one, no handshake succeeds.
    pub(crate) fn of_authority() -> Result<Self, Error> {
        Self::new(None, &[ALPN])
    }

    fn new(files: Option<Files>, protocols: &[&[u8]]) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Arc::new(Shown {
            provider: Arc::clone(&provider),
            current: ArcSwapOption::empty(),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            warned: Mutex::default(),
            challenges: Challenges::default(),
            hurry: Notify::new(),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.alpn_protocols.extend(protocols.iter().map(|name| name.to_vec()));
        // What resumes a session is in the ticket that the client keeps, under a key that changes every six hours:
        // nothing is kept here, and nothing grows. Early data stays off: it could be sent again by somebody else.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::Setup)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), shown, files })
    }

    /// Reads the files again if they have changed since, or in any case. What cannot be used changes nothing.
    pub(crate) fn renew(&self, when: Renew) {
        let Some(files) = &self.files else {
            if when == Renew::Always {
                self.shown.hurry.notify_one();
            }
            return;
        };
        if !files.are_due(when) {
            return;
        }
        match files.read(&self.shown.provider) {
            Ok(new) => {
                self.shown.take_over(new);
                tracing::info!(certificate = %files.certificate.display(), "the certificate is read again");
            }
            Err(error) => {
                self.shown.count_refused();
                tracing::error!("the certificate stays the old one: {error}");
            }
        }
    }
}

impl Shown {
    /// Shows a certificate to new connections.
    pub(crate) fn show(&self, certificate: Certificate) {
        self.current.store(Some(Arc::new(certificate)));
    }

    /// Shows one in place of the last one.
    pub(crate) fn take_over(&self, certificate: Certificate) {
        self.show(certificate);
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// What is shown.
    pub(crate) fn current(&self) -> Option<Arc<Certificate>> {
        self.current.load_full()
    }

    /// Reads what is shown to nobody yet.
    pub(crate) fn read(&self, pem: &[u8], path: &Path) -> Result<Certificate, Error> {
        from_pem((pem, path), (pem, path), &self.provider)
    }

    /// A certificate with its key for a challenge: it has a mark that no client of ours may understand, and is not looked
    /// at here.
    pub(crate) fn read_challenge(
        &self,
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Arc<CertifiedKey>, Error> {
        let key = self.provider.key_provider.load_private_key(key).map_err(Error::Setup)?;
        Ok(Arc::new(CertifiedKey::new(vec![certificate], key)))
    }

    /// Counts a certificate that could not be had.
    pub(crate) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a certificate was taken over, and could not be, since the start.
    pub(crate) fn renewals(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// What is wrong with the certificate, for people.
    pub(crate) fn trouble(&self, now: SystemTime) -> Option<String> {
        match self.current() {
            None => Some("there is no certificate for TLS yet".to_owned()),
            Some(certificate) => certificate.validity.as_ref()?.trouble(now),
        }
    }

    /// Says in the log what is wrong with the certificate: when it begins, and once a day.
    pub(crate) fn warn(&self, now: SystemTime) {
        let mut warned = lock(&self.warned);
        let Some(trouble) = self.trouble(now) else {
            *warned = None;
            return;
        };
        let is_told = warned.is_some_and(|at| now.duration_since(at).is_ok_and(|since| since < WARN_AGAIN));
        if !is_told {
            *warned = Some(now);
            tracing::warn!("{trouble}");
        }
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if challenges::is_challenge(&hello) {
            return self.challenges.certificate(hello.server_name()?);
        }
        self.current.load().as_ref().map(|certificate| Arc::clone(&certificate.key))
    }
}

#[cfg(test)]
mod tests;
