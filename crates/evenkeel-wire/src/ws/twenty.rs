//! Twenty bytes as JSON: a string of one character from U+0000 to U+00FF for each, escaped or not.

use std::hint::select_unpredictable;

/// Reads the JSON text of such a string; `None` if it is something else.
pub(super) fn twenty(json: &str) -> Option<[u8; 20]> {
    let (bytes, rest) = first_twenty(json.as_bytes())?;
    rest.is_empty().then_some(bytes)
}

/// Reads such a string at the start of `json`, quotes included; answers what follows it, too.
pub(super) fn first_twenty(json: &[u8]) -> Option<([u8; 20], &[u8])> {
    let mut rest = json.strip_prefix(b"\"")?;
    let mut bytes = [0; 20];
    for byte in &mut bytes {
        // The quote at the end follows at least.
        let [first, second, ..] = *rest else { return None };
        // Half of all bytes are written as two, which no branch can foresee: the compiler must not make one.
        let is_two = first & 0xFE == 0xC2;
        let written = select_unpredictable(is_two, first << 6 | second & 0x3F, first);
        if IS_ITSELF[usize::from(first)] {
            (*byte, rest) = (written, &rest[1 + usize::from(is_two)..]);
        } else {
            (*byte, rest) = escaped(rest)?;
        }
    }
    rest.strip_prefix(b"\"").map(|rest| (bytes, rest))
}

/// Whether a character that is written as itself may begin so: below U+0100, no quote, backslash or control character.
static IS_ITSELF: [bool; 256] = {
    let mut table = [false; 256];
    let mut first: u8 = 0x20;
    while first <= 0xC3 {
        table[first as usize] = !matches!(first, b'"' | b'\\' | 0x80..0xC2);
        first += 1;
    }
    table
};

/// The escaped character at the start, and what follows.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    Some(match text {
        [b'\\', b'u', b'0', b'0', high, low, rest @ ..] => {
            let [high, low] = [high, low].map(|digit| char::from(*digit).to_digit(16));
            (u8::try_from(high? << 4 | low?).ok()?, rest)
        }
        [b'\\', letter, rest @ ..] => {
            let byte = match letter {
                b'b' => 0x08,
                b't' => b'\t',
                b'n' => b'\n',
                b'f' => 0x0C,
                b'r' => b'\r',
                b'"' | b'\\' | b'/' => *letter,
                _ => return None,
            };
            (byte, rest)
        }
        _ => return None,
    })
}

/// Appends such a string: UTF-8 where JSON allows it, escapes elsewhere.
pub(super) fn write_twenty(out: &mut Vec<u8>, bytes: &[u8; 20]) {
    // Six bytes are the longest that one becomes. What is behind the shorter ones is written over.
    let mut text = [b'"'; 1 + 20 * 6 + 1];
    let mut at = 1;
    for byte in *bytes {
        let (written, len) = WRITTEN[usize::from(byte)];
        text[at..at + 6].copy_from_slice(&written);
        at += len;
    }
    text[at] = b'"';
    out.extend_from_slice(&text[..=at]);
}

/// Each byte in a JSON string, and how long that is.
static WRITTEN: [([u8; 6], usize); 256] = {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut table = [([0; 6], 0); 256];
    let mut byte: u8 = 0;
    loop {
        let (high, low) = (byte >> 4, byte & 15);
        table[byte as usize] = match byte {
            b'"' | b'\\' => ([b'\\', byte, 0, 0, 0, 0], 2),
            ..0x20 => ([b'\\', b'u', b'0', b'0', HEX[high as usize], HEX[low as usize]], 6),
            0x20..0x80 => ([byte, 0, 0, 0, 0, 0], 1),
            0x80.. => ([0xC0 | byte >> 6, 0x80 | byte & 0x3F, 0, 0, 0, 0], 2),
        };
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};
