//! `evenkeel health`: is the tracker on this machine alive? For scripts and container health checks.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks `/health` of the tracker that the configuration describes.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    ensure!(config.server.http, "the tracker does not answer HTTP (server.http): its health cannot be asked");
    ensure!(
        config.server.port != 0,
        "the tracker takes any free port (server.port = 0): say which with --port"
    );
    let ip = match config.server.addresses.first() {
        Some(IpAddr::V4(ip)) if !ip.is_unspecified() => IpAddr::V4(*ip),
        Some(IpAddr::V6(ip)) if !ip.is_unspecified() => IpAddr::V6(*ip),
        Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let address = SocketAddr::new(ip, config.server.port);
    let answer = ask(address).with_context(|| format!("no tracker answers at {address}"))?;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "what answers at {address} is not a healthy tracker");
    Ok(())
}

fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer)?;
    Ok(answer)
}
