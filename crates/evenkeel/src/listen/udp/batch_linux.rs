//! Many datagrams for one system call (recvmmsg, sendmmsg), and replies from the address that was asked
//! (IP_PKTINFO, IPV6_PKTINFO). The only `unsafe` code of the UDP path.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of our own small buffers, in the system's types"
)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use evenkeel_wire::limits::{UDP_REPLY_BYTES_MAX, UDP_REQUEST_BYTES_MAX};
use socket2::{SockAddr, SockAddrStorage, Socket};

/// Datagrams for each system call. 32 beats 64 on every machine that we measured: the buffers stay in cache.
pub(super) const BATCH: usize = 32;

/// Room for one control message with a `in6_pktinfo` and one with a 32-bit drop counter.
const CONTROL_BYTES: usize = 96;

/// Asks the system to tell where each datagram was sent to, and how many were dropped before it.
pub(crate) fn prepare(socket: &Socket, is_v6: bool) -> io::Result<()> {
    let set = |level, option| {
        let on: libc::c_int = 1;
        // SAFETY: the option takes an int, and `on` is one that lives through the call.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                level,
                option,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    set(libc::SOL_SOCKET, libc::SO_RXQ_OVFL)?;
    if is_v6 {
        set(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    } else {
        set(libc::IPPROTO_IP, libc::IP_PKTINFO)
    }
}

/// Buffers for the batches of one socket, allocated once.
pub(super) struct Batch {
    slots: Box<[Slot; BATCH]>,
    /// Slots that hold an answer.
    answered: Vec<usize>,
    drops_seen: u32,
    drops_new: u64,
}

/// One datagram and its answer.
struct Slot {
    source: SockAddrStorage,
    source_len: libc::socklen_t,
    request: [u8; UDP_REQUEST_BYTES_MAX],
    request_len: usize,
    reply: [u8; UDP_REPLY_BYTES_MAX],
    reply_len: usize,
    control: Control,
    control_len: usize,
}

/// Control messages are aligned like their header.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; CONTROL_BYTES]);

impl Batch {
    pub(super) fn new() -> Self {
        let slot = |_| Slot {
            source: SockAddrStorage::zeroed(),
            source_len: 0,
            request: [0; UDP_REQUEST_BYTES_MAX],
            request_len: 0,
            reply: [0; UDP_REPLY_BYTES_MAX],
            reply_len: 0,
            control: Control([0; CONTROL_BYTES]),
            control_len: 0,
        };
        let slots: Box<[Slot]> = (0..BATCH).map(slot).collect();
        let slots = slots.try_into().unwrap_or_else(|_| unreachable!("BATCH slots were made"));
        Self { slots, answered: Vec::with_capacity(BATCH), drops_seen: 0, drops_new: 0 }
    }

    /// Reads what is there, up to a batch; answers how many datagrams. Never waits.
    pub(super) fn receive(&mut self, socket: &Socket) -> io::Result<usize> {
        self.answered.clear();
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::zeroed() }; BATCH];
        for ((slot, vector), header) in self.slots.iter_mut().zip(&mut vectors).zip(&mut headers) {
            let vector = vector.write(libc::iovec {
                iov_base: slot.request.as_mut_ptr().cast(),
                iov_len: slot.request.len(),
            });
            // SAFETY: an all-zero mmsghdr is a valid one: null pointers with zero lengths.
            let header = unsafe { &mut header.assume_init_mut().msg_hdr };
            header.msg_name = (&raw mut slot.source).cast();
            header.msg_namelen = size_of::<SockAddrStorage>() as libc::socklen_t;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: every header points to buffers of its slot, which outlive the call, with their true lengths.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (slot, header) in self.slots.iter_mut().zip(&headers).take(received) {
            // SAFETY: zeroed above and written by the system.
            let header = unsafe { header.assume_init_ref() };
            slot.source_len = header.msg_hdr.msg_namelen;
            // A datagram that did not fit is cut: what is missing is URL data or hashes beyond every limit.
            slot.request_len = (header.msg_len as usize).min(slot.request.len());
            let dropped = slot.keep_reply_source(&header.msg_hdr);
            if let Some(dropped) = dropped {
                self.drops_new += u64::from(dropped.wrapping_sub(self.drops_seen));
                self.drops_seen = dropped;
            }
        }
        Ok(received)
    }

    /// Datagrams that the system reports as dropped since the last call.
    pub(super) fn take_drops(&mut self) -> u64 {
        std::mem::take(&mut self.drops_new)
    }

    /// Datagram `at`, and where it came from.
    pub(super) fn request(&self, at: usize) -> (&[u8], Option<SocketAddr>) {
        let slot = &self.slots[at];
        // SAFETY: the system wrote `source_len` bytes of an address to `source`, which is plain bytes to copy.
        let source = unsafe { SockAddr::new(std::ptr::read(&raw const slot.source), slot.source_len) };
        (&slot.request[..slot.request_len], source.as_socket())
    }

    /// Lets `answer` write the reply to datagram `at`.
    pub(super) fn answer(&mut self, at: usize, answer: impl FnOnce(&[u8], &mut [u8]) -> usize) {
        let slot = &mut self.slots[at];
        slot.reply_len = answer(&slot.request[..slot.request_len], &mut slot.reply);
        if slot.reply_len > 0 {
            self.answered.push(at);
        }
    }

    /// Sends the answers; answers how many could not be sent.
    pub(super) fn send(&mut self, socket: &Socket) -> u64 {
        let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; BATCH];
        let mut headers = [const { MaybeUninit::<libc::mmsghdr>::zeroed() }; BATCH];
        for ((at, vector), header) in self.answered.iter().zip(&mut vectors).zip(&mut headers) {
            let slot = &mut self.slots[*at];
            let vector = vector
                .write(libc::iovec { iov_base: slot.reply.as_mut_ptr().cast(), iov_len: slot.reply_len });
            // SAFETY: an all-zero mmsghdr is a valid one.
            let header = unsafe { &mut header.assume_init_mut().msg_hdr };
            header.msg_name = (&raw mut slot.source).cast();
            header.msg_namelen = slot.source_len;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            if slot.control_len > 0 {
                header.msg_control = slot.control.0.as_mut_ptr().cast();
                header.msg_controllen = slot.control_len as _;
            }
        }
        let (mut next, mut unsent) = (0, 0);
        while next < self.answered.len() {
            // SAFETY: the headers from `next` on were written above and point to buffers that outlive the call.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers[next..].as_mut_ptr().cast(),
                    (self.answered.len() - next) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => next += sent,
                // The first one cannot be sent: a full buffer, or no way to that address. The client asks again.
                _ => {
                    next += 1;
                    unsent += 1;
                }
            }
        }
        unsent
    }
}

