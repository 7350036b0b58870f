//! Reads JSON that is written as programs write it: no blanks, names without escapes, whole numbers.
//!
//! Where it answers `None` the text may be JSON all the same, and a library has to say. What it reads is JSON: that much
//! is looked at in every string, several characters at a time, as long as it holds what session descriptions do.

use super::twenty::first_twenty;

/// A text, and how far it has been read. Nothing more is to be asked of it once there was no answer.
#[derive(Clone)]
pub struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// At the start of a text.
    pub fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Nothing follows.
    pub fn end(&self) -> Option<()> {
        (self.at == self.text.len()).then_some(())
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// What was read since then.
    pub(super) fn since(&self, then: &Self) -> Option<&'a str> {
        self.text.get(then.at..self.at)
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// Reads an object that is not empty; `entry` reads each value, whose name it is told.
    pub fn object(&mut self, mut entry: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        loop {
            let name = self.plain_string()?;
            self.expect(b':')?;
            entry(self, name)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Reads an object that has no other in it, and is not empty; answers its text.
    pub fn flat_object(&mut self) -> Option<&'a str> {
        let then = self.clone();
        self.object(|scan, _| scan.skip())?;
        self.since(&then)
    }

    /// Reads a value that does not matter.
    pub fn skip(&mut self) -> Option<()> {
        match self.rest() {
            [b'"', ..] => self.string().map(drop),
            [b'0'..=b'9', ..] => self.number().map(drop),
            [b't', b'r', b'u', b'e', ..] | [b'n', b'u', b'l', b'l', ..] => {
                self.at += 4;
                Some(())
            }
            [b'f', b'a', b'l', b's', b'e', ..] => {
                self.at += 5;
                Some(())
            }
            _ => None,
        }
    }

    /// Reads a whole number.
    pub fn number(&mut self) -> Option<u64> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_padded = digits > 1 && self.rest()[0] == b'0';
        let text = self.text.get(self.at..self.at + digits)?;
        self.at += digits;
        text.parse().ok().filter(|_| !is_padded)
    }

    /// Reads a string of 20 characters below U+0100, one for each byte.
    pub fn twenty(&mut self) -> Option<[u8; 20]> {
        let (bytes, rest) = first_twenty(self.rest())?;
        self.at = self.text.len() - rest.len();
        Some(bytes)
    }

    /// Reads a string without escapes.
    pub fn plain_string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        // Names are short: to look at them byte by byte takes less than to begin anything cleverer.
        let ends = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        let len = self.rest().iter().position(ends).filter(|len| self.rest()[*len] == b'"')?;
        let text = self.text.get(self.at..self.at + len);
        self.at += len + 1;
        text
    }

    /// Reads a string; answers what stands between its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let (at, rest) = (self.at, self.rest());
        let quote = memchr::memchr(b'"', rest)?;
        let len = if is_simple(&rest[..quote]) { quote } else { string_len(rest)? };
        self.at += len + 1;
        self.text.get(at..at + len)
    }
}

/// Whether a text up to a quote holds line ends at most of what has to be escaped: then the quote is the end. All of it is
/// looked at together, several characters at a time.
fn is_simple(text: &[u8]) -> bool {
    let Some((last, others)) = text.split_last() else { return true };
    let strange = |byte: u8| u8::from(byte < 0x20);
    let found = others.iter().zip(&text[1..]).fold(strange(*last), |found, (byte, next)| {
        found
            | strange(*byte)
            | (u8::from(*byte == b'\\') & u8::from(*next != b'r') & u8::from(*next != b'n'))
    });
    found == 0 && *last != b'\\'
}

/// How long the text is up to the end of a string; `None` if something is wrong with it.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut rest = text;
    loop {
        rest = match rest {
            [b'"', ..] => return Some(text.len() - rest.len()),
            [b'\\', b'u', digits @ ..] => {
                let (digits, rest) = digits.split_first_chunk::<4>()?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(rest)?
            }
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
            [b'\\' | 0..0x20, ..] | [] => return None,
            [_, rest @ ..] => rest,
        }
    }
}
