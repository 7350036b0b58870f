//! Where an announce URL carries a secret: a passkey or an announce key, in the path or in the query. Whether it is one
//! that anybody has is not decided here.

use crate::limits::SECRET_BYTES_MAX;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// `/announce`
    Announce,
    /// `/scrape`
    Scrape,
}

/// Reads a path with or without a secret: `/announce`, `/SECRET/announce`, `/announce/SECRET`, and the same of `scrape`.
pub fn route(path: &[u8]) -> Option<(Question, Option<&[u8]>)> {
    let path = path.strip_prefix(b"/")?;
    // Neither a secret nor what is asked for has a slash in it.
    let (first, second) = match memchr::memchr(b'/', path) {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    };
    let question = |segment: &[u8]| match segment {
        b"announce" => Some(Question::Announce),
        b"scrape" => Some(Question::Scrape),
        _ => None,
    };
    match (question(first), second) {
        (Some(asked), None) => Some((asked, None)),
        (Some(asked), Some(secret)) if is_possible(secret) => Some((asked, Some(secret))),
        (None, Some(second)) if is_possible(first) => Some((question(second)?, Some(first))),
        _ => None,
    }
}

/// Reads the secret of `/standing/SECRET`.
pub fn of_standing(path: &[u8]) -> Option<&[u8]> {
    path.strip_prefix(b"/standing/").filter(|secret| is_possible(secret))
}

/// Reads `passkey=SECRET` in a query; the first one, should there be several.
pub fn of_query(query: &[u8]) -> Option<&[u8]> {
    let named = query.split(|byte| *byte == b'&').find_map(|pair| pair.strip_prefix(b"passkey="));
    named.filter(|secret| is_possible(secret))
}

/// Reads the secret of a path and query, as BEP 41 and the upgrade to a WebSocket have them. Of a WebSocket any path may
/// be asked for, so that a path of one segment can be a secret, too.
pub fn of_url(url: &[u8]) -> Option<&[u8]> {
    let (path, query) = match memchr::memchr(b'?', url) {
        Some(at) => (&url[..at], &url[at + 1..]),
        None => (url, &[][..]),
    };
    let alone = || path.strip_prefix(b"/").filter(|segment| is_possible(segment));
    of_query(query).or_else(|| route(path).map_or_else(alone, |(_, secret)| secret))
}

/// Whether a text can be a secret at all. Those that we draw are 32 hexadecimal digits; a site may bring its own.
fn is_possible(secret: &[u8]) -> bool {
    let may_stand = |byte: u8| byte.is_ascii_alphanumeric() | (byte == b'-') | (byte == b'_');
    // All bytes are looked at, many at a time, instead of one by one until the first that may not.
    (1..=SECRET_BYTES_MAX).contains(&secret.len())
        && secret.iter().fold(true, |all_may, byte| all_may & may_stand(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_stands_before_or_behind_what_is_asked() {
        use Question::{Announce, Scrape};
        assert_eq!(route(b"/announce"), Some((Announce, None)));
        assert_eq!(route(b"/scrape"), Some((Scrape, None)));
        assert_eq!(route(b"/s3cret/announce"), Some((Announce, Some(&b"s3cret"[..]))));
        assert_eq!(route(b"/announce/s3cret"), Some((Announce, Some(&b"s3cret"[..]))));
        assert_eq!(route(b"/s3cret/scrape"), Some((Scrape, Some(&b"s3cret"[..]))));
        assert_eq!(route(b"/scrape/s-3_c"), Some((Scrape, Some(&b"s-3_c"[..]))));
        let long = [b"/", &[b'a'; SECRET_BYTES_MAX + 1][..], b"/announce"].concat();
        for strange in [
            &b"announce"[..],
            b"/",
            b"",
            b"/announce/",
            b"//announce",
            b"/stats",
            b"/a/b/announce",
            b"/%61/announce",
            &long,
        ] {
            assert_eq!(route(strange), None, "{}", strange.escape_ascii());
        }
    }

    #[test]
    fn a_secret_may_be_in_the_query() {
        assert_eq!(of_query(b"info_hash=x&passkey=abc&port=1"), Some(&b"abc"[..]));
        assert_eq!(of_query(b"xpasskey=abc"), None);
        assert_eq!(of_query(b"passkey="), None);
    }

    #[test]
    fn a_url_without_a_host_may_carry_one_anywhere() {
        for url in ["/abc/announce", "/announce/abc", "/announce?x=y&passkey=abc", "/abc", "/?passkey=abc"] {
            assert_eq!(of_url(url.as_bytes()), Some(&b"abc"[..]), "{url}");
        }
        for url in ["", "/", "/announce", "/announce?passkey=", "/a/b/c", "abc"] {
            assert_eq!(of_url(url.as_bytes()), None, "{url}");
        }
    }

    #[test]
    fn whose_standing_is_meant_stands_at_the_end() {
        assert_eq!(of_standing(b"/standing/s3cret"), Some(&b"s3cret"[..]));
        for strange in
            [&b"/standing"[..], b"/standing/", b"/standing/a/b", b"/standing/a%20", b"/x/standing/a"]
        {
            assert_eq!(of_standing(strange), None, "{}", strange.escape_ascii());
        }
    }
}
