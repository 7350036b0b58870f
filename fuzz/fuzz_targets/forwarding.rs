//! Runs `fuzz::forwarding` of the core's tests on what the fuzzer makes up.
#![no_main]
#![allow(dead_code, reason = "these targets share the modules of the core's tests, and each uses a part")]

#[path = "../../crates/evenkeel-core/tests/core/fuzz.rs"]
mod fuzz;
#[path = "../../crates/evenkeel-core/tests/core/model.rs"]
mod model;
#[path = "../../crates/evenkeel-core/tests/core/rig.rs"]
mod rig;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::forwarding(data));
