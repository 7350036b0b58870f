//! What the standard library has no words for: many datagrams for one system call, waiting for many sockets,
//! choosing a core. The only `unsafe` code of the lab, and Linux only.

#![expect(
    clippy::cast_possible_truncation,
    reason = "lengths of our own small buffers, in the system's types"
)]

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use socket2::SockAddrStorage;

/// Most datagrams for one system call.
pub(crate) const BATCH_MAX: usize = 64;

/// Bytes of a datagram that are kept; of longer ones the length is known.
pub(crate) const HEAD_BYTES: usize = 64;

/// Segments that the kernel takes in one go (`UDP_MAX_SEGMENTS`).
const SEGMENTS_MAX: usize = 64;

/// Sends the calling thread, and what it starts from now on, to one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    place(Some(core))
}

/// The same; without a core, to all that there are.
pub(crate) fn place(core: Option<usize>) -> io::Result<()> {
    // SAFETY: an all-zero set is a valid one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    let all = 0..libc::CPU_SETSIZE as usize;
    if core.is_some_and(|core| !all.contains(&core)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is no such core"));
    }
    for core in core.map_or(all, |core| core..core + 1) {
        // SAFETY: `core` is below CPU_SETSIZE, the number of bits in the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: the pointer is to a set of the stated size that lives through the call; 0 is this thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Nanoseconds that the calling thread has computed.
pub(crate) fn thread_cpu_nanos() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a time that lives through the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or_default())
}

/// Raises the limit of open files as far as may be; answers how many there may be now.
pub(crate) fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a limit that lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the call only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Lets a bound TCP socket choose its port when it connects. Else each address is good for 28,000 connections
/// at a time in all, and not to each target.
pub(crate) fn choose_port_late(socket: &impl AsRawFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option takes an int, and `on` is one that lives through the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What is worth waking up for.
#[derive(Clone, Copy)]
pub(crate) enum Wake {
    /// While there is something to read.
    Readable,
    /// Each time that something changes: connected, more to read, room to write, closed.
    Changes,
}

/// Waits for many sockets at once. A closed socket leaves by itself.
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    ready: usize,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was made above and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 256], ready: 0 })
    }

    /// Watches `socket`, which is called `token` from now on.
    pub(crate) fn watch(&self, socket: &impl AsFd, token: usize, wake: Wake) -> io::Result<()> {
        let events = match wake {
            Wake::Readable => libc::EPOLLIN,
            Wake::Changes => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
        };
        let mut event = libc::epoll_event { events: events.cast_unsigned(), u64: token as u64 };
        let fd = socket.as_fd().as_raw_fd();
        // SAFETY: the event lives through the call, which copies it.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Waits until something is ready, or for `millis`; answers how many sockets are ready.
    pub(crate) fn wait(&mut self, millis: i32) -> io::Result<usize> {
        // SAFETY: pointer and length are those of one vector.
        let ready = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                millis,
            )
        };
        self.ready = match usize::try_from(ready) {
            Ok(ready) => ready,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(self.ready)
    }

    /// Name of the `at`-th ready socket.
    pub(crate) fn token(&self, at: usize) -> usize {
        let event = self.events[at];
        event.u64 as usize
    }
}

/// Datagrams of a connected socket, read in batches.
pub(crate) struct Inbox {
    heads: Box<[[u8; HEAD_BYTES]]>,
    lens: [usize; BATCH_MAX],
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self { heads: vec![[0; HEAD_BYTES]; BATCH_MAX].into(), lens: [0; BATCH_MAX] }
    }

    /// Reads what is there, up to a batch; answers how many datagrams. Never waits.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        // SAFETY: an all-zero mmsghdr is a valid one: null pointers with zero lengths.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { std::mem::zeroed() };
        for ((head, vector), header) in self.heads.iter_mut().zip(&mut vectors).zip(&mut headers) {
            *vector = libc::iovec { iov_base: head.as_mut_ptr().cast(), iov_len: HEAD_BYTES };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // MSG_TRUNC: the true length is told, whatever fits.
        // SAFETY: every header points to a vector and a head that outlive the call, with their true lengths.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH_MAX as libc::c_uint,
                (libc::MSG_DONTWAIT | libc::MSG_TRUNC) as _,
                std::ptr::null_mut(),
            )
        };
        let received = or_would_block(received)?;
        for (len, header) in self.lens.iter_mut().zip(&headers).take(received) {
            *len = header.msg_len as usize;
        }
        Ok(received)
    }

    /// Start of the `at`-th datagram, and how long all of it was.
    pub(crate) fn datagram(&self, at: usize) -> (&[u8], usize) {
        let len = self.lens[at];
        (&self.heads[at][..len.min(HEAD_BYTES)], len)
    }
}

