//! Which software a peer id speaks of, for statistics. Peer ids are claims: nothing is decided by a name.

use crate::PeerId;

/// Software and version as far as the peer id tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName {
    /// For example `qBittorrent`; `unknown` when the prefix is on no list.
    pub name: &'static str,
    /// For example `4.6.2`; the first 8 characters of the peer id for an unknown client.
    pub version: String,
}

/// How a client writes its version into the four characters after its two letters.
#[derive(Clone, Copy)]
enum Digits {
    /// `1234` is 1.2.3.4
    Four,
    /// `1234` is 1.2.3
    Three,
    /// `1234` is 12.34, `0091` is 0.91
    Pairs,
    /// `3000` is 3.00: one digit, then two
    OneThenTwo,
}

/// Two letters of the `-XX1234-` form (Azureus style), the name they stand for, how the version is written.
const AZUREUS_STYLE: &[(&[u8; 2], &str, Digits)] = &[
    (b"7T", "aTorrent", Digits::Four),
    (b"A2", "aria2", Digits::Four),
    (b"AG", "Ares", Digits::Four),
    (b"AN", "Ares", Digits::Four),
    (b"AT", "Artemis", Digits::Four),
    (b"AV", "Avicora", Digits::Four),
    (b"AX", "BitPump", Digits::Pairs),
    (b"AZ", "Azureus", Digits::Four),
    (b"BB", "BitBuddy", Digits::Four),
    (b"BC", "BitComet", Digits::Pairs),
    (b"BF", "BitFlu", Digits::Four),
    (b"BI", "BiglyBT", Digits::Four),
    (b"BT", "BitTorrent", Digits::Three),
    (b"CD", "Enhanced CTorrent", Digits::Pairs),
    (b"CT", "CTorrent", Digits::Pairs),
    (b"DE", "Deluge", Digits::Four),
    (b"EK", "evenkeel", Digits::Four),
    (b"FD", "Free Download Manager", Digits::Three),
    (b"FL", "Flud", Digits::Four),
    (b"GT", "GoTorrent", Digits::Four),
    (b"HL", "Halite", Digits::Three),
    (b"IL", "iLivid", Digits::Four),
    (b"KG", "KGet", Digits::Four),
    (b"KT", "KTorrent", Digits::Four),
    (b"LC", "LeechCraft", Digits::Four),
    (b"LH", "LH-ABC", Digits::Four),
    (b"LP", "Lphant", Digits::Pairs),
    (b"LT", "libtorrent", Digits::Four),
    (b"LW", "LimeWire", Digits::Four),
    (b"MG", "MediaGet", Digits::Pairs),
    (b"MP", "MooPolice", Digits::Three),
    (b"MR", "Miro", Digits::Four),
    (b"MT", "MoonlightTorrent", Digits::Four),
    (b"PI", "PicoTorrent", Digits::Three),
    (b"QD", "QQDownload", Digits::Four),
    (b"RT", "Retriever", Digits::Four),
    (b"SD", "Thunder", Digits::Four),
    (b"SP", "BitSpirit", Digits::Three),
    (b"SZ", "Shareaza", Digits::Four),
    (b"TB", "Torch", Digits::Four),
    (b"TL", "Tribler", Digits::Four),
    (b"TN", "Torrent.NET", Digits::Four),
    (b"TR", "Transmission", Digits::OneThenTwo),
    (b"TT", "TuoTu", Digits::Three),
    (b"UE", "uTorrent Embedded", Digits::Three),
    (b"UM", "uTorrent Mac", Digits::Three),
    (b"UT", "uTorrent", Digits::Three),
    (b"UW", "uTorrent Web", Digits::Three),
    (b"VG", "Vagaa", Digits::Four),
    (b"WD", "WebTorrent Desktop", Digits::Pairs),
    (b"WW", "WebTorrent", Digits::Pairs),
    (b"WY", "FireTorrent", Digits::Four),
    (b"XL", "Xunlei", Digits::Four),
    (b"XT", "XanTorrent", Digits::Four),
    (b"XX", "Xtorrent", Digits::Four),
    (b"lt", "libTorrent (Rakshasa)", Digits::Three),
    (b"qB", "qBittorrent", Digits::Three),
    (b"rn", "rain", Digits::Four),
    (b"st", "SharkTorrent", Digits::Four),
    (b"tT", "tTorrent", Digits::Four),
];

