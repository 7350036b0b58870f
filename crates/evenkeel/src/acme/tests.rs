use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;
use crate::config::Config;
use crate::tls::Tls;

#[test]
fn a_certificate_is_due_at_two_thirds_of_its_life_or_a_little_sooner() {
    let day = Duration::from_secs(24 * 3600);
    let begins = SystemTime::UNIX_EPOCH + day * 20_000;
    let validity = Validity { begins, ends: begins + day * 90 };
    assert_eq!(due(&validity, 0.0), begins + day * 60);
    assert_eq!(due(&validity, 1.0), begins + day * 57);
}

#[test]
fn pauses_double_up_to_a_bound_and_are_as_long_as_asked_for() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let in_turn: Vec<_> = (1..=9).map(|failures| pause(failures, None, 0.5)).collect();
    let expected = [2, 4, 8, 16, 32, 64, 128, 256, 360].map(minutes);
    assert_eq!(in_turn, expected);
    assert_eq!(pause(u32::MAX, None, 0.5), PAUSE_MAX);
    assert!(pause(1, None, 0.0) < pause(1, None, 1.0));
    assert_eq!(pause(1, Some(minutes(90)), 0.0), minutes(90));
    assert_eq!(pause(9, Some(minutes(90)), 0.5), minutes(360), "a shorter one shortens nothing");
    assert_eq!(pause(1, Some(Duration::MAX), 0.0), ASKED_PAUSE_MAX);
}

/// An authority that opens accounts, and then refuses every order for an hour and a half.
struct Busy {
    acceptor: TlsAcceptor,
    listener: TcpListener,
    accounts: AtomicU32,
}

impl Busy {
    /// With its certificate, in PEM form.
    async fn new() -> (Arc<Self>, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (Arc::new(Self { acceptor, listener, accounts: AtomicU32::new(0) }), made.cert.pem())
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.listener.local_addr().unwrap().port())
    }

    async fn serve(self: Arc<Self>) {
        loop {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut stream = self.acceptor.accept(stream).await.unwrap();
            let mut asked = Vec::new();
            while !is_whole(&asked) {
                assert_ne!(stream.read_buf(&mut asked).await.unwrap(), 0);
            }
            let target = String::from_utf8_lossy(&asked).split(' ').nth(1).unwrap().to_owned();
            let (status, header, body) = self.answer(&target);
            let head = format!(
                "HTTP/1.1 {status}\r\nReplay-Nonce: bm9uY2U\r\n{header}Connection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
    }

    fn answer(&self, target: &str) -> (&str, &str, String) {
        let url = self.url();
        match target {
            "/directory" => {
                let places = [("newNonce", "nonce"), ("newAccount", "account"), ("newOrder", "order")];
                let places = places.map(|(name, place)| format!("{name:?}:\"{url}/{place}\""));
                ("200 OK", "", format!("{{{}}}", places.join(",")))
            }
            "/nonce" => ("200 OK", "", String::new()),
            "/account" => {
                self.accounts.fetch_add(1, Ordering::Relaxed);
                (
                    "201 Created",
                    "Location: https://localhost/account/1\r\n",
                    "{\"status\":\"valid\"}".to_owned(),
                )
            }
            _ => {
                let told = "{\"type\":\"urn:ietf:params:acme:error:rateLimited\",\"detail\":\"too many\"}";
                ("429 Too Many Requests", "Retry-After: 5400\r\n", told.to_owned())
            }
        }
    }
}

/// Whether a request is there with its body.
fn is_whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= len.map_or(0, |len| len.parse().unwrap())
}

#[tokio::test]
async fn an_authority_that_has_enough_of_us_says_for_how_long() {
    let (busy, pem) = Busy::new().await;
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("root.pem");
    std::fs::write(&roots, pem).unwrap();
    let mut settings = Config::default().acme;
    settings.domains = vec!["tracker.example.org".to_owned()];
    settings.directory_url = format!("{}/directory", busy.url());
    settings.certificate_authority_file = Some(roots);
    let serving = tokio::spawn(Arc::clone(&busy).serve());
    let shown = Tls::of_authority().unwrap().shown;
    // The second time is after a restart: the account is there already.
    for _ in 0..2 {
        let mut renewer = Renewer::new(&settings, folder.path().to_owned(), Arc::clone(&shown), 1).unwrap();
        let failure = renewer.renew().await.unwrap_err().to_string();
        assert!(failure.contains("too many"), "{failure}");
        assert_eq!(renewer.web.take_asked_pause(), Some(Duration::from_secs(5400)));
        assert_eq!(renewer.web.take_asked_pause(), None, "it holds for one pause");
    }
    assert_eq!(busy.accounts.load(Ordering::Relaxed), 1);
    serving.abort();
}
