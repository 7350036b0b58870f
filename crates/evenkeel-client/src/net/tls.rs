//! TLS with rustls; the roots are Mozilla's, compiled in, and whatever the caller adds.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use url::{Host, Url};

use crate::Error;

#[derive(Clone)]
pub(crate) struct Connector {
    inner: TlsConnector,
}

impl Connector {
    pub(crate) fn new(roots: Vec<CertificateDer<'static>>, builtin_roots: bool) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        if builtin_roots {
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for root in roots {
            store.add(root).map_err(|error| Error::Tls(error.to_string()))?;
        }
        // Named, not the process default: that one belongs to the program and may not be set.
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Tls(error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self { inner: TlsConnector::from(Arc::new(config)) })
    }

    pub(crate) async fn wrap(&self, url: &Url, stream: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
        let name = match url.host() {
            Some(Host::Ipv4(ip)) => ServerName::from(std::net::IpAddr::from(ip)),
            Some(Host::Ipv6(ip)) => ServerName::from(std::net::IpAddr::from(ip)),
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned())
                .map_err(|_| Error::InvalidUrl("the host is not a DNS name".into()))?,
            None => return Err(Error::InvalidUrl("no host".into())),
        };
        self.inner.connect(name, stream).await.map_err(error)
    }
}

/// What rustls refuses will be refused again; a broken connection may be whole next time.
fn error(error: io::Error) -> Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(refused) => Error::Tls(refused.to_string()),
        None => Error::Io { doing: "shake hands over TLS", source: error },
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
