//! Waiting for packets on several sockets at once (poll), and sleeping as long as was said.

use std::io;

/// Waits until one of the sockets can be read, or for `millis`.
pub(super) fn wait(sockets: &mut [libc::pollfd], millis: i32) -> io::Result<()> {
    // The type of the length differs between systems.
    let count = sockets.len().try_into().map_err(io::Error::other)?;
    // SAFETY: pointer and length are those of one slice.
    let ready = unsafe { libc::poll(sockets.as_mut_ptr(), count, millis) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        sockets.iter_mut().for_each(|socket| socket.revents = 0);
        // A signal that arrives meanwhile is no reason to stop serving.
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    Ok(())
}

/// Has this thread woken within a microsecond of the end of a sleep. Linux allows itself 50 by default, to save wake-ups.
pub(super) fn sleep_precisely() {
    #[cfg(target_os = "linux")]
    // SAFETY: sets a number of the calling thread and touches no memory. A refusal leaves the default, which does no harm.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000 as libc::c_ulong);
    }
}
