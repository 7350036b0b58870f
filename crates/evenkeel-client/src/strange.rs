//! What a hostile tracker may send, through everything that reads it: run by the fuzzer, and by a test that
//! replays its corpus. No part of the library as others see it.

use crate::bencode::Value;
use crate::{http, udp, ws};

/// Reads the same bytes as an answer of every dialect, and holds what was read against what is promised.
pub fn read(bytes: &[u8]) {
    if let Some(value) = Value::parse(bytes) {
        let longer = [bytes, b"e"].concat();
        assert_eq!(Value::parse(&longer), Some(value), "what follows a value changes it");
    }
    http::read_strange(bytes);
    udp::read_strange(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        ws::read_strange(text);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::read;

    #[test]
    fn the_corpus_of_the_fuzzer_replays_without_a_panic() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/client");
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            // What is cut off is worth as much as what is whole.
            (0..=bytes.len()).for_each(|len| read(&bytes[..len]));
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}
