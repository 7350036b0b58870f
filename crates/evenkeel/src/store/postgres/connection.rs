//! The connection: made when it is needed, made anew after it broke, and given up when it does not answer.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::store::{CALL, Error};

/// What may take as long as there are rows.
pub(super) const LONG: Duration = Duration::from_secs(120);
/// What a server that is there takes to say so.
const CONNECT: Duration = Duration::from_secs(5);
/// The server gives up what we have given up, so that its locks do not outlive us by more.
const IDLE_IN_TRANSACTION: &str = "SET idle_in_transaction_session_timeout = '60s'; SET statement_timeout = '180s'; \
     SET lock_timeout = '60s'; SET client_min_messages = 'warning'";

/// Where the server is and who we are there. `Debug` prints no password.
#[derive(Clone)]
pub struct Address {
    config: Config,
    /// Certificates that the server's must be signed by, beside Mozilla's.
    authorities: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {:?}", self.config.get_dbname().unwrap_or("?"), self.config.get_hosts())
    }
}

impl Address {
    /// Reads `postgres://user:password@host/database?sslmode=require` or `host=... dbname=...`, as libpq does.
    /// `authority` is a PEM file of certificates to trust, beside Mozilla's.
    pub fn new(text: &str, authority: Option<&Path>) -> Result<Self, Error> {
        // What is wrong may be in the password: only the kind of error is told.
        let refuse = |message: String| Error::Address { message };
        let mut config = Config::from_str(text).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            refuse(source.unwrap_or_else(|| error.to_string()))
        })?;
        if config.get_dbname().is_none() {
            return Err(refuse("it names no database".to_owned()));
        }
        if config.get_hosts().is_empty() {
            return Err(refuse("it names no host".to_owned()));
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.application_name("evenkeel").tcp_user_timeout(CALL).keepalives_idle(CALL);
        let mut authorities = Vec::new();
        if let Some(path) = authority {
            let cannot = |why: &dyn fmt::Display| refuse(format!("cannot read {}: {why}", path.display()));
            let pem = std::fs::read(path).map_err(|error| cannot(&error))?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                authorities.push(certificate.map_err(|error| cannot(&error))?);
            }
        }
        Ok(Self { config, authorities })
    }

    fn tls(&self) -> Result<MakeRustlsConnect, Error> {
        let refuse = |message: String| Error::Address { message };
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for authority in &self.authorities {
            roots.add(authority.clone()).map_err(|error| refuse(error.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| refuse(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

pub(super) struct Connection {
    address: Address,
    tls: MakeRustlsConnect,
    runtime: Runtime,
    client: Option<Client>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Connection {
    pub(super) fn new(address: &Address) -> Result<Self, Error> {
        // With a thread of its own: a transaction that is given up is rolled back at once, not with the next call.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build()
            .map_err(|error| Error::Unavailable { message: error.to_string() })?;
        Ok(Self { address: address.clone(), tls: address.tls()?, runtime, client: None })
    }

    /// Does something within a time. A connection that broke meanwhile, or did not answer, is not used again.
    pub(super) fn run<T>(
        &mut self,
        within: Duration,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut client = self.client.take().filter(|client| !client.is_closed());
        let (address, tls) = (&self.address, &self.tls);
        let done = wait(&self.runtime, within, async {
            let mut connected = match client.take() {
                Some(client) => client,
                None => connect(&address.config, tls).await?,
            };
            let done = work(&mut connected).await;
            client = Some(connected);
            done
        });
        if !done.as_ref().is_err_and(Error::is_retryable) {
            self.client = client;
        }
        done
    }

    /// Creates the database if the server has none of this name.
    pub(super) fn create_if_missing(&mut self) -> Result<(), Error> {
        let name = self.address.config.get_dbname().unwrap_or_default().to_owned();
        let (address, tls) = (&self.address, &self.tls);
        wait(&self.runtime, LONG, async {
            match try_connect(&address.config, tls).await {
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_DATABASE) => {
                    create(address, tls, &name).await
                }
                connected => {
                    connected?;
                    Ok(())
                }
            }
        })
    }
}

/// Waits for something, but not for ever.
fn wait<T>(
    runtime: &Runtime,
    within: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // Made inside: a timeout belongs to a runtime.
    let done = runtime.block_on(async { tokio::time::timeout(within, work).await });
    done.unwrap_or(Err(Error::Silent { secs: within.as_secs() }))
}

async fn create(address: &Address, tls: &MakeRustlsConnect, name: &str) -> Result<(), Error> {
    let mut config = address.config.clone();
    config.dbname("postgres");
    let role = config.get_user().unwrap_or("postgres").to_owned();
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let sql = format!("CREATE DATABASE {} OWNER {};", quoted(name), quoted(&role));
    let refused = || Error::NoDatabase { name: name.to_owned(), role: role.clone(), sql: sql.clone() };
    // Who may not even look at `postgres` may not create anything either.
    let client = try_connect(&config, tls).await.map_err(|error| match error.as_db_error() {
        Some(_) => refused(),
        None => error.into(),
    })?;
    match client.batch_execute(&format!("CREATE DATABASE {}", quoted(name))).await {
        // Another node was faster.
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Err(refused()),
        done => Ok(done?),
    }
}

async fn connect(config: &Config, tls: &MakeRustlsConnect) -> Result<Client, Error> {
    let client = try_connect(config, tls).await?;
    client.batch_execute(IDLE_IN_TRANSACTION).await?;
    Ok(client)
}

/// The connection runs beside whatever is waited for, and ends with the client.
async fn try_connect(config: &Config, tls: &MakeRustlsConnect) -> Result<Client, tokio_postgres::Error> {
    if config.get_ssl_mode() == SslMode::Disable {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        return Ok(client);
    }
    let (client, connection) = config.connect(tls.clone()).await?;
    tokio::spawn(connection);
    Ok(client)
}
