//! Where clients are sent instead of being answered.

use std::fmt;
use std::str::FromStr;

use crate::config::PublicUrl;

/// Who asks for a path is sent to a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    path: String,
    status: Status,
    to: PublicUrl,
}

/// What is said of the move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    MovedPermanently,
    Found,
    TemporaryRedirect,
}

impl Status {
    const ALL: [Self; 3] = [Self::MovedPermanently, Self::Found, Self::TemporaryRedirect];

    fn line(self) -> &'static str {
        match self {
            Self::MovedPermanently => "301 Moved Permanently",
            Self::Found => "302 Found",
            Self::TemporaryRedirect => "307 Temporary Redirect",
        }
    }
}

/// No rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRedirect;

impl FromStr for Redirect {
    type Err = NoRedirect;

    /// Reads a path, a status and a URL.
    fn from_str(text: &str) -> Result<Self, NoRedirect> {
        let [path, status, to] = *text.split(' ').collect::<Vec<_>>() else { return Err(NoRedirect) };
        let is_path =
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?');
        let status = Status::ALL.into_iter().find(|known| known.line().split(' ').next() == Some(status));
        let to = PublicUrl::parse(to).filter(|url| url.as_str().starts_with("http"));
        match (is_path, status, to) {
            (true, Some(status), Some(to)) => Ok(Self { path: path.to_owned(), status, to }),
            _ => Err(NoRedirect),
        }
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.line().split(' ').next().unwrap_or_default();
        write!(f, "{} {status} {}", self.path, self.to)
    }
}

impl Redirect {
    /// Whether it is about this path.
    pub(crate) fn is_of(&self, path: &[u8]) -> bool {
        self.path.as_bytes() == path
    }

    /// Status line without the version.
    pub(crate) fn status(&self) -> &'static str {
        self.status.line()
    }

    /// Appends the URL with the query of the request; bytes that no header may hold are escaped.
    pub(crate) fn write_location(&self, query: &[u8], location: &mut Vec<u8>) {
        location.extend_from_slice(self.to.as_str().as_bytes());
        if query.is_empty() {
            return;
        }
        location.push(b'?');
        for byte in query {
            if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(byte) {
                location.push(*byte);
            } else {
                let [high, low] = [byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]);
                location.extend_from_slice(&[b'%', high, low]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_back_as_it_is_written() {
        for text in [
            "/announce 307 https://new.example.org/announce",
            "/ 301 http://192.0.2.1:80",
            "/x 302 http://[::1]/y",
        ] {
            assert_eq!(text.parse::<Redirect>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "/announce 307",
            "announce 307 https://example.org",
            "/a?b 307 https://example.org",
            "/announce 303 https://example.org",
            "/announce 307 udp://example.org:6969",
            "/announce 307 /scrape",
            "/announce 307 https://example.org/?a=b",
            "/announce  307 https://example.org",
            "/announce 307 https://example.org more",
        ] {
            assert_eq!(text.parse::<Redirect>(), Err(NoRedirect), "{text}");
        }
    }

    #[test]
    fn the_query_comes_along_and_can_end_no_header() {
        let redirect: Redirect = "/announce 307 https://example.org/a".parse().unwrap();
        let location = |query: &[u8]| {
            let mut location = Vec::new();
            redirect.write_location(query, &mut location);
            String::from_utf8(location).unwrap()
        };
        assert_eq!(location(b""), "https://example.org/a");
        assert_eq!(location(b"info_hash=%12%fF+a&b=c"), "https://example.org/a?info_hash=%12%fF+a&b=c");
        assert_eq!(location(b"\xff\r\n #\"<\x7f"), "https://example.org/a?%FF%0D%0A%20%23%22%3C%7F");
    }
}
