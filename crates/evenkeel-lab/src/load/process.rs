//! What a process has used, as the kernel counts it.

use std::collections::HashMap;
use std::io;

use super::pace::{Nanos, SECOND};

/// Ticks of `/proc/PID/stat` per second: USER_HZ, 100 on every Linux that there is.
const TICKS_PER_SECOND: u64 = 100;

/// The thread of evenkeel that hands what is booked to the database: with SQLite, it is the database.
const DATABASE: &str = "flusher";

/// Use of a process up to now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    threads: HashMap<String, Thread>,
    user: Nanos,
    system: Nanos,
    /// Resident memory.
    pub rss_bytes: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    ran: Nanos,
    waited: Nanos,
    is_database: bool,
}

/// Use of a process between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub cpu: Nanos,
    pub user: Nanos,
    /// Of the thread that is the database of a server with one of its own.
    pub database: Nanos,
    /// Of the busiest thread: ran, or wanted to run and had no core.
    pub busiest: Nanos,
}

impl Usage {
    /// Of process `pid`, or of this one (`self`).
    pub(crate) fn of(pid: &str) -> io::Result<Self> {
        let mut usage = Self::default();
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            // A thread that ended since the folder was read has nothing to say.
            let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
            let mut next = || numbers.next().unwrap_or_default();
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            let thread = Thread { ran: next(), waited: next(), is_database: name.trim_end() == DATABASE };
            usage.threads.insert(task.file_name().to_string_lossy().into_owned(), thread);
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        (usage.user, usage.system) = times(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        usage.rss_bytes = rss_bytes(&status).unwrap_or_default();
        Ok(usage)
    }

    /// What was used since `earlier`.
    ///
    /// The kernel counts the whole to the nanosecond, but its parts in ticks: the parts are scaled to the whole.
    pub(crate) fn since(&self, earlier: &Self) -> Used {
        let threads = || {
            self.threads.iter().map(|(name, now)| {
                let then = earlier.threads.get(name).copied().unwrap_or_default();
                let (ran, waited) =
                    (now.ran.saturating_sub(then.ran), now.waited.saturating_sub(then.waited));
                Thread { ran, waited, ..*now }
            })
        };
        let cpu: Nanos = threads().map(|thread| thread.ran).sum();
        let (user, system) =
            (self.user.saturating_sub(earlier.user), self.system.saturating_sub(earlier.system));
        Used {
            cpu,
            user: (u128::from(cpu) * u128::from(user) / u128::from(user + system).max(1))
                .try_into()
                .unwrap_or(cpu),
            database: threads().filter(|thread| thread.is_database).map(|thread| thread.ran).sum(),
            busiest: threads().map(|thread| thread.ran + thread.waited).max().unwrap_or_default(),
        }
    }
}

/// User and system time out of `/proc/PID/stat`. The name in it may hold spaces and brackets.
fn times(stat: &str) -> Option<(Nanos, Nanos)> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut nanos = || Some(fields.next()?.parse::<u64>().ok()? * (SECOND / TICKS_PER_SECOND));
    Some((nanos()?, nanos()?))
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 150 250 0 0 20 0 1 0 7 8 9";
        assert_eq!(times(stat), Some((1_500_000_000, 2_500_000_000)));
        assert_eq!(rss_bytes("Name:\tx\nVmRSS:\t    1024 kB\n"), Some(1 << 20));
        let usage = Usage::of("self").unwrap();
        assert!(usage.rss_bytes > 0 && !usage.threads.is_empty());
    }

    #[test]
    fn the_parts_are_scaled_to_the_whole() {
        let usage = |ran, waited, user, system| Usage {
            threads: HashMap::from([
                ("1".to_owned(), Thread { ran, waited, is_database: false }),
                ("2".to_owned(), Thread { ran: ran / 10, waited: 0, is_database: true }),
            ]),
            user,
            system,
            rss_bytes: 0,
        };
        let used = usage(1_100, 50, 30, 70).since(&usage(100, 10, 0, 0));
        assert_eq!(used, Used { cpu: 1_100, user: 330, database: 100, busiest: 1_040 });
    }
}
