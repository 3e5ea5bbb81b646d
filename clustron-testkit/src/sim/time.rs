//! A moment on the simulation's own clock, which no node ever sees.

use std::fmt;
use std::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds since the simulation began. They last for 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct VirtualTime(pub(super) u64);

impl VirtualTime {
    pub(super) const ZERO: VirtualTime = VirtualTime(0);
    /// What is due then never comes.
    pub(super) const NEVER: VirtualTime = VirtualTime(u64::MAX);

    pub(super) fn after(self, time: Duration) -> VirtualTime {
        VirtualTime(self.0.saturating_add(nanos(time)))
    }

    pub(super) fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    pub(super) fn since(self, earlier: VirtualTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / NANOS_PER_SECOND, self.0 % NANOS_PER_SECOND)
    }
}

/// A duration in nanoseconds; one that is too long counts as the longest.
pub(super) fn nanos(time: Duration) -> u64 {
    let whole = time.as_secs().saturating_mul(NANOS_PER_SECOND);
    whole.saturating_add(u64::from(time.subsec_nanos()))
}
