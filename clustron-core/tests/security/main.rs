//! Nodes that only talk to those who belong to their cluster: what they promise, how keys and
//! certificates change while they run, and how little strangers learn.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod certificates;
mod keys;
mod strangers;
mod tls;
mod transports;
mod world;
