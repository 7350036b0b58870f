//! Connections of a load, with TLS or without.
//!
//! All servers are asked for the same: TLS 1.3, one cipher suite and one group for the exchange of keys, which each of them
//! knows. So they do the same work, however else they would choose. The generator believes any certificate and leaves
//! its signature unchecked: that is the client's work, which would only make the generator slower than it need be.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{ClientSessionMemoryCache, Resumption};
use tokio_rustls::rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use tokio_rustls::rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, SignatureScheme,
};

/// Sessions that one place of a load remembers: its connections come one after the other.
const SESSIONS: usize = 8;

/// How connections shake hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Handshakes {
    /// As if the server had never been met.
    Full,
    /// With the session of the connection before, where there was one.
    Resumed,
}

/// What connections are wrapped in: nothing, or TLS with what each place of the load remembers.
pub(crate) struct Guard {
    places: Vec<Arc<ClientConfig>>,
}

impl Guard {
    pub(crate) fn new(handshakes: Option<Handshakes>, places: usize) -> anyhow::Result<Self> {
        let config = || -> anyhow::Result<ClientConfig> {
            let provider = CryptoProvider {
                cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
                kx_groups: vec![kx_group::X25519],
                ..aws_lc_rs::default_provider()
            };
            let algorithms = provider.signature_verification_algorithms;
            Ok(ClientConfig::builder_with_provider(Arc::new(provider))
                .with_protocol_versions(&[&TLS13])?
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Credulous(algorithms)))
                .with_no_client_auth())
        };
        let places = match handshakes {
            None => Vec::new(),
            Some(Handshakes::Full) => {
                let mut config = config()?;
                config.resumption = Resumption::disabled();
                let config = Arc::new(config);
                (0..places).map(|_| config.clone()).collect()
            }
            Some(Handshakes::Resumed) => {
                let first = config()?;
                let alone = |_| {
                    let mut config = first.clone();
                    let sessions = Arc::new(ClientSessionMemoryCache::new(SESSIONS));
                    config.resumption = Resumption::store(sessions);
                    Arc::new(config)
                };
                (0..places).map(alone).collect()
            }
        };
        Ok(Self { places })
    }

    /// Wraps a connection of a place. The handshake goes on whenever it is read or written.
    pub(crate) fn wrap(&self, place: usize, tcp: TcpStream) -> anyhow::Result<Guarded> {
        let Some(config) = self.places.get(place) else { return Ok(Guarded { tcp, session: None }) };
        let name = ServerName::try_from("localhost").context("a name")?;
        let session = ClientConnection::new(config.clone(), name)?;
        Ok(Guarded { tcp, session: Some(Box::new(session)) })
    }
}

/// A connection that blocks or does not, as its socket does.
#[derive(Debug)]
pub(crate) struct Guarded {
    tcp: TcpStream,
    session: Option<Box<ClientConnection>>,
}

impl Guarded {
    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// Whether it speaks TLS: then fewer bytes than there was room for do not mean that no more are there.
    pub(crate) fn is_secure(&self) -> bool {
        self.session.is_some()
    }

    /// Whether the handshake, once it is over, went on with an earlier session.
    pub(crate) fn is_resumed(&self) -> Option<bool> {
        let kind = self.session.as_ref()?.handshake_kind()?;
        Some(kind == HandshakeKind::Resumed)
    }

    /// No more will be written.
    pub(crate) fn shut(&mut self) -> io::Result<()> {
        if let Some(session) = &mut self.session {
            session.send_close_notify();
            send(session, &mut self.tcp)?;
        }
        self.tcp.shutdown(Shutdown::Write)
    }
}

impl Read for Guarded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.tcp.read(buf) };
        loop {
            send(session, &mut self.tcp)?;
            match session.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Many servers end without a word, once all is said.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                done => return done,
            }
            session.read_tls(&mut self.tcp)?;
            session.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Write for Guarded {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.tcp.write_vectored(bufs) };
        // What is taken waits for the handshake, if need be.
        let taken = session.writer().write_vectored(bufs)?;
        send(session, &mut self.tcp)?;
        if taken == 0 && bufs.iter().any(|buf| !buf.is_empty()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Guarded {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp.as_fd()
    }
}

/// Sends what there is room for; the rest goes out when the system says that there is some.
fn send(session: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(tcp) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Believes anybody.
#[derive(Debug)]
struct Credulous(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
