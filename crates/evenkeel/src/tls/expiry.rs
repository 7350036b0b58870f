//! From when to when a certificate holds, and when somebody ought to be told that its end is near.

use std::time::{Duration, SystemTime};

use x509_cert::der::Decode;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// So long before its end a certificate is warned of, if it does not live for a few days only.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// Then it is for the last part of its life of so many. Renewal is due at the last third: there is time for tries.
const LAST_OF: u32 = 6;

/// When a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Validity {
    pub begins: SystemTime,
    pub ends: SystemTime,
}

impl Validity {
    /// Of a certificate in DER form.
    pub(crate) fn of(certificate: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
        let validity = certificate.tbs_certificate.validity;
        let [begins, ends] = [validity.not_before, validity.not_after];
        Some(Self { begins: begins.to_system_time(), ends: ends.to_system_time() })
    }

    /// How long it holds altogether.
    pub(crate) fn lifetime(&self) -> Duration {
        self.ends.duration_since(self.begins).unwrap_or_default()
    }

    /// Whether it ends soon, or has ended.
    pub(crate) fn ends_soon(&self, now: SystemTime) -> bool {
        let soon = SOON.min(self.lifetime() / LAST_OF);
        now + soon >= self.ends
    }

    /// What is wrong, for people.
    pub(super) fn trouble(&self, now: SystemTime) -> Option<String> {
        if !self.ends_soon(now) {
            return None;
        }
        Some(match self.ends.duration_since(now) {
            Err(_) => "the certificate for TLS has expired".to_owned(),
            Ok(left) if left < DAY => "the certificate for TLS expires within a day".to_owned(),
            Ok(left) => {
                format!("the certificate for TLS expires in {} days", left.as_secs() / DAY.as_secs())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_for_fourteen_days_or_the_last_sixth_of_its_life() {
        let begins = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        for (days, warned_from) in [(90, 76), (398, 384), (6, 5)] {
            let validity = Validity { begins, ends: begins + days * DAY };
            assert_eq!(validity.lifetime(), days * DAY);
            let trouble_on = |day: u32| validity.trouble(begins + day * DAY);
            assert_eq!(trouble_on(warned_from - 1), None, "{days}");
            assert!(trouble_on(warned_from).is_some(), "{days}");
        }
        let validity = Validity { begins, ends: begins + 90 * DAY };
        for (day, text) in [(76, "expires in 14 days"), (89, "in 1 days"), (91, "has expired")] {
            assert!(validity.trouble(begins + day * DAY).is_some_and(|told| told.contains(text)), "{day}");
        }
    }
}
