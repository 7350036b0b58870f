//! How a tracker decides: *state + request + now + rng -> answer + reason*.
//!
//! This crate reads no clock, draws no number of its own, touches no socket, file or thread, and cannot fail:
//! an [`Outcome`] is an answer or a refusal meant for the peer. It is driven, not running: the program calls
//! [`Shard::announce`] for each announce and [`Shard::sweep`] in between, and tests and simulations call the
//! same functions. The same seed and calls give the same answers, byte for byte.
//!
//! Start at [`Shard::announce`]: every rule that can touch an announce is called from there.

pub mod account;
mod addresses;
pub mod analyst;
mod announce;
pub mod connection;
mod equilibrium;
pub mod experiment;
mod identity;
mod index;
mod keyed;
mod outcome;
pub mod prefetch;
pub mod relay;
pub mod rules;
mod scope;
mod shard;
pub mod standing;
mod swarm;
mod table;
mod time;
mod uplink;

pub use addresses::AddressTable;
pub use announce::{Caller, Cx, KeyedCaller};
pub use equilibrium::handout::{Handout, Ids};
pub use equilibrium::list_size::Formula;
pub use equilibrium::random::Scratch;
pub use equilibrium::rbs::Preset;
pub use equilibrium::tier_backoff::Form;
pub use equilibrium::{Policy, UnknownPolicy};
pub use identity::{Figures, Identity, Tier};
pub use index::Hint;
pub use keyed::Keyed;
pub use outcome::{Outcome, Reason};
pub use rules::Rules;
pub use scope::Scope;
pub use shard::{Cursor, Keys, Place, SHARDS, Seen, Shard, Swept, Totals};
pub use swarm::PeerKey;
pub use swarm::peers::{SocketId, WebKey};
pub use swarm::report::{Moved, Reported};
pub use table::Table;
pub use time::Time;
pub use uplink::{UplinkRecord, Uplinks};
