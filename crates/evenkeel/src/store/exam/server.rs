//! Starts a real PostgreSQL server in a temporary folder, for as long as a test uses it. But for TLS it listens on no port.
//! The tests of the whole program use this file, too.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// PostgreSQL refuses to run as root; then it runs as `nobody`.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; stopped when dropped.
pub(crate) struct Server {
    folder: TempDir,
    child: Mutex<Child>,
    settings: Vec<String>,
    /// In the name of its socket, whether it listens on it or not.
    port: u16,
}

/// The server that all tests of a process share, and the name of a database that nobody else has.
pub(crate) fn shared() -> (Arc<Server>, String) {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let server = shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start(&["-c", "fsync=off", "-c", "listen_addresses="]));
        *shared = Arc::downgrade(&server);
        server
    });
    (server, format!("exam_{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
}

fn program(name: &str) -> PathBuf {
    let of_debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> =
        of_debian.map(|version| version.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| PathBuf::from(name))
}

/// A command that does not run as root.
fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if is_root(folder) {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Whoever can give a folder away is.
fn is_root(folder: &Path) -> bool {
    chown(folder, Some(NOBODY), Some(NOBODY)).is_ok()
}

impl Server {
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), 5432, settings)
    }

    /// With TLS on a port of loopback; answers that port. The certificate is `authority.pem` in the server's folder.
    pub(crate) fn start_with_tls() -> (Self, u16) {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(folder.path().join("authority.pem"), made.cert.pem()).unwrap();
        let key = folder.path().join("server.key");
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
        is_root(&key);
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = format!("port={free}");
        let key = format!("ssl_key_file={}", key.display());
        let certificate = format!("ssl_cert_file={}", folder.path().join("authority.pem").display());
        let settings = ["fsync=off", "listen_addresses=127.0.0.1", "ssl=on", &port, &key, &certificate];
        let settings: Vec<&str> = settings.into_iter().flat_map(|setting| ["-c", setting]).collect();
        (Self::start_in(folder, free, &settings), free)
    }

    /// The server's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn start_in(folder: TempDir, port: u16, settings: &[&str]) -> Self {
        let made = command("initdb", folder.path())
            .args(["--pgdata=data", "--username=evenkeel", "--auth=trust", "--no-sync", "--encoding=UTF8"])
            .args(["--locale=C"])
            .status();
        let made = made.unwrap_or_else(|error| {
            panic!("initdb: {error}; these tests need a PostgreSQL server: install the package postgresql")
        });
        assert!(made.success(), "initdb failed");
        let settings: Vec<String> = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let child = Mutex::new(Self::run(folder.path(), &settings));
        let server = Self { folder, child, settings, port };
        server.wait();
        server
    }

    fn run(folder: &Path, settings: &[String]) -> Child {
        let mut command = command("postgres", folder);
        command.args(["-D", "data", "-k"]).arg(folder).args(settings);
        command.spawn().unwrap()
    }

    /// Stops it, as its administrator does who does not wait for those who are connected.
    pub(crate) fn stop(&self) {
        let mut child = self.child.lock().unwrap();
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again, with all that it holds.
    pub(crate) fn start_again(&self) {
        *self.child.lock().unwrap() = Self::run(self.folder(), &self.settings);
        self.wait();
    }

    /// Waits until it answers.
    fn wait(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.query("postgres", "SELECT 1").is_err() {
            assert!(Instant::now() < deadline, "the server does not start");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Where it is reached.
    pub(crate) fn address(&self, role: &str, database: &str) -> String {
        format!("host={} port={} user={role} dbname={database}", self.folder.path().display(), self.port)
    }

    /// Runs statements as the superuser.
    pub(crate) fn query(&self, database: &str, sql: &str) -> Result<(), String> {
        let mut config: tokio_postgres::Config = self.address("evenkeel", database).parse().unwrap();
        config.connect_timeout(PATIENCE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (client, connection) =
                config.connect(tokio_postgres::NoTls).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            client.batch_execute(sql).await.map_err(|error| format!("{error:?}"))
        })
    }

    /// Sends a signal to the server and all that belongs to it.
    pub(crate) fn signal_all(&self, signal: &str) {
        let own = self.child.lock().unwrap().id().to_string();
        let children = Command::new("pgrep").args(["-P", &own]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let ids = children.split_whitespace().chain([own.as_str()]);
        Command::new("kill").arg(format!("-{signal}")).args(ids).status().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        child.kill().ok();
        child.wait().ok();
    }
}
