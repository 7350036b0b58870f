//! One order, from the names to the certificate.

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::Challenge;
use crate::config;
use crate::tls::{self, Showing, Shown};

/// How long an authority may take to look at a challenge, and to sign.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(std::time::Duration::from_secs(120));

/// Why there is no new certificate this time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Authority(#[from] instant_acme::Error),
    #[error("the authority knows no challenge {challenge:?} for {domain}")]
    NoChallenge { domain: String, challenge: Challenge },
    #[error("the authority does not believe that {domain} is ours: {why}")]
    NotOurs { domain: String, why: String },
    #[error("the authority refuses the order, and does not say why")]
    Refused,
    #[error("the authority takes too long")]
    TooSlow,
    #[error("cannot make a key or a request: {0}")]
    Key(#[from] rcgen::Error),
    #[error("the certificate cannot be used: {0}")]
    Unusable(tls::Error),
    #[error("the certificate does not say how long it holds")]
    NoValidity,
    #[error("cannot keep the account: {0}")]
    Keep(std::io::Error),
    #[error("the account cannot be read: {0}")]
    Account(#[from] serde_json::Error),
}

impl Failure {
    /// Whether the authority does not know the account, which is then of no use.
    pub(super) fn is_of_unknown_account(&self) -> bool {
        let Self::Authority(instant_acme::Error::Api(problem)) = self else { return false };
        problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

/// Orders a certificate; answers its key and its chain in PEM form.
pub(super) async fn place(
    account: &Account,
    settings: &config::Acme,
    shown: &Shown,
) -> Result<String, Failure> {
    let names: Vec<Identifier> = settings.domains.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let showing = shown.challenges.begin();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let authorization = authorization?;
        // One that is valid still holds from an earlier order.
        if authorization.status != AuthorizationStatus::Valid {
            answer(authorization, settings.challenge, shown, &showing).await?;
        }
    }
    let ready = order.poll_ready(&PATIENCE).await;
    if !matches!(ready, Ok(OrderStatus::Ready)) {
        let told = why(&mut order).await;
        ready?;
        return Err(told);
    }
    drop(showing);
    let key = KeyPair::generate()?;
    let mut wanted = CertificateParams::new(settings.domains.clone())?;
    wanted.distinguished_name = DistinguishedName::new();
    order.finalize_csr(wanted.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    Ok(format!("{}{chain}", key.serialize_pem()))
}

/// Shows what the authority wants to see of one name, and tells it to look.
async fn answer(
    mut authorization: AuthorizationHandle<'_>,
    challenge: Challenge,
    shown: &Shown,
    showing: &Showing<'_>,
) -> Result<(), Failure> {
    let kind = match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    };
    let domain = authorization.identifier().to_string();
    let Some(mut wanted) = authorization.challenge(kind) else {
        return Err(Failure::NoChallenge { domain, challenge });
    };
    let proof = wanted.key_authorization();
    match challenge {
        Challenge::Http01 => showing.add_text(wanted.token.clone(), proof.as_str().to_owned()),
        Challenge::TlsAlpn01 => {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new([domain.clone()])?;
            params.custom_extensions = vec![CustomExtension::new_acme_identifier(proof.digest().as_ref())];
            let made = params.self_signed(&key)?.der().clone();
            let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
            let certificate = shown.read_challenge(made, secret).map_err(Failure::Unusable)?;
            showing.add_certificate(domain, certificate);
        }
    }
    Ok(wanted.set_ready().await?)
}

/// What the authority has seen in place of the answer.
async fn why(order: &mut Order) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            break;
        }
        if let Some(problem) = authorization.challenges.iter().find_map(|tried| tried.error.as_ref()) {
            let domain = authorization.identifier().to_string();
            return Failure::NotOurs { domain, why: problem.to_string() };
        }
    }
    Failure::Refused
}
