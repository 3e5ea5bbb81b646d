//! How a run went that found nothing.

use std::time::Duration;

/// What a run has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// How many events happened.
    pub events: u64,
    /// How much virtual time passed.
    pub virtual_time: Duration,
    /// How many faults the nemesis has caused.
    pub faults: u64,
    /// The trace's fingerprint, if it was wanted.
    pub fingerprint: Option<u64>,
}
