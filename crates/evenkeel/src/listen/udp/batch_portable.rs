//! One datagram for each system call, for systems without recvmmsg. Replies leave from the address that the
//! system chooses: on a host with several, bind each.

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;

use evenkeel_wire::limits::{UDP_REPLY_BYTES_MAX, UDP_REQUEST_BYTES_MAX};
use socket2::{SockAddr, Socket};

/// Datagrams that are read before the first is answered.
pub(super) const BATCH: usize = 1;

/// Nothing to ask of the system here.
pub(crate) fn prepare(_socket: &Socket, _is_v6: bool) -> io::Result<()> {
    Ok(())
}

/// Buffers for one datagram.
pub(super) struct Batch {
    source: Option<SocketAddr>,
    request: [u8; UDP_REQUEST_BYTES_MAX],
    request_len: usize,
    reply: [u8; UDP_REPLY_BYTES_MAX],
    reply_len: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            source: None,
            request: [0; UDP_REQUEST_BYTES_MAX],
            request_len: 0,
            reply: [0; UDP_REPLY_BYTES_MAX],
            reply_len: 0,
        }
    }

    /// Reads one datagram. Never waits: the socket does not block.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut buffer = [MaybeUninit::uninit(); UDP_REQUEST_BYTES_MAX];
        let (len, source) = socket.recv_from(&mut buffer)?;
        for (byte, read) in self.request.iter_mut().zip(&buffer[..len]) {
            // SAFETY: the system wrote the first `len` bytes.
            *byte = unsafe { read.assume_init() };
        }
        self.request_len = len;
        self.source = source.as_socket();
        Ok(1)
    }

    /// Not known here.
    pub(super) fn take_drops(&mut self) -> u64 {
        0
    }

    /// The datagram, and where it came from.
    pub(super) fn request(&self, _at: usize) -> (&[u8], Option<SocketAddr>) {
        (&self.request[..self.request_len], self.source)
    }

    /// Lets `answer` write the reply.
    pub(super) fn answer(&mut self, _at: usize, answer: impl FnOnce(&[u8], &mut [u8]) -> usize) {
        self.reply_len = answer(&self.request[..self.request_len], &mut self.reply);
    }

    /// Sends the reply; answers how many could not be sent.
    pub(super) fn send(&mut self, socket: &Socket) -> u64 {
        match self.source.filter(|_| self.reply_len > 0) {
            Some(source) => {
                u64::from(socket.send_to(&self.reply[..self.reply_len], &SockAddr::from(source)).is_err())
            }
            None => 0,
        }
    }
}
