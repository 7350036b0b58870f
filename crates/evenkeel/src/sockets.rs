//! Binds every socket of the program.

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use socket2::{Domain, Socket};

use crate::activation::{self, Activated};
use crate::banner::Addresses;
use crate::config::Config;
use crate::listen::{self, Transport};

/// All sockets, bound before anything else happens: a port that is taken ends the program with one sentence.
pub(crate) struct Sockets {
    /// For each address, one socket for each worker.
    pub(crate) http: Vec<Vec<Socket>>,
    /// The same for HTTP over TLS.
    pub(crate) https: Vec<Vec<Socket>>,
    /// The same for UDP.
    pub(crate) udp: Vec<Vec<Socket>>,
    /// Unix sockets for HTTP, one for each worker.
    pub(crate) unix: Vec<Vec<Socket>>,
    /// The file of one that is ours.
    pub(crate) unix_file: Option<SocketFile>,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) workers: usize,
}

impl Sockets {
    /// Binds all that the configuration names and nobody has passed.
    pub(crate) fn bind(config: &Config) -> anyhow::Result<Self> {
        let workers = match config.server.workers {
            0 if cfg!(target_os = "linux") => std::thread::available_parallelism().map_or(1, usize::from),
            // Elsewhere sockets that share a port do not share its load.
            0 => 1,
            workers => workers as usize,
        };
        let passed = Activated::take()?;
        let mut sockets = until_free(config.server.port, || Self::bind_tracker(config, workers, &passed))?;
        sockets.take_passed(&passed, config)?;
        if config.has_tls() && sockets.https.is_empty() {
            sockets.https = until_free(config.tls.port, || bind_tls(config, workers))?;
        }
        if let Some(path) = config.server.unix_socket.as_deref().filter(|_| wants_http(config)) {
            let (socket, file) = bind_unix(path)
                .with_context(|| format!("cannot listen on {} (server.unix_socket)", path.display()))?;
            sockets.unix.extend(activation::shared(&[socket], workers)?);
            sockets.unix_file = Some(file);
        }
        if [&sockets.http, &sockets.https, &sockets.unix, &sockets.udp].iter().all(|bound| bound.is_empty()) {
            return Err(anyhow!("none of server.addresses can be listened on"));
        }
        if let Some(listener) = passed.admin.into_iter().next() {
            sockets.admin = Some(listener.into());
            return Ok(sockets);
        }
        if config.admin.enabled {
            let address = config.admin.address;
            let listener = TcpListener::bind(address)
                .with_context(|| format!("cannot listen on {address} for the admin port (admin.address)"))?;
            listener.set_nonblocking(true)?;
            sockets.admin = Some(listener);
        }
        Ok(sockets)
    }

    fn bind_tracker(config: &Config, workers: usize, passed: &Activated) -> anyhow::Result<Self> {
        let mut sockets = Self {
            http: Vec::new(),
            https: Vec::new(),
            udp: Vec::new(),
            unix: Vec::new(),
            unix_file: None,
            admin: None,
            workers,
        };
        let mut port = config.server.port;
        for ip in &config.server.addresses {
            if wants_http(config)
                && passed.http.is_empty()
                && let Some(bound) = bind(Transport::Tcp, SocketAddr::new(*ip, port), workers)?
            {
                port = listen::local_address(&bound[0])?.port();
                sockets.http.push(bound);
            }
            if config.server.udp
                && passed.udp.is_empty()
                && let Some(bound) = bind(Transport::Udp, SocketAddr::new(*ip, port), workers)?
            {
                port = listen::local_address(&bound[0])?.port();
                bound.iter().try_for_each(|socket| prepare_udp(socket, ip.is_ipv6(), config))?;
                sockets.udp.push(bound);
            }
        }
        Ok(sockets)
    }

    /// Takes over what was passed.
    fn take_passed(&mut self, passed: &Activated, config: &Config) -> anyhow::Result<()> {
        if !passed.https.is_empty() && !config.has_tls() {
            return Err(anyhow!(
                "a socket called \"https\" was passed, and there is no certificate (tls.certificate_file or acme.domains)"
            ));
        }
        for bound in activation::shared(&passed.http, self.workers)? {
            let is_unix = bound[0].domain()? == Domain::UNIX;
            if is_unix { self.unix.push(bound) } else { self.http.push(bound) }
        }
        self.https = activation::shared(&passed.https, self.workers)?;
        for bound in activation::shared(&passed.udp, self.workers)? {
            prepare_udp(&bound[0], bound[0].domain()? == Domain::IPV6, config)?;
            self.udp.push(bound);
        }
        Ok(())
    }

