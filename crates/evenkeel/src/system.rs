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

/// Has this thread run in turns of a tenth of a millisecond, the shortest that Linux has: who asks for less at a time has it
/// sooner. For a thread that runs rarely, and holds what others wait for: else one that is busy takes its place for a whole
/// turn, which is a millisecond and more. Linux knows this from 6.12 on; before, and elsewhere, nothing changes.
pub(crate) fn run_in_short_turns() {
    #[cfg(target_os = "linux")]
    {
        const TURN_NANOS: u64 = 100_000;
        const SIZE: usize = size_of::<libc::sched_attr>();
        const ITSELF: libc::pid_t = 0;
        const NO_FLAGS: libc::c_uint = 0;
        // SAFETY: plain numbers, for which zeros are good.
        let mut attributes: libc::sched_attr = unsafe { std::mem::zeroed() };
        // SAFETY: the system writes `SIZE` bytes at most to `attributes`, and reads what it has written with one number
        // changed. A refusal leaves all as it was, which does no harm.
        unsafe {
            let pointer = &raw mut attributes;
            if libc::syscall(libc::SYS_sched_getattr, ITSELF, pointer, SIZE, NO_FLAGS) == 0 {
                (*pointer).sched_runtime = TURN_NANOS;
                libc::syscall(libc::SYS_sched_setattr, ITSELF, pointer, NO_FLAGS);
            }
        }
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
