//! What a proxy says of whom it speaks for: headers of HTTP, and the PROXY protocol before the first request.
//!
//! Anybody can write the same: whether it is believed is decided by who says it, and not here.

pub mod introduction;

use std::net::{IpAddr, SocketAddr};

use crate::limits::HEADERS_MAX;

/// A header that names addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Header {
    /// `X-Forwarded-For`: a list that each proxy adds to at its end.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): the same, with names and quotation marks.
    Forwarded,
    /// `X-Real-IP`: one address.
    XRealIp,
    /// `CF-Connecting-IP`: one address.
    CfConnectingIp,
}

impl Header {
    const ALL: [Self; 4] = [Self::XForwardedFor, Self::Forwarded, Self::XRealIp, Self::CfConnectingIp];

    fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
            Self::XRealIp => "x-real-ip",
            Self::CfConnectingIp => "cf-connecting-ip",
        }
    }

    /// Whether a header is any of them.
    pub(crate) fn is_one(name: &str) -> bool {
        Self::ALL.iter().any(|header| name.eq_ignore_ascii_case(header.name()))
    }
}

/// Who is meant by the lines of `header` among `lines`, the header lines of a request.
///
/// The end of the last line is what the nearest proxy wrote. From there to the left each address that `is_trusted` is
/// a proxy which is believed in turn; the first that is not is the client. What stands left of it, anybody may have
/// written, and it is not looked at. An entry that is no address ends the search: who stood before it is meant.
pub fn client(lines: &[u8], header: Header, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(lines, &mut headers) else {
        return None;
    };
    let mut nearest = None;
    let of_header = headers.iter().rev().filter(|line| line.name.eq_ignore_ascii_case(header.name()));
    for line in of_header {
        let mut rest = Some(line.value);
        while let Some(entries) = rest {
            let entry;
            (rest, entry) = last_entry(entries, header);
            let Some(ip) = address(entry, header) else { return nearest };
            nearest = Some(ip);
            if !is_trusted(ip) {
                return nearest;
            }
        }
    }
    nearest
}

/// Cuts the last entry off a list; the rest is `None` when it was the only one.
fn last_entry(entries: &[u8], header: Header) -> (Option<&[u8]>, &[u8]) {
    let comma = match header {
        Header::XForwardedFor => memchr::memrchr(b',', entries),
        Header::Forwarded => last_comma(entries),
        Header::XRealIp | Header::CfConnectingIp => None,
    };
    comma.map_or((None, entries), |at| (Some(&entries[..at]), &entries[at + 1..]))
}

/// The last comma outside quotation marks, counted from the right: an open quotation mark of a stranger cannot hide what
/// a proxy wrote behind it.
fn last_comma(entries: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    entries.iter().rposition(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    })
}

fn address(entry: &[u8], header: Header) -> Option<IpAddr> {
    let node = match header {
        Header::Forwarded => forwarded_for(entry)?,
        _ => entry.trim_ascii(),
    };
    let text = std::str::from_utf8(node).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let ip = match text.parse::<IpAddr>() {
        Ok(ip) => ip,
        // Some write the port behind it.
        Err(_) => match bare {
            Some(bare) => IpAddr::V6(bare.parse().ok()?),
            None => text.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(ip.to_canonical())
}

/// The value of `for` in an element of `Forwarded`, without its quotation marks.
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    let mut found = None;
    for pair in element.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
        let at = memchr::memchr(b'=', pair)?;
        if pair[..at].eq_ignore_ascii_case(b"for") && found.replace(&pair[at + 1..]).is_some() {
            return None;
        }
    }
    let value = found?;
    match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\""),
        None => Some(value),
    }
}

#[cfg(test)]
mod tests;