/// Reads the name from a peer id.
pub fn client_name(peer_id: &PeerId) -> ClientName {
    azureus_style(peer_id).or_else(|| mainline_style(peer_id)).unwrap_or_else(|| ClientName {
        name: "unknown",
        version: peer_id.0[..8]
            .iter()
            .map(|byte| if byte.is_ascii_graphic() { *byte as char } else { '?' })
            .collect(),
    })
}

/// `-XX1234-` and twelve random bytes.
fn azureus_style(peer_id: &PeerId) -> Option<ClientName> {
    let [b'-', first, second, a, b, c, d, b'-', ..] = peer_id.0 else { return None };
    let digits = [a, b, c, d];
    if !digits.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let (_, name, form) = AZUREUS_STYLE.iter().find(|(letters, ..)| **letters == [first, second])?;
    Some(ClientName { name, version: version(digits, *form) })
}

/// `M1-2-3--` and random bytes (BEP 20, the original client).
fn mainline_style(peer_id: &PeerId) -> Option<ClientName> {
    let [b'M', rest @ ..] = &peer_id.0 else { return None };
    let end = rest.windows(2).position(|pair| pair == b"--")?;
    let text = std::str::from_utf8(&rest[..end.min(10)]).ok()?;
    let sound = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    sound.then(|| ClientName { name: "Mainline", version: text.replace('-', ".") })
}

fn version(digits: [u8; 4], form: Digits) -> String {
    let [a, b, c, d] = digits.map(char::from);
    // Letters stand for 10 and more in the clients that count so far.
    let part = |digit: char| digit.to_digit(36).unwrap_or_default();
    match form {
        Digits::Four => format!("{}.{}.{}.{}", part(a), part(b), part(c), part(d)),
        Digits::Three => format!("{}.{}.{}", part(a), part(b), part(c)),
        Digits::Pairs => format!("{}.{c}{d}", if a == '0' { b.to_string() } else { format!("{a}{b}") }),
        Digits::OneThenTwo => format!("{a}.{b}{c}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_ids_tell_the_software() {
        for (peer_id, name, version) in [
            (b"-qB4620-abcdefghijkl", "qBittorrent", "4.6.2"),
            (b"-TR3000-abcdefghijkl", "Transmission", "3.00"),
            (b"-lt0D60-abcdefghijkl", "libTorrent (Rakshasa)", "0.13.6"),
            (b"-WW0091-abcdefghijkl", "WebTorrent", "0.91"),
            (b"-BC0172-abcdefghijkl", "BitComet", "1.72"),
            (b"-LT20B0-abcdefghijkl", "libtorrent", "2.0.11.0"),
            (b"-EK0100-abcdefghijkl", "evenkeel", "0.1.0.0"),
            (b"M7-10-5--abcdefghijk", "Mainline", "7.10.5"),
        ] {
            let expected = ClientName { name, version: version.to_owned() };
            assert_eq!(client_name(&PeerId(*peer_id)), expected, "{}", peer_id.escape_ascii());
        }
    }

    #[test]
    fn what_is_on_no_list_is_unknown_and_printable() {
        for (peer_id, version) in [
            (b"-??0001-abcdefghijkl", "-??0001-"),
            (b"<script>aaaaaaaaaaaa", "<script>"),
            (b"\0\xff\n aaaaaaaaaaaaaaaa", "????aaaa"),
            (b"M--aaaaaaaaaaaaaaaaa", "M--aaaaa"),
        ] {
            let expected = ClientName { name: "unknown", version: version.to_owned() };
            assert_eq!(client_name(&PeerId(*peer_id)), expected);
        }
    }
}
