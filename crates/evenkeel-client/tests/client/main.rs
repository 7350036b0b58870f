//! The client against small trackers that answer badly, late, or not at all.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests: they fail by panicking")]

mod fake;
mod http;
mod tls;
mod udp;
mod ws;
