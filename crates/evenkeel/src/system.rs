//! What the operating system grants: open files, memory, secrets.

use std::io;

/// Raises the limit of open files as far as the system lets us, and answers it.
pub(crate) fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a struct of the right type that lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: as above. Where it is refused (macOS with an infinite hard limit), the old limit holds.
    let is_raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0;
    Ok(if is_raised { raised.rlim_cur } else { limit.rlim_cur })
}

/// Resident memory of this process, where the system tells it as a file.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Gives the memory that the allocator holds free back to the system. That of glibc keeps it otherwise, for the next
/// flood; others have ways of their own.
pub(crate) fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: touches free memory only.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Random numbers that nobody can guess.
pub(crate) fn random<const N: usize>() -> io::Result<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = getrandom::u64().map_err(io::Error::other)?;
    }
    Ok(numbers)
}
