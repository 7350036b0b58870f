//! The program: sockets, disk, configuration and operators around `evenkeel-core`.

pub mod state;