    /// Addresses of HTTP, UDP and the admin port.
    pub(crate) fn addresses(&self) -> io::Result<Addresses> {
        let of = |sockets: &[Vec<Socket>]| {
            sockets.iter().map(|bound| listen::local_address(&bound[0])).collect::<Result<_, _>>()
        };
        Ok(Addresses {
            http: of(&self.http)?,
            https: of(&self.https)?,
            udp: of(&self.udp)?,
            unix: self.unix.iter().filter_map(|bound| path_of(&bound[0])).collect(),
            admin: self.admin.as_ref().map(TcpListener::local_addr).transpose()?,
        })
    }
}

fn wants_http(config: &Config) -> bool {
    config.server.http || config.server.webtorrent
}

/// The file of a Unix socket, which goes with the program.
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that is gone already is as good.
        std::fs::remove_file(&self.0).ok();
    }
}

/// Binds a Unix socket for owner and group. One that a tracker left behind makes way; one that somebody listens on does
/// not, nor does any other file.
fn bind_unix(path: &Path) -> io::Result<(Socket, SocketFile)> {
    if std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    listener.set_nonblocking(true)?;
    Ok((OwnedFd::from(listener).into(), file))
}

fn path_of(socket: &Socket) -> Option<PathBuf> {
    socket.local_addr().ok()?.as_pathname().map(Path::to_owned)
}

/// With port 0 all sockets get the same free port; where one of them is taken for another socket, another is tried.
fn until_free<T>(port: u16, bind: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    const TRIES: usize = 16;
    let mut tried = bind();
    for _ in 1..TRIES {
        if port != 0 || tried.is_ok() {
            break;
        }
        tried = bind();
    }
    tried
}

fn bind_tls(config: &Config, workers: usize) -> anyhow::Result<Vec<Vec<Socket>>> {
    let mut sockets = Vec::new();
    let mut port = config.tls.port;
    for ip in &config.server.addresses {
        if let Some(bound) = bind(Transport::Tcp, SocketAddr::new(*ip, port), workers)? {
            port = listen::local_address(&bound[0])?.port();
            sockets.push(bound);
        }
    }
    Ok(sockets)
}

/// Sockets for an address; none, and a warning, when the host does not have its family.
fn bind(transport: Transport, address: SocketAddr, count: usize) -> anyhow::Result<Option<Vec<Socket>>> {
    let name = match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    match listen::bind(transport, address, count) {
        Ok(sockets) => Ok(Some(sockets)),
        Err(error) if address.ip().is_unspecified() && listen::is_family_missing(&error) => {
            tracing::warn!(%address, %error, "this host has no such address family: going on without it");
            Ok(None)
        }
        Err(error) => Err(anyhow!(error).context(format!("cannot listen on {address} ({name})"))),
    }
}

fn prepare_udp(socket: &Socket, is_v6: bool, config: &Config) -> anyhow::Result<()> {
    listen::udp::prepare(socket, is_v6).context("cannot prepare a UDP socket")?;
    let bytes = config.limits.udp_receive_buffer_bytes;
    if bytes > 0 {
        // The system cuts this to its own maximum (net.core.rmem_max): not worth an error.
        socket.set_recv_buffer_size(bytes as usize)?;
    }
    Ok(())
}

/// One of each address for each worker.
pub(crate) fn by_worker<T>(addresses: Vec<Vec<T>>, workers: usize) -> Vec<(usize, Vec<T>)> {
    let mut by_worker: Vec<(usize, Vec<T>)> = (0..workers).map(|number| (number, Vec::new())).collect();
    for sockets in addresses {
        by_worker.iter_mut().zip(sockets).for_each(|((_, own), socket)| own.push(socket));
    }
    by_worker.retain(|(_, own)| !own.is_empty());
    by_worker
}
