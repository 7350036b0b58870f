//! The ceiling: what UDP costs when there is nothing to think about.
//!
//! Reads and sends in batches as a tracker would, and answers every packet with as many bytes, of which only
//! action and transaction are true. That is enough for the load tester to take it for a tracker, so that both
//! are measured by the same means.

use std::io::Write as _;
use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context as _, ensure};
use socket2::SockRef;

use crate::system::{self, Echoes, Poller, Wake};

/// 32 beats 64 on every machine that we measured: the buffers stay in cache.
const BATCH: usize = 32;

/// How it echoes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Address and port to listen on; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// Bytes of each reply.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(16..=1_400))]
    reply_bytes: u16,
    /// Receive buffer, in bytes; the system may grant less.
    #[arg(long, default_value_t = 4 << 20)]
    receive_buffer: usize,
    /// Core to stay on.
    #[arg(long)]
    core: Option<usize>,
}

/// Echoes until it is killed.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.address.ip().is_loopback(), "--address must be a loopback address: an echo amplifies");
    if let Some(core) = options.core {
        system::pin(core).with_context(|| format!("cannot run on core {core}"))?;
    }
    let socket =
        UdpSocket::bind(options.address).with_context(|| format!("cannot listen on {}", options.address))?;
    SockRef::from(&socket).set_recv_buffer_size(options.receive_buffer)?;
    let mut out = std::io::stdout();
    writeln!(out, "echo is ready on {}", socket.local_addr()?)?;
    out.flush()?;
    let mut poller = Poller::new()?;
    poller.watch(&socket, 0, Wake::Readable)?;
    let mut echoes = Echoes::<BATCH>::new();
    loop {
        poller.wait(-1)?;
        // ICMP answers of callers that are gone come back as errors: the socket is still good.
        let Ok(received) = echoes.receive(&socket) else { continue };
        for at in 0..received {
            answer(echoes.exchange(at));
        }
        if received > 0 && echoes.send(&socket, received, usize::from(options.reply_bytes)).is_err() {
            // The caller counts what it misses.
        }
    }
}

/// Action and transaction, moved to where a reply has them.
fn answer((request, reply): (&[u8], &mut [u8])) {
    if let Some(head) = request.get(8..16) {
        reply[..8].copy_from_slice(head);
    }
}