/// How datagrams are handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handing {
    /// Each by itself.
    One,
    /// Those of equal length as one, which the kernel takes apart (`UDP_SEGMENT`): the receiver sees no
    /// difference, and the sender pays once for what is most of its cost.
    Segmented,
}

/// Datagrams for a connected socket, sent in batches of at most [`BATCH_MAX`].
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Where each datagram ends.
    ends: Vec<usize>,
}

/// A control message with one 16-bit number, aligned like its header.
#[repr(C, align(8))]
struct SegmentControl([u8; 32]);

/// What becomes one message header: bytes from, bytes until, length of each datagram, how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    from: usize,
    until: usize,
    segment: usize,
    datagrams: usize,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(BATCH_MAX * 128), ends: Vec::with_capacity(BATCH_MAX) }
    }

    /// Forgets what it holds.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a datagram.
    pub(crate) fn push(&mut self, datagram: &[u8]) {
        debug_assert!(self.ends.len() < BATCH_MAX && !datagram.is_empty());
        self.bytes.extend_from_slice(datagram);
        self.ends.push(self.bytes.len());
    }

    /// Sends all; answers how many the kernel took, counted from the first.
    pub(crate) fn send(&mut self, socket: &UdpSocket, handing: Handing) -> io::Result<usize> {
        let runs = self.runs(handing);
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; BATCH_MAX];
        let mut controls = [const { SegmentControl([0; 32]) }; BATCH_MAX];
        // SAFETY: an all-zero mmsghdr is a valid one: null pointers with zero lengths.
        let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { std::mem::zeroed() };
        for (at, run) in runs.iter().enumerate() {
            let bytes = &mut self.bytes[run.from..run.until];
            vectors[at] = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
            let header = &mut headers[at].msg_hdr;
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
            if run.datagrams > 1 {
                header.msg_control = controls[at].0.as_mut_ptr().cast();
                header.msg_controllen = controls[at].write(run.segment as u16) as _;
            }
        }
        let (mut next, mut sent) = (0, 0);
        while next < runs.len() {
            // SAFETY: the headers from `next` on were written above and point to what outlives the call.
            let taken = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers[next..].as_mut_ptr(),
                    (runs.len() - next) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            let taken = match or_would_block(taken) {
                Ok(0) => break,
                Ok(taken) => taken,
                // What was taken before is on its way: the error is for those behind it.
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            };
            sent += runs[next..next + taken].iter().map(|run| run.datagrams).sum::<usize>();
            next += taken;
        }
        Ok(sent)
    }

    fn runs(&self, handing: Handing) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::with_capacity(BATCH_MAX);
        let mut from = 0;
        for until in self.ends.iter().copied() {
            let len = until - from;
            let joined = runs.last_mut().filter(|run| {
                // Only the last segment may be shorter.
                let is_open = run.until - run.from == run.segment * run.datagrams;
                handing == Handing::Segmented
                    && is_open
                    && len <= run.segment
                    && run.datagrams < SEGMENTS_MAX
                    && until - run.from <= 60_000
            });
            match joined {
                Some(run) => {
                    run.until = until;
                    run.datagrams += 1;
                }
                None => runs.push(Run { from, until, segment: len, datagrams: 1 }),
            }
            from = until;
        }
        runs
    }
}

impl SegmentControl {
    /// Writes the message; answers its length.
    fn write(&mut self, segment: u16) -> usize {
        const { assert!(size_of::<libc::cmsghdr>() + 2 * size_of::<usize>() <= 32) };
        // SAFETY: the buffer is aligned for a header and, as asserted above, long enough for header and data.
        unsafe {
            let header: *mut libc::cmsghdr = self.0.as_mut_ptr().cast();
            (*header).cmsg_level = libc::SOL_UDP;
            (*header).cmsg_type = libc::UDP_SEGMENT;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) as _;
            libc::CMSG_DATA(header).cast::<u16>().write_unaligned(segment);
            libc::CMSG_SPACE(size_of::<u16>() as libc::c_uint) as usize
        }
    }
}

/// Datagrams from anybody, and one answer to each.
pub(crate) struct Echoes<const N: usize> {
    requests: Box<[[u8; 2048]]>,
    lens: [usize; N],
    sources: Box<[(SockAddrStorage, libc::socklen_t)]>,
    replies: Box<[[u8; 2048]]>,
}

