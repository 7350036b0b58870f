//! Runs `earnings::analyst` of the core's tests on what the fuzzer makes up.
#![no_main]

#[path = "../../crates/evenkeel-core/tests/core/earnings.rs"]
mod earnings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| earnings::analyst(data));
