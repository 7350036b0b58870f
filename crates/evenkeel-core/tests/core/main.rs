//! The core from outside, through the door that the program uses.
//!
//! `scripts` runs the readable scripts of `tests/scripts`; `model` compares a shard with a naive model under
//! random operations; `uniform` judges the draws; `corpus` replays what the fuzzers found interesting.

mod corpus;
mod fuzz;
mod model;
mod rig;
mod scripts;
mod uniform;
