//! The scheduler on running clusters.

#![expect(clippy::unwrap_used, reason = "tests")]

mod changing;
mod clocks;
mod policies;
mod running;
mod world;
