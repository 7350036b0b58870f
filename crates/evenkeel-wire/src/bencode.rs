//! Writing bencode (BEP 3) straight into a buffer. Keys of a dictionary are the caller's to write in order.

/// Appends bencoded values to `out`.
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to what `out` already holds.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Opens a dictionary.
    pub fn dictionary(&mut self) {
        self.out.push(b'd');
    }

    /// Opens a list.
    pub fn list(&mut self) {
        self.out.push(b'l');
    }

    /// Closes a dictionary or a list.
    pub fn end(&mut self) {
        self.out.push(b'e');
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.decimal(bytes.len() as u64);
        self.out.push(b':');
        self.out.extend_from_slice(bytes);
    }

    /// Writes a whole number.
    pub fn number(&mut self, number: impl Into<u64>) {
        self.out.push(b'i');
        self.decimal(number.into());
        self.out.push(b'e');
    }

    /// Writes a dictionary entry whose value is a number.
    pub fn number_entry(&mut self, key: &str, number: impl Into<u64>) {
        self.bytes(key.as_bytes());
        self.number(number);
    }

    /// Writes a dictionary entry whose value is a byte string.
    pub fn bytes_entry(&mut self, key: &str, bytes: &[u8]) {
        self.bytes(key.as_bytes());
        self.bytes(bytes);
    }

    fn decimal(&mut self, number: u64) {
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_form_of_bep_3() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.dictionary();
        writer.bytes_entry("a", b"\0x");
        writer.number_entry("b", u64::MAX);
        writer.bytes(b"c");
        writer.list();
        writer.number(0_u32);
        writer.end();
        writer.end();
        assert_eq!(out, b"d1:a2:\0x1:bi18446744073709551615e1:cli0eee");
    }
}