impl Slot {
    /// Turns the control messages of a request into that of its reply: sent from the address that was asked,
    /// which on a host with many addresses the system would not choose by itself. Answers the drop counter.
    fn keep_reply_source(&mut self, received: &libc::msghdr) -> Option<u32> {
        let mut dropped = None;
        let mut v4 = None;
        let mut v6 = None;
        // SAFETY: `received` describes the control buffer of this slot as the system filled it; the CMSG
        // functions stay inside it, and each payload is read unaligned with the type its level and kind name.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(received);
            while let Some(header) = message.as_ref() {
                let data = libc::CMSG_DATA(message);
                match (header.cmsg_level, header.cmsg_type) {
                    (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                        dropped = Some(data.cast::<u32>().read_unaligned());
                    }
                    (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                        v4 = Some(data.cast::<libc::in_pktinfo>().read_unaligned());
                    }
                    (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                        v6 = Some(data.cast::<libc::in6_pktinfo>().read_unaligned());
                    }
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(received, message);
            }
        }
        self.control_len = match (v4, v6) {
            (Some(mut info), _) => {
                // The route chooses the interface; only the source address is named.
                info.ipi_ifindex = 0;
                info.ipi_spec_dst = info.ipi_addr;
                self.write_control(libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            (_, Some(mut info)) => {
                // A link-local address is only good on the interface that it came in by.
                let is_link_local = info.ipi6_addr.s6_addr[0] == 0xFE;
                info.ipi6_ifindex = if is_link_local { info.ipi6_ifindex } else { 0 };
                self.write_control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
            _ => 0,
        };
        dropped
    }

    fn write_control<T>(&mut self, level: libc::c_int, kind: libc::c_int, data: T) -> usize {
        const { assert!(size_of::<T>() + 32 <= CONTROL_BYTES) };
        let data_len = size_of::<T>() as libc::c_uint;
        // SAFETY: the buffer is aligned for a header and, as asserted above, long enough for header and data.
        unsafe {
            let header: *mut libc::cmsghdr = self.control.0.as_mut_ptr().cast();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(data_len) as _;
            libc::CMSG_DATA(header).cast::<T>().write_unaligned(data);
            // Without the padding behind it: Linux has room for an `in6_pktinfo` on its stack, and allocates for a byte more.
            libc::CMSG_LEN(data_len) as usize
        }
    }
}
