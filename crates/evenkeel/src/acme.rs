//! Certificates from an authority that issues them by itself (ACME, RFC 8555), such as Let's Encrypt: the first one, and one
//! in its place long before it ends. While the authority is away the old one stays.

mod kept;
mod order;
mod web;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{Account, AccountCredentials, NewAccount};
use tokio::time::{Instant, sleep, timeout};

use self::kept::Kept;
use self::order::Failure;
use self::web::Web;
use crate::config;
use crate::tls::{Certificate, Shown, Validity};

/// An order that takes longer has failed.
const ORDER_WITHIN: Duration = Duration::from_secs(600);
/// The pause after the first failure; it doubles with each that follows. Let's Encrypt allows five failed validations of a
/// name in an hour, which this keeps.
const PAUSE: Duration = Duration::from_secs(120);
/// It grows no longer than this.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3600);
/// An authority that asks for a longer pause is tried again nevertheless: it might have meant something else.
const ASKED_PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);
/// At least so long lies between two certificates, whatever the clock says.
const BETWEEN_ORDERS: Duration = Duration::from_secs(600);
/// How long the program sleeps at most before it looks at the clock again, which may have been set.
const LOOK: Duration = Duration::from_secs(600);

/// How one shows an authority that a name is one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By a text on port 80.
    Http01,
    /// By a certificate on port 443.
    TlsAlpn01,
}

/// What keeps the program from asking for certificates at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot use {path} (acme.certificate_authority_file)")]
    Roots { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("cannot use {path}; remove it to begin anew, with a new account and certificate")]
    Kept { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("TLS cannot be set up")]
    Setup(#[source] tokio_rustls::rustls::Error),
}

/// Sees to it that there is a certificate.
pub(crate) struct Renewer {
    settings: config::Acme,
    web: Web,
    kept: Kept,
    shown: Arc<Shown>,
    rng: fastrand::Rng,
    /// When the next certificate is due.
    due: SystemTime,
}

impl Renewer {
    /// Takes up what the state directory has. A certificate for other names, or of another authority, is shown until there
    /// is a better one.
    pub(crate) fn new(
        settings: &config::Acme,
        folder: PathBuf,
        shown: Arc<Shown>,
        seed: u64,
    ) -> Result<Self, Error> {
        let web = Web::new(settings.certificate_authority_file.as_deref())?;
        let kept = Kept::open(folder)?;
        let (settings, rng) = (settings.clone(), fastrand::Rng::with_seed(seed));
        let mut renewer = Self { settings, web, kept, shown, rng, due: SystemTime::UNIX_EPOCH };
        if let Some(pem) = renewer.kept.certificate() {
            let path = renewer.kept.path();
            let read = renewer.shown.read(pem.as_bytes(), &path);
            let certificate = read.map_err(|source| Error::Kept { path, source: source.into() })?;
            if let Some(validity) = certificate.validity.filter(|_| renewer.kept.is_of(&renewer.settings)) {
                renewer.due = due(&validity, renewer.rng.f64());
            }
            renewer.shown.show(certificate);
        }
        Ok(renewer)
    }

    /// Waits until a certificate is due, gets it, and so on for ever.
    pub(crate) async fn run(mut self) {
        let mut failures = 0;
        let mut retry: Option<Instant> = None;
        loop {
            let rest = match retry {
                Some(at) => at.saturating_duration_since(Instant::now()),
                None => self.due.duration_since(SystemTime::now()).unwrap_or_default(),
            };
            if !rest.is_zero() {
                tokio::select! {
                    () = sleep(rest.min(LOOK)) => {}
                    () = self.shown.hurry.notified() => retry = retry.map(|_| Instant::now()),
                }
                continue;
            }
            let renewed = timeout(ORDER_WITHIN, self.renew()).await.unwrap_or(Err(Failure::TooSlow));
            let asked = self.web.take_asked_pause();
            retry = match renewed {
                Ok(()) => {
                    failures = 0;
                    None
                }
                Err(failure) => {
                    failures += 1;
                    let pause = pause(failures, asked, self.rng.f64());
                    self.shown.count_refused();
                    tracing::error!(
                        retry_in_secs = pause.as_secs(),
                        "no new certificate for TLS; the old one stays, if there is one: {failure}"
                    );
                    Some(Instant::now() + pause)
                }
            };
        }
    }

    async fn renew(&mut self) -> Result<(), Failure> {
        let account = self.account().await?;
        let ordered = order::place(&account, &self.settings, &self.shown).await;
        if ordered.as_ref().is_err_and(Failure::is_of_unknown_account) {
            // An authority that has lost its memory: the next try begins anew.
            self.kept.forget_account();
        }
        let pem = ordered?;
        let certificate = self.shown.read(pem.as_bytes(), &self.kept.path()).map_err(Failure::Unusable)?;
        let Some(validity) = certificate.validity else { return Err(Failure::NoValidity) };
        self.due = due(&validity, self.rng.f64()).max(SystemTime::now() + BETWEEN_ORDERS);
        self.take_over(certificate, pem);
        Ok(())
    }

    /// Shows a certificate, even if it cannot be kept.
    fn take_over(&mut self, certificate: Certificate, pem: String) {
        self.shown.take_over(certificate);
        tracing::info!(domains = ?self.settings.domains, "a new certificate for TLS is there");
        if let Err(error) = self.kept.keep_certificate(&self.settings, pem) {
            let path = self.kept.path();
            tracing::error!(%error, path = %path.display(), "the certificate cannot be kept: the next start orders another");
        }
    }

    /// The account at the authority, made if need be.
    async fn account(&mut self) -> Result<Account, Failure> {
        let builder = Account::builder_with_http(Box::new(self.web.clone()));
        if let Some(credentials) = self.kept.account(&self.settings) {
            let credentials: AccountCredentials = serde_json::from_value(credentials)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contacts: Vec<String> =
            self.settings.contacts.iter().map(|address| format!("mailto:{address}")).collect();
        let contact: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let directory = self.settings.directory_url.clone();
        let (account, credentials) = builder.create(&wanted, directory, None).await?;
        let credentials = serde_json::to_value(&credentials)?;
        self.kept.keep_account(&self.settings, credentials).map_err(Failure::Keep)?;
        Ok(account)
    }
}

/// When a certificate is to be replaced: after two thirds of its life, or a little sooner, so that trackers that began
/// together do not come together for ever.
fn due(validity: &Validity, draw: f64) -> SystemTime {
    let lifetime = validity.lifetime();
    validity.begins + lifetime * 2 / 3 - (lifetime / 30).mul_f64(draw)
}

/// How long to wait after so many failures in a row: at least as long as the authority asks for.
fn pause(failures: u32, asked: Option<Duration>, draw: f64) -> Duration {
    let doubled = PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE_MAX);
    let own = doubled.mul_f64(0.75 + draw / 2.0);
    own.max(asked.unwrap_or_default().min(ASKED_PAUSE_MAX))
}

#[cfg(test)]
mod tests;
