//! Runs `evenkeel_client::strange::read` on what the fuzzer makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| evenkeel_client::strange::read(data));
