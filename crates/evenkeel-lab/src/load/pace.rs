//! When requests are due.
//!
//! Closed loop: a request is due when a reply made room for it, so a slow server is asked less. Open loop:
//! requests are due at a fixed rate whatever the server does. Latency counts from when a request was *due*,
//! not from when it was sent: a server that stalls for 100 ms has kept all waiting that were due meanwhile,
//! and a tester that counts only the one it was waiting for hides it (coordinated omission).

/// Nanoseconds since the load began.
pub(crate) type Nanos = u64;

pub(crate) const SECOND: Nanos = 1_000_000_000;

/// The timetable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Requests per second; `None` is a closed loop.
    rate: Option<f64>,
    taken: u64,
}

impl Pace {
    pub(crate) fn new(rate: Option<f64>) -> Self {
        Self { rate, taken: 0 }
    }

    /// Whether requests have times of their own.
    pub(crate) fn is_open(&self) -> bool {
        self.rate.is_some()
    }

    /// Requests that are due and were not taken yet.
    pub(crate) fn due(&self, now: Nanos) -> u64 {
        match self.rate {
            None => u64::MAX,
            Some(rate) => whole(now as f64 * rate / SECOND as f64 + 1.0).saturating_sub(self.taken),
        }
    }

    /// Takes the next request; answers when it was due.
    pub(crate) fn take(&mut self, now: Nanos) -> Nanos {
        let due = self.next_at(now);
        self.taken += 1;
        due
    }

    /// When the next request is due.
    pub(crate) fn next_at(&self, now: Nanos) -> Nanos {
        self.rate.map_or(now, |rate| whole(self.taken as f64 / rate * SECOND as f64))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times and counts are positive")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_is_due_at_its_rate_whatever_was_answered() {
        let mut pace = Pace::new(Some(1_000.0));
        assert_eq!(pace.due(0), 1);
        assert_eq!(pace.take(0), 0);
        assert_eq!(pace.due(999_999), 0);
        assert_eq!(pace.next_at(5), 1_000_000);
        assert_eq!(pace.due(10_000_000), 10);
        let due: Vec<_> = (0..10).map(|_| pace.take(10_000_000)).collect();
        assert_eq!(due[..3], [1_000_000, 2_000_000, 3_000_000]);
        assert_eq!(due[9], 10_000_000);
        assert_eq!(pace.due(10_000_000), 0);
    }

    #[test]
    fn a_closed_loop_is_due_now() {
        let mut pace = Pace::new(None);
        assert_eq!(pace.take(42), 42);
        assert!(pace.due(43) > 1_000_000);
    }
}