impl<const N: usize> Echoes<N> {
    pub(crate) fn new() -> Self {
        Self {
            requests: vec![[0; 2048]; N].into(),
            lens: [0; N],
            sources: (0..N).map(|_| (SockAddrStorage::zeroed(), 0)).collect(),
            replies: vec![[0; 2048]; N].into(),
        }
    }

    /// Reads what is there, up to a batch; answers how many datagrams. Never waits.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; N];
        // SAFETY: an all-zero mmsghdr is a valid one: null pointers with zero lengths.
        let mut headers: [libc::mmsghdr; N] = unsafe { std::mem::zeroed() };
        let buffers = self.requests.iter_mut().zip(&mut self.sources);
        for (((request, source), vector), header) in buffers.zip(&mut vectors).zip(&mut headers) {
            *vector = libc::iovec { iov_base: request.as_mut_ptr().cast(), iov_len: request.len() };
            header.msg_hdr.msg_name = (&raw mut source.0).cast();
            header.msg_hdr.msg_namelen = size_of::<SockAddrStorage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: every header points to buffers that outlive the call, with their true lengths.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                N as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let received = or_would_block(received)?;
        for (at, header) in headers.iter().enumerate().take(received) {
            self.lens[at] = header.msg_len as usize;
            self.sources[at].1 = header.msg_hdr.msg_namelen;
        }
        Ok(received)
    }

    /// The `at`-th datagram and where its answer goes.
    pub(crate) fn exchange(&mut self, at: usize) -> (&[u8], &mut [u8]) {
        (&self.requests[at][..self.lens[at].min(2048)], &mut self.replies[at])
    }

    /// Sends the first `bytes` of the first `count` answers. What finds no room is dropped, as the network would.
    pub(crate) fn send(&mut self, socket: &UdpSocket, count: usize, bytes: usize) -> io::Result<()> {
        let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; N];
        // SAFETY: an all-zero mmsghdr is a valid one: null pointers with zero lengths.
        let mut headers: [libc::mmsghdr; N] = unsafe { std::mem::zeroed() };
        for at in 0..count {
            let reply = &mut self.replies[at][..bytes];
            vectors[at] = libc::iovec { iov_base: reply.as_mut_ptr().cast(), iov_len: bytes };
            let header = &mut headers[at].msg_hdr;
            header.msg_name = (&raw mut self.sources[at].0).cast();
            header.msg_namelen = self.sources[at].1;
            header.msg_iov = &raw mut vectors[at];
            header.msg_iovlen = 1;
        }
        // SAFETY: the first `count` headers were written above and point to what outlives the call.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers[..count].as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        or_would_block(sent).map(|_| ())
    }
}

/// The count that a system call answered; 0 when it would have to wait.
fn or_would_block(count: libc::c_int) -> io::Result<usize> {
    usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        error => Err(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lens(datagrams: &[usize], handing: Handing) -> Vec<(usize, usize)> {
        let mut outbox = Outbox::new();
        datagrams.iter().for_each(|len| outbox.push(&vec![1; *len]));
        outbox.runs(handing).iter().map(|run| (run.segment, run.datagrams)).collect()
    }

    #[test]
    fn equal_datagrams_and_one_shorter_are_one_run() {
        assert_eq!(lens(&[98, 98, 36, 98, 36, 36], Handing::Segmented), [(98, 3), (98, 2), (36, 1)]);
        assert_eq!(lens(&[36, 98, 98], Handing::Segmented), [(36, 1), (98, 2)]);
        assert_eq!(lens(&[98, 98], Handing::One), [(98, 1), (98, 1)]);
        assert_eq!(lens(&[1400; 64], Handing::Segmented), [(1400, 42), (1400, 22)]);
    }

    #[test]
    fn what_is_sent_in_one_go_arrives_datagram_by_datagram() {
        let (here, there) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        here.connect(there.local_addr().unwrap()).unwrap();
        there.connect(here.local_addr().unwrap()).unwrap();
        for handing in [Handing::One, Handing::Segmented] {
            let mut outbox = Outbox::new();
            for (byte, len) in [(1, 98), (2, 98), (3, 36), (4, 98)] {
                outbox.push(&vec![byte; len]);
            }
            assert_eq!(outbox.send(&here, handing).unwrap(), 4);
            // Loopback delivers before the call that sent returns.
            let mut inbox = Inbox::new();
            assert_eq!(inbox.receive(&there).unwrap(), 4);
            for (at, (byte, len)) in [(1, 98), (2, 98), (3, 36), (4, 98)].into_iter().enumerate() {
                assert_eq!(inbox.datagram(at), (&vec![byte; len.min(HEAD_BYTES)][..], len));
            }
            assert_eq!(inbox.receive(&there).unwrap(), 0);
        }
    }
}
