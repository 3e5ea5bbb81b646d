//! Whole nodes in virtual time: the scenarios, what they have found, and that a seed repeats a run.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod disks;
mod network;
mod regressions;
mod scenarios;
mod simulated;
