//! TLS of the tracker's own: the certificate, and how it is exchanged while connections run.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ServerConfig};

use crate::node::lock;

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
    certificate: Arc<Certificate>,
}

/// The certificate that new connections are shown, and the files that it comes from.
#[derive(Debug)]
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    /// What the files were when they were last read.
    seen: Mutex<Stamps>,
    taken: AtomicU64,
    refused: AtomicU64,
}

/// Tells two states of the files apart; a file that is missing has none.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

impl Tls {
    /// With the certificate of two files.
    pub(crate) fn new(certificate: &Path, key: &Path) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let seen = stamps(certificate, key);
        let current = read(certificate, key, &provider)?;
        let certificate = Arc::new(Certificate {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider: Arc::clone(&provider),
            current: ArcSwap::from_pointee(current),
            seen: Mutex::new(seen),
            taken: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // What resumes a session is in the ticket that the client keeps, under a key that changes every six hours:
        // nothing is kept here, and nothing grows. Early data stays off: it could be sent again by somebody else.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(Error::Setup)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Reads the files again if they have changed since, or in any case. What cannot be used changes nothing.
    pub(crate) fn renew(&self, when: Renew) {
        let own = &self.certificate;
        let now = stamps(&own.certificate, &own.key);
        let mut seen = lock(&own.seen);
        if when == Renew::IfChanged && *seen == now {
            return;
        }
        // Looked at before they are read: a change on the way is seen the next time.
        *seen = now;
        match read(&own.certificate, &own.key, &own.provider) {
            Ok(new) => {
                own.current.store(Arc::new(new));
                own.taken.fetch_add(1, Ordering::Relaxed);
                tracing::info!(certificate = %own.certificate.display(), "the certificate is read again");
            }
            Err(error) => {
                own.refused.fetch_add(1, Ordering::Relaxed);
                tracing::error!("the certificate stays the old one: {error}");
            }
        }
    }

    /// How often files were taken over, and refused, since the start.
    pub(crate) fn renewals(&self) -> (u64, u64) {
        let Certificate { taken, refused, .. } = &*self.certificate;
        (taken.load(Ordering::Relaxed), refused.load(Ordering::Relaxed))
    }
}

/// When the files of a certificate are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renew {
    /// Whatever they look like.
    Always,
    /// If they look different.
    IfChanged,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn read(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
    let bytes = |path: &Path| fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source });
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(certificate)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| Error::NoCertificate { path: certificate.to_owned() })?;
    let secret = PrivateKeyDer::from_pem_slice(&bytes(key)?)
        .map_err(|source| Error::NoKey { path: key.to_owned(), source })?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|source| Error::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    let stamp = |file: Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
    [certificate, key].map(|path| fs::metadata(path).ok().map(stamp))
}

#[cfg(test)]
mod tests;
