//! Clustron core.
pub mod codec;
mod identity;
mod time;

pub use identity::*;
pub use time::*;
