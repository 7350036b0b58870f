//! A certificate authority of the tests' own, and clients that trust it alone.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::rig::PATIENCE;

pub(crate) type Secure = StreamOwned<ClientConnection, TcpStream>;

/// Signs certificates.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// Writes `chain.pem` and `key.pem` for localhost; answers the certificate.
    pub(crate) fn issue(&self, folder: &Path) -> CertificateDer<'static> {
        self.issue_for(folder, &["localhost", "127.0.0.1", "::1"])
    }

    /// The same for other names and addresses.
    pub(crate) fn issue_for(&self, folder: &Path, names: &[&str]) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let made = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.join("chain.pem"), made.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        made.der().clone()
    }

    /// Its own certificate in PEM form, for those who shall trust it.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// How a client that trusts it alone speaks TLS, and which protocols it offers. Sessions are kept and resumed.
    pub(crate) fn trusted(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        trusting(self.issuer.der().clone(), protocols)
    }
}

/// How a client that trusts one authority alone speaks TLS.
pub(crate) fn trusting(authority: CertificateDer<'static>, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Connects and shakes hands with what is called localhost.
pub(crate) fn connect(client: &Arc<ClientConfig>, address: SocketAddr) -> std::io::Result<Secure> {
    connect_as(client, address, "localhost")
}

/// Connects and shakes hands with what has a name of its own.
pub(crate) fn connect_as(
    client: &Arc<ClientConfig>,
    address: SocketAddr,
    name: &str,
) -> std::io::Result<Secure> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    shake_hands(client, stream, name)
}

/// Shakes hands over a connection.
pub(crate) fn connect_over(client: &Arc<ClientConfig>, stream: TcpStream) -> std::io::Result<Secure> {
    shake_hands(client, stream, "localhost")
}

fn shake_hands(client: &Arc<ClientConfig>, mut stream: TcpStream, name: &str) -> std::io::Result<Secure> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(client), name).map_err(std::io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(connection, stream))
}
