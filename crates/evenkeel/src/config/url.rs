//! The address under which the world knows this tracker.

use std::fmt;

/// An `http`, `https` or `udp` URL with a host, kept without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host_start: usize,
    host_end: usize,
}

impl PublicUrl {
    /// Reads `scheme://host[:port][/path]`. No user, no query: announce URLs are made by adding a path, and
    /// whatever stands here is printed on a public page.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_end_matches('/');
        let (scheme, rest) = text.split_once("://")?;
        if !["http", "https", "udp"].contains(&scheme) {
            return None;
        }
        let strange = |byte: u8| !byte.is_ascii_graphic() || b"@?#\\\"'<>`{}|^".contains(&byte);
        if rest.bytes().any(strange) {
            return None;
        }
        let authority = rest.split('/').next()?;
        let host = match authority.rsplit_once(':') {
            // The last colon of `[2001:db8::1]` is the address's own.
            Some((host, port)) if !port.ends_with(']') => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                (is_number && port.parse::<u16>().is_ok_and(|port| port > 0)).then_some(host)?
            }
            _ => authority,
        };
        if !is_host(host) {
            return None;
        }
        let host_start = scheme.len() + "://".len();
        Some(Self { text: text.to_owned(), host_start, host_end: host_start + host.len() })
    }

    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host as it stands in the URL: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host_start..self.host_end]
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        None => {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        }
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_knows_its_host_and_loses_its_last_slash() {
        for (text, kept, host) in [
            ("https://tracker.example.org", "https://tracker.example.org", "tracker.example.org"),
            ("http://192.0.2.1:6969/", "http://192.0.2.1:6969", "192.0.2.1"),
            ("udp://[2001:db8::1]:6969", "udp://[2001:db8::1]:6969", "[2001:db8::1]"),
            ("udp://[2001:db8::1]", "udp://[2001:db8::1]", "[2001:db8::1]"),
            ("https://example.org/tracker/", "https://example.org/tracker", "example.org"),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!((url.as_str(), url.host()), (kept, host));
        }
    }

    #[test]
    fn what_is_no_public_url_is_refused() {
        for text in [
            "tracker.example.org",
            "ftp://example.org",
            "http://",
            "http:///announce",
            "http://:80",
            "http://example.org:0",
            "http://example.org:65536",
            "http://example.org:+80",
            "http://example.org:",
            "http://user@example.org",
            "http://example.org?a=b",
            "http://exa mple.org",
            "http://example.org/<script>",
            "http://[::1",
            "http://::1",
            "http://[example.org]",
        ] {
            assert_eq!(PublicUrl::parse(text), None, "{text}");
        }
    }
}
