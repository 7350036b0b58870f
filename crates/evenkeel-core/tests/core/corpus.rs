//! Replays the fuzzers' corpora, and random bytes, through the functions that the fuzzers run.

use std::path::Path;

use crate::{earnings, fuzz};

/// Name of a corpus, and what it is run through.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 8] = [
    ("http", fuzz::http),
    ("query", fuzz::queries),
    ("udp", fuzz::udp),
    ("ws", fuzz::web),
    ("introduction", fuzz::introduction),
    ("forwarding", fuzz::forwarding),
    ("shard", fuzz::shard),
    ("analyst", earnings::analyst),
];

#[test]
fn every_corpus_replays_without_a_panic() {
    for (name, run) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            run(&std::fs::read(entry.unwrap().path()).unwrap());
            replayed += 1;
        }
        assert!(replayed > 0, "{} is empty", folder.display());
    }
}

#[test]
fn random_bytes_are_survived() {
    let mut rng = fastrand::Rng::with_seed(3);
    for round in 0..2_000 {
        let bytes: Vec<u8> = (0..rng.usize(..400)).map(|_| rng.u8(..)).collect();
        for (_, run) in &TARGETS[..6] {
            run(&bytes);
        }
        if round % 10 == 0 {
            fuzz::shard(&bytes);
        }
    }
}

#[test]
fn long_random_histories_agree_with_the_model() {
    let mut rng = fastrand::Rng::with_seed(4);
    for _ in 0..6 {
        let bytes: Vec<u8> = (0..24_000).map(|_| rng.u8(..)).collect();
        fuzz::shard(&bytes);
    }
}
