//! The core from outside, through the door that the program uses.
//!
//! `scripts` runs the readable scripts of `tests/scripts`; `model` compares a shard with a naive model under
//! random operations; `uniform` judges the draws, `guarantees` what policies promise; `ledger` compares the books with a
//! naive ledger and with the truth; `standing` says what identities earn; `earnings` makes up
//! histories for the analyst; `corpus` replays what the fuzzers found interesting. `instructions`
//! judges how counts are compared with their baseline.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::too_many_arguments,
    reason = "a test may panic, and its numbers are small"
)]

mod corpus;
mod earnings;
mod fuzz;
mod guarantees;
mod instructions;
mod ledger;
mod model;
mod rig;
mod scripts;
mod standing;
mod uniform;
