//! What an authority wants to see before it believes that a name is ours: a text on the plain port (HTTP-01, RFC 8555) or a
//! certificate on the TLS port (TLS-ALPN-01, RFC 8737).

use std::sync::{Arc, Mutex};

use tokio_rustls::rustls::server::ClientHello;
use tokio_rustls::rustls::sign::CertifiedKey;

use crate::node::lock;

/// Who agrees on this protocol wants to see the certificate of a challenge, and says nothing more.
pub(crate) const ALPN: &[u8] = b"acme-tls/1";

/// What is shown while an order runs; nothing else the rest of the time.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    /// Tokens and their texts.
    texts: Mutex<Vec<(String, String)>>,
    /// Names and their certificates.
    certificates: Mutex<Vec<(String, Arc<CertifiedKey>)>>,
}

/// Ends what is shown, however an order ends.
pub(crate) struct Showing<'a>(&'a Challenges);

impl Challenges {
    /// Begins an order, of which there is one at a time.
    pub(crate) fn begin(&self) -> Showing<'_> {
        Showing(self)
    }

    /// The text for a token, if there is one.
    pub(crate) fn text(&self, token: &[u8]) -> Option<String> {
        let texts = lock(&self.texts);
        texts.iter().find(|(known, _)| known.as_bytes() == token).map(|(_, text)| text.clone())
    }

    /// The certificate for a name, if there is one.
    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = lock(&self.certificates);
        certificates.iter().find(|(known, _)| known == name).map(|(_, key)| Arc::clone(key))
    }
}

impl Showing<'_> {
    pub(crate) fn add_text(&self, token: String, text: String) {
        lock(&self.0.texts).push((token, text));
    }

    pub(crate) fn add_certificate(&self, name: String, certificate: Arc<CertifiedKey>) {
        lock(&self.0.certificates).push((name, certificate));
    }
}

impl Drop for Showing<'_> {
    fn drop(&mut self) {
        lock(&self.0.texts).clear();
        lock(&self.0.certificates).clear();
    }
}

/// An authority offers this protocol and no other.
pub(super) fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|protocols| protocols.eq([ALPN]))
}
