//! How a tracker decides.
pub mod rules;
pub use rules::Rules;
