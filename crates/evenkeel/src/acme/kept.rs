//! What the state directory keeps of an authority: the account, and the last certificate with its key, in one file for the
//! owner alone.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Error;
use crate::config;
use crate::state;

/// Name of the file.
const FILE: &str = "acme.json";

/// The file, as it is on the disk.
pub(super) struct Kept {
    folder: PathBuf,
    content: Content,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// Whose account and certificate these are.
    directory_url: String,
    /// Opaque, with a private key.
    account: Option<Value>,
    /// What the certificate is for.
    domains: Vec<String>,
    /// Key and chain in PEM form.
    certificate: Option<String>,
}

impl Kept {
    pub(super) fn open(folder: PathBuf) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let content = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| Error::Kept { path, source: source.into() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Content::default(),
            Err(source) => return Err(Error::Kept { path, source: source.into() }),
        };
        Ok(Self { folder, content })
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    pub(super) fn certificate(&self) -> Option<&str> {
        self.content.certificate.as_deref()
    }

    /// Whether the certificate is the one that the operator wants.
    pub(super) fn is_of(&self, settings: &config::Acme) -> bool {
        self.content.directory_url == settings.directory_url && self.content.domains == settings.domains
    }

    /// The account at the authority that the operator wants.
    pub(super) fn account(&self, settings: &config::Acme) -> Option<Value> {
        let is_there = self.content.directory_url == settings.directory_url;
        self.content.account.clone().filter(|_| is_there)
    }

    pub(super) fn forget_account(&mut self) {
        self.content.account = None;
    }

    pub(super) fn keep_account(&mut self, settings: &config::Acme, account: Value) -> io::Result<()> {
        if self.content.directory_url != settings.directory_url {
            // The certificate is of another authority: it is shown for a while, and due.
            self.content.domains.clear();
        }
        self.content.directory_url.clone_from(&settings.directory_url);
        self.content.account = Some(account);
        self.write()
    }

    pub(super) fn keep_certificate(&mut self, settings: &config::Acme, pem: String) -> io::Result<()> {
        self.content.domains.clone_from(&settings.domains);
        self.content.certificate = Some(pem);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.content)?;
        state::replace(&self.folder, FILE, &bytes)
    }
}
