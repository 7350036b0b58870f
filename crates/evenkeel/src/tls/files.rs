//! A certificate from two files, which may change while the program runs.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::{Certificate, Error, Validity};
use crate::node::lock;

/// Where a certificate and its key are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    key: PathBuf,
    /// What the files were when they were last read.
    seen: Mutex<Stamps>,
}

/// Tells two states of the files apart; a file that is missing has none.
type Stamps = [Option<(u64, u64, i64, i64)>; 2];

/// When the files of a certificate are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renew {
    /// Whatever they look like.
    Always,
    /// If they look different.
    IfChanged,
}

impl Files {
    pub(super) fn new(certificate: &Path, key: &Path) -> Self {
        let seen = Mutex::new(stamps(certificate, key));
        Self { certificate: certificate.to_owned(), key: key.to_owned(), seen }
    }

    /// Whether they are to be read now. Looked at before they are read: a change on the way is seen the next time.
    pub(super) fn are_due(&self, when: Renew) -> bool {
        let now = stamps(&self.certificate, &self.key);
        let mut seen = lock(&self.seen);
        let is_changed = *seen != now;
        *seen = now;
        is_changed || when == Renew::Always
    }

    pub(super) fn read(&self, provider: &CryptoProvider) -> Result<Certificate, Error> {
        let bytes =
            |path: &Path| fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source });
        let (chain, key) = (bytes(&self.certificate)?, bytes(&self.key)?);
        from_pem((&chain, &self.certificate), (&key, &self.key), provider)
    }
}

/// Reads a certificate and its key from two texts, which may be the same; says where they come from if it cannot.
pub(crate) fn from_pem(
    (chain, certificate): (&[u8], &Path),
    (secret, key): (&[u8], &Path),
    provider: &CryptoProvider,
) -> Result<Certificate, Error> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| Error::NoCertificate { path: certificate.to_owned() })?;
    let secret = PrivateKeyDer::from_pem_slice(secret)
        .map_err(|source| Error::NoKey { path: key.to_owned(), source })?;
    let validity = Validity::of(&chain[0]);
    let pair = CertifiedKey::from_der(chain, secret, provider).map_err(|source| Error::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    Ok(Certificate { key: Arc::new(pair), validity })
}

fn stamps(certificate: &Path, key: &Path) -> Stamps {
    let stamp = |file: Metadata| (file.ino(), file.len(), file.mtime(), file.mtime_nsec());
    [certificate, key].map(|path| fs::metadata(path).ok().map(stamp))
}
