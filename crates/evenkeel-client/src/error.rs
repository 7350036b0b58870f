//! What can go wrong, sorted by what the caller may do about it.

use std::io;
use std::time::Duration;

use evenkeel_wire::Retry;

/// Why a tracker gave no answer.
///
/// No text contains the announce URL: private trackers put a secret into it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The announce URL, or the target of a redirect, cannot be read.
    #[error("invalid tracker URL: {0}")]
    InvalidUrl(String),
    /// The scheme of the URL is none of `http`, `https`, `udp`, `ws` and `wss`.
    #[error("a tracker URL cannot start with {0}:")]
    UnsupportedScheme(String),
    /// The request itself cannot be sent; the text says what is wrong with it.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// The host name could not be resolved.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The host has no address of the wanted family, or none that the local address can reach.
    #[error("{host} has no address of the wanted family")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// A socket failed.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, as an imperative: "connect", "send".
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// TLS could not be set up, or the tracker's certificate was refused.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The tracker did not answer in time.
    #[error("the tracker did not answer in time")]
    Timeout,
    /// The tracker answered that it refuses: `failure reason` (BEP 3) or a UDP error packet (BEP 15).
    #[error("the tracker refused: {reason}")]
    #[non_exhaustive]
    Tracker {
        /// Its text, as it came; show it to the user. Bytes that are not UTF-8 are replaced.
        reason: String,
        /// `retry in` (BEP 31).
        retry: Option<Retry>,
        /// `interval` beside the failure, which some trackers use for the same purpose.
        interval: Option<Duration>,
    },
    /// The HTTP status is neither 200 nor a redirect that was followed.
    #[error("the tracker answered with HTTP status {code}{}", after_colon(reason.as_deref()))]
    #[non_exhaustive]
    Status {
        /// The status code.
        code: u16,
        /// The `failure reason` of the body, when it holds one.
        reason: Option<String>,
    },
    /// More redirects than [`ClientBuilder::max_redirects`](crate::ClientBuilder::max_redirects).
    #[error("the tracker redirects too often")]
    TooManyRedirects,
    /// A redirect from `https` to `http`, which is never followed: it would show a passkey to the network.
    #[error("the tracker redirects from https to http")]
    InsecureRedirect,
    /// The answer is longer than [`ClientBuilder::max_answer_bytes`](crate::ClientBuilder::max_answer_bytes).
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer breaks the protocol; the text says how.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// The announce URL has no scrape URL: its last path segment does not start with `announce` (BEP 48).
    #[error("this tracker URL does not support scrape")]
    ScrapeUnsupported,
    /// The tracker closed the WebSocket, or the session ended after an earlier error.
    #[error("the tracker closed the connection")]
    Closed,
}

fn after_colon(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

impl Error {
    /// Whether the same request may succeed later although the caller changes nothing.
    ///
    /// A refusal is retryable unless it says `retry in: never`: most trackers do not say, and a torrent
    /// that is unknown now may be known tomorrow. See [`Error::retry_after`] for when.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Io { .. } | Self::Timeout | Self::Closed => true,
            Self::Tracker { retry, .. } => *retry != Some(Retry::Never),
            Self::Status { code, .. } => matches!(code, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// How long to wait before asking again, when the tracker said so: `retry in` (BEP 31), or else the
    /// `interval` beside the failure.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Tracker { retry: Some(Retry::Minutes(minutes)), .. } => {
                Some(Duration::from_secs(u64::from(*minutes) * 60))
            }
            Self::Tracker { retry: None, interval, .. } => *interval,
            _ => None,
        }
    }

    pub(crate) fn io(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, source }
    }

    pub(crate) fn refused(reason: &[u8]) -> Self {
        let reason = String::from_utf8_lossy(reason).into_owned();
        Self::Tracker { reason, retry: None, interval: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(retry: Option<Retry>, interval_secs: Option<u64>) -> Error {
        Error::Tracker { reason: "no".into(), retry, interval: interval_secs.map(Duration::from_secs) }
    }

    #[test]
    fn a_refusal_is_retried_unless_the_tracker_says_never() {
        for (retry, interval, retryable, after) in [
            (None, None, true, None),
            (None, Some(900), true, Some(900)),
            (Some(Retry::Minutes(2)), Some(900), true, Some(120)),
            (Some(Retry::Never), Some(1800), false, None),
        ] {
            let error = refusal(retry, interval);
            assert_eq!(error.is_retryable(), retryable, "{error:?}");
            assert_eq!(error.retry_after(), after.map(Duration::from_secs), "{error:?}");
        }
    }

    #[test]
    fn only_statuses_of_a_passing_trouble_are_retried() {
        for (code, retryable) in [(404, false), (403, false), (429, true), (500, true), (503, true)] {
            assert_eq!(Error::Status { code, reason: None }.is_retryable(), retryable, "{code}");
        }
        assert!(Error::Timeout.is_retryable());
        assert!(!Error::Malformed("x").is_retryable());
        assert!(!Error::ScrapeUnsupported.is_retryable());
    }

    #[test]
    fn a_status_shows_the_text_of_the_tracker() {
        let status = |reason: Option<&str>| Error::Status { code: 403, reason: reason.map(Into::into) };
        assert_eq!(status(None).to_string(), "the tracker answered with HTTP status 403");
        assert_eq!(status(Some("banned")).to_string(), "the tracker answered with HTTP status 403: banned");
    }
}
