//! https and wss with a certificate of our own.

use std::sync::Arc;

use evenkeel_client::{Client, Error};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::server::TlsStream;

use crate::fake::{answer, ask, exchange, redirect};

struct Secure {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    certificate: rcgen::Certificate,
}

impl Secure {
    async fn bind(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), certificate: made.cert }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}/announce", self.listener.local_addr().unwrap())
    }

    async fn accept(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(self.listener.accept().await.unwrap().0).await
    }

    async fn announced(&self, client: Client, body: &[u8]) -> Result<(), Error> {
        let tracker = client.tracker(&self.url("https")).unwrap();
        let serve = async {
            if let Ok(stream) = self.accept().await {
                exchange(stream, body).await;
            }
        };
        let ask = ask();
        let (response, ()) = tokio::join!(tracker.announce(&ask), serve);
        response.map(drop)
    }
}

#[tokio::test]
async fn a_certificate_that_was_given_is_trusted() {
    let server = Secure::bind("127.0.0.1").await;
    let der = Client::builder().root_certificate_der(server.certificate.der().to_vec());
    let pem = Client::builder().root_certificates_pem(server.certificate.pem().as_bytes());
    for builder in [der, pem.without_builtin_roots()] {
        server.announced(builder.build().unwrap(), &answer(200, b"de")).await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_s_certificate_and_another_host_s_are_refused() {
    let server = Secure::bind("127.0.0.1").await;
    let error = server.announced(Client::new(), b"").await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)) && !error.is_retryable(), "{error:?}");
    let server = Secure::bind("tracker.example").await;
    let client = Client::builder().root_certificate_der(server.certificate.der().to_vec()).build().unwrap();
    let error = server.announced(client, b"").await.unwrap_err();
    assert!(matches!(error, Error::Tls(_)), "{error:?}");
}

#[tokio::test]
async fn https_is_never_left_for_http() {
    let server = Secure::bind("127.0.0.1").await;
    let client = Client::builder().root_certificate_der(server.certificate.der().to_vec()).build().unwrap();
    let error = server.announced(client, &redirect(302, "http://127.0.0.1:1/announce")).await.unwrap_err();
    assert!(matches!(error, Error::InsecureRedirect), "{error:?}");
}

#[tokio::test]
async fn what_is_not_a_certificate_is_refused_at_once() {
    let broken = b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    for builder in
        [Client::builder().root_certificate_der(*b"abc"), Client::builder().root_certificates_pem(broken)]
    {
        assert!(matches!(builder.build(), Err(Error::Tls(_))));
    }
}

#[tokio::test]
async fn wss_is_a_websocket_over_tls() {
    let server = Secure::bind("127.0.0.1").await;
    let client = Client::builder().root_certificate_der(server.certificate.der().to_vec()).build().unwrap();
    let tracker = client.tracker(&server.url("wss")).unwrap();
    let serve = async { crate::ws::answer_once(server.accept().await.unwrap()).await };
    let ask = ask();
    let (response, _) = tokio::join!(tracker.announce(&ask), serve);
    assert_eq!(response.unwrap().seeders, Some(1));
}
