//! The log, and the gate that keeps strangers from filling it.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::level_filters::LevelFilter;
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::Format;

/// Why the log cannot be set up or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else in this process has set one up.
    #[error("the log is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
    /// The log that the handle belongs to is gone.
    #[error("the level of the log cannot be changed")]
    Gone(#[source] reload::Error),
}

/// Changes the level of the running log.
#[derive(Clone, Debug)]
pub struct LogHandle(reload::Handle<LevelFilter, Registry>);

impl LogHandle {
    /// From now on, lines of this level and more important ones are written.
    pub fn set_level(&self, level: Level) -> Result<(), Error> {
        self.0.reload(LevelFilter::from_level(level)).map_err(Error::Gone)
    }
}

/// Starts the log of this process on standard error.
pub fn start(level: Level, format: Format) -> Result<LogHandle, Error> {
    let is_terminal = io::stderr().is_terminal();
    let (subscriber, handle) = subscriber(level, format, is_terminal, io::stderr);
    subscriber.try_init().map_err(Error::Twice)?;
    Ok(handle)
}

fn subscriber<W>(level: Level, format: Format, is_terminal: bool, to: W) -> (impl Subscriber, LogHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(LevelFilter::from_level(level));
    // A log that cannot be written must not stop the tracker: complaints about it would go the same way.
    let lines = fmt::layer().with_writer(to).log_internal_errors(false);
    let lines = match format {
        Format::Human => lines.with_ansi(is_terminal).with_target(false).boxed(),
        Format::Json => lines.with_ansi(false).json().flatten_event(true).with_current_span(false).boxed(),
    };
    (tracing_subscriber::registry().with(filter).with(lines), LogHandle(handle))
}

/// Writes a line that a stranger caused, at level debug and not too often: logs are no way to fill a disk.
pub(crate) fn peer_caused(line: std::fmt::Arguments<'_>) {
    static GATE: RateLimited = RateLimited::new(10);
    if tracing::enabled!(Level::DEBUG)
        && let Some(suppressed) = GATE.admit(Instant::now())
    {
        tracing::debug!(suppressed, "{line}");
    }
}

/// Replaces the backtrace that each panic prints by a line in the log, not too often: a bug that one kind of
/// request triggers could be triggered by strangers a million times.
pub(crate) fn quieten_panics() {
    static GATE: RateLimited = RateLimited::new(1);
    std::panic::set_hook(Box::new(|panic| {
        if let Some(suppressed) = GATE.admit(Instant::now()) {
            tracing::error!(suppressed, "panic, please report this bug: {panic}");
        }
    }));
}

/// Lets through at most so many lines in a second, for lines that peers can cause.
#[derive(Debug)]
pub(crate) struct RateLimited {
    per_second_max: u32,
    second: Mutex<Second>,
}

#[derive(Debug)]
struct Second {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl RateLimited {
    /// A gate for `per_second_max` lines.
    const fn new(per_second_max: u32) -> Self {
        Self { per_second_max, second: Mutex::new(Second { since: None, lines: 0, suppressed: 0 }) }
    }

    /// Whether a line may be written now, and if so how many were suppressed since the last one that was.
    fn admit(&self, now: Instant) -> Option<u64> {
        let mut second = self.second.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over =
            second.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1));
        if is_over {
            second.since = Some(now);
            second.lines = 0;
        }
        if second.lines >= self.per_second_max {
            second.suppressed += 1;
            return None;
        }
        second.lines += 1;
        Some(std::mem::take(&mut second.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn lines(&self) -> usize {
            self.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count()
        }
    }

    #[test]
    fn a_new_level_holds_for_the_running_log_in_both_formats() {
        for format in [Format::Human, Format::Json] {
            let kept = Kept::default();
            let writer = kept.clone();
            let (subscriber, handle) = subscriber(Level::WARN, format, false, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                let both = || {
                    tracing::warn!(port = 1, "important");
                    tracing::debug!("detail");
                };
                both();
                assert_eq!(kept.lines(), 1, "{format:?}");
                handle.set_level(Level::DEBUG).unwrap();
                both();
                assert_eq!(kept.lines(), 3, "{format:?}");
                handle.set_level(Level::ERROR).unwrap();
                both();
                assert_eq!(kept.lines(), 3, "{format:?}");
            });
            let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.starts_with('{'), format == Format::Json, "{text}");
            assert!(!text.contains('\u{1b}'), "no colours in a file: {text}");
        }
    }

    #[test]
    fn lines_above_the_rate_are_suppressed_and_counted_on_the_next_one() {
        let gate = RateLimited::new(2);
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(gate.admit(at(0)), Some(0));
        assert_eq!(gate.admit(at(1)), Some(0));
        assert_eq!(gate.admit(at(2)), None);
        assert_eq!(gate.admit(at(999)), None);
        assert_eq!(gate.admit(at(1000)), Some(2));
        assert_eq!(gate.admit(at(1001)), Some(0));
    }

    #[test]
    fn a_quiet_gate_lets_every_line_through() {
        let gate = RateLimited::new(1);
        let start = Instant::now();
        for seconds in [0, 1, 5, 60] {
            assert_eq!(gate.admit(start + Duration::from_secs(seconds)), Some(0));
        }
    }

    #[test]
    fn time_that_steps_back_opens_no_gate() {
        let gate = RateLimited::new(1);
        let later = Instant::now() + Duration::from_secs(10);
        assert_eq!(gate.admit(later), Some(0));
        assert_eq!(gate.admit(later.checked_sub(Duration::from_secs(5)).unwrap()), None);
    }
}
