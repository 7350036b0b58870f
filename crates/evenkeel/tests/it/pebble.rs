//! A real authority on this machine: Let's Encrypt's own for tests, and a name server for which every name is this
//! machine. `tests/acme/install.sh` installs both.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::authority::{Authority, connect, trusting};
use crate::rig::{get_over, wait_for};

/// An authority that may be away. It has an address of its own: its ports are nobody else's.
pub(crate) struct Pebble {
    ip: IpAddr,
    folder: TempDir,
    /// Who certifies its own https.
    authority: Authority,
    running: Vec<Child>,
}

impl Pebble {
    /// One that is not there yet.
    pub(crate) fn new() -> Self {
        // Of the whole network of the loopback, by test and by process.
        static COUNT: AtomicU8 = AtomicU8::new(100);
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = IpAddr::from([127, COUNT.fetch_add(1, Ordering::Relaxed), high, low]);
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.issue_for(folder.path(), &["localhost", &ip.to_string()]);
        std::fs::write(folder.path().join("root.pem"), authority.pem()).unwrap();
        Self { ip, folder, authority, running: Vec::new() }
    }

    pub(crate) fn directory_url(&self) -> String {
        format!("https://{}:14000/dir", self.ip)
    }

    /// Has a program ask it for certificates.
    pub(crate) fn config(&self, domains: &[&str], challenge: &str) -> String {
        format!(
            "[tls]\nport = 0\n[acme]\ndomains = {domains:?}\ncontacts = [\"admin@example.org\"]\n\
             directory_url = {:?}\ncertificate_authority_file = {:?}\nchallenge = {challenge:?}\n",
            self.directory_url(),
            self.folder.path().join("root.pem")
        )
    }

    /// Starts it; it looks at these ports for what it wants to see.
    pub(crate) fn start(&mut self, http_port: u16, tls_port: u16) {
        self.stop();
        let (ip, folder) = (self.ip, self.folder.path());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("{ip}:14000"),
            "managementListenAddress": format!("{ip}:15000"),
            "certificate": folder.join("chain.pem"),
            "privateKey": folder.join("key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
        }});
        std::fs::write(folder.join("pebble.json"), config.to_string()).unwrap();
        let names = format!("{ip}:8053");
        let mut server = Command::new("pebble-challtestsrv");
        server.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-dns01", &names]);
        server.args(["-management", &format!("{ip}:8055")]);
        let mut pebble = Command::new("pebble");
        pebble.arg("-config").arg(folder.join("pebble.json")).args(["-dnsserver", &names]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1");
        for command in [&mut server, &mut pebble] {
            let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            self.running.push(child.expect("tests/acme/install.sh installs it"));
        }
        wait_for("the authority", || self.root());
    }

    /// It is away.
    pub(crate) fn stop(&mut self) {
        for mut child in self.running.drain(..) {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How a client speaks TLS that trusts the certificates which it issues, and no others. At each start it has another
    /// key.
    pub(crate) fn trusted(&self) -> Arc<ClientConfig> {
        trusting(self.root().unwrap(), &[])
    }

    fn root(&self) -> Option<CertificateDer<'static>> {
        let mut stream = connect(&self.authority.trusted(&[]), SocketAddr::new(self.ip, 15000)).ok()?;
        let (status, body) = get_over(&mut stream, None, "/roots/0").ok()?;
        assert_eq!(status, 200);
        Some(CertificateDer::from_pem_slice(&body).unwrap())
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.stop();
    }
}
